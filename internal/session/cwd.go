package session

import (
	"fmt"
	"strings"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/wire"
)

// leaves is what becomes of the host's working directory in a view that covers
// own.
func (c *call) leaves(own []string) plan.Left {
	left := plan.Left{Path: c.cwd.Path, UID: c.Who.UID, Own: own, Parents: c.Selection.Parents()}
	if c.own != nil {
		left.Covers = c.own.Covers()
	}
	return left
}

// stand finds where the session stands in the view that the worker has entered,
// and says what was left. Nothing that others wait for may be held: a filesystem
// of a user's may have to be asked.
func (c *call) stand(own []string) (apply.Standing, error) {
	s, err := apply.WorkingDir(c.cwd, c.leaves(own))
	if err != nil {
		return s, err
	}
	if s.Left != "" {
		c.host.Log(wire.Info, s.Left)
		c.host.Tell("pam_polyinst: " + s.Left)
	}
	if s.Empty.IsOpen() {
		c.host.Elsewhere(s.Empty)
	}
	return s, nil
}

// tellLedOut says to whoever stands in a private directory, at a terminal, by
// what name it goes in the host's view. Those who stand elsewhere, and scripts,
// are told nothing.
func (c *call) tellLedOut(s apply.Standing) {
	if s.Left != "" || s.Dir.Path() == c.cwd.Path || !atTerminal(c.req.TTY) {
		return
	}
	c.host.Tell(fmt.Sprintf("pam_polyinst: this session is in the host's view: %q of %s's session is %q here (nested in polyinst-namespace.conf(5))",
		c.cwd.Path, c.own.User, s.Dir.Path()))
}

// atTerminal reports whether PAM_TTY names a terminal: sshd and cron write "ssh"
// and "cron" there.
func atTerminal(tty string) bool {
	name := strings.TrimPrefix(tty, "/dev/")
	return strings.HasPrefix(name, "pts/") || strings.HasPrefix(name, "tty") || name == "console"
}
