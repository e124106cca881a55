// Package projquota limits what a directory tree takes on its filesystem:
// project quota, which ext4 and XFS have (quotactl(2), ioctl_xfs_fsgetxattr(2)).
// Every file and directory belongs to a project, a number; what is made in a
// directory that hands its project on is of the same one.
//
// It is one of the kernel packages, which alone make system calls.
package projquota

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
)

// Limits of a project; 0 is no limit.
type Limits struct {
	Bytes  uint64
	Inodes uint64
}

// Quota is what the filesystem knows of a project.
type Quota struct {
	Limits
	UsedBytes  uint64
	UsedInodes uint64
}

// Unused reports whether nothing belongs to the project, nor limits it.
func (q Quota) Unused() bool { return q == Quota{} }

// From the kernel's linux/quota.h, linux/dqblk_xfs.h and linux/fs.h.
const (
	prjQuota = 2 // the type of quota

	cmdGetQuota = 0x800007
	cmdSetQuota = 0x800008
	cmdGetState = 'X'<<8 + 8 // Q_XGETQSTATV

	stateVersion    = 1
	stateAccounting = 1 << 4 // FS_QUOTA_PDQ_ACCT
	stateEnforced   = 1 << 5 // FS_QUOTA_PDQ_ENFD

	limitsValid = 1 | 4 // QIF_BLIMITS, QIF_ILIMITS
	blockSize   = 1024  // QIF_DQBLKSIZE

	getXattr       = 0x801c581f // FS_IOC_FSGETXATTR
	setXattr       = 0x401c5820 // FS_IOC_FSSETXATTR
	projectInherit = 0x200      // FS_XFLAG_PROJINHERIT
)

// ifDqblk is struct if_dqblk.
type ifDqblk struct {
	bHard, bSoft, curSpace  uint64
	iHard, iSoft, curInodes uint64
	bTime, iTime            uint64
	valid                   uint32
	_                       uint32
}

// state is struct fs_quota_statv.
type state struct {
	version int8
	_       uint8
	flags   uint16
	_       [252]byte // more than there is
}

// fsxattr is struct fsxattr.
type fsxattr struct {
	xflags, extsize, nextents, projid, cowextsize uint32
	_                                             [8]byte
}

func quotactl(d dirfd.Dir, cmd uint32, id uint32, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall6(unix.SYS_QUOTACTL_FD, uintptr(d.FD()), uintptr(cmd<<8|prjQuota), uintptr(id), uintptr(arg), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// Enforced looks whether the filesystem of the directory holds projects to
// their limits; the error says why it does not.
func Enforced(d dirfd.Dir) error {
	s := state{version: stateVersion}
	err := quotactl(d, cmdGetState, 0, unsafe.Pointer(&s))
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("quota state of %s: %w", d.Path(), err)
	case err != nil, s.flags&stateAccounting == 0:
		return errors.New("no project quota on its filesystem: ext4 needs the features quota and project (tune2fs -O quota,project -Q prjquota) and the mount option prjquota, XFS the mount option prjquota; others have none")
	case s.flags&stateEnforced == 0:
		return errors.New("the project quota of its filesystem counts, and limits nothing: mount it with the option prjquota")
	}
	return nil
}

// Get is what the filesystem of the directory knows of a project.
func Get(d dirfd.Dir, id uint32) (Quota, error) {
	var b ifDqblk
	err := quotactl(d, cmdGetQuota, id, unsafe.Pointer(&b))
	if errors.Is(err, unix.ENOENT) { // XFS of a project that it never met
		return Quota{}, nil
	}
	if err != nil {
		return Quota{}, fmt.Errorf("quota of project %d on %s: %w", id, d.Path(), err)
	}
	return Quota{Limits{b.bHard * blockSize, b.iHard}, b.curSpace, b.curInodes}, nil
}

// Set limits a project on the filesystem of the directory. Bytes are rounded up
// to whole KiB.
func Set(d dirfd.Dir, id uint32, l Limits) error {
	b := ifDqblk{bHard: (l.Bytes + blockSize - 1) / blockSize, iHard: l.Inodes, valid: limitsValid}
	if err := quotactl(d, cmdSetQuota, id, unsafe.Pointer(&b)); err != nil {
		return fmt.Errorf("set quota of project %d on %s: %w", id, d.Path(), err)
	}
	return nil
}

// Project is to which project a directory belongs, and whether it hands it on.
func Project(d dirfd.Dir) (id uint32, inherit bool, err error) {
	x, err := get(d)
	return x.projid, x.xflags&projectInherit != 0, err
}

// ProjectOf is the project of a directory that is open to be read.
func ProjectOf(f dirfd.File) (uint32, error) {
	x, err := getFD(f.FD(), f.Path())
	return x.projid, err
}

// SetProject makes a directory belong to a project; what is made in it from now
// on does, too, if it hands it on.
func SetProject(d dirfd.Dir, id uint32, inherit bool) error {
	fd, err := reopen(d)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return setProject(fd, d.Path(), id, inherit)
}

// reopen is a descriptor for ioctl(2), which a handle is not: "." below a
// directory handle names nothing but that directory.
func reopen(d dirfd.Dir) (int, error) {
	fd, err := unix.Openat(d.FD(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", d.Path(), err)
	}
	return fd, nil
}

func get(d dirfd.Dir) (fsxattr, error) {
	fd, err := reopen(d)
	if err != nil {
		return fsxattr{}, err
	}
	defer unix.Close(fd)
	return getFD(fd, d.Path())
}

func getFD(fd int, path string) (fsxattr, error) {
	var x fsxattr
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), getXattr, uintptr(unsafe.Pointer(&x))); errno != 0 {
		return x, fmt.Errorf("project of %s: %w", path, errno)
	}
	return x, nil
}

func setProject(fd int, path string, id uint32, inherit bool) error {
	x, err := getFD(fd, path)
	if err != nil {
		return err
	}
	flags := x.xflags &^ projectInherit
	if inherit {
		flags |= projectInherit
	}
	if x.projid == id && x.xflags == flags {
		return nil
	}
	x.projid, x.xflags = id, flags
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), setXattr, uintptr(unsafe.Pointer(&x))); errno != 0 {
		return fmt.Errorf("set project of %s: %w", path, errno)
	}
	return nil
}
