package script

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// process is a running script.
type process struct {
	pid    int
	pidfd  int
	pipe   int // its stdout and stderr; -1 after their end
	output output
}

func (p *process) close() {
	p.closePipe()
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd)
	}
}

func (p *process) closePipe() {
	if p.pipe >= 0 {
		_ = unix.Close(p.pipe)
	}
	p.pipe = -1 // poll(2) passes it over
}

type late struct{ limit time.Duration }

func (l late) Error() string { return fmt.Sprintf("did not end within %s", l.limit) }

// IsLate reports whether an error of Run says that the script took too long,
// which other users can bring about.
func IsLate(err error) bool { return errors.As(err, new(late)) }

// await waits for the end and reads the output meanwhile. No process of the
// script's group is left if it returns because of the time.
func (p *process) await(limit time.Duration) error {
	ended, err := p.wait(limit)
	if ended {
		p.drain()
		return p.status()
	}
	// the leader is not reaped, so that the number is still its group's
	_ = unix.Kill(-p.pid, unix.SIGKILL)
	gone, _ := p.wait(graceAfterKill)
	if err == nil {
		err = late{limit}
	}
	if !gone { // it hangs in the kernel; process 1 will reap it after us
		return fmt.Errorf("%w, and cannot be killed", err)
	}
	p.drain()
	_ = p.status()
	return err
}

// graceAfterKill is for the kernel to end a killed process.
const graceAfterKill = 2 * time.Second

// wait reports whether the process has ended within a time.
func (p *process) wait(limit time.Duration) (ended bool, err error) {
	deadline := time.Now().Add(limit)
	for {
		left := time.Until(deadline)
		ended, err := p.poll(max(left, 0))
		if ended || err != nil || left <= 0 {
			return ended, err
		}
	}
}

// poll waits until something happens, and reads what was written.
func (p *process) poll(limit time.Duration) (ended bool, err error) {
	fds := []unix.PollFd{
		{Fd: int32(p.pidfd), Events: unix.POLLIN}, // its end: pidfd_open(2)
		{Fd: int32(p.pipe), Events: unix.POLLIN},
	}
	timeout := unix.NsecToTimespec(int64(limit))
	if _, err := unix.Ppoll(fds, &timeout, nil); errors.Is(err, unix.EINTR) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("poll: %w", err)
	}
	if fds[1].Revents != 0 {
		p.read(readSize)
	}
	return fds[0].Revents != 0, nil
}

const readSize = 16 << 10

// read takes at most so many bytes from the pipe, in which there is something,
// or the end; the result is how many there were.
func (p *process) read(limit int) int {
	var buf [readSize]byte
	n, err := unix.Read(p.pipe, buf[:min(limit, readSize)])
	switch {
	case errors.Is(err, unix.EINTR):
		return 0
	case err != nil || n == 0:
		p.closePipe()
		return 0
	}
	p.output.add(buf[:n])
	return n
}

// drain reads what is in the pipe now and no more: a process that the script
// left behind can write forever.
func (p *process) drain() {
	if p.pipe < 0 {
		return
	}
	left, err := unix.IoctlGetInt(p.pipe, unix.TIOCINQ) // FIONREAD of pipe(7)
	for n := 1; err == nil && left > 0 && n > 0; left -= n {
		n = p.read(left)
	}
}

// status reaps the process, which has ended, and says how.
func (p *process) status() error {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(p.pid, &status, 0, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		break
	}
	switch {
	case status.Signaled():
		return fmt.Errorf("killed by %s", signalName(status.Signal()))
	case status.ExitStatus() != 0:
		return fmt.Errorf("exited with status %d", status.ExitStatus())
	}
	return nil
}

// signalName is "SIGSEGV"; real-time signals have no name.
func signalName(sig unix.Signal) string {
	if name := unix.SignalName(sig); name != "" {
		return name
	}
	return fmt.Sprintf("signal %d", int(sig))
}
