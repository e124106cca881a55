package pamstack

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"pam_polyinst/internal/config"
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
}

// String is FILE:LINE:1: level: message; an error has no word for its level.
func (f Finding) String() string {
	level := ""
	if f.Level != Error {
		level = string(f.Level) + ": "
	}
	return fmt.Sprintf("%s: %s%s", f.Pos, level, f.Message)
}

// Module is our module's name in a stack.
const Module = "pam_polyinst.so"

// usual are the services whose sessions people expect to see the same files.
var usual = []string{"login", "sshd", "su", "su-l", "sudo", "sudo-i", "systemd-user", "cron", "crond", "atd",
	"gdm-password", "gdm-autologin", "lightdm", "sddm", "xdm", "remote"}

// Machine is what is judged: the stacks, and what else has a say in them.
type Machine struct {
	Stacks Dir
	Config *config.Config
	Krb5   []File // krb5.conf(5), in the order in which they are read
	Limits []File // limits.conf(5)
}

// Check says what is wrong with our line in the stacks.
func Check(m Machine) []Finding {
	k := checker{dir: m.Stacks, config: m.Config, limits: m.Limits, seen: map[string]bool{}}
	var with, without []string
	for _, service := range services(m.Stacks) {
		if k.service(service) {
			with = append(with, service)
		} else if slices.Contains(usual, service) {
			without = append(without, service)
		}
	}
	k.otherTypes()
	k.unknownServices()
	k.lacking(with, without)
	k.kerberos(m.Krb5)
	sort.SliceStable(k.found, func(i, j int) bool {
		a, b := k.found[i].Pos, k.found[j].Pos
		if a.File != b.File {
			return a.File < b.File
		}
		return a.Line < b.Line
	})
	return k.found
}

// Services are those whose session stack has our line, in order.
func Services(dir Dir) []string {
	var out []string
	for _, s := range services(dir) {
		stack := dir.Stack(s, "session", func(Pos, string) {})
		if slices.ContainsFunc(stack, func(e Entry) bool { return e.Name() == Module }) {
			out = append(out, s)
		}
	}
	return out
}

