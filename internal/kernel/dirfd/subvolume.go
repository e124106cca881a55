package dirfd

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// A user may make a subvolume of btrfs in each directory that they can write, and make
// it read-only. Nothing but another subvolume can be moved out of it.

// subvolumeRoot is the inode number that the root of each subvolume has
// (BTRFS_FIRST_FREE_OBJECTID), and an ordinary directory can have too.
const subvolumeRoot = 256

// From the kernel's linux/btrfs.h.
const (
	subvolumeGetFlags = 0x80089419 // BTRFS_IOC_SUBVOL_GETFLAGS
	subvolumeSetFlags = 0x4008941a // BTRFS_IOC_SUBVOL_SETFLAGS
	subvolumeReadOnly = 2          // BTRFS_SUBVOL_RDONLY
)

// subvolume reports whether a directory with this inode number, which is open to be
// read, is the root of a subvolume.
func (d Dir) subvolume(ino uint64) bool {
	if ino != subvolumeRoot {
		return false
	}
	_, magic, err := d.MountFlags()
	return err == nil && magic == unix.BTRFS_SUPER_MAGIC
}

// frozen reports whether a subvolume is read-only by itself.
func (d Dir) frozen() bool { return d.subvolumeFlags()&subvolumeReadOnly != 0 }

// thaw ends that. Where it cannot be done, what is tried next says why.
func (d Dir) thaw() {
	if flags := d.subvolumeFlags(); flags&subvolumeReadOnly != 0 {
		flags &^= subvolumeReadOnly
		_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(d.FD()), subvolumeSetFlags, uintptr(unsafe.Pointer(&flags)))
	}
}

// subvolumeFlags are 0 where the directory is the root of no subvolume.
func (d Dir) subvolumeFlags() (flags uint64) {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(d.FD()), subvolumeGetFlags, uintptr(unsafe.Pointer(&flags))); errno != 0 {
		return 0
	}
	return flags
}
