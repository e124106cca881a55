package config

import (
	"fmt"
	"slices"
	"strings"
)

// The TOML library says what it met and what it wants, in the words of a parser.
// The hints below say what to write instead, for the mistakes that people make
// who write TOML seldom or have the other module's file before them.

// syntaxHint is the hint for a line in which the library met a mistake at the
// byte offset off; empty where none is known. message is the library's.
func syntaxHint(text string, off int, message string) string {
	off = min(max(off, 0), len(text))
	begin := strings.LastIndexByte(text[:off], '\n') + 1
	line, _, _ := strings.Cut(text[begin:], "\n")
	rest, _, _ := strings.Cut(text[off:], "\n")
	if strings.ContainsAny(line, "“”„‟‘’‚‛«»") {
		return `write straight quotes: "..."`
	}
	if peerLine(line) {
		return "this is a line of pam_namespace's configuration, which `polyinst convert` translates"
	}
	next := strings.TrimLeft(rest, " \t")
	switch {
	case strings.HasPrefix(next, "//"), strings.HasPrefix(next, ";"):
		return `a comment begins with "#"`
	case strings.HasPrefix(message, "expected value"):
		return valueHint(bareWord(rest))
	case strings.HasPrefix(message, "expected a top-level item") && strings.HasPrefix(next, ","):
		return `a list stands in brackets: ["a", "b"]`
	case strings.HasPrefix(message, "invalid integer"), strings.HasPrefix(message, "expected a top-level item"),
		strings.HasPrefix(message, "expected a comma"):
		// such as 1G, which begins like a number
		start := strings.LastIndexAny(text[begin:off], " \t=[{,") + 1
		return quoteHint(bareWord(text[begin+start:]))
	case strings.HasPrefix(message, "strings cannot contain newlines"):
		return "close the quotes in the line in which they begin"
	case strings.HasPrefix(message, "expected '.' or '='"), strings.HasPrefix(message, "unexpected EOF; expected key separator"):
		return "write KEY = VALUE"
	}
	return ""
}

// peerLine reports whether a line is one of pam_namespace's configuration: a
// polydir, a prefix and a method.
func peerLine(line string) bool {
	f := strings.Fields(line)
	if len(f) < 3 || !strings.ContainsAny(f[0][:1], "/$~") {
		return false
	}
	method, _, _ := strings.Cut(f[2], ":")
	return slices.Contains(methodWords, method)
}

// valueHint is what to write instead of a value without quotes.
func valueHint(word string) string {
	switch strings.ToLower(word) {
	case "":
		return ""
	case "true", "yes", "on":
		return "write true"
	case "false", "no", "off":
		return "write false"
	}
	return quoteHint(word)
}

func quoteHint(word string) string {
	if word == "" || strings.ContainsAny(word, "\"'\\") || hasControl(word) {
		return ""
	}
	return fmt.Sprintf("write it in quotes: \"%s\"", word)
}

// bareWord is the value without quotes that s begins with.
func bareWord(s string) string {
	if i := strings.IndexAny(s, " \t\r,]}#"); i >= 0 {
		s = s[:i]
	}
	return s
}
