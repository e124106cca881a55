package gc

import (
	"slices"
	"strings"
	"time"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/projquota"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// State says what is to be expected of an instance.
type State string

// The values of State.
const (
	InUse   State = "in use"  // some live namespace shows it, or may do so
	Idle    State = "idle"    // persistent: the user's next session shows it
	Stale   State = "stale"   // nobody will use it again: gc, or gc --orphans, removes it
	Foreign State = "foreign" // another machine's, which shares the parent
	Unknown State = "unknown" // the directory cannot be asked for its account
)

// Instance is an instance on the disk.
type Instance struct {
	Parent, Name string
	UID          uint32 // the account that it was made for
	Another      bool   // the account that has UID now is not known to be that one
	Recorded     bool   // UID is known
	Shared       bool   // it is several users'
	Stat         dirfd.Stat
	LastOpen     time.Time // zero: not known
	State        State
	Why          string           // it is stale or unknown, or is of no use to its account as it is
	Quota        *projquota.Quota // nil: no limit

	location mntns.Location
	ended    bool // whatever a namespace shows, it is not this one
}

// Path is where the instance is.
func (i Instance) Path() string { return i.Parent + "/" + i.Name }

// Usage sums up what the instance takes on the disk.
func (i Instance) Usage(progress func()) (dirfd.Usage, error) {
	way, err := dirfd.WalkTo(i.Parent)
	if err != nil {
		return dirfd.Usage{}, err
	}
	defer way.Close()
	dir, err := way.Dir.LookupHere(i.Name)
	if err != nil {
		return dirfd.Usage{}, err
	}
	defer dir.Close()
	return dir.Usage(progress)
}

// Instances are all instances in the parents, by path. It holds no lock: what is
// opened or removed at this moment may be missed. A parent that cannot be looked
// at is told to bad; IsUsersDoing says whose fault that is.
func Instances(parents []Parent, bad func(path string, err error)) ([]Instance, error) {
	machine, err := observe.Machine(true)
	if err != nil {
		return nil, err
	}
	c := collection{machine: machine, now: time.Now()}
	if store, err := record.Open(); err == nil {
		defer store.Close()
		c.uses.Known = store.Identities
	}
	var all []Instance
	for _, p := range parents {
		found, err := c.instances(p)
		if err != nil {
			bad(p.Path, err)
		}
		all = append(all, found...)
	}
	if err := c.uses.Look(); err != nil {
		return nil, err
	}
	for i := range all {
		if x := &all[i]; !x.ended && c.uses.Of(x.location, x.UID, x.Recorded) != live.Free {
			x.State, x.Why = InUse, ""
		}
	}
	slices.SortStableFunc(all, func(a, b Instance) int { return strings.Compare(a.Path(), b.Path()) })
	// one parent may serve two polydirs, with two prefixes
	return slices.CompactFunc(all, func(a, b Instance) bool { return a.Path() == b.Path() }), nil
}

func (c *collection) instances(p Parent) ([]Instance, error) {
	way, err := observe.OpenParent(p.Path)
	if err != nil || !way.Dir.IsOpen() {
		return nil, err
	}
	defer way.Close()
	names, err := way.Dir.Names()
	if err != nil {
		return nil, err
	}
	location, err := mntns.LocationOf(way.Dir)
	if err != nil {
		return nil, err
	}
	var out []Instance
	for _, name := range names {
		i, ok := c.instance(p, way.Dir, name)
		if ok {
			i.location = location.Below(name)
			c.uses.Want(i.location)
			out = append(out, i)
		}
	}
	return out, nil
}

func (c *collection) instance(p Parent, parent dirfd.Dir, name string) (Instance, bool) {
	i := Instance{Parent: p.Path, Name: name, State: Idle}
	lockName, _ := layout.OfTemporary(name)
	if name == layout.LockDir || !strings.HasPrefix(lockName, p.Prefix) {
		return i, false
	}
	dir, err := parent.LookupHere(name)
	if err != nil {
		return i, false
	}
	defer dir.Close()
	if i.Stat, err = dir.Stat(); err != nil || !i.Stat.IsDir() {
		return i, false
	}
	i.UID, i.Recorded = instance.UID(parent, lockName)
	if lock, ok := lockState(parent, lockName); ok {
		i.Shared = lock.Mode == instance.OfMany
		i.LastOpen = lock.LastOpen
	}
	i.Quota = quotaOf(parent, lockName)
	j := c.judge(p, parent, name)
	i.ended = j.stale
	switch {
	case j.why != "":
		i.State, i.Why = Stale, j.why
	case strings.HasPrefix(name, p.Prefix+layout.TmpdirPrefix):
		i.State = Foreign
	case i.Recorded:
		c.ofAccount(&i, strings.TrimPrefix(name, p.Prefix))
	}
	return i, true
}

// ofAccount notes what the directory says of the account of an instance that no
// session uses.
func (c *collection) ofAccount(i *Instance, name string) {
	a, err := c.accounts.judge(i.Path(), name, i.UID)
	switch {
	case err != nil:
		i.State, i.Why = Unknown, err.Error()
	case a.orphan != "":
		i.State, i.Why = Stale, a.orphan
	default:
		i.Why, i.Another = a.reused+a.other, a.reused != ""
	}
}

// lockState is what an instance's lock says, if it can be looked at.
func lockState(parent dirfd.Dir, name string) (instance.State, bool) {
	s, ok, err := instance.Look(parent, name)
	return s, ok && err == nil
}

// quotaOf is what the filesystem knows of an instance with a project of its own.
func quotaOf(parent dirfd.Dir, name string) *projquota.Quota {
	locks, err := instance.OpenLocks(parent)
	if err != nil {
		return nil
	}
	defer locks.Close()
	lock, err := locks.LookupHere(name)
	if err != nil {
		return nil
	}
	defer lock.Close()
	id, err := instance.Project(locks, lock)
	if err != nil || id == 0 {
		return nil
	}
	q, err := projquota.Get(parent, id)
	if err != nil || q.Limits == (projquota.Limits{}) {
		return nil
	}
	return &q
}
