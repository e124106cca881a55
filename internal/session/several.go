package session

import (
	"fmt"

	"pam_polyinst/internal/hostconn"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/record"
)

// A host that opens sessions of several users in one process, without a fork for
// each (docs/DESIGN.md, "Several sessions in one process"). What the host's thread starts sees the view that the thread is in,
// whichever session it is for; so there is one user at a time, and whoever comes
// while another's session is open is refused. A note about the thread tells that,
// because neither its view nor its PAM handle does: between open and close the
// host may use several handles, or none.

// readHost finds the note about the host's thread. Where there can be none, nothing is
// known, and c.thread stays 0.
func (c *call) readHost() *polyinst.Refusal {
	if !c.store.IsOpen() || c.req.HostThread == 0 {
		return nil
	}
	start, err := mntns.ThreadStart(c.req.HostThread)
	if err != nil {
		// such as a /proc of another PID namespace
		c.debug("sessions in one process are not told apart: %v", err)
		return nil
	}
	opener, err := c.store.ReadHost(c.req.HostThread, start)
	if err != nil {
		return c.unrecorded(err)
	}
	c.opener = record.Host{Thread: c.req.HostThread, Start: start}
	if opener != nil {
		c.opener = *opener
	}
	return nil
}

// alone refuses a session while the same thread has one of another user open.
// That is no fault that anybody is rescued from: he would get the other's view.
func (c *call) alone() *polyinst.Refusal {
	if r := c.readHost(); r != nil {
		return r
	}
	if c.opener.Open > 0 && c.opener.UID != c.who.UID {
		return &polyinst.Refusal{Fault: polyinst.FaultUser, Reason: fmt.Sprintf(
			"this process has a session of %q open, and can show the view of one user only: "+
				"it must close that first (and have unmount_on_close), or open each session in a process of its own", c.opener.User)}
	}
	return nil
}

// noteOpened notes that the host's thread has one more session open.
func (c *call) noteOpened() error {
	if c.opener.Thread == 0 || !c.store.IsOpen() {
		return nil
	}
	if c.req.HostThread != c.req.HostPID {
		c.host.Log(hostconn.Warning, fmt.Sprintf("opened by thread %d of process %d: only what this very thread starts sees the session's view, "+
			"and what the process's other threads start sees theirs", c.req.HostThread, c.req.HostPID))
	}
	c.opener.UID, c.opener.User = c.who.UID, c.req.User
	c.opener.Open++
	if err := c.store.WriteHost(c.opener); err != nil && c.unrecorded(err) != nil {
		return err
	}
	return nil
}

// noteClosed notes that one session less is open, and tells whether the view is
// free to be left: not where another one is open in it.
func (c *call) noteClosed() bool {
	if c.opener.Open == 0 {
		return true
	}
	if c.opener.User != c.req.User {
		c.debug("close: the view is that of %q", c.opener.User)
		return false
	}
	c.opener.Open--
	if err := c.store.WriteHost(c.opener); err != nil {
		c.host.Log(hostconn.Warning, fmt.Sprintf("close: %v; `polyinst gc` removes what is left", err))
	}
	return c.opener.Open == 0
}
