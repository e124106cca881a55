package dirfd

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/mountinfo"
)

// keptHere are the types of filesystems whose owners, modes and links this
// kernel keeps itself, as their names stand in /proc/filesystems. On all others
// they are what some program, or another machine, says at that moment. In whose
// user namespace such a one was mounted does not matter: the kernel maps the owners
// there, and our root is not among them (user_namespaces(7)).
var keptHere = map[string]bool{
	// on disks
	"ext2": true, "ext3": true, "ext4": true, "xfs": true, "btrfs": true, "f2fs": true, "bcachefs": true, "jfs": true,
	"nilfs2": true, "reiserfs": true, "ubifs": true, "jffs2": true, "zfs": true, "gfs2": true, "ocfs2": true, "squashfs": true, "erofs": true,
	// on top of others: what they say of a file, the one below says
	"overlay": true, "ecryptfs": true,
	// in memory
	"tmpfs": true, "ramfs": true, "devtmpfs": true, "rootfs": true, "hugetlbfs": true,
	// the kernel's own
	"proc": true, "sysfs": true, "cgroup": true, "cgroup2": true, "devpts": true, "mqueue": true, "securityfs": true,
	"selinuxfs": true, "smackfs": true, "debugfs": true, "tracefs": true, "bpf": true, "pstore": true, "configfs": true,
	"efivarfs": true, "binfmt_misc": true, "fusectl": true, "autofs": true, "nsfs": true,
}

// Filesystem is what the kernel knows of a filesystem without asking it.
type Filesystem struct {
	Type string // as in /proc/filesystems; empty: it cannot be told
	Kept bool   // this kernel keeps its owners, modes and links itself

	// Believed: Kept, or the filesystem of the root directory, whatever that is:
	// who lies there, lies about every program that root runs.
	Believed bool

	// ByUser: somebody but root mounted it, or that cannot be told. It may be
	// silent for ever, so that nothing is asked of it on behalf of others.
	ByUser bool
	UID    uint32 // who that was; NoUID if it cannot be told
}

// Mount is what statmount(2) says of a mount; the zero one where it does not say.
type Mount struct {
	ID         uint64 // never used again
	Attributes uint64 // MOUNT_ATTR_ flags; of a filesystem that is read-only that one, too
	Shared     bool   // what is mounted on it spreads to
	Peers      uint64 // this peer group
}

// NoUID is the id of no account (setreuid(2)).
const NoUID = ^uint32(0)

// Reason says why a filesystem is not believed, for messages.
func (f Filesystem) Reason() string {
	switch {
	case f.ByUser && f.UID != NoUID:
		return fmt.Sprintf("on a filesystem that uid %d mounted, %s", f.UID, f.Type)
	case f.ByUser:
		return "on a filesystem that is not among the mounts here"
	}
	return fmt.Sprintf("on %s, whose owners and modes this kernel does not keep itself", f.Type)
}

// Filesystem is that of the directory. The answer is the kernel's alone: no
// daemon or server is waited for, as statfs(2) and a plain statx(2) would.
func (d Dir) Filesystem() (Filesystem, error) {
	id, unique, err := d.Mount()
	if err != nil {
		unique = false // it may be told all the same
	}
	f, _, err := d.filesystemOn(id, unique)
	return f, err
}

// filesystemOn is Filesystem, where it is known on which mount the directory lies,
// and what else was said of that.
func (d Dir) filesystemOn(mount uint64, unique bool) (f Filesystem, on Mount, err error) {
	f.UID = NoUID
	if unique {
		f.Type, on = byStatmount(mount)
	}
	if f.Kept = keptHere[f.Type]; f.Kept {
		f.Believed = true
		return f, on, nil
	}
	err = d.byMountinfo(&f)
	return f, on, err
}

