package tests

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// A rehearsal is a real session, and leaves /etc/pam.d and /run as they were.
func TestTry(t *testing.T) {
	story(t, ownTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		stacks := h.Sh("ls -lR /etc/pam.d; cat /etc/pam.d/*")
		ns := h.MustRun("readlink", "/proc/self/ns/mnt")
		inInstance(h, "try", "alice", h.MustRun("polyinst", "try", "alice", "--", "sh", "-c", place))
		out := h.MustRun("polyinst", "try", "alice", "--", "sh", "-c", "id -un; id -Gn; echo $HOME; touch /tmp/mine; readlink /proc/self/ns/mnt")
		h.Match("who", out, "^alice\nalice\n/home/alice\n")
		if strings.Contains(out, ns) {
			t.Errorf("the command ran in the host's namespace:\n%s", out)
		}
		h.Match("without a command", h.MustRun("polyinst", "try", "alice"), `(?s)^drwxrwxrwt.* /tmp\n.*nosuid.*\nmine$`)
		h.Match("the log", fmt.Sprint(h.ModuleLog()), `polyinst-try:session\): session opened for "alice"`)
		host.Equal(h, "PAM stacks", h.Sh("ls -lR /etc/pam.d; cat /etc/pam.d/*"), stacks)
		for _, name := range h.Names("/run") {
			if strings.HasPrefix(name, "polyinst-try") {
				t.Errorf("/run/%s is left", name)
			}
		}

		r := h.Cmd("polyinst", "try", "alice", "--", "sh", "-c", "exit 7")
		host.Equal(h, "a command that fails: exit status", r.Code, 1)
		h.Match("it says", r.Stderr, "the command ended with 7")
		h.Match("root is exempt", h.MustRun("polyinst", "try", "root"), "no polydir applies")
		host.Equal(h, "no user: exit status", h.Cmd("polyinst", "try").Code, 2)
		host.Equal(h, "two words: exit status", h.Cmd("polyinst", "try", "alice", "bob").Code, 2)
		host.Equal(h, "no such user: exit status", h.Cmd("polyinst", "try", "nobody-here").Code, 1)
		host.Equal(h, "as alice: exit status", h.Command("polyinst", "try", "alice").As(host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}).Run().Code, 1)
	})
}

// A session that is refused says why, and where a draft is meant, the draft is
// tried.
func TestTryRefused(t *testing.T) {
	story(t, ownTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("chmod", "755", parent)
		r := h.Cmd("polyinst", "try", "alice", "--", "touch", "/tmp/mine")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("why", r.Stdout, `REFUSED: polydir "/tmp": instance parent .* mode 0755, want 0000`)
		if h.Exists("/tmp/mine") {
			t.Error("the command ran")
		}
		h.WriteFile("/root/draft/namespace.conf", strings.Replace(ownTmp, "polyinst/tmp", "polyinst/other", 1))
		h.MustRun("polyinst", "prepare", "--conf", "/root/draft/namespace.conf")
		seen := h.MustRun("polyinst", "try", "alice", "--conf", "/root/draft/namespace.conf", "--", "sh", "-c", place)
		host.Equal(h, "the draft's", seen, h.Place(host.Parents+"/other/alice"))
		host.Equal(h, "an unknown argument: exit status", h.Cmd("polyinst", "try", "alice", "--arg", "debgu").Code, 2)
	})
}

// Rules for some services are tried by their name; a tmpdir ends with the
// rehearsal.
func TestTryAService(t *testing.T) {
	story(t, tmpdir+"services = [\"sshd\"]\n", nil, func(h *host.Host) {
		h.AddUser("alice")
		inPublic(h, "another service", h.MustRun("polyinst", "try", "alice", "--", "sh", "-c", place))
		seen := h.MustRun("polyinst", "try", "alice", "--service", "sshd", "--", "sh", "-c", place)
		if seen == h.Place("/tmp") {
			t.Error("the public /tmp")
		}
		host.Equal(h, "instances after it", len(instances(h)), 0)
	})
}
