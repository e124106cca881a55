package pamstack

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/internal/core/shellword"
)

// Change is what becomes of one file of a directory of stacks.
type Change struct {
	Name     string // of the file, and of the service
	From     string // the path at which it was read
	Old, New []byte
}

// peer does the same job in another way.
const peer = "pam_namespace.so"

// etc is the directory of the stacks that an administrator may change.
const etc = "/etc/pam.d/"

// closeLine cleans up in the host's view for modules that stand before ours.
const closeLine = "session optional " + Module + " close"

// Enable puts a line of ours into the session stack of each service that has
// none. covered are the services that have one already, or have it by another
// service's file. Nil for instead: pam_namespace in a stack is refused; else it
// gives the text of a file with ours instead of pam_namespace's line.
func (d Dir) Enable(services []string, text string, instead func(File) ([]byte, error)) (changes []Change, covered map[string]Entry, err error) {
	now := d.clone()
	covered = map[string]Entry{}
	for _, name := range d.includedFirst(services) {
		if e, ok := now.Opening(name); ok {
			covered[name] = e
			continue
		}
		c, err := now.one(name, text, instead)
		if err != nil {
			return nil, nil, err
		}
		now[name] = File{etc + name, c.New}
		changes = append(changes, c)
	}
	return changes, covered, nil
}

func (d Dir) one(name, text string, instead func(File) ([]byte, error)) (Change, error) {
	f := d[name]
	i, other := d.peer(name)
	switch {
	case i < 0:
		return d.insert(name, text)
	case instead == nil:
		return Change{}, fmt.Errorf("service %q: pam_namespace.so stands at %s, and does not go into one stack with pam_polyinst.so: `polyinst convert` translates its configuration, and `polyinst enable --convert %s` then puts pam_polyinst.so in its place",
			name, other.Pos, shellword.Quote(name))
	case other.Pos.File != f.Path:
		return Change{}, fmt.Errorf("service %q: pam_namespace.so stands in another file, %s: `polyinst enable --convert` with the name of that file", name, other.Pos)
	}
	text2, err := instead(f)
	return Change{name, f.Path, f.Data, text2}, err
}

// peer is where pam_namespace stands in the session stack of a service; -1:
// nowhere.
func (d Dir) peer(name string) (int, Entry) {
	stack := d.Stack(name, "session", func(Pos, string) {})
	i := slices.IndexFunc(stack, func(e Entry) bool { return e.Name() == peer })
	if i < 0 {
		return i, Entry{}
	}
	return i, stack[i]
}

// Disable takes our lines out of the files of the services. elsewhere are the
// services that have a line all the same, which stands in a file that they
// include, or that a program writes.
func (d Dir) Disable(services []string) (changes []Change, elsewhere map[string]Entry) {
	now := d.clone()
	elsewhere = map[string]Entry{}
	for _, name := range services {
		f := now[name]
		if own := remove(f.Data); !bytes.Equal(own, f.Data) {
			changes = append(changes, Change{name, f.Path, f.Data, own})
			now[name] = File{etc + name, own}
		}
	}
	for _, name := range services {
		if e, ok := now.Opening(name); ok {
			elsewhere[name] = e
		}
	}
	return changes, elsewhere
}

// With are the stacks after the changes.
func (d Dir) With(changes []Change) Dir {
	now := d.clone()
	for _, c := range changes {
		now[c.Name] = File{etc + c.Name, c.New}
	}
	return now
}

// In are the stacks as they are written to another directory, which libpam is then
// given. It takes what a file includes from /etc/pam.d all the same (1.5.2), unless
// that is named by its path.
func (d Dir) In(dir string) Dir {
	now := Dir{}
	for name, f := range d {
		all := bytes.SplitAfter(f.Data, []byte("\n"))
		var out []byte
		next := 0 // of the physical lines, the first that is not in out yet
		for _, l := range lines(f.Data) {
			at := 1 // the word that names a file
			if _, ok := l.included(); !ok {
				e, ok := l.entry(f.Path)
				if !ok || e.Control != "include" && e.Control != "substack" {
					continue
				}
				at = 2
			}
			words := slices.Clone(l.words)
			words[at] = dir + "/" + strings.TrimPrefix(words[at], etc)
			out = append(out, bytes.Join(all[next:l.number-1], nil)...)
			out = append(out, strings.Join(words, " ")+"\n"...)
			if next = l.last; next == unfinished {
				next = len(all)
			}
		}
		now[name] = File{dir + "/" + name, append(out, bytes.Join(all[next:], nil)...)}
	}
	return now
}

