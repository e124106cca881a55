package reap

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/live"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/record"
)

// Parent is an instance parent with the prefix of the instances' names in it.
type Parent struct{ Path, Prefix string }

// Options say what a collection does.
type Options struct {
	DryRun  bool
	Orphans bool // also persistent instances whose account is gone
	// OlderThan, if not zero: also persistent instances that were last opened
	// longer ago. Where that is not recorded, they stay.
	OlderThan time.Duration
	// Removed is told of each instance, removed or, with DryRun, to be
	// removed; Kept of one that is in use. Progress is told of every entry, and
	// Begin once how many instances there are to be removed, at most.
	Removed  func(path, why string)
	Kept     func(path, why string)
	Begin    func(total int)
	Progress func()
}

// Collect removes from the parents what no session uses: tmpdir instances of
// this machine whose session has ended, unfinished instances, and locks without an
// instance; then the records of namespaces that have ended. It is
// safe beside logins: an opener holds a lock from before it makes anything
// until its session stands in the namespace, and from then on the live
// namespaces are the truth.
func Collect(parents []Parent, o Options) error {
	machine, err := observe.Machine()
	if err != nil {
		return err
	}
	store, err := record.Open()
	if err != nil {
		return err
	}
	defer store.Close()
	records, err := store.List(nil)
	if err != nil {
		return err
	}
	for _, r := range records {
		for _, t := range r.Tmpdirs() {
			prefix, _, _ := strings.Cut(t.Name, polyinst.TmpdirPrefix)
			parents = append(parents, Parent{t.Parent, prefix})
		}
	}
	slices.SortFunc(parents, func(a, b Parent) int { return strings.Compare(a.Path+"/"+a.Prefix, b.Path+"/"+b.Prefix) })
	c := collection{Options: o, machine: machine, now: time.Now(), told: map[string]bool{}}
	defer c.close()
	for _, p := range slices.Compact(parents) {
		if err := c.find(p); err != nil {
			c.errs = append(c.errs, err)
		}
	}
	if o.Begin != nil {
		o.Begin(len(c.candidates))
	}
	if len(c.candidates) > 0 {
		used, err := inUse(nobody)
		if err != nil {
			return errors.Join(append(c.errs, err)...)
		}
		for _, x := range c.candidates {
			c.remove(x, used)
		}
	}
	if !o.DryRun {
		c.errs = append(c.errs, forgetEnded(store, records))
	}
	return errors.Join(c.errs...)
}

// candidate is an instance that may be removed, held against every opener.
type candidate struct {
	parent dirfd.Dir
	name   string
	guard  *guard
	why    string
	stale  bool // of another boot: no live namespace can use it
	forget bool // the lock goes with it: nobody else can come to use it
}

type collection struct {
	Options
	machine    polyinst.Machine
	now        time.Time
	told       map[string]bool
	candidates []candidate
	ways       []dirfd.Way
	errs       []error
}

func (c *collection) close() {
	for _, x := range c.candidates {
		x.guard.release()
	}
	for i := range c.ways {
		c.ways[i].Close()
	}
}

// find takes hold of all in a parent that may be garbage.
func (c *collection) find(p Parent) error {
	way, err := dirfd.Walk(p.Path, nil)
	if dirfd.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	c.ways = append(c.ways, way)
	if way.Missing {
		return nil
	}
	names, err := way.Dir.Names()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		why, lockName, stale := c.judge(p, way.Dir, name)
		if why == "" {
			continue
		}
		g, err := hold(way.Dir, lockName)
		if err != nil {
			return err
		}
		if g == nil {
			c.kept(p.Path+"/"+name, "a session is being opened")
			continue
		}
		// once more, now that nobody can change it: a session may have
		// finished it meanwhile
		if why, _, _ = c.judge(p, way.Dir, name); why == "" {
			g.release()
			continue
		}
		// the lock of an unfinished instance is that of the finished one, which
		// of a tmpdir there will not be
		forget := lockName == name || strings.HasPrefix(lockName, p.Prefix+polyinst.TmpdirPrefix)
		c.candidates = append(c.candidates, candidate{way.Dir, name, g, why, stale, forget})
	}
	return c.forgetLocks(p, way.Dir, names)
}

// judge says why an entry of a parent may be garbage, and whose lock guards it;
// an empty why: it is not for us.
func (c *collection) judge(p Parent, parent dirfd.Dir, name string) (why, lockName string, stale bool) {
	if rest, ok := strings.CutPrefix(name, p.Prefix+polyinst.TmpdirPrefix); ok {
		parts := strings.Split(rest, ".")
		if len(parts) != 3 || parts[0] != c.machine.MachineID {
			return "", "", false
		}
		if parts[1] != c.machine.BootID {
			return "its session ended with an earlier boot", name, true
		}
		return "its session has ended", name, false
	}
	if rest, ok := strings.CutPrefix(name, polyinst.NewPrefix); ok && strings.HasPrefix(rest, p.Prefix) {
		return "it was never finished", rest, true
	}
	if !strings.HasPrefix(name, p.Prefix) || strings.HasPrefix(name, ".") {
		return "", "", false
	}
	if observe.InstanceBegun(parent, name) {
		return "it was never finished", name, false
	}
	if c.Orphans {
		why = orphan(parent, name)
	}
	if why == "" && c.OlderThan > 0 {
		why = c.old(parent, name)
	}
	return why, name, false
}

