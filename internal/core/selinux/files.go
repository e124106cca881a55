package selinux

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// FileKind is the second letter of the field that binds an entry to one type of
// file: "-d" is for directories only.
type FileKind byte

const (
	AnyKind     FileKind = 0 // an entry without the field; asked for: whatever kind it is
	Directory   FileKind = 'd'
	RegularFile FileKind = '-'
)

const (
	kinds   = "bcdpls-"
	noLabel = "<<none>>"
	// metachars make an entry a pattern, which counts less than a plain path.
	metachars = ".^$?*+|[({"
)

// fileNames are the files of FileContext in their order, for messages.
var fileNames = []string{"file_contexts", "file_contexts.homedirs", "file_contexts.local"}

// FileContext is the label that the policy wants for a path: found is false
// where no entry matches, or the one that does says <<none>>.
//
// fileContexts are file_contexts, .homedirs and .local, subs are .subs_dist and
// .subs: the last is the strongest. A plain path counts before a pattern, and
// among equals the later entry, whatever its length (selabel_file(5)).
//
// ignored are entries that might have decided if they could be read: a field
// is wrong, or the pattern is in a language that only PCRE speaks. They are
// worth a line in the log.
//
// A pattern must begin with letters that the path begins with too. So of one
// that has "|" outside of parentheses only the first half is looked for.
func FileContext(fileContexts, subs [][]byte, path string, kind FileKind) (ctx string, found bool, ignored []error) {
	if !strings.HasPrefix(path, "/") {
		return "", false, nil
	}
	s := search{path: substitute(subs, squeeze(path)), kind: kind}
	ctx = s.run(fileContexts)
	return ctx, ctx != "", s.ignored
}

// squeeze leaves one slash where there are many, and none at the end.
func squeeze(path string) string {
	for strings.Contains(path, "//") {
		path = strings.ReplaceAll(path, "//", "/")
	}
	if path == "/" {
		return path
	}
	return strings.TrimSuffix(path, "/")
}

// substitute names a path as the entries do: at most one replacement of its
// beginning from each file.
func substitute(subs [][]byte, path string) string {
	for _, file := range slices.Backward(subs) {
		for _, line := range backward(string(file)) {
			words := strings.FieldsFunc(line, isSpace)
			if len(words) < 2 || blank(words[0]) {
				continue
			}
			rest, ok := strings.CutPrefix(path, words[0])
			if !ok || rest != "" && rest[0] != '/' {
				continue
			}
			path = words[1] + rest
			if words[1] == "/" && rest != "" {
				path = rest
			}
			break
		}
	}
	return path
}

// backward goes through lines with their numbers, the last first.
func backward(text string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for i, line := range slices.Backward(strings.Split(text, "\n")) {
			if !yield(i+1, line) {
				return
			}
		}
	}
}

// entry is a line of a file whose pattern may match.
type entry struct {
	file    int
	number  int
	pattern string
	line    string
}

type search struct {
	path    string
	kind    FileKind
	ignored []error
}

// run is the label, empty if there is none. Patterns wait until no plain path
// has matched: few are ever compiled.
func (s *search) run(fileContexts [][]byte) string {
	var patterns []entry
	for i, file := range slices.Backward(fileContexts) {
		for number, line := range backward(string(file)) {
			line = strings.TrimLeftFunc(line, isSpace)
			if blank(line) || begins(line, s.path) == differs {
				continue
			}
			e := entry{i, number, firstWord(line), line}
			if !plain(e.pattern) {
				patterns = append(patterns, e)
			} else if ctx, ok := s.try(e); ok {
				return label(ctx)
			}
		}
	}
	for _, e := range patterns {
		if ctx, ok := s.try(e); ok {
			return label(ctx)
		}
	}
	return ""
}

func label(ctx string) string {
	if ctx == noLabel {
		return ""
	}
	return ctx
}

// try reports whether the entry decides.
func (s *search) try(e entry) (ctx string, ok bool) {
	ctx, kind, err := e.fields()
	if err == nil && kind != AnyKind && s.kind != AnyKind && kind != s.kind {
		return "", false
	}
	if err == nil {
		ok, err = matches(e.pattern, s.path)
	}
	if err != nil {
		name := fmt.Sprintf("file contexts %d", e.file+1)
		if e.file < len(fileNames) {
			name = fileNames[e.file]
		}
		s.ignored = append(s.ignored, fmt.Errorf("%s line %d: %w", name, e.number, err))
	}
	return ctx, ok
}

func (e entry) fields() (ctx string, kind FileKind, err error) {
	words := strings.FieldsFunc(e.line, isSpace)
	switch {
	case len(words) < 2:
		return "", 0, fmt.Errorf("no context for %q", e.pattern)
	case len(words) == 2:
		return words[1], AnyKind, nil
	}
	field := words[1]
	if len(field) != 2 || field[0] != '-' || strings.IndexByte(kinds, field[1]) < 0 {
		return "", 0, fmt.Errorf("%q is no type of file", field)
	}
	return words[2], FileKind(field[1]), nil
}

// plain reports whether a pattern counts as a path.
func plain(pattern string) bool {
	for i := 0; i < len(pattern); i++ {
		if pattern[i] == '\\' {
			i++
		} else if strings.IndexByte(metachars, pattern[i]) >= 0 {
			return false
		}
	}
	return true
}

type beginning int

const (
	differs beginning = iota // cannot match
	same                     // is the path, letter by letter
	unknown                  // only the regular expression can tell
)

// begins holds the letters that a pattern begins with against the path. There
// are thousands of patterns, and hardly one remains: they are not even cut out
// of their lines before.
func begins(line, path string) beginning {
	for i := 0; i < len(line) && !isSpace(rune(line[i])); {
		c, next := line[i], i+1
		switch {
		case c == '\\' && next < len(line) && escapable(line[next]):
			c, next = line[next], next+1
		case c == '\\' || c == ')' || strings.IndexByte(metachars, c) >= 0:
			return unknown
		}
		if next < len(line) && strings.IndexByte("?*{", line[next]) >= 0 {
			return unknown // the letter need not be there
		}
		if path == "" || path[0] != c {
			return differs
		}
		path, i = path[1:], next
	}
	if path != "" {
		return differs
	}
	return same
}

// escapable reports whether a letter behind a backslash is just that letter.
func escapable(c byte) bool {
	return !isSpace(rune(c)) && (c < '0' || '9' < c) && (c < 'A' || 'Z' < c) && (c < 'a' || 'z' < c)
}

// matches reports whether the pattern is the whole path. As in libselinux the
// anchors are put before and behind it, without parentheses, and a dot is any
// one byte.
func matches(pattern, path string) (bool, error) {
	if begins(pattern, path) == same {
		return true, nil
	}
	re, err := regexp.Compile("(?s)^" + bytewise(pattern) + "$")
	if err != nil {
		return false, fmt.Errorf("pattern %q is not understood: %w", pattern, err)
	}
	return re.MatchString(bytewise(path)), nil
}

// bytewise makes each byte a character, which is what a byte is to PCRE here.
func bytewise(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}
