package namespaces

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// An exempt target of su gets the host's view itself: the same namespace, not a
// copy, so that what it mounts is mounted for all.
func TestNestedReplaceExempt(t *testing.T) {
	kit.Story(t, kit.Nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		out := kit.InASession(h, "runuser root -c 'readlink /proc/self/ns/mnt; "+kit.WhichTmp+"; mount -t tmpfs none /mnt; pwd'")
		lines := strings.Split(out, "\n")
		host.Equal(h, "the namespace", lines[0], h.MountNS(1))
		kit.InPublic(h, "su to root", lines[1])
		if !strings.Contains(h.MustRun("cat", "/proc/self/mountinfo"), " /mnt ") {
			t.Error("root's mount did not reach the host")
		}
	})
}

// Three deep, each of another user: each sees their own instance, and there
// is one mount on /tmp.
func TestNestedReplaceUsers(t *testing.T) {
	kit.Story(t, kit.Nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		for _, u := range []string{"alice", "bob", "carol"} {
			h.AddUser(u)
		}
		h.WriteFile("/run/nest/show", "#!/bin/sh\n"+kit.WhichTmp+"; grep -c ' /tmp ' /proc/self/mountinfo\n", 0o755)
		// each session inside the other, by root shells of its host
		inner := h.Built("pamhost") + " service=su user=%s start acct open 'root-exec:%s' close end"
		three := fmt.Sprintf(inner, "carol", "/run/nest/show")
		h.WriteFile("/run/nest/three", "#!/bin/sh\n/run/nest/show\n"+three+"\n", 0o755)
		out := kit.InASession(h, "/run/nest/show\n"+fmt.Sprintf(inner, "bob", "/run/nest/three"))
		first, _, _ := strings.Cut(out, "\n")
		kit.InInstance(h, "alice", "alice", first)
		for _, u := range []string{"bob", "carol"} {
			if !strings.Contains(out, h.FileID(kit.Instance(u))) {
				t.Errorf("%s did not see their instance:\n%s", u, out)
			}
		}
		if strings.Contains(out, `\n2`) || strings.Contains(out, "\n2") {
			t.Errorf("mounts are stacked on /tmp:\n%s", out)
		}
	})
}

// keep builds on the view that the caller is in: an exempt target stays there.
func TestNestedKeep(t *testing.T) {
	kit.Story(t, kit.Nested("keep"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		out := kit.InASession(h, "runuser root -c '"+kit.WhichTmp+"'; runuser bob -c '"+kit.WhichTmp+"'")
		lines := strings.Split(out, "\n")
		kit.InInstance(h, "root stays in", "alice", lines[0])
		kit.InInstance(h, "bob", "bob", lines[1])
	})
}

// escape is the host's view, for whomever.
func TestNestedEscape(t *testing.T) {
	kit.Story(t, kit.Nested("escape"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		kit.InPublic(h, "bob", kit.InASession(h, "runuser bob -c '"+kit.WhichTmp+"'"))
	})
}

// pam_namespace's words on the PAM line win over the file.
func TestNestedByPAMLine(t *testing.T) {
	kit.Story(t, kit.Nested("keep"), []string{"su"}, func(h *host.Host) {
		h.PAM("runuser", host.Stack(kit.Session+" unmnt_only")...)
		h.AddUser("alice")
		h.AddUser("bob")
		kit.InPublic(h, "bob", kit.InASession(h, "runuser bob -c '"+kit.WhichTmp+"'"))
	})
}

// Each service has a word of its own: root by sudo stays in alice's view, as its
// table says, by su in the host's; the PAM line wins over the table.
func TestNestedByService(t *testing.T) {
	config := "[namespace]\nnested = { default = \"replace\", sudo = \"keep\", runuser = \"escape\" }\n" + kit.OwnTmp
	kit.Story(t, config, []string{"su", "sudo", "runuser"}, func(h *host.Host) {
		kit.Sudoers(h)
		h.AddUser("alice")
		h.AddUser("bob")
		h.PAM("runuser-l", host.Stack(kit.Session+" nested=keep")...)
		lines := strings.Split(kit.InASession(h, "sudo sh -c '"+kit.WhichTmp+"'; su root -c '"+kit.WhichTmp+"'; runuser -u bob -- "+kit.WhichTmp+"; runuser -l root -c '"+kit.WhichTmp+"'"), "\n")
		kit.InInstance(h, "root by sudo", "alice", lines[0])
		kit.InPublic(h, "root by su", lines[1])
		kit.InPublic(h, "bob by runuser", lines[2])
		kit.InInstance(h, "root by runuser -l", "alice", lines[3])
		explained := h.MustRun("polyinst", "explain", "root", "--from", "alice", "--service", "sudo")
		h.Match("explain", explained, `nested = "keep"`)
		explained = h.MustRun("polyinst", "explain", "root", "--from", "alice", "--service", "runuser-l")
		h.Match("explain", explained, `(?m)^  nested=keep +nested = "keep", and not nested = "replace" as .*:2:1 says$`)
	})
}

