package session

import (
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/sessions/record"
)

// record notes the namespace, before anybody is in it.
func (b *building) record(origin mntns.ID) *plan.Refusal {
	var err error
	b.rec = b.note(b.staged, origin)
	b.rec.HostPrivate = b.private
	b.rec.Identity = b.here // built in place, perhaps below a chroot
	if !b.req.InPlace {
		b.rec.Identity, err = mntns.OwnIdentity()
	}
	if err == nil {
		b.rec.Private, err = mntns.OwnIDs(b.private.Kinds())
	}
	if err != nil {
		return hostFault(err)
	}
	if b.rec.Watched = b.watched && b.store.IsOpen(); b.store.IsOpen() {
		if err := b.keep(b.rec, b.random); err != nil {
			b.rec.Watched = false
			return b.unrecorded(err)
		}
	}
	return nil
}

// endedAtOnce is how many records of others a session looks at, where there is
// room for its own.
const endedAtOnce = 16

// keep writes the record of a new namespace. What has ended goes, so that
// records do not grow in number for as long as somebody logs in now and then; no host
// waits for that.
func (c *call) keep(rec record.Record, random string) error {
	err := c.withRoom(func() error { return c.store.Write(rec, random) })
	if err != nil || rec.Ever == 0 { // this program is not told who lives
		return err
	}
	if store, again := c.store.Again(); again == nil {
		c.host.Later(func() {
			defer store.Close()
			store.ForgetEnded(endedAtOnce, false)
		})
	}
	return nil
}

// withRoom writes among the records. If there is no room, records of namespaces
// that have ended are removed, as record.Possible foresees.
func (c *call) withRoom(write func() error) error {
	err := write()
	if dirfd.IsFull(err) {
		if n := c.store.ForgetEnded(record.InNeed, true); n > 0 {
			c.debug("there was no room for a record: %d of ended namespaces are removed", n)
			return write()
		}
	}
	return err
}

func (c *call) note(staged []*apply.Staged, origin mntns.ID) record.Record {
	rec := record.Record{Host: origin, Base: c.builtFrom(), User: c.Who.User, UID: c.Who.UID, Service: c.req.Service, TTY: c.req.TTY,
		RHost: c.req.RHost, Opened: now(), HostPID: c.req.HostPID, Digest: c.Digest, View: c.view, Worker: c.of.By()}
	if c.view != "" {
		rec.Sessions = []record.Session{c.session()}
	}
	for _, s := range staged {
		if s.Step.Source == plan.NewMqueue {
			continue // told by the IPC namespace
		}
		rec.Polydirs = append(rec.Polydirs, record.Polydir{Path: s.Step.Path, Real: s.Real, Method: string(s.Step.Method), Source: s.Step.From, Fresh: s.Step.Fresh,
			Parent: s.Step.Parent, Name: s.Step.Name, Dev: s.Root.Dev, Ino: s.Root.Ino, MountID: s.MountID, Keep: s.Kept()})
	}
	return rec
}
