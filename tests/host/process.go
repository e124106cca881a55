package host

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a running command that the story talks to.
type Process struct {
	h   *Host
	cmd *exec.Cmd
	in  *os.File // its input: a pipe, or the terminal

	mu       sync.Mutex
	changed  *sync.Cond
	output   bytes.Buffer // both streams
	seen     int          // what Expect has gone past
	eof      bool
	ended    bool
	err      error
	reported bool
}

// Start starts a command whose input and output are pipes.
func (c *Command) Start() *Process {
	c.h.T.Helper()
	cmd := c.prepare()
	inR, inW, err := os.Pipe()
	c.h.check(err)
	outR, outW, err := os.Pipe()
	c.h.check(err)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = inR, outW, outW
	p := c.start(cmd, inW, outR)
	c.h.check(inR.Close())
	c.h.check(outW.Close())
	return p
}

// OnPty starts a command on a new terminal, which is its controlling one.
func (c *Command) OnPty() *Process {
	c.h.T.Helper()
	master, slave, err := openPty()
	c.h.check(err)
	if c.user != nil {
		c.h.check(slave.Chown(int(c.user.Uid), -1))
	}
	cmd := c.prepare()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr.Setctty = true
	p := c.start(cmd, master, master)
	c.h.check(slave.Close())
	return p
}

// OnPty starts a command as root on a new terminal.
func (h *Host) OnPty(args ...string) *Process {
	h.T.Helper()
	return h.Command(args...).OnPty()
}

// Start starts a command as root with pipes.
func (h *Host) Start(args ...string) *Process {
	h.T.Helper()
	return h.Command(args...).Start()
}

func (c *Command) start(cmd *exec.Cmd, in, out *os.File) *Process {
	c.h.T.Helper()
	p := &Process{h: c.h, cmd: cmd, in: in}
	p.changed = sync.NewCond(&p.mu)
	if err := cmd.Start(); err != nil {
		c.h.T.Fatalf("start %s: %v", quote(c.args), err)
	}
	go p.read(out)
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ended, p.err = true, err
		p.changed.Broadcast()
	}()
	c.h.T.Cleanup(func() {
		p.Kill()
		p.report()
	})
	return p
}

func (p *Process) read(out *os.File) {
	buffer := make([]byte, 4096)
	for {
		n, err := out.Read(buffer) // EIO when the last user of a terminal is gone
		p.mu.Lock()
		p.output.Write(buffer[:n])
		p.eof = err != nil
		p.changed.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// report puts the whole conversation into the transcript, once.
func (p *Process) report() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reported {
		return
	}
	p.reported = true
	p.h.note("$ %s   (conversation)\n%s", quote(p.cmd.Args), strings.ReplaceAll(p.output.String(), "\r\n", "\n"))
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Send writes to the process, as if typed.
func (p *Process) Send(text string) {
	p.h.T.Helper()
	if _, err := p.in.WriteString(text); err != nil {
		p.report()
		p.h.T.Fatalf("send %q to %s: %v", text, quote(p.cmd.Args), err)
	}
}

// CloseInput ends what the process reads from a pipe.
func (p *Process) CloseInput() { _ = p.in.Close() }

// Expect waits until the output after the last Expect matches, and returns the
// matched text and its groups.
func (p *Process) Expect(pattern string) []string {
	p.h.T.Helper()
	return p.ExpectWithin(Patience, pattern)
}

// ExpectWithin is Expect with more patience, or less.
func (p *Process) ExpectWithin(patience time.Duration, pattern string) []string {
	p.h.T.Helper()
	re := regexp.MustCompile(pattern)
	var groups []string
	found := p.await(patience, func() bool {
		rest := p.output.Bytes()[p.seen:]
		at := re.FindSubmatchIndex(rest)
		if at == nil {
			return p.eof
		}
		for i := 0; i+1 < len(at); i += 2 {
			if at[i] < 0 {
				groups = append(groups, "")
				continue
			}
			groups = append(groups, string(rest[at[i]:at[i+1]]))
		}
		p.seen += at[1]
		return true
	})
	if !found || groups == nil {
		p.h.note("--- processes when nothing had matched %q\n%s", pattern, p.h.Processes())
		p.report()
		p.h.T.Fatalf("%s: nothing matched %q", quote(p.cmd.Args), pattern)
	}
	return groups
}

// Wait waits for the end of the process and returns what came of it.
func (p *Process) Wait() Result {
	p.h.T.Helper()
	r := Result{Command: quote(p.cmd.Args)}
	r.TimedOut = !p.await(Patience, func() bool { return p.ended })
	if r.TimedOut {
		p.h.note("--- processes when %q had not ended\n%s", r.Command, p.h.Processes())
		p.Kill()
		p.report()
		p.h.T.Fatalf("%s: did not end within %v", r.Command, Patience)
	}
	// Its last words may still be on the way; a process that it left behind
	// may hold the stream open for ever.
	p.await(200*time.Millisecond, func() bool { return p.eof })
	p.report()
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Stdout, r.Code = strings.ReplaceAll(p.output.String(), "\r\n", "\n"), exitCode(p.cmd, p.err)
	return r
}

// Signal sends a signal to the process.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill kills the process and its process group, if it still runs.
func (p *Process) Kill() {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended {
		return
	}
	_ = syscall.Kill(-p.Pid(), syscall.SIGKILL)
	p.await(Patience, func() bool { return p.ended })
}

// await waits until a condition on the process holds, which is looked at
// whenever something has happened.
func (p *Process) await(patience time.Duration, condition func() bool) bool {
	late := false
	timer := time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		late = true
		p.changed.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !condition() {
		if late {
			return false
		}
		p.changed.Wait()
	}
	return true
}

// openPty opens a terminal pair.
func openPty() (master, slave *os.File, err error) {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	n, err := unix.IoctlGetInt(m, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetPointerInt(m, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, err
	}
	if err := unix.IoctlSetWinsize(m, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 200}); err != nil {
		return nil, nil, err
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	s, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open %s: %w", name, err)
	}
	return os.NewFile(uintptr(m), "/dev/ptmx"), os.NewFile(uintptr(s), name), nil
}
