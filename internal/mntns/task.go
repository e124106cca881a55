package mntns

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// OpenTask opens the mount namespace of a task. Between a look at a process and
// this, its user may have put it into another one, even in a user namespace of
// his own: who wants to enter asks ID and SameUserNamespace of the handle, and
// enters by the same handle.
func OpenTask(pid, tid int) (NS, error) {
	return open(fmt.Sprintf("/proc/%d/task/%d/ns/mnt", pid, tid), Mount)
}

// ThreadStart is when a thread started, in clock ticks since the boot
// (proc_pid_stat(5)): with its number, which is used again, it tells which
// thread it is. An error says that /proc does not show it.
func ThreadStart(tid int) (uint64, error) {
	path := fmt.Sprintf("/proc/%d/stat", tid)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", path, err)
	}
	return parseStart(path, string(buf[:n]))
}

// parseStart reads the 22nd field. The second one is the name, in parentheses,
// and may hold any character.
func parseStart(path, stat string) (uint64, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("%s: cut short", path)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return start, nil
}
