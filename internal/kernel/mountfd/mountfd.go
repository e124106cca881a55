// Package mountfd is a mount as a handle: made detached, where nobody can see
// it, given its attributes, and attached when everything else is ready
// (open_tree(2), fsmount(2), mount_setattr(2), move_mount(2)).
//
// It is one of the kernel packages, which alone make system calls.
package mountfd

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountinfo"
)

// Flags are mount attributes.
type Flags uint

// The values of Flags; see mount_setattr(2).
const (
	NoSuid Flags = 1 << iota
	NoDev
	NoExec
	NoSymFollow
	ReadOnly
)

// stNoSymFollow is ST_NOSYMFOLLOW of the kernel's statfs flags, which x/sys
// does not name.
const stNoSymFollow = 0x2000

var flagTable = []struct {
	flag Flags
	name string
	attr uint64 // MOUNT_ATTR_
	st   int64  // ST_
}{
	{NoSuid, "nosuid", unix.MOUNT_ATTR_NOSUID, unix.ST_NOSUID},
	{NoDev, "nodev", unix.MOUNT_ATTR_NODEV, unix.ST_NODEV},
	{NoExec, "noexec", unix.MOUNT_ATTR_NOEXEC, unix.ST_NOEXEC},
	{NoSymFollow, "nosymfollow", unix.MOUNT_ATTR_NOSYMFOLLOW, stNoSymFollow},
	{ReadOnly, "ro", unix.MOUNT_ATTR_RDONLY, unix.ST_RDONLY},
}

// FlagsAt is FlagsOf what is at the end of a walk, which has mostly asked.
func FlagsAt(way dirfd.Way) (Flags, error) {
	if way.Mount.ID == 0 || way.Mount.ID != way.Stat.MountID {
		return FlagsOf(way.Dir)
	}
	var flags Flags
	for _, f := range flagTable {
		if way.Mount.Attributes&f.attr != 0 {
			flags |= f.flag
		}
	}
	return flags, nil
}

// FlagsOf are the attributes of the mount that a directory lies on.
func FlagsOf(d dirfd.Dir) (Flags, error) {
	st, _, err := d.MountFlags()
	if errors.Is(err, unix.EACCES) {
		return flagsByMountinfo(d)
	}
	if err != nil {
		return 0, err
	}
	var flags Flags
	for _, f := range flagTable {
		if st&f.st != 0 {
			flags |= f.flag
		}
	}
	return flags, nil
}

// flagsByMountinfo is for domains that SELinux lets do everything but ask a
// filesystem for its attributes: sshd's, in the policies that distributions
// ship. It costs more where there are many mounts.
func flagsByMountinfo(d dirfd.Dir) (Flags, error) {
	id, err := d.ReusedMountID()
	if err != nil {
		return 0, err
	}
	line, found, err := mountinfo.Own(id)
	if err == nil && !found {
		err = fmt.Errorf("mount %d is not in mountinfo", id)
	}
	if err != nil {
		return 0, err
	}
	var flags Flags
	for word := range strings.SplitSeq(line.Flags, ",") {
		for _, f := range flagTable {
			if f.name == word {
				flags |= f.flag
			}
		}
	}
	return flags, nil
}

// Mount is a mount, detached until Attach.
type Mount struct {
	Root dirfd.Dir // its root directory; the same descriptor stands for both
}

// Close releases the handle; a mount that was not attached ceases to exist.
func (m *Mount) Close() { m.Root.Close() }

// Clone is a detached bind mount of one directory, without what is mounted
// below it.
func Clone(d dirfd.Dir) (Mount, error) { return clone(d, 0) }

// CloneTree is Clone with what is mounted below the directory.
func CloneTree(d dirfd.Dir) (Mount, error) { return clone(d, unix.AT_RECURSIVE) }

func clone(d dirfd.Dir, extent uint) (Mount, error) {
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	fd, err := unix.OpenTree(d.FD(), "", flags|extent)
	if err != nil {
		return Mount{}, fmt.Errorf("open_tree %s: %w", d.Path(), err)
	}
	return Mount{dirfd.FromFD(fd, d.Path())}, nil
}

