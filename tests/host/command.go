package host

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Result is the outcome of a command.
type Result struct {
	Command        string
	Stdout, Stderr string
	Code           int // the exit status; 128+N where signal N ended it
	TimedOut       bool
}

// Out is the standard output without the space around it.
func (r Result) Out() string { return strings.TrimSpace(r.Stdout) }

// String is the command with all that came of it.
func (r Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "$ %s\n", r.Command)
	for _, text := range []string{r.Stdout, r.Stderr} {
		if text != "" {
			b.WriteString(strings.TrimSuffix(text, "\n") + "\n")
		}
	}
	if r.Code != 0 {
		fmt.Fprintf(&b, "[exit %d]\n", r.Code)
	}
	if r.TimedOut {
		b.WriteString("[killed: it did not end]\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Command is a command to be run in the host, by default as root, in /, with a
// clean environment, without a terminal, and with nothing on its input.
type Command struct {
	h       *Host
	args    []string
	env     []string
	dir     string
	stdin   string
	user    *syscall.Credential
	cgroup  *Cgroup
	timeout time.Duration
}

// Command prepares a command.
func (h *Host) Command(args ...string) *Command {
	return &Command{h: h, args: args, env: cleanEnv("root", "/root", "/bin/bash"), dir: "/", timeout: 20 * time.Second}
}

// As runs it as a user, without a login: no PAM, no session.
func (c *Command) As(u User) *Command {
	c.user = &syscall.Credential{Uid: uint32(u.UID), Gid: uint32(u.GID), Groups: c.h.groupsOf(u)}
	c.env = cleanEnv(u.Name, u.Home, u.Shell)
	c.dir = u.Home
	return c
}

// In runs it in a cgroup; nil is the one that everything is in.
func (c *Command) In(g *Cgroup) *Command { c.cgroup = g; return c }

// Dir sets the working directory.
func (c *Command) Dir(dir string) *Command { c.dir = dir; return c }

// Env adds to the environment.
func (c *Command) Env(env ...string) *Command { c.env = append(c.env, env...); return c }

// Stdin is what the command reads.
func (c *Command) Stdin(text string) *Command { c.stdin = text; return c }

// Timeout changes when a command that does not end is killed.
func (c *Command) Timeout(d time.Duration) *Command { c.timeout = d; return c }

func (c *Command) prepare() *exec.Cmd {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	if !strings.Contains(c.args[0], "/") && cmd.Err == nil {
		cmd.Args[0] = c.args[0]
	}
	cmd.Env, cmd.Dir = c.env, c.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.user}
	if c.cgroup != nil {
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(c.cgroup.top.Fd())
	}
	return cmd
}

// Run runs the command to its end. One that does not end in time is killed with
// its process group and fails the story.
func (c *Command) Run() Result {
	c.h.T.Helper()
	r := c.run()
	c.h.note("%s", r)
	if r.TimedOut {
		c.h.T.Errorf("%s: did not end within %v", r.Command, c.timeout)
	}
	return r
}

func (c *Command) run() Result {
	cmd := c.prepare()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.stdin != "" {
		cmd.Stdin = strings.NewReader(c.stdin)
	}
	// A process that the command leaves behind may hold its output.
	cmd.WaitDelay = time.Second
	r := Result{Command: quote(c.args)}
	err := cmd.Start()
	if err == nil {
		timer := time.AfterFunc(c.timeout, func() {
			c.h.note("--- processes when %q had not ended\n%s", r.Command, c.h.Processes())
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		})
		err = cmd.Wait()
		r.TimedOut = !timer.Stop()
	}
	r.Stdout, r.Stderr, r.Code = stdout.String(), stderr.String(), exitCode(cmd, err)
	return r
}

func exitCode(cmd *exec.Cmd, err error) int {
	switch {
	case cmd.ProcessState == nil:
		return 127 // as a shell says that it could not be started
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return 0
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return cmd.ProcessState.ExitCode()
}

// quote shows a command as one would type it.
func quote(args []string) string {
	shown := make([]string, len(args))
	for i, a := range args {
		if a == "" || strings.ContainsAny(a, " \t\n'\"$&|;<>()*?`\\") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		shown[i] = a
	}
	return strings.Join(shown, " ")
}

// Cmd runs a command as root.
func (h *Host) Cmd(args ...string) Result {
	h.T.Helper()
	return h.Command(args...).Run()
}

// MustRun runs a command as root, fails the story where it fails, and returns
// its output.
func (h *Host) MustRun(args ...string) string {
	h.T.Helper()
	return h.Command(args...).Must()
}

// Must is Run for a command that must succeed; it returns the output.
func (c *Command) Must() string {
	c.h.T.Helper()
	r := c.Run()
	if r.Code != 0 {
		c.h.T.Fatalf("this command failed:\n%s", r)
	}
	return r.Out()
}

// Sh runs a shell script as root; it must succeed.
func (h *Host) Sh(script string) string {
	h.T.Helper()
	return h.MustRun("sh", "-ec", script)
}

// Su runs a shell command as a user through su, as root would.
func (h *Host) Su(user, command string) Result {
	h.T.Helper()
	return h.Cmd("su", user, "-c", command)
}

// Processes is a picture of all processes in the host, for a story that hangs:
// pid, parent, threads, what it waits in, and its command.
func (h *Host) Processes() string {
	out, _ := exec.Command("ps", "axww", "-o", "pid,ppid,user,nlwp,stat,wchan:24,args").CombinedOutput()
	return string(out)
}

// Alive reports whether a process exists and is no zombie.
func (h *Host) Alive(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(after, "Z")
}
