package pamstack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pam_polyinst/internal/core/config"
)

// order judges what stands before and behind our line.
func (k *checker) order(service string, stack []Entry, own int) {
	us := stack[own]
	args, _ := config.ParseArgs(us.Args)
	at := func(match func(Entry) bool) int { return slices.IndexFunc(stack, match) }
	opens := at(func(e Entry) bool { return e.Name() == "pam_selinux.so" && !e.Has("close") })
	if k.byContext(service) && !args.UseCurrentContext && !args.UseDefaultContext {
		switch {
		case opens > own:
			k.add(us.Pos, Error, service, "service %q: method \"level\" or \"context\" before `pam_selinux.so open`: %s", service, behind(us, stack[opens]))
		case opens < 0:
			k.add(us.Pos, Warning, service, "service %q: method \"level\" or \"context\", but no `pam_selinux.so open` in this stack: where SELinux is on, each session is refused; put it before this line, or say use_default_context", service)
		}
	}
	hat := at(func(e Entry) bool { return e.Name() == "pam_apparmor.so" })
	if hat > own && slices.ContainsFunc(k.rules(service), func(p *config.Polydir) bool { return p.Method == config.MethodContext }) {
		k.add(us.Pos, Warning, service, "service %q: method \"context\" before pam_apparmor.so: instances are named after the profile that the program has before it gets the user's hat: %s", service, behind(us, stack[hat]))
	}
	home := at(func(e Entry) bool {
		return e.Name() == "pam_mkhomedir.so" || e.Name() == "pam_oddjob_mkhomedir.so"
	})
	if home > own && k.usesHome(service) {
		k.add(us.Pos, Error, service, "service %q: a polydir, its source or its instances lie in $HOME, which %s makes only later: %s", service, stack[home].Name(), behind(us, stack[home]))
	}
	if p := k.keepsHome(service); home > own && p != nil {
		lost := "in the session's own view, so that it is lost with the session"
		if stack[home].Name() == "pam_oddjob_mkhomedir.so" { // a daemon makes it, in the view of process 1
			lost = "so that this session has none"
		}
		k.add(us.Pos, Error, service, "service %q: polydir %q shows $HOME by keep, and %s makes it only later, %s: %s", service, p.Path, stack[home].Name(), lost, behind(us, stack[home]))
	}
	limits := at(func(e Entry) bool { return e.Name() == "pam_limits.so" })
	if pos, item, ok := k.narrow(); ok && limits >= 0 && limits < own {
		k.add(us.Pos, Warning, service, "service %q: pam_limits.so (%s) stands before this line, so that the %q of %s holds for the module, too, which may fail under it: %s", service, stack[limits].Pos, item, pos, before(us, stack[limits]))
	}
	systemd := at(func(e Entry) bool { return e.Name() == "pam_systemd.so" })
	if systemd > own && k.Config != nil && k.Config.Namespace.Propagation == config.PropagationPrivate {
		k.add(us.Pos, Warning, service, "service %q: propagation = \"private\" before pam_systemd.so: /run/user/UID, which that mounts, does not reach the session: %s", service, behind(us, stack[systemd]))
	}
}

// cleaners are modules that take something back at close, and what.
var cleaners = map[string]string{
	"pam_mount.so":    "what it mounts",
	"pam_ecryptfs.so": "what it mounts",
	"pam_encfs.so":    "what it mounts",
	"pam_zfs_key.so":  "what it mounts",
	"pam_krb5.so":     "the ticket cache that it writes",
}

// cleaned finds modules before our line whose work at open would stay in the
// host's view, because the host stands in the session's view at close.
func (k *checker) cleaned(service string, stack []Entry, own int) {
	for i, e := range stack[:own] {
		what, ok := cleaners[e.Name()]
		if ok && !slices.ContainsFunc(stack[:i], Entry.closes) {
			k.add(e.Pos, Warning, service, "service %q: %s stands before %s and closes in the session's view, so that %s stays on the host: put `session optional %s close` before it", service, e.Name(), stack[own].Pos, what, Module)
		}
		if e.Name() == "pam_tmpdir.so" {
			k.add(e.Pos, Warning, service, "service %q: pam_tmpdir.so makes TMPDIR in the public directory, and the session does not have it: put that line behind %s", service, stack[own].Pos)
		}
	}
}

// behind says where our line is to stand: behind another one, in the file that
// has it, and not in the one that includes ours.
func behind(us, other Entry) string {
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
	for _, f := range k.Limits {
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
			k.passed(us.Pos, service, "service %q: %s (%s) is \"sufficient\": where it succeeds, this line is never reached", service, e.Name(), e.Pos)
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
			k.passed(us.Pos, service, "service %q: %s (%s) with %s ends the stack: this line is then never reached", service, e.Name(), e.Pos, pair)
		}
		if err == nil && n >= distance(stack, i, own) {
			k.passed(us.Pos, service, "service %q: %s (%s) with %s jumps over this line", service, e.Name(), e.Pos, pair)
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
