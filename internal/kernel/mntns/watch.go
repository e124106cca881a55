package mntns

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
)

// Watch tells that something has changed in what was added to it: mounts of a
// namespace (fanotify(7) with FAN_MARK_MNTNS, Linux 6.15), names in a directory
// (inotify(7)). What has changed is to be looked at; the events themselves are not
// believed. It keeps no namespace alive.
type Watch struct{ mounts, names int }

// NewWatch makes one. An error of mountinfo.IsUntold where the kernel cannot, or this
// process has not CAP_SYS_ADMIN.
func NewWatch() (Watch, error) {
	mounts, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_REPORT_MNT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_MARKS, unix.O_RDONLY)
	if errors.Is(err, unix.EINVAL) {
		err = unix.EOPNOTSUPP // FAN_REPORT_MNT is not known
	}
	if err != nil {
		return Watch{}, fmt.Errorf("fanotify: %w", err)
	}
	names, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		_ = unix.Close(mounts)
		return Watch{}, fmt.Errorf("inotify: %w", err)
	}
	return Watch{mounts, names}, nil
}

// Close ends it.
func (w Watch) Close() {
	_ = unix.Close(w.mounts)
	_ = unix.Close(w.names)
}

// Namespace adds the mounts of a namespace, until it ends. To add it again changes
// nothing.
func (w Watch) Namespace(n NS) error {
	if err := unix.FanotifyMark(w.mounts, unix.FAN_MARK_ADD|unix.FAN_MARK_MNTNS, unix.FAN_MNT_ATTACH|unix.FAN_MNT_DETACH, n.fd, ""); err != nil {
		return fmt.Errorf("fanotify: mnt:[%d]: %w", n.ID, err)
	}
	return nil
}

// Names adds the names in a directory.
func (w Watch) Names(d dirfd.Dir) error {
	const what = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_DELETE | unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(w.names, fmt.Sprintf("/proc/self/fd/%d", d.FD()), what); err != nil {
		return fmt.Errorf("inotify: %s: %w", d.Path(), err)
	}
	return nil
}

// Wait returns true as soon as something has changed since it last did, and false
// after the time.
func (w Watch) Wait(atMost time.Duration) (bool, error) {
	end := time.Now().Add(atMost)
	for {
		left := time.Until(end)
		if left < 0 {
			return false, nil
		}
		fds := []unix.PollFd{{Fd: int32(w.mounts), Events: unix.POLLIN}, {Fd: int32(w.names), Events: unix.POLLIN}}
		switch _, err := unix.Poll(fds, int(left/time.Millisecond)+1); {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, fmt.Errorf("poll: %w", err)
		}
		changed := false
		for _, fd := range fds {
			if fd.Revents == 0 {
				continue
			}
			if err := drain(int(fd.Fd)); err != nil {
				return false, err
			}
			changed = true
		}
		if changed {
			return true, nil
		}
	}
}

// drain takes all events that there are. A queue that has overflowed is an event too.
func drain(fd int) error {
	var events [16 << 10]byte
	for {
		_, err := unix.Read(fd, events[:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return fmt.Errorf("events: %w", err)
		}
	}
}
