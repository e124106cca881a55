package session

import (
	"errors"
	"fmt"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/config"
	"pam_polyinst/internal/hostconn"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/reap"
)

// Close answers a host that closes a session. It never fails: what it cannot
// remove, gc does.
func Close(req Request, host Host) {
	c := &call{req: req, host: host}
	defer c.close()
	c.args, _ = config.ParseArgs(req.Args)
	free, err := c.leave()
	if err != nil {
		host.Log(hostconn.Warning, fmt.Sprintf("close: %v; `polyinst gc` removes what is left", err))
	}
	if req.Back && !free {
		c.debug("close: another session of this process is open: the host keeps its view")
	}
	if req.Back && free {
		err := c.goBack()
		if err == nil {
			return
		}
		host.Log(hostconn.Warning, fmt.Sprintf("close: the host stays in the session's view: %v", err))
	}
	c.stay("")
}

// goBack leads the host to the view that it had before it opened the session,
// which its descriptor stands for (unmount_on_close). An error is returned only
// where nothing was reported yet.
func (c *call) goBack() error {
	ns, err := mntns.FromFD(hostconn.BackFD)
	if err != nil {
		return err
	}
	defer ns.Close()
	if same, err := ns.SameUserNamespace(); err != nil || !same {
		return errors.Join(errors.New("the view before it belongs to another user namespace"), err)
	}
	kinds := mntns.Mount
	var outer []string
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
		kinds, outer = c.own.Kinds(), c.own.Paths()
	}
	if err := ns.Enter(); err != nil {
		return err
	}
	cwd, err := apply.WorkingDir(c.cwd, outer, 0)
	if err != nil {
		return err
	}
	defer cwd.Close()
	err = c.host.Report(hostconn.Report{Action: hostconn.Join, Code: hostconn.Success, NSTypes: kinds, Cwd: cwd})
	if err != nil {
		c.host.Log(hostconn.Warning, "close: "+err.Error())
	}
	return nil
}

// leave looks around, and removes the tmpdir instances of the view, unless
// another session is open in it. free tells that none is.
func (c *call) leave() (free bool, err error) {
	if c.req.Held > 0 {
		return false, nil
	}
	if r := c.lookAround(); r != nil {
		return true, r
	}
	return true, c.removeTmpdirs()
}

// removeTmpdirs removes the tmpdir instances of the namespace that the host is
// in, if it is ours and nobody else is left in it.
func (c *call) removeTmpdirs() error {
	if c.own == nil || len(c.own.Tmpdirs()) == 0 || !c.own.Stands() {
		return nil
	}
	if c.own.View != "" {
		// a session that joins meanwhile would find its tmpdirs gone
		var err error
		if c.turn, err = c.store.Turn(c.own.UID); err != nil {
			return err
		}
	}
	others, err := reap.Others(c.ns, c.req.HostPID)
	if err != nil {
		return err
	}
	if others > 0 {
		c.debug("close: %d processes are left in mnt:[%d]: its tmpdir instances stay", others, c.ns)
		return nil
	}
	if c.turn != nil {
		if err := c.turn.Forget(c.own.View); err != nil {
			return err
		}
		c.endTurn() // nobody can join any more
	}
	used, err := reap.UsedBeside(c.ns, c.store)
	if err != nil {
		return err
	}
	if !c.chroot {
		if r := c.enterHostView(); r != nil {
			// built from another view than the host's: the parents are seen from here
			c.debug("close: %v", r)
		}
	}
	for _, p := range c.own.Tmpdirs() {
		if used[p.Name] {
			c.debug("close: %s/%s is in use in another namespace: it stays", p.Parent, p.Name)
			continue
		}
		if _, err := reap.RemoveTmpdir(p.Parent, p.Name, nil); err != nil {
			return err
		}
		c.debug("close: removed %s/%s", p.Parent, p.Name)
	}
	return nil
}
