package convert

import (
	"strings"
)

// space are the characters of isspace(3) in the C locale.
const space = " \t\n\v\f\r"

func isSpace(c byte) bool { return strings.IndexByte(space, c) >= 0 }

// fields takes a line apart as pam_namespace does: none for an empty one.
func (t *table) fields() []string {
	text := strings.TrimLeft(t.source, space)
	text, comment, hasComment := strings.Cut(text, "#")
	if strings.Trim(text, space) == "" {
		return nil
	}
	fields, open := split(text)
	switch {
	case open && hasComment:
		t.remark("", `"#" begins a comment for pam_namespace even between quotes: %s is no part of the line`, quote(comment))
	case open:
		t.remark("", "a double quote is not closed: for pam_namespace it goes to the end of the line")
	case hasComment && !isSpace(text[len(text)-1]):
		t.remark("", `"#" begins a comment for pam_namespace even inside a word: %s is no part of the line`, quote(comment))
	}
	return fields
}

// split finds the words of a line: separated by white space, double quotes keep
// it, a backslash outside of them takes the next character as it is or makes it
// a line end (n), tab (t) or backspace (b). open: the last quote has no end.
func split(text string) (words []string, open bool) {
	var word []byte
	inWord := false
	end := func() {
		if inWord {
			words = append(words, string(word))
		}
		word, inWord = nil, false
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if !open && isSpace(c) {
			end()
			continue
		}
		inWord = true
		switch {
		case c == '"':
			open = !open
		case c == '\\' && !open && i+1 < len(text):
			i++
			word = append(word, escaped(text[i]))
		default:
			word = append(word, c)
		}
	}
	end()
	return words, open
}

func escaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	}
	return c
}
