package dirfd

import (
	"pam_polyinst/internal/kernel/procfs"
)

// RootOf is a handle of a task's root directory, to be looked at and nothing
// more: what is below it, a user may have made.
func RootOf(pid, tid int) (Dir, error) {
	dir, name := procfs.At("%d/task/%d/root", pid, tid)
	return openPathAt(dir, name)
}

// Proc is the directory of all tasks: the /proc of the view that this process is
// in or, where that hides some, a procfs of its own.
func Proc() (Dir, error) {
	dir, name := procfs.At(".")
	return openPathAt(dir, name)
}
