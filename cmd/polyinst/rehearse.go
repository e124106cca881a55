package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/msteinert/pam/v2"
	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/cmd/polyinst/internal/program"
	"pam_polyinst/internal/kernel/mntns"
)

// A session is rehearsed through the whole stack of a service, as it would be with
// the change, before anything is changed. What the modules of a stack do to their
// process (limits, keys, the login's uid) they do to a process of its own.

// rehearsed is what became of a session; its fields are what the process prints.
type rehearsed struct {
	Opened bool   `json:"opened"`
	Moved  bool   `json:"moved"` // to another mount namespace
	Error  string `json:"error"`
	Said   string `json:"said"` // to the user

	died bool // the process ended without an answer
}

// rehearseCommand is for enable and disable alone, and no command of anybody's.
func rehearseCommand() *cobra.Command {
	var dir, service string
	cmd := &cobra.Command{
		Use:    rehearseWord + " USER",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needRoot("rehearse"); err != nil {
				return err
			}
			return json.NewEncoder(stdout).Encode(openOnce(dir, service, args[0]))
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "")
	cmd.Flags().StringVar(&service, "service", "", "")
	return cmd
}

func init() {
	// A session is of the process's first thread, as in a login program: only that one
	// may write /proc/self/loginuid (pam_loginuid).
	if len(os.Args) > 1 && os.Args[1] == rehearseWord {
		runtime.LockOSThread()
	}
}

const rehearseWord = "rehearse"

// openOnce opens a session by the stacks of a directory, and closes it.
func openOnce(dir, service, user string) rehearsed {
	var r rehearsed
	answer := func(style pam.Style, text string) (string, error) {
		if style == pam.ErrorMsg || style == pam.TextInfo {
			r.Said += text + "\n"
			return "", nil
		}
		return "", errors.New("nobody is asked in a rehearsal")
	}
	t, err := pam.StartConfDir(service, user, pam.ConversationFunc(answer), dir)
	if err != nil {
		r.Error = fmt.Sprintf("pam_start: %v", err)
		return r
	}
	defer func() { _ = t.End() }()
	_ = t.SetItem(pam.Tty, "ssh") // as sshd says it: pam_lastlog, pam_systemd want one
	before, err := mntns.OwnThreadID()
	if err != nil {
		r.Error = err.Error()
		return r
	}
	if err := t.OpenSession(0); err != nil {
		r.Error = err.Error()
		return r
	}
	r.Opened = true
	after, err := mntns.OwnThreadID()
	if err != nil {
		r.Error = err.Error()
	}
	r.Moved = before != after
	if err := t.CloseSession(0); err != nil {
		r.Error = "the session was not closed: " + err.Error()
	}
	return r
}

// rehearsalLimit is for one session; a login would long have been given up.
const rehearsalLimit = time.Minute

// rehearse opens and closes a session of a user by a service of the stacks.
func rehearse(stacks pamstack.Dir, service, user string) (rehearsed, error) {
	var r rehearsed
	dir, err := os.MkdirTemp("/run", "polyinst-try.")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for name, f := range stacks.In(dir) {
		if err := os.WriteFile(filepath.Join(dir, name), f.Data, 0o600); err != nil {
			return r, err
		}
	}
	own, err := os.Executable()
	if err != nil {
		return r, err
	}
	out, err := program.Aside(rehearsalLimit, own, []string{rehearseWord, "--dir", dir, "--service", service, user}, plainEnv())
	if err == nil {
		err = json.Unmarshal(out, &r)
	}
	if err != nil {
		return rehearsed{Error: "the process that rehearses it: " + err.Error(), died: true}, nil
	}
	r.Error, r.Said = strings.TrimSpace(r.Error), strings.TrimSpace(r.Said)
	return r, nil
}

// plainEnv is the environment of a process that nobody's shell has started.
func plainEnv() []string { return []string{"PATH=" + plainPath, "LANG=C.UTF-8"} }

const plainPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// judge says whether a session can be opened by the changed stacks. One that the
// stacks as they are refuse as well, here and without a password, is rehearsed with
// our line alone: that is what is new. A limit that a module sets may end a process
// that rehearses, and a login not: what that would have said is not known. Nor does it
// count that a session does not close, if by the stacks as they are it does not either:
// logind, from systemd 256 on, lets nobody but the user manager itself release its
// session, which pam_systemd of systemd-user's stack asks for.
func judge(before, after pamstack.Dir, service, user string) (r rehearsed, alone bool, err error) {
	if r, err = rehearse(after, service, user); err != nil || r.Opened && r.Error == "" {
		return r, false, err
	}
	was, err := rehearse(before, service, user)
	if r.Opened && was.Opened && was.Error == r.Error {
		r.Error = ""
	}
	if err != nil || r.Opened || was.Opened || was.died && !r.died {
		return r, false, err
	}
	entry, _, ok := after.SessionLine(service)
	if !ok { // our line is taken out: it gets no worse
		return rehearsed{Opened: true}, true, nil
	}
	line := fmt.Sprintf("session %s %s %s\n", entry.Control, entry.Module, strings.Join(quoted(entry.Args), " "))
	r, err = rehearse(pamstack.Dir{service: {Data: []byte(line)}, "other": {Data: []byte(line)}}, service, user)
	return r, true, err
}
