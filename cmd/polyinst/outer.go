package main

import (
	"fmt"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/promise"
	"pam_polyinst/internal/sessions/record"
)

// outerView is the session in which another one is explained: one that is explained
// itself, or the one that this process is in.
type outerView struct {
	User    string
	UID     uint32
	Service string
	Covers  []plan.Covered
	Exists  map[string]bool // polydirs of instances that are there already
	// Facts are those for the choice of the way; nil where nothing covers
	// anything, and what is opened there is not nested
	Facts func(*promise.Promise) *plan.Outer

	away bool       // the host is not in the view of process 1
	view dirfd.View // what is laid over this process's view to make it that one's
	host *mntns.Set // this process is in it: the way to the host's view
}

// asOuter is an explained session as what another one is opened in.
func (x *explanation) asOuter() *outerView {
	a := &outerView{User: x.User, UID: x.UID, Service: x.Service, view: x.round.View, Exists: map[string]bool{}}
	if x.Outcome != outcomeNew {
		return a
	}
	facts := &plan.Outer{User: x.User, UID: x.UID, Digest: x.Digest, Intact: true}
	for _, s := range x.plan.Steps {
		facts.Polydirs = append(facts.Polydirs, s.Path)
		a.Covers = append(a.Covers, plan.Covered{Path: s.Path, Instance: instancePath(s)})
		a.Exists[s.Path] = s.Source == plan.ExistingInstance
	}
	a.away, a.Facts = true, func(*promise.Promise) *plan.Outer { return facts }
	return a
}

// outerHere is what this process is in: with the facts of a session of ours, or
// none where it is in another view; nil: the view of process 1.
func outerHere() (*outerView, error) {
	own, err := mntns.OwnID()
	if err != nil {
		return nil, err
	}
	first, err := mntns.OfInit()
	if err != nil {
		return nil, err
	}
	first.Close()
	if first.ID == own {
		return nil, nil
	}
	if !record.Any() {
		return &outerView{away: true}, nil
	}
	store, err := record.Open()
	if err != nil {
		return nil, fmt.Errorf("the records of sessions: %w", err)
	}
	defer store.Close()
	r, err := recordHere(store)
	if err != nil || r == nil {
		return &outerView{away: true}, err
	}
	a := &outerView{User: r.User, UID: r.UID, Service: r.Service, Covers: r.Covers(), Exists: map[string]bool{}, away: true, host: new(mntns.Set)}
	for _, c := range a.Covers {
		a.Exists[c.Path] = true
	}
	a.Facts = func(p *promise.Promise) *plan.Outer {
		facts := p.Outer(*r)
		*a.host = promise.OpenHostView(*r, facts)
		return facts
	}
	return a, nil
}

// enter lets a round begin in the view that the inner session is built from.
func (a *outerView) enter(base plan.Base, round *rehearsal) error {
	switch {
	case base == plan.OwnView:
		round.View = a.view
	case a.host != nil:
		return a.host.Enter()
	}
	return nil
}
