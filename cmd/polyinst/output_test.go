package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"
)

// A table is no wider than the terminal: the widest columns give way, paths
// keep their ends, and wide characters count for what they take.
func TestTable(t *testing.T) {
	t.Parallel()
	x := table{indent: "  ", head: []string{"USER", "WHY", "PLACE"}}
	x.add("alice", "the user is in no entry of except", "/etc/security/polyinst/namespace.conf:12")
	x.add("日本語日本語", "it applies to everybody", "/etc/x.conf:1")
	for width, want := range map[int]string{
		0: "  USER          WHY                                PLACE\n" +
			"  alice         the user is in no entry of except  /etc/security/polyinst/namespace.conf:12\n" +
			"  日本語日本語  it applies to everybody            /etc/x.conf:1",
		60: "  USER          WHY                    PLACE\n" +
			"  alice         the user is in no en…  …st/namespace.conf:12\n" +
			"  日本語日本語  it applies to everyb…  /etc/x.conf:1",
	} {
		lines := x.lines(width)
		if got := strings.Join(lines, "\n"); got != want {
			t.Errorf("width %d:\n%s\nwant:\n%s", width, got, want)
		}
	}
	for width := 1; width < 200; width++ {
		for _, line := range x.lines(width) {
			if w := uniseg.StringWidth(line); w > max(width, narrowest) {
				t.Fatalf("width %d: %d columns: %s", width, w, line)
			}
		}
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
