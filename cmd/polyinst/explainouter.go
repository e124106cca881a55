package main

import (
	"strings"

	"pam_polyinst/internal/core/plan"
)

// inside says what the session is opened in.
func (x *explanation) inside(outer *outerView, route plan.Route) {
	if outer == nil || outer.User == "" {
		return
	}
	x.From = &outerSession{outer.User, outer.UID, outer.Service, []string{}, string(x.Nested()), string(plan.HostView), []directoryFate{}}
	if outer.Facts == nil {
		return
	}
	x.From.Base = string(route.Base)
	if route.Way == plan.Same {
		x.From.Base = string(x.Selection.Base(x.Nested()))
	}
	for _, c := range outer.Covers {
		x.From.Polydirs = append(x.From.Polydirs, c.Path)
	}
}

// directories asks the module's own function what becomes of a working directory
// below each polydir of the outer session.
func (x *explanation) directories(outer *outerView, route plan.Route) {
	if outer == nil || outer.Facts == nil || x.Outcome == outcomeRefused {
		return
	}
	left := plan.Left{UID: x.UID, Parents: x.Selection.Parents(), Covers: outer.Covers}
	moves := x.Outcome == outcomeNew || x.Outcome == outcomeHost
	if x.Outcome == outcomeNew {
		for _, r := range x.Selection.Rules {
			left.Own = append(left.Own, r.Path)
		}
	}
	for _, c := range outer.Covers {
		const below = "/."
		left.Path = c.Path + below
		stands := left.Stands()
		fate := directoryFate{Polydir: c.Path, Fate: fateEmpty}
		switch {
		case !moves, x.shows(c, outer, route):
			fate.Fate = fateStays
		case len(stands) > 1:
			path := strings.TrimSuffix(stands[1].Path, below)
			fate.Fate, fate.Path = fateHost, &path
		}
		x.From.Directories = append(x.From.Directories, fate)
	}
}

// shows reports whether the session shows what covers a polydir of the outer one.
func (x *explanation) shows(c plan.Covered, outer *outerView, route plan.Route) bool {
	for _, own := range x.plan.Steps {
		if own.Path == c.Path {
			return c.Instance != "" && outer.Exists[c.Path] && instancePath(own) == c.Instance
		}
	}
	return x.Outcome == outcomeNew && route.Base == plan.OwnView
}
