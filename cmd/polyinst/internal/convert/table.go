package convert

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"pam_polyinst/internal/core/config"
)

// table is a [[polydir]] table in the making, from one line of pam_namespace's.
type table struct {
	c      *converter
	file   string
	line   int
	source string // the line

	rows     []*row
	above    []string // comments above the table
	refusals []string

	path, prefix string // as our language writes them; prefix is empty for tmpfs
	method       config.Method
	except, only []string
	shared       bool
	defaultFlags bool // nosuid and nodev are ours, not pam_namespace's
}

// row is a key with its value, as TOML, and the comments above it.
type row struct {
	key, value string
	notes      []string
}

func (t *table) row(key string) *row {
	for _, r := range t.rows {
		if r.key == key {
			return r
		}
	}
	return nil
}

func (t *table) set(key, value string) {
	if r := t.row(key); r != nil {
		r.value = value
		return
	}
	t.rows = append(t.rows, &row{key: key, value: value})
}

// comment says something in the file alone, above the key, or above the table
// if that is empty. A row is made for it if there is none.
func (t *table) comment(key, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if key == "" {
		t.above = append(t.above, text)
		return
	}
	if t.row(key) == nil {
		t.rows = append(t.rows, &row{key: key})
	}
	r := t.row(key)
	r.notes = append(r.notes, text)
}

// remark says something in the file and to the administrator.
func (t *table) remark(key, format string, args ...any) {
	t.comment(key, format, args...)
	t.c.remarks = append(t.c.remarks, Remark{File: t.file, Line: t.line, Text: fmt.Sprintf(format, args...)})
}

// refuse leaves a decision to the administrator.
func (t *table) refuse(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	t.refusals = append(t.refusals, text)
	t.c.remarks = append(t.c.remarks, Remark{File: t.file, Line: t.line, Text: text, Refused: true})
}

func (t *table) render(b *strings.Builder) {
	fmt.Fprintf(b, "# %s:%d: %s\n", printable(t.file), t.line, printable(strings.Trim(t.source, space)))
	for _, text := range t.above {
		writeComment(b, text)
	}
	b.WriteString("[[polydir]]\n")
	for _, text := range t.refusals {
		writeComment(b, "REFUSED: "+text)
	}
	if len(t.refusals) > 0 {
		writeRow(b, config.Undecided, "true")
	}
	for _, r := range t.rows {
		for _, text := range r.notes {
			writeComment(b, text)
		}
		if r.value != "" {
			writeRow(b, r.key, r.value)
		}
	}
}

func writeRow(b *strings.Builder, key, value string) {
	fmt.Fprintf(b, "%-15s = %s\n", key, value)
}

// lineWidth is where comments are broken.
const lineWidth = 100

func writeComment(b *strings.Builder, text string) {
	line := "#"
	for _, word := range strings.Split(printable(text), " ") {
		if len(line) > 1 && len(line)+1+len(word) > lineWidth {
			b.WriteString(line + "\n")
			line = "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}

// printable is s as a comment or a message can hold it: as it is, or with
// escapes.
func printable(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, odd) {
		return s
	}
	q := quote(s)
	return q[1 : len(q)-1]
}

func odd(r rune) bool { return r != '\t' && !unicode.IsPrint(r) }

// quote is s between double quotes, with all that is odd in it escaped.
func quote(s string) string { return fmt.Sprintf("%q", s) }

// tomlString writes a TOML basic string; see toml.io. What is not UTF-8 has no
// place in TOML and becomes U+FFFD: the caller has refused it.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsControl(r):
			fmt.Fprintf(&b, "\\u%04X", r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func tomlList(list []string) string {
	words := make([]string, len(list))
	for i, s := range list {
		words[i] = tomlString(s)
	}
	return "[" + strings.Join(words, ", ") + "]"
}
