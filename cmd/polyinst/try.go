package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"sort"
	"strings"

	"github.com/msteinert/pam/v2"
	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/program"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
)

// tryOptions are the words of a rehearsal.
type tryOptions struct {
	conf, service, module string
	args                  []string
}

func tryCommand() *cobra.Command {
	var o tryOptions
	cmd := &cobra.Command{
		Use:   "try USER [-- COMMAND...]",
		Short: "rehearse a session, without touching /etc/pam.d",
		Long: `Try opens a real session of USER through libpam, in a stack that has the line
of this module only, runs COMMAND in it as USER, and closes it. Without COMMAND
it shows what stands for the polydirs. Nobody is asked for a password; nothing
is written to /etc/pam.d. Instances are made, as a login would.`,
		Example: `  polyinst try alice
  polyinst try alice --service sshd -- touch /tmp/mine
  polyinst try alice --conf /root/new/namespace.conf
  polyinst try alice --module ./build/pam_polyinst.so --arg debug`,
		Args: func(cmd *cobra.Command, args []string) error {
			return userAndCommand(cmd, args, "polyinst try USER [-- COMMAND...]")
		},
		ValidArgsFunction: users,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needRoot("try"); err != nil {
				return err
			}
			return try(args[0], args[1:], o)
		},
	}
	confFlag(cmd, &o.conf)
	cmd.Flags().StringVar(&o.service, "service", ofTry, "the PAM `SERVICE` that the session says it is of")
	cmd.Flags().StringVar(&o.module, "module", "pam_polyinst.so", "another `FILE` of the module")
	cmd.Flags().StringArrayVar(&o.args, "arg", nil, "an `ARGUMENT` of the PAM line; can be repeated")
	return cmd
}

// ofTry is the service of a rehearsal that is of none.
const ofTry = "polyinst-try"

// userAndCommand wants one word before the "--" and the rest behind it.
func userAndCommand(cmd *cobra.Command, args []string, usage string) error {
	before := cmd.ArgsLenAtDash()
	if before < 0 {
		before = len(args)
	}
	switch {
	case before == 0:
		return usageError{fmt.Errorf("whose? %s", usage)}
	case before > 1:
		return usageError{fmt.Errorf("%q is one word too many, a command stands behind `--`: %s", args[1], usage)}
	}
	return nil
}

func try(name string, command []string, o tryOptions) error {
	promised, refused := promise.Ask(promise.Question{User: name, Service: o.service, Args: o.args, Conf: o.conf, Host: lsm.Own(), Context: observe.CurrentContext})
	if err := noConfiguration(promised); err != nil {
		return err
	}
	u, err := nss.User(name)
	if nss.IsUnknown(err) {
		return noSuchAccount(name)
	}
	if err != nil {
		return err
	}
	if err := o.settle(); err != nil {
		return err
	}
	line, err := o.line()
	if err != nil {
		return err
	}
	streams, err := program.NewStreams(len(command) > 0)
	if err != nil {
		return err
	}
	defer streams.Close()
	// the session is this thread's; what else the runtime does is not in it
	runtime.LockOSThread()
	t, err := o.start(name, line)
	if err != nil {
		return fmt.Errorf("pam_start: %w", err)
	}
	defer func() { _ = t.End() }()
	before, err := mntns.OwnThreadID()
	if err != nil {
		return err
	}
	if err := t.OpenSession(0); err != nil {
		return sayRefused(name, o, err)
	}
	shows := len(command) == 0
	if shows {
		command = show(promised)
	}
	after, err := mntns.OwnThreadID()
	if err != nil {
		return errors.Join(err, t.CloseSession(0))
	}
	code, runErr := runIn(u, command, t, streams)
	streams.Close()
	if err := t.CloseSession(0); err != nil {
		return fmt.Errorf("the session was not closed: %w", err)
	}
	if err := commandEnded(code, runErr, streams); err != nil {
		return err
	}
	rescued := refused != nil || after == before && len(promised.Selection.Rules) > 0
	if !shows && !rescued {
		return nil // what is printed is the command's
	}
	if o.service != ofTry && !rescued { // which goes through a stack of its own
		x := &explanation{}
		defer x.close()
		stacks, err := readStacks(pamDir)
		if err == nil {
			err = explainer{stacks: stacks}.session(x, u.Username, o.service, nil)
		}
		if err != nil {
			return err
		}
		fmt.Fprint(stdout, x.notActive())
	}
	return sayVerdict(u.Username, o, promised, rescued)
}

// commandEnded says how the command in the session ended, unless it ended well.
func commandEnded(code int, err error, streams *program.Streams) error {
	if err != nil {
		return err
	}
	if lost := streams.Lost(); lost != nil {
		stdout.lose(lost)
		return errReported
	}
	if code != 0 {
		fmt.Fprintf(os.Stderr, "polyinst: the session was opened and closed; the command ended with %d\n", code)
		return errReported
	}
	return nil
}

// sayRefused says that the session was refused, and as far as it is known why.
func sayRefused(name string, o tryOptions, err error) error {
	if _, problem := findModule(o.module); problem != "" {
		return fmt.Errorf("the session was refused: %v: %s", err, problem)
	}
	fmt.Fprintf(os.Stderr, "polyinst: the session was refused: %v; the system log says why\n", err)
	return explainRefusal(o, name)
}

