package shellword

import (
	"os/exec"
	"testing"
)

// The shell reads what was quoted as it was, and as one word.
func TestQuoteAll(t *testing.T) {
	if got := QuoteAll([]string{"su", "a b", ""}); got != "su 'a b' ''" {
		t.Error(got)
	}
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"/var/lib/polyinst/tmp/alice": "/var/lib/polyinst/tmp/alice",
		"alice@example.org":           "alice@example.org",
		"müller":                      "müller",
		"":                            "''",
		`DOM\alice`:                   `'DOM\alice'`,
		"/home/alice b":               "'/home/alice b'",
		"it's":                        `'it'\''s'`,
		"$HOME":                       "'$HOME'",
		"`id`; rm -rf *":              "'`id`; rm -rf *'",
		"~root":                       "'~root'",
		"{a,b}#!?[x]":                 "'{a,b}#!?[x]'",
		"line\nanother":               `$'line\012another'`,
		"\x1b[31m it's \\ red":        `$'\033[31m it\'s \\ red'`,
		"no \xff UTF-8":               `$'no \377 UTF-8'`,
		"from right \u202e to left":   `$'from right \342\200\256 to left'`,
	} {
		if got := Quote(s); got != want {
			t.Errorf("Quote(%q) = %s, want %s", s, got, want)
		}
		out, err := exec.Command("bash", "-c", `printf '%s|' a `+Quote(s)+" b").Output()
		if err != nil || string(out) != "a|"+s+"|b|" {
			t.Errorf("the shell reads %s as %q (%v), want %q", Quote(s), out, err, s)
		}
	}
}
