// Package host is the disposable host: a copy of the machine that the tests
// run on, in which users are added, /etc/pam.d is rewritten and sshd listens,
// and which is gone when its first process ends. It is made of new mount, pid,
// network, UTS and IPC namespaces and an overlay of / whose upper layer is a
// tmpfs; nothing that a story does in it reaches the machine itself.
//
// A story is a test that begins with Run:
//
//	func TestSu(t *testing.T) {
//		host.Run(t, func(h *host.Host) {
//			h.AddUser("alice")
//			h.MustRun("su", "alice", "-c", "touch /tmp/mine")
//		})
//	}
//
// The package that holds it hands TestMain to Main.
package host

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	stageEnv = "POLYINST_HOST_STAGE" // which part of the re-executed binary this is
	specEnv  = "POLYINST_HOST_SPEC"

	stageInit   = "init"   // the first process of the disposable host
	stageInside = "inside" // the test binary itself, a child of the first process
)

// NeedsRoot is how the reason of every skipped story begins that was left out
// because the tests do not run as root, so that a run can count them.
const NeedsRoot = "needs root:"

// NeedsProgram is the same for a program that is not installed.
const NeedsProgram = "needs a program:"

// Limit is how long one story may take before its host is killed, where Within
// says nothing else.
const Limit = 120 * time.Second

// settings begin the names of the environment's variables that reach a story:
// those of the make targets.
const settings = "POLYINST_TEST_"

// Option changes how the disposable host is made.
type Option func(*spec)

// Copied makes the host of tmpfs copies and read-only bind mounts, which is the
// fallback where an overlay is refused.
func Copied() Option { return func(s *spec) { s.Copied = true } }

// Within gives a story more time than Limit.
func Within(d time.Duration) Option { return func(s *spec) { s.limit = d } }

// Tee writes what the story prints to w as well, of all its streams.
func Tee(w io.Writer) Option { return func(s *spec) { s.tee = w } }

// spec is what the outer process tells the first process of the host.
type spec struct {
	Source string // the checkout
	Dir    string // the test's working directory, relative to Source
	Build  string // where built programs appear
	Binary string // the test binary
	Copied bool

	limit time.Duration // what follows is known outside only
	tee   io.Writer
}

// Main runs the tests of a package that uses Run:
//
//	func TestMain(m *testing.M) { host.Main(m) }
func Main(m *testing.M) {
	switch os.Getenv(stageEnv) {
	case stageInit:
		os.Exit(runInit())
	case stageInside:
		os.Exit(m.Run())
	}
	leaveOutNotCompared()
	code := m.Run()
	removeBuildDir()
	os.Exit(code)
}

// Inside reports whether this process runs in a disposable host.
func Inside() bool { return os.Getenv(stageEnv) == stageInside }

var started sync.Map // names of the tests that have called Run

// Run runs the story in a disposable host of its own. Outside it re-executes
// the test binary for this one test in a new host; inside, the same call runs
// the story. A test, or one subtest, calls it once, before anything that must
// not happen on the machine itself.
func Run(t *testing.T, story func(h *Host), options ...Option) {
	t.Helper()
	if _, again := started.LoadOrStore(t.Name(), true); again && testing.CoverMode() == "" {
		if !Inside() {
			started.Delete(t.Name()) // -count=N
		} else {
			t.Fatal("host.Run: called twice in one test; use subtests")
		}
	}
	if Inside() {
		runStory(t, story)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip(NeedsRoot, "this story adds users and logs in in a disposable host")
	}
	// go test caches by the files that this process looks at.
	for _, f := range []string{"build/pam_polyinst.so", "build/polyinst"} {
		_, _ = os.Stat(filepath.Join(checkout(), f))
	}
	runOutside(t, options)
}

