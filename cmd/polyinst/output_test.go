package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rivo/uniseg"
)

// A table is no wider than the terminal: the widest columns give way, what has
// words goes on below, paths keep their ends, and wide characters count for what
// they take.
func TestTable(t *testing.T) {
	t.Parallel()
	x := table{indent: "  ", head: []string{"USER", "WHY", "PLACE"}}
	x.add("alice", "the user is in no entry of except", "/etc/security/polyinst/namespace.conf:12")
	x.add("日本語日本語", "it applies to everybody", "/etc/x.conf:1")
	lines := func(width int) (out []string) {
		for _, row := range x.layout(width) {
			out = append(out, row...)
		}
		return out
	}
	for width, want := range map[int]string{
		0: "  USER          WHY                                PLACE\n" +
			"  alice         the user is in no entry of except  /etc/security/polyinst/namespace.conf:12\n" +
			"  日本語日本語  it applies to everybody            /etc/x.conf:1",
		60: "  USER          WHY                    PLACE\n" +
			"  alice         the user is in no      …st/namespace.conf:12\n" +
			"                entry of except\n" +
			"  日本語日本語  it applies to          /etc/x.conf:1\n" +
			"                everybody",
	} {
		if got := strings.Join(lines(width), "\n"); got != want {
			t.Errorf("width %d:\n%s\nwant:\n%s", width, got, want)
		}
	}
	for width := 1; width < 200; width++ {
		for _, line := range lines(width) {
			if w := uniseg.StringWidth(line); w > max(width, narrowest+4) {
				t.Fatalf("width %d: %d columns: %s", width, w, line)
			}
		}
	}
	// every word of a reason is there, however many columns are beside it
	for i := range x.rows {
		x.rows[i] = append(x.rows[i], "0", "1777", "0s ago")
	}
	for width := 30; width < 200; width++ {
		text := strings.Join(strings.Fields(strings.Join(lines(width), " ")), " ")
		for _, word := range strings.Fields("the user is in no entry of except it applies to everybody") {
			if !strings.Contains(text, word) {
				t.Fatalf("width %d: %q is cut: %s", width, word, text)
			}
		}
	}
	if got := wrapped("see (/usr/lib/pam.d/systemd-user) there", 10); strings.Join(got, "") != "see(/usr/lib/pam.d/systemd-user)there" {
		t.Errorf("a wide word is not whole: %q", got)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for n, want := range []string{"0 entries", "1 entry", "2 entries"} {
		if got := number(n, "entry"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := number(2, "note"); got != "2 notes" {
		t.Error(got)
	}
}

// The bar comes when work has taken a moment, has the total, and is gone when a
// line is to be written.
func TestProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := &progress{what: "summing up", total: 4, out: &out, width: 80, now: func() time.Time { return now }, start: now}
	p.instance()
	if out.Len() > 0 {
		t.Errorf("shown at once: %q", out.String())
	}
	now = now.Add(patience)
	for range 64 {
		p.entry()
	}
	if text := out.String(); !strings.Contains(text, "summing up (64 entries)") || !strings.Contains(text, "1/4") {
		t.Errorf("no bar with the total: %q", text)
	}
	before := out.Len()
	p.instance()
	if out.Len() != before {
		t.Error("drawn again at once")
	}
	now = now.Add(patience)
	p.instance()
	if text := out.String()[before:]; !strings.Contains(text, "3/4") {
		t.Errorf("not drawn again: %q", text)
	}
	p.hide()
	if text := out.String(); !strings.HasSuffix(text, "\r") {
		t.Errorf("the line is not cleared: %q", text)
	}
	silent := &progress{what: "x", total: 1, now: p.now}
	silent.instance()
	silent.hide()
}

// What is written otherwise than to stdout of output.go could be lost in silence.
func TestAllIsWrittenInOnePlace(t *testing.T) {
	files, _ := filepath.Glob("*.go")
	for _, file := range files {
		if file == "output.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if found := regexp.MustCompile(`os\.Stdout|fmt\.Print(f|ln)?\(`).FindAll(data, -1); found != nil {
			t.Errorf("%s: %q", file, found)
		}
	}
}

// An error is one line and plays with no terminal, whatever name is in it; several are
// as many lines.
func TestWords(t *testing.T) {
	evil := &fs.PathError{Op: "open", Path: "/tmp/x\x1b]0;owned\a\npolyinst: all is well\u009b1m\xff\u2028é", Err: syscall.ELOOP}
	one := `open /tmp/x\x1b]0;owned\a\npolyinst: all is well\u009b1m` + "\ufffd" + `\u2028é: too many levels of symbolic links`
	for want, err := range map[string]error{
		one:                      evil,
		one + "\n" + one:         errors.Join(evil, nil, evil),
		one + "\n" + one + "\nx": errors.Join(errors.Join(evil, evil), errors.New("x")),
		one + "; " + one:         fmt.Errorf("%w; %w", evil, evil),
	} {
		if got := words(err); got != want {
			t.Errorf("%s\nwant\n%s", got, want)
		}
	}
}
