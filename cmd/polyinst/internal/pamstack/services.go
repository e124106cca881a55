package pamstack

import (
	"slices"
	"sort"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
)

// usual are the services whose sessions people expect to see the same files.
var usual = []string{"login", "sshd", "su", "su-l", "sudo", "sudo-i", "systemd-user", "cron", "crond", "atd",
	"systemd-run0", "gdm-password", "gdm-autologin", "lightdm", "sddm", "xdm", "remote"}

// Services are those whose session stack has our line, in order.
func Services(dir Dir) []string {
	var out []string
	for _, c := range Covers(dir) {
		if c.Line != nil {
			out = append(out, c.Service)
		}
	}
	return out
}

// All are the services that have a stack of their own, in order.
func All(dir Dir) []string { return services(dir) }

// Cover says whether our line is in the session stack of a service.
type Cover struct {
	Service string
	File    string // with which libpam begins
	Line    *Entry // nil: there is none
}

// Covers are the services whose session stack has our line, and of those whose
// sessions people expect to see the same files also those without it, in order.
func Covers(dir Dir) []Cover {
	var out []Cover
	for _, s := range services(dir) {
		line, file, ok := dir.SessionLine(s)
		switch {
		case ok:
			out = append(out, Cover{s, file, &line})
		case slices.Contains(usual, s):
			out = append(out, Cover{s, file, nil})
		}
	}
	return out
}

// Without are those whose session stack lacks it, of the services whose sessions
// people expect to see the same files.
func Without(dir Dir) []string {
	with := Services(dir)
	var out []string
	for _, s := range services(dir) {
		if slices.Contains(usual, s) && !slices.Contains(with, s) {
			out = append(out, s)
		}
	}
	return out
}

// services are the files that no other includes, except the one for its login shell: su
// is included by su-l, and is a service none the less.
func services(dir Dir) []string {
	parts := map[string]bool{}
	for name, f := range dir {
		include := func(path string) {
			if other := strings.TrimPrefix(path, etc); name != other+"-l" && name != other+"-i" {
				parts[other] = true
			}
		}
		for _, l := range lines(f.Data) {
			if other, ok := l.included(); ok {
				include(other)
			} else if e, ok := l.entry(f.Path); ok && (e.Control == "include" || e.Control == "substack") {
				include(e.Module)
			}
		}
	}
	var out []string
	for name := range dir {
		if !parts[name] || slices.Contains(usual, name) {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// Bypassed tells of polydirs that say what a session sees, and that a user goes around
// without a login: by a service whose stack has no line of ours. A private directory
// that such a program does not see is missed soon; what it sees beside is not.
func Bypassed(m Machine) []Finding {
	k := checker{Machine: m, seen: map[string]bool{}}
	if m.Config == nil || len(Services(m.Stacks)) == 0 {
		return nil
	}
	for i := range m.Config.Polydirs {
		p := &m.Config.Polydirs[i]
		if p.MakesDirectory() && !p.KeepsOwn() {
			continue
		}
		var open []string
		command := "polyinst enable"
		for _, service := range unattended {
			_, _, ours := m.Stacks.SessionLine(service)
			_, there := m.Stacks[service]
			if (there || k.ofUnit(service)) && !ours && slices.Contains(k.rules(service), p) {
				open = append(open, service)
				command += " " + shellword.Quote(service)
			}
		}
		if len(open) > 0 {
			at := p.KeyPos["method"]
			k.add(Pos{at.File, at.Line}, Warning, "", "polydir %q: what a user starts by %s sees %s: no `session required %s` there: `%s`",
				p.Path, strings.Join(open, ", "), public([]*config.Polydir{p}), Module, command)
		}
	}
	return k.found
}
