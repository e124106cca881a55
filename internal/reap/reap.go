// Package reap finds and removes what no session uses any more: the tmpdir
// instances whose session has ended, and what a crash left half made.
package reap

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/polyinst"
)

// tasks calls f with every task of the machine and its mount namespace, until f
// returns false. A task that ends meanwhile is left out; one that cannot be
// looked at is an error, because nothing may be removed then.
func tasks(f func(pid int, ns uint64) bool) error {
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
		more, err := tasksOf(proc.Dir, pid, f)
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return nil
}

func tasksOf(proc dirfd.Dir, pid int, f func(pid int, ns uint64) bool) (more bool, err error) {
	process, err := proc.Lookup(strconv.Itoa(pid))
	if err != nil {
		return true, nil // it has ended
	}
	defer process.Close()
	list, err := process.Lookup("task")
	if err != nil {
		return true, nil
	}
	defer list.Close()
	tids, err := list.Names()
	if err != nil {
		return true, nil
	}
	for _, name := range tids {
		tid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		ns, err := mntns.OfTask(pid, tid)
		if mntns.Gone(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		if !f(pid, ns) {
			return false, nil
		}
	}
	return true, nil
}

// Others counts the processes in a mount namespace, without this one and the
// one that closes its session.
func Others(ns uint64, host int) (int, error) {
	count, last := 0, 0
	err := tasks(func(pid int, in uint64) bool {
		if in == ns && pid != host && pid != os.Getpid() && pid != last {
			count++
			last = pid
		}
		return true
	})
	return count, err
}

// RemoveTmpdir removes a tmpdir instance and its lock file. False: a session
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
	st, err := parent.Stat()
	if err != nil {
		return false, err
	}
	if err := dirfd.TrustedFile(parent.Path(), st); err != nil {
		return false, err
	}
	locks, err := parent.LookupHere(polyinst.LockDir)
	if dirfd.IsNotExist(err) {
		return true, parent.RemoveTree(name, progress)
	}
	if err != nil {
		return false, err
	}
	defer locks.Close()
	lock, err := locks.OpenFile(name)
	if err != nil && !dirfd.IsNotExist(err) {
		return false, err
	}
	if err == nil {
		defer lock.Close()
		free, err := lock.TryLock(dirfd.Exclusive)
		if err != nil || !free {
			return false, err
		}
	}
	if err := parent.RemoveTree(name, progress); err != nil {
		return false, fmt.Errorf("remove %s/%s: %w", parent.Path(), name, err)
	}
	if err := locks.Unlink(name); err != nil && !dirfd.IsNotExist(err) {
		return false, err
	}
	return true, nil
}

var errNotOurs = errors.New("not a tmpdir instance of this machine")
