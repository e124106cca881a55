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
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountinfo"
	"pam_polyinst/internal/kernel/procfs"
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
func OfInit() (NS, error) { return openOf(Mount, "1/ns/mnt") }

// OwnID is the identity of the mount namespace that this process is in. The
// link is read and not followed: SELinux lets no login program open or stat
// what it leads to.
func OwnID() (ID, error) { return readID("/proc/self/ns/mnt") }

// OwnThreadID is that of the calling thread, which may be in another one than the
// process's first.
func OwnThreadID() (ID, error) { return readID("/proc/thread-self/ns/mnt") }

// readID reads a link such as "mnt:[4026531841]" (namespaces(7)).
func readID(path string) (ID, error) { return readIDAt(unix.AT_FDCWD, path) }

func readIDAt(dir int, path string) (ID, error) {
	buf := make([]byte, 64)
	n, err := unix.Readlinkat(dir, path, buf)
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

func open(path string, kind Kinds) (NS, error) { return openAt(unix.AT_FDCWD, path, kind) }

// openOf opens what another task has, by its path below /proc.
func openOf(kind Kinds, format string, args ...any) (NS, error) {
	dir, name := procfs.At(format, args...)
	return openAt(dir, name, kind)
}

func openAt(dir int, path string, kind Kinds) (NS, error) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
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

// SameUserNamespace reports whether the user namespace that owns the namespace is
// this process's (ioctl_ns(2)). A namespace that a user made in a user namespace of
// their own is never entered.
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

// Supported is an error on a kernel that has not got what building a view takes. It
// makes nothing: mount_setattr(2) is the youngest of the calls.
func Supported() error {
	err := unix.MountSetattr(-1, "", 0, &unix.MountAttr{})
	if errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("kernel %s has no mount_setattr: pam_polyinst needs Linux 5.14 or later", Kernel())
	}
	return nil
}

// Propagation of a mount; see mount_namespaces(7).
type Propagation uint64

// The values of Propagation.
const (
	Private Propagation = unix.MS_PRIVATE
	Slave   Propagation = unix.MS_SLAVE
	Shared  Propagation = unix.MS_SHARED
)

// Propagate sets the propagation of everything below / : as slaves, the host's
// later mounts still arrive and none of ours leaves; as private, none arrives
// either. Shared after Slave, each mount is in a peer group of its own. Asked for as
// a whole, so that nothing has to be known of the mounts there are.
func Propagate(p Propagation) error {
	attr := unix.MountAttr{Propagation: uint64(p)}
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
	SysAdmin, SysChroot, SysPtrace, SysResource bool
}

// OwnCapabilities asks capget(2).
func OwnCapabilities() (Capabilities, error) { return CapabilitiesOfTask(0) }

// CapabilitiesOfTask are those that a thread may use, without those that an AppArmor
// profile takes from it, which it has according to /proc.
func CapabilitiesOfTask(tid int) (Capabilities, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3, Pid: int32(tid)}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return Capabilities{}, fmt.Errorf("capget: %w", err)
	}
	return CapabilitiesOf(uint64(data[1].Effective)<<32 | uint64(data[0].Effective)), nil
}

// CapabilitiesOf takes them from a set, in which each has a bit.
func CapabilitiesOf(set uint64) Capabilities {
	has := func(c uint) bool { return set&(1<<c) != 0 }
	return Capabilities{
		SysAdmin:    has(unix.CAP_SYS_ADMIN),
		SysChroot:   has(unix.CAP_SYS_CHROOT),
		SysPtrace:   has(unix.CAP_SYS_PTRACE),
		SysResource: has(unix.CAP_SYS_RESOURCE),
	}
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
	format, args := "%d/task/%d/ns/mnt", []any{pid, tid}
	if pid == tid { // of most processes, and for the kernel the shorter way
		format, args = "%d/ns/mnt", []any{pid}
	}
	dir, name := procfs.At(format, args...)
	return readIDAt(dir, name)
}

// HasOneThread reports whether a process has one thread and no more, as the number
// of links of its list of threads tells: one of each, and two of the list's own. False
// where that cannot be told.
func HasOneThread(pid int) bool {
	var st unix.Stat_t
	dir, name := procfs.At("%d/task", pid)
	return unix.Fstatat(dir, name, &st, 0) == nil && st.Nlink == 3
}

// TaskGone reports whether an error of OfTask, or of opening what belongs to the
// task, says that the task has ended: without a namespace (a zombie) the answer is
// ENOENT or EINVAL. In the moment in which it ends nobody may look at it
// any more (EACCES), but at its flags.
func TaskGone(pid, tid int, err error) bool {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH), errors.Is(err, unix.EINVAL):
		return true
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return ending(pid, tid)
	}
	return false
}

// ending reads what proc_pid_stat(5) says in its third and ninth field.
func ending(pid, tid int) bool {
	dir, name := procfs.At("%d/task/%d/stat", pid, tid)
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH)
	}
	defer unix.Close(fd)
	buf := make([]byte, 1024)
	n, err := unix.Read(fd, buf)
	if err != nil {
		return errors.Is(err, unix.ESRCH)
	}
	text := string(buf[:n])
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name before it may be anything
	if len(fields) < 7 {
		return false
	}
	const exiting = 0x4 // PF_EXITING
	flags, err := strconv.ParseUint(fields[6], 10, 64)
	return fields[0] == "Z" || fields[0] == "X" || err == nil && flags&exiting != 0
}

// MayLookAtAll reports whether this process may look at every task, however /proc
// is mounted (hidepid, proc(5)).
func MayLookAtAll() bool {
	caps, err := OwnCapabilities()
	return err == nil && caps.SysPtrace
}

// Inside calls f where the namespace is this thread's, at its root, with that of
// the namespace's mountinfo which the thread sees there: all of it. The thread, to
// which the caller is bound from then on, then returns to its own namespace, root and
// working directory.
func (n NS) Inside(f func(mountinfo.Line) bool) error {
	runtime.LockOSThread()
	proc, err := unix.Open("/proc/thread-self", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /proc/thread-self: %w", err)
	}
	defer unix.Close(proc)
	root, err := dirfd.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	fd, err := unix.Openat(proc, "cwd", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /proc/thread-self/cwd: %w", err)
	}
	cwd := dirfd.FromFD(fd, ".")
	defer cwd.Close()
	own, err := open("/proc/thread-self/ns/mnt", Mount)
	if err != nil {
		return err
	}
	defer own.Close()
	if err := n.Enter(); err != nil {
		return err
	}
	err = mountinfo.EachAt(proc, "mountinfo", f)
	back := own.Enter()
	if back == nil {
		back = Chroot(root)
	}
	if back == nil {
		back = unix.Fchdir(cwd.FD())
	}
	return errors.Join(err, back)
}

// NewestMount is an id that no mount has which was made before this call, and
// less than that of any made later; 0 where ids are used again.
func NewestMount() uint64 {
	fd, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return 0
	}
	d := dirfd.FromFD(fd, "/")
	defer d.Close()
	st, err := d.Stat()
	if err != nil || !st.MountUnique {
		return 0
	}
	return st.MountID
}
