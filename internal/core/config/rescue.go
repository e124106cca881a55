package config

import (
	"slices"
	"strings"
)

// RescueOf is the rescue list of a main file that may be broken: that of its
// [namespace] table, if there is one that has no problem by itself and that no
// later part of the file could speak of. Nil: there is none to go by.
//
// Of a file that is no TOML, only what stands before the table with the mistake
// is looked at, and only if that is TOML by itself.
func RescueOf(main Source) *UserList {
	l := newLines(main.Name, strings.TrimPrefix(string(main.Data), bom))
	top, problem := decode(l)
	if problem != nil {
		if top, l = intact(l, *problem); top == nil {
			return nil
		}
	}
	raw, ok := top["namespace"]
	if !ok {
		return nil
	}
	tree, dups := scan(l.text)
	if slices.ContainsFunc(dups, func(d duplicate) bool { return strings.HasPrefix(d.key, "namespace") }) {
		return nil
	}
	f := &file{lines: l}
	n := readNamespace(f, raw, tree.kid("namespace"))
	if len(f.problems) > 0 {
		return nil
	}
	return &n.Rescue
}

// intact is what stands before the header of the table in which the mistake lies; nil
// if that is not clear, or if what follows may be about [namespace]. The parser meets a
// list or string without an end only later. So intact goes backwards from the mistake,
// to the first header before which all is TOML.
func intact(l *lines, p Problem) (map[string]any, *lines) {
	tries := 16
	for line := min(p.Pos.Line, len(l.starts)); line >= 1 && tries > 0; line-- {
		start := l.starts[line-1]
		if !strings.HasPrefix(strings.TrimLeft(l.text[start:], " \t"), "[") {
			continue
		}
		if namesNamespace(l.text[start:]) {
			return nil, nil
		}
		before := newLines(l.file, l.text[:start])
		if top, problem := decode(before); problem == nil {
			return top, before
		}
		tries--
	}
	return nil, nil
}

// namesNamespace reports whether a line of the text begins with the word, as a
// key or header would.
func namesNamespace(text string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimLeft(line, " \t[\"'"), "namespace") {
			return true
		}
	}
	return false
}

// MayNameContexts reports whether a file that may be broken could have a polydir
// of method "level" or "context".
func MayNameContexts(files []Source) bool {
	for _, f := range files {
		for line := range strings.Lines(string(f.Data)) {
			line, _, _ = strings.Cut(line, "#")
			if strings.Contains(line, string(MethodLevel)) || strings.Contains(line, string(MethodContext)) {
				return true
			}
		}
	}
	return false
}
