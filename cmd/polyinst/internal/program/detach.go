package program

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Detach starts a program that goes on when the session of this process has ended:
// in a session of its own without a terminal, with nothing that this process has
// open, in the root directory. It ignores a hangup itself (Outlive).
func Detach(path string, args, env []string) error {
	// what the shell of this process left open would be the program's
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Dir = env, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}

// Outlive lets this process go on when a terminal hangs up. The channel tells that
// it is asked to end, as at a shutdown.
func Outlive() <-chan os.Signal {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGPIPE, unix.SIGTSTP)
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGTERM)
	return asked
}

// Undisturbed lets a piece of work come to its end: what a terminal or its end
// sends is ignored meanwhile, also the request to stop.
func Undisturbed(work func() error) error {
	signals := []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGPIPE, unix.SIGTSTP, unix.SIGTTOU}
	signal.Ignore(signals...)
	defer signal.Reset(signals...)
	return work()
}

// Aside runs a program to its end in a session of its own without a terminal, with
// nothing on its input, and returns what it put out. It is killed when it takes
// longer than the limit.
func Aside(limit time.Duration, path string, args, env []string) (output []byte, err error) {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return nil, fmt.Errorf("close_range: %w", err)
	}
	until, done := context.WithTimeout(context.Background(), limit)
	defer done()
	cmd := exec.CommandContext(until, path, args...)
	cmd.Env, cmd.Dir = env, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second // of what it leaves behind, nobody waits for the end
	output, err = cmd.Output()
	if until.Err() != nil {
		err = fmt.Errorf("did not end within %v", limit)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	return output, err
}
