// Package convert turns the configuration of pam_namespace, Linux-PAM's
// pam_namespace, into ours, and its PAM lines too. It is pure: bytes and facts
// about the machine in, text and remarks out.
//
// namespace.conf(5) and pam_namespace(8) of Linux-PAM describe that language. If its
// code does something else, the code counts, because a host is to go on as it was.
// Convert refuses what our language cannot say, and what was probably a slip, for the
// administrator to decide: the text then does not load, so that a file that is only
// half converted leaves nobody without instances.
package convert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/internal/core/config"
)

// Remark is something about a line that the administrator should know.
type Remark struct {
	File    string // empty: about the conversion as a whole
	Line    int    // from 1; 0: about the file
	Refused bool   // the text does not load until they have decided
	Text    string
}

func (r Remark) String() string {
	text := r.Text
	if r.Refused {
		text = "refused: " + text
	}
	switch {
	case r.File == "":
		return text
	case r.Line == 0:
		return printable(r.File) + ": " + text
	}
	return fmt.Sprintf("%s:%d: %s", printable(r.File), r.Line, text)
}

// Result is converted text and what there is to say about it.
type Result struct {
	Text    string
	Remarks []Remark
}

// Refused reports whether something was refused.
func (r Result) Refused() bool {
	for _, m := range r.Remarks {
		if m.Refused {
			return true
		}
	}
	return false
}

// Account is an account as the directory knows it.
type Account struct {
	Name    string   // the canonical spelling
	UID     uint32   // by which pam_namespace compares
	Aliases []string // other accounts with the same UID
}

// Answer is what the directory says of a name.
type Answer int

// The values of Answer.
const (
	Unknown Answer = iota // it was not asked, or could not be
	Absent
	Present
)

// Script is the state of a script.
type Script int

// The values of Script.
const (
	ScriptAbsent Script = iota
	ScriptRuns
	ScriptNotExecutable
)

// Facts are about the machine whose sessions pam_namespace serves. A function that
// is nil knows nothing.
type Facts struct {
	Account func(name string) (Account, Answer)
	Group   func(name string) Answer
	// InitScript is the script of lines that name none: the one in /etc, else
	// the vendor's; empty: neither is there.
	InitScript string
	// Script tells the state of a script; nil: every one runs.
	Script func(path string) Script
	// Exposed says why others than root can create names on the way to a
	// directory; empty: they cannot.
	Exposed func(dir string) string
	// Owner is the owner and group of a directory, as USER:GROUP; empty: there
	// is none.
	Owner func(dir string) string
	// Parents is the directory below which all instance parents are to lie;
	// empty: they stay where they are.
	Parents string
}

func (f Facts) account(name string) (Account, Answer) {
	if f.Account == nil {
		return Account{}, Unknown
	}
	return f.Account(name)
}

func (f Facts) group(name string) Answer {
	if f.Group == nil {
		return Unknown
	}
	return f.Group(name)
}

func (f Facts) owner(dir string) string {
	if f.Owner == nil || strings.Contains(dir, "$") {
		return ""
	}
	return f.Owner(dir)
}

func (f Facts) script(path string) Script {
	if f.Script == nil {
		return ScriptRuns
	}
	return f.Script(path)
}

// header holds the differences that no line can be blamed for.
const header = `# Configuration of pam_polyinst, made by "polyinst convert" from one of
# pam_namespace. polyinst-namespace.conf(5) describes every key.
#
# What is different whatever a line says:
# - an instance is named after the canonical name of the account, that of
#   pam_namespace after the name as typed; an existing one of that name is
#   used on.
# - an existing instance is verified: a wrong type, owner or file system refuses
#   the session.
# - a fault of the configuration or of the host lets root in without instances
#   (rescue, below); pam_namespace denies everybody.
# - an init script that fails, or takes longer than 10 s, refuses the session;
#   pam_namespace ignores its exit status and waits for ever.
# - polydirs inside others are mounted after these, in whichever order they
#   stand; instance parents are looked up in the host's view.
# - instance parents are made by "polyinst prepare", not by the first login.

[namespace]
rescue = ["root"]
`

// Config converts pam_namespace's configuration: the main file and the drop-ins, in
// the order in which pam_namespace reads them. Either the text is one that
// config.Parse accepts, or something was refused and it is one that
// config.Parse refuses.
func Config(files []config.Source, facts Facts) Result {
	c := &converter{facts: facts, taken: map[string]bool{}}
	for _, f := range files {
		c.file(f)
	}
	c.relations()
	text := c.render()
	c.remarks = append(c.general(), inOrder(c.remarks, files)...)
	c.prove(text)
	return Result{Text: text, Remarks: c.remarks}
}

// converter collects the tables of all files.
type converter struct {
	facts   Facts
	tables  []*table
	remarks []Remark
	taken   map[string]bool // names below facts.Parents that are taken
}

func (c *converter) file(src config.Source) {
	rest := string(src.Data)
	for n := 1; rest != ""; n++ {
		var text string
		text, rest, _ = strings.Cut(rest, "\n")
		// to pam_namespace a line is a C string
		text, behind, hasNUL := strings.Cut(text, "\x00")
		t := &table{c: c, file: src.Name, line: n, source: text}
		if hasNUL {
			t.remark("", "pam_namespace reads a line up to its NUL, and so is %s ignored", quote(behind))
		}
		if fields := t.fields(); len(fields) > 0 {
			t.read(fields)
			c.tables = append(c.tables, t)
		}
	}
}

// inOrder sorts remarks by their positions.
func inOrder(remarks []Remark, files []config.Source) []Remark {
	order := map[string]int{}
	for i, f := range files {
		order[f.Name] = i
	}
	slices.SortStableFunc(remarks, func(a, b Remark) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line))
	})
	return remarks
}

// general are the remarks that would otherwise stand at every line.
func (c *converter) general() []Remark {
	var list []Remark
	add := func(text string) { list = append(list, Remark{Text: text}) }
	if c.any(func(t *table) bool { return t.defaultFlags }) {
		add("every instance gets nosuid and nodev, which pam_namespace does not set: mount_options is the key to change that")
	}
	if c.any(func(t *table) bool { return t.row("init") != nil }) {
		add("the init script runs at every login, as pam_namespace does it; for a home directory skel = true does what pam_namespace's own script is for, and init_when = \"new\" is enough for most others")
	}
	return list
}

func (c *converter) any(is func(*table) bool) bool {
	for _, t := range c.tables {
		if is(t) {
			return true
		}
	}
	return false
}

// prove holds Config to its promise: what none of the rules here foresaw is a
// refusal with the words of config.Parse.
func (c *converter) prove(text string) {
	for _, r := range c.remarks {
		if r.Refused {
			return
		}
	}
	_, problems := config.Parse(config.Source{Name: "converted", Data: []byte(text)}, nil)
	for _, p := range problems {
		c.remarks = append(c.remarks, Remark{Refused: true, Text: p.Error()})
	}
}

func (c *converter) render() string {
	var b strings.Builder
	b.WriteString(header)
	if len(c.tables) == 0 {
		b.WriteString("\n# pam_namespace's configuration has no polydir: that is meant here, and no mistake\npolydirs = \"none\"\n")
	}
	for _, t := range c.tables {
		b.WriteString("\n")
		t.render(&b)
	}
	return b.String()
}
