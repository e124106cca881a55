package pamstack

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"pam_polyinst/internal/core/config"
)

// otherTypes finds our module where it has nothing to do.
func (k *checker) otherTypes() {
	for name, f := range k.Stacks {
		for _, l := range lines(f.Data) {
			e, ok := l.entry(f.Path)
			switch {
			case ok && e.Name() == Module && e.Type != "session":
				k.add(e.Pos, Error, name, "type %q: the module knows only \"session\", and libpam refuses the line", e.Type)
			case !ok && slices.ContainsFunc(l.words, func(w string) bool { return strings.HasSuffix(w, Module) }):
				does := "libpam refuses the stack because of it"
				if !isType(l.words[0]) {
					does = "libpam takes it for one of type \"auth\" that fails"
				}
				k.add(Pos{f.Path, l.number}, Error, name, "this is no PAM line, and %s: want \"session required %s\"", does, Module)
			}
		}
	}
}

// unknownServices finds services of the configuration that have no stack.
func (k *checker) unknownServices() {
	if k.Config == nil {
		return
	}
	for _, p := range k.Config.Polydirs {
		for _, name := range p.Services {
			if _, ok := k.Stacks[name]; !ok {
				at := p.KeyPos["services"]
				k.add(Pos{at.File, at.Line}, Warning, name, "polydir %q: services names %q, which has no PAM stack here", p.Path, name)
			}
		}
	}
	n := k.Config.Namespace
	for name := range n.NestedBy {
		if _, ok := k.Stacks[name]; !ok {
			at := n.Set["nested."+name]
			k.add(Pos{at.File, at.Line}, Warning, name, "nested names %q, which has no PAM stack here", name)
		}
	}
}

// named tells of services that a polydir says it is for, and whose stack has no
// line of ours, while others have. It reports which services it has told of.
func (k *checker) named(with []string) func(service string) bool {
	told := map[string]bool{}
	if k.Config == nil || len(with) == 0 {
		return func(string) bool { return false }
	}
	for _, p := range k.Config.Polydirs {
		for _, name := range p.Services {
			_, there := k.Stacks[name]
			if _, file, ok := k.Stacks.SessionLine(name); there && !ok {
				at := p.KeyPos["services"]
				k.add(Pos{at.File, at.Line}, Error, name, "polydir %q: services names %q, whose session stack (%s) has no `session required %s`: its sessions see the public %s", p.Path, name, file, Module, p.Path)
				told[name] = true
			}
		}
	}
	return func(service string) bool { return told[service] }
}

// lacking names the usual services without our line: their sessions see the
// public directories, and files of one kind of session are not there in the
// other.
func (k *checker) lacking(with, without []string) {
	if k.Config == nil || len(k.Config.Polydirs) == 0 {
		return
	}
	if len(with) == 0 {
		k.add(Pos{File: k.anyFile()}, Warning, "", "no session stack has `session required %s`: nobody gets a private directory", Module)
		return
	}
	for _, service := range without {
		rules := k.rules(service)
		if len(rules) == 0 {
			continue
		}
		k.add(Pos{File: k.Stacks[service].Path}, Warning, service, "no `session required %s`: sessions of %q see %s%s", Module, service, public(rules), meaning(service, rules))
	}
}

// public says what sessions see that these polydirs do not reach.
func public(rules []*config.Polydir) string {
	var paths, seen []string
	for _, p := range rules {
		if p.Method == config.MethodProc {
			seen = append(seen, "all processes")
		} else {
			paths = append(paths, string(p.Path))
		}
	}
	if len(paths) > 0 {
		seen = append([]string{"the public " + strings.Join(paths, ", ")}, seen...)
	}
	return strings.Join(seen, " and ")
}

// unattended are the services by which users start programs without logging in.
var unattended = []string{"systemd-user", "cron", "crond", "atd"}

// ofUnit reports whether a unit of systemd opens sessions of the service.
func (k *checker) ofUnit(service string) bool {
	for _, u := range k.Units {
		if u.Service == service {
			return true
		}
	}
	return false
}

// privateTmp names a unit that cannot start: systemd mounts what it has made in
// the public directory for the unit after the session was opened, by its path.
func (k *checker) privateTmp(name string, line Pos) {
	unit := k.Units[name]
	if !unit.PrivateTmp && !unit.Dynamic {
		return
	}
	var paths []string
	for _, p := range k.rules(unit.Service) {
		if path := string(p.Path); (path == "/tmp" || path == "/var/tmp") && !unit.exempt(p) &&
			!slices.ContainsFunc(p.Keep, func(name string) bool { return config.Matches(name, privateDir) }) {
			paths = append(paths, path)
		}
	}
	if len(paths) > 0 {
		k.add(line, Warning, unit.Service, "the unit %s (PAMName=%s, PrivateTmp=yes) does not start (226/NAMESPACE): what systemd has made for it is in the public %s: say keep = [%q] there",
			name, unit.Service, strings.Join(paths, ", "), "systemd-private-*")
	}
}

// units names the units whose sessions see the public directories, because the
// stack that PAMName= names has no line of ours.
func (k *checker) units() {
	if k.Config == nil || len(k.Config.Polydirs) == 0 {
		return
	}
	names := make([]string, 0, len(k.Units))
	for name := range k.Units {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, unit := range names {
		service := k.Units[unit].Service
		line, file, ok := k.Stacks.SessionLine(service)
		if ok {
			k.privateTmp(unit, line.Pos)
			continue
		}
		rules := k.rules(service)
		if len(rules) == 0 {
			continue
		}
		if file == "" {
			file = k.anyFile()
		}
		k.add(Pos{File: file}, Warning, service, "no `session required %s`: the unit %s (PAMName=%s) sees %s%s%s", Module, unit, service, public(rules), meaning(service, rules), k.Stacks.Borrowed(service))
	}
}

// meaning says of some services what it means that their sessions go without these
// polydirs.
func meaning(service string, rules []*config.Polydir) string {
	if service != "systemd-user" && !slices.ContainsFunc(rules, (*config.Polydir).MakesDirectory) {
		return "" // no files are missed
	}
	return why[service]
}

var why = map[string]string{
	"systemd-user": " (everything that the user's systemd starts: desktop programs, timers, D-Bus services)",
	"cron":         " (jobs do not find the user's files, and write theirs where everybody sees them)",
	"crond":        " (jobs do not find the user's files, and write theirs where everybody sees them)",
	"atd":          " (jobs do not find the user's files, and write theirs where everybody sees them)",
}

// anyFile is the directory of the stacks, for a remark on all of them.
func (k *checker) anyFile() string {
	dir := ""
	for _, f := range k.Stacks {
		// the first in order: of /etc/pam.d and the vendor's, the former
		if i := strings.LastIndexByte(f.Path, '/'); i > 0 && (dir == "" || f.Path[:i] < dir) {
			dir = f.Path[:i]
		}
	}
	return cmp.Or(dir, "/etc/pam.d")
}