// sayVerdict says what the session was, in one line.
func sayVerdict(name string, o tryOptions, p *promise.Promise, rescued bool) error {
	var paths []string
	for _, rule := range p.Selection.Rules {
		paths = append(paths, plain(rule.Path))
	}
	switch {
	case rescued:
		fmt.Fprintf(os.Stderr, "polyinst: %s by %s gets in by rescue, WITHOUT private directories\n", plain(name), plain(o.service))
		return explainRefusal(o, name)
	case len(paths) == 0:
		fmt.Fprintf(stdout, "%s by %s gets in, and no polydir applies: the session stays in the view that it is in\n", plain(name), plain(o.service))
	default:
		fmt.Fprintf(stdout, "%s by %s has %s of their own\n", plain(name), plain(o.service), strings.Join(paths, ", "))
	}
	return nil
}

// noConfiguration prints why there is none that a session could go by.
func noConfiguration(p *promise.Promise) error {
	if p.Config != nil || !p.Loaded.Broken() {
		return nil
	}
	tellProblems(p.Loaded.Problems)
	if p.Loaded.Err != nil {
		return p.Loaded.Err
	}
	return errReported
}

// settle checks the service, and makes the module's path one that libpam finds.
func (o *tryOptions) settle() (err error) {
	if err := serviceName("service", o.service); err != nil {
		return err
	}
	if strings.ContainsRune(o.module, '/') {
		o.module, err = filepath.Abs(o.module)
	}
	return err
}

// line is the session line of the rehearsal.
func (o tryOptions) line() (string, error) {
	args := o.args
	if o.conf != "" {
		conf, err := filepath.Abs(o.conf)
		if err != nil {
			return "", err
		}
		args = append([]string{"conf=" + conf}, args...)
	}
	if _, err := config.ParseArgs(args); err != nil {
		return "", usageError{fmt.Errorf("PAM line: %w", err)}
	}
	for _, a := range args {
		if strings.ContainsAny(a, "\n\\#") {
			return "", usageError{fmt.Errorf("PAM line: %q cannot stand in one", a)}
		}
	}
	return strings.Join(append([]string{"session required " + o.module}, quoted(args)...), " "), nil
}

// quoted are arguments as a PAM line has them.
func quoted(args []string) []string {
	var out []string
	for _, a := range args {
		if strings.ContainsAny(a, " \t[]") {
			a = "[" + strings.ReplaceAll(a, "]", `\]`) + "]"
		}
		out = append(out, a)
	}
	return out
}

// start begins the transaction in a directory of stacks of its own, which only
// root can enter and which is gone when the stack is read. It has no auth line,
// because nobody is to be asked.
func (o tryOptions) start(name, line string) (*pam.Transaction, error) {
	dir, err := os.MkdirTemp("/run", "polyinst-try.")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	stack := "auth required pam_deny.so\naccount required pam_permit.so\npassword required pam_deny.so\n" + line + "\n"
	for _, file := range []string{"other", o.service} { // libpam reads both
		if err := os.WriteFile(filepath.Join(dir, file), []byte(stack), 0o600); err != nil {
			return nil, err
		}
	}
	answer := func(style pam.Style, text string) (string, error) {
		if style == pam.ErrorMsg || style == pam.TextInfo {
			fmt.Fprintln(os.Stderr, text)
			return "", nil
		}
		return "", errors.New("nobody is asked in a rehearsal")
	}
	return pam.StartConfDir(o.service, name, pam.ConversationFunc(answer), dir)
}

// explainRefusal says what the module's own decision is, as `polyinst explain`.
func explainRefusal(o tryOptions, name string) error {
	if err := explain(name, explainOptions{conf: o.conf, service: o.service, args: o.args, argsGiven: true}); err != nil && !errors.Is(err, errReported) {
		return err
	}
	return errReported
}

// show is the default command: what the session sees at its polydirs.
func show(p *promise.Promise) []string {
	script := `for d; do
	ls -ld "$d" || exit
	findmnt -n -o FSTYPE,SOURCE,OPTIONS -T "$d" 2>/dev/null || grep " $d " /proc/self/mountinfo || exit
	ls -A "$d" || exit
done`
	out := []string{"/bin/sh", "-c", script, "sh"}
	for _, rule := range p.Selection.Rules {
		out = append(out, rule.Path)
	}
	return out
}

// runIn runs a command in the session, as its user. What would end this process
// goes to the command: the session is closed in any case.
func runIn(u *user.User, command []string, t *pam.Transaction, streams *program.Streams) (int, error) {
	env := map[string]string{"HOME": u.HomeDir, "USER": u.Username, "LOGNAME": u.Username, "SHELL": "/bin/sh",
		"PATH": "/usr/local/bin:/usr/bin:/bin", "TERM": os.Getenv("TERM")}
	if more, err := t.GetEnvList(); err == nil {
		for k, v := range more {
			env[k] = v
		}
	}
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	sort.Strings(list)
	return program.RunAs(u, command, list, streams)
}
