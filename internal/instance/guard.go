package instance

import (
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/projquota"
	"pam_polyinst/internal/kernel/selinuxfs"
)

// Guard is an instance held against every opener: its exclusive lock.
type Guard struct {
	locks Locks
	lock  dirfd.File
	name  string
}

// Hold takes the exclusive lock of an instance without waiting; nil if an opener
// holds it. An opener makes the lock before anything else, so without a lock there is
// no opener.
func Hold(parent dirfd.Dir, name string) (*Guard, error) {
	st, err := parent.Stat()
	if err != nil {
		return nil, err
	}
	if err := dirfd.TrustedFile(parent.Path(), st); err != nil {
		return nil, err
	}
	g := &Guard{name: name}
	if g.locks, err = OpenLocks(parent); dirfd.IsNotExist(err) {
		return g, nil
	} else if err != nil {
		return nil, err
	}
	g.lock, err = g.locks.OpenLock(name)
	if dirfd.IsNotExist(err) {
		return g, nil
	}
	free := false
	if err == nil {
		free, err = g.lock.TryLock(dirfd.Exclusive)
	}
	if err != nil || !free {
		g.Release()
		return nil, err
	}
	return g, nil
}

// HasLock reports whether the instance has a lock, which is held then.
func (g *Guard) HasLock() bool { return g.lock.IsOpen() }

// State is what the lock says; the zero State where there is none.
func (g *Guard) State() (State, error) {
	if !g.lock.IsOpen() {
		return State{}, nil
	}
	st, err := g.lock.Stat()
	return stateOf(st), err
}

// GiveTo makes the instance the account's.
func (g *Guard) GiveTo(uid uint32) error { return g.lock.SetOwner(uid, 0, OfOne) }

// Handle is a handle of the lock.
func (g *Guard) Handle() (dirfd.Dir, error) { return g.locks.LookupHere(g.name) }

// Release lets go of the lock.
func (g *Guard) Release() {
	g.lock.Close()
	g.locks.Close()
}

// Forget removes the lock while it is held, and frees the project of its instance.
func (g *Guard) Forget() error {
	if !g.locks.IsOpen() {
		return nil
	}
	if err := g.locks.Remove(g.name); !dirfd.IsNotExist(err) {
		return err
	}
	return nil
}

// ForgetCopied removes the lock while it is held, but not the project of its
// instance nor the limits of that: they go on under the lock that Copy made.
func (g *Guard) ForgetCopied() error { return g.locks.Rmdir(g.name) }

// Copy makes the lock of another name, perhaps in another parent, as this one is,
// and holds it: with its account, its label, by which login programs may use it,
// and its project. nil without an error: an opener was faster.
func (g *Guard) Copy(parent dirfd.Dir, name string) (*Guard, error) {
	s, err := g.State()
	if err != nil {
		return nil, err
	}
	locks, err := MakeLocks(parent, "")
	if err != nil {
		return nil, err
	}
	defer locks.Close()
	if err := locks.Mkdir(name, OfNobody); err != nil {
		return nil, err
	}
	to, err := Hold(parent, name)
	if err != nil || to == nil {
		return nil, err
	}
	if err = g.likeness(to); err == nil {
		err = to.GiveTo(s.UID)
	}
	if err != nil {
		to.Release()
		return nil, err
	}
	return to, nil
}

func (g *Guard) likeness(to *Guard) error {
	old, err := g.Handle()
	if err != nil {
		return err
	}
	defer old.Close()
	lock, err := to.Handle()
	if err != nil {
		return err
	}
	defer lock.Close()
	for attribute, end := range map[string]string{selinuxfs.XattrLabel: "\x00", lsm.XattrSmack: ""} {
		label, err := old.Xattr(attribute)
		if err == nil && label != "" {
			err = lock.SetXattr(attribute, label+end)
		}
		if err != nil {
			return err
		}
	}
	id, err := Project(g.locks, old)
	if err != nil || id == 0 {
		return nil // also where there are no projects
	}
	return projquota.SetProject(lock, id, false)
}
