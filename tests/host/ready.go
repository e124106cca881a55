package host

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readySetting makes each story that installs the module start the ready workers, too.
const readySetting = settings + "READY"

// ReadySocket is where they listen.
const ReadySocket = "/run/polyinst/serve.sock"

// Ready is a running `polyinst serve --foreground`.
type Ready struct {
	h    *Host
	cmd  *exec.Cmd
	over chan error

	mu   sync.Mutex
	said []string // what it put out
}

func (h *Host) startReady() {
	if os.Getenv(readySetting) == "" || h.ready != nil {
		return
	}
	h.ready = h.Serve()
}

// ServesAll reports whether all stories are run with ready workers.
func ServesAll() bool { return os.Getenv(readySetting) != "" }

// Forks stops the ready workers of a story that is about the forked one: it traces
// the host's children, or is about what only they have of it.
func (h *Host) Forks() {
	h.T.Helper()
	if h.ready != nil {
		h.ready.Stop()
	}
}

// Serve starts `polyinst serve --foreground` with these arguments, and returns when
// it listens.
func (h *Host) Serve(args ...string) *Ready {
	h.T.Helper()
	cmd := exec.Command(filepath.Join(toolDir, "polyinst"), append([]string{"serve", "--foreground"}, args...)...)
	cmd.Env, cmd.Dir = cleanEnv("root", "/root", "/bin/bash"), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	h.check(err)
	cmd.Stderr, cmd.Stdout = w, w
	h.check(cmd.Start())
	_ = w.Close()
	s := &Ready{h: h, cmd: cmd, over: make(chan error, 1)}
	go func() {
		for in := bufio.NewScanner(r); in.Scan(); {
			h.note("serve: %s", in.Text())
			s.mu.Lock()
			s.said = append(s.said, in.Text())
			s.mu.Unlock()
		}
	}()
	go func() { s.over <- cmd.Wait() }()
	h.WaitReady()
	return s
}

// WaitReady waits until a worker greets.
func (h *Host) WaitReady() {
	h.T.Helper()
	_, err := greeting()
	for deadline := time.Now().Add(Patience); err != nil; _, err = greeting() {
		if time.Now().After(deadline) {
			h.T.Fatalf("no worker is ready: %v", err)
		}
		time.Sleep(time.Millisecond) // there is no event to wait for: the socket is not there yet
	}
}

// Build is what a worker calls its build.
func (h *Host) Build() string {
	h.T.Helper()
	h.WaitReady()
	for {
		if build, err := greeting(); err == nil {
			return build
		}
	}
}

// greeting connects, and takes what a worker greets with.
func greeting() (string, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: ReadySocket}); err != nil {
		return "", err
	}
	var b [64]byte
	n, err := unix.Read(fd, b[:])
	switch {
	case err != nil:
		return "", err
	case n < 2 || b[0] != 'H':
		return "", fmt.Errorf("this is no greeting: %q", b[:n])
	}
	return string(b[1:n]), nil
}

// PID is the process that has the socket.
func (r *Ready) PID() int { return r.cmd.Process.Pid }

// Workers are the processes that serve.
func (r *Ready) Workers() []int {
	r.h.T.Helper()
	all := r.h.Children(r.PID())
	if len(all) == 0 {
		_, err := os.Stat(fmt.Sprintf("/proc/%d", r.PID()))
		r.h.check(err)
	}
	return all
}

// Children are the processes that any thread of this one has started.
func (h *Host) Children(pid int) []int {
	h.T.Helper()
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	var all []int
	for _, t := range threads {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name())) // gone: none
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			h.check(err)
			all = append(all, child)
		}
	}
	return all
}

// NoWorkerChanged fails the story if the service has said that a worker ended because
// it was not what it had been. One that took long on a busy machine ends in silence.
func (r *Ready) NoWorkerChanged() {
	r.h.T.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.said {
		if strings.Contains(line, "a worker has ended") {
			r.h.T.Error(line)
		}
	}
}

// Stop ends the service, and returns when the last conversation is over.
func (r *Ready) Stop() {
	r.h.T.Helper()
	_ = r.cmd.Process.Signal(unix.SIGTERM)
	r.Ended()
}

// Ended waits until the service has ended, which was told to.
func (r *Ready) Ended() {
	r.h.T.Helper()
	select {
	case <-r.over:
	case <-time.After(Patience):
		r.h.T.Fatal("polyinst serve does not end")
	}
	if r.h.ready == r {
		r.h.ready = nil
	}
}
