package session

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
	"pam_polyinst/internal/sessions/record"
)

// building is a view that is being built, and what it takes to take it back.
type building struct {
	*call
	private mntns.IDs // of the host's view, of the kinds that the session has of its own beside the mount namespace
	staged  []*apply.Staged
	random  string // what is random in the names of what was made
	rec     record.Record
	undo    undo
	watched bool // somebody is told of the namespace's end
}

// undo is what takes back what was done, the last thing first.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

func (u *undo) run() {
	for _, f := range slices.Backward(*u) {
		f()
	}
	*u = nil
}

// construct builds the view: stage, enter, attach, verify, record, report. All
// that can fail comes before the report.
func (c *call) construct(origin mntns.ID) *plan.Refusal {
	b := &building{call: c}
	r := b.build()
	if r == nil {
		c.logLeftOut(b.staged)
		c.logImpatient(b.staged)
		r = b.record(origin)
	}
	if r != nil {
		b.undo.run()
		return r
	}
	if r := b.publish(); r != nil {
		return r
	}
	// now that no other session waits: a filesystem of a user's may have to be asked
	at, err := c.stand(b.own())
	if err != nil {
		b.withdraw()
		return hostFault(err)
	}
	defer at.Close()
	c.counts()
	c.skipClose(&b.rec)
	err = c.host.Report(wire.Report{Action: c.action(), Code: wire.Success, NSTypes: c.joins(b.private),
		Cwd: at.Dir, Priority: wire.Info, Text: c.opened(b.rec, fmt.Sprintf("mnt:[%d]", b.rec.NS))})
	if err != nil { // the host did not follow
		b.withdraw()
		return nil
	}
	c.auditOpened(b.rec.NS, b.rec.Polydirs)
	for _, s := range b.staged {
		s.Close()
	}
	return nil
}

// build makes the view as far as it is to be seen by nobody else. What a refused
// one has made is undone.
func (b *building) build() (r *plan.Refusal) {
	var err error
	if b.private, err = b.hostIDs(); err != nil {
		return hostFault(err)
	}
	for again := true; ; again = false {
		if r = b.stageAndEnter(); r == nil {
			return nil
		}
		// another session has finished an instance while this one's script ran
		if !r.Again || !again {
			return r
		}
		b.undo.run()
		b.staged = nil
	}
}

func (b *building) stageAndEnter() *plan.Refusal {
	machine, err := b.Machine()
	if err != nil {
		return hostFault(err)
	}
	b.random = machine.Random
	made, r := b.stage(machine)
	if r != nil {
		return r
	}
	b.logPlan(made)
	return b.enter()
}

// publish lets go of what other sessions wait for, and lets the user's join.
func (b *building) publish() *plan.Refusal {
	for _, s := range b.staged {
		s.Release()
	}
	if err := b.letOthersJoin(b.rec.Identity); err != nil {
		if b.turn != nil || b.letNobodyJoin(b.rec.NS) { // else it was published, and another session has joined it
			b.undo.run()
		}
		return hostFault(err)
	}
	b.release()
	return nil
}

// withdraw takes back what nobody will ever use, unless another session of the
// user has joined it.
func (b *building) withdraw() {
	if !b.letNobodyJoin(b.rec.NS) {
		return
	}
	b.undo.run()
	if b.store.IsOpen() {
		_ = b.store.Remove(b.rec.Identity)
	}
}

// own are the paths that the view covers.
func (b *building) own() []string {
	var paths []string
	for _, s := range b.staged {
		paths = append(paths, s.Step.Path, s.Real)
	}
	return paths
}

// stage observes, decides and stages rule by rule, outer ones first, because a
// polydir may lie inside another one's instance.
func (b *building) stage(m plan.Machine) (plan.Plan, *plan.Refusal) {
	made := plan.Plan{Subject: b.Who, Namespace: b.Config.Namespace}
	var refusal *plan.Refusal
	round := promise.Round{Subject: b.Who, Machine: m, Own: b.Who.UID,
		Cover: func(step plan.Step, scene *observe.Scene, view dirfd.View) (dirfd.Spot, *plan.Refusal) {
			if r := b.declines(step); r != nil {
				return dirfd.Spot{}, r
			}
			for _, w := range step.Warnings(b.Who.User) {
				b.host.Log(wire.Warning, w)
			}
			s, r := apply.Stage(step, scene, b.Who, b.Config.Namespace.Propagation, b.waits())
			if r != nil {
				return dirfd.Spot{}, r
			}
			if s.Exclusive() {
				b.hold()
			}
			b.add(s)
			made.Steps = append(made.Steps, s.Step)
			s.Lay(view)
			return s.Spot, nil
		},
		Refused: func(_ plan.Rule, _ *observe.Scene, r *plan.Refusal) bool { refusal = r; return false },
	}
	round.Go(b.Selection.Rules)
	if refusal == nil {
		b.watch()
	}
	return made, refusal
}

