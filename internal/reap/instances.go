package reap

import (
	"slices"
	"strings"
	"time"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/projquota"
)

// State says what is to be expected of an instance.
type State string

// The values of State.
const (
	InUse   State = "in use"  // some live namespace shows it
	Idle    State = "idle"    // persistent: the user's next session shows it
	Stale   State = "stale"   // nobody will use it again: gc, or gc --orphans, removes it
	Foreign State = "foreign" // another machine's, which shares the parent
)

// Instance is an instance on the disk.
type Instance struct {
	Parent, Name string
	UID          uint32 // the account that it was made for
	Recorded     bool   // UID is known
	Shared       bool   // it is several users'
	Stat         dirfd.Stat
	LastOpen     time.Time // zero: not known
	State        State
	Why          string           // it is stale
	Quota        *projquota.Quota // nil: no limit
}

// Path is where the instance is.
func (i Instance) Path() string { return i.Parent + "/" + i.Name }

// Usage sums up what the instance takes on the disk.
func (i Instance) Usage(progress func()) (dirfd.Usage, error) {
	way, err := dirfd.Walk(i.Parent, nil)
	if err != nil {
		return dirfd.Usage{}, err
	}
	defer way.Close()
	if way.Missing {
		return dirfd.Usage{}, dirfd.NotExist(i.Parent)
	}
	dir, err := way.Dir.LookupHere(i.Name)
	if err != nil {
		return dirfd.Usage{}, err
	}
	defer dir.Close()
	return dir.Usage(progress)
}

// Instances are all instances in the parents, by path. It holds no lock: what is
// opened or removed at this moment may be missed. A parent that cannot be looked
// at is told to bad.
func Instances(parents []Parent, bad func(error)) ([]Instance, error) {
	machine, err := observe.Machine()
	if err != nil {
		return nil, err
	}
	used, err := inUse(nobody)
	if err != nil {
		return nil, err
	}
	c := collection{Options: Options{Orphans: true}, machine: machine}
	var all []Instance
	for _, p := range parents {
		found, err := c.instances(p, used)
		if err != nil {
			bad(err)
		}
		all = append(all, found...)
	}
	slices.SortStableFunc(all, func(a, b Instance) int { return strings.Compare(a.Path(), b.Path()) })
	// one parent may serve two polydirs, with two prefixes
	return slices.CompactFunc(all, func(a, b Instance) bool { return a.Path() == b.Path() }), nil
}

func (c *collection) instances(p Parent, used map[string]bool) ([]Instance, error) {
	way, err := dirfd.Walk(p.Path, nil)
	if dirfd.IsNotExist(err) || err == nil && way.Missing {
		way.Close()
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer way.Close()
	names, err := way.Dir.Names()
	if err != nil {
		return nil, err
	}
	var out []Instance
	for _, name := range names {
		i, ok := c.instance(p, way.Dir, name, used)
		if ok {
			out = append(out, i)
		}
	}
	return out, nil
}

func (c *collection) instance(p Parent, parent dirfd.Dir, name string, used map[string]bool) (Instance, bool) {
	i := Instance{Parent: p.Path, Name: name, State: Idle}
	unfinished := strings.HasPrefix(name, polyinst.NewPrefix+p.Prefix)
	if name == polyinst.LockDir || !unfinished && !strings.HasPrefix(name, p.Prefix) {
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
	lockName := strings.TrimPrefix(name, polyinst.NewPrefix)
	i.UID, i.Recorded = observe.InstanceUID(parent, lockName)
	if lock, ok := lockStat(parent, lockName); ok {
		i.Shared = lock.Mode == observe.LockOfMany
		i.LastOpen = time.Unix(lock.ModTime, 0)
	}
	i.Quota = quotaOf(parent, lockName)
	why, _, ended := c.judge(p, parent, name)
	switch {
	case used[name] && !ended:
		i.State = InUse
	case why != "":
		i.State, i.Why = Stale, why
	case strings.HasPrefix(name, p.Prefix+polyinst.TmpdirPrefix):
		i.State = Foreign
	}
	return i, true
}

// lockStat is what an instance's lock says: its time of modification is that of
// the instance's last open.
func lockStat(parent dirfd.Dir, name string) (dirfd.Stat, bool) {
	locks, err := parent.LookupHere(polyinst.LockDir)
	if err != nil {
		return dirfd.Stat{}, false
	}
	defer locks.Close()
	st, err := locks.Stat()
	if err != nil || dirfd.TrustedFile(locks.Path(), st) != nil {
		return dirfd.Stat{}, false
	}
	lock, err := locks.LookupHere(name)
	if err != nil {
		return dirfd.Stat{}, false
	}
	defer lock.Close()
	st, err = lock.Stat()
	return st, err == nil
}

// quotaOf is what the filesystem knows of an instance with a project of its own.
func quotaOf(parent dirfd.Dir, name string) *projquota.Quota {
	locks, err := parent.LookupHere(polyinst.LockDir)
	if err != nil {
		return nil
	}
	defer locks.Close()
	lock, err := locks.LookupHere(name)
	if err != nil {
		return nil
	}
	defer lock.Close()
	id, err := projquota.Of(locks, lock)
	if err != nil || id == 0 {
		return nil
	}
	q, err := projquota.Get(parent, id)
	if err != nil || q.Limits == (projquota.Limits{}) {
		return nil
	}
	return &q
}
