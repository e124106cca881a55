package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Host is the disposable host that a story runs in. Its methods fail the story
// where they cannot do their job; a story that has failed prints every command
// that it ran and the whole syslog.
type Host struct {
	T *testing.T

	control *control
	syslog  *syslog

	mu         sync.Mutex
	transcript strings.Builder
	nextID     int
	nodes      int // how many nodes were made
	ready      *Ready
}

// Where the administrator's files and the module's own lie.
const (
	ConfigFile = "/etc/security/polyinst/namespace.conf"
	Parents    = "/var/lib/polyinst" // of the instance parents
	toolDir    = "/usr/local/sbin"
)

// runStory runs a story; this process is in a disposable host already.
func runStory(t *testing.T, story func(h *Host)) {
	h := &Host{T: t, control: newControl(), nextID: 2000}
	h.control.tell(request{Ran: true})
	var err error
	if h.syslog, err = listenSyslog(); err != nil {
		t.Fatalf("listen on /dev/log: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("what the story did:\n%s", h.Transcript())
		}
		if t.Skipped() {
			h.control.tell(request{Skipped: "left out by the story; see above"})
		}
	})
	story(h)
	if h.compares() && !t.Failed() && !t.Skipped() {
		h.agree(h.syslog.whole())
	}
}

// Transcript is what the story did so far, and what was logged.
func (h *Host) Transcript() string {
	h.mu.Lock()
	text := h.transcript.String()
	h.mu.Unlock()
	return text + "--- syslog\n" + h.syslog.text()
}

// note adds to the transcript.
func (h *Host) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.transcript.WriteString(Brief(fmt.Sprintf(format+"\n", args...)))
}

// Brief is a text without the middle of what is long: the transcript of a story that
// lists all files of the machine is read by somebody.
func Brief(text string) string {
	const lines, columns = 15, 400 // at either end; of each line
	all := strings.SplitAfter(text, "\n")
	if left := len(all) - 2*lines; left > 1 {
		all = slices.Concat(all[:lines], []string{fmt.Sprintf("... %d lines are left out\n", left)}, all[len(all)-lines:])
	}
	for i, l := range all {
		if left := len(l) - columns; left > 40 {
			all[i] = fmt.Sprintf("%s ... %d bytes are left out\n", l[:columns], left)
		}
	}
	return strings.Join(all, "")
}

// check fails the story where err is not nil.
func (h *Host) check(err error) {
	h.T.Helper()
	if err != nil {
		h.T.Fatal(err)
	}
}

// Need leaves the story out where a program, a PAM module, or a file by its whole
// path, is not installed.
func (h *Host) Need(programs ...string) {
	h.T.Helper()
	for _, p := range programs {
		_, err := exec.LookPath(p)
		if strings.HasSuffix(p, ".so") {
			_, err = os.Stat(filepath.Join(pamDir(), p))
		}
		if filepath.IsAbs(p) {
			_, err = os.Stat(p)
		}
		if err != nil {
			reason := NeedsProgram + " " + p
			h.control.tell(request{Skipped: reason})
			h.T.Skip(reason)
		}
	}
}

// WriteFile writes a file, by default root:root 0644, and makes the directories
// on the way to it.
func (h *Host) WriteFile(path, text string, mode ...os.FileMode) {
	h.T.Helper()
	h.check(os.MkdirAll(filepath.Dir(path), 0o755))
	perm := os.FileMode(0o644)
	if len(mode) > 0 {
		perm = mode[0]
	}
	h.check(os.WriteFile(path, []byte(text), perm))
	h.check(os.Chmod(path, perm))
}

// ReadFile returns a file's text.
func (h *Host) ReadFile(path string) string {
	h.T.Helper()
	text, err := os.ReadFile(path)
	h.check(err)
	return string(text)
}

// Mkdir makes a directory with a mode and an owner.
func (h *Host) Mkdir(path string, mode uint32, uid, gid int) {
	h.T.Helper()
	h.check(os.MkdirAll(path, 0o755))
	h.check(os.Chown(path, uid, gid))
	h.check(unix.Chmod(path, mode))
}

