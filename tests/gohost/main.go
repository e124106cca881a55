// Command gohost is a PAM host written in Go: it opens a session for a user
// through libpam, runs a command in it as that user, and closes the session.
//
//	gohost SERVICE USER COMMAND
//
// Like the C hosts it prints one JSON object per line for each step.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"github.com/msteinert/pam/v2"
)

type step struct {
	Step string
	Pid  int
	RC   int
	Text string
}

func say(name string, rc int, text string) {
	_ = json.NewEncoder(os.Stdout).Encode(step{Step: name, Pid: os.Getpid(), RC: rc, Text: text})
}

func main() {
	// unshare and setns act on the calling thread, and a child is forked with
	// the namespaces of the thread that forks.
	runtime.LockOSThread()
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: gohost SERVICE USER COMMAND")
		os.Exit(2)
	}
	if err := session(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func session(service, name, command string) error {
	t, err := pam.StartFunc(service, name, func(style pam.Style, text string) (string, error) {
		say("message", 0, text)
		return "", nil
	})
	if err != nil {
		return err
	}
	defer func() { _ = t.End() }()
	err = t.OpenSession(0)
	say("open", code(err), words(err))
	if err != nil {
		return nil
	}
	text, err := run(name, command)
	say("exec", 0, text)
	if err != nil {
		return err
	}
	err = t.CloseSession(0)
	say("close", code(err), words(err))
	return nil
}

func run(name, command string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return "", err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return "", err
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// code is PAM's return value.
func code(err error) int {
	var pamErr pam.Error
	if errors.As(err, &pamErr) {
		return int(pamErr)
	}
	if err != nil {
		return -1
	}
	return 0
}

func words(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}
