package mntns

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/mountinfo"
)

// Found is a mount namespace of the machine, while EachNamespace holds it.
type Found struct {
	NS
	Ever uint64 // its own id, which is never used again
}

// namespaceInfo is struct mnt_ns_info of linux/nsfs.h.
type namespaceInfo struct {
	size, mounts uint32
	id           uint64
}

// The requests of ioctl_nsfs(2) that x/sys has no names for, Linux 6.12.
var (
	requestNext = infoRequest(11) // NS_MNT_GET_NEXT
	requestPrev = infoRequest(12) // NS_MNT_GET_PREV
	requestInfo = infoRequest(10) // NS_MNT_GET_INFO
)

// infoRequest is _IOR(NSIO, n, struct mnt_ns_info) on the machines that there
// are packages for.
func infoRequest(n uintptr) uintptr {
	const read, nsio = 2, 0xb7
	return read<<30 | unsafe.Sizeof(namespaceInfo{})<<16 | nsio<<8 | n
}

func (n NS) neighbour(request uintptr) (NS, uint64, error) {
	info := namespaceInfo{size: uint32(unsafe.Sizeof(namespaceInfo{}))}
	for {
		fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(n.fd), request, uintptr(unsafe.Pointer(&info)))
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return NS{}, 0, errno
		case request == requestInfo:
			return n, info.id, nil
		}
		found := NS{fd: int(fd), kind: Mount}
		var err error
		if found.ID, err = identify(found.fd); err != nil {
			found.Close()
			return NS{}, 0, err
		}
		return found, info.id, nil
	}
}

// EachNamespace calls f with every mount namespace of this process's user
// namespace and those below, whatever keeps it: a process, a descriptor or a bind
// mount. It goes by ascending id. Where a copy's id is greater than that of its original
// (NumberedByProcessor), who looks for something that at every moment some namespace has,
// by having copied it, misses nothing. An error of mountinfo.IsUntold where the kernel
// (before 6.12) or a security module does not tell, this process lacks CAP_SYS_ADMIN, or,
// as later kernels have it, is in a pid namespace below the first one.
func EachNamespace(f func(Found) (more bool, err error)) error {
	caps, err := OwnCapabilities()
	if err != nil {
		return err
	}
	if !caps.SysAdmin {
		return fmt.Errorf("namespaces: %w", unix.EPERM)
	}
	now, err := OpenTask(os.Getpid(), unix.Gettid())
	if err != nil {
		return err
	}
	defer func() { now.Close() }()
	_, ever, err := now.neighbour(requestInfo)
	if err != nil {
		return fmt.Errorf("NS_MNT_GET_INFO: %w", err)
	}
	for { // to the first
		before, id, err := now.neighbour(requestPrev)
		if errors.Is(err, unix.ENOENT) {
			break
		}
		if err != nil {
			return fmt.Errorf("NS_MNT_GET_PREV: %w", err)
		}
		now.Close()
		now, ever = before, id
	}
	for {
		more, err := f(Found{now, ever})
		if err != nil || !more {
			return err
		}
		next, id, err := now.neighbour(requestNext)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("NS_MNT_GET_NEXT: %w", err)
		}
		now.Close()
		now, ever = next, id
	}
}

// NumberedByProcessor reports whether each processor has numbers of its own for
// namespaces, so that a later one may have a smaller id.
func NumberedByProcessor() bool { return KernelAtLeast(6, 18) }

// Ever is the namespace's own id, which is never used again; 0 where the kernel
// (before 6.11) does not tell it.
func (n NS) Ever() uint64 {
	var id uint64
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(n.fd), unix.NS_GET_MNTNS_ID, uintptr(unsafe.Pointer(&id))); errno != 0 {
		return 0
	}
	return id
}

