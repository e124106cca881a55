package session

import (
	"fmt"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/hostconn"
	"pam_polyinst/internal/reap"
)

// Close answers a host that closes a session. It never fails: what it cannot
// remove, gc does.
func Close(req Request, host Host) {
	c := &call{req: req, host: host}
	defer c.close()
	c.args, _ = config.ParseArgs(req.Args)
	if err := c.removeTmpdirs(); err != nil {
		host.Log(hostconn.Warning, fmt.Sprintf("close: %v; `polyinst gc` removes what is left", err))
	}
	c.stay("")
}

// removeTmpdirs removes the tmpdir instances of the namespace that the host is
// in, if it is ours and nobody else is left in it.
func (c *call) removeTmpdirs() error {
	if r := c.lookAround(); r != nil {
		return r
	}
	if c.own == nil || len(c.own.Tmpdirs()) == 0 {
		return nil
	}
	others, err := reap.Others(c.ns.Ino, c.req.HostPID)
	if err != nil {
		return err
	}
	if others > 0 {
		c.debug("close: %d processes are left in mnt:[%d]: its tmpdir instances stay", others, c.ns.Ino)
		return nil
	}
	if r := c.enterHostView(); r != nil {
		// built from another view than the host's: the parents are seen from here
		c.debug("close: %v", r)
	}
	for _, p := range c.own.Tmpdirs() {
		if _, err := reap.RemoveTmpdir(p.Parent, p.Name, nil); err != nil {
			return err
		}
		c.debug("close: removed %s/%s", p.Parent, p.Name)
	}
	return nil
}