// SetAttr adds attributes to a detached mount and makes it private: nothing
// that is mounted below it later spreads.
func (m Mount) SetAttr(flags Flags) error {
	return m.setAttr(flags, unix.MS_PRIVATE, 0)
}

// SetTreeAttr is SetAttr for the mount and all below it. With receive, what is
// mounted and unmounted in the original later is in the clone as well, and
// nothing of the clone in the original (a slave, mount_namespaces(7)).
func (m Mount) SetTreeAttr(flags Flags, receive bool) error {
	propagation := uint64(unix.MS_PRIVATE)
	if receive {
		propagation = unix.MS_SLAVE
	}
	return m.setAttr(flags, propagation, unix.AT_RECURSIVE)
}

func (m Mount) setAttr(flags Flags, propagation uint64, extent uint) error {
	attr := unix.MountAttr{Propagation: propagation}
	for _, f := range flagTable {
		if flags&f.flag != 0 {
			attr.Attr_set |= f.attr
		}
	}
	if err := unix.MountSetattr(m.Root.FD(), "", unix.AT_EMPTY_PATH|extent, &attr); err != nil {
		return fmt.Errorf("mount_setattr %s: %w", m.Root.Path(), err)
	}
	return nil
}

// Option is one parameter of a filesystem; an empty Value is a flag.
type Option struct{ Key, Value string }

// NewTmpfs is a detached, empty tmpfs.
func NewTmpfs(label string, options []Option) (Mount, error) {
	return newMount("tmpfs", label, append([]Option{{"source", "polyinst"}}, options...))
}

// NewProc is a detached procfs of the pid namespace that this process is in, with
// options of its own (proc(5)): it has them apart from any other since Linux 5.8.
func NewProc(label string, options []Option) (Mount, error) {
	return newMount("proc", label, append([]Option{{"source", "proc"}}, options...))
}

// NewMqueue is a detached mount of the message queues of the IPC namespace that
// this process is in; an error of IsNoMqueue where the kernel has none.
func NewMqueue(label string) (Mount, error) { return newMount("mqueue", label, nil) }

func newMount(fstype, label string, options []Option) (Mount, error) {
	fs, err := unix.Fsopen(fstype, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return Mount{}, fmt.Errorf("fsopen %s: %w", fstype, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		if o.Value == "" {
			err = unix.FsconfigSetFlag(fs, o.Key)
		} else {
			err = unix.FsconfigSetString(fs, o.Key, o.Value)
		}
		if err != nil {
			return Mount{}, fmt.Errorf("%s option %s=%s: %w", fstype, o.Key, o.Value, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return Mount{}, fmt.Errorf("create %s: %w", fstype, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return Mount{}, fmt.Errorf("fsmount %s: %w", fstype, err)
	}
	return Mount{dirfd.FromFD(fd, label)}, nil
}

// IsNoMqueue reports whether the kernel was built without POSIX message queues.
func IsNoMqueue(err error) bool { return errors.Is(err, unix.ENODEV) }

// IsMqueue reports whether a filesystem's magic number is that of message queues
// (MQUEUE_MAGIC of ipc/mqueue.c).
func IsMqueue(magic int64) bool { return magic == 0x19800202 }

// Attach puts the mount on a directory of the namespace that the caller is in.
func (m Mount) Attach(target dirfd.Dir) error {
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH
	if err := unix.MoveMount(m.Root.FD(), "", target.FD(), "", flags); err != nil {
		return fmt.Errorf("move_mount to %s: %w", target.Path(), err)
	}
	return nil
}

// Detach takes off the mount whose root the directory is, lazily: the handle is
// what says which, not a name.
func Detach(root dirfd.Dir) error {
	// umount2(2) knows names only; /proc/self/fd names the handle
	path := fmt.Sprintf("/proc/self/fd/%d", root.FD())
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("umount %s: %w", root.Path(), err)
	}
	return nil
}
