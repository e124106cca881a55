package apply

import (
	"errors"
	"fmt"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/projquota"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/observe"
)

// maxLimited is how many files and directories an instance may have that gets
// its first limit while a session waits for it.
const maxLimited = 100_000

// limitNew gives an instance that is about to be made its project and limits.
func (s *Staged) limitNew(parent dirfd.Dir) error {
	if s.Step.Quota == (config.Quota{}) {
		return nil
	}
	lock, err := s.Handle()
	if err != nil {
		return err
	}
	defer lock.Close()
	s.project, err = s.Locks.NewProject(parent, lock, s.Step.Name)
	if err != nil {
		return err
	}
	return setLimits(parent, s.project, s.Step.Quota)
}

// limit gives an instance that is there its project, where it has none yet or
// has lost it, and the limits of the configuration as it is now.
func (s *Staged) limit(parent, dir dirfd.Dir) error {
	if s.Step.Quota == (config.Quota{}) {
		// without quota it does not matter why that cannot be told
		if id, err := s.Project(); err == nil && id != 0 {
			_ = setLimits(parent, id, s.Step.Quota) // there were limits once
		}
		return nil
	}
	lock, err := s.Handle()
	if err != nil {
		return err
	}
	defer lock.Close()
	return s.limitTo(parent, lock, dir, maxLimited)
}

func (s *Staged) limitTo(parent, lock, dir dirfd.Dir, max int) error {
	id, err := instance.Project(s.Locks, lock)
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
		if id, err = s.Locks.NewProject(parent, lock, s.Step.Name); err != nil {
			return err
		}
	}
	// it had none; a session did not come to the end of giving it its project; its
	// owner has changed it; or root has made the instance anew
	now, inherit, err := projquota.Project(dir)
	if err == nil && (now != id || !inherit) {
		err = set(id)
	}
	if err != nil {
		return err
	}
	return setLimits(parent, id, s.Step.Quota)
}

func setLimits(parent dirfd.Dir, id uint32, q config.Quota) error {
	want := projquota.Limits{Bytes: (q.Bytes + 1023) / 1024 * 1024, Inodes: q.Inodes}
	have, err := projquota.Get(parent, id)
	if err != nil || have.Limits == want {
		return err
	}
	return projquota.Set(parent, id, want)
}

// roomForKernel is what a project may take above its limits while the kernel makes
// an overlay of its instance: a directory, for which XFS sets 60 blocks aside.
var roomForKernel = projquota.Limits{Bytes: 16 << 20, Inodes: 16}

// unlimited calls make while the limits of the instance do not count: at each mount
// of an overlay the kernel makes a directory among its changes, so that a user who has
// reached a limit could not log in to remove anything. The caller has seen that nobody
// has the overlay, so that nobody can write to the changes meanwhile.
func (s *Staged) unlimited(make func() error) error {
	if s.Step.Quota == (config.Quota{}) {
		return mountfd.ErrNoRoom
	}
	lock, err := s.Handle()
	if err != nil {
		return err
	}
	defer lock.Close()
	id, err := instance.Project(s.Locks, lock)
	if err != nil {
		return err
	}
	q, err := projquota.Get(s.layers.Upper, id)
	if err != nil {
		return err
	}
	raised := projquota.Limits{Bytes: q.UsedBytes + roomForKernel.Bytes, Inodes: q.UsedInodes + roomForKernel.Inodes}
	if err := projquota.Set(s.layers.Upper, id, raised); err != nil {
		return err
	}
	return errors.Join(make(), setLimits(s.layers.Upper, id, s.Step.Quota))
}

// PrepareQuota gives the persistent instances in a parent their projects and
// limits, however much is in them, and tells made of each that had none. What a
// user did to a parent in their home is an error of observe.IsUsersDoing.
func PrepareQuota(parent, prefix string, q config.Quota, made func(path string)) error {
	way, err := observe.OpenParent(parent)
	if err != nil || !way.Dir.IsOpen() {
		return err
	}
	defer way.Close()
	if err := projquota.Enforced(way.Dir); err != nil {
		return err
	}
	names, err := way.Dir.Names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if strings.HasPrefix(name, ".") || !strings.HasPrefix(name, prefix) || strings.HasPrefix(name[len(prefix):], layout.TmpdirPrefix) {
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
	// no lock is waited for: whoever has stopped a session that is being opened
	// would keep root's tool waiting
	s := &Staged{Step: plan.Step{Parent: parent.Path(), Name: name, Quota: q}, Opening: instance.Opening{Name: name, Path: parent.Path() + "/" + name}}
	if selinuxfs.Active() {
		if s.Step.Label, err = parent.Xattr(selinuxfs.XattrLabel); err != nil {
			return false, err
		}
	}
	defer s.Close()
	if err := s.openLocks(parent, &observe.Scene{}); err != nil {
		return false, err
	}
	if err := s.Take(); err != nil {
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
	lock, err := s.Handle()
	if err != nil {
		return false, err
	}
	defer lock.Close()
	noted, err := instance.Project(s.Locks, lock)
	if err != nil {
		return false, err
	}
	before, _, err := projquota.Project(dir)
	if err != nil {
		return false, err
	}
	return noted == 0 || noted != before, s.limitTo(parent, lock, dir, 0)
}
