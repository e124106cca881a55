// Package live tells who is in which mount namespace: the tasks of the machine,
// what their mounts show, and which of our namespaces they make live.
package live

import (
	"bytes"
	"strconv"
	"strings"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mntns"
)

// Task is a thread of a process: namespaces belong to threads.
type Task struct {
	PID, TID int
	NS       mntns.ID
}

// Each calls f with every task of the machine until f says that it is enough. A
// task that ends meanwhile is left out; one that cannot be looked at is an
// error, because who is where is then not known.
func Each(f func(Task) (more bool, err error)) error {
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
		if more, err := each(proc.Dir, pid, f); err != nil || !more {
			return err
		}
	}
	return nil
}

func each(proc dirfd.Dir, pid int, f func(Task) (bool, error)) (more bool, err error) {
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
		if more, err := f(Task{pid, tid, ns}); err != nil || !more {
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

// Mount is one line of a task's mountinfo (proc_pid_mountinfo(5)).
type Mount struct {
	Root   string // which directory of its filesystem it shows
	Point  string // where it is mounted
	FSType string
}

// Mounts are the mounts that a task sees.
func Mounts(t Task) ([]Mount, error) {
	raw, err := mntns.MountInfo(t.PID, t.TID)
	if err != nil {
		return nil, err
	}
	var all []Mount
	for line := range strings.SplitSeq(string(raw), "\n") {
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) < 5 {
			continue
		}
		kind, _, _ := strings.Cut(after, " ")
		all = append(all, Mount{unescape(fields[3]), unescape(fields[4]), kind})
	}
	return all, nil
}

// Roots calls f with the directory of its filesystem that each mount of a task
// shows, but for whole filesystems ("/"). It is for who has to look at every
// namespace of the machine: a line takes a tenth of what it takes in Mounts.
func Roots(t Task, f func(root string)) error {
	raw, err := mntns.MountInfo(t.PID, t.TID)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(raw) {
		if root := fourthField(line); len(root) != 1 {
			f(unescape(string(root)))
		}
	}
	return nil
}

func fourthField(line []byte) []byte {
	for range 3 {
		i := bytes.IndexByte(line, ' ')
		if i < 0 {
			return nil
		}
		line = line[i+1:]
	}
	field, _, _ := bytes.Cut(line, []byte(" "))
	return field
}

// unescape undoes the octal escapes (\040 for a space) of a mountinfo field.
func unescape(field string) string {
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if n, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(field[i])
	}
	return b.String()
}
