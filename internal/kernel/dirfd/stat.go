package dirfd

import (
	"golang.org/x/sys/unix"
)

// ID is the identity of a file: the device and inode of statx(2).
type ID struct {
	Dev uint64
	Ino uint64
}

// Stat is what statx(2) says of a handle.
type Stat struct {
	ID
	UID, GID uint32
	Mode     uint32 // permission bits with set-id and sticky
	Type     uint32 // S_IFMT
	Nlink    uint32
	Size     int64
	ModTime  int64 // seconds since the epoch
	// ChangeTime is when content, owner, mode or links were changed last, which
	// nobody sets: seconds since the epoch.
	ChangeTime int64
	MountID    uint64
	// MountUnique: MountID is never used again, as Linux has it from 6.8 on.
	MountUnique bool
	// Immutable: nothing can be made in it (chattr(1), +i or +a).
	Immutable bool
}

// IsDir reports whether the handle is a directory.
func (s Stat) IsDir() bool { return s.Type == unix.S_IFDIR }

// IsSymlink reports whether the handle is a symbolic link.
func (s Stat) IsSymlink() bool { return s.Type == unix.S_IFLNK }

// IsRegular reports whether the handle is a regular file.
func (s Stat) IsRegular() bool { return s.Type == unix.S_IFREG }

// TypeName names the type of file for messages.
func (s Stat) TypeName() string {
	switch s.Type {
	case unix.S_IFDIR:
		return "directory"
	case unix.S_IFLNK:
		return "symbolic link"
	case unix.S_IFREG:
		return "regular file"
	case unix.S_IFIFO:
		return "FIFO"
	case unix.S_IFSOCK:
		return "socket"
	case unix.S_IFCHR, unix.S_IFBLK:
		return "device"
	}
	return "file of an unknown type"
}

// Stat asks the kernel about the handle.
func (d Dir) Stat() (Stat, error) {
	return statAt(d.FD(), "", unix.AT_EMPTY_PATH, d.path)
}

// statHere is what this kernel knows of the handle without asking anybody. On a
// filesystem that the kernel keeps itself that is Stat; on another one only the mount
// counts.
func (d Dir) statHere() (Stat, error) {
	return statAt(d.FD(), "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, d.path)
}

func statAt(fd int, name string, flags int, label string) (Stat, error) {
	var x unix.Statx_t
	mask := unix.STATX_BASIC_STATS | unix.STATX_MNT_ID | unix.STATX_MNT_ID_UNIQUE
	if err := unix.Statx(fd, name, flags|unix.AT_SYMLINK_NOFOLLOW, mask, &x); err != nil {
		return Stat{}, pathError("stat", label, err)
	}
	return Stat{
		ID:      ID{Dev: unix.Mkdev(x.Dev_major, x.Dev_minor), Ino: x.Ino},
		UID:     x.Uid,
		GID:     x.Gid,
		Mode:    uint32(x.Mode) & 0o7777,
		Type:    uint32(x.Mode) & unix.S_IFMT,
		Nlink:   x.Nlink,
		Size:    int64(x.Size),
		ModTime: x.Mtime.Sec,
		MountID: x.Mnt_id,

		ChangeTime:  x.Ctime.Sec,
		MountUnique: x.Mask&unix.STATX_MNT_ID_UNIQUE != 0,
		Immutable:   x.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0,
	}, nil
}

// StatEntry asks what has a name in the directory now, without following it and
// without opening it.
func (d Dir) StatEntry(name string) (Stat, error) {
	return statAt(d.FD(), name, unix.AT_NO_AUTOMOUNT, join(d.path, name))
}
