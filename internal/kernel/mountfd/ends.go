package mountfd

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Ends tells when the last copy of a mark has gone: of a mount that is in no other
// place than a namespace and those that were copied from it. It is an inotify(7)
// descriptor, which processes share, and which keeps no mark there. The zero Ends
// watches nothing.
type Ends struct{ fd int } // descriptor + 1

// NewEnds makes one.
func NewEnds() (Ends, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return Ends{}, fmt.Errorf("inotify: %w", err)
	}
	return Ends{fd + 1}, nil
}

// InheritedEnds takes over a descriptor of NewEnds that another process made.
func InheritedEnds(fd int) Ends {
	unix.CloseOnExec(fd)
	return Ends{fd + 1}
}

// FD is the descriptor, -1 if there is none.
func (e Ends) FD() int { return e.fd - 1 }

// NewMark makes a mark: an empty tmpfs, in which nothing can be made or opened, and
// which nobody has seen yet. From now on Ends tells of its end.
func (e Ends) NewMark(label string) (Mount, error) {
	m, err := NewTmpfs(label, []Option{{"mode", "0"}, {"size", "4k"}, {"nr_inodes", "1"}})
	if err != nil {
		return Mount{}, err
	}
	err = m.SetAttr(NoSuid | NoDev | NoExec | NoSymFollow | ReadOnly)
	if err == nil {
		// the filesystem's end is told whatever is asked for; something must be
		_, err = unix.InotifyAddWatch(e.FD(), fmt.Sprintf("/proc/self/fd/%d", m.Root.FD()), unix.IN_DELETE_SELF|unix.IN_ONLYDIR)
	}
	if err != nil {
		m.Close()
		return Mount{}, fmt.Errorf("watch %s: %w", label, err)
	}
	return m, nil
}

// Wait returns when marks have gone since the last time, or after so many milliseconds;
// without an end if that is negative.
func (e Ends) Wait(ms int) (some bool, err error) {
	poll := []unix.PollFd{{Fd: int32(e.FD()), Events: unix.POLLIN}}
	n, err := unix.Poll(poll, ms)
	if errors.Is(err, unix.EINTR) || err == nil && n == 0 {
		return false, nil
	}
	var buf [4096]byte
	if err == nil {
		_, err = unix.Read(e.FD(), buf[:])
	}
	return err == nil, err
}
