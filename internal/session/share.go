package session

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// With scope "user" the first session of a user builds a namespace, and the
// others join it: those of the same user for whom the same would be built,
// from the same view. There is no pin: the namespace lives as long as a process
// is in it, and a process is the way into it.

// shared reports whether the sessions of the user share a namespace.
func (c *call) shared() bool { return c.Config.Namespace.Scope == config.ScopeUser }

// viewKey is what sessions that share a namespace have in common, as the name of
// a file: digest stands for all that the configuration and the user's context
// make of it, base is the mount namespace that it is built from. Where all that
// tells that one is used again, its number has to do.
func viewKey(digest, user string, base mntns.Identity) string {
	if !base.Unique {
		base.Root = 0
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %d %d %d", digest, user, base.NS, base.Root, base.Ever))
	return hex.EncodeToString(sum[:16])
}

// share joins the namespace of the user's other sessions, or builds it.
func (c *call) share(origin mntns.ID) *plan.Refusal {
	if !c.store.IsOpen() {
		return hostFault(errors.New("scope = \"user\" wants the records of sessions, which SELinux denies this program: the policy module in dist/selinux permits them"))
	}
	base, err := mntns.OwnIdentity() // the view that it is built from is the one that this process is in by now
	if err != nil {
		return hostFault(err)
	}
	err = c.withRoom(func() (err error) { c.turn, err = c.store.Turn(c.Who.UID, c.patient); return err })
	if errors.Is(err, record.ErrBusy) {
		c.host.Log(wire.Warning, fmt.Sprintf("scope = \"user\": %v: this session gets a namespace of its own", err))
		return c.construct(origin)
	}
	if err != nil {
		return c.recordFault(err)
	}
	c.view = viewKey(c.Digest, c.Who.User, base)
	c.hold()
	rec, err := c.turn.Find(c.view)
	if err != nil {
		return c.recordFault(err)
	}
	if rec != nil {
		joined, r := c.enterShared(*rec)
		if r != nil {
			return r
		}
		if joined {
			return c.joinShared(*rec)
		}
	}
	return c.construct(origin)
}

// enterShared moves the worker into the recorded namespaces, by descriptors, if a
// process is in them, and looks at them from inside (I-11). If they are not as
// recorded, the worker leaves them, and a new one is built; the processes that are in
// them stay there.
func (c *call) enterShared(rec record.Record) (bool, *plan.Refusal) {
	// what is looked at are processes of the user's
	fault := func(err error) *plan.Refusal {
		return plan.HostFault(fmt.Errorf("the user's namespace: %w", err), dirfd.IsLimit(err), true)
	}
	outside, err := record.Here()
	if err != nil {
		return false, fault(err)
	}
	notJoined := func(why error) {
		c.host.Log(wire.Warning, fmt.Sprintf("the namespace of %q's other sessions, mnt:[%d], is not joined: %v; this session gets a new one", c.Who.User, rec.NS, why))
	}
	set, why := wayInto(rec)
	switch {
	case set == nil && why != nil:
		notJoined(why)
		return false, nil
	case set == nil:
		c.debug("mnt:[%d]: no process is in it any more", rec.NS)
		return false, nil
	}
	defer set.Close()
	here, err := mntns.OwnIDs(rec.IDs().Kinds())
	if err != nil {
		return false, fault(err)
	}
	back, err := mntns.SetOfTask(os.Getpid(), os.Getpid(), here)
	if err != nil {
		return false, fault(err)
	}
	defer back.Close()
	if err := set.Enter(); err != nil {
		return false, fault(err)
	}
	bad := rec.VerifyInside(outside)
	if bad == nil {
		return true, nil
	}
	if err := back.Enter(); err != nil {
		return false, fault(err)
	}
	notJoined(bad)
	return false, nil
}

// wayInto opens the namespaces by a process that is in them. nil: there is none, or
// why says why the one that is there cannot be used. It tries the known ones first:
// the hosts, and the workers, which are in there until their hosts are. It tries them
// twice, because one of them can be on its way.
func wayInto(rec record.Record) (found mntns.Set, why error) {
	open := func(pid, tid int) mntns.Set {
		set, err := mntns.SetOfTask(pid, tid, rec.IDs())
		if err != nil && !mntns.TaskGone(pid, tid, err) && !errors.Is(err, mntns.ErrAnother) {
			why = err // else it went elsewhere, or has ended
		}
		return set
	}
	for range 2 {
		for _, s := range slices.Backward(rec.Sessions) {
			for _, pid := range []int{s.HostPID, s.Worker} {
				if set := open(pid, pid); set != nil {
					return set, nil
				}
			}
		}
	}
	if mntns.Lives(rec.Ever) == mntns.Ended {
		return nil, nil
	}
	_, err := live.All(func(t live.Task) (bool, error) {
		if t.NS == rec.NS {
			found = open(t.PID, t.TID)
		}
		return found == nil, nil
	})
	if found == nil && err != nil {
		// one of anybody's tasks that cannot be looked at is no reason to refuse
		why = err
	}
	return found, why
}

// joinShared answers with the namespace that the worker has entered.
func (c *call) joinShared(rec record.Record) *plan.Refusal {
	rec.Sessions = append(slices.DeleteFunc(rec.Sessions, func(s record.Session) bool { return !inside(s, rec.NS) }), c.session())
	if err := c.withRoom(func() error { return c.store.Update(rec) }); err != nil {
		return c.recordFault(err)
	}
	for _, p := range rec.Polydirs {
		if err := touch(p); err != nil {
			c.debug("polydir %q: the time of its last open is not kept: %v", p.Path, err)
		}
	}
	c.endTurn()
	c.release()
	// now that no other session waits: a filesystem of a user's may have to be asked
	at, err := c.stand(rec.Paths())
	if err != nil {
		return hostFault(err)
	}
	defer at.Close()
	c.counts()
	c.skipClose(&rec)
	err = c.host.Report(wire.Report{Action: c.action(), Code: wire.Success, NSTypes: c.joins(rec.Private), Cwd: at.Dir,
		Priority: wire.Info, Text: c.opened(rec, fmt.Sprintf("mnt:[%d] of the user's other sessions", rec.NS))})
	if err == nil { // else the host says so
		c.auditOpened(rec.NS, rec.Polydirs)
	}
	return nil
}

// inside reports whether a session's host, or its worker, is in the namespace.
func inside(s record.Session, ns mntns.ID) bool {
	for _, pid := range []int{s.HostPID, s.Worker} {
		if id, err := mntns.OfTask(pid, pid); err == nil && id == ns {
			return true
		}
	}
	return false
}

// touch notes with the lock of a persistent instance that it was opened now.
func touch(p record.Polydir) error {
	if p.Parent == "" {
		return nil
	}
	way, err := dirfd.WalkTo(p.Parent)
	if err != nil {
		return err
	}
	defer way.Close()
	return instance.Touch(way.Dir, p.Name)
}

// session is this one, for the record.
func (c *call) session() record.Session {
	return record.Session{Service: c.req.Service, TTY: c.req.TTY, RHost: c.req.RHost, Opened: now(), HostPID: c.req.HostPID, Worker: os.Getpid()}
}

// letOthersJoin lets the user's other sessions join the namespace, which is finished
// and recorded. It is the end of the turn: no host waits for another one.
func (c *call) letOthersJoin(id mntns.Identity) error {
	if c.turn == nil {
		return nil
	}
	defer c.endTurn()
	return c.turn.Publish(c.view, id)
}

// letNobodyJoin takes that back, if the host did not follow. False: another session
// has joined the namespace by now, and keeps it.
func (c *call) letNobodyJoin(id mntns.ID) bool {
	if c.view == "" {
		return true
	}
	turn, err := c.store.Turn(c.Who.UID, c.waits().Lock)
	if err != nil {
		return false // gc will find what nobody uses
	}
	defer turn.Done()
	others, sure, err := gc.Others(id, c.req.HostPID)
	if err != nil || others > 0 || !sure {
		return false
	}
	return turn.Forget(c.view) == nil
}

func (c *call) endTurn() {
	if c.turn != nil {
		c.turn.Done()
		c.turn = nil
	}
}
