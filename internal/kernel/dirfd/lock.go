package dirfd

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// OpenLock opens the lock called name: an empty directory, which serves as
// well as a file, and which SELinux's policies let every login program make and
// lock in an instance parent. Its owner and mode say what it is for.
func (d Dir) OpenLock(name string) (File, error) {
	path := join(d.path, name)
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, unix.RESOLVE_NO_XDEV, 0)
	if err != nil {
		return File{}, pathError("open", path, err)
	}
	return File{fd: fd + 1, path: path}, nil
}

// LockKind is the kind of a lock of flock(2).
type LockKind int

// The kinds of lock.
const (
	Shared    LockKind = unix.LOCK_SH
	Exclusive LockKind = unix.LOCK_EX
)

// Lock waits for the lock; one held already is converted, not atomically.
func (f File) Lock(kind LockKind) error {
	for {
		err := unix.Flock(f.fd-1, int(kind))
		if !errors.Is(err, unix.EINTR) {
			return pathError("lock", f.path, err)
		}
	}
}

// TryLock takes the lock if that is possible at once.
func (f File) TryLock(kind LockKind) (bool, error) {
	err := unix.Flock(f.fd-1, int(kind)|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, pathError("lock", f.path, err)
}

// LockBy takes the lock, and waits for it no longer than until; false: somebody still
// holds it. flock(2) knows no time limit, and the holder may be stopped for ever, so
// LockBy tries again and again. A lock that is held already is converted; if that
// fails, it is lost.
func (f File) LockBy(kind LockKind, until time.Time) (bool, error) {
	const longest = 50 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, longest) {
		free, err := f.TryLock(kind)
		left := time.Until(until)
		if free || err != nil || left <= 0 {
			return free, err
		}
		// not time.Sleep, which would hand the thread on
		nap := unix.NsecToTimespec(int64(min(pause, left)))
		_ = unix.Nanosleep(&nap, nil) // EINTR: it is tried earlier
	}
}
