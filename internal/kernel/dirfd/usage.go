package dirfd

import (
	"math"

	"golang.org/x/sys/unix"
)

// maxUsageDepth is how deep a tree is looked into: each level holds two
// descriptors.
const maxUsageDepth = 2000

// Usage is what a directory tree takes.
type Usage struct {
	Bytes   uint64 // on the disk; a name of a file with many has its share of it
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
	s := sum{mount: x.Mnt_id, progress: progress}
	s.add(&x)
	s.tree(d, 0)
	s.Bytes += uint64(math.Round(s.shares))
	return s.Usage, nil
}

const usageMask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID

type sum struct {
	Usage
	mount    uint64
	shares   float64 // of files with several names: a note of each would take memory that a user chooses
	progress func()
}

func (s *sum) add(x *unix.Statx_t) {
	s.Entries++
	s.progress()
	bytes := x.Blocks * 512 // statx(2): in these units, whatever the block size
	if x.Nlink > 1 && x.Mode&unix.S_IFMT != unix.S_IFDIR {
		s.shares += float64(bytes) / float64(x.Nlink)
		return
	}
	s.Bytes += bytes
}

func (s *sum) tree(d Dir, depth int) {
	if depth > maxUsageDepth {
		s.Partial = true
		return
	}
	// a few names at a time: there may be millions
	err := d.SomeNames(func(names []string) bool {
		s.entries(d, names, depth)
		return true
	})
	if err != nil {
		s.Partial = true
	}
}

func (s *sum) entries(d Dir, names []string, depth int) {
	for _, name := range names {
		var x unix.Statx_t
		// what is mounted there is left out, and asked nothing
		flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_STATX_DONT_SYNC
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
