// Package program runs a program of the administrator's choice in the mount
// namespace of the calling thread, as root or as somebody else.
//
// It is one of the kernel packages, which alone make system calls. Namespaces
// belong to threads: the caller must hold its own (runtime.LockOSThread).
package program

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"pam_polyinst/internal/kernel/script"
)

// Exec becomes the program; it returns only an error. The program is looked for
// in PATH, in the view that the caller is in by now, and never in the working
// directory.
func Exec(args, env []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	// of this thread, the other ones end: execve(2)
	if err := syscall.Exec(path, args, env); err != nil {
		return fmt.Errorf("exec %s: %w", path, err)
	}
	return nil
}

// RunAs runs a program as an account, with its groups, and waits for its end.
// Nothing of this process comes with it but its namespaces and limits: neither
// descriptors, nor terminal, nor keys, nor the working directory, which is the
// root directory. The result is its exit status; 128 and the signal where one
// ended it.
func RunAs(u *user.User, args, env []string, streams *Streams) (int, error) {
	credential, err := credentialOf(u)
	if err != nil {
		return 0, err
	}
	// what the shell of this process left open would be the program's
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return 0, fmt.Errorf("close_range: %w", err)
	}
	if err := script.OwnKeyring(); err != nil {
		return 0, err
	}
	pidfd := -1
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = env, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = streams.theirs[0], streams.theirs[1], streams.theirs[2]
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential, PidFD: &pidfd}
	if err := streams.give(int(credential.Uid), cmd.SysProcAttr); err != nil {
		return 0, err
	}
	signals := caught()
	defer signal.Stop(signals)
	restore := func() {}
	if streams.pty != nil {
		old, err := term.MakeRaw(0)
		if err != nil {
			return 0, fmt.Errorf("terminal: %w", err)
		}
		restore = func() { _ = term.Restore(0, old) }
	}
	defer func() { restore() }()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer unix.Close(pidfd)
	copyErr := streams.copy(cmd.Process.Pid, pidfd, signals)
	restore()
	restore = func() {}
	if copyErr != nil {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return status(cmd.ProcessState), errors.Join(copyErr, err)
}

// credentialOf is an account with its groups.
func credentialOf(u *user.User) (*syscall.Credential, error) {
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	ids, err3 := u.GroupIds()
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, id := range ids {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return nil, err
		}
		c.Groups = append(c.Groups, uint32(n))
	}
	return c, nil
}

func status(state *os.ProcessState) int {
	if s, ok := state.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 128 + int(s.Signal())
	}
	return state.ExitCode()
}
