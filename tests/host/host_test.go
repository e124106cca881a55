package host_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

func TestMain(m *testing.M) { host.Main(m) }

// kinds are the two ways in which a host can be made.
func kinds(t *testing.T, story func(t *testing.T, h *host.Host)) {
	t.Run("overlay", func(t *testing.T) {
		host.Run(t, func(h *host.Host) { story(t, h) })
	})
	t.Run("copied", func(t *testing.T) {
		host.Run(t, func(h *host.Host) { story(t, h) }, host.Copied())
	})
}

// A host is a machine of its own: users, processes, directories, network.
func TestHostIsAMachine(t *testing.T) {
	kinds(t, func(t *testing.T, h *host.Host) {
		alice := h.AddUser("alice", host.User{Groups: []string{"wheel"}})
		host.Equal(h, "groups", h.MustRun("id", "-Gn", "alice"), "alice wheel")
		host.Equal(h, "groups of a process", h.Command("id", "-Gn").As(alice).Must(), "alice wheel")
		host.Equal(h, "host name", h.MustRun("uname", "-n"), host.Name)
		for _, dir := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
			if names := h.Names(dir); len(names) > 0 {
				t.Errorf("%s is not empty: %v", dir, names)
			}
			mode, _, _ := h.Mode(dir)
			host.Equal(h, dir, mode, 0o1777)
		}
		h.Command("touch", "/tmp/mine", "/dev/shm/mine").As(alice).Must()
		if n := len(strings.Split(h.MustRun("ps", "axo", "pid="), "\n")); n > 4 {
			t.Errorf("%d processes in a new host", n)
		}
		h.Match("loopback", h.ReadFile("/proc/net/fib_trie"), `127\.0\.0\.1`)
		host.Equal(h, "no other interface", strings.Count(h.ReadFile("/proc/net/dev"), ":"), 1)
		h.Match("descriptors of a command", h.MustRun("ls", "-m", "/proc/self/fd"), `^0, 1, 2, 3$`) // 3: ls's own
	})
}

// Real PAM, syslog, terminals and a password work.
func TestLogin(t *testing.T) {
	kinds(t, func(t *testing.T, h *host.Host) {
		h.PAM("su", host.Stack("session required pam_unix.so")...)
		alice := h.AddUser("alice")
		h.AddUser("bob")
		p := h.Command("su", "bob", "-c", "id -un; tty").As(alice).OnPty()
		p.Expect("Password: ")
		p.Send(host.Password + "\n")
		p.Expect("bob\r\n/dev/pts/0")
		host.Equal(h, "su", p.Wait().Code, 0)
		l := h.WaitLog(`su: pam_unix\(su:session\): session opened for user bob`)
		host.Equal(h, "severity", l.Severity, 6)
		h.ForgetLog()
		host.Equal(h, "log", len(h.Syslog()), 0)
	})
}

// machine is what a story must never change of the machine itself.
func machine(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for _, f := range []string{"/proc/self/mountinfo", "/etc/passwd", "/etc/shadow", "/etc/group", "/proc/sys/kernel/hostname"} {
		content, _ := os.ReadFile(f)
		text.Write(content)
	}
	out, _ := exec.Command("sh", "-c", "ls -lA --time-style=full-iso /etc /etc/pam.d /dev /dev/pts /usr/local/sbin; ls -A /home /srv /run /dev/shm").CombinedOutput()
	text.Write(out)
	return text.String()
}

// Whatever a story does, the machine stays as it was, and nothing of the host
// is left.
func TestMachineIsUntouched(t *testing.T) {
	if host.Inside() {
		kinds(t, upset)
		return
	}
	before := machine(t)
	kinds(t, upset)
	if after := machine(t); after != before {
		t.Errorf("the machine changed.\nbefore:\n%s\nafter:\n%s", before, after)
	}
}

func upset(t *testing.T, h *host.Host) {
	h.AddUser("mallory")
	h.PAM("other", "auth required pam_deny.so")
	h.WriteFile("/usr/local/sbin/left-behind", "")
	h.WriteFile("/dev/shm/left-behind", "")
	h.WriteFile("/home/left-behind", "")
	h.MustRun("rm", "-rf", "/dev/zero", "/etc/hosts")
	h.MustRun("hostname", "stolen")
	h.MustRun("mount", "--make-rshared", "/")
	h.MustRun("mount", "-t", "tmpfs", "tmpfs", "/mnt")
	h.Sh("setsid -f sleep 1000 >/dev/null 2>&1")
	if err := os.WriteFile(h.Source("go.mod"), nil, 0o644); err == nil {
		t.Error("the checkout can be written to")
	}
}

// A story that is left out says so outside.
func TestSkip(t *testing.T) {
	host.Run(t, func(h *host.Host) { h.Need("a-program-that-nobody-has") })
}

// What is long is cut in the middle, and what is not stays as it is.
func TestBrief(t *testing.T) {
	for _, text := range []string{"", "one\n", strings.Repeat("line\n", 30), strings.Repeat("x", 400) + "\n"} {
		if got := host.Brief(text); got != text {
			t.Errorf("%d bytes become %q", len(text), got)
		}
	}
	got := host.Brief("first\n" + strings.Repeat("line\n", 1000) + strings.Repeat("y", 1000) + "\nlast\n")
	for _, want := range []string{"first\n", "\n... 974 lines are left out\n", "y ... 601 bytes are left out\nlast\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}
