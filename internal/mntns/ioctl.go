package mntns

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctlUint64 makes an ioctl(2) that fills in a 64-bit number, which x/sys has
// no function for.
func ioctlUint64(fd int, request uint) (uint64, error) {
	var v uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(&v)))
	if errno != 0 {
		return 0, errno
	}
	return v, nil
}
