package main

import (
	"slices"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/script"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
)

// rehearsal is the round of a session that is not opened: it makes nothing, and
// lays the instances that are there over the view.
type rehearsal struct {
	promise.Round
	Steps []plan.Step
	held  []dirfd.Dir
}

// Go goes through the rules.
func (h *rehearsal) Go(rules []plan.Rule) {
	h.Cover, h.Own = h.cover, dirfd.NoUID
	h.Round.Go(rules)
	for _, step := range h.Steps {
		if r := h.init(step); r != nil {
			i := slices.IndexFunc(rules, func(r plan.Rule) bool { return r.Path == step.Path })
			h.Refused(rules[i], nil, r)
		}
	}
}

// init judges an init script where it would run: in the finished view, in which a
// polydir may cover its path.
func (h *rehearsal) init(step plan.Step) *plan.Refusal {
	if step.Init == nil {
		return nil
	}
	if _, err := script.CheckIn(step.Init.Path, h.View); err != nil {
		return &plan.Refusal{Fault: plan.FaultHost, Polydir: step.Path, Reason: err.Error(), Key: "init"}
	}
	return nil
}

// cover notes the step. An instance, tmpfs or polydir that the session would make
// is laid as one that nobody can look into yet.
func (h *rehearsal) cover(step plan.Step, scene *observe.Scene, view dirfd.View) (dirfd.Spot, *plan.Refusal) {
	h.Steps = append(h.Steps, step)
	if scene.Polydir.Missing {
		return dirfd.Spot{}, nil // nothing that is there lies inside
	}
	spot := scene.Polydir.Stat.Spot()
	view[spot] = dirfd.Over{}
	switch step.Source {
	case plan.Itself, plan.Another:
		below := &scene.Polydir
		if step.Source == plan.Another {
			below = &scene.Source
		}
		view[spot] = dirfd.Over{Dir: h.keep(&below.Dir), Foreign: below.Exposure.ForeignReason}
		return spot, nil
	case plan.ExistingInstance:
	default:
		return spot, nil
	}
	if step.Overlay != nil {
		return spot, nil // only the session lays it
	}
	instance := h.keep(&scene.Instance)
	view[spot] = dirfd.Over{Dir: instance, Foreign: scene.Parent.Exposure.ForeignReason}
	if st, err := instance.Stat(); err == nil {
		for _, k := range step.Keep {
			entry := scene.Kept[k.Name]
			delete(scene.Kept, k.Name)
			view[dirfd.Spot{ID: dirfd.ID(k.Point), Mount: st.MountID}] = dirfd.Over{Dir: h.keep(&entry)}
		}
	}
	return spot, nil
}

// keep takes a handle over, which the view goes on to use.
func (h *rehearsal) keep(d *dirfd.Dir) dirfd.Dir {
	taken := *d
	*d = dirfd.Dir{}
	h.held = append(h.held, taken)
	return taken
}

func (h *rehearsal) close() {
	for i := range h.held {
		h.held[i].Close()
	}
	h.held = nil
}
