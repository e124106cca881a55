// Package script runs an administrator's init script: as root, in the caller's
// mount namespace, with nothing of the host about it but that.
//
// It is one of the kernel packages, which alone make system calls. Namespaces,
// signal masks and the parent of a child belong to threads: the caller must be
// the worker's main thread, to which a call from C is bound.
package script

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"pam_polyinst/internal/kernel/dirfd"
)

// Script is one run of an init script.
type Script struct {
	Path    string // as Check returned it
	Args    []string
	Timeout time.Duration
}

// Result is what a script left behind, whether it succeeded or not.
type Result struct {
	// Output is what it wrote to stdout and stderr, in lines: the first 100,
	// of each the first 1000 bytes, as raw as they were written.
	Output []string
	// Cut tells that there was more of it.
	Cut bool
}

// Run runs the script and waits for its end. Only an exit status of 0 is
// success. The end is that of the script's own process: what it left running
// goes on, but its output is no longer read. A script that is still there after
// the timeout is killed with its process group.
//
// The start itself has no time limit: the kernel reads the script and its
// interpreter while the worker waits (vfork(2)). On a dead network filesystem
// the deadline of the call ends that. A worker that is killed takes the script
// with it, unless a security module changed the domain at its execve: that
// clears the signal (PR_SET_PDEATHSIG(2const)).
func Run(s Script) (Result, error) {
	p, err := start(s)
	if err == nil {
		err = p.await(s.Timeout)
		p.close()
	}
	if err != nil {
		err = failed(s.Path, err)
	}
	return Result{Output: p.output.lines(), Cut: p.output.cut}, err
}

func failed(path string, err error) error {
	return fmt.Errorf("init script %q: %w", path, err)
}

// Check is an error unless a file may be run as root: it is a regular executable
// file, root's alone to change, and so is every directory on the way to it.
// Symbolic links of root's are followed. The result is the path behind them: no
// part of it is a link, and only root can change what it names.
func Check(path string) (string, error) { return CheckIn(path, nil) }

// CheckIn is Check in a view. An instance that is not made yet has no script.
func CheckIn(path string, view dirfd.View) (string, error) {
	resolved, err := check(path, view)
	if err != nil {
		return "", failed(path, err)
	}
	return resolved, nil
}

func check(path string, view dirfd.View) (string, error) {
	if path == "" || path[0] != '/' {
		return "", errors.New("not an absolute path")
	}
	way, err := dirfd.WalkFileIn(path, view)
	if err == nil && way.Missing || dirfd.IsNotExist(err) || errors.Is(err, dirfd.ErrNotYet) {
		err = errors.New("does not exist")
	}
	defer way.Close()
	switch {
	case err != nil:
		return "", err
	case !way.Stat.IsRegular():
		return "", fmt.Errorf("is a %s, not a regular file", way.Stat.TypeName())
	}
	if err := dirfd.Trusted(way, way.Stat); err != nil {
		return "", errors.New(dirfd.Reason(err))
	}
	// one x bit is what the kernel demands for root (capabilities(7),
	// CAP_DAC_OVERRIDE)
	if way.Stat.Mode&0o111 == 0 {
		return "", fmt.Errorf("mode %04o: not executable", way.Stat.Mode)
	}
	return way.Dir.Path(), interpreter(way, view)
}

// interpreter looks whether the program is there that the script's first line
// names (execve(2), "Interpreter scripts"). Whether a binary can be executed, only
// the kernel knows.
func interpreter(way dirfd.Way, view dirfd.View) error {
	f, err := way.Parent.OpenFile(way.Name)
	if err != nil {
		return err
	}
	defer f.Close()
	head, err := f.ReadSome(256)
	if err != nil {
		return err
	}
	line, _, _ := strings.Cut(string(head), "\n")
	line, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return nil
	}
	path, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	path, _, _ = strings.Cut(path, "\t")
	if path == "" || path[0] != '/' {
		return fmt.Errorf("its first line names no interpreter by an absolute path: %q", line)
	}
	there, err := dirfd.WalkFileIn(path, view)
	if err == nil && there.Missing || errors.Is(err, dirfd.ErrNotYet) {
		err = dirfd.NotExist(path)
	}
	there.Close()
	if err != nil {
		return fmt.Errorf("its interpreter does not exist: %w", err)
	}
	return nil
}
