package script

import (
	"errors"
	"fmt"
	"math"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/lsm"
)

// environment is all that a script gets: nothing in it comes from the host,
// whose environment the user may have chosen.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/"}

// niceless is what getpriority(2) says of a process whose nice value is 0.
const niceless = 20

// umask is the script's.
const umask = 0o022

// start forks the script on the calling thread, and returns when it has been
// executed. What it cannot be given is an error; no process is left then.
func start(s Script) (process, error) {
	if err := clearExecContext("/proc/thread-self/attr/exec"); err != nil {
		return process{}, err
	}
	if err := lsm.StayInProfile(); err != nil {
		return process{}, err
	}
	if err := OwnKeyring(); err != nil {
		return process{}, err
	}
	// what the worker holds open ends at the execve, even if somebody forgot
	// to say so when they opened it
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return process{}, fmt.Errorf("close_range: %w", err)
	}
	// the worker's own, which is late, is no script's (PR_SET_TIMERSLACK(2const))
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 50_000, 0, 0, 0); err != nil {
		return process{}, fmt.Errorf("timer slack: %w", err)
	}
	// nor is the share of a ready worker, for which a login waits
	if nice, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && nice != niceless {
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 0)
	}
	stdin, err := openStdin()
	if err != nil {
		return process{}, err
	}
	defer unix.Close(stdin)
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return process{}, fmt.Errorf("pipe: %w", err)
	}
	defer unix.Close(pipe[1])
	p := process{pipe: pipe[0], pidfd: -1}
	if err := p.fork(s, stdin, pipe[1]); err != nil {
		p.close()
		return process{}, err
	}
	return p, nil
}

// OwnKeyring gives the calling thread, and what it starts, a session keyring of its
// own: whoever is in a session keyring can read the keys in it and add others
// (session-keyring(7)), and su leaves everybody in that of who has started it. Where
// keyctl(2) is not to be had, the program has it not, either.
func OwnKeyring() error {
	_, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("a session keyring of its own: %w", err)
	}
	return nil
}

// openStdin opens /dev/null, or where the view has none what cannot be read.
func openStdin() (int, error) {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd, err = unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return -1, fmt.Errorf("stdin: %w", err)
	}
	return fd, nil
}

func (p *process) fork(s Script, stdin, output int) error {
	defer plainSignals()()
	old := unix.Umask(umask)
	defer unix.Umask(old)
	pid, err := syscall.ForkExec(s.Path, append([]string{s.Path}, s.Args...), &syscall.ProcAttr{
		Dir:   "/",
		Env:   environment,
		Files: []uintptr{uintptr(stdin), uintptr(output), uintptr(output)},
		Sys: &syscall.SysProcAttr{
			Setsid:    true, // and a process group, to be killed as a whole
			Pdeathsig: syscall.SIGKILL,
			PidFD:     &p.pidfd,
		},
	})
	if err != nil {
		p.pidfd = -1 // ForkExec has closed it
		return explain(s.Path, err)
	}
	p.pid = pid
	return nil
}

// explain puts the errors of execve(2) into words.
func explain(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT) && unix.Access(path, unix.F_OK) == nil:
		return fmt.Errorf("its interpreter does not exist: %w", err)
	case errors.Is(err, unix.ENOEXEC):
		return fmt.Errorf(`not a program: a script begins with a line such as "#!/bin/sh": %w`, err)
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("it or its interpreter is not executable, or lies on a noexec mount: %w", err)
	}
	return fmt.Errorf("cannot be started: %w", err)
}

// clearExecContext takes back what pam_selinux asked of the host's next execve,
// which the worker has inherited: else the script would run in the user's
// context. path is attr/exec of the calling thread; a write of nothing clears it
// (proc_pid_attr(5), setexeccon(3)). An empty one is left alone, since the write
// needs a permission (process setexec) that not every host has.
func clearExecContext(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) { // no security module in the kernel, or no /proc
		return nil
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fd)
	var first [1]byte
	n, err := unix.Pread(fd, first[:], 0)
	if err == nil && n > 0 {
		_, err = unix.Pwrite(fd, nil, 0)
	}
	if err != nil && !errors.Is(err, unix.EINVAL) { // EINVAL: no module that has one
		return fmt.Errorf("clear %s: %w", path, err)
	}
	return nil
}

// kernelAction is room for the kernel's struct sigaction, in whose first word
// the handler stands (sigaction(2); on MIPS alone the flags do). All zero it is
// SIG_DFL.
type kernelAction [16]uintptr

// sigIgn is SIG_IGN of signal.h.
const sigIgn = 1

// lastSignal is the highest number of a signal (signal(7)).
const lastSignal = 64

// plainSignals gives the calling thread an empty mask and what this process
// ignores its default action: both pass an execve. The result puts them back.
func plainSignals() (restore func()) {
	ignored := map[int]kernelAction{}
	for sig := 1; sig <= lastSignal; sig++ {
		var old, plain kernelAction
		if sigaction(sig, nil, &old) == 0 && old[0] == sigIgn && sigaction(sig, &plain, nil) == 0 {
			ignored[sig] = old
		}
	}
	var none, mask unix.Sigset_t
	_ = unix.PthreadSigmask(unix.SIG_SETMASK, &none, &mask) // fails for no such arguments
	return func() {
		_ = unix.PthreadSigmask(unix.SIG_SETMASK, &mask, nil)
		for sig, old := range ignored {
			sigaction(sig, &old, nil)
		}
	}
}

// sigaction is rt_sigaction(2), which x/sys has no function for.
func sigaction(sig int, action, old *kernelAction) unix.Errno {
	const setSize = 8
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig),
		uintptr(unsafe.Pointer(action)), uintptr(unsafe.Pointer(old)), setSize, 0, 0)
	return errno
}
