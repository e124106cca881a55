// Package program runs a program of the administrator's choice in the mount
// namespace of the calling thread.
//
// It is one of the kernel packages, which alone make system calls. Namespaces
// belong to threads: the caller must hold its own (runtime.LockOSThread).
package program

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
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
// The result is its exit status; 128 and the signal where one ended it.
func RunAs(u *user.User, args, env []string) (int, error) {
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	ids, err3 := u.GroupIds()
	if err := errors.Join(err1, err2, err3); err != nil {
		return 0, err
	}
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, id := range ids {
		n, err := strconv.ParseUint(id, 10, 32)
		if err != nil {
			return 0, err
		}
		c.Groups = append(c.Groups, uint32(n))
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			return 128 + int(s.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	return 0, err
}
