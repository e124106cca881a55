package namespaces

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// private is ownTmp with more namespaces than the mount namespace.
const private = "[namespace]\nipc = \"private\"\nuts = \"private\"\nnetwork = \"private\"\n" + kit.OwnTmp

// kinds prints the namespaces that a process is in, one a line.
const kinds = "for k in ipc mnt net uts; do readlink /proc/self/ns/$k; done"

// Shared memory by both interfaces and message queues of a session are its own,
// and the host's are not seen in it.
func TestPrivateIPC(t *testing.T) {
	kit.Story(t, "[namespace]\nipc = \"private\"\n"+kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Sh("ipcmk -M 64; ipcmk -S 1; ipcmk -Q; touch /dev/shm/hosts /dev/mqueue/hosts")
		show := "ls /dev/shm /dev/mqueue | grep -c hosts; ipcs | grep -c '^0x'"
		host.Equal(h, "the host's", h.Sh(show+" || :"), "2\n3")
		host.Equal(h, "seen by alice", h.Su("alice", show+" || :").Out(), "0\n0")
		h.MustRun("su", "alice", "-c", "ipcmk -M 64; touch /dev/shm/alices /dev/mqueue/alices; ls /dev/shm /dev/mqueue | grep -c alices")
		host.Equal(h, "the host's after that", h.Sh("ipcs -m | grep -c '^0x'; ls /dev/shm /dev/mqueue | grep -c alices || :"), "1\n0")
		host.Equal(h, "flags", h.MustRun("su", "alice", "-c", "for d in mqueue shm; do exec 3</dev/$d; "+
			"id=$(sed -n 's/mnt_id:.//p' /proc/$$/fdinfo/3); grep \"^$id \" /proc/self/mountinfo | cut -d ' ' -f 6; done"),
			"rw,nosuid,nodev,noexec,relatime\nrw,nosuid,nodev,relatime")
		h.MustRun("su", "root", "-c", "test -e /dev/shm/hosts") // exempt
	})
}

// A configuration that speaks of /dev/shm decides that for itself.
func TestPrivateIPCAndShmOfItsOwn(t *testing.T) {
	kit.Story(t, "[namespace]\nipc = \"private\"\n"+kit.OwnTmp+
		"[[polydir]]\npath = \"/dev/shm\"\nmethod = \"tmpfs\"\ntmpfs = { size = \"1M\" }\nonly = [\"bob\"]\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.WriteFile("/dev/shm/hosts", "")
		h.MustRun("su", "alice", "-c", "test -e /dev/shm/hosts")
		host.Equal(h, "bob's", h.MustRun("su", "bob", "-c", "df -B1 --output=size /dev/shm | tail -n 1"), "1048576")
	})
}

func TestPrivateUTS(t *testing.T) {
	kit.Story(t, "[namespace]\nuts = \"private\"\n"+kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		name := h.MustRun("hostname")
		tr := h.PamHost(kit.Steps("open", "root-exec:hostname other; hostname", "close", "end")...)
		host.Equal(h, "in the session", strings.TrimSpace(tr.Step("root-exec").Text), "other")
		host.Equal(h, "the host", h.MustRun("hostname"), name)
	})
}

// A private network is a loopback device that works; the host's is another one.
// The connection by which the session came stays.
func TestPrivateNetwork(t *testing.T) {
	kit.Story(t, "[namespace]\nnetwork = \"private\"\n"+kit.OwnTmp, []string{"sshd"}, func(h *host.Host) {
		h.AddUser("alice")
		s := h.Sshd()
		see := s.Client(host.PublicKey, "alice", "tail -n +3 /proc/net/dev | cut -d: -f1; ip -o link show lo; "+
			"cat /proc/net/tcp | wc -l; "+kit.WhichTmp).Must()
		lines := strings.Split(see, "\n")
		host.Equal(h, "devices", strings.TrimSpace(lines[0]), "lo")
		h.Match("the loopback device", lines[1], `LOOPBACK,UP`)
		host.Equal(h, "the host's sockets that are seen", lines[len(lines)-2], "1") // the heading
		kit.InInstance(h, "ssh", "alice", lines[len(lines)-1])
	})
}

// All that the outermost session has of its own returns together: an exempt
// root gets the host's, another user new ones, and `real` leads the administrator out.
func TestPrivateNested(t *testing.T) {
	kit.Story(t, strings.Replace(private, "[namespace]\n", "[namespace]\nnested = \"replace\"\n", 1), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.WriteFile("/run/nest/kinds", "#!/bin/sh\n"+kinds+"\n", 0o755)
		hosts := h.Sh(kinds)
		out := kit.InASession(h, "/run/nest/kinds; runuser root -c /run/nest/kinds; runuser bob -c /run/nest/kinds; polyinst real -- /run/nest/kinds")
		lines := strings.Split(out, "\n")
		if len(lines) != 16 {
			t.Fatalf("got:\n%s", out)
		}
		host.Equal(h, "root in alice's", strings.Join(lines[4:8], "\n"), hosts)
		host.Equal(h, "real", strings.Join(lines[12:], "\n"), hosts)
		for _, at := range []int{0, 8} {
			for _, ns := range lines[at : at+4] {
				if strings.Contains(hosts, ns) || at == 8 && strings.Contains(strings.Join(lines[:4], "\n"), ns) {
					t.Errorf("%s is not new:\n%s\nthe host:\n%s", ns, out, hosts)
				}
			}
		}
	})
}

