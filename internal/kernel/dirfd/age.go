package dirfd

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// Aging says what of a tree is removed because of its age.
type Aging struct {
	// Before is what all times of an entry must be before: of its content, its
	// inode and its making, and of what is no directory, of its last use.
	Before time.Time
	// Alone runs f while nobody can come to use the tree, and reports false,
	// without running it, where somebody may use it.
	Alone  func(f func()) bool
	DryRun bool // remove nothing, count only
	// Progress, which may be nil, is told of each entry.
	Progress func()
}

// maxAgeDepth is how deep Age looks: each level holds a descriptor.
const maxAgeDepth = 500

// Age removes what is old in a directory, and says how much that is. Regular
// files and links go in any case. Sockets and FIFOs, behind which a process may
// be, and directories, on which another namespace may have something mounted that
// would go with them, go only while nobody uses the tree; directories of root's,
// devices, sticky files and what is in a read-only subvolume stay, and so does an
// entry that the user replaces meanwhile. It goes by handle,
// follows no link and crosses into no other mount.
func (d Dir) Age(a Aging) (removed int, err error) {
	if a.Progress == nil {
		a.Progress = func() {}
	}
	g := aging{Aging: a}
	fd, err := unix.Openat(d.FD(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOATIME|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, pathError("open", d.path, err)
	}
	top := newDir(fd, d.path)
	defer top.Close()
	err = g.tree(top, 0)
	return g.removed, err
}

type aging struct {
	Aging
	removed int
}

func (g *aging) tree(d Dir, depth int) error {
	var first error
	err := readNames(d.FD(), d.path, func(names []string) bool {
		if err := g.entries(d, names, depth); err != nil && first == nil {
			first = err
		}
		return true
	})
	if first == nil {
		first = err
	}
	return first
}

func (g *aging) entries(d Dir, names []string, depth int) error {
	var first error
	failed := func(err error) {
		if err != nil && !isAnother(err) && first == nil {
			first = err
		}
	}
	var ends, dirs []string // sockets and FIFOs; directories that are old
	for _, name := range names {
		g.Progress()
		x, err := g.stat(d, name)
		if err != nil {
			failed(err)
			continue
		}
		switch x.Mode & unix.S_IFMT {
		case unix.S_IFREG, unix.S_IFLNK:
			if g.old(x) && x.Mode&unix.S_ISVTX == 0 {
				failed(g.remove(d, name, 0))
			}
		case unix.S_IFSOCK, unix.S_IFIFO:
			if g.old(x) {
				ends = append(ends, name)
			}
		case unix.S_IFDIR:
			failed(g.below(d, name, depth))
			if g.old(x) && x.Uid != 0 {
				dirs = append(dirs, name)
			}
		}
	}
	if len(ends)+len(dirs) > 0 {
		g.Alone(func() {
			for _, name := range ends {
				// another one may have the name by now
				if x, err := g.stat(d, name); err == nil && g.old(x) && x.Mode&unix.S_IFMT != unix.S_IFDIR {
					failed(g.remove(d, name, 0))
				}
			}
			for _, name := range dirs {
				if err := g.remove(d, name, unix.AT_REMOVEDIR); !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
					failed(err)
				}
			}
		})
	}
	return first
}

// isAnother reports whether an error says that the name is another one's by now, or
// nobody's.
func isAnother(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.ELOOP)
}

func (g *aging) below(d Dir, name string, depth int) error {
	if depth >= maxAgeDepth {
		return nil
	}
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_NOATIME, unix.RESOLVE_NO_XDEV, 0)
	if errors.Is(err, unix.EXDEV) {
		return nil
	}
	if err != nil {
		return pathError("open", join(d.path, name), err)
	}
	child := newDir(fd, join(d.path, name))
	defer child.Close()
	if _, _, ino := child.born(); child.subvolume(ino) && child.frozen() {
		return nil
	}
	return g.tree(child, depth+1)
}

func (g *aging) stat(d Dir, name string) (*unix.Statx_t, error) {
	var x unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	err := unix.Statx(d.FD(), name, flags, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &x)
	return &x, pathError("stat", join(d.path, name), err)
}

// old looks at all times of an entry, with one exception: that a directory was read
// does not count, because a mere search does that.
func (g *aging) old(x *unix.Statx_t) bool {
	times := []unix.StatxTimestamp{x.Mtime, x.Ctime}
	if x.Mask&unix.STATX_BTIME != 0 {
		times = append(times, x.Btime)
	}
	if x.Mode&unix.S_IFMT != unix.S_IFDIR {
		times = append(times, x.Atime)
	}
	for _, t := range times {
		if !time.Unix(t.Sec, int64(t.Nsec)).Before(g.Before) {
			return false
		}
	}
	return true
}

func (g *aging) remove(d Dir, name string, flags int) error {
	if g.DryRun {
		g.removed++ // of a directory that would not be empty, too many
		return nil
	}
	if err := unix.Unlinkat(d.FD(), name, flags); err != nil {
		return pathError("unlink", join(d.path, name), err)
	}
	g.removed++
	return nil
}
