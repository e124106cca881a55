// Package pamstack reads PAM stacks as Linux-PAM does (pam.conf(5)), and says
// what is wrong with where our line stands in them. It is pure: the files'
// bytes are arguments.
package pamstack

import (
	"fmt"
	"strconv"
	"strings"

	"pam_polyinst/internal/core/shellword"
)

// File is one file of a directory of PAM stacks.
type File struct {
	Path string // as messages show it
	Data []byte
}

// Dir are the files of /etc/pam.d, by their names, which are those of services
// and of what they include.
type Dir map[string]File

// Pos is a line of a file; a zero Line means the file as a whole.
type Pos struct {
	File string
	Line int
}

// String is FILE:LINE:1, or FILE alone.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":1"
}

// Entry is one line of a stack.
type Entry struct {
	Pos          Pos
	Type         string // auth, account, password or session
	MayBeMissing bool   // "-session": a missing module is no error
	Control      string // a word in lower case, or "[value=action ...]"
	Module       string // or the file that is included
	Args         []string

	sub int // the substack that it belongs to; lines of one count as one for a jump
}

// Name is the module without its directory, and without a carriage return, which
// libpam takes for a part of it.
func (e Entry) Name() string {
	return strings.TrimSuffix(e.Module[strings.LastIndexByte(e.Module, '/')+1:], "\r")
}

// Has reports whether the module has the argument.
func (e Entry) Has(arg string) bool {
	for _, a := range e.Args {
		if a == arg {
			return true
		}
	}
	return false
}

// line is a logical line: continuation lines are joined.
type line struct {
	number int // of its first physical line
	last   int // of its last physical line
	words  []string
}

// unfinished stands for the last physical line where a backslash is the
// last that the file has.
const unfinished = 0

// lines takes a file apart as libpam does: "#" begins a comment, a backslash at
// the end joins the next line, and [...] is one word.
func lines(data []byte) []line {
	var out []line
	var joined strings.Builder
	first := 0
	physical := strings.Split(string(data), "\n")
	for i, text := range physical {
		if first == 0 {
			first = i + 1
		}
		if i == len(physical)-1 && text == "" {
			break // no line stands behind the last end of a line
		}
		if hash := strings.IndexByte(text, '#'); hash >= 0 {
			text = text[:hash]
		}
		text = strings.TrimRight(text, " \t") // a carriage return is no blank to libpam
		if head, ok := strings.CutSuffix(text, "\\"); ok {
			joined.WriteString(head + " ")
			continue
		}
		joined.WriteString(text)
		if w := words(joined.String()); len(w) > 0 {
			out = append(out, line{first, i + 1, w})
		}
		joined.Reset()
		first = 0
	}
	if w := words(joined.String()); len(w) > 0 {
		out = append(out, line{first, unfinished, w})
	}
	return out
}

func words(text string) []string {
	var out []string
	for {
		text = strings.TrimLeft(text, " \t")
		if text == "" {
			return out
		}
		if text[0] == '[' {
			end := closing(text)
			out = append(out, strings.ReplaceAll(text[:end], `\]`, "]"))
			text = text[end:]
			continue
		}
		end := strings.IndexAny(text, " \t")
		if end < 0 {
			end = len(text)
		}
		out = append(out, text[:end])
		text = text[end:]
	}
}

// closing is the length of a word in brackets; "\]" does not end it.
func closing(text string) int {
	for i := 1; i < len(text); i++ {
		if text[i] == ']' && text[i-1] != '\\' {
			return i + 1
		}
	}
	return len(text)
}

// isType reports whether a word is a type of line.
func isType(word string) bool {
	word, _ = strings.CutPrefix(strings.ToLower(word), "-")
	return word == "auth" || word == "account" || word == "password" || word == "session"
}

// entry reads a line; ok is false where it is none that names a module.
func (l line) entry(file string) (e Entry, ok bool) {
	w := l.words
	if len(w) < 3 {
		return Entry{}, false
	}
	kind, mayBeMissing := strings.CutPrefix(strings.ToLower(w[0]), "-")
	if !isType(kind) {
		return Entry{}, false
	}
	e = Entry{Pos: Pos{file, l.number}, Type: kind, MayBeMissing: mayBeMissing, Control: w[1], Module: w[2]}
	if !strings.HasPrefix(e.Control, "[") {
		e.Control = strings.ToLower(e.Control)
	}
	for _, a := range w[3:] {
		if strings.HasPrefix(a, "[") && strings.HasSuffix(a, "]") {
			a = a[1 : len(a)-1]
		}
		e.Args = append(e.Args, a)
	}
	return e, true
}

