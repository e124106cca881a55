package mntns

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/procfs"
)

// Kinds is a set of kinds of namespaces, as CLONE_NEW flags (unshare(2),
// setns(2)).
type Kinds uint32

// The kinds that a session can have of its own. CLONE_NEWNS implies CLONE_FS,
// CLONE_NEWIPC implies CLONE_SYSVSEM.
const (
	Mount Kinds = unix.CLONE_NEWNS
	IPC   Kinds = unix.CLONE_NEWIPC
	UTS   Kinds = unix.CLONE_NEWUTS
	Net   Kinds = unix.CLONE_NEWNET
)

// kindTable is in the order in which namespaces are entered: the mount namespace
// comes last, because it brings another /proc.
var kindTable = []struct {
	kind Kinds
	name string
	link string // in /proc/PID/ns
}{
	{IPC, "IPC", "ipc"},
	{UTS, "UTS", "uts"},
	{Net, "network", "net"},
	{Mount, "mount", "mnt"},
}

func (k Kinds) String() string {
	var names []string
	for _, t := range kindTable {
		if k&t.kind != 0 {
			names = append(names, t.name)
		}
	}
	return strings.Join(names, ", ")
}

// IDs are namespaces, one of each kind, by the names of their links in
// /proc/PID/ns.
type IDs map[string]ID

// Kinds are the kinds that there is an ID of.
func (i IDs) Kinds() Kinds {
	var k Kinds
	for _, t := range kindTable {
		if _, ok := i[t.link]; ok {
			k |= t.kind
		}
	}
	return k
}

// OwnIDs are the identities of the namespaces that this process is in.
func OwnIDs(kinds Kinds) (IDs, error) {
	ids := IDs{}
	for _, t := range kindTable {
		if kinds&t.kind == 0 {
			continue
		}
		id, err := readID("/proc/self/ns/" + t.link)
		if err != nil {
			return nil, err
		}
		ids[t.link] = id
	}
	return ids, nil
}

// Set is an open namespace of each of several kinds.
type Set []NS

// ErrAnother says that a namespace is not the one that was asked for.
var ErrAnother = errors.New("is another one")

// SetOfInit opens the namespaces of process 1 that ids names, and refuses where
// one is another by now.
func SetOfInit(ids IDs) (Set, error) { return openSet("1/ns/", ids) }

// SetOfTask is the same for a task, whose user may have moved it elsewhere
// meanwhile; see OpenTask.
func SetOfTask(pid, tid int, ids IDs) (Set, error) {
	return openSet(fmt.Sprintf("%d/task/%d/ns/", pid, tid), ids)
}

// openSet, of what is in a directory below /proc, holds only what it has checked by descriptor: the identity, and that
// the namespace belongs to the user namespace that this process is in.
func openSet(dir string, ids IDs) (Set, error) {
	var s Set
	for _, t := range kindTable {
		want, ok := ids[t.link]
		if !ok {
			continue
		}
		ns, err := openOf(t.kind, "%s%s", dir, t.link)
		if err != nil {
			s.Close()
			return nil, err
		}
		s = append(s, ns)
		same, err := ns.SameUserNamespace()
		switch {
		case err != nil:
		case ns.ID != want:
			err = fmt.Errorf("%s/%s%s %w: %s:[%d], not %s:[%d]", procfs.Path, dir, t.link, ErrAnother, t.link, ns.ID, t.link, want)
		case !same:
			err = fmt.Errorf("%s/%s%s %w: it belongs to another user namespace", procfs.Path, dir, t.link, ErrAnother)
		}
		if err != nil {
			s.Close()
			return nil, err
		}
	}
	return s, nil
}

// Close releases the handles.
func (s Set) Close() {
	for _, ns := range s {
		ns.Close()
	}
}

// Enter moves this process into all of them. After an error it is in some.
func (s Set) Enter() error {
	for _, ns := range s {
		if err := ns.Enter(); err != nil {
			return err
		}
	}
	return nil
}

// Unshare gives this process namespaces of its own: a mount namespace that is a
// copy of the one that it is in, and empty ones of the other kinds, which count as the
// uid's (chargedTo). It has seen
// that each is another one: before 2.6.16, unshare(2) says, kernels took flags
// that they did not know in silence.
func Unshare(kinds Kinds, uid uint32) error {
	if kinds == 0 {
		return nil
	}
	before, err := OwnIDs(kinds)
	if err != nil {
		return err
	}
	if err := chargedTo(uid, func() error { return unix.Unshare(int(kinds)) }); err != nil {
		return unshareError(kinds, err)
	}
	after, err := OwnIDs(kinds)
	if err != nil {
		return err
	}
	for link, id := range before {
		if after[link] == id {
			return fmt.Errorf("unshare said that it made a new namespace, and this is still %s:[%d]", link, id)
		}
	}
	return nil
}

// unshareError says what an administrator can do about a failure of unshare(2).
func unshareError(kinds Kinds, err error) error {
	why := ""
	switch {
	case errors.Is(err, unix.EPERM):
		why = " (it takes CAP_SYS_ADMIN; in a container, also a seccomp filter that permits it)"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		why = " (the limit of such namespaces is reached: sysctl user.max_mnt_namespaces, user.max_ipc_namespaces and so on)"
	case errors.Is(err, unix.ENOMEM):
		why = " (the kernel has no memory for it)"
	case errors.Is(err, unix.EINVAL):
		why = " (this kernel was built without one of them)"
	}
	return fmt.Errorf("new namespaces (%s): %w%s", kinds, err, why)
}

// RaiseLoopback makes the loopback device of the network namespace that this
// process is in work: a new one has it down (network_namespaces(7)).
func RaiseLoopback() error {
	// any socket serves for netdevice(7), and this family is always there
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: socket: %w", err)
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: SIOCGIFFLAGS: %w", err)
	}
	lo.SetUint16(lo.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback: SIOCSIFFLAGS: %w", err)
	}
	return nil
}
