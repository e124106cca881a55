package gc

import (
	"fmt"
	"strings"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/record"
)

// judgement says why an entry of a parent may be garbage, and whose lock guards it.
type judgement struct {
	why   string // empty: it is not for us
	lock  string
	stale bool // of another boot: no live namespace can use it
}

func (c *collection) judge(p Parent, parent dirfd.Dir, name string) judgement {
	if rest, ok := strings.CutPrefix(name, p.Prefix+layout.TmpdirPrefix); ok {
		parts := strings.Split(rest, ".")
		if len(parts) != 3 || parts[0] != c.machine.MachineID {
			return judgement{}
		}
		if parts[1] != c.machine.BootID && observe.MayBeShared(parent) {
			return judgement{c.oldElsewhere(parent, name), name, true}
		}
		if parts[1] != c.machine.BootID {
			return judgement{"its session ended with an earlier boot", name, true}
		}
		return judgement{"its session has ended", name, false}
	}
	if rest, ok := layout.OfTemporary(name); ok && strings.HasPrefix(rest, p.Prefix) {
		return judgement{"it was never finished", rest, false}
	}
	if !strings.HasPrefix(name, p.Prefix) || strings.HasPrefix(name, ".") {
		return judgement{}
	}
	if instance.WasBegun(parent, name) {
		return judgement{"it was never finished", name, false}
	}
	why := ""
	if c.Orphans {
		why = c.orphan(parent, name)
	}
	if why == "" && c.OlderThan > 0 {
		why = c.old(parent, name)
	}
	return judgement{why, name, false}
}

// old says how long ago a persistent instance was opened, if that is long
// enough.
func (c *collection) old(parent dirfd.Dir, name string) string {
	lock, ok := lockState(parent, name)
	if !ok || lock.Mode != instance.OfOne && lock.Mode != instance.OfMany {
		c.once(parent.Path()+"/"+name, "it is not recorded when it was last opened")
		return ""
	}
	age := c.now.Sub(lock.LastOpen)
	if age < c.OlderThan {
		return ""
	}
	return fmt.Sprintf("it was last opened %d days ago", int(age.Hours()/24))
}

// oldElsewhere is about a tmpdir instance that another boot made, on a filesystem that
// other machines may have: a clone of this machine has its machine id, and another
// boot. Only its age can say that no session uses it.
func (c *collection) oldElsewhere(parent dirfd.Dir, name string) string {
	if c.OlderThan > 0 {
		return c.old(parent, name)
	}
	if c.told != nil {
		c.once(parent.Path()+"/"+name, "another boot made it, perhaps of another machine that has the same machine id: gc --older-than removes it")
	}
	return ""
}

// once tells once why an instance is kept.
func (c *collection) once(path, why string) {
	if !c.told[path] {
		c.told[path] = true
		c.kept(path, why)
	}
}

// ownerBy says whose a namespace is that we built from the host's view: what lies
// deeper in it than is read, its own user has moved there.
func ownerBy(records []record.Named) func(uint64, mntns.ID) (uint32, bool) {
	owners := map[uint64]uint32{}
	for _, r := range records {
		if r.Ever != 0 && r.Base != 0 && r.Base == r.Host {
			owners[r.Ever] = r.UID
		}
	}
	return func(ever uint64, _ mntns.ID) (uint32, bool) {
		uid, known := owners[ever]
		return uid, known && ever != 0
	}
}