// Names are the names in a directory as root sees it, hidden ones too; nil
// where there is no such directory.
func (h *Host) Names(dir string) []string {
	h.T.Helper()
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	h.check(err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Exists reports whether a name exists, also as a dangling symlink.
func (h *Host) Exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Mode is a file's permission bits with set-id and sticky, and its owner.
func (h *Host) Mode(path string) (mode uint32, uid, gid int) {
	h.T.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		h.T.Fatalf("lstat %s: %v", path, err)
	}
	return st.Mode & 0o7777, int(st.Uid), int(st.Gid)
}

// PAM replaces /etc/pam.d/SERVICE by these lines.
func (h *Host) PAM(service string, lines ...string) {
	h.T.Helper()
	h.WriteFile("/etc/pam.d/"+service, strings.Join(h.asking(lines), "\n")+"\n")
}

// Stack is a small complete PAM stack: root is believed, others give a
// password; the session part is given.
func Stack(session ...string) []string {
	return append([]string{
		"auth     sufficient pam_rootok.so",
		"auth     required   pam_unix.so",
		"account  required   pam_permit.so",
		"password required   pam_deny.so",
	}, session...)
}

// pamDir is where libpam of this machine finds its modules.
func pamDir() string {
	found, _ := filepath.Glob("/usr/lib/*-linux-gnu*/security/pam_unix.so")
	for _, f := range append(found, "/usr/lib64/security/pam_unix.so", "/usr/lib/security/pam_unix.so", "/lib/security/pam_unix.so") {
		if _, err := os.Stat(f); err == nil {
			return filepath.Dir(f)
		}
	}
	return "/usr/lib/security"
}

// Module is the path of the installed module.
func (h *Host) Module() string { return filepath.Join(pamDir(), "pam_polyinst.so") }

// Install installs what `make build` left in build/: the module and the
// polyinst command.
func (h *Host) Install() {
	h.T.Helper()
	h.copyBuilt("pam_polyinst.so", h.Module())
	h.copyBuilt("polyinst", filepath.Join(toolDir, "polyinst"))
	_ = os.Remove("/etc/krb5.conf") // a package that one story needs brings it, and check speaks of it
	h.startReady()
}

func (h *Host) copyBuilt(name, to string) {
	h.T.Helper()
	content, err := os.ReadFile(filepath.Join(sourcePath, "build", name))
	if os.IsNotExist(err) {
		h.T.Fatalf("build/%s is missing: run make build first", name)
	}
	h.check(err)
	h.check(os.WriteFile(to, content, 0o755))
	h.check(os.Chmod(to, 0o755))
}

// Config writes the module's configuration. It makes nothing else: see Prepare.
func (h *Host) Config(toml string) {
	h.T.Helper()
	h.WriteFile(ConfigFile, toml)
}

// Prepare makes instance parents as `polyinst prepare` leaves them: root:root
// with no permissions.
func (h *Host) Prepare(paths ...string) {
	h.T.Helper()
	for _, p := range paths {
		h.Mkdir(p, 0, 0, 0)
	}
}

// Source is a file of the checkout.
func (h *Host) Source(path string) string { return filepath.Join(sourcePath, path) }

// Update offers a new text of a file of the checkout, which is taken only where
// the tests run with UPDATE=1 in their environment.
func (h *Host) Update(path, text string) { h.control.tell(request{File: path, Text: text}) }

// Built is the path of a program of the tests: tests/chosts/NAME.c or the Go
// program tests/NAME. It is built once per run.
func (h *Host) Built(name string) string {
	h.T.Helper()
	path, err := h.control.build(name)
	h.check(err)
	return path
}

// MountNS is the id of a process's mount namespace, as in "mnt:[4026531841]".
func (h *Host) MountNS(pid int) string {
	h.T.Helper()
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	h.check(err)
	return ns
}

// Fifo makes a fifo that everybody can write to.
func (h *Host) Fifo(path string) {
	h.T.Helper()
	h.check(unix.Mkfifo(path, 0o622))
	h.check(unix.Chmod(path, 0o622))
}

// ReadFifo waits until somebody has written to a fifo and closed it, and
// returns what was written.
func (h *Host) ReadFifo(path string) string {
	h.T.Helper()
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	h.check(err)
	// Opened without blocking and watched by the runtime's poller, so that
	// the deadline holds; a fifo polls as readable only once it was opened
	// for writing.
	defer unix.Close(fd)
	var text []byte
	deadline := time.Now().Add(Patience)
	buffer := make([]byte, 4096)
	for {
		left := int(time.Until(deadline).Milliseconds())
		if left <= 0 {
			h.T.Fatalf("nobody wrote to %s within %v; so far %q", path, Patience, text)
		}
		if ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, left); err != nil || ready == 0 {
			continue
		}
		n, err := unix.Read(fd, buffer)
		text = append(text, buffer[:max(n, 0)]...)
		if err == nil && n == 0 {
			return string(text)
		}
	}
}

// Match fails the story where text does not match a regular expression.
func (h *Host) Match(what, text, pattern string) {
	h.T.Helper()
	if !regexp.MustCompile(pattern).MatchString(text) {
		h.T.Errorf("%s does not match %q:\n%s", what, pattern, text)
	}
}

// Equal fails the story where two values differ.
func Equal[V comparable](h *Host, what string, got, want V) {
	h.T.Helper()
	if got == want {
		return
	}
	g, w := any(got), any(want)
	if g, ok := g.(string); ok && len(g)+len(w.(string)) > 2000 {
		a, b := strings.Split(g, "\n"), strings.Split(w.(string), "\n")
		n := 0
		for n < min(len(a), len(b)) && a[n] == b[n] {
			n++
		}
		h.T.Errorf("%s: they differ from line %d on (of %d and %d): got\n%s\nwant\n%s", what, n+1, len(a), len(b),
			Brief(strings.Join(a[n:], "\n")), Brief(strings.Join(b[n:], "\n")))
		return
	}
	h.T.Errorf("%s: got %#v, want %#v", what, got, want)
}

// FileID is a directory's identity, "device:inode": what `stat -c %d:%i` prints.
func (h *Host) FileID(path string) string {
	h.T.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		h.T.Fatalf("stat %s: %v", path, err)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