// A rule that does not apply only because of its services is no exemption: the
// nested session stays in the view that it is in. Whom its lists exempt is exempt
// by every service.
func TestNestedServiceIsNoExemption(t *testing.T) {
	kit.Story(t, kit.Nested("replace")+"services = [\"su\"]\n", []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		kit.InInstance(h, "bob stays in", "alice", kit.InASession(h, "runuser bob -c '"+kit.WhichTmp+"'"))
		kit.InPublic(h, "root, whom except lists", kit.InASession(h, "runuser root -c '"+kit.WhichTmp+"'"))
	})
}

// A namespace that is not ours is left alone: nobody is thrown out of it, and
// what is mounted there stays.
func TestForeignNamespace(t *testing.T) {
	kit.Story(t, kit.Nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		own := h.Sh("unshare -m sh -c 'mount -t tmpfs none /mnt; touch /mnt/here; runuser alice -c \"ls /mnt; " + kit.WhichTmp +
			"\"; runuser root -c \"ls /mnt\"'")
		lines := strings.Split(own, "\n")
		host.Equal(h, "alice's /mnt", lines[0], "here")
		kit.InInstance(h, "alice", "alice", lines[1])
		host.Equal(h, "root's /mnt", lines[2], "here")
		// and inside a container that was started from a session of ours
		out := kit.InASession(h, "unshare -m sh -c 'mount -t tmpfs none /mnt; touch /mnt/inner; runuser root -c \"ls /mnt\"'")
		host.Equal(h, "root in a container of alice's", out, "inner")
	})
}

// The host's view is only that of process 1: a session that was built from a
// container's view does not lead its nested ones out of the container. One that
// covers what is alice's is built there; another would be in her instance.
func TestNestedInAContainer(t *testing.T) {
	kit.Story(t, kit.Nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.WriteFile("/run/nest/root", "#!/bin/sh\nrunuser bob -c 'ls /mnt; "+kit.WhichTmp+"'; runuser root -c 'echo root: $(ls /mnt)'\n", 0o755)
		out := h.Sh("unshare -m sh -c 'mount -t tmpfs none /mnt; touch /mnt/here; " + h.Built("pamhost") +
			" service=su user=alice start acct open root-exec:/run/nest/root close end'")
		if !strings.Contains(out, "here") || !strings.Contains(out, h.FileID(kit.Instance("bob"))) {
			t.Errorf("bob was thrown out of the container, or got no session:\n%s", out)
		}
		h.WaitLog("nested session: built on the view that it is in: .*not built from the view of process 1")
		if strings.Contains(out, "root: ") {
			t.Errorf("root is in alice's instance:\n%s", out)
		}
		h.WaitLog(`session refused for "root": .*would be in the instance of "alice"`)
	})
}

// Ids of namespaces are used again: a record that was left behind by one that
// has ended is not believed of another.
func TestStaleRecordIsNotBelieved(t *testing.T) {
	kit.Story(t, kit.Nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "true")
		h.WriteFile("/run/nest/container", `#!/bin/sh
ino=$(stat -Lc %i /proc/self/ns/mnt)
for f in /run/polyinst/mnt.*; do sed "s/\"NS\":[0-9]*/\"NS\":$ino/" $f > /run/stale; done
chmod 600 /run/stale; mv /run/stale /run/polyinst/mnt.$ino
mount -t tmpfs none /mnt; touch /mnt/here; runuser root -c "ls /mnt"
`, 0o755)
		host.Equal(h, "root's /mnt", h.Sh("unshare -m /run/nest/container"), "here")
	})
}

// A tmpdir is not removed while a session that was built on top of it lives, in
// a namespace of its own that has a copy of its mounts.
func TestNestedKeepHoldsTheTmpdir(t *testing.T) {
	kit.Story(t, "[namespace]\nnested = \"keep\"\n"+kit.Tmpdir, []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.Fifo("/run/in")
		h.Fifo("/run/go")
		h.MustRun("chmod", "666", "/run/in", "/run/go")
		kit.InASession(h, "runuser bob -c 'echo in > /run/in; read line < /run/go' >/dev/null 2>&1 & cat /run/in")
		host.Equal(h, "instances of alice and bob", len(kit.Instances(h)), 2)
		h.WriteFile("/run/go", "\n")
	})
}
