package self

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Watch looks at the host that this process works for, and at the time, from a
// thread that waits. It ends this process, as nothing in it could keep it from
// ending, when the host has ended or the time is up; and it says when a conversation
// takes long.
type Watch struct {
	epoll int
	end   int32 // the timer that ends this process
	long  int   // the timer of what takes long: timerfd_create(2)
}

// sigevent is the kernel's struct sigevent (timer_create(2)). With
// nothing in it except the signal it is SIGEV_SIGNAL, whose value is 0.
type sigevent struct {
	_      uint64
	signo  int32
	notify int32
	_      [48]byte
}

// NewWatch makes one. Its thread is made before any session, and stands where this
// process was noted. takesLong is called in that thread, once for a conversation.
func NewWatch(takesLong func()) (*Watch, error) {
	w := &Watch{}
	var err error
	if w.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	if w.long, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("timerfd_create: %w", err)
	}
	if err := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, w.long, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(w.long)}); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	e := sigevent{signo: int32(unix.SIGKILL)}
	if _, _, errno := unix.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, uintptr(unsafe.Pointer(&e)), uintptr(unsafe.Pointer(&w.end))); errno != 0 {
		return nil, fmt.Errorf("timer_create: %w", errno)
	}
	go w.look(takesLong)
	return w, nil
}

func (w *Watch) look(takesLong func()) {
	runtime.LockOSThread()
	for {
		var events [1]unix.EpollEvent
		n, err := unix.EpollWait(w.epoll, events[:], -1)
		switch {
		case errors.Is(err, unix.EINTR), err == nil && n == 0:
		case err == nil && events[0].Fd == int32(w.long):
			var times [8]byte
			if _, err := unix.Read(w.long, times[:]); err == nil { // else it was put off meanwhile
				takesLong()
			}
		default:
			_ = unix.Kill(unix.Getpid(), unix.SIGKILL)
		}
	}
}

// For begins: socket is the line to the host, and pidfd the host. What the host
// sends is no end.
func (w *Watch) For(socket, pidfd int) error {
	err1 := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, socket, &unix.EpollEvent{Events: unix.EPOLLRDHUP})
	err2 := unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, pidfd, &unix.EpollEvent{Events: unix.EPOLLIN})
	return errors.Join(err1, err2)
}

// No ends that: from now on the host may go.
func (w *Watch) No(socket, pidfd int) {
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, socket, nil)
	_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, pidfd, nil)
}

// Within sets in how many milliseconds this process is ended, even while it is
// stopped; 0: never.
func (w *Watch) Within(ms uint32) error {
	at := [2]unix.Timespec{1: unix.NsecToTimespec(int64(ms) * 1e6)} // struct itimerspec: the interval, the value
	if _, _, errno := unix.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(w.end), 0, uintptr(unsafe.Pointer(&at)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("timer_settime: %w", errno)
	}
	return nil
}

// Long sets in how many milliseconds a conversation takes long; 0: it is over.
func (w *Watch) Long(ms uint32) error {
	at := &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(ms) * 1e6)}
	if err := unix.TimerfdSettime(w.long, 0, at, nil); err != nil {
		return fmt.Errorf("timerfd_settime: %w", err)
	}
	return nil
}