// Owner is whose namespace it is. ours: it belongs to the user namespace that
// this process is in, so that only root can mount in it. Otherwise uid is the user
// who made the outermost user namespace of it, below ours, if known says so.
func (n NS) Owner() (ours bool, uid uint32, known bool) {
	own, err := userNamespace()
	if err != nil {
		return false, 0, false
	}
	fd, err := unix.IoctlRetInt(n.fd, unix.NS_GET_USERNS)
	if err != nil {
		return false, 0, false
	}
	defer func() { _ = unix.Close(fd) }()
	const deepest = 33 // user_namespaces(7): 32 levels
	for depth := range deepest {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return false, 0, false
		}
		if st.Ino == own.Ino && st.Dev == own.Dev {
			return depth == 0, uid, true
		}
		var owner uint32
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.NS_GET_OWNER_UID, uintptr(unsafe.Pointer(&owner))); errno != 0 {
			return false, 0, false
		}
		parent, err := unix.IoctlRetInt(fd, unix.NS_GET_PARENT)
		if err != nil {
			return false, 0, false
		}
		_ = unix.Close(fd)
		fd, uid = parent, owner
	}
	return false, 0, false
}

func userNamespace() (unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Stat("/proc/self/ns/user", &st)
	return st, err
}

// Shown is what is known of a mount.
type Shown struct {
	ID   uint64 // never used again where statmount(2) told it
	Dev  uint64 // of its filesystem, which is not always that of the files in it
	Root string // the directory of its filesystem that it shows
	Long bool   // Root is longer than is read: Root is then empty
}

// EachMount calls f with the mounts of a namespace whose ids are greater than
// after, of those filesystems that want admits: only of these the kernel is asked
// what they show. limit is how many mounts are looked at; more is told by an
// error of mountinfo.ErrTooMany.
func EachMount(ever, after uint64, limit int, want func(dev uint64) bool, f func(Shown)) (looked int, err error) {
	var ids [256]uint64
	var a mountinfo.Answer
	for {
		n, err := mountinfo.List(ever, after, ids[:])
		if err != nil {
			return looked, err
		}
		for _, id := range ids[:n] {
			after = id
			if looked == limit {
				return looked, mountinfo.ErrTooMany
			}
			looked++
			m, err := shown(&a, ever, id, want)
			if errors.Is(err, unix.ENOENT) {
				continue // it was taken off meanwhile
			}
			if err != nil {
				return looked, err
			}
			if m.ID != 0 {
				f(m)
			}
		}
		if n < len(ids) {
			return looked, nil
		}
	}
}

// NoneNewer reports whether a namespace has no mount with a greater id, for sure.
func NoneNewer(ever, after uint64) bool {
	var one [1]uint64
	n, err := mountinfo.List(ever, after, one[:])
	return err == nil && n == 0
}

// shown is the zero Shown where the filesystem is not wanted.
func shown(a *mountinfo.Answer, ever, id uint64, want func(uint64) bool) (Shown, error) {
	if err := a.Ask(ever, id, mountinfo.Device); err != nil || !want(a.Device()) {
		return Shown{}, err
	}
	m := Shown{ID: id, Dev: a.Device()}
	err := a.Ask(ever, id, mountinfo.Device|mountinfo.Root)
	switch {
	case errors.Is(err, unix.EOVERFLOW):
		m.Long = true
		return m, nil
	case err != nil:
		return Shown{}, err
	case !a.Has(mountinfo.Root):
		return Shown{}, fmt.Errorf("statmount: %w", unix.EOPNOTSUPP)
	}
	m.Root = a.Root()
	return m, nil
}

// Shows reports whether a mount is attached in a namespace, and no other lies over
// all of it. Of more mounts below it than can be a user's, the first are looked at.
func Shows(ever, id uint64) bool {
	var a mountinfo.Answer
	if a.Ask(ever, id, mountinfo.Propagation|mountinfo.Point) != nil {
		return false
	}
	point := a.Point()
	var ids [256]uint64
	for after, looked := uint64(0), 0; looked < shownBelow; {
		n, err := mountinfo.ListBelow(ever, id, after, ids[:])
		if err != nil || n == 0 {
			return true
		}
		for _, below := range ids[:n] {
			after, looked = below, looked+1
			if a.Ask(ever, below, mountinfo.Propagation|mountinfo.Point) == nil && a.Parent() == id && a.Point() == point {
				return false
			}
		}
	}
	return true
}

// shownBelow is how many mounts on an instance are looked at.
const shownBelow = 10_000

// HasMount reports whether a mount is attached in a namespace.
func HasMount(ever, id uint64) bool {
	var a mountinfo.Answer
	return a.Ask(ever, id, mountinfo.Propagation) == nil
}
