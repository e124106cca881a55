package main

import (
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/observe"
)

// domains are the types in which login programs run that nobody's shell starts: of several,
// in one of them. Where a policy names none so, nothing is said.
var domains = map[string][]string{"sshd": {"sshd_t", "sshd_session_t"}, "login": {"local_login_t"}, "cron": {"crond_t"}, "crond": {"crond_t"}}

// shut is selinuxfs.Shut.
type shut func(domains []string, path, class string, permissions ...string) (label, shut string)

// domainRemarks say what SELinux denies a login program and not this one, so that
// neither explain nor a rehearsal meets it: files and parents whose label is wrong.
// With a boolean off all of that is denied, and that is said already.
func domainRemarks(c *config.Config, main string, stacks pamstack.Dir) []remark {
	if len(checkSELinux(config.Position{})) > 0 {
		return nil
	}
	return checkDomains(c, main, stacks, selinuxfs.Shut)
}

func checkDomains(c *config.Config, main string, stacks pamstack.Dir, is shut) []remark {
	var out []remark
	for _, service := range pamstack.Services(stacks) {
		programs := domains[service]
		if programs == nil {
			continue
		}
		say := func(path, format string, args ...any) {
			r := at(config.Position{File: path}, pamstack.Error, format, args...)
			r.service = service
			out = append(out, r)
		}
		read := func(path string) {
			if label, domain := is(programs, path, "file", "read", "open"); domain != "" {
				say(path, "service %q: SELinux does not let %s read it, which is labelled %q: restorecon -F %s", service, domain, label, shellword.Quote(path))
			}
		}
		line, _, _ := stacks.SessionLine(service)
		if module, _ := findModule(line.Module); module != "" {
			read(module)
		}
		if conf := confOf(line); conf == main || conf == "" && strings.HasPrefix(main, observe.ConfigDir+"/") { // and not a draft
			for _, file := range filesOf(c, main) {
				read(file)
			}
		}
		var seen []string
		for _, p := range parents(c, true) {
			if slices.Contains(seen, p.path) {
				continue
			}
			seen = append(seen, p.path)
			makes := func(path, way string) bool {
				label, domain := is(programs, path, "dir", "write", "add_name")
				if domain != "" {
					say(path, "service %q: SELinux does not let %s make anything in it, which is labelled %q: %s", service, domain, label, way)
				}
				return domain == ""
			}
			if locks := p.path + "/" + layout.LockDir; makes(p.path, observe.WantedLabels) {
				makes(locks, fmt.Sprintf("chcon -R --reference=%s %s", shellword.Quote(p.path), shellword.Quote(locks)))
			}
		}
	}
	return out
}

// filesOf are the main file, and the drop-ins that have polydirs.
func filesOf(c *config.Config, main string) []string {
	out := []string{main}
	for _, p := range c.Polydirs {
		if !slices.Contains(out, p.Pos.File) {
			out = append(out, p.Pos.File)
		}
	}
	return out
}