// runOutside makes the host, waits until it has ended, and takes over the
// outcome of the story.
func runOutside(t *testing.T, options []Option) {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	rel, err := filepath.Rel(checkout(), wd)
	if err != nil {
		t.Fatal(err)
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := spec{Source: checkout(), Dir: rel, Build: buildDir(t), Binary: binary, limit: Limit}
	for _, o := range options {
		o(&s)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}

	requestsR, requestsW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	repliesR, repliesW, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer requestsR.Close()
	defer repliesW.Close()

	out := &filter{w: t.Output(), name: t.Name()}
	if s.tee != nil {
		out.w = io.MultiWriter(out.w, s.tee)
	}
	cmd := exec.Command(binary, innerArgs(t, s.limit)...)
	cmd.Env = append(cleanEnv("root", "/root", "/bin/bash"), stageEnv+"="+stageInit, specEnv+"="+string(text))
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, settings) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.ExtraFiles = []*os.File{requestsW, repliesR}
	cmd.WaitDelay = 2 * time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
	}
	// The parent-death signal is tied to the thread that forked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		t.Fatalf("make a disposable host: %v", err)
	}
	_ = requestsW.Close()
	_ = repliesR.Close()

	var v verdict
	served := make(chan struct{})
	go func() { serve(requestsR, repliesW, &v); close(served) }()
	killer := time.AfterFunc(s.limit, func() { _ = cmd.Process.Kill() })
	err = cmd.Wait()
	inTime := killer.Stop()
	<-served
	out.flush()

	switch {
	case !inTime:
		t.Fatalf("the story did not end within %v; its host was killed", s.limit)
	case err != nil:
		t.Fatalf("the story failed in its disposable host (%v)", err)
	case v.skipped != "":
		t.Skip(v.skipped)
	case !v.ran:
		t.Fatal("the story never ran in its disposable host")
	}
}

// innerArgs are the arguments that make the test binary run this test only.
func innerArgs(t *testing.T, limit time.Duration) []string {
	parts := strings.Split(t.Name(), "/")
	for i, p := range parts {
		parts[i] = "^" + regexpQuote(p) + "$"
	}
	args := []string{
		"-test.run=" + strings.Join(parts, "/"),
		"-test.count=1",
		fmt.Sprintf("-test.timeout=%v", limit-5*time.Second),
	}
	if testing.Verbose() {
		args = append(args, "-test.v")
	}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	return args
}

func regexpQuote(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strings.ContainsRune(`\.+*?()|[]{}^$`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// filter passes the inner output on, line by line, without the lines that the
// outer test prints itself.
type filter struct {
	mu   sync.Mutex
	w    io.Writer
	name string // of the test
	rest []byte
}

func (q *filter) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rest = append(q.rest, p...)
	for {
		i := strings.IndexByte(string(q.rest), '\n')
		if i < 0 {
			return len(p), nil
		}
		q.line(string(q.rest[:i]))
		q.rest = q.rest[i+1:]
	}
}

func (q *filter) line(s string) {
	switch bare := strings.TrimSpace(s); {
	case bare == "PASS", bare == "FAIL", strings.HasPrefix(bare, "=== "):
	case strings.HasPrefix(bare, "--- ") && q.isOuter(bare):
	default:
		fmt.Fprintln(q.w, s)
	}
}

// isOuter reports whether a line is the outcome of the test itself, or of one that
// it is a subtest of.
func (q *filter) isOuter(outcome string) bool {
	fields := strings.Fields(outcome) // --- PASS: NAME (0.01s)
	return len(fields) > 2 && strings.HasPrefix(q.name+"/", fields[2]+"/")
}

func (q *filter) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.rest) > 0 {
		q.line(string(q.rest))
		q.rest = nil
	}
}

// checkout is the directory of go.mod.
var checkout = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, statErr := os.Stat(filepath.Join(dir, "go.mod")); statErr == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	panic("host: no go.mod above the working directory")
})

// cleanEnv is the environment of a process in the disposable host: nothing of
// the machine's own environment is in it.
func cleanEnv(user, home, shell string) []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + home, "USER=" + user, "LOGNAME=" + user, "SHELL=" + shell,
		"LANG=C.UTF-8", "TERM=dumb",
	}
}
