package hostconn

import (
	"strings"
	"testing"
)

// A line for the log is one line, whatever a user put into it.
func TestClip(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                     "plain",
		"two\nlines":                "two?lines",
		"\x1b[31mred\x07\x7f":       "?[31mred??",
		"c1 \u0085 and \u2028 here": "c1 ? and ? here",
		"umlaut ä":                  "umlaut ä",
	} {
		if got := clip(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	if got := clip(strings.Repeat("x", 9000)); len(got) > textMax+10 || !strings.HasSuffix(got, "(cut)") {
		t.Errorf("%d bytes", len(got))
	}
}

func TestParseRequest(t *testing.T) {
	got := ParseRequest([]byte("user=alice\x00arg=debug\x00arg=conf=/x\x00junk\x00"))
	if len(got) != 2 || got["user"][0] != "alice" || len(got["arg"]) != 2 || got["arg"][1] != "conf=/x" {
		t.Error(got)
	}
}
