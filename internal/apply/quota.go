package apply

import (
	"errors"
	"fmt"
	"strings"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/projquota"
	"pam_polyinst/internal/selinuxfs"
)

// maxLimited is how many files and directories an instance may have that gets
// its first limit while a session waits for it.
const maxLimited = 100_000

// newProject finds a project for an instance, calls take with it, and notes it
// on the lock when that is done; if another session was faster, it is that one's.
// The directory of the locks is held meanwhile, so that no two instances of one
// parent take the same.
func newProject(parent, locks, lock dirfd.Dir, name string, take func(id uint32) error) (id uint32, err error) {
	guard, err := locks.OpenLock(".")
	if err != nil {
		return 0, err
	}
	defer guard.Close()
	if err := guard.Lock(dirfd.Exclusive); err != nil {
		return 0, err
	}
	if id, err = projquota.Of(locks, lock); err != nil || id != 0 {
		return id, err
	}
	for try := range uint32(1000) {
		id = polyinst.ProjectID(parent.Path()+"/"+name, try)
		q, err := projquota.Get(parent, id)
		if err != nil {
			return 0, err
		}
		if q.Unused() {
			if err := take(id); err != nil {
				return 0, err
			}
			return id, projquota.SetProject(lock, id, false)
		}
	}
	return 0, fmt.Errorf("quota: instance parent %q: no project is free", parent.Path())
}

// limitNew gives an instance that is about to be made its project and limits.
func (s *Staged) limitNew(parent dirfd.Dir) error {
	if s.Step.Quota == (config.Quota{}) {
		return nil
	}
	lock, err := s.locks.LookupHere(s.Step.Name)
	if err != nil {
		return err
	}
	defer lock.Close()
	s.project, err = newProject(parent, s.locks, lock, s.Step.Name, func(uint32) error { return nil })
	if err != nil {
		return err
	}
	return setLimits(parent, s.project, s.Step.Quota)
}

// limit gives an instance that is there its project, where it has none yet or
// has lost it, and the limits of the configuration as it is now.
func (s *Staged) limit(parent, dir dirfd.Dir) error {
	lock, err := s.locks.LookupHere(s.Step.Name)
	if err != nil {
		return err
	}
	defer lock.Close()
	return limit(parent, s.locks, lock, dir, s.Step.Name, s.Step.Quota, maxLimited)
}

func limit(parent, locks, lock, dir dirfd.Dir, name string, q config.Quota, max int) error {
	id, err := projquota.Of(locks, lock)
	if q == (config.Quota{}) {
		if err != nil || id == 0 {
			return nil // without quota it does not matter why that cannot be told
		}
		_ = setLimits(parent, id, q) // there were limits once
		return nil
	}
	if err != nil {
		return err
	}
	set := func(id uint32) error {
		err := projquota.SetTree(dir, id, max)
		if errors.Is(err, projquota.ErrTooMany) {
			return fmt.Errorf("quota: instance %q has no project yet, and more than %d files: `polyinst prepare` gives it one", dir.Path(), max)
		}
		return err
	}
	if id == 0 {
		if id, err = newProject(parent, locks, lock, name, set); err != nil {
			return err
		}
	}
	// its owner can have changed it, or root have made the instance anew
	now, inherit, err := projquota.Project(dir)
	if err == nil && (now != id || !inherit) {
		err = set(id)
	}
	if err != nil {
		return err
	}
	return setLimits(parent, id, q)
}

func setLimits(parent dirfd.Dir, id uint32, q config.Quota) error {
	want := projquota.Limits{Bytes: (q.Bytes + 1023) / 1024 * 1024, Inodes: q.Inodes}
	have, err := projquota.Get(parent, id)
	if err != nil || have.Limits == want {
		return err
	}
	return projquota.Set(parent, id, want)
}

// PrepareQuota gives the persistent instances in a parent their projects and
// limits, however much is in them, and tells made of each that had none.
func PrepareQuota(parent, prefix string, q config.Quota, made func(path string)) error {
	way, err := dirfd.Walk(parent, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	if way.Missing {
		return nil
	}
	if err := projquota.Enforced(way.Dir); err != nil {
		return err
	}
	names, err := way.Dir.Names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if strings.HasPrefix(name, ".") || !strings.HasPrefix(name, prefix) || strings.HasPrefix(name[len(prefix):], polyinst.TmpdirPrefix) {
			continue
		}
		isNew, err := prepareQuota(way.Dir, name, q)
		if err != nil {
			errs = append(errs, err)
		} else if isNew {
			made(parent + "/" + name)
		}
	}
	return errors.Join(errs...)
}

func prepareQuota(parent dirfd.Dir, name string, q config.Quota) (isNew bool, err error) {
	s := &Staged{Step: polyinst.Step{Name: name, Quota: q}}
	if selinuxfs.Active() {
		if s.Step.Label, err = parent.Xattr(selinuxfs.XattrLabel); err != nil {
			return false, err
		}
	}
	defer s.Close()
	if err := openLocks(s, parent); err != nil {
		return false, err
	}
	if err := takeLock(s, dirfd.Shared); err != nil {
		return false, err
	}
	dir, err := parent.LookupHere(name)
	if dirfd.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer dir.Close()
	st, err := dir.Stat()
	if err != nil || !st.IsDir() {
		return false, err
	}
	lock, err := s.locks.LookupHere(name)
	if err != nil {
		return false, err
	}
	defer lock.Close()
	before, err := projquota.Of(s.locks, lock)
	if err != nil {
		return false, err
	}
	return before == 0, limit(parent, s.locks, lock, dir, name, q, 0)
}
