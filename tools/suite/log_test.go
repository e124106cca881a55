package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

const events = `
{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"noise\n"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood","Elapsed":5.4}
{"Action":"output","Package":"m/a","Test":"TestRoot","Output":"    run_test.go:8: needs root: a story\n"}
{"Action":"output","Package":"m/a","Test":"TestRoot","Output":"--- SKIP: TestRoot (0.00s)\n"}
{"Action":"skip","Package":"m/a","Test":"TestRoot"}
{"Action":"output","Package":"m/a","Test":"TestAlso/sub","Output":"    run_test.go:8: needs root: a story\n"}
{"Action":"skip","Package":"m/a","Test":"TestAlso/sub"}
{"Action":"output","Package":"m/a","Test":"TestAt","Output":"        run_test.go:9: needs a program: at\n"}
{"Action":"output","Package":"m/a","Test":"TestAt","Output":"    run_test.go:9: left out by the story; see above\n"}
{"Action":"skip","Package":"m/a","Test":"TestAt"}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"pass","Package":"m/a"}
{"Action":"output","Package":"m/b","Output":"LEFT OUT: the tests of this package need root\n"}
{"Action":"output","Package":"m/b","Output":"ok  \tm/b\t0.1s\n"}
{"Action":"pass","Package":"m/b"}
{"Action":"output","Package":"m/c","Test":"TestBad","Output":"=== CONT  TestBad\n"}
{"Action":"output","Package":"m/c","Test":"TestBad","Output":"    bad_test.go:1: why it failed\n"}
{"Action":"fail","Package":"m/c","Test":"TestBad","Elapsed":61}
{"Action":"output","Package":"m/c","Test":"TestHangs","Output":"what it was doing\n"}
{"Action":"output","Package":"m/c","Output":"panic: test timed out\nFAIL\tm/c\t0.1s\n"}
{"Action":"fail","Package":"m/c"}
{"Action":"build-output","ImportPath":"m/d","Output":"d.go:1: syntax error\n"}
{"Action":"build-fail","ImportPath":"m/d"}
{"Action":"output","Package":"m/e","Output":"?   \tm/e\t[no test files]\n"}
{"Action":"skip","Package":"m/e"}
not json
`

func TestLog(t *testing.T) {
	var out strings.Builder
	l := newLog(&out)
	for line := range strings.Lines(strings.TrimPrefix(events, "\n")) {
		l.event([]byte(line))
	}
	printed := "ok  \tm/a\t0.1s\nok  \tm/b\t0.1s\n    bad_test.go:1: why it failed\nwhat it was doing\n" +
		"panic: test timed out\nFAIL\tm/c\t0.1s\nd.go:1: syntax error\nnot json\n"
	if out.String() != printed {
		t.Errorf("printed\n%s\nwant\n%s", out.String(), printed)
	}
	summary := `
1 tests passed, 1 failed, 4 left out
     2  needs root: a story
     1  needs a program: at
     1  the tests of this package need root
        whole packages: m/b
`
	if got, want := l.slowest(), "\nthe slowest tests:\n   61 s  m/c TestBad\n    5 s  m/a TestGood\n"; got != want {
		t.Errorf("slowest: %q, want %q", got, want)
	}
	if got := l.summary(true); got != summary {
		t.Errorf("summary\n%s\nwant\n%s", got, summary)
	}
	if got := l.summary(false); !strings.HasSuffix(got, "sudo make test\n") {
		t.Errorf("to a user, the summary does not say what to do:\n%s", got)
	}
	allowed := []*regexp.Regexp{regexp.MustCompile("root")}
	if got, want := l.unexpected(allowed), []string{"m/a TestAt: needs a program: at"}; !slices.Equal(got, want) {
		t.Errorf("unexpected: %q, want %q", got, want)
	}
}