// services are the files that no other includes.
func services(dir Dir) []string {
	parts := map[string]bool{}
	for _, f := range dir {
		for _, l := range lines(f.Data) {
			if other, ok := l.included(); ok {
				parts[strings.TrimPrefix(other, "/etc/pam.d/")] = true
			} else if e, ok := l.entry(f.Path); ok && (e.Control == "include" || e.Control == "substack") {
				parts[strings.TrimPrefix(e.Module, "/etc/pam.d/")] = true
			}
		}
	}
	var out []string
	for name := range dir {
		// su includes nothing but is included by su-l: it is a service none the less
		if !parts[name] || slices.Contains(usual, name) {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

type checker struct {
	dir    Dir
	config *config.Config
	limits []File
	found  []Finding
	seen   map[string]bool
}

// add notes a finding once, however many services include its line.
func (k *checker) add(pos Pos, level Level, service, format string, args ...any) {
	f := Finding{pos, level, service, fmt.Sprintf(format, args...)}
	if key := f.String(); !k.seen[key] {
		k.seen[key] = true
		k.found = append(k.found, f)
	}
}

// service judges the session stack of a service; false: our line is not there.
func (k *checker) service(name string) bool {
	var faults []Finding
	stack := k.dir.Stack(name, "session", func(p Pos, what string) {
		if p.File == "" {
			return
		}
		faults = append(faults, Finding{p, Error, name, what})
	})
	own := slices.IndexFunc(stack, func(e Entry) bool { return e.Name() == Module })
	if own < 0 {
		return false
	}
	for _, f := range faults {
		k.add(f.Pos, f.Level, f.Service, "%s", f.Message)
	}
	k.line(name, stack[own])
	k.order(name, stack, own)
	k.skipped(name, stack, own)
	for _, e := range stack[own+1:] {
		if e.Name() == Module {
			k.add(e.Pos, Warning, name, "service %q: %s stands at %s already: the second line does nothing", name, Module, stack[own].Pos)
		}
	}
	for _, e := range stack {
		if e.Name() == "pam_namespace.so" {
			k.add(e.Pos, Error, name, "service %q: pam_namespace.so and %s (%s) in one stack: remove one of the two; `polyinst convert` translates its configuration", name, Module, stack[own].Pos)
		}
	}
	return true
}

// line judges our line itself.
func (k *checker) line(service string, e Entry) {
	args, err := config.ParseArgs(e.Args)
	if err != nil {
		k.add(e.Pos, Error, service, "PAM line: %v", err)
	}
	if e.Quiet {
		k.add(e.Pos, Warning, service, "\"-session\": where the module is missing, sessions see the public directories in silence: write \"session\"")
	}
	switch {
	case e.Control == "required", e.Control == "requisite":
	case e.Control == "optional", e.Control == "sufficient":
		k.add(e.Pos, Error, service, "control %q: a refused session is opened all the same, in the public directories: write \"required\"", e.Control)
	case strings.HasPrefix(e.Control, "["):
		if a := action(e.Control, "session_err"); a == "ignore" || a == "ok" || a == "done" {
			k.add(e.Pos, Error, service, "control %q: a refused session (session_err) is opened all the same, in the public directories: write \"required\"", e.Control)
		}
	default:
		k.add(e.Pos, Error, service, "unknown control %q: libpam refuses the whole stack; want \"required\"", e.Control)
	}
	if args.RequireSELinux && !k.byContext(service) {
		k.add(e.Pos, Note, service, "require_selinux, but no polydir has method \"level\" or \"context\"")
	}
}

// action is what a control in brackets does with a return value; "bad" where
// nothing is said, as libpam has it.
func action(control, value string) string {
	def := "bad"
	for _, pair := range strings.Fields(strings.Trim(control, "[]")) {
		k, v, _ := strings.Cut(pair, "=")
		switch k {
		case value:
			return v
		case "default":
			def = v
		}
	}
	return def
}

// order judges what stands before and behind our line.
func (k *checker) order(service string, stack []Entry, own int) {
	us := stack[own]
	args, _ := config.ParseArgs(us.Args)
	at := func(match func(Entry) bool) int { return slices.IndexFunc(stack, match) }
	opens := at(func(e Entry) bool { return e.Name() == "pam_selinux.so" && !e.Has("close") })
	if k.byContext(service) && !args.UseCurrentContext && !args.UseDefaultContext {
		switch {
		case opens > own:
			k.add(us.Pos, Error, service, "service %q: method \"level\" or \"context\" before `pam_selinux.so open`: %s", service, place(us, stack[opens]))
		case opens < 0:
			k.add(us.Pos, Warning, service, "service %q: method \"level\" or \"context\", but no `pam_selinux.so open` in this stack: where SELinux is on, each session is refused; put it before this line, or say use_default_context", service)
		}
	}
	hat := at(func(e Entry) bool { return e.Name() == "pam_apparmor.so" })
	if hat > own && slices.ContainsFunc(k.rules(service), func(p *config.Polydir) bool { return p.Method == config.MethodContext }) {
		k.add(us.Pos, Warning, service, "service %q: method \"context\" before pam_apparmor.so: instances are named after the profile that the program has before it gets the user's hat: %s", service, place(us, stack[hat]))
	}
	home := at(func(e Entry) bool {
		return e.Name() == "pam_mkhomedir.so" || e.Name() == "pam_oddjob_mkhomedir.so"
	})
	if home > own && k.usesHome(service) {
		k.add(us.Pos, Error, service, "service %q: a polydir or its instances lie in $HOME, which %s makes only later: %s", service, stack[home].Name(), place(us, stack[home]))
	}
	limits := at(func(e Entry) bool { return e.Name() == "pam_limits.so" })
	if pos, item, ok := k.narrow(); ok && limits >= 0 && limits < own {
		k.add(us.Pos, Warning, service, "service %q: pam_limits.so (%s) stands before this line, so that the %q of %s holds for the module, too, which may fail under it: %s", service, stack[limits].Pos, item, pos, before(us, stack[limits]))
	}
	systemd := at(func(e Entry) bool { return e.Name() == "pam_systemd.so" })
	if systemd > own && k.config != nil && k.config.Namespace.Propagation == config.PropagationPrivate {
		k.add(us.Pos, Warning, service, "service %q: propagation = \"private\" before pam_systemd.so: /run/user/UID, which that mounts, does not reach the session: %s", service, place(us, stack[systemd]))
	}
}

// place says where our line is to stand: behind another one, in the file that
// has it, and not in the one that includes ours.
func place(us, other Entry) string {
	if us.Pos.File == other.Pos.File {
		return fmt.Sprintf("move this line behind line %d", other.Pos.Line)
	}
	return fmt.Sprintf("remove this line and put it behind %s (with pam-auth-update: not in a profile)", other.Pos)
}

// before says where our line is to stand: in front of another one.
func before(us, other Entry) string {
	if us.Pos.File == other.Pos.File {
		return fmt.Sprintf("move this line before line %d", other.Pos.Line)
	}
	return fmt.Sprintf("move %s behind this line", other.Pos)
}

// narrow finds a limit of memory or of the size of files (limits.conf(5)).
func (k *checker) narrow() (Pos, string, bool) {
	for _, f := range k.limits {
		for i, text := range strings.Split(string(f.Data), "\n") {
			text, _, _ = strings.Cut(text, "#")
			w := strings.Fields(text)
			if len(w) == 4 && (w[2] == "as" || w[2] == "data" || w[2] == "fsize") && w[3] != "unlimited" && w[3] != "-1" {
				return Pos{f.Path, i + 1}, w[2], true
			}
		}
	}
	return Pos{}, "", false
}

// skipped finds lines before ours that can end the stack or jump over ours.
func (k *checker) skipped(service string, stack []Entry, own int) {
	us := stack[own]
	for i, e := range stack[:own] {
		switch {
		case e.sub != us.sub && e.sub != 0:
			// it can end its own substack only
		case e.Control == "sufficient":
			k.add(us.Pos, Warning, service, "service %q: %s (%s) is \"sufficient\": where it succeeds, this line is never reached", service, e.Name(), e.Pos)
		case strings.HasPrefix(e.Control, "["):
			k.jumps(service, stack, i, own)
		}
	}
}

func (k *checker) jumps(service string, stack []Entry, i, own int) {
	e, us := stack[i], stack[own]
	for _, pair := range strings.Fields(strings.Trim(e.Control, "[]")) {
		value, act, _ := strings.Cut(pair, "=")
		n, err := strconv.Atoi(act)
		if act == "done" && value != "default" {
			k.add(us.Pos, Warning, service, "service %q: %s (%s) with %s ends the stack: this line is then never reached", service, e.Name(), e.Pos, pair)
		}
		if err == nil && n >= distance(stack, i, own) {
			k.add(us.Pos, Warning, service, "service %q: %s (%s) with %s jumps over this line", service, e.Name(), e.Pos, pair)
		}
	}
}

// distance counts the lines from i to own as a jump does: a substack is one.
func distance(stack []Entry, i, own int) int {
	n := 0
	for j := i + 1; j <= own; j++ {
		if stack[j].sub == stack[i].sub || stack[j].sub != stack[j-1].sub {
			n++
		}
	}
	return n
}

func (k *checker) rules(service string) []*config.Polydir {
	if k.config == nil {
		return nil
	}
	var out []*config.Polydir
	for i := range k.config.Polydirs {
		p := &k.config.Polydirs[i]
		if len(p.Services) == 0 || slices.Contains(p.Services, service) {
			out = append(out, p)
		}
	}
	return out
}

func (k *checker) byContext(service string) bool {
	return slices.ContainsFunc(k.rules(service), func(p *config.Polydir) bool {
		return p.Method == config.MethodLevel || p.Method == config.MethodContext
	})
}

func (k *checker) usesHome(service string) bool {
	return slices.ContainsFunc(k.rules(service), func(p *config.Polydir) bool {
		return p.Path.Uses("HOME") || p.Prefix.Uses("HOME")
	})
}

// otherTypes finds our module where it has nothing to do.
func (k *checker) otherTypes() {
	for name, f := range k.dir {
		for _, l := range lines(f.Data) {
			e, ok := l.entry(f.Path)
			switch {
			case ok && e.Name() == Module && e.Type != "session":
				k.add(e.Pos, Error, name, "type %q: the module knows only \"session\", and libpam refuses the line", e.Type)
			case !ok && slices.ContainsFunc(l.words, func(w string) bool { return strings.HasSuffix(w, Module) }):
				k.add(Pos{f.Path, l.number}, Error, name, "this is no PAM line: want \"session required %s\"", Module)
			}
		}
	}
}

// unknownServices finds services of the configuration that have no stack.
func (k *checker) unknownServices() {
	if k.config == nil {
		return
	}
	for _, p := range k.config.Polydirs {
		for _, name := range p.Services {
			if _, ok := k.dir[name]; !ok {
				at := p.KeyPos["services"]
				k.add(Pos{at.File, at.Line}, Warning, name, "polydir %q: services names %q, which has no PAM stack here", p.Path, name)
			}
		}
	}
}

// lacking names the usual services without our line: their sessions see the
// public directories, and files of one kind of session are not there in the
// other.
func (k *checker) lacking(with, without []string) {
	if k.config == nil || len(k.config.Polydirs) == 0 {
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
		paths := make([]string, len(rules))
		for i, p := range rules {
			paths[i] = string(p.Path)
		}
		k.add(Pos{File: k.dir[service].Path}, Warning, service, "no `session required %s`: sessions of %q see the public %s%s", Module, service, strings.Join(paths, ", "), why[service])
	}
}

// why says of some services what that means.
var why = map[string]string{
	"systemd-user": " (everything that the user's systemd starts: desktop programs, timers, D-Bus services)",
	"cron":         " (jobs do not find the user's files, and write theirs where everybody sees them)",
	"crond":        " (jobs do not find the user's files, and write theirs where everybody sees them)",
	"atd":          " (jobs do not find the user's files, and write theirs where everybody sees them)",
}

// anyFile is the directory of the stacks, for a remark on all of them.
func (k *checker) anyFile() string {
	for _, f := range k.dir {
		if i := strings.LastIndexByte(f.Path, '/'); i > 0 {
			return f.Path[:i]
		}
	}
	return "/etc/pam.d"
}

// kerberos remarks on credential caches that are files below a polydir: what
// authentication writes to the public directory, the session does not see.
func (k *checker) kerberos(krb5 []File) {
	if k.config == nil || len(krb5) == 0 || !k.makesCaches() {
		return
	}
	name, pos := "FILE:/tmp/krb5cc_%{uid}", Pos{File: krb5[0].Path}
	section := ""
	for _, f := range krb5 {
		for i, text := range strings.Split(string(f.Data), "\n") {
			text = strings.TrimSpace(text)
			if strings.HasPrefix(text, "[") {
				section = text
			}
			key, value, ok := strings.Cut(text, "=")
			if ok && section == "[libdefaults]" && strings.TrimSpace(key) == "default_ccache_name" {
				name, pos = strings.TrimSpace(value), Pos{f.Path, i + 1}
			}
		}
	}
	kind, path, ok := strings.Cut(name, ":")
	if !ok {
		kind, path = "FILE", name
	}
	if kind != "FILE" && kind != "DIR" {
		return
	}
	for _, p := range k.config.Polydirs {
		if strings.HasPrefix(path, string(p.Path)+"/") {
			k.add(pos, Note, "", "Kerberos caches are %s in the public %s, made before the session opens, which then does not find them: default_ccache_name = KEYRING:persistent:%%{uid} or KCM:", name, p.Path)
			return
		}
	}
}

// makesCaches tells whether a stack with our line may write a cache.
func (k *checker) makesCaches() bool {
	for _, service := range Services(k.dir) {
		for _, e := range k.dir.Stack(service, "auth", func(Pos, string) {}) {
			if e.Name() == "pam_krb5.so" || e.Name() == "pam_sss.so" || e.Name() == "pam_winbind.so" {
				return true
			}
		}
		if service == "sshd" {
			return true // GSSAPI
		}
	}
	return false
}
