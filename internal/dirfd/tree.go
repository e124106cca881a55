package dirfd

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxDepth bounds a tree that is removed: each level holds one descriptor.
const maxDepth = 2000

// RemoveTree removes the entry called name with all that is below it. It goes
// by handle, never follows a link and never crosses into another mount; what
// somebody else adds or renames meanwhile cannot lead it out of the tree. The
// entry itself goes last, so that a run which was cut short can be repeated.
// progress, which may be nil, is told of each removed entry.
func (d Dir) RemoveTree(name string, progress func()) error {
	if progress == nil {
		progress = func() {}
	}
	return d.removeTree(name, 0, progress)
}

func (d Dir) removeTree(name string, depth int, progress func()) error {
	if depth > maxDepth {
		return pathError("remove", join(d.path, name), fmt.Errorf("deeper than %d directories", maxDepth))
	}
	err := unix.Unlinkat(d.FD(), name, 0)
	if err == nil {
		progress()
		return nil
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	// EISDIR on Linux, EPERM on some filesystems; POSIX allows both
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return pathError("unlink", join(d.path, name), err)
	}
	child, err := d.LookupHere(name)
	if err != nil {
		return err
	}
	defer child.Close()
	names, err := child.Names()
	if err != nil {
		return err
	}
	var first error
	for _, n := range names {
		if err := child.removeTree(n, depth+1, progress); err != nil && first == nil {
			first = err
		}
	}
	if err := d.Rmdir(name); err != nil && first == nil {
		first = err
	}
	if first == nil {
		progress()
	}
	return first
}