// old says how long ago a persistent instance was opened, if that is long
// enough.
func (c *collection) old(parent dirfd.Dir, name string) string {
	lock, ok := lockStat(parent, name)
	if !ok || lock.Mode != observe.LockOfOne && lock.Mode != observe.LockOfMany {
		c.unknown(parent.Path() + "/" + name)
		return ""
	}
	age := c.now.Sub(time.Unix(lock.ModTime, 0))
	if age < c.OlderThan {
		return ""
	}
	return fmt.Sprintf("it was last opened %d days ago", int(age.Hours()/24))
}

// unknown tells once of an instance whose age is not recorded.
func (c *collection) unknown(path string) {
	if !c.told[path] {
		c.told[path] = true
		c.kept(path, "it is not recorded when it was last opened")
	}
}

// orphan says why nobody can use a persistent instance any more: the account
// that it was made for is gone. An instance whose account only has another name
// now is not one.
func orphan(parent dirfd.Dir, name string) string {
	uid, ok := observe.InstanceUID(parent, name)
	if !ok {
		return ""
	}
	var unknown user.UnknownUserIdError
	if _, err := user.LookupId(strconv.FormatUint(uint64(uid), 10)); errors.As(err, &unknown) {
		return fmt.Sprintf("there is no account with uid %d any more", uid)
	}
	return ""
}

// forgetLocks removes the locks of tmpdir instances that are gone.
func (c *collection) forgetLocks(p Parent, parent dirfd.Dir, names []string) error {
	locks, err := parent.LookupHere(polyinst.LockDir)
	if dirfd.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer locks.Close()
	files, err := locks.Names()
	if err != nil || c.DryRun {
		return err
	}
	for _, name := range files {
		if !strings.HasPrefix(name, p.Prefix+polyinst.TmpdirPrefix) || slices.Contains(names, name) {
			continue
		}
		g, err := hold(parent, name)
		if err != nil {
			return err
		}
		if g == nil {
			continue
		}
		// made since names was read, by a session that is complete by now?
		if dir, err := parent.LookupHere(name); err == nil {
			dir.Close()
		} else if dirfd.IsNotExist(err) {
			err = g.forget()
			if err != nil {
				g.release()
				return err
			}
		}
		g.release()
	}
	return nil
}

func (c *collection) remove(x candidate, used map[string]bool) {
	path := x.parent.Path() + "/" + x.name
	switch {
	case !x.stale && used[x.name]:
		c.kept(path, "in use")
		return
	case c.DryRun:
		c.removed(path, x.why)
		return
	}
	err := x.parent.RemoveTree(x.name, c.Progress)
	if err == nil && x.forget {
		err = x.guard.forget()
	}
	if err != nil {
		c.errs = append(c.errs, err)
		return
	}
	c.removed(path, x.why)
}

func (c *collection) removed(path, why string) {
	if c.Removed != nil {
		c.Removed(path, why)
	}
}

func (c *collection) kept(path, why string) {
	if c.Kept != nil {
		c.Kept(path, why)
	}
}

// inUse are the names of the directories that some live namespace shows: every
// component of the root of every mount. It is asked while all candidates are
// held, so that none can come into use meanwhile; twice, because a process
// may be missed that is forked behind the reader's back: it can be in a namespace
// that the first round did not see. Namespaces whose tasks skip knows are left out.
func inUse(skip func(live.Task) bool) (map[string]bool, error) {
	used, seen := map[string]bool{}, map[mntns.ID]bool{}
	for range 2 {
		err := live.Each(func(t live.Task) (bool, error) {
			if seen[t.NS] {
				return true, nil
			}
			if skip(t) {
				seen[t.NS] = true
				return true, nil
			}
			err := live.Roots(t, func(root string) {
				for c := range strings.SplitSeq(root, "/") {
					used[c] = true
				}
			})
			if mntns.Gone(err) {
				return true, nil // the next task of the namespace will do
			}
			if err != nil {
				return false, err
			}
			seen[t.NS] = true
			return true, nil
		})
		if err != nil {
			return nil, err
		}
	}
	return used, nil
}

// forgetEnded removes the records of namespaces in which no process is left,
// and whose tmpdir instances are gone.
func forgetEnded(store record.Store, records []record.Named) error {
	used := map[mntns.ID]bool{}
	err := live.Each(func(t live.Task) (bool, error) {
		used[t.NS] = true
		return true, nil
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range records {
		if used[r.NS] && !r.Dead || slices.ContainsFunc(r.Tmpdirs(), exists) {
			continue
		}
		errs = append(errs, store.Forget(r))
	}
	errs = append(errs, store.TidyUsers(func(ns mntns.ID) bool { return used[ns] }))
	return errors.Join(append(errs, store.Tidy())...)
}

func exists(p record.Polydir) bool {
	way, err := dirfd.Walk(p.Parent+"/"+p.Name, nil)
	if err != nil {
		return !dirfd.IsNotExist(err)
	}
	defer way.Close()
	return !way.Missing
}

// nobody is left out.
func nobody(live.Task) bool { return false }
