// Package peer is the host at the other end of a ready worker's line: who it is by
// the kernel's word, what a worker that was forked from it would have had without
// asking, and the way to where it stands.
//
// It is one of the kernel packages, which alone make system calls. The caller is
// the main thread of its process: a pidfd of the process stands for that one.
package peer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Listener is the socket that hosts connect to.
type Listener struct{ fd int }

// FD is the descriptor.
func (l Listener) FD() int { return l.fd }

// Inherited takes over a listening socket that whoever has started this process
// made.
func Inherited(fd int) (Listener, error) {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return Listener{}, fmt.Errorf("descriptor %d is no socket: %w", fd, err)
	}
	domain, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	listens, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if domain != unix.AF_UNIX || kind != unix.SOCK_SEQPACKET || listens == 0 {
		return Listener{}, fmt.Errorf("descriptor %d is no listening socket of the kind that hosts connect to (ListenSequentialPacket= of systemd.socket(5))", fd)
	}
	unix.CloseOnExec(fd)
	return Listener{fd}, errors.Join(tellsSenders(fd), unix.SetNonblock(fd, true))
}

// tellsSenders has the kernel say who has sent a packet, from the first one of each
// host on that connects.
func tellsSenders(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1); err != nil {
		return fmt.Errorf("SO_PASSCRED: %w", err)
	}
	return nil
}

// ErrListens says that somebody listens there already.
var ErrListens = errors.New("somebody listens there already")

// Listen makes the socket, which only root can connect to, and replaces one
// that nobody listens at any more. queue is how many hosts may wait.
func Listen(path string, queue int) (Listener, error) {
	at := &unix.SockaddrUnix{Name: path}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return Listener{}, fmt.Errorf("socket: %w", err)
	}
	old := unix.Umask(0o177)
	err = unix.Bind(fd, at)
	if errors.Is(err, unix.EADDRINUSE) {
		if err = connects(at); err == nil {
			err = ErrListens
		} else if errors.Is(err, unix.ECONNREFUSED) {
			_ = unix.Unlink(path)
			err = unix.Bind(fd, at)
		}
	}
	unix.Umask(old)
	if err == nil {
		err = errors.Join(tellsSenders(fd), unix.Listen(fd, queue))
	}
	if err != nil {
		_ = unix.Close(fd)
		return Listener{}, fmt.Errorf("%s: %w", path, err)
	}
	return Listener{fd}, nil
}

func connects(at unix.Sockaddr) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Connect(fd, at)
}

// Listens reports whether root listens at a socket: no host asks anybody else. What
// /proc/net/unix says is anybody's, since each mount namespace has paths of its own.
// build is what a worker greets with; empty where none has time to, or has yet started.
func Listens(path string) (listens bool, build string) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return false, ""
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return errors.Is(err, unix.EAGAIN), "" // too many wait
	}
	who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || who.Uid != 0 {
		return false, ""
	}
	const soon = 500 // milliseconds
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, soon); err != nil || n == 0 {
		return true, ""
	}
	var greeting [64]byte
	n, err := unix.Read(fd, greeting[:]) // and what is sent with it is dropped
	if err != nil || n < 1 {
		return true, ""
	}
	return true, string(greeting[1:n])
}

// Remove takes the socket of Listen away.
func Remove(path string) { _ = unix.Unlink(path) }

// Door is where a worker waits: for the next host, or for the end.
type Door struct {
	listener Listener
	epoll    int
}

// control is any number but the listener's.
const control = -1

// NewDoor makes one. end is a pipe whose other end is closed when the worker is to
// end.
func NewDoor(l Listener, end int) (Door, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return Door{}, fmt.Errorf("epoll: %w", err)
	}
	// exclusive: one host wakes one worker
	host := &unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLEXCLUSIVE, Fd: int32(l.fd)}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, l.fd, host); err != nil {
		return Door{}, fmt.Errorf("epoll: %w", err)
	}
	over := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: control}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, end, over); err != nil {
		return Door{}, fmt.Errorf("epoll: %w", err)
	}
	return Door{l, ep}, nil
}

// Next waits for a host; more is false at the end.
func (d Door) Next() (h *Host, more bool, err error) {
	for {
		var events [2]unix.EpollEvent
		n, err := unix.EpollWait(d.epoll, events[:], -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("epoll: %w", err)
		}
		for _, e := range events[:n] {
			if e.Fd == control {
				return nil, false, nil
			}
		}
		fd, _, err := unix.Accept4(d.listener.fd, unix.SOCK_CLOEXEC)
		switch {
		case err == nil:
			return &Host{sock: fd, pidfd: -1, proc: -1, back: -1}, true, nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR), errors.Is(err, unix.ECONNABORTED):
			continue // another worker was faster
		}
		return nil, false, fmt.Errorf("accept: %w", err)
	}
}
