package config

import (
	"cmp"
	"fmt"
	"sort"
	"strconv"
	"time"
)

// file is one configuration file while it is read.
type file struct {
	lines    *lines
	problems Problems
}

// section is the table that a value belongs to, as messages name it.
type section struct {
	*file
	polydir string // path of the polydir, as the file writes it
	prefix  string // "namespace: " or empty
}

// refuse records a problem at the position of n.
func (s *section) refuse(n *node, f *fault) { s.refuseAt(s.lines.at(n.off), f) }

func (s *section) refuseAt(pos Position, f *fault) {
	s.problems = append(s.problems, Problem{
		Pos: pos, Polydir: s.polydir, Message: s.prefix + f.message, Hint: f.hint,
	})
}

// value is one key's value, or one element of an array.
type value struct {
	*section
	key  string // as messages name it, such as tmpfs.size
	raw  any
	node *node
}

func (v value) pos() Position { return v.lines.at(v.node.off) }

// refuse records what is wrong with the value.
func (v value) refuse(f *fault) {
	v.section.refuse(v.node, &fault{v.key + ": " + f.message, f.hint})
}

func (v value) refusef(format string, args ...any) {
	v.refuse(faulty(fmt.Sprintf(format, args...)))
}

// wrongType records that the value is not of the wanted type.
func (v value) wrongType(want, example string) {
	v.refuse(&fault{"found " + typeName(v.raw) + ", want " + want, "such as " + example})
}

func typeName(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date or time"
	case []any, []map[string]any:
		return "an array"
	case map[string]any:
		return "a table"
	}
	return "something else"
}

func (v value) text(example string) (string, bool) {
	s, ok := v.raw.(string)
	if !ok {
		v.wrongType("a string", example)
	}
	return s, ok
}

func (v value) boolean(to *bool) {
	b, ok := v.raw.(bool)
	if !ok {
		v.wrongType("true or false", v.bareKey()+" = true")
		return
	}
	*to = b
}

// count reads an integer of at least 0.
func (v value) count(example string, to *uint64) {
	n, ok := v.raw.(int64)
	if !ok {
		v.wrongType("an integer", example)
		return
	}
	if n < 0 {
		v.refusef("%d is negative", n)
		return
	}
	*to = uint64(n)
}

// list returns the elements of an array of strings that are strings; the
// others are problems. A string that stands twice is one too.
func (v value) list(example string) ([]value, bool) {
	elems, ok := anySlice(v.raw)
	if !ok {
		v.wrongType("a list of strings", example)
		return nil, false
	}
	seen := map[string]bool{}
	var list []value
	for i, raw := range elems {
		e := value{v.section, v.key, raw, v.node.elem(i)}
		s, ok := e.text(example)
		switch {
		case !ok:
		case seen[s]:
			e.refusef("%q is listed twice", s)
		default:
			seen[s] = true
			list = append(list, e)
		}
	}
	return list, true
}

func anySlice(raw any) ([]any, bool) {
	switch l := raw.(type) {
	case []any:
		return l, true
	case []map[string]any:
		elems := make([]any, len(l))
		for i, t := range l {
			elems[i] = t
		}
		return elems, true
	}
	return nil, false
}

// oneOf reads one of the words of an enumeration.
func (v value) oneOf(words []string) (string, bool) {
	s, ok := v.text(fmt.Sprintf("%s = %q", v.bareKey(), words[0]))
	if !ok {
		return "", false
	}
	for _, w := range words {
		if s == w {
			return s, true
		}
	}
	v.refuse(&fault{fmt.Sprintf("unknown value %q, want %s", s, oneOfList(words)), suggest(s, words)})
	return "", false
}

// oneOfList is "a", "a or b", "one of a, b, c".
func oneOfList(words []string) string {
	if len(words) == 1 {
		return strconv.Quote(words[0])
	}
	if len(words) == 2 {
		return strconv.Quote(words[0]) + " or " + strconv.Quote(words[1])
	}
	return "one of " + commas(words)
}

// bareKey is the key without the table before it: what the administrator writes.
func (v value) bareKey() string {
	for i := len(v.key) - 1; i >= 0; i-- {
		if v.key[i] == '.' {
			return v.key[i+1:]
		}
	}
	return v.key
}

// field is one key of a table: its name and what reads its value into T.
type field[T any] struct {
	name string
	read func(*T, value)
}

func names[T any](fields []field[T]) []string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return list
}

// readTable gives each key of table to its field. Keys without a field are
// problems; seen, if not nil, is told the position of every known key.
func readTable[T any](s *section, under string, table map[string]any, n *node, fields []field[T], to *T, seen func(string, Position)) {
	for _, key := range sortedKeys(table) {
		v := value{s, under + key, table[key], n.kid(key)}
		f := find(fields, key)
		if f == nil {
			f := unknownKey(under+key, key, under, names(fields))
			f.hint = cmp.Or(f.hint, allKeys)
			if key == Undecided && under == "" {
				f = &fault{key + ": `polyinst convert` could not decide about this table", "do as the comments above it say, and remove the line"}
			}
			s.refuse(v.node, f)
			continue
		}
		if seen != nil {
			seen(under+key, v.pos())
		}
		f.read(to, v)
	}
}

func find[T any](fields []field[T], name string) *field[T] {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

// unknownKey is the problem of a key that is none of known. under is the table
// in front of the key, as in tmpfs.
func unknownKey(full, key, under string, known []string) *fault {
	f := &fault{message: fmt.Sprintf("unknown key %q", full)}
	if best := meantKey(key, under, known); best != "" {
		f.hint = didYouMean(under + best)
	}
	return f
}

// meantKey is the one of known that an unknown key was perhaps meant to be; empty:
// it resembles none.
func meantKey(key, under string, known []string) string {
	best := Nearest(key, known)
	if best == "" && under == "" {
		best = peerWord(key)
	}
	return best
}

// Undecided is the key that `polyinst convert` writes where it could not decide:
// a file with it does not load.
const Undecided = "undecided"

// allKeys is the hint for a word that resembles no key.
const allKeys = "polyinst-namespace.conf(5) has all keys"

// peerWord knows words of pam_namespace and likely ones that are too far from ours
// for the edit distance.
func peerWord(key string) string {
	switch key {
	case "mntopts", "options":
		return "mount_options"
	case "iscript", "init_script":
		return "init"
	case "exempt", "exclude":
		return "except"
	case "without_selinux":
		return "without_context"
	case "prefix", "instance", "instance_dir":
		return "instance_prefix"
	case "polydir", "dir", "directory":
		return "path"
	}
	return ""
}

func sortedKeys(table map[string]any) []string {
	keys := make([]string, 0, len(table))
	for k := range table {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// under reads the value as a table, such as tmpfs = { size = "1G" }.
func under[T any](v value, example string, fields []field[T], to *T, seen func(string, Position)) bool {
	table, ok := v.raw.(map[string]any)
	if !ok {
		v.wrongType("a table", example)
		return false
	}
	if len(table) == 0 {
		v.refusef("empty, want at least one of %s", commas(names(fields)))
		return false
	}
	readTable(v.section, v.key+".", table, v.node, fields, to, seen)
	return true
}
