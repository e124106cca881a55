package namespaces

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// ssh, cron, at, su and sudo sessions of a user are in one namespace: what is
// mounted in one of them is seen in the others. Another user has another one.
func TestSharedByAllServices(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.OwnTmp), []string{"sshd", "cron", "atd", "su", "sudo"}, func(h *host.Host) {
		h.Need("sudo")
		alice := h.AddUser("alice")
		h.AddUser("bob")
		s := h.Sshd()
		first := s.Client(host.PublicKey, "alice", kit.ShowMountNS+"; cat").Start()
		shared := first.Expect(`mnt:\[\d+\]`)[0]
		h.MustRun("polyinst", "enter", "alice", "--", "mount", "-t", "tmpfs", "-o", "mode=1777", "by-one", "/mnt")
		see := kit.ShowMountNS + "; stat -fc %T /mnt; " + kit.WhichTmp
		for name, out := range map[string]string{
			"ssh":  s.Client(host.PublicKey, "alice", see).Must(),
			"cron": h.CronJob(alice, see),
			"at":   h.AtJob(alice, see),
			"su":   h.MustRun("su", "alice", "-c", see),
			"sudo": h.MustRun("sudo", "-u", "alice", "sh", "-c", see),
		} {
			lines := strings.Split(out, "\n")
			host.Equal(h, name+": the namespace", lines[0], shared)
			host.Equal(h, name+": the mount of another session", lines[1], "tmpfs")
			kit.InInstance(h, name, "alice", lines[2])
		}
		lines := strings.Split(h.MustRun("su", "bob", "-c", see), "\n")
		if lines[0] == shared || lines[1] == "tmpfs" {
			t.Errorf("bob is in alice's namespace: %v", lines)
		}
		h.WaitLog(`session opened for "alice".* in mnt:\[\d+\] of the user's other sessions: /tmp -> /var/lib/polyinst/tmp/alice`)
		h.Match("list", h.MustRun("polyinst", "list"), `alice +sshd +\S+ +user `)
		if strings.Contains(h.MustRun("cat", "/proc/self/mountinfo"), "by-one") {
			t.Error("the mount reached the host")
		}
		first.CloseInput()
		first.Wait()
	})
}

// Nothing pins the namespace: with the last process it is gone, and what was
// mounted in it; the next session builds anew.
func TestSharedEndsWithTheLastProcess(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.OwnTmp+"[[polydir]]\npath = \"/mnt\"\nmethod = \"tmpfs\"\ntmpfs = { mode = \"1777\" }\nexcept = [\"root\"]\n"), []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		first := h.Start("su", "alice", "-c", "echo one > /mnt/file; echo ready; cat")
		first.Expect("ready")
		second := h.Start("su", "alice", "-c", "cat /mnt/file; cat")
		second.Expect("one")
		first.CloseInput()
		first.Wait()
		host.Equal(h, "after the first has ended", h.MustRun("su", "alice", "-c", "cat /mnt/file"), "one")
		second.CloseInput()
		second.Wait()
		host.Equal(h, "after all have ended", h.MustRun("su", "alice", "-c", "ls /mnt"), "")
		h.MustRun("polyinst", "gc")
		if left := kit.Records(h); len(left) > 0 {
			t.Errorf("gc left %v", left)
		}
	})
}

// A tmpdir lives as long as one of the sessions that share it.
func TestSharedTmpdir(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.Tmpdir), []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		first := h.Start("su", "alice", "-c", "echo one > /tmp/file; echo ready; cat")
		first.Expect("ready")
		second := h.Start("su", "alice", "-c", "cat /tmp/file; cat; cat /tmp/file")
		second.Expect("one")
		first.CloseInput()
		first.Wait()
		host.Equal(h, "instances", len(kit.Instances(h)), 1)
		second.CloseInput()
		second.Expect("one")
		second.Wait()
		host.Equal(h, "instances at the end", len(kit.Settled(h, 0)), 0)
		host.Equal(h, "the next session", h.MustRun("su", "alice", "-c", "ls /tmp"), "")
	})
}

