package script

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/nstest"
)

// probe as the first argument makes this program a script that tells what no
// other program can.
const probe = "-probe"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == probe {
		var deathsig int32
		err := unix.Prctl(unix.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&deathsig)), 0, 0, 0)
		fmt.Println(unix.Signal(deathsig), err)
		return
	}
	nstest.Main(m)
}

// script writes an executable file into a directory of the test's.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(nstest.Dir(t), "script")
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func sh(t *testing.T, text string) Script {
	t.Helper()
	return Script{Path: script(t, "#!/bin/sh\n"+text), Timeout: 10 * time.Second}
}

// lines runs what must succeed, on a thread of its own as the worker has.
func lines(t *testing.T, s Script) []string {
	t.Helper()
	r, err := run(s)
	if err != nil {
		t.Fatalf("%v; output %q", err, r.Output)
	}
	return r.Output
}

func run(s Script) (Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return Run(s)
}

func program(path string, args ...string) Script {
	return Script{Path: path, Args: args, Timeout: 10 * time.Second}
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// wrong demands an error with these words, after the script's name.
func wrong(t *testing.T, path string, err error, words string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want %s", words)
	}
	if prefix := fmt.Sprintf("init script %q: ", path); !strings.HasPrefix(err.Error(), prefix) || !strings.Contains(err.Error(), words) {
		t.Errorf("got %s\nwant %s", err, prefix+words)
	}
}

func TestArgumentsAndOutput(t *testing.T) {
	s := sh(t, `printf '%s\n' "$#" "$1" "$2"; echo error >&2; printf 'no end \033'`)
	s.Args = []string{"/tmp", "a b"}
	same(t, lines(t, s), "2", "/tmp", "a b", "error", "no end \033")
}

func TestEnvironment(t *testing.T) {
	t.Setenv("LD_PRELOAD_OF_THE_USER", "x")
	same(t, lines(t, program("/usr/bin/env")), "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "HOME=/")
}

func TestWorkingDirectoryAndSession(t *testing.T) {
	t.Chdir(nstest.Dir(t))
	same(t, lines(t, program("/usr/bin/readlink", "/proc/self/cwd")), "/")
	f := strings.Fields(lines(t, program("/bin/cat", "/proc/self/stat"))[0])
	if pid, group, session := f[0], f[4], f[5]; group != pid || session != pid {
		t.Errorf("process %s in group %s, session %s", pid, group, session)
	}
}

func TestUmask(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077))
	same(t, lines(t, sh(t, "umask")), "0022")
	if now := unix.Umask(0o077); now != 0o077 {
		t.Errorf("the worker's umask is %04o now", now)
	}
}

