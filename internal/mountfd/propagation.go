package mountfd

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/dirfd"
)

// Spreads tells whether what is mounted on the mount that a directory lies on
// reaches other namespaces (a shared mount, mount_namespaces(7)). known is
// false where the kernel does not say: before statmount(2), Linux 6.8, and
// where a security module does not let this process ask.
func Spreads(d dirfd.Dir) (spreads, known bool, err error) {
	st, err := d.Stat()
	if err != nil || !st.MountUnique {
		return false, false, err
	}
	propagation, err := statmount(st.MountID)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return false, false, nil
	}
	return propagation&unix.MS_SHARED != 0, err == nil, err
}

// The parts of statmount(2)'s request and answer that are used; x/sys has no
// names for them.
type mountIDRequest struct {
	size, spare uint32
	id, param   uint64
}

const (
	statmountMountBasic = 0x2 // STATMOUNT_MNT_BASIC
	propagationOffset   = 72  // mnt_propagation in struct statmount
)

func statmount(id uint64) (propagation uint64, err error) {
	request := mountIDRequest{id: id, param: statmountMountBasic}
	request.size = uint32(unsafe.Sizeof(request))
	var answer [512]byte
	_, _, errno := unix.Syscall6(unix.SYS_STATMOUNT, uintptr(unsafe.Pointer(&request)),
		uintptr(unsafe.Pointer(&answer)), unsafe.Sizeof(answer), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	if binary.NativeEndian.Uint64(answer[8:])&statmountMountBasic == 0 {
		return 0, unix.ENOSYS
	}
	return binary.NativeEndian.Uint64(answer[propagationOffset:]), nil
}
