// Package audit writes the text of records for the kernel's audit log, in the
// form of libaudit's user messages, and sends them. The text is words
// "name=value", which the log's readers take apart at spaces; what a user can
// choose is therefore encoded.
//
// It is one of the kernel packages, which alone make system calls.
package audit

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// trustedApp is AUDIT_TRUSTED_APP, the type of records that applications define
// (docs/decisions/0020-the-type-of-audit-records.md).
const trustedApp = 1121

// Send hands a record to the kernel and never waits: the kernel takes it, or says
// why not, before the call returns. It drops the record, and that is no error,
// where auditing is off.
func Send(text string) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_AUDIT)
	if err != nil {
		return fmt.Errorf("netlink socket: %w", err)
	}
	defer unix.Close(fd)
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(fd, packet(text), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, kernel); err != nil {
		return fmt.Errorf("netlink send: %w", err)
	}
	var answer [256]byte
	n, _, err := unix.Recvfrom(fd, answer[:], unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) {
		return errors.New("netlink: the kernel has not answered")
	}
	if err != nil {
		return fmt.Errorf("netlink receive: %w", err)
	}
	return verdict(answer[:n])
}

// packet is a netlink message: struct nlmsghdr, then the text with its NUL.
func packet(text string) []byte {
	length := unix.NLMSG_HDRLEN + len(text) + 1
	p := make([]byte, 0, length)
	p = binary.NativeEndian.AppendUint32(p, uint32(length))
	p = binary.NativeEndian.AppendUint16(p, trustedApp)
	p = binary.NativeEndian.AppendUint16(p, unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	p = binary.NativeEndian.AppendUint32(p, 1) // sequence number
	p = binary.NativeEndian.AppendUint32(p, 0) // port: the kernel fills it in
	p = append(p, text...)
	return append(p, 0)
}

// verdict reads an acknowledgement: struct nlmsghdr of type NLMSG_ERROR, then the
// negative errno.
func verdict(answer []byte) error {
	if len(answer) < unix.NLMSG_HDRLEN+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("netlink: this is no acknowledgement")
	}
	if errno := unix.Errno(-int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:]))); errno != 0 {
		return fmt.Errorf("audit: %w", errno)
	}
	return nil
}

// OwnExe is the path of the program that this process runs, or was forked from.
func OwnExe() string {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlink("/proc/self/exe", buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}
