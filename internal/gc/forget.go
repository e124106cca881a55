package gc

import (
	"errors"
	"slices"
	"strings"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// forgetLocks removes the locks of tmpdir instances that are gone, and those that
// never got their names.
func (c *collection) forgetLocks(p Parent, parent dirfd.Dir, names []string) error {
	locks, err := parent.LookupHere(layout.LockDir)
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
		if rest, ok := layout.OfTemporary(name); ok && strings.HasPrefix(rest, p.Prefix) {
			// who makes it at this moment begins again
			if err := locks.Rmdir(name); err != nil && !dirfd.IsNotExist(err) {
				return err
			}
			continue
		}
		if !strings.HasPrefix(name, p.Prefix+layout.TmpdirPrefix) || slices.Contains(names, name) {
			continue
		}
		g, err := instance.Hold(parent, name)
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
			err = g.Forget()
			if err != nil {
				g.Release()
				return err
			}
		}
		g.Release()
	}
	return nil
}

// forgetEnded removes the records of namespaces that have ended, and whose tmpdir
// instances are gone.
func forgetEnded(store record.Store, records []record.Named) error {
	living, err := live.FindLiving() // later than the records
	errs := []error{err}             // the kernel may know all that matters
	for _, r := range records {
		if !r.Dead && !living.Ended(r.Identity) || slices.ContainsFunc(r.Tmpdirs(), record.Polydir.Exists) {
			continue
		}
		errs = append(errs, store.Forget(r))
	}
	errs = append(errs, store.TidyUsers(living.Ended))
	return errors.Join(append(errs, store.Tidy())...)
}
