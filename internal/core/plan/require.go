package plan

import (
	"fmt"
	"slices"

	"pam_polyinst/internal/core/config"
)

// Required refuses a subject who does not get every directory that require= on
// the PAM line names, whatever the reason: no such polydir, an exemption, the
// service. nested says what a session inside one of our namespaces, where
// inside, is built from.
func (s Selection) Required(paths []config.Template, who Subject, nested config.Nested, inside bool) *Refusal {
	for _, t := range paths {
		path, err := t.Expand(who.Vars())
		if err != nil {
			return refuse(FaultConfig, string(t), "require= on the PAM line: %v", err)
		}
		covered := slices.ContainsFunc(s.Rules, func(r Rule) bool { return r.Path == path })
		switch {
		case !covered:
			return refuse(FaultConfig, path, "require= on the PAM line: %s", s.whyNot(t, path))
		case inside && s.LeavesOnly(nested):
			return refuse(FaultConfig, path, "require= on the PAM line: nested = %q leads to the host's view", nested)
		}
	}
	return nil
}

// whyNot says why no rule covers a path.
func (s Selection) whyNot(t config.Template, path string) string {
	why := ""
	for _, v := range s.Verdicts {
		if v.Path == path || v.Polydir.Path == t {
			why = "it does not apply: " + v.Why
		}
	}
	if why == "" {
		why = noPolydir
	}
	return why
}

const noPolydir = "the configuration has no such polydir"

// RequireProblem says why sessions of the service do not get a path that require=
// names: all says it of every session, some of those whom a list leaves out. Both are
// empty if everybody gets it.
func RequireProblem(c *config.Config, path config.Template, service string) (all, some string) {
	all = noPolydir
	if p := impliedShm(c); p != nil && path == shmDir && len(c.Polydirs) > 0 {
		return "", ""
	}
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		if p.Path != path {
			continue
		}
		switch {
		case len(p.Services) > 0 && !slices.Contains(p.Services, service):
			if all != "" {
				all = fmt.Sprintf("services = %q at %s leaves this one out", p.Services, p.KeyPos["services"])
			}
			continue
		case len(p.Except) > 0:
			some = fmt.Sprintf("everybody whom except = %q names", p.Except.String())
		case len(p.Only) > 0:
			some = fmt.Sprintf("everybody whom only = %q does not name", p.Only.String())
		default:
			return "", ""
		}
		all = ""
	}
	return all, some
}