func TestDescriptors(t *testing.T) {
	left, err := unix.Open("/etc/passwd", unix.O_RDONLY, 0) // without O_CLOEXEC
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(left)
	before := descriptors(t)
	out := lines(t, program("/bin/ls", "-l", "/proc/self/fd"))
	var got []string
	for _, line := range out[1:] {
		got = append(got, strings.Join(strings.Fields(line)[8:], " "))
	}
	// 3 is the directory that ls reads
	if len(got) != 4 || got[0] != "0 -> /dev/null" || !strings.HasPrefix(got[1], "1 -> pipe:") ||
		strings.TrimPrefix(got[1], "1") != strings.TrimPrefix(got[2], "2") || !strings.HasSuffix(got[3], "/fd") {
		t.Errorf("%q", got)
	}
	if _, err := run(program("/no/such")); err == nil {
		t.Error("no error")
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestStdinWithoutDevNull(t *testing.T) {
	if err := syscall.Mount("none", "/dev", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount("/dev", 0)
	same(t, lines(t, program("/usr/bin/readlink", "/proc/self/fd/0")), "/")
}

func TestSignals(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	signal.Ignore(unix.SIGHUP, unix.SIGUSR2)
	defer signal.Reset(unix.SIGHUP, unix.SIGUSR2)
	blocked := unix.Sigset_t{}
	blocked.Val[0] = 1 << (unix.SIGUSR1 - 1)
	var old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, &old); err != nil {
		t.Fatal(err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	before := signals(strings.Split(read(t, "/proc/thread-self/status"), "\n"))
	const none = "0000000000000000"
	same(t, signals(lines(t, program("/bin/cat", "/proc/self/status"))), "SigBlk:\t"+none, "SigIgn:\t"+none)
	same(t, signals(strings.Split(read(t, "/proc/thread-self/status"), "\n")), before...)
	if slices.Contains(before, "SigBlk:\t"+none) || slices.Contains(before, "SigIgn:\t"+none) {
		t.Error("the test shows nothing:", before)
	}
}

func signals(status []string) []string {
	return slices.DeleteFunc(slices.Clone(status), func(l string) bool {
		return !strings.HasPrefix(l, "SigBlk:") && !strings.HasPrefix(l, "SigIgn:")
	})
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDiesWithTheWorker(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	same(t, lines(t, program(self, probe)), "killed <nil>")
}

// TestNamespace: the script sees what the calling thread alone sees.
func TestNamespace(t *testing.T) {
	s := sh(t, `ls "$1"`)
	dir := filepath.Dir(s.Path) + "/view"
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.Args = []string{dir}
	var got []string
	var failure error
	done := make(chan struct{})
	go func() { // the thread ends with its goroutine
		runtime.LockOSThread()
		defer close(done)
		if failure = unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); failure != nil {
			return
		}
		if failure = unix.Mount("none", dir, "tmpfs", 0, ""); failure != nil {
			return
		}
		if failure = os.WriteFile(dir+"/instance", nil, 0o600); failure != nil {
			return
		}
		var r Result
		r, failure = Run(s)
		got = r.Output
	}()
	<-done
	if failure != nil {
		t.Fatal(failure)
	}
	same(t, got, "instance")
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Error("the test shows nothing: all see the mount")
	}
}

func TestHowItEnds(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"echo said; exit 3", "exited with status 3"},
		{"echo said; kill -SEGV $$", "killed by SIGSEGV"},
		{"echo said; kill -40 $$", "killed by signal 40"},
	} {
		t.Run(c.want, func(t *testing.T) {
			s := sh(t, c.text)
			r, err := run(s)
			wrong(t, s.Path, err, c.want)
			same(t, r.Output, "said")
		})
	}
}

func TestCannotBeExecuted(t *testing.T) {
	dir := nstest.Dir(t)
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"mode", "#!/bin/sh\n", 0o644, "not executable"},
		{"interpreter", "#!/no/such\n", 0o755, "its interpreter does not exist"},
		{"text", "echo\n", 0o755, "not a program"},
		{"missing", "", 0, "cannot be started: no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := dir + "/" + c.name
			if c.mode != 0 {
				if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
					t.Fatal(err)
				}
			}
			_, err := run(program(path))
			wrong(t, path, err, c.want)
		})
	}
	var status unix.WaitStatus
	if pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Error("a child was left:", pid, err)
	}
}

