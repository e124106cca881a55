package session

import (
	"fmt"
	"strings"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/sessions/record"
)

// Open answers a host that opens a session, by exactly one report, or by none if
// another worker is to do it.
func Open(req wire.Request, host Host, of AboutHost) {
	c := newCall(req, host, of)
	defer c.close()
	if r := c.open(); r != nil {
		c.endTurn()
		c.release()
		c.refuse(r)
	}
}

func (c *call) open() *plan.Refusal {
	if r := c.promised(); r != nil {
		return r
	}
	if c.nothingToDo() {
		return nil
	}
	if r := c.findPlace(); r != nil {
		return c.unseen(r)
	}
	if r := c.alone(); r != nil {
		return r
	}
	route, r := c.Choose(c.facts())
	if route.Warning != "" && r == nil {
		c.host.Log(wire.Warning, route.Warning)
	}
	if r != nil {
		return r
	}
	return c.follow(route)
}

// warn logs what of the configuration is not as it is meant, and tells a user
// whose files it throws away.
func (c *call) warn() {
	if c.req.InPlace {
		return // the worker that asked for it has
	}
	for _, w := range c.Selection.Warnings() {
		c.host.Log(wire.Warning, w)
	}
	if lost := c.Selection.Lost(); len(lost) > 0 && !c.req.Silent {
		c.host.Tell(fmt.Sprintf("pam_polyinst: by a mistake in the configuration what you keep in %s is thrown away at the end of this session; please tell the administrator", strings.Join(lost, " and ")))
	}
}

// nothingToDo answers at once where no polydir applies and there is no record
// of any namespace of ours that the session could be in.
func (c *call) nothingToDo() bool {
	if len(c.Selection.Rules) > 0 || record.Any() {
		return false
	}
	c.skipClose(nil)
	c.stay("")
	return true
}

// unseen decides what to do if the host's place cannot be found. If nothing applies,
// the session stays where it is; if it might have had to leave the view of a session
// of ours, it does so only in the view of process 1, because a user may have brought
// it about that nobody can tell.
func (c *call) unseen(r *plan.Refusal) *plan.Refusal {
	if len(c.Selection.Rules) > 0 {
		return r
	}
	text := fmt.Sprintf("nothing applies, and the session stays in the view that it is in: %v", r)
	if c.Selection.Base(c.Nested()) == plan.HostView {
		c.stayHome(r, wire.Warning, text)
		return nil
	}
	c.host.Log(wire.Warning, text)
	c.stay("")
	return nil
}

// follow goes the way that was chosen.
func (c *call) follow(route plan.Route) *plan.Refusal {
	switch route.Way {
	case plan.Same:
		c.counts()
		c.skipClose(c.own)
		c.debug("the session is in its view already (mnt:[%d])", c.ns)
		c.stay("")
		return nil
	case plan.Stays:
		c.skipClose(c.own)
		c.stay("")
		return nil
	case plan.InPlace:
		_ = c.host.Report(wire.Report{Action: wire.RetryInPlace, Code: wire.Success})
		return nil
	}
	origin := c.origin()
	if route.Base == plan.HostView {
		if r := c.enterHostView(); r != nil {
			return r
		}
	}
	switch {
	case route.Way == plan.ToHost:
		return c.joinHostView()
	case c.shared():
		return c.share(origin)
	}
	return c.construct(origin)
}

// enterHostView moves the worker into the host's view, by descriptors whose
// identity was checked.
func (c *call) enterHostView() *plan.Refusal {
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

// joinHostView is the way out of a namespace of ours, for an exempt user.
func (c *call) joinHostView() *plan.Refusal {
	at, err := c.stand(nil)
	if err != nil {
		return hostFault(err)
	}
	defer at.Close()
	c.tellLedOut(at)
	c.skipClose(nil)
	err = c.host.Report(wire.Report{Action: c.action(), Code: wire.Success, NSTypes: c.own.Kinds(), Cwd: at.Dir,
		Priority: wire.Info, Text: fmt.Sprintf("session opened for %q in the host's view", c.Who.User)})
	if err == nil { // else the host says so
		c.auditOpened(c.own.Host, nil)
	}
	return nil
}

func (c *call) action() wire.Action {
	switch {
	case c.req.InPlace:
		if c.Args.UnmountOnClose {
			c.host.Log(wire.Warning, "unmount_on_close: this host cannot return to its view (CAP_SYS_CHROOT); it keeps the session's")
		}
		if c.req.Closes {
			c.host.Log(wire.Warning, "close: this host cannot leave the session's view (CAP_SYS_CHROOT): other modules clean up in it when the session ends")
		}
		return wire.InPlace
	case c.Args.UnmountOnClose, c.req.Closes:
		return wire.JoinKeepBack
	}
	return wire.Join
}

// opened is the line of the log about a session in the recorded namespace, which
// is called where.
func (c *call) opened(rec record.Record, where string) string {
	var shows []string
	for _, p := range rec.Polydirs {
		shows = append(shows, " "+p.Path+" -> "+p.Instance())
	}
	return fmt.Sprintf("session opened for %q (uid %d) in %s:%s", c.Who.User, c.Who.UID, where, strings.Join(shows, ","))
}
