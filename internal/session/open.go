package session

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/hostconn"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/record"
)

// Open answers a host that opens a session, by exactly one report.
func Open(req Request, host Host) {
	c := &call{req: req, host: host}
	defer c.close()
	if r := c.open(); r != nil {
		c.refuse(r)
	}
}

func (c *call) open() *polyinst.Refusal {
	var err error
	if c.args, err = config.ParseArgs(c.req.Args); err != nil {
		return configFault(fmt.Errorf("PAM line: %w", err))
	}
	if r := c.loadConfig(); r != nil {
		return r
	}
	c.host.Deadline(uint32(c.config.Namespace.Timeout.Milliseconds()))
	c.until = time.Now().Add(c.config.Namespace.Timeout)
	if r := c.identify(); r != nil {
		return r
	}
	selection, r := polyinst.Select(c.config, c.who)
	if r != nil {
		return r
	}
	for _, v := range selection.Verdicts {
		c.debug("polydir %q: applies %v: %s", v.Path, v.Applies, v.Why)
	}
	if c.args.RequireSELinux && !observe.SELinuxActive() {
		return hostFault(errors.New("require_selinux, but SELinux is not active here"))
	}
	if c.nothingToDo(selection) {
		return nil
	}
	c.security = observe.Security(c.contextFrom(), c.who)
	c.selection = selection
	return c.build(selection)
}

func (c *call) contextFrom() observe.ContextFrom {
	switch {
	case c.args.UseCurrentContext:
		return observe.CurrentContext
	case c.args.UseDefaultContext:
		return observe.DefaultContext
	}
	return observe.ExecContext
}

// nothingToDo answers at once where no polydir applies and there is no record
// of any namespace of ours that the session could be in.
func (c *call) nothingToDo(selection polyinst.Selection) bool {
	if len(selection.Rules) > 0 || record.Any() {
		return false
	}
	c.quietClose(nil)
	c.stay("")
	return true
}

func (c *call) build(selection polyinst.Selection) *polyinst.Refusal {
	if r := c.lookAround(); r != nil {
		if len(selection.Rules) == 0 {
			c.host.Log(hostconn.Warning, fmt.Sprintf("nothing applies, and the session stays in the view that it is in: %v", r))
			c.stay("")
			return nil
		}
		return r
	}
	if r := c.alone(); r != nil {
		return r
	}
	context := ""
	if c.security.Labels() || selection.ByContext() {
		context = c.security.Session
	}
	digest := selection.Digest(c.config.Namespace, context)
	if len(selection.Rules) > 0 && c.inItsView(digest) {
		c.counts()
		c.quietClose(c.own)
		c.stay("")
		c.debug("the session is in its view already (mnt:[%d])", c.ns)
		return nil
	}
	base, r := c.base(selection)
	if r != nil {
		return r
	}
	if len(selection.Rules) == 0 && base == stayHere {
		c.quietClose(c.own)
		c.stay("")
		return nil
	}
	if err := mntns.Supported(); err != nil && len(selection.Rules) > 0 {
		return hostFault(err)
	}
	if !c.req.InPlace {
		ok, r := c.joinable()
		if r != nil {
			return r
		}
		if !ok {
			return c.withoutJoin(selection, base)
		}
	}
	origin := c.ns
	switch {
	case c.own != nil:
		origin = c.own.Host
	case c.req.InPlace:
		origin = c.req.HostNS
	}
	var outer []string
	if base == hostView && !c.req.InPlace {
		if r := c.enterHostView(); r != nil {
			return r
		}
		outer = c.own.Paths()
		if selection.LeavesOnly(c.nested()) {
			return c.joinHostView(outer)
		}
	}
	if c.shared() {
		return c.share(selection, digest, origin, outer)
	}
	return c.construct(selection, digest, origin, outer)
}

// inItsView tells whether the host is in just the view that the session would
// get, as by the second open of `su -`. What was mounted over it or taken off
// since, by whom ever, is not that view.
func (c *call) inItsView(digest string) bool {
	return c.own != nil && !c.req.InPlace && c.own.User == c.who.User && c.own.Digest == digest && c.own.Stands()
}

// withoutJoin is the answer to a host that may not join another namespace: it
// can be built in place, but never leave the view that it is in.
func (c *call) withoutJoin(selection polyinst.Selection, base base) *polyinst.Refusal {
	if c.shared() && len(selection.Rules) > 0 {
		return hostFault(errors.New("scope = \"user\" wants a program that may join a namespace, and this one may not (CAP_SYS_CHROOT, a chroot, or SELinux without the policy module in dist/selinux)"))
	}
	if base == hostView {
		if c.nested() == config.NestedEscape {
			return hostFault(errors.New("nested = \"escape\" wants the host's view, and this program may not join it (CAP_SYS_CHROOT, a chroot, or SELinux without the policy module in dist/selinux)"))
		}
		c.host.Log(hostconn.Warning, "nested session: this program may not join the host's view (CAP_SYS_CHROOT, or a chroot): the session is built on the view that it is in")
		if len(selection.Rules) == 0 {
			c.stay("")
			return nil
		}
	}
	_ = c.host.Report(hostconn.Report{Action: hostconn.RetryInPlace, Code: hostconn.Success})
	return nil
}

