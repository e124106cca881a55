package dirfd

import (
	"errors"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/core/shellword"
)

// Room says why nothing can be made in the directory, for want of what its
// filesystem has (statvfs(3)) or by its attributes (chattr(1)); empty: nothing
// speaks against it. files: files with content, too, for which alone a tmpfs takes
// blocks.
func (d Dir) Room(files bool) (Room, error) {
	st, err := d.Stat()
	if err != nil {
		return Room{}, err
	}
	return (*Walks)(nil).Room(d, st, files)
}

// Room is that function's, of a directory that is st. Of each mount it is asked once.
func (a *Walks) Room(d Dir, st Stat, files bool) (Room, error) {
	s, err := a.statfs(d, st)
	if errors.Is(err, unix.EACCES) {
		return Room{}, nil // SELinux's stock policies do not let sshd ask
	} else if err != nil {
		return Room{}, pathError("statfs", d.path, err)
	}
	blocks := s.Blocks > 0 && (files || s.Type != unix.TMPFS_MAGIC) // are taken, and can run out
	switch {
	case s.Flags&unix.ST_RDONLY != 0:
		return Room{Why: "lies on a read-only filesystem", Shut: true}, nil
	case st.Immutable:
		return Room{Why: "is immutable: chattr -ia " + shellword.Quote(d.path)}, nil
	case blocks && s.Bfree == 0:
		return Room{Why: "lies on a filesystem that is full", Scarce: true}, nil
	case s.Files > 0 && s.Ffree == 0:
		return Room{Why: "lies on a filesystem without a free inode", Scarce: true}, nil
	}
	return Room{Tight: blocks && s.Bavail*uint64(s.Frsize) < tight}, nil
}

// tight is so few bytes that XFS may make no directory any more, for which it sets up
// to 60 blocks aside. ext4 has blocks for root, which may serve, and others that serve
// nobody, so that it is full before Bfree is 0: whether it is cannot be told before
// something is made there.
const tight = 256 << 10

// Room says what Dir.Room found.
type Room struct {
	Why    string // empty: nothing speaks against making something
	Shut   bool   // nothing can be changed either
	Scarce bool   // something has run out that all users share
	Tight  bool   // there is so little left that something small may not find room
}
