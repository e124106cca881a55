package session

import (
	"fmt"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/audit"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
	"pam_polyinst/internal/sessions/record"
)

// AboutHost is what a worker knows of its host beyond what it sees from where it
// stands, which is in the host's namespaces, root and working directory. A forked
// worker has it from the host (Inherited); a ready one asks the kernel.
type AboutHost interface {
	// Capabilities are those of the host's thread.
	Capabilities() (mntns.Capabilities, error)
	// Thread is the host's: security modules are asked of it what the session gets.
	Thread() lsm.Thread
	// Apart says why a security module tells what this worker does from what the host
	// does; nil: it does not. A worker that is apart runs no script of a session: what one
	// may do, and how what it makes is labelled, goes by who runs it. Nor does it refuse
	// a session for what was denied to itself.
	Apart() error
	// MayLabel reports, of a worker that is apart, whether SELinux would let the host
	// give a directory this context.
	MayLabel(context string) bool
	// Exe is the path of the host program.
	Exe() string
	// Login says in whose name the kernel's audit log has the host, where it does
	// not say so by itself.
	Login() audit.Login
	// By is what of the worker the record of the session keeps.
	By() string
	// Ends tells somebody who outlives this process when a namespace has ended; the
	// zero one nobody.
	Ends() mountfd.Ends
}

// Inherited is the AboutHost of a worker that was forked from its host: all of it is
// the worker's own. Why says why no ready worker served.
type Inherited struct{ Why string }

// Capabilities implements AboutHost.
func (Inherited) Capabilities() (mntns.Capabilities, error) { return mntns.OwnCapabilities() }

// Thread implements AboutHost: a fork has its parent's attributes.
func (Inherited) Thread() lsm.Thread { return lsm.Own() }

// Apart implements AboutHost.
func (Inherited) Apart() error { return nil }

// MayLabel implements AboutHost: a fork tries it.
func (Inherited) MayLabel(string) bool { return true }

// Exe implements AboutHost.
func (Inherited) Exe() string { return audit.OwnExe() }

// Login implements AboutHost: the kernel stamps the worker's records, and a fork has
// the same login.
func (Inherited) Login() audit.Login { return audit.Login{} }

// Ends implements AboutHost.
func (Inherited) Ends() mountfd.Ends { return mountfd.Ends{} }

// By implements AboutHost.
func (i Inherited) By() string {
	if i.Why == "" {
		return "forked"
	}
	return "forked: " + i.Why
}

// place is where the host stands.
type place struct {
	cwd    apply.Cwd
	root   dirfd.Dir // of the host, where it is in a chroot
	chroot bool      // the host's root is not that of its namespace
	rooted bool      // GoToRoot was possible
	ns     mntns.ID
	here   mntns.Identity // of that namespace
	store  record.Store
	own    *record.Record // of the namespace that the host is in, if it is ours
}

// findPlace notes where the host is: its working directory, its root, its namespace
// and what we know of that. It changes only where this process stands, and only in
// between. In a chroot without CAP_SYS_CHROOT it leaves open what it cannot find out.
func (c *call) findPlace() *plan.Refusal {
	var err error
	c.cwd = apply.LookAtCwd()
	if c.root, err = dirfd.Root(); err != nil {
		return hostFault(err)
	}
	before, err := c.root.Stat()
	if err != nil {
		return hostFault(err)
	}
	err = mntns.GoToRoot()
	if c.rooted = err == nil; !c.rooted && !dirfd.IsDenied(err) {
		return hostFault(err) // not a right that is missing: another way would not do better
	}
	after, err := dirfd.RootStat()
	if err != nil {
		return hostFault(err)
	}
	c.chroot = before.ID != after.ID || before.MountID != after.MountID
	if c.ns, err = mntns.OwnID(); err != nil {
		return hostFault(fmt.Errorf("%w (is /proc mounted?)", err))
	}
	c.here = mntns.Identify(c.ns, after)
	if c.store, err = record.Open(); err != nil {
		if r := c.unrecorded(err); r != nil {
			return r
		}
	}
	if r := c.backToChroot(); r != nil {
		return r
	}
	return c.readRecord()
}