// bases are what a session can be built from.
type base int

const (
	stayHere base = iota // the view that the host process is in
	hostView             // the host's own, out of a namespace of ours
)

func (c *call) nested() config.Nested {
	if c.args.Nested != nil {
		return *c.args.Nested
	}
	return c.config.Namespace.Nested
}

// base decides what the session is built from: only where the host process is
// in a namespace of ours there is a choice.
func (c *call) base(selection polyinst.Selection) (base, *polyinst.Refusal) {
	if c.own == nil || c.req.InPlace || selection.Base(c.nested()) == polyinst.OwnView {
		return stayHere, nil
	}
	// all that the outermost session was given of its own returns together
	var err error
	c.hostView, err = mntns.SetOfInit(c.own.HostIDs())
	switch {
	case err == nil:
		return hostView, nil
	case errors.Is(err, mntns.ErrAnother), dirfd.IsDenied(err):
		c.host.Log(hostconn.Warning, fmt.Sprintf("nested session: built on the view that it is in: the outermost session was not built from the view of process 1, or that cannot be told: %v", err))
		return stayHere, nil
	}
	return stayHere, hostFault(fmt.Errorf("the host's view: %w", err))
}

// enterHostView moves the worker into the host's view, by descriptors whose
// identity was checked.
func (c *call) enterHostView() *polyinst.Refusal {
	if c.hostView == nil {
		var err error
		if c.hostView, err = mntns.SetOfInit(c.own.HostIDs()); err != nil {
			return hostFault(fmt.Errorf("the host's view: %w", err))
		}
	}
	if err := c.hostView.Enter(); err != nil {
		return hostFault(err)
	}
	c.entered = true
	return nil
}

// private are the kinds of namespaces that the session gets of its own.
func (c *call) private() mntns.Kinds {
	kinds := mntns.Mount
	for _, k := range []struct {
		on   bool
		kind mntns.Kinds
	}{{c.config.Namespace.IPC, mntns.IPC}, {c.config.Namespace.UTS, mntns.UTS}, {c.config.Namespace.Network, mntns.Net}} {
		if k.on {
			kinds |= k.kind
		}
	}
	return kinds
}

// joinable tells whether the host may join the worker's namespace, before
// anything is made: setns(2) wants CAP_SYS_ADMIN and CAP_SYS_CHROOT, and for a
// pidfd the right to trace the worker, which a host with another real uid has
// by CAP_SYS_PTRACE only. A chrooted host would lose its root.
func (c *call) joinable() (bool, *polyinst.Refusal) {
	caps, err := mntns.OwnCapabilities()
	if err != nil {
		return false, hostFault(err)
	}
	if !caps.SysAdmin {
		r := hostFault(fmt.Errorf("the host lacks CAP_SYS_ADMIN, which a mount namespace needs"))
		if hint := observe.DeniedHint(); hint != "" && c.security.Module == polyinst.AppArmor {
			r.Reason += "; " + hint // a profile takes capabilities away
		}
		return false, r
	}
	return caps.SysChroot && c.rooted && !c.chroot && (c.req.HostUID == 0 || caps.SysPtrace), nil
}

// joinHostView is the way out of a namespace of ours, for an exempt user.
func (c *call) joinHostView(outer []string) *polyinst.Refusal {
	cwd, err := apply.WorkingDir(c.cwd, outer, c.who.UID)
	if err != nil {
		return hostFault(err)
	}
	defer cwd.Close()
	c.quietClose(nil)
	err = c.host.Report(hostconn.Report{Action: c.action(), Code: hostconn.Success, NSTypes: c.own.Kinds(), Cwd: cwd,
		Priority: hostconn.Info, Text: fmt.Sprintf("session opened for %q in the host's view", c.who.User)})
	if err != nil {
		c.host.Log(hostconn.Err, err.Error())
		return nil
	}
	c.auditOpened(nil, c.own.Host)
	return nil
}