// Fifty first sessions at once are in one namespace, in one tmpdir.
func TestSharedByFirstSessionsAtOnce(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.Tmpdir), []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		const sessions = 50
		h.WriteFile("/run/nest/mnt", "#!/bin/sh\n"+kit.ShowMountNS+"\n", 0o755)
		var processes [sessions]*host.Process
		for i := range processes {
			processes[i] = h.PamHostCommand(kit.Steps("open", "exec:"+kit.ShowMountNS, "pause", "close", "end")...).Start()
		}
		seen := map[string]int{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for _, p := range processes {
			wg.Go(func() {
				ns := p.Expect(`mnt:\[\d+\]`)[0]
				mu.Lock()
				seen[ns]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if len(seen) != 1 {
			t.Errorf("they are in %v", seen)
		}
		host.Equal(h, "instances", len(kit.Instances(h)), 1)
		for _, p := range processes {
			p.Send("\n")
			p.Wait()
		}
		host.Equal(h, "instances at the end", len(kit.Settled(h, 0)), 0)
	})
}

// A changed configuration is for new sessions, which share among themselves; the
// old namespace lives on.
func TestSharedByOneConfiguration(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.OwnTmp), []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		hold := kit.ShowMountNS + "; cat"
		first := h.Start("su", "alice", "-c", hold)
		before := first.Expect(`mnt:\[\d+\]`)[0]
		h.Config(kit.PerUser(kit.OwnTmp) + "mount_options = [\"noexec\"]\n")
		second := h.Start("su", "alice", "-c", hold)
		after := second.Expect(`mnt:\[\d+\]`)[0]
		if before == after {
			t.Error("a changed configuration has no effect")
		}
		host.Equal(h, "third session", h.MustRun("su", "alice", "-c", kit.ShowMountNS), after)
		h.Config(kit.PerUser(kit.OwnTmp))
		host.Equal(h, "as it was", h.MustRun("su", "alice", "-c", kit.ShowMountNS), before)
		for _, p := range []*host.Process{first, second} {
			p.CloseInput()
			p.Wait()
		}
	})
}

// Sessions inside sessions join as those outside do.
func TestSharedNested(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.OwnTmp), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		bob := h.Start("su", "bob", "-c", kit.ShowMountNS+"; cat")
		bobs := bob.Expect(`mnt:\[\d+\]`)[0]
		out := kit.InASession(h, "runuser bob -c '"+kit.ShowMountNS+"'; runuser root -c '"+kit.ShowMountNS+"'; "+kit.ShowMountNS+"; runuser alice -c '"+kit.ShowMountNS+"'")
		lines := strings.Split(out, "\n")
		host.Equal(h, "bob in alice's", lines[0], bobs)
		host.Equal(h, "root in alice's", lines[1], h.MountNS(1))
		host.Equal(h, "alice in alice's", lines[3], lines[2])
		bob.CloseInput()
		bob.Wait()
	})
}

// With private namespaces of other kinds they are shared too.
func TestSharedPrivateNamespaces(t *testing.T) {
	kit.Story(t, kit.PerUser(strings.TrimPrefix(private, "[namespace]\n")), []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		first := h.Start("su", "alice", "-c", kinds+"; ipcmk -M 64 >/dev/null; echo ready; cat")
		theirs := first.Expect(`(?s)ipc.*ready`)[0]
		host.Equal(h, "segments that the second session sees", h.MustRun("su", "alice", "-c", "ipcs -m | grep -c '^0x'"), "1")
		seen := h.MustRun("su", "alice", "-c", kinds)
		for _, ns := range strings.Fields(seen) {
			if !strings.Contains(theirs, ns) {
				t.Errorf("%s is another one", ns)
			}
		}
		first.CloseInput()
		first.Wait()
	})
}

// The host that is known is killed, and the user's own process is all that is
// left in the namespace: it is found. When that has gone into a user namespace of its
// own, where the user is root and has laid their own /etc and /tmp over these, nobody follows.
func TestSharedIsNeverTheUsersOwn(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.OwnTmp), []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Fifo("/run/go")
		h.MustRun("chmod", "666", "/run/go")
		// the shell goes where it is told by itself, so that its pid stays
		first := h.Start("su", "alice", "-c", `echo at=`+"$("+kit.ShowMountNS+`)
setsid sh -c 'read line < /run/go; exec unshare -Urm sh -c "mkdir -p /tmp/etc; mount --bind /tmp/etc /etc; mount -t tmpfs evil /tmp; echo evil; read line < /run/go"' &
echo child=$! shell=$$; exec cat`)
		shared := first.Expect(`at=(mnt:\[\d+\])`)[1]
		pids := first.Expect(`child=(\d+) shell=(\d+)`)
		child, shell := pids[1], pids[2]
		first.KillHard()
		first.CloseInput()
		h.MustRun("tail", "-s", "0.02", "--pid="+shell, "-f", "/dev/null")
		host.Equal(h, "by the process that is left", h.MustRun("su", "alice", "-c", kit.ShowMountNS), shared)
		h.WriteFile("/run/go", "\n")
		first.Expect("evil")
		h.ForgetLog()
		// and as if its pid had been that of a host
		h.Sh(`sed -i -E 's/"(HostPID|Worker)":[0-9]+/"\1":` + child + `/g' /run/polyinst/mnt.*`)
		see := strings.Split(h.MustRun("su", "alice", "-c", "grep -c evil /proc/self/mountinfo; ls /etc/passwd; "+kit.WhichTmp), "\n")
		h.WaitLog(`session opened for "alice" \(uid 2001\) in mnt:\[\d+\]: /tmp`) // a new one, be it of the same number
		host.Equal(h, "mounts of the user's own", see[0], "0")
		host.Equal(h, "/etc", see[1], "/etc/passwd")
		kit.InInstance(h, "a new one", "alice", see[2])
		h.WriteFile("/run/go", "\n")
	})
}

