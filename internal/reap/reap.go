// Package reap finds and removes what no session uses any more: the tmpdir
// instances whose session has ended, and what a crash left half made.
package reap

import (
	"os"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/live"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/projquota"
	"pam_polyinst/internal/record"
)

// Others counts the processes in a mount namespace, without this one and the
// one that closes its session.
func Others(ns mntns.ID, host int) (int, error) {
	others := map[int]bool{}
	err := live.Each(func(t live.Task) (bool, error) {
		if t.NS == ns && t.PID != host && t.PID != os.Getpid() {
			others[t.PID] = true
		}
		return true, nil
	})
	return len(others), err
}

// UsedBeside are the names of directories that namespaces other than ns show, as
// far as they can show something of ns: a session's process may have made one
// of its own, with a copy of its mounts. Those that we built from the host's
// view cannot, and on a busy machine they are the most.
func UsedBeside(ns mntns.ID, store record.Store) (map[string]bool, error) {
	return inUse(func(t live.Task) bool { return t.NS == ns || fromHostView(t, store) })
}

func fromHostView(t live.Task, store record.Store) bool {
	r, err := store.Read(t.NS)
	return err == nil && r != nil && r.Base != 0 && r.Base == r.Host && live.IsIn(t, *r)
}

// RemoveTmpdir removes a tmpdir instance and its lock. False: a session
// that is being opened holds it. progress, which may be nil, is told of every
// removed entry.
func RemoveTmpdir(parent, name string, progress func()) (bool, error) {
	way, err := dirfd.Walk(parent, nil)
	if err != nil {
		return false, err
	}
	defer way.Close()
	if way.Missing {
		return true, nil
	}
	return removeTmpdirIn(way.Dir, name, progress)
}

func removeTmpdirIn(parent dirfd.Dir, name string, progress func()) (bool, error) {
	guard, err := hold(parent, name)
	if err != nil || guard == nil {
		return false, err
	}
	defer guard.release()
	if err := parent.RemoveTree(name, progress); err != nil {
		return false, err
	}
	return true, guard.forget()
}

// guard is an instance held against every opener: its exclusive lock.
type guard struct {
	locks dirfd.Dir
	lock  dirfd.File
	name  string
}

// hold takes the exclusive lock of an instance without waiting; nil if an
// opener holds it. Where there is no lock there is no opener: that is the
// first thing which it makes.
func hold(parent dirfd.Dir, name string) (*guard, error) {
	st, err := parent.Stat()
	if err != nil {
		return nil, err
	}
	if err := dirfd.TrustedFile(parent.Path(), st); err != nil {
		return nil, err
	}
	g := &guard{name: name}
	if g.locks, err = parent.LookupHere(polyinst.LockDir); dirfd.IsNotExist(err) {
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
		g.release()
		return nil, err
	}
	return g, nil
}

func (g *guard) release() {
	g.lock.Close()
	g.locks.Close()
}

// forget removes the lock itself, while it is held.
func (g *guard) forget() error {
	if !g.locks.IsOpen() {
		return nil
	}
	if err := projquota.RemoveLock(g.locks, g.name); !dirfd.IsNotExist(err) {
		return err
	}
	return nil
}
