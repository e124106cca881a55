package main

import (
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/observe"
)

// parent is an instance parent of the configuration and the rule that wants it.
type parent struct {
	path, prefix string
	rule         *config.Polydir
}

// parents are the instance parents of the configuration. Those that vary by
// user are expanded for each account that the directory lists; those in homes
// can be left out, because a session makes them itself.
func parents(c *config.Config, exceptHomes bool) []parent {
	var out []parent
	seen := map[string]bool{}
	add := func(r plan.Rule) {
		if key := r.Parent + "/" + r.Prefix; r.Parent != "" && !seen[key] {
			seen[key] = true
			out = append(out, parent{r.Parent, r.Prefix, r.Config})
		}
	}
	var users []string
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		t := p.Prefix
		switch {
		case !p.InParent(), exceptHomes && t.Uses("HOME"):
		case !t.Varies():
			if prefix, err := t.Expand(config.Vars{}); err == nil {
				i := strings.LastIndexByte(prefix, '/')
				add(plan.Rule{Config: p, Parent: prefix[:i], Prefix: prefix[i+1:]})
			}
		default:
			if users == nil {
				users = accounts()
			}
			for _, name := range users {
				for _, r := range rulesOf(c, name) {
					if r.Config == p {
						add(r)
					}
				}
			}
		}
	}
	return out
}

func rulesOf(c *config.Config, name string) []plan.Rule {
	who, r := observe.Account(name, "", c.Groups())
	if r != nil {
		return nil
	}
	every := *c
	every.Polydirs = append([]config.Polydir{}, c.Polydirs...)
	for i := range every.Polydirs {
		every.Polydirs[i].Services = nil // a parent is wanted for any of them
	}
	selection, r := plan.Select(&every, who)
	if r != nil {
		return nil
	}
	for i := range selection.Rules {
		for j := range every.Polydirs {
			if selection.Rules[i].Config == &every.Polydirs[j] {
				selection.Rules[i].Config = &c.Polydirs[j]
			}
		}
	}
	return selection.Rules
}