// One whose view is not as recorded is not joined; who is in it stays.
func TestSharedThatWasTakenApart(t *testing.T) {
	for name, spoil := range map[string]string{
		"umount":   "umount /tmp",
		"covered":  "mount -t tmpfs none /tmp",
		"removed":  "rm -rf /var/lib/polyinst/tmp/alice",
		"etc":      "mount -t tmpfs none /etc",
		"one more": "mount --bind /var/lib/polyinst/tmp/alice /tmp",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.PerUser(kit.OwnTmp), []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				first := h.Start("su", "alice", "-c", kit.ShowMountNS+"; cat")
				before := first.Expect(`mnt:\[\d+\]`)[0]
				h.MustRun("polyinst", "enter", "alice", "--", "sh", "-c", spoil)
				see := strings.Split(h.MustRun("su", "alice", "-c", kit.ShowMountNS+"; "+kit.WhichTmp), "\n")
				if see[0] == before {
					t.Error("it was joined")
				}
				kit.InInstance(h, "a new one", "alice", see[1])
				h.WaitLog(`is not joined: .*; this session gets a new one`)
				host.Equal(h, "the next", h.MustRun("su", "alice", "-c", "test "+see[0]+" != "+before+" && echo new"), "new")
				first.CloseInput()
				first.Wait()
			})
		})
	}
}

// Where the way into the user's namespace cannot be opened, although a process is
// in it, the session is isolated and not shared: a warning says so. Processes that
// have ended are no fault.
func TestSharedThatCannotBeOpened(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.OwnTmp), []string{"pamhost", "su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		first := h.PamHostCommand(kit.Steps("open", "exec:"+kit.ShowMountNS, "pause", "close", "end")...).Start()
		shared := first.Expect(`mnt:\[\d+\]`)[0]
		host.Equal(h, "without a fault", h.MustRun("su", "alice", "-c", kit.ShowMountNS), shared)
		way := fmt.Sprintf("/proc/%d/task/%d/ns/mnt", first.Pid(), first.Pid())
		out := h.MustRun("strace", "-f", "-qq", "-o", "/dev/null", "-P", way, "-e", "inject=openat:error=EMFILE",
			"su", "alice", "-c", kit.ShowMountNS+"; "+kit.WhichTmp)
		see := strings.Split(out, "\n")
		if see[0] == shared {
			t.Error("it was joined")
		}
		kit.InInstance(h, "a new one", "alice", see[1])
		h.WaitLog(`"alice"'s other sessions, ` + regexp.QuoteMeta(shared) + `, is not joined: .*` + way + `: too many open files; this session gets a new one`)
		first.CloseInput()
		first.Wait()
		h.ForgetLog()
		h.MustRun("su", "alice", "-c", "true")
		h.WaitLog(`session opened for "alice"`)
		for _, line := range h.ModuleLog() {
			if strings.Contains(line.Text, "is not joined") {
				t.Errorf("all have ended, and the log says %q", line.Text)
			}
		}
	})
}

// A host that may not join is refused, and told why; so is one whose worker
// finds what it must not believe.
func TestSharedIsRefused(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.OwnTmp), []string{"pamhost", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		tr := h.PamHost(kit.Steps("dropcap:cap_sys_chroot", "snapshot:before", "open", "snapshot:after", "end")...)
		tr.RC("open", host.PAMRefused)
		h.Unchanged("the refusal", tr.Snapshot("before"), tr.Snapshot("after"))
		h.WaitLog(`scope = "user" wants a program that may join`)
		h.MustRun("su", "alice", "-c", "true")
		h.MustRun("chmod", "777", "/run/polyinst/user.2001")
		if r := h.Su("alice", "true"); r.Code == 0 {
			t.Error("a directory that all can write is believed")
		}
		h.WaitLog(`/run/polyinst/user.2001: mode 0777`)
	})
}

// A host that cannot take the last step leaves nothing for the others to join.
func TestSharedThatNobodyEntered(t *testing.T) {
	kit.Story(t, kit.PerUser(kit.Tmpdir), []string{"pamhost", "su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		tr := h.Command(append([]string{"strace", "-qq", "-o", "/run/trace", "-e", "trace=setns", "-e", "inject=setns:error=EPERM", h.Built("pamhost")},
			kit.Steps("snapshot:before", "open", "snapshot:after", "end")...)...).Trace()
		h.Match("the fault", h.ReadFile("/run/trace"), `INJECTED`)
		tr.RC("open", host.PAMRefused)
		h.Unchanged("the refusal", tr.Snapshot("before"), tr.Snapshot("after"))
		host.Equal(h, "instances", len(kit.Settled(h, 0)), 0)
		host.Equal(h, "the next session", h.MustRun("su", "alice", "-c", "ls /tmp"), "")
	})
}