// included is the file that a line includes, "@include FILE".
func (l line) included() (string, bool) {
	if len(l.words) >= 2 && l.words[0] == "@include" {
		return l.words[1], true
	}
	return "", false
}

// flattener puts together the stack of one service and type.
type flattener struct {
	dir   Dir
	kind  string // the type that is wanted
	out   []Entry
	subs  int
	fault func(Pos, string)
}

// Stack is the stack of a service, included files and all, in the order in
// which libpam runs it. What cannot be followed is told to fault.
func (d Dir) Stack(service, kind string, fault func(Pos, string)) []Entry {
	f := flattener{dir: d, kind: kind, fault: fault}
	f.file(service, Pos{}, nil, 0)
	return f.out
}

func (f *flattener) file(name string, from Pos, way []string, sub int) {
	name = strings.TrimPrefix(name, etc)
	for _, n := range way {
		if n == name {
			f.fault(from, strconv.Quote(name)+" is included in a circle: "+strings.Join(append(way, name), " -> "))
			return
		}
	}
	src, ok := f.dir[name]
	if !ok {
		f.fault(from, "includes "+strconv.Quote(name)+", which does not exist: libpam refuses the whole stack")
		return
	}
	way = append(way[:len(way):len(way)], name)
	for _, l := range lines(src.Data) {
		if other, ok := l.included(); ok {
			f.file(other, Pos{src.Path, l.number}, way, sub)
			continue
		}
		e, ok := l.entry(src.Path)
		if !ok || e.Type != f.kind {
			continue
		}
		switch e.Control {
		case "include":
			f.file(e.Module, e.Pos, way, sub)
		case "substack":
			f.subs++
			f.file(e.Module, e.Pos, way, f.subs)
		default:
			e.sub = sub
			f.out = append(f.out, e)
		}
	}
}

// fallback is the file that libpam takes for a service without one.
const fallback = "other"

// SessionLine is the first line of our module that opens sessions in the session
// stack of a service, and the file that libpam begins with; ok is false where there is no
// line. A service without a file has the stack of "other".
func (d Dir) SessionLine(service string) (e Entry, file string, ok bool) {
	if _, there := d[service]; !there {
		service = fallback
	}
	for _, e := range d.Stack(service, "session", func(Pos, string) {}) {
		if e.opens() {
			return e, d[service].Path, true
		}
	}
	return Entry{}, d[service].Path, false
}

// Borrowed says of a service without a file that it has the stack of "other", and how
// to give it one that our line can be put into; empty: it has one, or libpam refuses it.
func (d Dir) Borrowed(service string) string {
	other := d[fallback].Path
	if _, there := d[service]; there || other == "" {
		return ""
	}
	own := shellword.Quote(etc + service)
	return fmt.Sprintf(": libpam takes the stack of %q for it: `cp %s %s`, and then `polyinst enable %s`", fallback, shellword.Quote(other), own, shellword.Quote(service))
}

// Loaded is what libpam makes of the session stack of a service.
type Loaded struct {
	Line   Entry  // the first of ours that opens sessions, if libpam can load the module
	Active bool   // there is one
	File   string // that libpam begins with; empty: there is none
	// Refused says why libpam refuses every session, also root's, and LeftOut which
	// lines of ours it leaves out. Each reason begins with its position.
	Refused, LeftOut []string
}

// Load judges the lines of a service's session stack that are ours, or were meant
// to be, and what the stack includes. load is as Machine.Load, and daemons as
// Machine.Daemons.
func (d Dir) Load(service string, load func(module string) string, daemons map[string][]File) Loaded {
	program := service
	if _, there := d[service]; !there {
		service = fallback
	}
	out := Loaded{File: d[service].Path}
	stack := d.Stack(service, "session", func(p Pos, what string) {
		if p.File != "" {
			out.Refused = append(out.Refused, p.String()+": "+what)
		}
	})
	for _, e := range stack {
		if why := e.unknownControl(); why != "" {
			out.Refused = append(out.Refused, e.Pos.String()+": "+why)
		}
		if e.Name() != Module && !e.mistyped(load) {
			continue
		}
		switch why, leftOut := e.notLoaded(load); {
		case why == "":
			if e.opens() && !out.Active {
				out.Line, out.Active = e, true
			}
		case leftOut:
			out.LeftOut = append(out.LeftOut, e.Pos.String()+": "+why)
		default:
			out.Refused = append(out.Refused, e.Pos.String()+": "+why)
		}
	}
	// a program that asks libpam for no session gets none, whatever its stack says
	if pos, why := withoutSessions(program, daemons); why != "" {
		out.Refused, out.LeftOut, out.Active = nil, append(out.LeftOut, pos.String()+": "+why), false
	}
	return out
}
