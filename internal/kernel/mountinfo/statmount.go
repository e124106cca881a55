package mountinfo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Word is one thing that statmount(2) can be asked about a mount. x/sys has no names
// for these.
type Word uint64

// The words that we ask for.
const (
	Device      Word = 0x01 // STATMOUNT_SB_BASIC
	Propagation Word = 0x02 // STATMOUNT_MNT_BASIC
	Root        Word = 0x08 // STATMOUNT_MNT_ROOT
	Point       Word = 0x10 // STATMOUNT_MNT_POINT
	Type        Word = 0x20 // STATMOUNT_FS_TYPE
	Namespace   Word = 0x40 // STATMOUNT_MNT_NS_ID, Linux 6.11
)

// Where in struct statmount things stand.
const (
	offsetMask        = 8
	offsetMajor       = 16
	offsetMinor       = 20
	offsetSuper       = 32
	offsetType        = 36
	offsetParent      = 48
	offsetAttributes  = 64
	offsetPropagation = 72
	offsetPeers       = 80
	offsetRoot        = 104
	offsetPoint       = 108
	offsetNamespace   = 112
	offsetText        = 512
)

// Answer is statmount(2)'s, as large as one may be: a path that does not fit is
// longer than any that we make (PATH_MAX is 4096).
type Answer [offsetText + 8<<10]byte

// Ask asks about a mount of a namespace; 0 is this process's namespace. Both ids are
// those that the kernel never uses again.
func (a *Answer) Ask(namespace, mount uint64, what Word) error {
	request := request{mount: mount, param: uint64(what), namespace: namespace}
	request.seal()
	for {
		_, _, errno := unix.Syscall6(unix.SYS_STATMOUNT, uintptr(unsafe.Pointer(&request)),
			uintptr(unsafe.Pointer(a)), unsafe.Sizeof(*a), 0, 0, 0)
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
			continue
		}
		return fmt.Errorf("statmount: %w", errno)
	}
}

// Has reports whether the kernel has answered all that was asked; one that does
// not know a word leaves it out.
func (a *Answer) Has(what Word) bool { return Word(a.uint64(offsetMask))&what == what }

// Device is that of the mount's filesystem.
func (a *Answer) Device() uint64 {
	return unix.Mkdev(a.uint32(offsetMajor), a.uint32(offsetMinor))
}

// Parent is the id of the mount that this one is on, asked for as Propagation.
func (a *Answer) Parent() uint64 { return a.uint64(offsetParent) }

// ReadOnly reports whether the filesystem is, which a mount of it need not say; asked
// for as Device.
func (a *Answer) ReadOnly() bool { return a.uint32(offsetSuper)&unix.MS_RDONLY != 0 }

// Attributes are the mount's, as MOUNT_ATTR_ flags, asked for as Propagation.
func (a *Answer) Attributes() uint64 { return a.uint64(offsetAttributes) }

// Propagation is the mount's, as MS_ flags.
func (a *Answer) Propagation() uint64 { return a.uint64(offsetPropagation) }

// Peers is the peer group of the mount, asked for as Propagation; 0: none.
func (a *Answer) Peers() uint64 { return a.uint64(offsetPeers) }

// Namespace is the id of the mount's namespace, which is never used again.
func (a *Answer) Namespace() uint64 { return a.uint64(offsetNamespace) }

// Root is the directory of its filesystem that the mount shows.
func (a *Answer) Root() string { return a.text(offsetRoot) }

// Point is what the mount is on.
func (a *Answer) Point() string { return a.text(offsetPoint) }

// Type is that of its filesystem, as in /proc/filesystems.
func (a *Answer) Type() string { return a.text(offsetType) }

func (a *Answer) uint64(at int) uint64 { return binary.NativeEndian.Uint64(a[at:]) }
func (a *Answer) uint32(at int) uint32 { return binary.NativeEndian.Uint32(a[at:]) }
func (a *Answer) text(offset int) string {
	start := offsetText + int(a.uint32(offset))
	if start >= len(a) {
		return ""
	}
	text, _, _ := bytes.Cut(a[start:], []byte{0})
	return string(text)
}

// request is struct mnt_id_req of statmount(2) and listmount(2), in the version of
// Linux 6.11, which has the namespace; x/sys has no names for it.
type request struct {
	size, spare uint32
	mount       uint64
	param       uint64
	namespace   uint64 // 0: that of the caller
}

// sizeWithoutNamespace is the request's size as Linux 6.8 knows it.
const sizeWithoutNamespace = 24

func (r *request) seal() {
	r.size = uint32(unsafe.Sizeof(*r))
	if r.namespace == 0 {
		r.size = sizeWithoutNamespace
	}
}

// wholeNamespace is LSMT_ROOT of listmount(2).
const wholeNamespace = ^uint64(0)

// List writes the ids of mounts of a namespace, in ascending order, those that are
// greater than after (listmount(2)).
func List(namespace, after uint64, ids []uint64) (int, error) {
	return ListBelow(namespace, wholeNamespace, after, ids)
}

// ListBelow is List of what is mounted on a mount, or on one that is.
func ListBelow(namespace, mount, after uint64, ids []uint64) (int, error) {
	request := request{mount: mount, param: after, namespace: namespace}
	request.seal()
	for {
		n, _, errno := unix.Syscall6(unix.SYS_LISTMOUNT, uintptr(unsafe.Pointer(&request)),
			uintptr(unsafe.Pointer(&ids[0])), uintptr(len(ids)), 0, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
			continue
		}
		return 0, fmt.Errorf("listmount: %w", errno)
	}
}

// IsUntold reports whether an error says that the kernel does not know such a
// question, or that this process may not ask it.
func IsUntold(err error) bool {
	for _, e := range []unix.Errno{unix.ENOSYS, unix.EPERM, unix.EACCES, unix.ENOTTY, unix.EOPNOTSUPP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
