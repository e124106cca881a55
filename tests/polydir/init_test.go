package polydir

import (
	"runtime"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// pam_namespace's six arguments; in the finished view, before the session; on a new
// instance once, and with "always" at each open.
func TestInit(t *testing.T) {
	for when, runs := range map[string]int{"new": 1, "always": 3} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.WithInit(`init_when = "`+when+`"`), []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				kit.InitScript(h, `echo "$# $*" >> /tmp/ran; echo to the log; echo more >&2`)
				for range 3 {
					h.MustRun("su", "alice", "-c", "test -s /tmp/ran")
				}
				lines := strings.Split(strings.TrimSpace(h.ReadFile(kit.Instance("alice")+"/ran")), "\n")
				host.Equal(h, "runs", len(lines), runs)
				host.Equal(h, "arguments", lines[0], "6 /tmp "+kit.Instance("alice")+" 1 alice 1 1")
				if runs > 1 {
					host.Equal(h, "the second time", lines[1], "6 /tmp "+kit.Instance("alice")+" 0 alice 1 1")
				}
				h.WaitLog(`polydir "/tmp": init: to the log`)
				h.WaitLog(`polydir "/tmp": init: more`)
			})
		})
	}
}

// Nothing of the host leaks into the script.
func TestInitIsClean(t *testing.T) {
	kit.Story(t, kit.WithInit(), []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		kit.InitScript(h, `env | sort > /tmp/env; ls /proc/self/fd | wc -l > /tmp/fds; umask > /tmp/umask; pwd > /tmp/pwd
grep -E 'SigBlk|SigIgn|^Uid|^Groups' /proc/self/status > /tmp/status; readlink /proc/$$/fd/0 > /tmp/stdin`)
		tr := h.PamHost("setenv:SECRET=x", "umask:0", "sigign:13", "cwd:/tmp", "user=alice", "start", "acct", "open", "close", "end")
		tr.RC("open", host.PAMSuccess)
		at := kit.Instance("alice") + "/"
		host.Equal(h, "environment", h.ReadFile(at+"env"), "HOME=/\nLC_ALL=C\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n")
		host.Equal(h, "umask", h.ReadFile(at+"umask"), "0022\n")
		host.Equal(h, "working directory", h.ReadFile(at+"pwd"), "/\n")
		host.Equal(h, "stdin", h.ReadFile(at+"stdin"), "/dev/null\n")
		h.Match("signals", h.ReadFile(at+"status"), `(?s)Uid:\s0\s0\s0\s0.*Groups:\s*\n.*SigBlk:\s0+\nSigIgn:\s0+\n`)
	})
}

// The worker is off the host's terminal and process group: a ^Z there stops
// nobody. Its child, the script, sees it.
func TestWorkerIsItsOwnSession(t *testing.T) {
	kit.Story(t, kit.WithInit(), []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		kit.InitScript(h, `awk '{print $1, $5, $6, $7}' /proc/$PPID/stat > /tmp/stat`)
		h.PamHost(kit.Steps("open", "close", "end")...).RC("open", host.PAMSuccess)
		f := strings.Fields(h.ReadFile(kit.Instance("alice") + "/stat"))
		if f[0] != f[1] || f[0] != f[2] || f[3] != "0" {
			t.Errorf("worker %s is of process group %s, session %s, terminal %s", f[0], f[1], f[2], f[3])
		}
	})
}

// A script that fails refuses the session, and the next one begins anew.
func TestInitThatFails(t *testing.T) {
	for name, c := range map[string]struct{ body, says string }{
		"exit status": {"touch /tmp/half; exit 3", "exited with status 3"},
		"killed":      {"kill -9 $$", "killed by SIGKILL"},
		"too slow":    {"exec sleep 60", "did not end within 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.WithInit(`init_timeout = "1s"`), []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				kit.InitScript(h, c.body)
				host.Equal(h, "admitted", kit.Admitted(h, "alice"), false)
				h.WaitLog(c.says)
				kit.InitScript(h, "test ! -e /tmp/half; exit $?")
				kit.SeesOwnTmp(h, "alice", true)
			})
		})
	}
}

func TestInitThatMayNotRun(t *testing.T) {
	for name, spoil := range map[string]string{
		"absent":         "rm " + kit.InitDir + "tmp.init",
		"not executable": "chmod 644 " + kit.InitDir + "tmp.init",
		"of a user":      "chown 4000 " + kit.InitDir + "tmp.init",
		"writable":       "chmod 775 " + kit.InitDir + "tmp.init",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.WithInit(), []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				kit.InitScript(h, "exit 0")
				h.Sh(spoil)
				host.Equal(h, "admitted", kit.Admitted(h, "alice"), false)
				h.WaitLog("tmp.init")
				host.Equal(h, "instances", len(kit.Settled(h, 0)), 0)
			})
		})
	}
}

