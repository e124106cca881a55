package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// maxFile bounds the size of one file: far more than any configuration needs,
// and far less than what would make the TOML library's recursion dangerous.
const maxFile = 256 << 10

const bom = "\xef\xbb\xbf"

// Parse checks the main file with its drop-ins, in the order given. It reports
// all problems of all files at once, and then returns no Config.
func Parse(main Source, dropins []Source) (*Config, Problems) {
	c := &Config{Namespace: defaultNamespace()}
	var problems Problems
	for i, src := range append([]Source{main}, dropins...) {
		f := &file{lines: newLines(src.Name, strings.TrimPrefix(string(src.Data), bom))}
		f.read(c, i == 0)
		problems = append(problems, f.sorted()...)
	}
	problems = merge(problems, checkDuplicates(c.Polydirs))
	problems = merge(problems, checkTimeouts(c))
	problems = merge(problems, checkNone(c, main.Name))
	problems = merge(problems, checkKept(c))
	if len(problems) == 0 && len(c.Polydirs) == 0 && !c.Namespace.NoPolydirs {
		problems = Problems{{Pos: Position{File: main.Name}, Message: "no polydir, neither here nor in a drop-in: sessions would see the public directories",
			Hint: "write a [[polydir]] table, or polydirs = \"none\" in [namespace] if that is meant"}}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// checkKept refuses an overlay whose changes several mounts would have at a time.
func checkKept(c *Config) Problems {
	var problems Problems
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		if p.Method != MethodOverlay || p.DropChanges || p.Prefix == "" || c.Namespace.Scope == ScopeUser {
			continue
		}
		problems = append(problems, Problem{Pos: p.KeyPos["method"], Polydir: string(p.Path),
			Message: "method: an overlay's changes can be in one mount at a time, which all sessions of a user share",
			Hint:    "write scope = \"user\" in [namespace], or keep_changes = false here"})
	}
	return problems
}

// checkNone refuses polydirs = "none" in a main file that has some. Drop-ins may
// add to a main file of a package.
func checkNone(c *Config, main string) Problems {
	i := slices.IndexFunc(c.Polydirs, func(p Polydir) bool { return p.Pos.File == main })
	if !c.Namespace.NoPolydirs || i < 0 {
		return nil
	}
	return Problems{{Pos: c.Namespace.Set["polydirs"], Message: "namespace: polydirs: \"none\" contradicts the polydir at " + c.Polydirs[i].Pos.String(),
		Hint: "remove this line"}}
}

// sorted returns the problems by position; those of one position by their text,
// so that the order never depends on a map's.
func (f *file) sorted() Problems {
	sort.SliceStable(f.problems, func(i, j int) bool {
		a, b := f.problems[i], f.problems[j]
		if a.Pos != b.Pos {
			return before(a.Pos, b.Pos)
		}
		return a.Error() < b.Error()
	})
	return f.problems
}

func before(a, b Position) bool {
	return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col
}

// merge puts each problem of late where it belongs among those of its file.
func merge(problems, late Problems) Problems {
	for _, p := range late {
		at := len(problems)
		for i, q := range problems {
			if q.Pos.File == p.Pos.File && before(p.Pos, q.Pos) {
				at = i
				break
			}
			if q.Pos.File == p.Pos.File {
				at = i + 1
			}
		}
		problems = append(problems[:at:at], append(Problems{p}, problems[at:]...)...)
	}
	return problems
}

// read adds what the file says to c.
func (f *file) read(c *Config, isMain bool) {
	top, problem := decode(f.lines)
	if problem != nil {
		f.problems = append(f.problems, *problem)
		return
	}
	tree, dups := scan(f.lines.text)
	s := &section{file: f}
	for _, d := range dups {
		s.refuseAt(f.lines.at(d.off), &fault{fmt.Sprintf("key %q is given twice", d.key), "leave one of the two out"})
	}
	for _, key := range sortedKeys(top) {
		n := tree.kid(key)
		switch key {
		case "namespace":
			f.readNamespace(c, isMain, top[key], n)
		case "polydir":
			f.readPolydirs(c, top[key], n)
		default:
			s.refuse(n, unknownTop(key))
		}
	}
}

func (f *file) readNamespace(c *Config, isMain bool, raw any, n *node) {
	if !isMain {
		s := &section{file: f}
		s.refuse(n, faulty("namespace: only the main file may have this table"))
		return
	}
	c.Namespace = readNamespace(f, raw, n)
}

func (f *file) readPolydirs(c *Config, raw any, n *node) {
	list, ok := anySlice(raw)
	if !ok {
		s := &section{file: f}
		s.refuse(n, &fault{"polydir: found " + typeName(raw) + ", want an array of tables",
			"write [[polydir]] with double brackets"})
		return
	}
	for i, elem := range list {
		c.Polydirs = append(c.Polydirs, readPolydir(f, elem, n.elem(i)))
	}
}

// unknownTop is the problem of a key outside of any table, where keys of the
// tables end up that were written above their header.
func unknownTop(key string) *fault {
	f := unknownKey(key, key, "", []string{"polydir", "namespace"})
	if f.hint != "" {
		return f
	}
	switch {
	case find(polydirFields, key) != nil:
		f.hint = "write it below a [[polydir]] header"
	case find(namespaceFields, key) != nil:
		f.hint = "write it below the [namespace] header"
	default:
		f.hint = cmp.Or(suggest(key, append(names(polydirFields), names(namespaceFields)...)), allKeys)
	}
	return f
}

// decode reads the text by the TOML library.
func decode(l *lines) (top map[string]any, problem *Problem) {
	whole := Position{File: l.file}
	if len(l.text) > maxFile {
		return nil, &Problem{Pos: whole, Message: fmt.Sprintf("%d bytes long, want at most %d", len(l.text), maxFile)}
	}
	if off := invalidUTF8(l.text); off >= 0 {
		return nil, &Problem{Pos: l.at(off), Message: "not UTF-8", Hint: "save the file as UTF-8"}
	}
	// The library panics where it finds a mistake of its own. That is this
	// file's problem, not the login's.
	defer func() {
		if r := recover(); r != nil {
			top, problem = nil, &Problem{Pos: whole, Message: fmt.Sprintf("TOML: the parser failed: %q", fmt.Sprint(r))}
		}
	}()
	_, err := toml.Decode(l.text, &top)
	if err != nil {
		return nil, syntaxProblem(l, err)
	}
	return top, nil
}

func invalidUTF8(text string) int {
	if utf8.ValidString(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}

// syntaxProblem puts an error of the TOML library into our form.
func syntaxProblem(l *lines, err error) *Problem {
	var pe toml.ParseError
	if !errors.As(err, &pe) {
		return &Problem{Pos: Position{File: l.file}, Message: "TOML: " + strconv.Quote(err.Error())}
	}
	if key, ok := definedTwice(pe.Message); ok {
		p := &Problem{Pos: l.at(pe.Position.Start), Message: fmt.Sprintf("key %q is given twice", key), Hint: "leave one of the two out"}
		if line := l.text[l.starts[p.Pos.Line-1]:]; strings.HasPrefix(strings.TrimLeft(line, " \t"), "[") {
			p.Message, p.Hint = fmt.Sprintf("the table %q begins a second time", key), "put the keys of both into one"
		}
		return p
	}
	message := sentence(pe.Message)
	return &Problem{Pos: l.at(pe.Position.Start), Message: "TOML: " + message, Hint: syntaxHint(l.text, pe.Position.Start, message)}
}

// definedTwice finds the key in the library's message about a second one.
func definedTwice(message string) (string, bool) {
	key, ok := strings.CutPrefix(message, "Key '")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(key, "' has already been defined.")
}

// sentence is a message of the library as our messages are written: on one
// line, lower case, without a full stop.
func sentence(message string) string {
	message = strings.Join(strings.Fields(message), " ")
	message = strings.TrimSuffix(message, ".")
	if len(message) > 1 && lower(message[1]) == message[1] {
		message = string(lower(message[0])) + message[1:]
	}
	quoted := strconv.Quote(message)
	if strings.ContainsFunc(message, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return quoted
	}
	return message
}

// checkDuplicates refuses a polydir that is there twice. Two may share a path if no
// service can meet both, or if one has an only list: then it is known only when a user
// comes whether both apply.
func checkDuplicates(polydirs []Polydir) Problems {
	var problems Problems
	for i := range polydirs {
		for j := range i {
			first, second := &polydirs[j], &polydirs[i]
			if first.Path == "" || first.Path != second.Path || mayShare(first, second) {
				continue
			}
			pos, ok := second.KeyPos["path"]
			if !ok {
				pos = second.Pos
			}
			problems = append(problems, Problem{
				Pos: pos, Polydir: string(second.Path),
				Message: "path: there is this polydir already at " + first.KeyPos["path"].String(),
			})
			break
		}
	}
	return problems
}

func mayShare(a, b *Polydir) bool {
	return len(a.Only) > 0 || len(b.Only) > 0 || disjoint(a.Services, b.Services)
}

// disjoint is false where one list is empty: no services means all of them.
func disjoint(a, b []string) bool {
	for _, x := range a {
		for _, y := range b {
			if x == y {
				return false
			}
		}
	}
	return len(a) > 0 && len(b) > 0
}

// checkTimeouts refuses an init_timeout that the whole call would cut short.
func checkTimeouts(c *Config) Problems {
	var problems Problems
	whole := c.Namespace.Timeout
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		if pos, ok := p.KeyPos["init_timeout"]; ok && p.InitTimeout > whole {
			problems = append(problems, tooLong(p, pos, whole))
		}
	}
	return problems
}

func tooLong(p *Polydir, pos Position, whole time.Duration) Problem {
	return Problem{
		Pos: pos, Polydir: string(p.Path),
		Message: fmt.Sprintf("init_timeout: %q is longer than the whole call may take, which is %q", short(p.InitTimeout), short(whole)),
		Hint:    "raise timeout in [namespace]",
	}
}
