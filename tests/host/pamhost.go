package host

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
)

// PAM's return values that stories speak of.
const (
	PAMSuccess     = 0
	PAMUserUnknown = 10
	PAMRefused     = 6 // PAM_PERM_DENIED
)

// Step is one line of what a C or Go host of our own did.
type Step struct {
	Step  string   // the word of the script
	Pid   int      // of the process that did it
	RC    int      // PAM's return value, or an exit status
	Text  string   // PAM's words for it, or a command's output
	Style string   // of a message: "error" or "info"
	State Snapshot // of a snapshot
	Own   int      // of sigchld-check: notifications of the host's own children
	Strangers,
	Lost int // notifications of other processes; children of its own never heard of
	VMSize int // of a snapshot, in KiB
}

// Trace is what a host did, step by step.
type Trace struct {
	Result
	Steps []Step
	h     *Host
}

// PamHost runs tests/chosts/pamhost.c as root with a script of steps, which
// its source lists; see also tests/README.md.
func (h *Host) PamHost(steps ...string) Trace {
	h.T.Helper()
	return h.PamHostCommand(steps...).Trace()
}

// PamHostCommand prepares the same, to be started by hand.
func (h *Host) PamHostCommand(steps ...string) *Command {
	h.T.Helper()
	return h.Command(append([]string{h.Built("pamhost")}, steps...)...)
}

// Trace runs a host of our own and reads its steps. A host that hangs or
// crashes fails the story.
func (c *Command) Trace() Trace {
	c.h.T.Helper()
	r := c.run()
	t := Trace{Result: r, h: c.h}
	var broken string
	for line := range strings.Lines(r.Stdout) {
		var s Step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			broken = line
			continue
		}
		t.Steps = append(t.Steps, s)
	}
	c.h.note("%s", t.brief())
	switch {
	case r.TimedOut:
		c.h.T.Fatalf("the host did not end within %v; see its steps below", c.timeout)
	case r.Code != 0:
		c.h.T.Errorf("the host failed with status %d; see its steps below", r.Code)
	case broken != "":
		c.h.T.Fatalf("not a step: %q", broken)
	}
	return t
}

// All are the steps of one name.
func (t Trace) All(name string) []Step {
	var found []Step
	for _, s := range t.Steps {
		if s.Step == name {
			found = append(found, s)
		}
	}
	return found
}

// Step is the one step of that name.
func (t Trace) Step(name string) Step {
	t.h.T.Helper()
	found := t.All(name)
	if len(found) != 1 {
		t.h.T.Fatalf("%d steps %q, want one:\n%s", len(found), name, t.brief())
	}
	return found[0]
}

// RC fails the story where a step did not return what it should.
func (t Trace) RC(name string, want int) {
	t.h.T.Helper()
	for _, s := range t.All(name) {
		if s.RC != want {
			t.h.T.Errorf("%s: got %d (%s), want %d:\n%s", name, s.RC, s.Text, want, t.brief())
		}
	}
	if len(t.All(name)) == 0 {
		t.h.T.Errorf("no step %q:\n%s", name, t.brief())
	}
}

// Snapshot is the state that the step "snapshot:NAME" took.
func (t Trace) Snapshot(name string) Snapshot {
	t.h.T.Helper()
	return t.Step("snapshot:" + name).State
}

// brief is the trace without the snapshots' lines.
func (t Trace) brief() string {
	var b strings.Builder
	fmt.Fprintf(&b, "$ %s\n", t.Command)
	for _, s := range t.Steps {
		fmt.Fprintf(&b, "  %-16s pid=%d rc=%d %s", s.Step, s.Pid, s.RC, s.Text)
		if s.Step == "sigchld-check" {
			fmt.Fprintf(&b, " own=%d strangers=%d lost=%d", s.Own, s.Strangers, s.Lost)
		}
		b.WriteByte('\n')
	}
	b.WriteString(t.Stderr)
	return b.String()
}

// KillHard kills a process by SIGKILL and waits until it has ended.
func (p *Process) KillHard() {
	p.h.T.Helper()
	p.Signal(syscall.SIGKILL)
	if !p.await(Patience, func() bool { return p.ended }) {
		p.h.T.Fatalf("%s survived SIGKILL", quote(p.cmd.Args))
	}
}
