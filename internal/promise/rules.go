package promise

import (
	"errors"
	"fmt"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/record"
)

// Round is one way through the rules of a selection, outer polydirs before those
// inside them: each is looked at, decided upon, and handed to Cover. The module
// stages there, a command notes; what a rule meets is the same for both.
type Round struct {
	Subject plan.Subject
	Machine plan.Machine
	// Own is the user whose mounts may be waited for: the session's. A command of
	// root's waits for nobody's: dirfd.NoUID.
	Own uint32
	// Cover carries a step out, or notes it, and lays what will stand at the
	// polydir over the view, at the spot that it returns.
	Cover func(plan.Step, *observe.Scene, dirfd.View) (dirfd.Spot, *plan.Refusal)
	// Refused is called for each refusal, with what was seen (nil: nothing). It
	// returns whether the round goes on with the next rule.
	Refused func(plan.Rule, *observe.Scene, *plan.Refusal) (goOn bool)
	// Unseen is told of a rule whose polydir the session alone can look at: it lies
	// in an instance that is not made yet, or on a filesystem that the session's user
	// mounted, and then theirs says so. What else the rule meets does not refuse it.
	Unseen func(rule plan.Rule, theirs string)

	// View is what the rules so far have made of the view. A round that begins in
	// another session's view is given that one's.
	View dirfd.View

	covered []covered
	walks   dirfd.Walks
}

// covered is a polydir that a step of this round covers.
type covered struct {
	path string
	spot dirfd.Spot
}

// Records says why sessions cannot be recorded. No session to which a polydir applies
// can be opened then.
func Records() *plan.Refusal { return records(record.Possible()) }

// Turn says why no session of the user's could be recorded beside their others.
func Turn(n config.Namespace, who plan.Subject) *plan.Refusal {
	if n.Scope != config.ScopeUser {
		return nil
	}
	return records(record.TurnPossible(who.UID))
}

func records(err error) *plan.Refusal {
	if err == nil {
		return nil
	}
	return HostFault(fmt.Errorf("the records of sessions: %w", err))
}

// Go goes through the rules.
func (r *Round) Go(rules []plan.Rule) {
	if r.View == nil {
		r.View = dirfd.View{}
	}
	defer r.walks.Close()
	random := r.Machine.Random
	for i, rule := range rules {
		r.Machine.Random = fmt.Sprintf("%s%02x", random, i) // two polydirs may share a parent
		again, goOn := r.rule(rule, false)
		if again {
			_, goOn = r.rule(rule, true)
		}
		if !goOn {
			break
		}
	}
	r.Machine.Random = random
}

// rule takes one rule through. again: what was decided upon changed meanwhile, and it
// is to be decided once more; the last time that is a refusal like others.
func (r *Round) rule(rule plan.Rule, last bool) (again, goOn bool) {
	scene, refusal := observe.Rule(&r.walks, rule, r.Subject, r.Machine, r.View, r.Own)
	if scene != nil {
		defer scene.Close()
		r.compare(rule, scene)
		switch unseen := errors.Is(scene.PolydirErr, dirfd.ErrNotYet) && scene.Facts.SameAs == "" && scene.Facts.Inside == ""; {
		case unseen && scene.Polydir.LaidLast:
			// the instance of another session's, which is like the directory that
			// it is to cover
			delete(r.View, scene.Polydir.Laid)
			return r.rule(rule, last)
		case unseen:
			r.Unseen(rule, "")
			return false, true
		}
	}
	var step plan.Step
	if refusal == nil {
		facts, theirs := scene.Facts, ""
		if r.Own != r.Subject.UID && dirfd.IsMountOf(r.Subject.UID, scene.PolydirErr) {
			theirs = facts.Polydir.Problem
			// the rest is judged as if the polydir were there
			facts.Polydir.Problem, facts.Polydir.Exists, facts.Polydir.VoidOwners = "", true, true
		}
		if step, refusal = plan.Decide(rule, r.Subject, facts, r.Machine); theirs != "" && refusal == nil {
			r.Unseen(rule, theirs)
			return false, true
		}
	}
	var spot dirfd.Spot
	if refusal == nil {
		spot, refusal = r.Cover(step, scene, r.View)
	}
	switch {
	case refusal == nil:
		r.covered = append(r.covered, covered{step.Path, spot})
		return false, true
	case refusal.Again && !last:
		return true, false
	}
	return false, r.Refused(rule, scene, refusal)
}

// compare notes where the rule meets an earlier one under another name: as a
// mount upon the very same directory, or in its instance.
func (r *Round) compare(rule plan.Rule, scene *observe.Scene) {
	way := scene.Polydir
	missing := way.Missing || errors.Is(scene.PolydirErr, dirfd.ErrNotYet)
	for _, c := range r.covered {
		switch {
		case way.Laid != c.spot, way.Laid == dirfd.Spot{}:
		case way.LaidLast:
			scene.Facts.SameAs = c.path
		case missing && !strings.HasPrefix(rule.Path, c.path+"/"):
			scene.Facts.Inside = c.path
		}
	}
}
