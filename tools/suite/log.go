package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// log is what go test tells, event by event.
type log struct {
	out    io.Writer
	text   map[test]*strings.Builder // of what has not ended yet
	passed int
	failed int
	left   []leftOut
	took   []took // of each test that came to its end
}

// took is a test with the seconds that it ran.
type took struct {
	test
	seconds float64
}

// test is a test; with an empty name, its package.
type test struct{ pkg, name string }

// leftOut is a test that was skipped, or a package that left out its tests.
type leftOut struct {
	test
	reason string
}

// packageLeftOut begins the line by which a package's TestMain says that it
// runs none of its tests.
const packageLeftOut = "LEFT OUT: "

func newLog(out io.Writer) *log { return &log{out: out, text: map[test]*strings.Builder{}} }

func (l *log) event(line []byte) {
	var e struct {
		Action, Package, ImportPath, Test, Output string
		Elapsed                                   float64
	}
	if json.Unmarshal(line, &e) != nil {
		_, _ = l.out.Write(line)
		return
	}
	t := test{cmp.Or(e.Package, e.ImportPath), e.Test}
	switch e.Action {
	case "output", "build-output":
		if announces.MatchString(e.Output) {
			return
		}
		if l.text[t] == nil {
			l.text[t] = &strings.Builder{}
		}
		l.text[t].WriteString(e.Output)
	case "build-fail":
		l.print(t)
	case "pass", "fail", "skip":
		if t.name == "" {
			l.endPackage(t.pkg, e.Action)
		} else {
			l.took = append(l.took, took{t, e.Elapsed})
			l.endTest(t, e.Action)
		}
	}
}

// announces is what go test says of each test on its way, beside what the test says.
var announces = regexp.MustCompile(`^=== (RUN|PAUSE|CONT|NAME) `)

func (l *log) print(t test) {
	if text := l.text[t]; text != nil {
		fmt.Fprint(l.out, text)
		delete(l.text, t)
	}
}

func (l *log) endTest(t test, outcome string) {
	switch outcome {
	case "pass":
		l.passed++
	case "fail":
		l.failed++
		l.print(t)
	case "skip":
		l.left = append(l.left, leftOut{t, reason(l.text[t])})
	}
	delete(l.text, t)
}

// endPackage prints the line that go test prints for a package; of one that
// failed, everything that was not printed yet.
func (l *log) endPackage(pkg, outcome string) {
	whole := test{pkg: pkg}
	if outcome == "fail" {
		for t := range l.text { // a panic, or a test that never ended
			if t.pkg == pkg && t.name != "" {
				l.print(t)
			}
		}
		l.print(whole)
		return
	}
	text := l.text[whole]
	delete(l.text, whole)
	if text == nil {
		return
	}
	for line := range strings.Lines(text.String()) {
		switch {
		case strings.HasPrefix(line, packageLeftOut):
			why := strings.TrimSpace(strings.TrimPrefix(line, packageLeftOut))
			l.left = append(l.left, leftOut{whole, why})
		case strings.HasPrefix(line, "ok "):
			fmt.Fprint(l.out, line)
		}
	}
}

// where is the place that t.Skip puts before its reason.
var where = regexp.MustCompile(`^\s*[\w.-]+\.go:\d+: `)

// reason is the last thing that a skipped test said, other than a mere reference to
// what a story has said in its disposable host.
func reason(text *strings.Builder) string {
	if text == nil {
		return "no reason given"
	}
	found := "no reason given"
	for line := range strings.Lines(text.String()) {
		said := strings.TrimSpace(where.ReplaceAllString(line, ""))
		if where.MatchString(line) && !strings.HasSuffix(said, "see above") {
			found = said
		}
	}
	return found
}

// slowest are the tests that took longest, and at least slow seconds.
func (l *log) slowest() string {
	const most, slow = 10, 5
	list := slices.DeleteFunc(slices.Clone(l.took), func(t took) bool { return t.seconds < slow })
	slices.SortStableFunc(list, func(a, b took) int { return cmp.Compare(b.seconds, a.seconds) })
	var b strings.Builder
	for _, t := range list[:min(most, len(list))] {
		fmt.Fprintf(&b, "%5.0f s  %s %s\n", t.seconds, t.pkg, t.name)
	}
	if b.Len() == 0 {
		return ""
	}
	return "\nthe slowest tests:\n" + b.String()
}

// summary counts what was left out by reason.
func (l *log) summary(root bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%d tests passed, %d failed, %d left out\n", l.passed, l.failed, len(l.left))
	count := map[string]int{}
	packages := map[string][]string{}
	var reasons []string
	for _, t := range l.left {
		if count[t.reason]++; count[t.reason] == 1 {
			reasons = append(reasons, t.reason)
		}
		if t.name == "" {
			packages[t.reason] = append(packages[t.reason], t.pkg)
		}
	}
	slices.SortFunc(reasons, func(a, b string) int { return cmp.Or(count[b]-count[a], cmp.Compare(a, b)) })
	for _, r := range reasons {
		fmt.Fprintf(&b, "%6d  %s\n", count[r], r)
		if p := packages[r]; p != nil {
			fmt.Fprintf(&b, "        whole packages: %s\n", strings.Join(p, " "))
		}
	}
	if !root && slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(r, "root") }) {
		b.WriteString("What needs root runs in namespaces of its own, never on the machine itself: sudo make test\n")
	}
	return b.String()
}

// unexpected are the tests that were left out for reasons that are not allowed.
func (l *log) unexpected(allowed []*regexp.Regexp) []string {
	var out []string
	for _, t := range l.left {
		if !slices.ContainsFunc(allowed, func(re *regexp.Regexp) bool { return re.MatchString(t.reason) }) {
			out = append(out, strings.TrimSpace(t.pkg+" "+t.name)+": "+t.reason)
		}
	}
	return out
}
