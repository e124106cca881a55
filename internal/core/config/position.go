package config

import (
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The TOML library has values but not their positions. The scanner below walks over a
// text that the library has accepted and notes the offset of each key, table header and
// array element. The syntax is the library's concern: if the scanner is unsure, it
// moves on, and at worst a key gets the position of its table.
//
// It looks for one thing that the library lets pass: a key that is given twice, and
// was a table the first time (tmpfs.size = "1G", then tmpfs = "x").

// nodeKind says what made a node, which decides whether it may be met again.
type nodeKind int

const (
	implicitTable nodeKind = iota // only named on the way to another one
	dottedTable                   // made by a dotted key
	headedTable                   // has its own [header]
	tableArray                    // [[header]]
	writtenValue                  // key = value, to which nothing may be added, even if it is a table
)

// node is one key of the file, with what lies below it.
type node struct {
	off   int // byte offset of the key, header or element
	kind  nodeKind
	kids  map[string]*node
	elems []*node // of a tableArray, or of an array that is a value
}

func newNode(off int, kind nodeKind) *node { return &node{off: off, kind: kind} }

func (n *node) add(name string, kid *node) *node {
	if n.kids == nil {
		n.kids = map[string]*node{}
	}
	n.kids[name] = kid
	return kid
}

// kid is the node of a key below n, or n itself where the scanner did not
// see the key, so that there always is a position to point to.
func (n *node) kid(name string) *node {
	if k := n.kids[name]; k != nil {
		return k
	}
	return n
}

// elem is the node of the i-th element, or n itself.
func (n *node) elem(i int) *node {
	if i < len(n.elems) {
		return n.elems[i]
	}
	return n
}

// open is the table that a path leads into: of an array, its last element.
func (n *node) open() *node {
	if n.kind == tableArray && len(n.elems) > 0 {
		return n.elems[len(n.elems)-1]
	}
	return n
}

// duplicate is a key that was given before.
type duplicate struct {
	off int
	key string
}

// part is one part of a dotted key.
type part struct {
	name string
	off  int
}

func dotted(parts []part) string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return strings.Join(names, ".")
}

type scanner struct {
	text string
	i    int
	root *node
	path []part // the header in force
	dups []duplicate
}

// scan returns the tree of the keys of text, and the keys that were given twice.
func scan(text string) (*node, []duplicate) {
	s := scanner{text: text, root: newNode(0, headedTable)}
	table := s.root
	for {
		s.skipBlank()
		if s.i >= len(s.text) {
			return s.root, s.dups
		}
		start := s.i
		if s.text[s.i] == '[' {
			table = s.header()
		} else {
			s.keyValue(table, s.path)
		}
		if s.i == start {
			s.i++
		}
	}
}

// peek is the byte at the scanner, 0 at the end.
func (s *scanner) peek() byte {
	if s.i >= len(s.text) {
		return 0
	}
	return s.text[s.i]
}

func (s *scanner) skip(set string) {
	for s.i < len(s.text) && strings.IndexByte(set, s.text[s.i]) >= 0 {
		s.i++
	}
}

// skipBlank passes white space, line ends and comments.
func (s *scanner) skipBlank() {
	for {
		s.skip(" \t\r\n")
		if s.peek() != '#' {
			return
		}
		end := strings.IndexByte(s.text[s.i:], '\n')
		if end < 0 {
			s.i = len(s.text)
			return
		}
		s.i += end
	}
}

// header reads [a.b] or [[a.b]] and returns the table that it opens.
func (s *scanner) header() *node {
	off := s.i
	s.i++
	array := s.peek() == '['
	if array {
		s.i++
	}
	parts := s.dottedKey()
	s.skip(" \t]")
	s.path = parts
	if len(parts) == 0 {
		return s.root
	}
	parent, last := s.descend(s.root, nil, parts, implicitTable), parts[len(parts)-1].name
	if array {
		return s.arrayElement(parent, last, off)
	}
	return s.headed(parent, last, off)
}

func (s *scanner) arrayElement(parent *node, name string, off int) *node {
	list := parent.kids[name]
	switch {
	case list == nil:
		list = parent.add(name, newNode(off, tableArray))
	case list.kind != tableArray:
		s.twice(off, s.path)
	}
	elem := newNode(off, headedTable)
	list.elems = append(list.elems, elem)
	return elem
}

func (s *scanner) headed(parent *node, name string, off int) *node {
	table := parent.kids[name]
	switch {
	case table == nil:
		return parent.add(name, newNode(off, headedTable))
	case table.kind != implicitTable:
		s.twice(off, s.path)
	}
	table.kind, table.off = headedTable, off
	return table
}

