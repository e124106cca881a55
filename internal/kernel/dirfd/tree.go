package dirfd

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// maxDepth is how deep a tree is gone into: each level holds a descriptor, and
// the limit of those may be 1024. What lies deeper is lifted up to the tree's
// top first.
const maxDepth = 200

// maxLifts is how often that is done where the filesystem does not say when a
// directory was made; see removal.
const maxLifts = 10_000

// RemoveTree removes the entry called name with all that is below it, however
// deep and however wide. It goes by handle, never follows a link and never
// crosses into another mount; each directory is root's before it is emptied, so
// that nobody adds or renames anything in it meanwhile, or leads us out of the
// tree. Subvolumes of btrfs, which users can make and make read-only, go as
// directories do. The entry itself goes last, so that a run which was cut short can
// be repeated. progress, which may be nil, is told of each removed entry.
func (d Dir) RemoveTree(name string, progress func()) error {
	r := removal{began: time.Now()}
	r.progress = func() {
		r.done++
		if progress != nil {
			progress()
		}
	}
	for {
		before := r.lifts
		err := r.tree(d, name, 0)
		r.top.Close()
		if err == nil || r.lifts == before {
			return err
		}
	}
}

// removal is one removal of a tree. It comes to an end although a process that
// holds a directory further down, which is not root's yet, may go on to make
// directories in it: those that were made after the beginning are left, of
// those before there are only so many, and each is lifted once at most.
type removal struct {
	progress func()
	began    time.Time
	top      Dir  // the tree's own directory
	into     Dir  // where what lies too deep is lifted to: top, or the root of a subvolume in it
	done     int  // what was removed or lifted
	lifts    int  // what was lifted
	names    int  // for what is lifted, those that were tried
	undated  int  // lifts of directories of unknown age, and of subvolumes: a snapshot is as old as what it was made of
	kept     bool // top has lost the flag that keepProject takes off
}

// errStillMade is what IsStillMade looks for.
var errStillMade = errors.New("was made while the tree was being removed: a process that holds a directory in it goes on")

// IsStillMade reports whether RemoveTree left something because somebody was
// making more of it all the while.
func IsStillMade(err error) bool { return errors.Is(err, errStillMade) }

// errTooDeep is what IsTooDeep looks for.
var errTooDeep = fmt.Errorf("more than %d directories lie too deep for one run", maxLifts)

// IsTooDeep reports whether RemoveTree left something for the next time, because more
// had to be lifted than it lifts where it cannot tell what was made meanwhile.
func IsTooDeep(err error) bool { return errors.Is(err, errTooDeep) }

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
	child, err := d.openTree(name)
	if err != nil {
		return err
	}
	defer child.Close()
	if depth == 0 {
		if r.top, err = child.Dup(); err != nil {
			return err
		}
		r.into = r.top
	} else {
		made, known, ino := child.born()
		switch {
		case known && made.After(r.began) && !made.After(time.Now()):
			return pathError("remove", child.path, errStillMade)
		case child.subvolume(ino):
			child.thaw()
			if depth > 1 {
				return r.lift(d, name, r.top, false)
			}
			r.into = child
			defer func() { r.into = r.top }()
		case depth > maxDepth:
			return r.lift(d, name, r.into, known)
		}
	}
	// root's from here on: whoever holds a handle of it can neither add nor rename
	// in it while it is emptied, nor move it away. Where that is not permitted
	// it is removed as far as they let us.
	alone := child.SetOwner(0, 0, 0o700) == nil
	for {
		before := r.done
		err := r.entries(child, depth)
		if err == nil {
			if err = d.Rmdir(name); err == nil {
				r.progress()
				return nil
			}
		}
		// some filesystems leave out entries when others go while they are read
		if !alone || r.done == before {
			return err
		}
	}
}

// entries removes what is in a directory, a few names at a time: there may be
// millions. The error is the first one; what can be removed is, all the same.
func (r *removal) entries(d Dir, depth int) error {
	if _, err := unix.Seek(d.FD(), 0, 0); err != nil {
		return pathError("read", d.path, err)
	}
	var first error
	err := readNames(d.FD(), d.path, func(names []string) bool {
		for _, n := range names {
			if err := r.tree(d, n, depth+1); err != nil && first == nil {
				first = err
			}
		}
		return true
	})
	if first == nil {
		first = err
	}
	return first
}

// openTree is LookupHere of a directory, to be read.
func (d Dir) openTree(name string) (Dir, error) {
	path := join(d.path, name)
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, unix.RESOLVE_NO_XDEV, 0)
	if err != nil {
		return Dir{}, pathError("open", path, err)
	}
	return newDir(fd, path), nil
}

// born is when a directory was made, which nobody can change afterwards, and its inode
// number; known is false where the filesystem does not keep that (statx(2),
// STATX_BTIME).
func (d Dir) born() (at time.Time, known bool, ino uint64) {
	var x unix.Statx_t
	err := unix.Statx(d.FD(), "", unix.AT_EMPTY_PATH, unix.STATX_BTIME|unix.STATX_INO, &x)
	return time.Unix(x.Btime.Sec, int64(x.Btime.Nsec)), err == nil && x.Mask&unix.STATX_BTIME != 0, x.Ino
}

// lift moves a directory that lies too deep up, for the next round. Both are in the
// tree or were, and what is moved is to be removed in any case. Out of a subvolume
// nothing but a subvolume can be moved: these go to the top, and others to the root of
// the one that they are in, which lies at the top by then.
func (r *removal) lift(d Dir, name string, into Dir, dated bool) error {
	if !dated {
		if r.undated++; r.undated > maxLifts {
			return pathError("remove", join(d.path, name), errTooDeep)
		}
	}
	for {
		r.names++
		err := unix.Renameat2(d.FD(), name, into.FD(), ".lifted."+strconv.Itoa(r.names), unix.RENAME_NOREPLACE)
		switch {
		case err == nil:
			r.done++
			r.lifts++
			return nil
		case errors.Is(err, unix.ENOENT):
			return nil
		case errors.Is(err, unix.EEXIST):
			continue
		case errors.Is(err, unix.EXDEV) && !r.kept && r.top.keepProject():
			r.kept = true
			continue
		}
		return pathError("rename", join(d.path, name), err)
	}
}

// keepProject takes from a directory the flag by which it hands its project on to
// what is made in it or moved into it (ioctl_iflags(2), FS_PROJINHERIT_FL). With the
// flag the kernel lets nothing of another project in (EXDEV). It reports whether the
// flag was there.
func (d Dir) keepProject() bool {
	const inherit = 0x20000000
	flags, err := unix.IoctlGetUint32(d.FD(), unix.FS_IOC_GETFLAGS)
	return err == nil && flags&inherit != 0 && unix.IoctlSetPointerInt(d.FD(), unix.FS_IOC_SETFLAGS, int(flags&^inherit)) == nil
}