// Reaching are the services whose session stack one of the files is part of, in
// order.
func (d Dir) Reaching(files []string) []string {
	var out []string
	for _, s := range services(d) {
		if slices.ContainsFunc(files, func(f string) bool { return slices.Contains(d.files(s), f) }) {
			out = append(out, s)
		}
	}
	return out
}

// Names are the names of the files, in order.
func (d Dir) Names() []string {
	var out []string
	for name := range d {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (d Dir) clone() Dir {
	out := Dir{}
	for name, f := range d {
		out[name] = f
	}
	return out
}

// Opening is the line of ours by which sessions of a service are opened. What
// "other" has counts for nobody else here: a file is to be changed.
func (d Dir) Opening(name string) (Entry, bool) {
	stack := d.Stack(name, "session", func(Pos, string) {})
	if i := slices.IndexFunc(stack, Entry.opens); i >= 0 {
		return stack[i], true
	}
	return Entry{}, false
}

// includedFirst puts a service behind those of the others that its stack
// includes: with their line it needs none of its own.
func (d Dir) includedFirst(services []string) []string {
	var out []string
	left := slices.Compact(slices.Sorted(slices.Values(services)))
	for len(left) > 0 {
		next := slices.IndexFunc(left, func(name string) bool {
			return !slices.ContainsFunc(left, func(other string) bool { return other != name && slices.Contains(d.files(name), other) })
		})
		next = max(next, 0) // they include one another, which check reports
		out = append(out, left[next])
		left = slices.Delete(left, next, next+1)
	}
	return out
}

// files are the file of a service and those that its session stack includes.
func (d Dir) files(name string) []string {
	found := []string{name}
	for i := 0; i < len(found); i++ {
		f := d[found[i]]
		for _, l := range lines(f.Data) {
			other, ok := l.included()
			if e, isEntry := l.entry(f.Path); isEntry && e.Type == "session" && (e.Control == "include" || e.Control == "substack") {
				other, ok = e.Module, true
			}
			other = strings.TrimPrefix(other, etc)
			if ok && !slices.Contains(found, other) {
				found = append(found, other)
			}
		}
	}
	return found
}

// part is a logical line of a file, with what it brings into the session stack.
type part struct {
	line
	session bool // it is of the session part
	entries []Entry
}

func (d Dir) parts(name string) []part {
	f := d[name]
	var out []part
	for _, l := range lines(f.Data) {
		p := part{line: l}
		if other, ok := l.included(); ok {
			p.entries = d.Stack(strings.TrimPrefix(other, etc), "session", func(Pos, string) {})
			p.session = len(p.entries) > 0
		} else if e, ok := l.entry(f.Path); ok && e.Type == "session" {
			p.session = true
			p.entries = []Entry{e}
			if e.Control == "include" || e.Control == "substack" {
				p.entries = d.Stack(e.Module, "session", func(Pos, string) {})
			}
		}
		out = append(out, p)
	}
	return out
}

// insert puts a line behind the last one of the session part of a file, and where
// a module before it has to take something back in the host's view, a second line
// in front of that one.
func (d Dir) insert(name, text string) (Change, error) {
	f, ok := d[name]
	if !ok {
		return Change{}, fmt.Errorf("there is no PAM stack %q", name)
	}
	parts := d.parts(name)
	end := -1
	for i, p := range parts {
		if p.session {
			end = i
		}
	}
	if end < 0 && !slices.Contains(services(d), name) {
		// whoever is told to give it a session part changes the stacks of them all
		return Change{}, fmt.Errorf("%q is no service: other stacks include %s, which has no session line: name one of these", name, f.Path)
	}
	if end < 0 {
		return Change{}, fmt.Errorf("service %q: %s has no session line, so that the session part of \"other\" counts: put `session include other` into it first", name, f.Path)
	}
	if last := parts[len(parts)-1]; last.last == unfinished {
		return Change{}, fmt.Errorf("%s: ends in a backslash: remove it", Pos{f.Path, last.number})
	}
	at := behindBlock(f.Data, parts[end].last)
	out := putBehind(f.Data, at, text)
	if first := uncleaned(parts[:end+1]); first >= 0 {
		out = putBehind(out, beforeBlock(f.Data, parts[first].number)-1, closeLine)
	}
	return Change{name, f.Path, f.Data, out}, nil
}

// uncleaned is the first part with a module that closes in the session's view, and
// that no line of ours with "close" stands before; -1: there is none.
func uncleaned(parts []part) int {
	for i, p := range parts {
		for _, e := range p.entries {
			if e.closes() {
				return -1
			}
			if _, ok := cleaners[e.Name()]; ok {
				return i
			}
		}
	}
	return -1
}

// The comments between which pam-auth-update(8) writes; what stands before and
// behind them is the administrator's.
const (
	blockBegin = "# here are the per-package modules"
	blockEnd   = "# end of pam-auth-update config"
)

// block are the first and the last physical line of what pam-auth-update writes.
func block(data []byte) (begin, end int, ok bool) {
	for i, text := range strings.Split(string(data), "\n") {
		switch {
		case begin == 0 && strings.HasPrefix(text, blockBegin):
			begin = i + 1
		case begin > 0 && strings.HasPrefix(text, blockEnd):
			return begin, i + 1, true
		}
	}
	return 0, 0, false
}

// InBlock is the first line of ours that pam-auth-update(8) has written.
func (f File) InBlock() (Pos, bool) {
	begin, end, ok := block(f.Data)
	for _, l := range lines(f.Data) {
		if e, isEntry := l.entry(f.Path); ok && isEntry && e.Name() == Module && begin < l.number && l.number < end {
			return e.Pos, true
		}
	}
	return Pos{}, false
}

func behindBlock(data []byte, number int) int {
	if begin, end, ok := block(data); ok && begin < number && number < end {
		return end
	}
	return number
}

func beforeBlock(data []byte, number int) int {
	if begin, end, ok := block(data); ok && begin < number && number < end {
		return begin
	}
	return number
}

// putBehind puts a line behind the physical line of that number; 0: before the first.
// If the last line has no end, the new last line has none either, as remove expects.
func putBehind(data []byte, number int, text string) []byte {
	all := bytes.SplitAfter(data, []byte("\n"))
	head, tail := bytes.Join(all[:number], nil), bytes.Join(all[number:], nil)
	if number > 0 && !bytes.HasSuffix(head, []byte("\n")) {
		return slices.Concat(head, []byte("\n"+text))
	}
	return slices.Concat(head, []byte(text+"\n"), tail)
}

// remove takes out all lines of our module, and is the inverse of insert.
func remove(data []byte) []byte {
	all := bytes.SplitAfter(data, []byte("\n"))
	var out []byte
	next := 0 // of the physical lines, the first that is not in out yet
	for _, l := range lines(data) {
		e, ok := l.entry("")
		if !ok || e.Name() != Module {
			continue
		}
		end := l.last
		if end == unfinished {
			end = len(all)
		}
		out = append(out, bytes.Join(all[next:l.number-1], nil)...)
		next = end
		if next == len(all) && !bytes.HasSuffix(data, []byte("\n")) {
			out = bytes.TrimSuffix(out, []byte("\n"))
		}
	}
	if next == 0 {
		return data
	}
	return append(out, bytes.Join(all[next:], nil)...)
}

// Ours reports whether a file has a line of ours.
func Ours(data []byte) bool { return !bytes.Equal(remove(data), data) }

// WithoutOurs is the text of a file without our lines.
func WithoutOurs(data []byte) []byte { return remove(data) }
