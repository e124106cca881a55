package dirfd

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// RootOf is a handle of a task's root directory, to be looked at and nothing
// more: what is below it, a user may have made.
func RootOf(pid, tid int) (Dir, error) {
	return openPath(fmt.Sprintf("/proc/%d/task/%d/root", pid, tid))
}

// maxUsageDepth is how deep a tree is looked into: each level holds a descriptor.
const maxUsageDepth = 2000

// Usage is what a directory tree takes.
type Usage struct {
	Bytes   uint64 // on the disk, a file with many names once
	Entries uint64
	// Partial: something could not be read, or lies deeper than is gone
	Partial bool
}

// Usage sums up the tree below the directory, itself included. It goes by
// handle, follows no link and crosses into no other mount; what others change
// meanwhile can make the sum wrong but never lead it elsewhere. progress, which
// may be nil, is told of every entry.
func (d Dir) Usage(progress func()) (Usage, error) {
	if progress == nil {
		progress = func() {}
	}
	var x unix.Statx_t
	if err := unix.Statx(d.FD(), "", unix.AT_EMPTY_PATH, usageMask, &x); err != nil {
		return Usage{}, pathError("stat", d.path, err)
	}
	s := sum{mount: x.Mnt_id, seen: map[ID]bool{}, progress: progress}
	s.add(&x)
	s.tree(d, 0)
	return s.Usage, nil
}

const usageMask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID

type sum struct {
	Usage
	mount    uint64
	seen     map[ID]bool // files with several names
	progress func()
}

func (s *sum) add(x *unix.Statx_t) {
	s.Entries++
	s.progress()
	if x.Nlink > 1 && x.Mode&unix.S_IFMT != unix.S_IFDIR {
		id := ID{Dev: unix.Mkdev(x.Dev_major, x.Dev_minor), Ino: x.Ino}
		if s.seen[id] {
			return
		}
		s.seen[id] = true
	}
	s.Bytes += x.Blocks * 512 // statx(2): in these units, whatever the block size
}

func (s *sum) tree(d Dir, depth int) {
	names, err := d.Names()
	if err != nil || depth > maxUsageDepth {
		s.Partial = true
		return
	}
	for _, name := range names {
		var x unix.Statx_t
		flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
		if err := unix.Statx(d.FD(), name, flags, usageMask, &x); err != nil {
			s.Partial = s.Partial || err != unix.ENOENT
			continue
		}
		if x.Mnt_id != s.mount {
			continue
		}
		s.add(&x)
		if x.Mode&unix.S_IFMT == unix.S_IFDIR {
			s.below(d, name, depth)
		}
	}
}

func (s *sum) below(d Dir, name string, depth int) {
	child, err := d.LookupHere(name)
	if err != nil {
		s.Partial = true
		return
	}
	defer child.Close()
	s.tree(child, depth+1)
}
