package pamstack

import (
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/shellword"
)

// Module is our module's name in a stack.
const Module = "pam_polyinst.so"

// opens reports whether a line is one of our module that opens sessions; a line
// with the argument close does not.
func (e Entry) opens() bool { return e.Name() == Module && !e.Has("close") }

func (e Entry) closes() bool { return e.Name() == Module && e.Has("close") }

// mistyped finds lines that were meant to be ours, and name a module that is not
// there.
func (k *checker) mistyped(service string, stack []Entry) bool {
	found := false
	for _, e := range stack {
		if e.mistyped(k.Load) {
			found = true
			why, _ := e.notLoaded(k.Load)
			k.add(e.Pos, Error, service, "service %q: %s", service, why)
		}
	}
	return found
}

// mistyped reports whether the line was meant to be ours; one that names a module
// which libpam can load is another module's.
func (e Entry) mistyped(load func(module string) string) bool {
	return looksLikeOurs(e.Name()) && (load == nil || load(e.Module) != "")
}

// notLoaded says why libpam cannot load the module of a line that is ours, or was
// meant to be, with the way out; empty: it can. It leaves such a line out, or
// refuses every session. load is as Machine.Load.
func (e Entry) notLoaded(load func(module string) string) (why string, leftOut bool) {
	does, install := "refuses every session, also root's", "install the module, or remove this line"
	if leftOut = e.leavesOut(); leftOut {
		does, install = "leaves this line out, and users get the public directories", "install the module"
	}
	if strings.HasSuffix(e.Module, "\r") {
		return fmt.Sprintf("the line ends with a carriage return, which libpam takes for a part of the module's name, and %s: save the file with the ends of line of Unix", does), leftOut
	}
	if e.mistyped(load) {
		return fmt.Sprintf("module %q: libpam looks for a file of just that name and %s: write %s", e.Module, does, Module), leftOut
	}
	if load != nil {
		why = load(e.Module)
	}
	if why != "" {
		why = fmt.Sprintf("%s: libpam %s: %s", why, does, install)
	}
	return why, leftOut
}

// looksLikeOurs reports whether a module's name is a slip of the pen for ours, as
// far as it has one half of it.
func looksLikeOurs(name string) bool {
	low := strings.ToLower(name)
	return name != Module && (strings.Contains(low, "poly") || strings.Contains(low, "inst"))
}

// leavesOut reports whether libpam goes on where it cannot load the line's module.
func (e Entry) leavesOut() bool {
	if strings.HasPrefix(e.Control, "[") {
		a := action(e.Control, "module_unknown")
		return a == "ignore" || a == "ok" || a == "done"
	}
	return e.MayBeMissing || e.Control == "optional" || e.Control == "sufficient"
}

// unknownControl says that libpam does not know the control; empty: it does.
func (e Entry) unknownControl() string {
	if strings.HasPrefix(e.Control, "[") || slices.Contains([]string{"required", "requisite", "optional", "sufficient"}, e.Control) {
		return ""
	}
	return fmt.Sprintf("unknown control %q: libpam refuses the whole stack; want \"required\"", e.Control)
}

// line judges our line itself.
func (k *checker) line(service string, e Entry) {
	args, err := config.ParseArgs(e.Args)
	if err != nil {
		k.add(e.Pos, Error, service, "PAM line: %v", err)
	}
	if why, _ := e.notLoaded(k.Load); why != "" {
		k.add(e.Pos, Error, service, "service %q: %s", service, why)
	}
	if args.Conf != "" && k.Conf != nil {
		if why := k.Conf(args.Conf); why != "" {
			k.add(e.Pos, Error, service, "service %q: conf=%s: sessions are refused: %s", service, args.Conf, why)
		}
	}
	if e.MayBeMissing {
		k.add(e.Pos, Warning, service, "\"-session\": where the module is missing, sessions see the public directories in silence: write \"session\"")
	}
	switch {
	case e.Control == "required", e.Control == "requisite":
	case e.Control == "optional", e.Control == "sufficient":
		k.add(e.Pos, Error, service, "control %q: a refused session is opened all the same, in the public directories: write \"required\"", e.Control)
	case strings.HasPrefix(e.Control, "["):
		if a := action(e.Control, "perm_denied"); a == "ignore" || a == "ok" || a == "done" {
			k.add(e.Pos, Error, service, "control %q: a refused session (perm_denied) is opened all the same, in the public directories: write \"required\"", e.Control)
		}
	default:
		k.add(e.Pos, Error, service, "%s", e.unknownControl())
	}
	k.required(service, e, args)
	if args.RequireSELinux && !k.byContext(service) {
		k.add(e.Pos, Note, service, "require_selinux, but no polydir has method \"level\" or \"context\"")
	}
}

// required says who will not get what require= demands, and is refused.
func (k *checker) required(service string, e Entry, args config.Args) {
	switch {
	case k.Config == nil || !args.HasRequire:
		return
	case args.Conf != "" && args.Conf != k.Main:
		k.add(e.Pos, Note, service, "service %q: require= was not looked at: this line goes by %s (`polyinst check --pam %s`)", service, args.Conf, shellword.Quote(args.Conf))
		return
	}
	for _, path := range args.Require {
		all, some := plan.RequireProblem(k.Config, path, service)
		switch {
		case all != "":
			k.add(e.Pos, Error, service, "service %q: require=%s: %s: all sessions are refused but root's, who is rescued", service, path, all)
		case some != "":
			k.add(e.Pos, Warning, service, "service %q: require=%s: %s is refused, but for root, who is rescued", service, path, some)
		}
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
