package session

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/hostconn"
	"pam_polyinst/internal/live"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/reap"
	"pam_polyinst/internal/record"
)

// With scope "user" the first session of a user builds a namespace, and the
// others join it: those of the same user for whom the same would be built,
// from the same view. There is no pin: the namespace lives as long as a process
// is in it, and a process is the way into it.

// shared tells whether the sessions of the user share a namespace.
func (c *call) shared() bool { return c.config.Namespace.Scope == config.ScopeUser }

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

// viewKey is what sessions that share a namespace have in common, as the name of
// a file: digest stands for all that the configuration and the user's context
// make of it, base is the mount namespace that it is built from.
func viewKey(digest, user string, base mntns.ID) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %q %d", digest, user, base))
	return hex.EncodeToString(sum[:16])
}

// share joins the namespace of the user's other sessions, or builds it.
func (c *call) share(selection polyinst.Selection, digest string, origin mntns.ID, outer []string) *polyinst.Refusal {
	if !c.store.IsOpen() {
		return hostFault(errors.New("scope = \"user\" wants the records of sessions, which SELinux denies this program: the policy module in dist/selinux permits them"))
	}
	c.view = viewKey(digest, c.who.User, c.builtFrom())
	var err error
	if c.turn, err = c.store.Turn(c.who.UID); err != nil {
		return hostFault(fmt.Errorf("the records of sessions: %w", err))
	}
	rec, err := c.turn.Find(c.view)
	if err != nil {
		return hostFault(fmt.Errorf("the records of sessions: %w", err))
	}
	if rec != nil {
		joined, r := c.enterShared(*rec)
		if r != nil {
			return r
		}
		if joined {
			return c.joinShared(*rec, outer)
		}
	}
	return c.construct(selection, digest, origin, outer)
}

// enterShared moves the worker into the recorded namespaces, by descriptors, if
// a process is in them, and looks at them from inside (I-11). What is not as
// recorded is left again and not used any more: a new one is built. The processes that are
// in it stay there.
func (c *call) enterShared(rec record.Record) (bool, *polyinst.Refusal) {
	fault := func(err error) *polyinst.Refusal { return hostFault(fmt.Errorf("the user's namespace: %w", err)) }
	outside, err := record.Here()
	if err != nil {
		return false, fault(err)
	}
	notJoined := func(why error) {
		c.host.Log(hostconn.Warning, fmt.Sprintf("the namespace of %q's other sessions, mnt:[%d], is not joined: %v; this session gets a new one", c.who.User, rec.NS, why))
	}
	set, why, err := wayInto(rec)
	switch {
	case err != nil:
		return false, fault(err)
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
	bad := rec.Agrees(outside)
	if bad == nil {
		return true, nil
	}
	if err := back.Enter(); err != nil {
		return false, fault(err)
	}
	notJoined(bad)
	return false, nil
}

// wayInto opens the namespaces by a process that is in them; nil if there is
// none, and then why says whether one was there that could not be used. First
// those that are known: the hosts, and the workers, which are in
// there until their hosts are. Twice, because one of them can be on its way.
func wayInto(rec record.Record) (found mntns.Set, why, err error) {
	open := func(pid, tid int) mntns.Set {
		set, err := mntns.SetOfTask(pid, tid, rec.IDs())
		if err != nil && !mntns.Gone(err) && !errors.Is(err, mntns.ErrAnother) {
			why = err // else it went elsewhere, or has ended
		}
		return set
	}
	for range 2 {
		for _, s := range slices.Backward(rec.Sessions) {
			for _, pid := range []int{s.HostPID, s.Worker} {
				if set := open(pid, pid); set != nil {
					return set, nil, nil
				}
			}
		}
	}
	err = live.Each(func(t live.Task) (bool, error) {
		if t.NS == rec.NS {
			found = open(t.PID, t.TID)
		}
		return found == nil, nil
	})
	return found, why, err
}

// joinShared answers with the namespace that the worker has entered.
func (c *call) joinShared(rec record.Record, outer []string) *polyinst.Refusal {
	cwd, err := apply.WorkingDir(c.cwd, append(outer, rec.Paths()...), c.who.UID)
	if err != nil {
		return hostFault(err)
	}
	defer cwd.Close()
	rec.Sessions = append(slices.DeleteFunc(rec.Sessions, func(s record.Session) bool { return !inside(s, rec.NS) }), c.session())
	if err := c.store.Update(rec); err != nil {
		return hostFault(fmt.Errorf("the records of sessions: %w", err))
	}
	for _, p := range rec.Polydirs {
		if err := touch(p); err != nil {
			c.debug("polydir %q: the time of its last open is not kept: %v", p.Path, err)
		}
	}
	c.endTurn()
	c.counts()
	c.quietClose(&rec)
	kinds := rec.Kinds()
	if c.own != nil {
		kinds |= c.own.Kinds()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "session opened for %q (uid %d) in mnt:[%d] of the user's other sessions:", c.who.User, c.who.UID, rec.NS)
	for i, p := range rec.Polydirs {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %s -> %s", p.Path, p.Instance())
	}
	err = c.host.Report(hostconn.Report{Action: c.action(), Code: hostconn.Success, NSTypes: kinds, Cwd: cwd, Priority: hostconn.Info, Text: b.String()})
	if err != nil {
		c.host.Log(hostconn.Err, err.Error())
		return nil
	}
	c.auditJoined(rec)
	return nil
}

// inside tells whether a session's host, or its worker, is in the namespace.
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
	way, err := dirfd.Walk(p.Parent+"/"+polyinst.LockDir, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	if way.Missing {
		return dirfd.NotExist(p.Parent)
	}
	lock, err := way.Dir.OpenLock(p.Name)
	if err != nil {
		return err
	}
	defer lock.Close()
	return lock.Touch()
}

// session is this one, for the record.
func (c *call) session() record.Session {
	return record.Session{Service: c.req.Service, TTY: c.req.TTY, RHost: c.req.RHost, Opened: now(), HostPID: c.req.HostPID, Worker: os.Getpid()}
}

// publish lets the user's other sessions join the namespace, which is finished
// and recorded. It is the end of the turn: no host waits for another one.
func (c *call) publish(id mntns.ID) error {
	if c.turn == nil {
		return nil
	}
	defer c.endTurn()
	return c.turn.Publish(c.view, id)
}

// withdraw is the opposite, where the host did not follow. False: another
// session has joined it by now, and it is that one's.
func (c *call) withdraw(id mntns.ID) bool {
	if c.view == "" {
		return true
	}
	turn, err := c.store.Turn(c.who.UID)
	if err != nil {
		return false // gc will find what nobody uses
	}
	defer turn.Done()
	others, err := reap.Others(id, c.req.HostPID)
	if err != nil || others > 0 {
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
