// Package mntns is a session's namespaces: which ones a process is in, new ones,
// the way into others. The mount namespace is always among them.
//
// It is one of the kernel packages, which alone make system calls. Namespaces
// belong to threads: the caller must be the worker's main thread, to which a
// call from C is bound.
package mntns

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/dirfd"
)

// ID is the inode number of a namespace. It is used again after the namespace's
// end.
type ID uint64

// NS is an open namespace of one kind.
type NS struct {
	fd   int
	kind Kinds
	ID   ID
}

// Close releases the handle.
func (n NS) Close() { _ = unix.Close(n.fd) }

// OfInit opens the mount namespace of process 1.
func OfInit() (NS, error) { return open("/proc/1/ns/mnt", Mount) }

// OwnID is the identity of the mount namespace that this process is in. The
// link is read and not followed: SELinux lets no login program open or stat
// what it leads to.
func OwnID() (ID, error) { return readID("/proc/self/ns/mnt") }

// readID reads a link such as "mnt:[4026531841]" (namespaces(7)).
func readID(path string) (ID, error) {
	buf := make([]byte, 64)
	n, err := unix.Readlink(path, buf)
	if err != nil {
		return 0, fmt.Errorf("readlink %s: %w", path, err)
	}
	_, text, _ := strings.Cut(strings.TrimSuffix(string(buf[:n]), "]"), ":[")
	id, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("readlink %s: %q names no namespace", path, buf[:n])
	}
	return ID(id), nil
}

// FromFD makes an NS of the descriptor of a mount namespace, which it then owns.
func FromFD(fd int) (NS, error) {
	id, err := identify(fd)
	if err != nil {
		return NS{}, fmt.Errorf("stat of a namespace: %w", err)
	}
	return NS{fd, Mount, id}, nil
}

func open(path string, kind Kinds) (NS, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return NS{}, fmt.Errorf("open %s: %w", path, err)
	}
	ns := NS{fd: fd, kind: kind}
	if ns.ID, err = identify(fd); err != nil {
		ns.Close()
		return NS{}, fmt.Errorf("stat %s: %w", path, err)
	}
	return ns, nil
}

func identify(fd int) (ID, error) {
	var st unix.Stat_t
	err := unix.Fstat(fd, &st)
	return ID(st.Ino), err
}

// SameUserNamespace tells whether the namespace's owning user namespace is the
// one that this process is in: one that a user made in a user namespace of his
// own is never entered (ioctl_ns(2)).
func (n NS) SameUserNamespace() (bool, error) {
	owner, err := unix.IoctlRetInt(n.fd, unix.NS_GET_USERNS)
	if errors.Is(err, unix.EPERM) { // owned by one outside of ours
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("NS_GET_USERNS: %w", err)
	}
	defer unix.Close(owner)
	var theirs, ours unix.Stat_t
	if err := unix.Fstat(owner, &theirs); err != nil {
		return false, err
	}
	if err := unix.Stat("/proc/self/ns/user", &ours); err != nil {
		return false, fmt.Errorf("stat /proc/self/ns/user: %w", err)
	}
	return theirs.Ino == ours.Ino && theirs.Dev == ours.Dev, nil
}

// Enter moves this process into the namespace; of a mount namespace, to its root
// directory.
func (n NS) Enter() error {
	if n.kind == Mount {
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return fmt.Errorf("unshare(CLONE_FS): %w", err)
		}
	}
	if err := unix.Setns(n.fd, int(n.kind)); err != nil {
		return fmt.Errorf("setns to the %s namespace: %w", n.kind, err)
	}
	return nil
}

// Supported tells whether the kernel has what building a view takes, before
// anything is made: mount_setattr(2) is the youngest of the calls.
func Supported() error {
	err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{})
	if errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("kernel %s has no mount_setattr: pam_polyinst needs Linux 5.14 or later", Kernel())
	}
	return nil
}

// Isolate sets the propagation of everything below / : as slaves, the host's
// later mounts still arrive and none of ours leaves; as private, none arrives
// either (mount_namespaces(7)). Asked for as a whole, so that nothing has to be
// known of the mounts there are.
func Isolate(private bool) error {
	attr := unix.MountAttr{Propagation: unix.MS_SLAVE}
	if private {
		attr.Propagation = unix.MS_PRIVATE
	}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("mount_setattr /: %w", err)
	}
	return nil
}

// GoToRoot goes to the root of the namespace that this process is in, out of a
// chroot: setns(2) into one's own namespace does that. By pidfd, since /proc may
// be missing below a chroot.
func GoToRoot() error {
	pidfd, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(pidfd)
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare(CLONE_FS): %w", err)
	}
	if err := unix.Setns(pidfd, unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("setns: %w", err)
	}
	return nil
}

// Chroot makes a directory the root and the working directory.
func Chroot(d dirfd.Dir) error {
	if err := unix.Fchdir(d.FD()); err != nil {
		return fmt.Errorf("chdir %s: %w", d.Path(), err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot %s: %w", d.Path(), err)
	}
	return nil
}

// Capabilities says what this process is permitted to do.
type Capabilities struct {
	SysAdmin, SysChroot, SysPtrace bool
}

// OwnCapabilities asks capget(2).
func OwnCapabilities() (Capabilities, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return Capabilities{}, fmt.Errorf("capget: %w", err)
	}
	has := func(c uint) bool { return data[c/32].Effective&(1<<(c%32)) != 0 }
	return Capabilities{
		SysAdmin:  has(unix.CAP_SYS_ADMIN),
		SysChroot: has(unix.CAP_SYS_CHROOT),
		SysPtrace: has(unix.CAP_SYS_PTRACE),
	}, nil
}

// Kernel is the kernel's release, as uname(2) says it.
func Kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// KernelAtLeast compares the kernel's release with a version.
func KernelAtLeast(major, minor int) bool { return releaseAtLeast(Kernel(), major, minor) }

func releaseAtLeast(release string, major, minor int) bool {
	a, rest, _ := strings.Cut(release, ".")
	b := rest
	if i := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		b = rest[:i]
	}
	x, err1 := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil {
		return false
	}
	return x > major || x == major && y >= minor
}

// OfTask is the mount namespace of a task (a thread) of a process.
func OfTask(pid, tid int) (ID, error) {
	return readID(fmt.Sprintf("/proc/%d/task/%d/ns/mnt", pid, tid))
}

// Gone tells whether an error of OfTask or MountInfo says that the task has
// ended: without a namespace (a zombie) the answer is ENOENT or EINVAL.
func Gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL)
}

// MountInfo is /proc/PID/task/TID/mountinfo; see proc_pid_mountinfo(5). It is
// for tools: its cost grows with the machine's mounts.
func MountInfo(pid, tid int) ([]byte, error) {
	path := fmt.Sprintf("/proc/%d/task/%d/mountinfo", pid, tid)
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var out []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		if n == 0 {
			return out, nil
		}
		out = append(out, buf[:n]...)
	}
}