func TestTimeout(t *testing.T) {
	s := sh(t, "sleep 1000 & echo $!; exec sleep 1000")
	s.Timeout = 300 * time.Millisecond
	began := time.Now()
	r, err := run(s)
	if took := time.Since(began); took < s.Timeout || took > 3*time.Second {
		t.Error("took", took)
	}
	wrong(t, s.Path, err, "did not end within 300ms")
	if len(r.Output) != 1 {
		t.Fatalf("output %q", r.Output)
	}
	for range 100 {
		if !alive(r.Output[0]) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Error("a process of the group is still there")
	_ = exec.Command("/bin/kill", "-9", r.Output[0]).Run()
}

// TestTimeoutOfTheLoud: output puts the end off for nobody, and is bounded.
func TestTimeoutOfTheLoud(t *testing.T) {
	s := program("/usr/bin/yes")
	s.Timeout = 300 * time.Millisecond
	r, err := run(s)
	wrong(t, s.Path, err, "did not end within 300ms")
	if len(r.Output) != maxLines || !r.Cut {
		t.Errorf("%d lines, cut %v", len(r.Output), r.Cut)
	}
}

func alive(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// TestBackground: the end is the script's own, whoever else holds its output,
// and silent or not.
func TestBackground(t *testing.T) {
	for _, c := range []struct{ name, command string }{{"silent", "sleep 1000"}, {"loud", "yes"}} {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			out := lines(t, sh(t, "echo first; trap '' PIPE; "+c.command+" & echo $! >&2"))
			if took := time.Since(began); took > 3*time.Second {
				t.Error("took", took)
			}
			if out[0] != "first" {
				t.Errorf("%q", out[0])
			}
			if c.name == "silent" && (len(out) != 2 || !alive(out[1])) {
				t.Errorf("%q: what was left was killed", out)
			}
			for _, line := range out {
				if _, err := strconv.Atoi(line); err == nil {
					_ = exec.Command("/bin/kill", "-9", line).Run()
				}
			}
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	r, err := run(sh(t, "printf '%02000d\n' 0; i=0; while [ $i -lt 300 ]; do echo $i; i=$((i+1)); done"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Output) != maxLines || len(r.Output[0]) != maxLine || r.Output[99] != "98" || !r.Cut {
		t.Errorf("%d lines, the first of %d, cut %v: %q", len(r.Output), len(r.Output[0]), r.Cut, r.Output)
	}
}

// TestOutputInParts: how the kernel cuts what is written shows nowhere.
func TestOutputInParts(t *testing.T) {
	text := "one\n\ntwo\nthree"
	for size := 1; size <= len(text); size++ {
		var o output
		for part := range slices.Chunk([]byte(text), size) {
			o.add(part)
		}
		same(t, o.lines(), "one", "", "two", "three")
		if o.cut {
			t.Error("cut")
		}
	}
}

// TestDrain: what lies in the pipe when the script has ended is not lost,
// also if it is more than one read takes.
func TestDrain(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := start(sh(t, "printf '%059999d\nlast' 0"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	ended := []unix.PollFd{{Fd: int32(p.pidfd), Events: unix.POLLIN}}
	if n, err := unix.Poll(ended, 10_000); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := p.await(time.Second); err != nil {
		t.Error(err)
	}
	if got := p.output.lines(); len(got) != 2 || got[1] != "last" {
		t.Errorf("%d lines", len(got))
	}
}

// TestClosedOutput: a pipe at its end is always readable, and must not keep the
// worker busy until the script has ended too.
func TestClosedOutput(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := start(sh(t, "exec >&- 2>&-; sleep 0.2"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	if err := p.await(5 * time.Second); err != nil {
		t.Error(err)
	}
	if p.pipe >= 0 {
		t.Error("the pipe is still polled")
	}
}

// TestMoreThanThePipeHolds: the script is not kept waiting for its reader.
func TestMoreThanThePipeHolds(t *testing.T) {
	r, err := run(sh(t, "printf '%0300000d\nlast' 0"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Output) != 2 || r.Output[1] != "last" {
		t.Errorf("%d lines", len(r.Output))
	}
}

// TestExecContextIsCleared: over attr/exec of the thread lies a device that
// reads as if a context were set, and answers each write, one of nothing as
// well, with ENOSPC (full(4)).
func TestExecContextIsCleared(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	attr := fmt.Sprintf("/proc/self/task/%d/attr/exec", unix.Gettid())
	over(t, "/dev/full", attr)
	s := sh(t, "echo ran")
	r, err := run(s)
	wrong(t, s.Path, err, "no space left on device")
	if len(r.Output) != 0 {
		t.Error("it ran")
	}
}

func TestNoExecContext(t *testing.T) {
	if err := clearExecContext("/proc/thread-self/attr/no-such"); err != nil {
		t.Error("without the file:", err)
	}
	if err := clearExecContext("/dev/null"); err != nil {
		t.Error("with an empty one:", err)
	}
	if err := clearExecContext(nstest.Dir(t)); err == nil {
		t.Error("an open that fails is passed over")
	}
}

func over(t *testing.T, from, to string) {
	t.Helper()
	if err := syscall.Mount(from, to, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal("bind mount over ", to, ": ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(to, 0) })
}

func TestCheck(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir,
		"d 0755 0 good", "f 0755 0 good/script", "f 0700 0 good/private",
		"l 0 good/link script", "l 1001 good/userlink script", "l 0 other "+dir+"/good",
		"f 0644 0 good/plain", "f 0755 1001 good/users", "f 0775 0 good/group", "f 0757 0 good/others",
		"d 0755 0 good/directory", "p 0755 0 good/fifo",
		"d 0775 0 group", "f 0755 0 group/script", "d 0755 1001 home", "f 0755 0 home/script",
		"d 1777 0 sticky", "f 0755 0 sticky/script", "l 0 good/away ../sticky/script",
		"d 0755 0 sticky/sub", "f 0755 0 sticky/sub/script")
	for _, c := range []struct{ path, want string }{
		{"/good/script", "/good/script"},
		{"/good/private", "/good/private"},
		{"/good/link", "/good/script"},
		{"/other/link", "/good/script"},
		{"/good/../good//script", "/good/script"},
		{"/good/userlink", "error: is a symbolic link owned by uid 1001"},
		{"/good/plain", "error: mode 0644: not executable"},
		{"/good/users", "error: owned by uid 1001"},
		{"/good/group", "error: mode 0775"},
		{"/good/others", "error: mode 0757"},
		{"/good/directory", "error: is a directory"},
		{"/good/fifo", "error: is a FIFO"},
		{"/good/missing", "error: does not exist"},
		{"/group/script", "error: mode 0775: only root"},
		{"/home/script", "error: owned by uid 1001: only root"},
		{"/sticky/script", "error: mode 1777: only root"},
		{"/sticky/sub/script", "error: mode 1777: only root"},
		{"/good/away", "error: mode 1777: only root"},
	} {
		t.Run(c.path, func(t *testing.T) {
			got, err := Check(dir + c.path)
			if want, ok := strings.CutPrefix(c.want, "error: "); ok {
				wrong(t, dir+c.path, err, want)
			} else if err != nil || got != dir+c.want {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
	for _, path := range []string{"", "bin/sh", "/"} {
		if _, err := Check(path); err == nil {
			t.Errorf("%q: no error", path)
		}
	}
}
