package session

import (
	"fmt"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/observe"
)

// A host that opens sessions of several users in one process, without a fork for
// each (docs/DESIGN.md, "Several sessions in one process"). What the host's thread
// starts sees the view that the thread is in, whichever session it is for; so
// there is one user at a time, and whoever comes while another's session is open
// is refused. The host counts, because neither its view nor its PAM handle
// tells: between open and close it may use several handles, or none.

// alone refuses a session while the same thread has one of another user open.
// That is no fault that anybody is rescued from: they would get the other's view.
func (c *call) alone() *plan.Refusal {
	if c.req.Held == 0 || c.req.HeldUser == c.req.User {
		return nil
	}
	if who, r := observe.Account(c.req.HeldUser, c.req.Service, nil); r == nil && who.UID == c.Who.UID {
		return nil
	}
	return &plan.Refusal{Fault: plan.FaultUser, Reason: fmt.Sprintf(
		"this process has a session of %q open, and can show the view of one user only: "+
			"it must close that first (and have unmount_on_close), or open each session in a process of its own", c.req.HeldUser)}
}

// counts tells the host to count this session as open in a view of ours.
func (c *call) counts() {
	c.buffer.counts = true
	if c.req.HostThread != c.req.HostPID {
		c.host.Log(wire.Warning, fmt.Sprintf("opened by thread %d of process %d: only what this very thread starts sees the session's view, "+
			"and what the process's other threads start sees theirs", c.req.HostThread, c.req.HostPID))
	}
}
