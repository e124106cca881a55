package instance

import (
	"fmt"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/projquota"
	"pam_polyinst/internal/kernel/selinuxfs"
)

// Project is the project of the instance whose lock it is; 0: it has none. The lock
// is where the number is kept: nobody but root can reach that, whereas a user
// can change the project of all that is theirs.
func Project(locks Locks, lock dirfd.Dir) (uint32, error) {
	id, _, err := projquota.Project(lock)
	if err != nil || !layout.IsProject(id) {
		return 0, err
	}
	return locks.ownProject(id)
}

// ownProject is the project of a lock, or 0: one that all locks inherit is the
// administrator's.
func (l Locks) ownProject(id uint32) (uint32, error) {
	whole, _, err := projquota.Project(l.Dir)
	if err != nil || whole == id {
		return 0, err
	}
	return id, nil
}

// Remove removes the lock of an instance that is gone, and the limits of its
// project, so that the number is free again.
func (l Locks) Remove(name string) error {
	var id uint32
	if lock, err := l.LookupHere(name); err == nil {
		id, _ = Project(l, lock)
		_ = lock.Rmdir(layout.TurnLock)
		lock.Close()
	}
	if err := l.Rmdir(name); err != nil {
		return err
	}
	if id != 0 {
		_ = projquota.Set(l.Dir, id, projquota.Limits{}) // of nothing: what stays is a number that is not used again
		_ = l.Rmdir(layout.ProjectClaim(id))
	}
	return nil
}

// NewProject finds a project for an instance of the parent, and notes it on its
// lock; if another session was faster, it is that one's.
func (l Locks) NewProject(parent, lock dirfd.Dir, name string) (uint32, error) {
	return chooseProject(projects{
		path: parent.Path() + "/" + name,
		mine: func() (uint32, error) { return Project(l, lock) },
		unused: func(id uint32) (bool, error) {
			q, err := projquota.Get(parent, id)
			return err == nil && q.Unused(), err
		},
		claim: func(id uint32) error {
			return selinuxfs.Labelled(l.Label, func() error { return l.Mkdir(layout.ProjectClaim(id), 0) })
		},
		note: func(id uint32) error { return projquota.SetProject(lock, id, false) },
	})
}

// projects is what chooseProject asks of the filesystem.
type projects struct {
	path   string
	mine   func() (uint32, error)        // the instance's; 0: it has none yet
	unused func(id uint32) (bool, error) // nothing belongs to it
	claim  func(id uint32) error         // fs.ErrExist if it was claimed before
	note   func(id uint32) error         // it is the instance's from now on
}

// chooseProject finds a project that no other instance has. A claim, the
// directory of that name among the locks, can be made once: so no two instances
// get the same project, and none waits for the other. A session that is
// stopped between its claim and its note costs one number.
func chooseProject(p projects) (uint32, error) {
	for try := range uint32(1000) {
		if id, err := p.mine(); err != nil || id != 0 {
			return id, err
		}
		id := layout.ProjectID(p.path, try)
		if free, err := p.unused(id); err != nil {
			return 0, err
		} else if !free {
			continue
		}
		err := p.claim(id)
		if dirfd.IsExist(err) {
			continue
		}
		if err == nil {
			err = p.note(id)
		}
		return id, err
	}
	parent, _ := dirfd.Split(p.path)
	return 0, fmt.Errorf("quota: instance parent %q: no project is free", parent)
}
