package gc

import (
	"errors"
	"slices"
	"strings"
	"time"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// Parent is an instance parent with the prefix of the instances' names in it.
type Parent struct{ Path, Prefix string }

// Options say what a collection does.
type Options struct {
	DryRun  bool
	Orphans bool // also persistent instances whose account is gone
	// Reused: also those whose account's name is gone, while another account has
	// its uid.
	Reused bool
	// OrphanedFor is how long ago an orphan was opened last, at least.
	OrphanedFor time.Duration
	Many        bool // however many accounts are gone at once
	// OlderThan, if not zero: also persistent instances that were last opened
	// longer ago. Where that is not recorded, they stay.
	OlderThan time.Duration
	// Removed is called for each instance that is removed, or with DryRun would be;
	// Kept for each that is in use; Progress for every entry. Begin is called once,
	// with the greatest number of instances that may be removed.
	Removed func(path, why string)
	Kept    func(path, why string)
	// LeftOut is told of a parent that was not looked at because of something
	// that its user did: nobody else's is hidden by it.
	LeftOut  func(path, why string)
	Begin    func(total int)
	Progress func()
}

// Collect removes from the parents what no session uses: tmpdir instances of
// this machine whose session has ended, unfinished instances, and locks without an
// instance; then the records of namespaces that have ended. It is safe beside
// logins: an opener holds a lock from before it makes anything until its session
// stands in the namespace, and from then on the live namespaces are the truth.
//
// It holds one lock at a time, and none while it reads what all namespaces show. A
// candidate is one that nobody held at a moment after live.Uses.Begin: whoever opened it
// before that stands in a namespace that Look sees, and whoever opens it later
// makes a mount that Again sees, once the lock is held.
func Collect(parents []Parent, o Options) error {
	machine, err := observe.Machine(true)
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
			prefix, _, _ := strings.Cut(t.Name, layout.TmpdirPrefix)
			parents = append(parents, Parent{t.Parent, prefix})
		}
	}
	slices.SortFunc(parents, func(a, b Parent) int { return strings.Compare(a.Path+"/"+a.Prefix, b.Path+"/"+b.Prefix) })
	parents = slices.Compact(parents)
	c := collection{Options: o, machine: machine, now: time.Now(), told: map[string]bool{}}
	defer c.close()
	if o.Orphans {
		if c.orphans, err = c.findOrphans(parents); err != nil {
			c.errs = append(c.errs, err)
		}
	}
	c.uses.OwnerOf, c.uses.Known = ownerBy(records), store.Identities
	c.uses.Begin()
	for _, p := range parents {
		err := c.find(p)
		if why, ok := observe.IsUsersDoing(err); ok {
			c.leftOut(p.Path, why)
		} else if err != nil {
			c.errs = append(c.errs, err)
		}
	}
	if o.Begin != nil {
		o.Begin(len(c.candidates))
	}
	if len(c.candidates) > 0 {
		if err := c.uses.Look(); err != nil {
			return errors.Join(append(c.errs, err)...)
		}
		for _, x := range c.candidates {
			if err := c.remove(x); err != nil {
				c.errs = append(c.errs, err)
			}
		}
	}
	if !o.DryRun {
		c.errs = append(c.errs, forgetEnded(store, records))
	}
	return errors.Join(c.errs...)
}

// candidate is an instance that may be removed, which nobody held when it was found.
type candidate struct {
	of       Parent
	parent   dirfd.Dir
	name     string
	location mntns.Location
	uid      uint32 // the account that it was made for, if that is known
	known    bool
}

type collection struct {
	Options
	machine    plan.Machine
	now        time.Time
	told       map[string]bool
	uses       live.Uses
	candidates []candidate
	ways       []dirfd.Way
	errs       []error
	accounts   accounts
	orphans    map[string]found // by path
}

func (c *collection) close() {
	for i := range c.ways {
		c.ways[i].Close()
	}
}

// find finds all in a parent that may be garbage, and that nobody opens.
func (c *collection) find(p Parent) error {
	way, err := observe.OpenParent(p.Path)
	if err != nil || !way.Dir.IsOpen() {
		return err
	}
	c.ways = append(c.ways, way)
	names, err := way.Dir.Names()
	if err != nil {
		return err
	}
	slices.Sort(names)
	var location mntns.Location
	for _, name := range names {
		j := c.judge(p, way.Dir, name)
		if j.why == "" {
			continue
		}
		g, err := instance.Hold(way.Dir, j.lock)
		if err != nil {
			return err
		}
		if g == nil {
			c.kept(p.Path+"/"+name, "a session is being opened")
			continue
		}
		g.Release()
		if location == (mntns.Location{}) {
			if location, err = mntns.LocationOf(way.Dir); err != nil {
				return err
			}
		}
		x := candidate{of: p, parent: way.Dir, name: name, location: location.Below(name)}
		x.uid, x.known = instance.UID(way.Dir, j.lock)
		c.uses.Want(x.location)
		c.candidates = append(c.candidates, x)
	}
	return c.forgetLocks(p, way.Dir, names)
}

func (c *collection) removed(path, why string) {
	if c.Removed != nil {
		c.Removed(path, why)
	}
}

func (c *collection) leftOut(path, why string) {
	if c.LeftOut != nil {
		c.LeftOut(path, why)
	}
}

func (c *collection) kept(path, why string) {
	if c.Kept != nil {
		c.Kept(path, why)
	}
}