func (d Dir) byMountinfo(f *Filesystem) error {
	id, dev, err := mountOf(d.FD(), "", unix.AT_EMPTY_PATH)
	if err != nil {
		return pathError("stat", d.path, err)
	}
	_, rootDev, err := mountOf(unix.AT_FDCWD, "/", 0)
	if err != nil {
		return pathError("stat", "/", err)
	}
	line, _, err := mountinfo.Own(id) // in a chroot there may be none
	if err != nil && dev != rootDev {
		return fmt.Errorf("%s: %w", d.path, err)
	}
	f.describe(line)
	if dev == rootDev {
		f.Believed, f.ByUser = true, false
	}
	return nil
}

// describe notes what a line of mountinfo says. It is the zero line if the mount is
// not in this namespace.
func (f *Filesystem) describe(line mountinfo.Line) {
	if line.FSType != "" {
		// behind a dot stands what the daemon calls itself
		f.Type, _, _ = strings.Cut(line.FSType, ".")
	}
	if f.Kept = keptHere[f.Type]; f.Kept {
		f.Believed = true
		return
	}
	switch f.Type {
	case "fuse", "fuseblk":
		f.UID = mounter(line.Options)
		f.ByUser = f.UID != 0
	case "":
		f.ByUser = true
	}
}

// mounter is the user whose FUSE a mount is, by the options that the kernel
// prints of its own (user_id, mount.fuse3(8)).
func mounter(options string) uint32 {
	for option := range strings.SplitSeq(options, ",") {
		if value, ok := strings.CutPrefix(option, "user_id="); ok {
			if uid, err := strconv.ParseUint(value, 10, 32); err == nil {
				return uint32(uid)
			}
		}
	}
	return NoUID
}

// mountOf is the mount of a file, as mountinfo numbers it, and the device of its
// filesystem. An empty mask and AT_STATX_DONT_SYNC: no filesystem is asked, and
// one that does not let root look (FUSE without allow_other) refuses nothing.
func mountOf(fd int, path string, flags int) (id, dev uint64, err error) {
	var x unix.Statx_t
	flags |= unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT | unix.AT_SYMLINK_NOFOLLOW
	if err := unix.Statx(fd, path, flags, 0, &x); err != nil {
		return 0, 0, err
	}
	return x.Mnt_id, unix.Mkdev(x.Dev_major, x.Dev_minor), nil
}

// Mount is the id of the mount that the handle lies on, and whether that is never
// used again (Linux 6.8). The filesystem is asked nothing: it can be that of a
// user's, in which one of their processes has its root directory.
func (d Dir) Mount() (id uint64, unique bool, err error) {
	var x unix.Statx_t
	flags := unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC
	if err := unix.Statx(d.FD(), "", flags, unix.STATX_MNT_ID|unix.STATX_MNT_ID_UNIQUE, &x); err != nil {
		return 0, false, pathError("stat", d.path, err)
	}
	return x.Mnt_id, x.Mask&unix.STATX_MNT_ID_UNIQUE != 0, nil
}

// noStatmount: it is not there, or SELinux does not let this process ask, which
// each attempt would have logged.
var noStatmount bool

// byStatmount is the type of the filesystem, empty where statmount(2) does not say
// (before Linux 6.8, under SELinux, for a mount of another namespace), and what else
// it says of the mount.
func byStatmount(id uint64) (string, Mount) {
	if noStatmount {
		return "", Mount{}
	}
	var a mountinfo.Answer
	const all = mountinfo.Device | mountinfo.Propagation
	err := a.Ask(0, id, mountinfo.Type|all)
	switch {
	case mountinfo.IsUntold(err):
		noStatmount = true
		return "", Mount{}
	case err != nil || !a.Has(mountinfo.Type):
		return "", Mount{}
	case !a.Has(all):
		return a.Type(), Mount{}
	}
	m := Mount{id, a.Attributes(), a.Propagation()&unix.MS_SHARED != 0, a.Peers()}
	if a.ReadOnly() {
		m.Attributes |= unix.MOUNT_ATTR_RDONLY
	}
	return a.Type(), m
}
