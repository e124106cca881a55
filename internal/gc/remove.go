package gc

import (
	"strings"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/sessions/live"
)

// remove holds one candidate against every opener, and asks once more.
func (c *collection) remove(x candidate) error {
	path := x.parent.Path() + "/" + x.name
	j := c.judge(x.of, x.parent, x.name)
	if j.why == "" {
		return nil // a session has finished it meanwhile
	}
	if !j.stale && c.stays(x) {
		return nil // most are: nothing has to be asked again
	}
	g, err := instance.Hold(x.parent, j.lock)
	if err != nil {
		return err
	}
	if g == nil {
		c.kept(path, "a session is being opened")
		return nil
	}
	defer g.Release()
	if j = c.judge(x.of, x.parent, x.name); j.why == "" {
		return nil
	}
	if !j.stale {
		if err := c.uses.Again(); err != nil {
			return err
		}
		if c.stays(x) {
			return nil
		}
	}
	if c.DryRun {
		c.removed(path, j.why)
		return nil
	}
	if used, err := layersInUse(x.parent, x.name); err != nil || used {
		if used {
			c.kept(path, "in use")
		}
		return err
	}
	err = x.parent.RemoveTree(x.name, c.Progress)
	// the lock of an unfinished instance is that of the finished one, which of a
	// tmpdir there will not be
	if err == nil && (j.lock == x.name || strings.HasPrefix(j.lock, x.of.Prefix+layout.TmpdirPrefix)) {
		err = g.Forget()
	}
	switch {
	case dirfd.IsStillMade(err):
		c.kept(path, "a process that holds a directory in it goes on making others; the rest is removed")
		return nil
	case dirfd.IsTooDeep(err):
		c.kept(path, dirfd.Reason(err))
		return nil
	case err == nil:
		c.removed(path, j.why)
	}
	return err
}

// layersInUse is instance.LayersInUse of what is about to be removed.
func layersInUse(parent dirfd.Dir, name string) (bool, error) {
	dir, err := parent.LookupHere(name)
	if err != nil {
		return false, nil // no directory, or gone
	}
	defer dir.Close()
	return instance.LayersInUse(dir)
}

// stays reports whether a candidate is in use, or may be, and says so.
func (c *collection) stays(x candidate) bool {
	path := x.parent.Path() + "/" + x.name
	switch c.uses.Of(x.location, x.uid, x.known) {
	case live.InUse:
		c.kept(path, "in use")
		return true
	case live.InDoubt:
		c.kept(path, "whether it is in use cannot be told")
		return true
	}
	return false
}
