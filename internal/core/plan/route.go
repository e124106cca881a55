package plan

import (
	"slices"

	"pam_polyinst/internal/core/config"
)

// Wanted is what a session is promised, as far as its way depends on it.
type Wanted struct {
	Selection Selection
	Who       Subject
	Digest    string // of the view that the rules make
	Nested    config.Nested
	Scope     config.Scope
	Require   []config.Template
}

// Place is where the host of a session stands.
type Place struct {
	InPlace bool     // the host has unshared itself, and the session is built there
	Outer   *Outer   // the session of ours that the host is in; nil: none
	Kernel  *Refusal // why no such session can be built on this machine; nil: it can
	Host    *Refusal // why this host can be given no view; nil: it can
	Joins   bool     // the host may join another namespace
}

// Outer is the session of ours in which another one is opened.
type Outer struct {
	User     string
	UID      uint32
	Digest   string
	Intact   bool     // its view is as it was made
	Polydirs []string // that it covers

	// What keeps the host's view from being reached from there: either that it is
	// another one than the outermost session was built from, or may not be looked
	// at, or a fault. Both are empty where it can be reached.
	Apart  string
	Broken *Refusal
}

// Way is the way that a session goes.
type Way string

// The values of Way.
const (
	Stays   Way = "stays"    // in the view that the host is in: nothing applies
	Same    Way = "same"     // in that view, which is just what it would get
	ToHost  Way = "host"     // to the host's view: nothing is built
	Builds  Way = "builds"   // a view is built, from Base
	InPlace Way = "in place" // the host must unshare itself first
)

// mayNot is why a host may not join a namespace.
const mayNot = "CAP_SYS_CHROOT, a chroot, or SELinux without the policy module in dist/selinux"

// Route is a way, with what a view is built from.
type Route struct {
	Way     Way
	Base    Base
	Warning string // for the log: a session is built on a view that it should have left
}

// Choose decides which way a session goes.
func Choose(w Wanted, at Place) (Route, *Refusal) {
	rules := len(w.Selection.Rules) > 0
	if rules && at.shows(w) {
		return Route{Way: Same, Base: OwnView}, nil
	}
	route, r := at.base(w)
	switch {
	case r != nil:
		return route, r
	case !rules && route.Base == OwnView:
		route.Way = Stays
		return route, nil
	case rules && at.Kernel != nil:
		return route, at.Kernel
	case at.InPlace:
		return route, nil
	case at.Host != nil:
		return route, at.Host
	case !at.Joins:
		return at.withoutJoin(w, route)
	case route.Base == HostView && w.Selection.LeavesOnly(w.Nested):
		route.Way = ToHost
		return route, w.Selection.Required(w.Require, w.Who, w.Nested, true)
	}
	return route, nil
}

// shows reports whether the host is in just the view that the session would get,
// as by the second open of `su -`.
func (at Place) shows(w Wanted) bool {
	a := at.Outer
	return a != nil && !at.InPlace && a.User == w.Who.User && a.Digest == w.Digest && a.Intact
}

// base decides what the session is built from: only where the host is in a session
// of ours there is a choice.
func (at Place) base(w Wanted) (Route, *Refusal) {
	own := Route{Way: Builds, Base: OwnView}
	a := at.Outer
	switch {
	case a == nil || at.InPlace || w.Selection.Base(w.Nested) == OwnView:
		return own, nil
	case a.Broken != nil:
		return own, a.Broken
	case a.Apart != "":
		return own.on(a, w, "the outermost session was not built from the view of process 1, or that cannot be told: "+a.Apart)
	}
	return Route{Way: Builds, Base: HostView}, nil
}

// withoutJoin is the way of a host that may not join another namespace: it can be
// built in place, but never leave the view that it is in.
func (at Place) withoutJoin(w Wanted, route Route) (Route, *Refusal) {
	route.Way = InPlace
	switch {
	case w.Scope == config.ScopeUser && len(w.Selection.Rules) > 0:
		return route, refuse(FaultHost, "", "scope = \"user\" wants a program that may join a namespace, and this one may not (%s)", mayNot)
	case route.Base == OwnView:
		return route, nil
	case w.Nested == config.NestedEscape:
		return route, refuse(FaultHost, "", "nested = \"escape\" wants the host's view, and this program may not join it (%s)", mayNot)
	}
	route.Base = OwnView
	return route.on(at.Outer, w, "this program may not join the host's view (CAP_SYS_CHROOT, or a chroot)")
}

// on permits a session to be built on the view of the outer one, which it
// cannot leave, if nothing of that one's would show: an instance of another user's
// that it does not cover with one of its own.
func (route Route) on(outer *Outer, w Wanted, why string) (Route, *Refusal) {
	for _, path := range outer.Polydirs {
		covered := slices.ContainsFunc(w.Selection.Rules, func(r Rule) bool { return r.Path == path })
		if !covered && outer.UID != w.Who.UID {
			return route, refuse(FaultUser, path, "nested session: %q would be in the instance of %q, the user of the session around it: %s; "+
				"log in by another way, or say nested = \"keep\" if that is wanted", w.Who.User, outer.User, why)
		}
	}
	route.Warning = "nested session: built on the view that it is in: " + why
	return route, nil
}
