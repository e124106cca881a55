package program

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Pty is a new pseudo-terminal: what is written to one of its ends is read at
// the other (pty(7)).
type Pty struct {
	Master int // a descriptor, not blocking
	Slave  *os.File
}

// OpenPty makes a pseudo-terminal. Its slave is opened by the master's handle
// (TIOCGPTPEER, ioctl_tty(2)), not by a name that could lead elsewhere.
func OpenPty() (Pty, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return Pty{}, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	slave, err := openSlave(master)
	if err != nil {
		_ = unix.Close(master)
		return Pty{}, fmt.Errorf("new terminal: %w", err)
	}
	return Pty{master, os.NewFile(uintptr(slave), "terminal")}, nil
}

func openSlave(master int) (int, error) {
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return -1, err
	}
	// x/sys has no function for an ioctl that takes a number and returns a descriptor
	fd, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

// LikeOwn gives the pseudo-terminal the modes and the size of a terminal.
func (p Pty) LikeOwn(fd int) error {
	modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetTermios(p.Master, unix.TCSETS, modes); err != nil {
		return err
	}
	return p.Resize(fd)
}

// Resize gives the pseudo-terminal the size that a terminal has now.
func (p Pty) Resize(fd int) error {
	size, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
	if err != nil {
		return err
	}
	return unix.IoctlSetWinsize(p.Master, unix.TIOCSWINSZ, size)
}
