// Package reap finds and removes what no session uses any more: the tmpdir
// instances whose session has ended, and what a crash left half made.
package reap

import (
	"os"
	"strconv"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/polyinst"
)

// task is a thread of a process: namespaces belong to threads.
type task struct {
	pid, tid int
	ns       mntns.ID
}

// tasks calls f with every task of the machine until f says that it is enough.
// A task that ends meanwhile is left out; one that cannot be looked at is an
// error, because nothing may be removed then.
func tasks(f func(task) (more bool, err error)) error {
	proc, err := dirfd.Walk("/proc", nil)
	if err != nil {
		return err
	}
	defer proc.Close()
	pids, err := proc.Dir.Names()
	if err != nil {
		return err
	}
	for _, name := range pids {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if more, err := tasksOf(proc.Dir, pid, f); err != nil || !more {
			return err
		}
	}
	return nil
}

func tasksOf(proc dirfd.Dir, pid int, f func(task) (bool, error)) (more bool, err error) {
	tids, err := threads(proc, pid)
	if err != nil {
		return false, err
	}
	for _, tid := range tids {
		ns, err := mntns.OfTask(pid, tid)
		if mntns.Gone(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		if more, err := f(task{pid, tid, ns}); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// threads are the ids of a process's threads; none if it has ended. What keeps
// us from looking is an error: nothing may be removed on a guess.
func threads(proc dirfd.Dir, pid int) ([]int, error) {
	names, err := taskNames(proc, pid)
	if mntns.Gone(err) {
		return nil, nil
	}
	var tids []int
	for _, name := range names {
		if tid, err := strconv.Atoi(name); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, err
}

func taskNames(proc dirfd.Dir, pid int) ([]string, error) {
	process, err := proc.Lookup(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	defer process.Close()
	list, err := process.Lookup("task")
	if err != nil {
		return nil, err
	}
	defer list.Close()
	return list.Names()
}

// Others counts the processes in a mount namespace, without this one and the
// one that closes its session.
func Others(ns mntns.ID, host int) (int, error) {
	others := map[int]bool{}
	err := tasks(func(t task) (bool, error) {
		if t.ns == ns && t.pid != host && t.pid != os.Getpid() {
			others[t.pid] = true
		}
		return true, nil
	})
	return len(others), err
}

// UsedBeside are the names of directories that namespaces other than ns show: a
// session's process may have made one of its own, with a copy of its mounts.
func UsedBeside(ns mntns.ID) (map[string]bool, error) { return inUse(ns) }

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
	if err := g.locks.Rmdir(g.name); !dirfd.IsNotExist(err) {
		return err
	}
	return nil
}
