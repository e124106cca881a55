package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"golang.org/x/term"
	"pam_polyinst/cmd/polyinst/internal/program"
	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

func enterCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "enter USER|PID [-- COMMAND...]",
		Short: "run a command, as root, in the view of a session",
		Long: `Enter joins the private namespace of USER's session, or the one that the process
PID is in, and runs COMMAND there, or a shell. You stay root: what lies in the
private directories, the user made. The exit status is that of COMMAND. Say
uid:UID or pid:PID where a number could be both.

Only a namespace that pam_polyinst made is entered, and only if it is, seen from
inside, what was recorded when it was made.`,
		Example: `  polyinst enter alice
  polyinst enter alice -- ls -la /tmp
  polyinst enter 4711 -- findmnt /tmp`,
		Args: func(cmd *cobra.Command, args []string) error {
			return userAndCommand(cmd, args, "polyinst enter USER|PID [-- COMMAND...]")
		},
		ValidArgsFunction: inside,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needRoot("enter"); err != nil {
				return err
			}
			return enter(args[0], args[1:])
		},
	}
}

func realCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "real [-- COMMAND...]",
		Short: "run a command, as root, in the host's own view",
		Long: `Real leaves a private namespace: it joins the view of process 1 and runs COMMAND
there, or a shell. The exit status is that of COMMAND.`,
		Example: `  polyinst real
  polyinst real -- ls -la /tmp
  polyinst real -- polyinst enable sshd     as a login begins`,
		Args: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n > 0 || n < 0 && len(args) > 0 {
				return usageError{errors.New("a command stands behind `--`: polyinst real [-- COMMAND...]")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needRoot("real"); err != nil {
				return err
			}
			return host(args)
		},
	}
}