// keep stays in all of them.
func TestPrivateNestedKeep(t *testing.T) {
	kit.Story(t, strings.Replace(private, "[namespace]\n", "[namespace]\nnested = \"keep\"\n", 1), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.WriteFile("/run/nest/kinds", "#!/bin/sh\n"+kinds+"\n", 0o755)
		out := strings.Split(kit.InASession(h, "/run/nest/kinds; runuser root -c /run/nest/kinds"), "\n")
		host.Equal(h, "root in alice's", strings.Join(out[4:], " "), strings.Join(out[:4], " "))
	})
}

// In place the host joins what is not its mount namespace; a refusal leaves it in
// all that it had.
func TestPrivateInPlace(t *testing.T) {
	kit.Story(t, private, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		steps := kit.Steps("dropcap:cap_sys_chroot", "root-exec:"+kinds, "open", "root-exec:"+kinds, "exec:"+kit.WhichTmp, "end")
		tr := h.PamHost(steps...)
		tr.RC("open", host.PAMSuccess)
		kit.InInstance(h, "in place", "alice", tr.Step("exec").Text)
		seen := tr.All("root-exec")
		for _, ns := range strings.Fields(seen[1].Text) {
			if strings.Contains(seen[0].Text, ns) {
				t.Errorf("%s is not new:\n%s%s", ns, seen[0].Text, seen[1].Text)
			}
		}
		// the second setns is the host's own, after the worker's look at its place
		for _, fault := range []string{"move_mount:error=ENOMEM:when=2", "move_mount:signal=SIGKILL:when=3"} {
			args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=" + fault, h.Built("pamhost")}
			tr := h.Command(append(args, steps...)...).Trace()
			h.Match("the fault", h.ReadFile("/run/trace"), `SIGKILL|INJECTED`)
			tr.RC("open", host.PAMRefused)
			seen := tr.All("root-exec")
			host.Equal(h, fault, others(seen[1].Text), others(seen[0].Text))
			kit.InPublic(h, fault, tr.Step("exec").Text)
		}
	})
}

// A kernel without message queues has none to hide. One that says so while the
// host's can be seen on /dev/mqueue is not believed.
func TestPrivateWithoutMessageQueues(t *testing.T) {
	kit.Story(t, private, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		open := func() host.Trace {
			args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=fsopen:error=ENODEV:when=2", h.Built("pamhost")}
			tr := h.Command(append(args, kit.Steps("open", "exec:"+kit.WhichTmp, "end")...)...).Trace()
			h.Match("the fault", h.ReadFile("/run/trace"), `(?s)fsopen\("mqueue".*INJECTED`)
			return tr
		}
		tr := open()
		tr.RC("open", host.PAMRefused)
		kit.InPublic(h, "where queues are seen", tr.Step("exec").Text)
		h.WaitLog(`polydir "/dev/mqueue": fsopen mqueue: no such device`)
		h.MustRun("umount", "/dev/mqueue")
		tr = open()
		tr.RC("open", host.PAMSuccess)
		kit.InInstance(h, "where none are", "alice", tr.Step("exec").Text)
	})
}

// others are the lines of kinds without the mount namespace, which in place may
// be a copy after a refusal (I-9).
func others(kinds string) string {
	var out []string
	for _, ns := range strings.Fields(kinds) {
		if !strings.HasPrefix(ns, "mnt:") {
			out = append(out, ns)
		}
	}
	return strings.Join(out, " ")
}

// unmount_on_close brings back all of them.
func TestPrivateUnmountOnClose(t *testing.T) {
	kit.Story(t, private, nil, func(h *host.Host) {
		h.PAM("pamhost", host.Stack(kit.Session+" unmount_on_close")...)
		h.AddUser("alice")
		tr := h.PamHost(kit.Steps("root-exec:"+kinds, "open", "root-exec:"+kinds, "close", "root-exec:"+kinds, "end")...)
		seen := tr.All("root-exec")
		host.Equal(h, "after close", seen[2].Text, seen[0].Text)
		if seen[1].Text == seen[0].Text {
			t.Error("the session had the host's namespaces")
		}
	})
}

// The administrator is told what to do about each failure of unshare(2).
func TestUnshareIsRefused(t *testing.T) {
	for errno, says := range map[string]string{
		"EPERM":  "CAP_SYS_ADMIN",
		"ENOSPC": "sysctl user.max_mnt_namespaces",
		"ENOMEM": "no memory",
		"EINVAL": "built without",
	} {
		t.Run(errno, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, private, []string{"pamhost"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				// the first two calls are unshare(CLONE_FS) of the worker
				args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "trace=unshare", "-e", "inject=unshare:error=" + errno + ":when=2+", h.Built("pamhost")}
				tr := h.Command(append(args, kit.Steps("snapshot:before", "open", "snapshot:after", "end")...)...).Trace()
				tr.RC("open", host.PAMRefused)
				h.Unchanged("the refusal", tr.Snapshot("before"), tr.Snapshot("after"))
				h.WaitLog(`new namespaces \(IPC, UTS, network, mount\).*` + says)
			})
		})
	}
}

// A kernel that says yes and makes nothing is found out.
func TestUnshareThatLies(t *testing.T) {
	kit.Story(t, private, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "trace=unshare", "-e", "inject=unshare:retval=0:when=2+", h.Built("pamhost")}
		tr := h.Command(append(args, kit.Steps("snapshot:before", "open", "snapshot:after", "end")...)...).Trace()
		tr.RC("open", host.PAMRefused)
		h.WaitLog(`unshare said that it made a new namespace, and this is still`)
	})
}