// A worker that dies while its script runs leaves no instance that counts.
func TestKilledInInit(t *testing.T) {
	kit.Story(t, kit.WithInit(), []string{"pamhost", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Fifo("/run/in")
		kit.InitScript(h, "touch /tmp/half; echo running > /run/in; exec sleep 60")
		p := h.PamHostCommand(kit.Steps("open", "end")...).Start()
		h.ReadFifo("/run/in")
		p.KillHard()
		kit.InitScript(h, "test ! -e /tmp/half && touch /tmp/whole")
		h.MustRun("su", "alice", "-c", "test -e /tmp/whole")
	})
}

func TestSkel(t *testing.T) {
	config := `
[[polydir]]
path            = "$HOME"
instance_prefix = "/var/lib/polyinst/home/"
method          = "user"
skel            = true
except          = ["root"]
`
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		u := h.AddUser("alice")
		h.Sh("rm -rf /etc/skel; mkdir -p /etc/skel/bin; echo hello > /etc/skel/.profile; ln -s .profile /etc/skel/link; chmod 700 /etc/skel/bin")
		h.MustRun("su", "alice", "-c", "cd; grep -q hello .profile && test -L link && test -O bin && echo mine > new")
		at := "/var/lib/polyinst/home/alice/"
		_, uid, gid := h.Mode(at + ".profile")
		host.Equal(h, "owner", [2]int{uid, gid}, [2]int{u.UID, u.UID})
		h.MustRun("su", "alice", "-c", "cd; rm .profile")
		h.MustRun("su", "alice", "-c", "cd; test ! -e .profile && test -e new") // filled once
	})
}

// Twenty first logins with a script: it runs once.
func TestInitRunsOnce(t *testing.T) {
	kit.Story(t, kit.WithInit(), []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		kit.InitScript(h, "echo x >> /tmp/ran")
		h.Sh("for i in $(seq 20); do su alice -c 'test -s /tmp/ran' || echo FAILED & done; wait")
		host.Equal(h, "runs", h.ReadFile(kit.Instance("alice")+"/ran"), "x\n")
	})
}

// Nor do the keys of whoever has started the host: what a script keeps in its
// session keyring, they would find in theirs.
func TestInitHasItsOwnKeys(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("calls keyctl(2) by its number")
	}
	kit.Story(t, kit.WithInit(), []string{"su"}, func(h *host.Host) {
		h.Need("perl")
		alice := h.AddUser("alice")
		h.AddUser("bob")
		kit.InitScript(h, `grep -c alices-key /proc/keys
perl -e 'syscall(248, $t="user", $n="scripts-key", $k="secret", 6, -3) > 0 or die "add_key: $!"'`)
		// KEYCTL_JOIN_SESSION_KEYRING; add_key(2) into KEY_SPEC_SESSION_KEYRING; KEYCTL_SEARCH
		out := h.Command("perl", "-e", `syscall(250, 1, 0) > 0 && syscall(248, $t="user", $n="alices-key", $k="secret", 6, -3) > 0 or die "$!";
system("su bob -c true") == 0 or die; print syscall(250, 10, -3, $t="user", $n="scripts-key", 0) > 0 ? "found" : "not found"`).
			As(alice).Dir("/").Stdin(host.Password + "\n").Must()
		host.Equal(h, "the script's key in alice's keyring", out, "not found")
		h.WaitLog("init: 0$")
	})
}

// A polydir that covers the script's own path leads to no other script.
func TestInitIsJudgedWhereItRuns(t *testing.T) {
	config := `
[[polydir]]
path            = "/srv/scripts"
instance_prefix = "/var/lib/polyinst/scripts/"
method          = "user"
except          = ["root"]
` + kit.OwnTmp + "init = \"/srv/scripts/tmp.init\"\ninit_when = \"always\"\n"
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.WriteFile("/srv/scripts/tmp.init", "#!/bin/sh\n", 0o755)
		h.Mkdir("/var/lib/polyinst/scripts/alice", 0o755, 0, 0)
		h.WriteFile("/var/lib/polyinst/scripts/alice/tmp.init", "#!/bin/sh\ntouch /run/owned\n", 0o755)
		h.MustRun("chown", "alice", "/var/lib/polyinst/scripts/alice/tmp.init")
		host.Equal(h, "admitted", kit.Admitted(h, "alice"), false)
		if h.Exists("/run/owned") {
			t.Error("alice's script ran as root")
		}
	})
}

// What the host has open (keys, connections) is closed in the worker before Go
// starts, also where it would be inherited by every program.
func TestWorkerHoldsNothingOfTheHosts(t *testing.T) {
	kit.Story(t, kit.WithInit(), []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Forks()
		kit.InitScript(h, `ls -l /proc/$PPID/fd /proc/self/fd > "$2/open"; readlink /proc/$PPID/exe >> "$2/open"`)
		h.WriteFile("/root/key", "a key of the host", 0o600)
		h.MustRun("sh", "-c", "exec 9</root/key; exec "+h.Built("pamhost")+" user=alice start open close end")
		seen := h.ReadFile(kit.Instance("alice") + "/open")
		h.Match("it was the worker that was looked at", seen, `(?s)socket:.*/pamhost`)
		if strings.Contains(seen, "/root/key") {
			t.Errorf("the worker or its script has the host's file open:\n%s", seen)
		}
	})
}