// inside completes the users who have a live namespace.
func inside(_ *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
	all, err := namespaces()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for _, n := range all {
		if strings.HasPrefix(n.User, begin) && !slices.Contains(out, n.User) {
			out = append(out, n.User)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

func enter(whom string, command []string) error {
	all, err := namespaces()
	if err != nil {
		return err
	}
	target, err := choose(all, whom)
	if err != nil {
		return err
	}
	// namespaces belong to threads, and execve(2) leaves this one alone
	runtime.LockOSThread()
	outside, err := record.Here()
	if err != nil {
		return err
	}
	cwd := apply.LookAtCwd()
	store, err := record.Open()
	if err != nil {
		return err
	}
	r, err := store.Read(target.Identity)
	store.Close()
	if err != nil || r == nil {
		return errors.Join(fmt.Errorf("mnt:[%d] is not a namespace of ours", target.NS), err)
	}
	ns, err := openOne(target.PIDs, *r)
	if err != nil {
		return err
	}
	if err := ns.Enter(); err != nil {
		return err
	}
	if err := r.VerifyInside(outside); err != nil {
		return fmt.Errorf("mnt:[%d] is not entered: %w", r.NS, err)
	}
	ns.Close()
	if err := goTo(cwd, plan.Left{Own: r.Paths()}); err != nil {
		return err
	}
	return become(command, fmt.Sprintf("root in the view of %s's session", plain(r.User)))
}

// choose finds the namespace that is meant: by the name of an account, uid:UID,
// pid:PID, or the bare number of a process where no account is called so.
func choose(all []live.Namespace, whom string) (live.Namespace, error) {
	if number, ok := strings.CutPrefix(whom, "pid:"); ok {
		pid, err := strconv.Atoi(number)
		if err != nil {
			return live.Namespace{}, usageError{fmt.Errorf("%q: behind pid: there is no number of a process", whom)}
		}
		return ofProcess(all, pid)
	}
	if number, ok := strings.CutPrefix(whom, "uid:"); ok {
		uid, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return live.Namespace{}, usageError{fmt.Errorf("%q: behind uid: there is no number of an account", whom)}
		}
		return newest(all, whom, func(n live.Namespace) bool { return uint64(n.UID) == uid })
	}
	if pid, err := strconv.Atoi(whom); err == nil {
		account, err := nss.User(whom)
		n, none := ofProcess(all, pid)
		switch {
		case nss.IsUnknown(err):
			return n, none
		case err != nil:
			return live.Namespace{}, err
		case none == nil:
			return live.Namespace{}, fmt.Errorf("%s is an account and a process: say uid:%s or pid:%d", whom, account.Uid, pid)
		}
	}
	return newest(all, whom, func(n live.Namespace) bool { return n.User == whom })
}

func ofProcess(all []live.Namespace, pid int) (live.Namespace, error) {
	for _, n := range all {
		if slices.Contains(n.PIDs, pid) {
			return n, nil
		}
	}
	return live.Namespace{}, fmt.Errorf("process %d is in no namespace of ours; `polyinst list` shows who is", pid)
}

// newest is the newest of somebody's namespaces. Several are as good as one if
// they show the same instances.
func newest(all []live.Namespace, whom string, is func(live.Namespace) bool) (live.Namespace, error) {
	var own []live.Namespace
	for _, n := range all {
		if is(n) {
			own = append(own, n)
		}
	}
	if len(own) == 0 {
		return live.Namespace{}, fmt.Errorf("%q has no live private namespace; `polyinst list` shows who has", whom)
	}
	newest := own[len(own)-1]
	var pids []string
	for _, n := range own {
		if !slices.EqualFunc(n.Polydirs, newest.Polydirs, sameInstance) {
			for _, n := range own {
				pids = append(pids, strconv.Itoa(n.PIDs[0]))
			}
			return live.Namespace{}, fmt.Errorf("%s has %d sessions with different directories: name one by a process of it: %s",
				plain(whom), len(own), strings.Join(pids, ", "))
		}
	}
	return newest, nil
}

func sameInstance(a, b record.Polydir) bool {
	return a.Path == b.Path && a.Dev == b.Dev && a.Ino == b.Ino
}

// openOne opens the namespaces of the record by one of their processes: by
// descriptors whose identity is then asked, since a process can be somewhere
// else by now.
func openOne(pids []int, r record.Record) (mntns.Set, error) {
	for _, pid := range pids {
		if set, err := mntns.SetOfTask(pid, pid, r.IDs()); err == nil {
			return set, nil
		}
	}
	return nil, fmt.Errorf("mnt:[%d]: no process is in it any more, or it belongs to another user namespace", r.NS)
}

// goTo goes to the working directory in the new view, as root's session would:
// never to a directory that only has the same path.
func goTo(old apply.Cwd, left plan.Left) error {
	at, err := apply.WorkingDir(old, left)
	if err != nil {
		return err
	}
	if at.Left != "" {
		fmt.Fprintln(os.Stderr, "polyinst:", at.Left)
	}
	defer at.Close()
	return at.Dir.Enter()
}

// become runs the command, or a shell, instead of this process.
func become(command []string, where string) error {
	if len(command) == 0 {
		if term.IsTerminal(int(os.Stderr.Fd())) {
			fmt.Fprintf(os.Stderr, "polyinst: %s; exit leaves it\n", where)
		}
		command = []string{"/bin/sh"}
		if shell := os.Getenv("SHELL"); shell != "" {
			command = []string{shell}
		}
	}
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "PWD=") || strings.HasPrefix(e, "OLDPWD=")
	})
	return program.Exec(command, env)
}

func host(command []string) error {
	runtime.LockOSThread()
	own, err := mntns.OwnID()
	if err != nil {
		return err
	}
	ns, err := mntns.OfInit()
	if err != nil {
		return err
	}
	if ns.ID != own {
		if err := leave(ns, own); err != nil {
			return err
		}
	}
	ns.Close()
	return become(command, "root in the host's view")
}

// recordHere is the record of the namespace that this process is in.
func recordHere(store record.Store) (*record.Record, error) {
	own, err := mntns.OwnIdentity()
	if err != nil {
		return nil, err
	}
	return store.Of(own)
}

// leave goes from a namespace into that of process 1.
func leave(ns mntns.NS, own mntns.ID) error {
	same, err := ns.SameUserNamespace()
	if err != nil {
		return err
	}
	if !same {
		return errors.New("the view of process 1 belongs to another user namespace")
	}
	store, err := record.Open()
	if err != nil {
		return err
	}
	r, err := recordHere(store)
	store.Close()
	if err != nil {
		return err
	}
	if r == nil {
		r = &record.Record{}
	} else if r.Host != ns.ID {
		fmt.Fprintf(os.Stderr, "polyinst: this session was built from mnt:[%d]; process 1 is in mnt:[%d]\n", r.Host, ns.ID)
	}
	// what it has of its own beside the mount namespace returns too
	others, err := mntns.SetOfInit(r.HostPrivate)
	if err != nil {
		return err
	}
	defer others.Close()
	cwd := apply.LookAtCwd()
	if err := others.Enter(); err != nil {
		return err
	}
	if err := ns.Enter(); err != nil {
		return err
	}
	return goTo(cwd, plan.Left{Covers: r.Covers()})
}
