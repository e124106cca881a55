// Package shellword writes names as words of the shell, for the commands that
// messages name: whoever reads such a message copies the command.
package shellword

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// QuoteAll are words that the shell reads as the names, with spaces between them.
func QuoteAll(names []string) string {
	words := make([]string, len(names))
	for i, name := range names {
		words[i] = Quote(name)
	}
	return strings.Join(words, " ")
}

// Quote is a word that the shell reads as s: s itself where nothing in it means
// anything to a shell, else s in single quotes. Where a terminal or a log would not
// show what is in s, it is $'...', which not every sh knows (bash, ksh and zsh do).
func Quote(s string) string {
	switch {
	case s != "" && !strings.ContainsFunc(s, special):
		return s
	case utf8.ValidString(s) && !strings.ContainsFunc(s, hidden):
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '\'' || r == '\\':
			b.WriteString(`\` + s[:n])
		case r == utf8.RuneError && n == 1, hidden(r):
			for _, c := range []byte(s[:n]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String() + "'"
}

// special reports whether a character may mean something to a shell, somewhere in
// a word.
func special(r rune) bool {
	return r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("/._-+,:@%=", r)
}

func hidden(r rune) bool { return !unicode.IsPrint(r) }
