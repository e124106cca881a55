// Package demo tells what pam_polyinst does as a story that can be read: `make
// demo` prints it, with real logins in a disposable host. As a test it holds
// that what is told is true.
package demo

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
)

func TestMain(m *testing.M) { host.Main(m) }

const config = `[[polydir]]
path            = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method          = "user"
except          = ["root"]

[[polydir]]
path            = "/var/tmp"
instance_prefix = "/var/lib/polyinst/var-tmp/"
method          = "tmpdir"
except          = ["root"]

[[polydir]]
path   = "/dev/shm"
method = "tmpfs"
tmpfs  = { size = "64M" }
except = ["root"]
`

// teller prints the story while it happens.
type teller struct{ h *host.Host }

func (t teller) chapter(title string) {
	fmt.Printf("\n%s\n%s\n\n", title, strings.Repeat("-", len(title)))
}

func (t teller) say(text string) { fmt.Printf("%s\n\n", text) }

// shown prints a text indented, as output or the content of a file.
func (t teller) shown(text string) {
	for line := range strings.Lines(strings.TrimSpace(text) + "\n") {
		fmt.Print("    ", line)
	}
	fmt.Println()
}

// ran prints what was typed and what came of it, and holds that all the wanted
// words stand in it.
func (t teller) ran(typed string, r host.Result, code int, want ...string) {
	t.h.T.Helper()
	out := strings.TrimSpace(r.Stdout + r.Stderr)
	text := "# " + typed
	if out != "" {
		text += "\n" + out
	}
	if r.Code != 0 {
		text += fmt.Sprintf("\n[exit status %d]", r.Code)
	}
	t.shown(text)
	if r.Code != code {
		t.h.T.Errorf("%s: exit status %d, want %d", typed, r.Code, code)
	}
	for _, w := range want {
		if !strings.Contains(out, w) {
			t.h.T.Errorf("%s: %q is not in %q", typed, w, out)
		}
	}
}

// root runs a command as root, without a session of its own.
func (t teller) root(command string, want ...string) {
	t.h.T.Helper()
	t.ran(command, t.h.Cmd("sh", "-c", command), 0, want...)
}

// su runs a command in a session of a user.
func (t teller) su(user, command string, code int, want ...string) {
	t.h.T.Helper()
	typed := fmt.Sprintf(`su %s -c "%s"`, user, command)
	t.ran(typed, t.h.Su(user, command), code, want...)
}

func TestDemo(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("sshd", "ssh", "ssh-keygen")
		tell := teller{h}
		fmt.Println("This is a disposable copy of this machine: it is gone when the story ends.")
		install(tell)
		twoUsers(tell)
		secondSession(tell)
		sharedMemory(tell)
		mistyped(tell)
		killed(tell)
		fmt.Println("That was the story. namespace.conf.example has every key, with what it is for.")
	})
}

func install(tell teller) {
	h := tell.h
	h.Install()
	h.AddUser("alice")
	h.AddUser("bob")
	h.Config(config)
	for _, service := range []string{"su", "sshd"} {
		h.PAM(service, host.Stack("session  required   pam_polyinst.so")...)
	}
	tell.chapter("1. What the administrator does")
	tell.say("The configuration names the directories that each user shall have to themselves:")
	tell.root("cat " + host.ConfigFile)
	tell.root("polyinst prepare", "made /var/lib/polyinst/tmp")
	tell.root("polyinst check", "no problem")
	tell.say("and one line goes to the end of the PAM stacks of su and sshd:")
	tell.root("tail -n 1 /etc/pam.d/su /etc/pam.d/sshd", "pam_polyinst.so")
}

func twoUsers(tell teller) {
	tell.chapter("2. Alice and Bob each have a /tmp")
	tell.su("alice", "echo the treasure is under the oak > /tmp/secret; ls -l /tmp", 0, "secret")
	tell.say("Bob looks for it, and finds an empty directory:")
	tell.su("bob", "ls -A /tmp | wc -l; cat /tmp/secret", 1, "No such file")
	tell.say("The public /tmp, which is root's, has nothing of it either:")
	tell.su("root", "touch /tmp/public; ls -A /tmp", 0, "public")
	tell.root("ls -l /var/lib/polyinst/tmp", "alice", "bob")
}

func secondSession(tell teller) {
	h := tell.h
	tell.chapter("3. Alice's second session, by ssh, sees what her first one wrote")
	s := h.Sshd()
	r := s.SSH("alice", "cat /tmp/secret")
	tell.ran("ssh alice@localhost cat /tmp/secret", r, 0, "under the oak")
	r = s.SSH("bob", "cat /tmp/secret")
	tell.ran("ssh bob@localhost cat /tmp/secret", r, 1, "No such file")
}

func sharedMemory(tell teller) {
	tell.chapter("4. /dev/shm is a new tmpfs for each session")
	tell.su("alice", "df -h --output=fstype,size,target /dev/shm; touch /dev/shm/mine; ls /dev/shm", 0, "64M", "mine")
	tell.su("alice", "ls -A /dev/shm | wc -l", 0, "0")
}

func mistyped(tell teller) {
	h := tell.h
	tell.chapter("5. A slip of the pen locks nobody out for good")
	h.Config(strings.Replace(config, "method ", "methud ", 1))
	h.ForgetLog()
	tell.say("The administrator has written \"methud\". A session without its private directories\n" +
		"would be a leak, so Alice is refused:")
	tell.su("alice", "ls /tmp", 1)
	tell.say("The log says what is wrong, where, and what was probably meant:")
	for _, line := range h.ModuleLog() {
		tell.shown(line.String())
	}
	tell.say("Root gets in, to repair it:")
	tell.su("root", "polyinst check", 1, "methud", "method")
	h.Config(config)
	tell.say("Repaired:")
	tell.su("alice", "cat /tmp/secret", 0, "under the oak")
}

func killed(tell teller) {
	h := tell.h
	tell.chapter("6. What a killed session leaves, polyinst gc removes")
	tell.say("/var/tmp is a new directory for each session, removed at its end. Here su is killed,\n" +
		"so that nobody removes it:")
	p := h.Start("su", "alice", "-c", "touch /var/tmp/half-done; echo pid=$$; exec cat")
	program, err := strconv.Atoi(p.Expect(`pid=(\d+)`)[1])
	if err != nil {
		h.T.Fatal(err)
	}
	p.KillHard()
	tell.root("ls -A /var/lib/polyinst/var-tmp", ".tmpdir.")
	tell.say("As long as a program that Alice started runs on, it keeps its directory:")
	tell.root("polyinst gc", "kept /var/lib/polyinst/var-tmp/.tmpdir.", "in use")
	p.CloseInput()
	waitForEnd(h, program)
	tell.say("When that has ended, too:")
	tell.root("polyinst gc", "removed /var/lib/polyinst/var-tmp/.tmpdir.")
	tell.root("ls -A /var/lib/polyinst/var-tmp | grep -c tmpdir || true", "0")
}

// waitForEnd returns when a process has left its namespaces.
func waitForEnd(h *host.Host, pid int) {
	h.T.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		h.T.Fatalf("pidfd_open %d: %v", pid, err)
	}
	defer unix.Close(fd)
	n, err := 0, error(unix.EINTR)
	for err == unix.EINTR {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(host.Patience.Milliseconds()))
	}
	if n != 1 {
		h.T.Fatalf("process %d did not end within %v (%v)", pid, host.Patience, err)
	}
}
