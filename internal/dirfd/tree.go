package dirfd

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxDepth is how deep a tree is gone into: each level holds a descriptor, and
// the limit of those may be 1024. What lies deeper is lifted up to the tree's
// top first. How deep that may go on has a bound too: somebody may be making the
// tree deeper all the while.
const (
	maxDepth = 200
	maxLifts = 10_000
)

// RemoveTree removes the entry called name with all that is below it, however
// deep. It goes by handle, never follows a link and never crosses into another
// mount; each directory is root's before it is emptied, so that nobody adds or
// renames anything in it meanwhile, or leads us out of the tree. The entry itself goes last, so that a run which was cut short can be
// repeated. progress, which may be nil, is told of each removed entry.
func (d Dir) RemoveTree(name string, progress func()) error {
	r := removal{progress: progress}
	if progress == nil {
		r.progress = func() {}
	}
	for {
		before := r.lifts
		err := r.tree(d, name, 0)
		if err == nil || r.lifts == before {
			return err
		}
	}
}

// removal is one removal of a tree.
type removal struct {
	progress func()
	top      Dir // the tree's own directory
	lifts    int
}

func (r *removal) tree(d Dir, name string, depth int) error {
	err := unix.Unlinkat(d.FD(), name, 0)
	if err == nil {
		r.progress()
		return nil
	}
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	// EISDIR on Linux, EPERM on some filesystems; POSIX allows both
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) {
		return pathError("unlink", join(d.path, name), err)
	}
	if depth > maxDepth {
		return r.lift(d, name)
	}
	child, err := d.LookupHere(name)
	if err != nil {
		return err
	}
	defer child.Close()
	if depth == 0 {
		r.top = child
	}
	// root's from here on: whoever holds a handle of it can neither add nor rename
	// in it while it is emptied, nor move it away. Where that is not permitted
	// it is removed as far as he lets us.
	_ = child.SetOwner(0, 0, 0o700)
	names, err := child.Names()
	if err != nil {
		return err
	}
	var first error
	for _, n := range names {
		if err := r.tree(child, n, depth+1); err != nil && first == nil {
			first = err
		}
	}
	if err := d.Rmdir(name); err != nil && first == nil {
		first = err
	}
	if first == nil {
		r.progress()
	}
	return first
}

// lift moves a directory that lies too deep up to the top, for the next round.
// Both are in the tree or were, and what is moved is to be removed in any case.
func (r *removal) lift(d Dir, name string) error {
	for r.lifts < maxLifts {
		r.lifts++
		err := unix.Renameat2(d.FD(), name, r.top.FD(), ".lifted."+strconv.Itoa(r.lifts), unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return pathError("rename", join(d.path, name), err)
	}
	return pathError("remove", join(d.path, name), fmt.Errorf("deeper than %d directories", maxDepth*maxLifts))
}