// keyValue reads key = value into table; path leads to table.
func (s *scanner) keyValue(table *node, path []part) {
	parts := s.dottedKey()
	s.skip(" \t=")
	if len(parts) == 0 {
		s.value(newNode(s.i, writtenValue), path)
		return
	}
	full := append(path[:len(path):len(path)], parts...)
	parent, last := s.descend(table, path, parts, dottedTable), parts[len(parts)-1]
	if parent.kids[last.name] != nil {
		s.twice(last.off, full)
	}
	s.value(parent.add(last.name, newNode(parts[0].off, writtenValue)), full)
}

// descend goes from n, which has the path path, through all parts but the last, and
// makes the nodes that are missing.
func (s *scanner) descend(n *node, path, parts []part, made nodeKind) *node {
	for i, p := range parts[:len(parts)-1] {
		next := n.kids[p.name]
		if next == nil {
			next = n.add(p.name, newNode(parts[0].off, made))
		}
		if next.kind == writtenValue || made == dottedTable && next.kind == tableArray {
			s.twice(p.off, append(path[:len(path):len(path)], parts[:i+1]...))
		}
		n = next.open()
	}
	return n
}

func (s *scanner) twice(off int, key []part) {
	s.dups = append(s.dups, duplicate{off, dotted(key)})
}

// dottedKey reads the parts of a key.
func (s *scanner) dottedKey() []part {
	var parts []part
	for {
		s.skip(" \t")
		off := s.i
		name := s.simpleKey()
		if s.i == off {
			return parts
		}
		parts = append(parts, part{name, off})
		s.skip(" \t")
		if s.peek() != '.' {
			return parts
		}
		s.i++
	}
}

func (s *scanner) simpleKey() string {
	start := s.i
	switch s.peek() {
	case '"':
		s.passString()
		quoted := s.text[start:s.i]
		if name, err := strconv.Unquote(quoted); err == nil {
			return name
		}
		return quoted
	case '\'':
		s.passString()
		return strings.Trim(s.text[start:s.i], "'")
	}
	for s.i < len(s.text) && strings.IndexByte(" \t\r\n.=[]{}#,\"'", s.text[s.i]) < 0 {
		s.i++
	}
	return s.text[start:s.i]
}

// value passes one value and notes in n what is inside it.
func (s *scanner) value(n *node, path []part) {
	switch s.peek() {
	case '"', '\'':
		s.passString()
	case '[':
		s.array(n, path)
	case '{':
		s.table(n, path)
	default:
		for s.i < len(s.text) && strings.IndexByte(",]}#\n", s.text[s.i]) < 0 {
			s.i++
		}
	}
}

func (s *scanner) array(n *node, path []part) {
	s.i++
	for s.toNext(']') {
		elem := newNode(s.i, writtenValue)
		n.elems = append(n.elems, elem)
		start := s.i
		s.value(elem, path)
		if s.i == start {
			s.i++
		}
	}
}

func (s *scanner) table(n *node, path []part) {
	s.i++
	for s.toNext('}') {
		start := s.i
		s.keyValue(n, path)
		if s.i == start {
			s.i++
		}
	}
}

// toNext goes to the next element of an array or inline table; false at its
// end, which it passes.
func (s *scanner) toNext(end byte) bool {
	for {
		s.skipBlank()
		switch s.peek() {
		case ',':
			s.i++
		case end:
			if s.i < len(s.text) {
				s.i++
			}
			return false
		default:
			return s.i < len(s.text)
		}
	}
}

// passString passes a string of any of the four kinds.
func (s *scanner) passString() {
	quote := s.text[s.i]
	triple := strings.Repeat(string(quote), 3)
	if !strings.HasPrefix(s.text[s.i:], triple) {
		s.i++
		s.passTo(string(quote), quote == '"')
		return
	}
	s.i += 3
	s.passTo(triple, quote == '"')
	// The string itself may end in one or two quotes.
	for n := 0; n < 2 && s.peek() == quote; n++ {
		s.i++
	}
}

func (s *scanner) passTo(end string, escapes bool) {
	for s.i < len(s.text) {
		if strings.HasPrefix(s.text[s.i:], end) {
			s.i += len(end)
			return
		}
		if escapes && s.text[s.i] == '\\' {
			s.i++
		}
		s.i++
	}
	s.i = len(s.text)
}

// lines turns byte offsets of a text into positions.
type lines struct {
	file   string
	text   string
	starts []int
}

func newLines(file, text string) *lines {
	l := &lines{file: file, text: text, starts: []int{0}}
	for i := range len(text) {
		if text[i] == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

// at is the position of the character that has the byte at off.
func (l *lines) at(off int) Position {
	off = min(max(off, 0), len(l.text))
	for off > 0 && off < len(l.text) && !utf8.RuneStart(l.text[off]) {
		off--
	}
	line := sort.SearchInts(l.starts, off+1)
	col := utf8.RuneCountInString(l.text[l.starts[line-1]:off]) + 1
	return Position{File: l.file, Line: line, Col: col}
}