// backToChroot goes back to the host's root directory, if that is not the
// namespace's.
func (c *call) backToChroot() *plan.Refusal {
	if !c.chroot {
		return nil
	}
	if err := mntns.Chroot(c.root); err != nil {
		return hostFault(err)
	}
	return nil
}

// readRecord finds out whether the namespace that the host is in, or was in
// before it unshared itself, is ours.
func (c *call) readRecord() *plan.Refusal {
	if !c.store.IsOpen() {
		return nil
	}
	if c.req.InPlace {
		// a copy of a namespace has other mounts than the record says
		all, err := c.store.OfNumber(c.req.HostNS)
		if err != nil {
			return c.unrecorded(err)
		}
		for i := range all {
			if all[i].ShowsInstances() && (c.own == nil || c.own.Opened < all[i].Opened) {
				c.own = &all[i]
			}
		}
		return nil
	}
	var err error
	if c.own, err = c.store.Of(c.here); err != nil {
		return c.unrecorded(err)
	}
	return nil
}

// unrecorded judges records that cannot be read or written. If SELinux denies them to
// this program, a session is possible without them, and the log says what is lost.
func (c *call) unrecorded(err error) *plan.Refusal {
	// asked now: the mode may have changed since the session's context was read
	if !dirfd.IsDenied(err) || !observe.SELinuxActive() {
		return c.recordFault(err)
	}
	c.store.Close()
	c.host.Log(wire.Warning, fmt.Sprintf("SELinux denies this program the records of sessions (%v): nested sessions are built on the view that they are in, tmpdir instances wait for `polyinst gc`; the policy module in dist/selinux permits them", err))
	return nil
}

// recordFault is a refusal because of the records.
func (c *call) recordFault(err error) *plan.Refusal {
	return hostFault(fmt.Errorf("the records of sessions: %w", err))
}

// facts is where the host stands, for the decision which way to go.
func (c *call) facts() plan.Place {
	at := plan.Place{InPlace: c.req.InPlace, Kernel: c.Possible()}
	if !c.req.InPlace {
		at.Joins, at.Host = c.joinable()
	}
	if c.own == nil || c.req.InPlace {
		return at
	}
	at.Outer = c.Outer(*c.own)
	if c.Selection.Base(c.Nested()) == plan.HostView {
		c.hostView = promise.OpenHostView(*c.own, at.Outer)
	}
	return at
}

// joinable reports whether the host may join the worker's namespace, before
// anything is made: setns(2) wants CAP_SYS_ADMIN and CAP_SYS_CHROOT, and for a
// pidfd the right to trace the worker, which a host with another real uid has
// by CAP_SYS_PTRACE only. A chrooted host would lose its root.
func (c *call) joinable() (bool, *plan.Refusal) {
	caps, err := c.of.Capabilities()
	if err != nil {
		return false, hostFault(err)
	}
	if !caps.SysAdmin {
		r := hostFault(fmt.Errorf("the host lacks CAP_SYS_ADMIN, which a mount namespace needs"))
		if hint := observe.DeniedHint(c.of.Thread()); hint != "" && c.Security().Module == plan.AppArmor {
			r.Reason += "; " + hint // a profile takes capabilities away
		}
		return false, r
	}
	return caps.SysChroot && c.rooted && !c.chroot && (c.req.HostUID == 0 || caps.SysPtrace), nil
}

// origin is the view that the outermost session was, or is, built from.
func (c *call) origin() mntns.ID {
	switch {
	case c.own != nil:
		return c.own.Host
	case c.req.InPlace:
		return c.req.HostNS
	}
	return c.ns
}

// builtFrom is the mount namespace of which the session's is a copy.
func (c *call) builtFrom() mntns.ID {
	switch {
	case c.entered:
		return c.own.Host
	case c.req.InPlace:
		return c.req.HostNS
	}
	return c.ns
}
