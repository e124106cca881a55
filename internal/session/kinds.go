package session

import (
	"maps"

	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
)

// hostIDs are, of the kinds that the session will have of its own beside the
// mount namespace, those of the host's view.
func (c *call) hostIDs() (mntns.IDs, error) {
	kinds := c.kinds() &^ mntns.Mount
	if c.own == nil || c.entered {
		return mntns.OwnIDs(kinds)
	}
	// built on a view of ours: what that one has of its own, this one has too
	ids, err := mntns.OwnIDs(kinds &^ c.own.HostPrivate.Kinds())
	if err == nil {
		maps.Copy(ids, c.own.HostPrivate)
	}
	return ids, err
}

// joins are the namespaces that the host enters in its one step. In place it is
// in the mount namespace already.
func (c *call) joins(private mntns.IDs) mntns.Kinds {
	if c.req.InPlace {
		return private.Kinds()
	}
	kinds := mntns.Mount | private.Kinds()
	if c.own != nil {
		kinds |= c.own.Kinds() // back to the host's, where they are not new
	}
	return kinds
}

// payer is as whose the session's namespaces count. Under SELinux the capabilities
// that it takes would have to be set again, which no login program may do.
func (c *call) payer() uint32 {
	if observe.SELinuxActive() {
		return 0
	}
	return c.Who.UID
}

// kinds are those of the namespaces that the session gets of its own.
func (c *call) kinds() mntns.Kinds {
	kinds := mntns.Mount
	for _, k := range []struct {
		on   bool
		kind mntns.Kinds
	}{{c.Config.Namespace.IPC, mntns.IPC}, {c.Config.Namespace.UTS, mntns.UTS}, {c.Config.Namespace.Network, mntns.Net}} {
		if k.on {
			kinds |= k.kind
		}
	}
	return kinds
}