// watch has it told when the namespace has ended, if then a tmpdir instance is to be
// removed, and the kernel says by the record's id that it was this one.
func (b *building) watch() {
	ends, here := b.of.Ends(), b.here
	if b.watched = false; ends.FD() < 0 || here.Ever == 0 || b.req.InPlace {
		return
	}
	for _, s := range b.staged {
		if !s.Step.Fresh {
			continue
		}
		err := s.Mark(ends)
		if b.watched = err == nil; !b.watched {
			b.debug("close will remove the tmpdir instances: %v", err)
		}
		return
	}
}

func (b *building) add(s *apply.Staged) {
	b.staged = append(b.staged, s)
	b.undo.add(s.Undo)
}

// enter makes the namespaces, and the view in them.
func (b *building) enter() *plan.Refusal {
	kinds := b.kinds()
	if b.req.InPlace {
		kinds &^= mntns.Mount
	}
	network, named, r := promise.Network(b.Config.Namespace, b.Who)
	if r != nil {
		return r
	}
	if named {
		defer network.Close()
		kinds &^= mntns.Net
	}
	err := mntns.Unshare(kinds, b.payer())
	b.host.Retake()
	if err == nil && named {
		err = network.EnterOwn()
	}
	if err != nil {
		return hostFault(err)
	}
	if r := b.isolate(); r != nil {
		return r
	}
	// in place the host goes on to use this view; elsewhere what is mounted in an
	// instance would be in the way of its removal
	b.undo.add(func() { apply.DetachAll(b.staged) })
	if r := b.attach(b.staged); r != nil {
		return r
	}
	if kinds&mntns.IPC != 0 {
		queues, r := apply.StageMqueue() // it goes with a new namespace, and can only be made in it
		if r != nil {
			return r
		}
		if queues != nil {
			b.add(queues)
			b.undo.add(func() { apply.DetachAll(b.staged[len(b.staged)-1:]) })
			if r := b.attach(b.staged[len(b.staged)-1:]); r != nil {
				return r
			}
		}
	}
	if kinds&mntns.Net != 0 {
		if err := mntns.RaiseLoopback(); err != nil {
			return hostFault(err)
		}
	}
	// with time to spare: the worker must outlive the scripts, to end them
	r = apply.RunInits(b.staged, b.until.Add(-time.Second), func(polydir, line string) {
		b.host.Log(wire.Info, fmt.Sprintf("polydir %q: init: %s", polydir, line))
	})
	if r != nil {
		return r
	}
	return apply.Verify(b.staged, b.cut)
}

// isolate cuts off the namespace that is built in. That is done at its root, where
// a chroot need be no mount.
func (c *call) isolate() *plan.Refusal {
	if c.req.InPlace && c.rooted {
		if err := mntns.GoToRoot(); err != nil {
			return hostFault(err)
		}
	}
	var r *plan.Refusal
	if c.cut, r = apply.Isolate(c.Config.Namespace.Propagation); r != nil {
		return r
	}
	if c.req.InPlace {
		return c.backToChroot()
	}
	return nil
}

// attach puts staged mounts where they belong.
func (c *call) attach(staged []*apply.Staged) *plan.Refusal {
	if c.req.InPlace {
		var roots []dirfd.Dir
		for _, s := range staged {
			roots = append(roots, s.Mounts()...)
		}
		if c.mounted += len(roots); c.mounted > wire.MountsMax {
			return hostFault(fmt.Errorf("more than %d mounts cannot be built in place", wire.MountsMax))
		}
		// the host takes them off again should this worker die (I-9)
		for _, root := range roots {
			if err := c.host.Mounted(root); err != nil {
				r := hostFault(err)
				r.Fault = plan.FaultUser // whoever started it may have stopped it
				return r
			}
		}
	}
	return apply.Attach(staged)
}

// logLeftOut says what of `keep` the session did not get, in one line for each
// polydir.
func (c *call) logLeftOut(staged []*apply.Staged) {
	for _, s := range staged {
		var all []string
		for _, l := range s.Step.LeftOut {
			all = append(all, fmt.Sprintf("%q (%s)", l.Name, l.Why))
		}
		if len(all) > 0 {
			c.host.Log(wire.Warning, fmt.Sprintf("polydir %q: keep: left out: %s", s.Step.Path, strings.Join(all, ", ")))
		}
	}
}

// logImpatient says where another session's init script was not waited for.
func (c *call) logImpatient(staged []*apply.Staged) {
	for _, s := range staged {
		if s.Impatient() {
			c.host.Log(wire.Warning, fmt.Sprintf("polydir %q: init: the script of another session for the same instance does not come to an end, and was not waited for", s.Step.Path))
		}
	}
}
