// Package live knows what is alive: the mount namespaces of the machine, what
// their mounts show, the tasks in them, and which of them are ours.
package live

import (
	"strconv"
	"strings"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// Task is a thread of a process: namespaces belong to threads.
type Task struct {
	PID, TID int
	NS       mntns.ID
}

// Each calls f with the tasks of the machine until f says that it is enough. A
// task that ends meanwhile is left out; one that cannot be looked at is an
// error, because who is where is then not known. One that is forked meanwhile may
// be missed: see All.
func Each(f func(Task) (more bool, err error)) error {
	proc, err := dirfd.Proc()
	if err != nil {
		return err
	}
	defer proc.Close()
	_, err = pass(proc, 0, f)
	return err
}

const rounds = 5

// All calls f with every task, with some of them several times. It misses none
// of a family that lives on by forking, if it says that it is sure:
//
// The kernel gives out ids in ascending order, and begins again after the greatest. A
// task whose id the kernel names either lives when it is read, or has forked somebody
// whose id was given out later. The first pass reads the ids that are greater than the
// newest one: they are left from before the ids began again. The second pass reads
// all, and so meets whoever was forked since. The newest id shows that the ids have not
// begun again meanwhile.
func All(f func(Task) (more bool, err error)) (sure bool, err error) {
	if !mntns.MayLookAtAll() {
		_ = Each(f)
		return false, nil
	}
	proc, err := dirfd.Proc()
	if err != nil {
		return false, err
	}
	defer proc.Close()
	for range rounds {
		before, known := newest(proc)
		for _, above := range []int{before, 0} {
			if more, err := pass(proc, above, f); err != nil || !more {
				return false, err
			}
		}
		if after, _ := newest(proc); !known {
			return false, nil
		} else if after >= before {
			return true, nil
		}
	}
	return false, nil
}

// newest is the id that was given out last, the fifth field of
// proc_loadavg(5).
func newest(proc dirfd.Dir) (pid int, known bool) {
	f, err := proc.OpenFile("loadavg")
	if err != nil {
		return 0, false
	}
	defer f.Close()
	text, err := f.ReadAll(256)
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 5 {
		return 0, false
	}
	pid, err = strconv.Atoi(fields[4])
	return pid, err == nil
}

// pass goes through the processes with greater ids.
func pass(proc dirfd.Dir, above int, f func(Task) (bool, error)) (more bool, err error) {
	more = true
	is := func(name string) (pid int, wanted bool) {
		pid, bad := strconv.Atoi(name)
		return pid, bad == nil && pid > above
	}
	other := func(name string) bool { _, wanted := is(name); return !wanted }
	end := proc.EachName(other, func(name string) bool {
		if pid, wanted := is(name); wanted {
			more, err = each(proc, pid, f)
		}
		return more && err == nil
	})
	if err == nil {
		err = end
	}
	return more && err == nil, err
}

// each goes through the threads of a process. Most have one. It is read first, and
// then counted: a thread that was there beside it either still is, and all are
// read, or has handed on to one that is, or to a process with a later id.
func each(proc dirfd.Dir, pid int, f func(Task) (bool, error)) (more bool, err error) {
	more, err = look(pid, pid, f)
	if err != nil || !more || mntns.HasOneThread(pid) {
		return more, err
	}
	list, err := taskList(proc, pid)
	if mntns.TaskGone(pid, pid, err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer list.Close()
	end := list.EachName(nil, func(name string) bool {
		if tid, bad := strconv.Atoi(name); bad == nil && tid != pid {
			more, err = look(pid, tid, f)
		}
		return more && err == nil
	})
	if err == nil && !mntns.TaskGone(pid, pid, end) {
		err = end
	}
	return more && err == nil, err
}

// look calls f with one task, if it is there.
func look(pid, tid int, f func(Task) (bool, error)) (more bool, err error) {
	ns, err := mntns.OfTask(pid, tid)
	if mntns.TaskGone(pid, tid, err) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return f(Task{pid, tid, ns})
}

func taskList(proc dirfd.Dir, pid int) (dirfd.Dir, error) {
	process, err := proc.Lookup(strconv.Itoa(pid))
	if err != nil {
		return dirfd.Dir{}, err
	}
	defer process.Close()
	return process.Lookup("task")
}
