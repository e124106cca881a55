package login

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

func TestSu(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "su-l"}, func(h *host.Host) {
		h.AddUser("alice")
		kit.InInstance(h, "su", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.MustRun("su", "alice", "-c", "echo mine > /tmp/note")
		kit.InInstance(h, "su -", "alice", h.MustRun("su", "-", "alice", "-c", kit.WhichTmp))
		host.Equal(h, "the note", h.MustRun("su", "-", "alice", "-c", "cat /tmp/note"), "mine")
		if names := h.Names("/tmp"); len(names) > 0 {
			t.Errorf("the public /tmp holds %v", names)
		}
		// As the polydir itself: owner, group and mode.
		mode, uid, gid := h.Mode(kit.Instance("alice"))
		host.Equal(h, "mode", mode, 0o1777)
		host.Equal(h, "owner", uid, 0)
		host.Equal(h, "group", gid, 0)
	})
}

// A session that is opened twice in one process, as by `su -` with pam_systemd's
// stack or by a stack that names the module twice, is open once.
func TestOpenTwice(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.PAM("su", host.Stack(kit.Session, kit.Session)...)
		h.AddUser("alice")
		seen := h.MustRun("su", "alice", "-c", kit.WhichTmp+"; grep -c ' /tmp ' /proc/self/mountinfo")
		at, mounts, _ := strings.Cut(seen, "\n")
		kit.InInstance(h, "su", "alice", at)
		host.Equal(h, "mounts on /tmp", mounts, "1")
	})
}

// A directory per session stays one, and so does the namespace.
func TestOpenTwiceWithTmpdir(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		tr := h.PamHost(kit.Steps("open", "snapshot:once", "open", "snapshot:twice", "root-exec:ls -A "+kit.TmpParent, "close", "close", "end")...)
		tr.RC("open", host.PAMSuccess)
		h.Unchanged("the second open", tr.Snapshot("once"), tr.Snapshot("twice"))
		if n := strings.Count(tr.Step("root-exec").Text, ".tmpdir."); n != 1 {
			t.Errorf("%d instances", n)
		}
	})
}

// su and runuser with --pty wait for the command by signalfd: a module that
// takes or delays SIGCHLD makes them hang.
func TestShortCommandsOnPty(t *testing.T) {
	for _, program := range []string{"su", "runuser"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, []string{"su", "runuser"}, func(h *host.Host) {
				h.AddUser("alice")
				args := []string{"su", "--pty", "alice", "-c", "true"}
				if program == "runuser" {
					args = []string{"runuser", "--pty", "-u", "alice", "--", "true"}
				}
				for i := range 100 {
					if r := h.OnPty(args...).Wait(); r.Code != 0 {
						t.Fatalf("run %d:\n%s", i, r)
					}
				}
				r := h.OnPty("su", "--pty", "alice", "-c", kit.WhichTmp).Wait()
				kit.InInstance(h, "su --pty", "alice", r.Out())
			})
		})
	}
}

// A user who is no root gives su the target's password on a terminal.
func TestSuFromUserToUser(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		p := h.Command("su", "bob", "-c", kit.WhichTmp).As(alice).OnPty()
		p.Expect("Password: ")
		p.Send(host.Password + "\n")
		p.Expect("\n")
		kit.InInstance(h, "su", "bob", p.Expect(`\d+:\d+`)[0])
		host.Equal(h, "su", p.Wait().Code, 0)
	})
}

func TestRunuser(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"runuser", "runuser-l"}, func(h *host.Host) {
		h.AddUser("alice")
		kit.InInstance(h, "runuser -c", "alice", h.MustRun("runuser", "alice", "-c", kit.WhichTmp))
		kit.InInstance(h, "runuser -l", "alice", h.MustRun("runuser", "-l", "alice", "-c", kit.WhichTmp))
	})
}

func TestSudo(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"sudo", "sudo-i", "su"}, func(h *host.Host) {
		h.Need("sudo")
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.WriteFile("/etc/sudoers", "root ALL=(ALL:ALL) ALL\nalice ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
		bob := h.Command("sudo", "-n", "-u", "bob", "sh", "-c", kit.WhichTmp).As(alice).Must()
		kit.InInstance(h, "sudo -u", "bob", bob)
		login := h.Command("sudo", "-n", "-i", "-u", "bob", "stat", "-c", "%d:%i", "/tmp").As(alice).Must()
		kit.InInstance(h, "sudo -i -u", "bob", login)
		kit.InPublic(h, "sudo to root", h.Command("sudo", "-n", "sh", "-c", kit.WhichTmp).As(alice).Must())
		// With a terminal of its own, sudo waits in another process.
		h.WriteFile("/etc/sudoers", "Defaults use_pty\nalice ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
		r := h.Command("sudo", "-n", "-u", "bob", "sh", "-c", kit.WhichTmp).As(alice).OnPty().Wait()
		kit.InInstance(h, "sudo with use_pty", "bob", r.Out())
	})
}

// sudo goes on after PAM_SESSION_ERR: a refused session must not be that.
func TestSudoIsRefused(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"sudo", "su"}, func(h *host.Host) {
		kit.Sudoers(h)
		h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir(kit.Instance("bob"), 0o777, 0, 0) // not sticky: refused
		for _, from := range []string{"root", "alice"} {
			r := h.Cmd("su", from, "-c", "sudo -u bob sh -c 'echo ran; "+kit.WhichTmp+"'")
			if r.Code == 0 || strings.Contains(r.Stdout, "ran") {
				t.Errorf("by %s: a refused session was opened:\n%s", from, r)
			}
		}
		// and where no worker answers: a ready one has limits of its own
		h.Forks()
		r := h.Cmd("prlimit", "--as=600000000:600000000", "sudo", "-u", "bob", "sh", "-c", "echo ran")
		if r.Code == 0 || strings.Contains(r.Stdout, "ran") {
			t.Errorf("without an answer, a session was opened:\n%s", r)
		}
		h.WaitLog("too low for the worker")
	})
}

func TestLoginOnPty(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.Need("login")
		h.PAM("login", host.Stack(kit.Session)[1:]...)
		h.AddUser("alice")
		p := kit.LogIn(h, "alice")
		p.Send("exit 7\n")
		p.Wait()
	})
}
