package peer

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/audit"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/procfs"
	"pam_polyinst/internal/kernel/selinuxfs"
)

// Host is the process at the other end.
type Host struct {
	// Told is told of the ends of namespaces that are made for the host.
	Told mountfd.Ends

	sock  int
	pid   int
	pidfd int
	proc  int // /proc/PID/task/TID of the thread that asks, by O_PATH
	back  int // the descriptor that came with the question

	caps mntns.Capabilities
	exe  string
	// why a security module tells what is done for it from what it does
	apart   error
	context string // of SELinux or AppArmor
	login   audit.Login
	ns      mntns.NS
	root    dirfd.Dir
	cwd     dirfd.Dir
}

// FD is the socket's descriptor.
func (h *Host) FD() int { return h.sock }

// Process is a pidfd of the host.
func (h *Host) Process() int { return h.pidfd }

// PID is its process.
func (h *Host) PID() int { return h.pid }

// BackFD is the descriptor of the way back that came with the question, -1 if none
// did.
func (h *Host) BackFD() int { return h.back }

// Capabilities implements session.AboutHost.
func (h *Host) Capabilities() (mntns.Capabilities, error) { return h.caps, nil }

// Thread implements session.AboutHost. Judge has opened it, and found it alive then.
func (h *Host) Thread() lsm.Thread { return lsm.Of(h.proc) }

// Apart implements session.AboutHost.
func (h *Host) Apart() error { return h.apart }

// MayLabel implements session.AboutHost.
func (h *Host) MayLabel(context string) bool { return selinuxfs.MayLabel(h.Thread(), context) }

// Exe implements session.AboutHost.
func (h *Host) Exe() string { return h.exe }

// Login implements session.AboutHost.
func (h *Host) Login() audit.Login { return h.login }

// Ends implements session.AboutHost.
func (h *Host) Ends() mountfd.Ends { return h.Told }

// By implements session.AboutHost.
func (h *Host) By() string { return "ready" }

// Greet finds out who has connected, root or nobody, and greets: with the build of
// this worker and a pidfd of it, which the host will join. An error says that the
// host is no such one, or has gone.
func (h *Host) Greet(hello byte, build string) error {
	cred, err := unix.GetsockoptUcred(h.sock, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return fmt.Errorf("SO_PEERCRED: %w", err)
	}
	if cred.Uid != 0 || cred.Pid <= 0 {
		return fmt.Errorf("the host is not root in this user namespace and pid namespace (uid %d, pid %d)", cred.Uid, cred.Pid)
	}
	h.pid = int(cred.Pid)
	if h.pidfd, err = h.opensPidfd(); err != nil {
		return err
	}
	self, err := unix.PidfdOpen(unix.Getpid(), 0)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	defer unix.Close(self)
	return unix.Sendmsg(h.sock, append([]byte{hello}, build...), unix.UnixRights(self), nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
}

// opensPidfd opens a pidfd of the process that has connected. Before Linux 6.5 the
// kernel does not say more than its pid: the process asks after the greeting then, and
// so shows that it was alive when this was opened.
func (h *Host) opensPidfd() (int, error) {
	fd, err := unix.GetsockoptInt(h.sock, unix.SOL_SOCKET, unix.SO_PEERPIDFD)
	if errors.Is(err, unix.ENOPROTOOPT) {
		fd, err = unix.PidfdOpen(h.pid, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("a pidfd of process %d: %w", h.pid, err)
	}
	return fd, nil
}

// requestMax is more than REQUEST_MAX of wire.h.
const requestMax = 8192 + 1

// Question waits for the host's question for so many milliseconds.
func (h *Host) Question(ms int) ([]byte, error) {
	for {
		fds := []unix.PollFd{{Fd: int32(h.sock), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, ms)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("poll: %w", err)
		}
		if n == 0 {
			return nil, errors.New("the host says nothing")
		}
		break
	}
	buf := make([]byte, requestMax)
	oob := make([]byte, 256)
	n, oobn, flags, _, err := unix.Recvmsg(h.sock, buf, oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return nil, fmt.Errorf("recvmsg: %w", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, fmt.Errorf("recvmsg: %w", err)
	}
	sender := int32(0)
	for i := range messages {
		if c, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			sender = c.Pid
			continue
		}
		all, err := unix.ParseUnixRights(&messages[i])
		for _, fd := range all {
			if h.back >= 0 {
				_ = unix.Close(h.back)
				err = errors.New("the question has descriptors too many")
			}
			h.back = fd
		}
		if err != nil {
			return nil, err
		}
	}
	switch {
	case n == 0:
		return nil, errors.New("the host has gone")
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		return nil, errors.New("the question is too long")
	case int(sender) != h.pid:
		return nil, fmt.Errorf("process %d has connected, and process %d asks", h.pid, sender)
	}
	return buf[:n], nil
}

// Close ends the conversation, and lets go of all that there is of the host. The
// line is closed first: the host waits for that.
func (h *Host) Close() {
	for _, fd := range []*int{&h.sock, &h.pidfd, &h.proc, &h.back} {
		if *fd >= 0 {
			_ = unix.Close(*fd)
		}
		*fd = -1
	}
	if h.ns != (mntns.NS{}) {
		h.ns.Close()
	}
	h.ns = mntns.NS{}
	h.root.Close()
	h.cwd.Close()
}

// Enter takes this process where the host stands, as one that was forked from it
// would: into its namespace and working directory. It rejects a host in a chroot,
// and one whose working directory only its user's filesystem could speak of.
func (h *Host) Enter() error {
	if err := h.ns.Enter(); err != nil {
		return err
	}
	here, err1 := dirfd.RootStat()
	theirs, err2 := h.root.Stat()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if here.ID != theirs.ID || here.MountID != theirs.MountID {
		return errors.New("the host is in a chroot")
	}
	fs, err := h.cwd.Filesystem()
	if err != nil {
		return err
	}
	if fs.ByUser {
		return fmt.Errorf("the host's working directory is %s", fs.Reason())
	}
	return h.cwd.Enter()
}

func (h *Host) read(name string) (string, error) { return procfs.Read(h.proc, name) }

func (h *Host) link(name string) (string, error) { return procfs.Link(h.proc, name) }
