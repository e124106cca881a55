package session

import (
	"errors"
	"fmt"
	"time"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// Close answers a host that closes a session. It never fails: what it cannot
// remove, gc does.
func Close(req wire.Request, host Host, of AboutHost) {
	c := newCall(req, host, of)
	defer c.close()
	c.Args, _ = config.ParseArgs(req.Args)
	free, err := c.leave()
	c.endTurn()
	c.release()
	if err != nil {
		host.Log(wire.Warning, fmt.Sprintf("close: %v; `polyinst gc` removes what is left", err))
	}
	back := req.Back && c.Args.UnmountOnClose // a line "close" has the host keep one, too
	if back && !free {
		c.debug("close: another session of this process is open: the host keeps its view")
	}
	if back && free {
		err := c.goBack()
		if err == nil {
			return
		}
		host.Log(wire.Warning, fmt.Sprintf("close: the host stays in the session's view: %v", err))
	}
	c.stay("")
}

// closePatience is how long a close waits for another session of the user.
const closePatience = 2 * time.Second

// goBack leads the host to the view that it had before it opened the session,
// which its descriptor stands for (unmount_on_close). An error is returned only
// where nothing was reported yet.
func (c *call) goBack() error {
	ns, err := mntns.FromFD(c.req.BackFD) // whoever has received it closes it
	if err != nil {
		return err
	}
	if same, err := ns.SameUserNamespace(); err != nil || !same {
		return errors.Join(errors.New("the view before it belongs to another user namespace"), err)
	}
	c.endTurn() // nobody waits while a user's filesystem may have to be asked
	kinds := mntns.Mount
	var own []string
	if c.own != nil {
		// the others are those of process 1, or the host stays: all return together
		others, err := mntns.SetOfInit(c.own.HostPrivate)
		if err != nil {
			return err
		}
		defer others.Close()
		if err := others.Enter(); err != nil {
			return err
		}
		kinds, own = c.own.Kinds(), c.own.Paths()
	}
	if err := ns.Enter(); err != nil {
		return err
	}
	at, err := c.stand(own) // each polydir is the one of the view before
	if err != nil {
		return err
	}
	defer at.Close()
	// the host says whether it could follow
	_ = c.host.Report(wire.Report{Action: wire.Join, Code: wire.Success, NSTypes: kinds, Cwd: at.Dir})
	return nil
}

// leave finds the host's place, and removes the tmpdir instances of the view, unless
// another session of the host is open in it. free: none is.
func (c *call) leave() (free bool, err error) {
	if c.req.Held > 0 {
		return false, nil
	}
	if r := c.findPlace(); r != nil {
		return true, r
	}
	return true, c.removeTmpdirs()
}

// removeTmpdirs removes the tmpdir instances of the namespace that the host is
// in, if it is ours and nobody else is left in it.
func (c *call) removeTmpdirs() error {
	if c.own == nil || len(c.own.Tmpdirs()) == 0 || !c.own.MountsIntact() {
		return nil
	}
	if selinuxfs.Denies("capability", "sys_ptrace") {
		// a look at all processes would fail, and each logout would leave a denial
		// in the audit log
		c.cannotTell()
		return nil
	}
	host := c.req.HostPID
	if c.own.View != "" {
		// a session that joins meanwhile would find its tmpdirs gone
		var err error
		c.turn, err = c.store.Turn(c.own.UID, time.Now().Add(closePatience))
		if errors.Is(err, record.ErrBusy) {
			c.debug("close: another session of the user is being opened or closed: the tmpdir instances of mnt:[%d] are left to `polyinst gc`", c.ns)
			return nil
		}
		if err != nil {
			return err
		}
		c.hold()
		others, sure, err := gc.Others(c.ns, host)
		if err != nil {
			return err
		}
		if !sure {
			c.cannotTell()
			return nil
		}
		if c.left(others) {
			return nil
		}
		if err := c.turn.Forget(c.own.View); err != nil {
			return err
		}
		c.endTurn() // nobody can join any more
		host = 0
	}
	if !c.chroot {
		if r := c.enterHostView(); r != nil {
			// built from another view than the host's: the parents are seen from here
			c.debug("close: %v", r)
		}
	}
	room, err := gc.Beside(*c.own, c.store, host)
	if err != nil {
		return err
	}
	defer room.Close()
	if c.left(len(room.Left)) {
		return nil
	}
	return c.removeUnused(room)
}

func (c *call) cannotTell() {
	c.debug("close: whether a process is left in mnt:[%d] cannot be told: its tmpdir instances are left to `polyinst gc`", c.ns)
}

// left reports whether others are left in the host's namespace, and says so.
func (c *call) left(others int) bool {
	if others > 0 {
		c.debug("close: %d processes are left in mnt:[%d]: its tmpdir instances stay", others, c.ns)
	}
	return others > 0
}

// removeUnused removes the tmpdir instances that no other namespace shows, and notes
// with the record that it did.
func (c *call) removeUnused(room *gc.Room) error {
	all := true
	for _, p := range c.own.Tmpdirs() {
		removed := false
		switch room.Of(p, c.own.UID) {
		case live.InUse:
			c.debug("close: %s is in use in another namespace: it stays", p.Instance())
		case live.InDoubt:
			c.debug("close: whether another namespace shows %s cannot be told: it is left to `polyinst gc`", p.Instance())
		default:
			var err error
			if !c.entered {
				// in this view the overlay is mounted on the instance that is to go
				if err = apply.TakeOff(p); err != nil {
					return err
				}
			}
			if removed, err = room.Remove(p); err != nil {
				return err
			}
			c.debug("close: removed %s", p.Instance())
		}
		all = all && removed
	}
	if !all {
		return nil
	}
	c.own.Emptied = true // a later session removes the record when the namespace has ended
	return c.store.Update(*c.own)
}
