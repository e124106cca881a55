// Package procfs is the /proc by which other tasks are looked at. A session may
// have one of its own, with hidepid, and there a process without CAP_SYS_PTRACE
// misses even process 1: what is there would pass for gone. It looks then at a
// procfs that it mounts for itself, which nobody else can see.
//
// It is one of the kernel packages, which alone make system calls.
package procfs

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Path is where programs find it.
const Path = "/proc"

// own is the descriptor of the root of this process's own procfs, which it has
// for as long as it lives; 0: it has none.
var own int

// At says where a path below /proc, about another task, is to be opened: in what
// directory (AT_FDCWD: by path), and by which name.
func At(format string, args ...any) (dir int, name string) {
	name = fmt.Sprintf(format, args...)
	if own == 0 && hides() {
		if fd, err := mount(); err == nil {
			own = fd
		}
	}
	if own != 0 {
		return own, name
	}
	return unix.AT_FDCWD, Path + "/" + name
}

// hides reports whether the /proc of the view that this process is in does not
// show it all tasks: process 1, which is always there, is missing, or shut by
// EPERM (hidepid=noaccess, proc(5)). A security module that denies says EACCES.
func hides() bool {
	err := unix.Faccessat(unix.AT_FDCWD, Path+"/1/task", unix.F_OK, unix.AT_EACCESS)
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) {
		return false // one call for each task that is looked at
	}
	var fs unix.Statfs_t
	return unix.Statfs(Path, &fs) == nil && fs.Type == unix.PROC_SUPER_MAGIC
}

// mount is a detached procfs of the pid namespace that this process is in.
func mount() (int, error) {
	fs, err := unix.Fsopen("proc", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigSetString(fs, "hidepid", "off"); err != nil {
		return 0, err
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return 0, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}