// construct builds the view: stage, enter, attach, verify, record, report. All
// that can fail comes before the report.
func (c *call) construct(selection polyinst.Selection, digest string, origin mntns.ID, outer []string) *polyinst.Refusal {
	machine, err := observe.Machine()
	if err != nil {
		return hostFault(err)
	}
	machine.ParentModeAny = c.args.IgnoreInstanceParentMode
	machine.HashNames = c.args.GenHash
	machine.Security = c.security
	machine.InitDir = observe.InitDir(c.args.Conf)
	before, err := c.hostIDs()
	if err != nil {
		return hostFault(err)
	}
	staged, plan, r := c.stage(selection, machine)
	undo := func() {
		// in place the host goes on to use this view; elsewhere what is mounted
		// in an instance would be in the way of its removal
		apply.DetachAll(staged)
		for _, s := range staged {
			s.Undo()
		}
	}
	if r == nil {
		c.logPlan(plan)
		staged, r = c.enter(staged)
	}
	if r != nil {
		undo()
		return r
	}
	c.logLeftOut(staged)
	rec, random := c.note(staged, digest, origin), machine.Random
	rec.HostPrivate = before
	id, err := mntns.OwnID()
	if err == nil {
		rec.NS = id
		rec.Private, err = mntns.OwnIDs(before.Kinds())
	}
	if err == nil {
		root := c.nsRoot // built in place, perhaps below a chroot
		if !c.req.InPlace {
			root, err = rootStat()
		}
		rec.Root, rec.Unique = root.MountID, root.MountUnique
	}
	if err == nil && c.store.IsOpen() {
		if err = c.store.Write(rec, random); err != nil && c.unrecorded(err) == nil {
			err = nil
		}
	}
	var cwd dirfd.Dir
	if err == nil {
		for _, s := range staged {
			outer = append(outer, s.Step.Path, s.Real)
			s.Release()
		}
		cwd, err = apply.WorkingDir(c.cwd, outer, c.who.UID)
	}
	if err == nil {
		err = c.publish(id)
	}
	if err != nil {
		undo()
		return hostFault(err)
	}
	defer cwd.Close()
	c.counts()
	c.quietClose(&rec)
	err = c.host.Report(hostconn.Report{Action: c.action(), Code: hostconn.Success, NSTypes: c.joins(before),
		Cwd: cwd, Priority: hostconn.Info, Text: c.opened(staged, id)})
	if err != nil {
		// the host did not follow: nobody will ever use what was made, unless
		// another session of the user has joined it
		if c.withdraw(id) {
			undo()
			if c.store.IsOpen() {
				_ = c.store.Remove(id)
			}
		}
		return nil
	}
	c.auditOpened(staged, id)
	for _, s := range staged {
		s.Close()
	}
	return nil
}

// hostIDs are, of the kinds that the session will have of its own beside the
// mount namespace, those of the host's view.
func (c *call) hostIDs() (mntns.IDs, error) {
	kinds := c.private() &^ mntns.Mount
	if c.own == nil || c.entered {
		return mntns.OwnIDs(kinds)
	}
	// built on a view of ours: what that one has of its own, this one has too
	ids, err := mntns.OwnIDs(kinds &^ c.own.HostPrivate.Kinds())
	if err == nil {
		maps.Copy(ids, c.own.HostPrivate)
	}
	return ids, err
}

// joins are the namespaces that the host enters in its one step. In place it is
// in the mount namespace already.
func (c *call) joins(private mntns.IDs) mntns.Kinds {
	if c.req.InPlace {
		return private.Kinds()
	}
	kinds := mntns.Mount | private.Kinds()
	if c.own != nil {
		kinds |= c.own.Kinds() // back to the host's, where they are not new
	}
	return kinds
}

func (c *call) action() hostconn.Action {
	switch {
	case c.req.InPlace:
		if c.args.UnmountOnClose {
			c.host.Log(hostconn.Warning, "unmount_on_close: this host cannot return to its view (CAP_SYS_CHROOT); it keeps the session's")
		}
		return hostconn.InPlace
	case c.args.UnmountOnClose:
		return hostconn.JoinKeepBack
	}
	return hostconn.Join
}

// stage observes, decides and stages rule by rule, outer ones first, because a
// polydir may lie inside another one's instance.
func (c *call) stage(selection polyinst.Selection, m polyinst.Machine) ([]*apply.Staged, polyinst.Plan, *polyinst.Refusal) {
	plan := polyinst.Plan{Subject: c.who, Namespace: c.config.Namespace}
	var staged []*apply.Staged
	view := dirfd.View{}
	random := m.Random
	for i, rule := range selection.Rules {
		m.Random = fmt.Sprintf("%s%02x", random, i) // two polydirs may share a parent
		s, r := c.stageRule(rule, m, view, staged)
		if r != nil && r.Again {
			s, r = c.stageRule(rule, m, view, staged)
		}
		if r != nil {
			return staged, plan, r
		}
		staged = append(staged, s)
		plan.Steps = append(plan.Steps, s.Step)
		view[s.Polydir] = s.Mount.Root
		s.LayKept(view)
	}
	return staged, plan, nil
}

