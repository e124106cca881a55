package peer

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// firstFD is the first of the descriptors that a service manager hands over
// (SD_LISTEN_FDS_START of sd_listen_fds(3)).
const firstFD = 3

// stored is the name of the descriptor that an earlier run of the service has had
// kept (FileDescriptorStoreMax= of systemd.service(5)).
const stored = "ends"

// Activation is the socket that a service manager has handed over by LISTEN_PID and
// LISTEN_FDS; there is false where none did. kept is what an earlier run has had kept,
// -1 if there was none.
func Activation() (l Listener, kept int, there bool, err error) {
	pid, number := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	if kept = -1; pid != strconv.Itoa(unix.Getpid()) {
		return Listener{}, kept, false, nil // none, or meant for another process
	}
	socket := -1
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	n, err := strconv.Atoi(number)
	for i := range n {
		if fd := firstFD + i; i < len(names) && names[i] == stored {
			kept = fd
		} else if socket < 0 {
			socket = fd
		} else {
			n = -1
		}
	}
	if err != nil || socket < 0 || n < 0 {
		return Listener{}, kept, true, fmt.Errorf("LISTEN_FDS: want one socket, and there are %q (%q)", number, names)
	}
	l, err = Inherited(socket)
	return l, kept, true, err
}

// Store has the service manager keep a descriptor for the next run of the service
// (sd_pid_notify_with_fds(3)), if there is one that does.
func Store(fd int) error {
	at := os.Getenv("NOTIFY_SOCKET")
	if at == "" {
		return nil
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(sock)
	err = unix.Sendmsg(sock, []byte("FDSTORE=1\nFDNAME="+stored), unix.UnixRights(fd), &unix.SockaddrUnix{Name: at}, unix.MSG_NOSIGNAL)
	if err != nil {
		return fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return nil
}

// Stops are the signals that end the service, and Renews the one that has its workers
// replaced.
var (
	Stops  = []os.Signal{unix.SIGTERM, unix.SIGINT}
	Renews = []os.Signal{unix.SIGHUP}
)

// Apart is how a worker is started: in a session of its own, so that nothing on a
// terminal stops it.
func Apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// slack is by how much the timers of a worker may be late, in nanoseconds, as those of
// a forked one may (worker.c): Go's monitor looks at what the others do every 20 us
// while there is work, which on two processors takes as much time as the work.
const slack = 5_000_000

// Lately calls start in a thread whose timers may be late: what it starts inherits
// that (PR_SET_TIMERSLACK(2const)).
func Lately(start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if err == nil {
		err = unix.Prctl(unix.PR_SET_TIMERSLACK, slack, 0, 0, 0)
	}
	if err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	err = start()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(own), 0, 0, 0)
	return err
}

// Umask is what each worker has.
func Umask() { unix.Umask(0o077) }

// OwnLimits gives a worker what worker.c gives a forked one: what fails stays.
func OwnLimits() {
	for resource, want := range map[int]uint64{unix.RLIMIT_NOFILE: 65536, unix.RLIMIT_FSIZE: unix.RLIM_INFINITY, unix.RLIMIT_NPROC: unix.RLIM_INFINITY,
		unix.RLIMIT_STACK: 8 << 20, unix.RLIMIT_SIGPENDING: unix.RLIM_INFINITY} {
		var l unix.Rlimit
		if err := unix.Getrlimit(resource, &l); err != nil || l.Cur >= want {
			continue
		}
		if unix.Setrlimit(resource, &unix.Rlimit{Cur: want, Max: max(l.Max, want)}) == nil {
			continue // beyond the hard limit that takes CAP_SYS_RESOURCE
		}
		l.Cur = l.Max
		_ = unix.Setrlimit(resource, &l)
	}
	// not 0: a core handler behind a pipe runs at 0
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1})
}
