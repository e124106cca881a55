package pamstack

import (
	"fmt"
	"slices"
	"sort"

	"pam_polyinst/internal/core/config"
)

// Level says how bad a finding is.
type Level string

// The values of Level.
const (
	Error   Level = "error"   // sessions are refused, or get less than the configuration promises
	Warning Level = "warning" // something may surprise
	Note    Level = "note"    // worth knowing
)

// Finding is one remark on the stacks.
type Finding struct {
	Pos     Pos
	Level   Level
	Service string // empty: not of one service
	Message string
	// Passed: something before our line may end the stack or jump over the line,
	// and the session is then opened in the public directories.
	Passed bool
}

// String is FILE:LINE:1: level: message; an error has no word for its level.
func (f Finding) String() string {
	level := ""
	if f.Level != Error {
		level = string(f.Level) + ": "
	}
	return fmt.Sprintf("%s: %s%s", f.Pos, level, f.Message)
}

// Machine is what is judged: the stacks, and what else has a say in them.
type Machine struct {
	Stacks Dir
	Config *config.Config
	Main   string // the main file of Config; lines with another conf= go by another one
	Krb5   []File // krb5.conf(5), and what it may include
	Limits []File // limits.conf(5)
	// Units are the units of systemd with PAMName=, by their names.
	Units map[string]Unit
	// Daemons are the configurations of programs, by their services.
	Daemons map[string][]File
	Portal  bool // xdg-document-portal is installed
	// Compositor is one of Compositors that is installed; empty: none is.
	Compositor string
	Confined   bool // root has no CAP_SYS_RESOURCE: it cannot raise hard limits
	// Load says why libpam cannot load a module by the name that a line gives it;
	// empty: it can. Nil: nobody has looked.
	Load func(module string) string
	// Conf says why no session can be opened with the main file of a conf=
	// argument; empty: that file is in order. Nil: nobody has looked.
	Conf func(path string) string
}

// Check says what is wrong with our line in the stacks.
func Check(m Machine) []Finding {
	k := checker{Machine: m, seen: map[string]bool{}}
	var with, without []string
	for _, service := range services(m.Stacks) {
		if k.service(service) {
			with = append(with, service)
		} else if slices.Contains(usual, service) && !k.ofUnit(service) {
			without = append(without, service)
		}
	}
	k.units()
	k.otherTypes()
	k.unknownServices()
	without = slices.DeleteFunc(without, k.named(with))
	k.lacking(with, without)
	k.kerberos(m.Krb5)
	k.manager()
	sort.SliceStable(k.found, func(i, j int) bool {
		a, b := k.found[i].Pos, k.found[j].Pos
		if a.File != b.File {
			return a.File < b.File
		}
		return a.Line < b.Line
	})
	return k.found
}

type checker struct {
	Machine
	found []Finding
	seen  map[string]bool
}

// passed is add for what keeps our line from being reached.
func (k *checker) passed(pos Pos, service, format string, args ...any) {
	before := len(k.found)
	k.add(pos, Warning, service, format, args...)
	for i := range k.found[before:] {
		k.found[before+i].Passed = true
	}
}

// add notes a finding once, however many services include its line.
func (k *checker) add(pos Pos, level Level, service, format string, args ...any) {
	f := Finding{Pos: pos, Level: level, Service: service, Message: fmt.Sprintf(format, args...)}
	if key := f.String(); !k.seen[key] {
		k.seen[key] = true
		k.found = append(k.found, f)
	}
}

// service judges the session stack of a service; false: our line is not there.
func (k *checker) service(name string) bool {
	var faults []Finding
	stack := k.Stacks.Stack(name, "session", func(p Pos, what string) {
		if p.File == "" {
			return
		}
		faults = append(faults, Finding{Pos: p, Level: Error, Service: name, Message: what})
	})
	own := slices.IndexFunc(stack, Entry.opens)
	if k.mistyped(name, stack) && own < 0 {
		return true // it is our line
	}
	if own < 0 && len(faults) > 0 && slices.Contains(usual, name) {
		// our line may stand in what is not there
		for _, f := range faults {
			k.add(f.Pos, f.Level, f.Service, "%s", f.Message)
		}
		return true
	}
	if own < 0 {
		if i := slices.IndexFunc(stack, Entry.closes); i >= 0 {
			k.add(stack[i].Pos, Error, name, "service %q: no line opens a session, and users get the public directories: a line with \"close\" only cleans up; add `session required %s` at the end", name, Module)
			return true
		}
		return false
	}
	for _, f := range faults {
		k.add(f.Pos, f.Level, f.Service, "%s", f.Message)
	}
	k.line(name, stack[own])
	k.order(name, stack, own)
	k.skipped(name, stack, own)
	k.cleaned(name, stack, own)
	k.daemon(name, stack[own])
	k.greeter(name, stack[own])
	k.compositor(name, stack[own])
	for _, e := range stack[own+1:] {
		if e.closes() {
			k.add(e.Pos, Warning, name, "service %q: the line with \"close\" does nothing behind the line that opens the session (%s): move it to the top of the session part", name, stack[own].Pos)
		}
		if e.opens() {
			k.add(e.Pos, Warning, name, "service %q: %s stands at %s already: remove the second line: it gives nothing more, and with a mistake in it refuses each session", name, Module, stack[own].Pos)
			k.line(name, e)
		}
	}
	for i, e := range stack {
		if why := e.unknownControl(); why != "" && i != own {
			k.add(e.Pos, Error, name, "%s", why)
		}
		if e.Name() == peer {
			k.add(e.Pos, Error, name, "service %q: %s and %s (%s) in one stack: remove one of the two; `polyinst convert` translates its configuration", name, peer, Module, stack[own].Pos)
		}
	}
	return true
}

func (k *checker) rules(service string) []*config.Polydir {
	if k.Config == nil {
		return nil
	}
	var out []*config.Polydir
	for i := range k.Config.Polydirs {
		p := &k.Config.Polydirs[i]
		if len(p.Services) == 0 || slices.Contains(p.Services, service) {
			out = append(out, p)
		}
	}
	return out
}

func (k *checker) byContext(service string) bool {
	return slices.ContainsFunc(k.rules(service), (*config.Polydir).ByContext)
}

func (k *checker) usesHome(service string) bool {
	return slices.ContainsFunc(k.rules(service), func(p *config.Polydir) bool {
		return p.Path.Uses("HOME") || p.Prefix.Uses("HOME") || p.Source.Uses("HOME")
	})
}

// keepsHome is a polydir that covers the place of homes and shows the user's own.
func (k *checker) keepsHome(service string) *config.Polydir {
	for _, p := range k.rules(service) {
		if p.Path == "/home" && p.KeepsOwn() || slices.ContainsFunc(p.Keep, func(name string) bool { return config.Template(name).Uses("HOME") }) {
			return p
		}
	}
	return nil
}