func (c *call) stageRule(rule polyinst.Rule, m polyinst.Machine, view dirfd.View, before []*apply.Staged) (*apply.Staged, *polyinst.Refusal) {
	scene, r := observe.Rule(rule, c.who, m, view)
	if r != nil {
		return nil, r
	}
	defer scene.Close()
	for _, s := range before {
		// by another name, as through a symbolic link; seen through the view,
		// it is the instance that covers it already
		if id := scene.Polydir.Stat.ID; id == s.Polydir || id == s.Root {
			return nil, &polyinst.Refusal{Fault: polyinst.FaultConfig, Polydir: rule.Path,
				Reason: fmt.Sprintf("is the same directory as polydir %q: remove one of the two", s.Step.Path)}
		}
	}
	step, r := polyinst.Decide(rule, c.who, scene.Facts, m)
	if r != nil {
		return nil, r
	}
	return apply.Stage(step, scene, c.who, c.config.Namespace.Propagation)
}

// enter returns all that is staged then: what goes with a new namespace can only
// be made in it.
func (c *call) enter(staged []*apply.Staged) ([]*apply.Staged, *polyinst.Refusal) {
	kinds := c.private()
	if c.req.InPlace {
		kinds &^= mntns.Mount
	}
	if err := mntns.Unshare(kinds); err != nil {
		return staged, hostFault(err)
	}
	if !c.req.InPlace {
		if r := apply.Isolate(c.config.Namespace.Propagation); r != nil {
			return staged, r
		}
	}
	if r := c.attach(staged); r != nil {
		return staged, r
	}
	if kinds&mntns.IPC != 0 {
		queues, r := apply.StageMqueue()
		if r != nil {
			return staged, r
		}
		if queues != nil {
			staged = append(staged, queues)
			if r := c.attach(staged[len(staged)-1:]); r != nil {
				return staged, r
			}
		}
	}
	if kinds&mntns.Net != 0 {
		if err := mntns.RaiseLoopback(); err != nil {
			return staged, hostFault(err)
		}
	}
	// with time to spare: the worker must outlive the scripts, to end them
	r := apply.RunInits(staged, c.until.Add(-time.Second), func(polydir, line string) {
		c.host.Log(hostconn.Info, fmt.Sprintf("polydir %q: init: %s", polydir, line))
	})
	if r != nil {
		return staged, r
	}
	return staged, apply.Verify(staged)
}

// attach puts staged mounts in their places.
func (c *call) attach(staged []*apply.Staged) *polyinst.Refusal {
	if c.req.InPlace {
		if c.mounted += len(staged); c.mounted > hostconn.MountsMax {
			return hostFault(fmt.Errorf("more than %d mounts cannot be built in place", hostconn.MountsMax))
		}
		// the host takes them off again should this worker die (I-9)
		for _, s := range staged {
			c.host.Mounted(s.Mount.Root)
		}
	}
	return apply.Attach(staged)
}

func rootStat() (dirfd.Stat, error) {
	root, err := dirfd.Root()
	if err != nil {
		return dirfd.Stat{}, err
	}
	defer root.Close()
	return root.Stat()
}

func (c *call) note(staged []*apply.Staged, digest string, origin mntns.ID) record.Record {
	rec := record.Record{Host: origin, Base: c.builtFrom(), User: c.who.User, UID: c.who.UID, Service: c.req.Service, TTY: c.req.TTY,
		RHost: c.req.RHost, Opened: now(), HostPID: c.req.HostPID, Digest: digest, View: c.view}
	if c.view != "" {
		rec.Sessions = []record.Session{c.session()}
	}
	for _, s := range staged {
		if s.Step.Source == polyinst.NewMqueue {
			continue // told by the IPC namespace
		}
		rec.Polydirs = append(rec.Polydirs, record.Polydir{Path: s.Step.Path, Real: s.Real, Method: string(s.Step.Method),
			Parent: s.Step.Parent, Name: s.Step.Name, Dev: s.Root.Dev, Ino: s.Root.Ino, MountID: s.MountID, Keep: s.Kept()})
	}
	return rec
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
			c.host.Log(hostconn.Warning, fmt.Sprintf("polydir %q: keep: left out: %s", s.Step.Path, strings.Join(all, ", ")))
		}
	}
}

func (c *call) opened(staged []*apply.Staged, id mntns.ID) string {
	var b strings.Builder
	fmt.Fprintf(&b, "session opened for %q (uid %d) in mnt:[%d]:", c.who.User, c.who.UID, id)
	for i, s := range staged {
		if s.Step.Source == polyinst.NewMqueue {
			continue
		}
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s -> %s", s.Step.Path, instanceOf(s))
	}
	return b.String()
}

// instanceOf is the path of the instance; "tmpfs" where it has none.
func instanceOf(s *apply.Staged) string {
	if s.Step.Source == polyinst.NewTmpfs {
		return "tmpfs"
	}
	return s.Step.Parent + "/" + s.Step.Name
}
