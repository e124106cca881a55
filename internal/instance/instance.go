// Package instance is the room for the format of an instance parent: what lies
// there, what its owner, mode and time say, and how each of it comes and goes.
//
//	<parent>/NAME                an instance; finished as far as its lock says so
//	<parent>/.new.NAME.RANDOM    an instance, or its lock, that one session makes
//	<parent>/.tmpdir.NAME        an instance of one session
//	<parent>/.lock/              root's, 0700: whoever can open a lock can hold it
//	<parent>/.lock/NAME          the lock of an instance, a directory: flock(2)
//	<parent>/.lock/NAME/turn     the lock of its init script
//	<parent>/.lock/.lock.project.N  project N is taken
//
// internal/core/layout has the names. The lock's owner and mode say for whom the
// instance is and how far it is (State); its time of modification says when the
// instance was last opened; its project, if it has one, is the instance's. Sessions
// share a lock (Opening). gc, and root's tools that move an instance, hold it alone and
// never wait for it (Guard).
package instance

import (
	"fmt"
	"time"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/selinuxfs"
)

// The modes of a lock say what is known of its instance.
const (
	OfNobody = 0o000  // nothing
	Begun    = 0o300  // the instance is being made; without a holder: it was never finished
	OfOne    = 0o700  // the lock's owner is the account that it is for; finished, if it is there
	OfMany   = 0o1700 // shared; finished, if it is there
)

// State is what a lock says of its instance.
type State struct {
	Mode     uint32
	UID      uint32    // with OfOne: the account that the instance is for
	LastOpen time.Time // of the instance
}

func stateOf(st dirfd.Stat) State {
	return State{Mode: st.Mode, UID: st.UID, LastOpen: time.Unix(st.ModTime, 0)}
}

// Locks is the directory of the locks in an instance parent.
type Locks struct {
	dirfd.Dir
	Label string // SELinux: what new locks are labelled with; empty: the kernel decides
}

// OpenLocks opens the directory of a parent's locks. If there is none, the error is
// one of dirfd.IsNotExist; if the directory is not root's, it is another one.
func OpenLocks(parent dirfd.Dir) (Locks, error) {
	dir, err := parent.LookupHere(layout.LockDir)
	if err != nil {
		return Locks{}, err
	}
	st, err := dir.Stat()
	if err == nil {
		err = isDirectory(dir.Path(), st)
	}
	if err == nil {
		err = dirfd.TrustedFile(dir.Path(), st)
	}
	if err != nil {
		dir.Close()
		return Locks{}, err
	}
	return Locks{Dir: dir}, nil
}

// MakeLocks is OpenLocks, and makes the directory where there is none.
func MakeLocks(parent dirfd.Dir, label string) (Locks, error) {
	locks, err := OpenLocks(parent)
	if dirfd.IsNotExist(err) {
		err = selinuxfs.Labelled(label, func() error { return parent.Mkdir(layout.LockDir, 0o700) })
		if err == nil || dirfd.IsExist(err) {
			locks, err = OpenLocks(parent)
		}
	}
	locks.Label = label
	return locks, err
}

// Look is what the lock of an instance says. Only where there is none, ok is
// false without an error; what cannot be looked at is an error.
func Look(parent dirfd.Dir, name string) (s State, ok bool, err error) {
	locks, err := OpenLocks(parent)
	if dirfd.IsNotExist(err) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	defer locks.Close()
	lock, err := locks.LookupHere(name)
	if dirfd.IsNotExist(err) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	defer lock.Close()
	st, err := lock.Stat()
	if err == nil && !st.IsDir() {
		err = notLock(lock.Path(), st)
	}
	return stateOf(st), err == nil, err
}

func notLock(path string, st dirfd.Stat) error {
	return fmt.Errorf("%s is a %s, not a directory: look at it and move it away", path, st.TypeName())
}

// Look is that function's, for a session: with the lock itself, which it will hold,
// and does not hold yet.
func (l Locks) Look(name string) (lock dirfd.File, s State, ok bool, err error) {
	lock, err = l.OpenLock(name)
	if dirfd.IsNotExist(err) {
		return lock, s, false, nil
	}
	if dirfd.IsNotDirectory(err) {
		if st, seen := l.StatEntry(name); seen == nil {
			err = notLock(l.Path()+"/"+name, st)
		}
	}
	if err != nil {
		return lock, s, false, err
	}
	st, err := lock.Stat()
	if err != nil {
		lock.Close()
		return lock, s, false, err
	}
	return lock, stateOf(st), true, nil
}

// UID is the account for which an instance was made, as its lock says.
func UID(parent dirfd.Dir, name string) (uid uint32, recorded bool) {
	s, ok, err := Look(parent, name)
	return s.UID, err == nil && ok && s.Mode == OfOne
}

// WasBegun reports whether an instance was begun and is not finished. If somebody
// holds its lock, a session is making it now.
func WasBegun(parent dirfd.Dir, name string) bool {
	s, ok, err := Look(parent, name)
	return err == nil && ok && s.Mode == Begun
}

// Touch notes that an instance was opened now.
func Touch(parent dirfd.Dir, name string) error {
	locks, err := OpenLocks(parent)
	if err != nil {
		return err
	}
	defer locks.Close()
	lock, err := locks.OpenLock(name)
	if err != nil {
		return err
	}
	defer lock.Close()
	return lock.Touch()
}
