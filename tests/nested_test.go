package tests

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// nested is ownTmp with another word for sessions inside sessions.
func nested(word string) string { return "[namespace]\nnested = \"" + word + "\"\n" + ownTmp }

// inside runs a root shell script in a session of alice's: the sessions in it
// are nested, by runuser, which asks nobody for a password.
func inside(h *host.Host, script string) string {
	h.T.Helper()
	h.WriteFile("/run/nest/run", "#!/bin/sh\n"+script+"\n", 0o755)
	tr := h.PamHost("service=su", "user=alice", "start", "acct", "open", "root-exec:/run/nest/run 2>&1", "close", "end")
	tr.RC("open", host.PAMSuccess)
	return strings.TrimSpace(tr.Step("root-exec").Text)
}

// An exempt target of su gets the host's view itself: the same namespace, not a
// copy, so that what it mounts is mounted for all.
func TestNestedReplaceExempt(t *testing.T) {
	story(t, nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		out := inside(h, "runuser root -c 'readlink /proc/self/ns/mnt; "+place+"; mount -t tmpfs none /mnt; pwd'")
		lines := strings.Split(out, "\n")
		host.Equal(h, "the namespace", lines[0], h.MountNS(1))
		inPublic(h, "su to root", lines[1])
		if !strings.Contains(h.MustRun("cat", "/proc/self/mountinfo"), " /mnt ") {
			t.Error("root's mount did not reach the host")
		}
	})
}

// Three deep, each of another user: every one sees his own instance, and there
// is one mount on /tmp.
func TestNestedReplaceUsers(t *testing.T) {
	story(t, nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		for _, u := range []string{"alice", "bob", "carol"} {
			h.AddUser(u)
		}
		h.WriteFile("/run/nest/show", "#!/bin/sh\n"+place+"; grep -c ' /tmp ' /proc/self/mountinfo\n", 0o755)
		// each session inside the other, by root shells of its host
		inner := h.Built("pamhost") + " service=su user=%s start acct open 'root-exec:%s' close end"
		three := fmt.Sprintf(inner, "carol", "/run/nest/show")
		h.WriteFile("/run/nest/three", "#!/bin/sh\n/run/nest/show\n"+three+"\n", 0o755)
		out := inside(h, "/run/nest/show\n"+fmt.Sprintf(inner, "bob", "/run/nest/three"))
		first, _, _ := strings.Cut(out, "\n")
		inInstance(h, "alice", "alice", first)
		for _, u := range []string{"bob", "carol"} {
			if !strings.Contains(out, h.Place(instance(u))) {
				t.Errorf("%s did not see his instance:\n%s", u, out)
			}
		}
		if strings.Contains(out, `\n2`) || strings.Contains(out, "\n2") {
			t.Errorf("mounts are stacked on /tmp:\n%s", out)
		}
	})
}

// keep builds on the view that the caller is in: an exempt target stays there.
func TestNestedKeep(t *testing.T) {
	story(t, nested("keep"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		out := inside(h, "runuser root -c '"+place+"'; runuser bob -c '"+place+"'")
		lines := strings.Split(out, "\n")
		inInstance(h, "root stays in", "alice", lines[0])
		inInstance(h, "bob", "bob", lines[1])
	})
}

// escape is the host's view, for whomever.
func TestNestedEscape(t *testing.T) {
	story(t, nested("escape"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		inPublic(h, "bob", inside(h, "runuser bob -c '"+place+"'"))
	})
}

// The peer's words on the PAM line win over the file.
func TestNestedByPAMLine(t *testing.T) {
	story(t, nested("keep"), []string{"su"}, func(h *host.Host) {
		h.PAM("runuser", host.Stack(session+" unmnt_only")...)
		h.AddUser("alice")
		h.AddUser("bob")
		inPublic(h, "bob", inside(h, "runuser bob -c '"+place+"'"))
	})
}

// A rule that does not apply only because of its services is no exemption: the
// nested session stays in the view that it is in.
func TestNestedServiceIsNoExemption(t *testing.T) {
	story(t, nested("replace")+"services = [\"su\"]\n", []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		inInstance(h, "bob stays in", "alice", inside(h, "runuser bob -c '"+place+"'"))
	})
}

// A namespace that is not ours is left alone: nobody is thrown out of it, and
// what is mounted there stays.
func TestForeignNamespace(t *testing.T) {
	story(t, nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		own := h.Sh("unshare -m sh -c 'mount -t tmpfs none /mnt; touch /mnt/here; runuser alice -c \"ls /mnt; " + place +
			"\"; runuser root -c \"ls /mnt\"'")
		lines := strings.Split(own, "\n")
		host.Equal(h, "alice's /mnt", lines[0], "here")
		inInstance(h, "alice", "alice", lines[1])
		host.Equal(h, "root's /mnt", lines[2], "here")
		// and inside a container that was started from a session of ours
		out := inside(h, "unshare -m sh -c 'mount -t tmpfs none /mnt; touch /mnt/inner; runuser root -c \"ls /mnt\"'")
		host.Equal(h, "root in a container of alice's", out, "inner")
	})
}

// The working directory: root keeps the directory that he stood in, by its
// handle; another user is not led into a stranger's directory of the same path.
func TestNestedWorkingDirectory(t *testing.T) {
	story(t, nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir("/tmp/work", 0o777, 1000, 1000)
		h.WriteFile("/tmp/work/Makefile", "a stranger's", 0o644)
		out := inside(h, `cd /tmp; mkdir -p work; echo mine > work/Makefile; cd work
runuser root -c 'cat Makefile'
runuser bob -c pwd
cd /tmp
runuser bob -c 'pwd; stat -c %d:%i .'
cd /usr
runuser bob -c pwd`)
		lines := strings.Split(out, "\n")
		host.Equal(h, "root's make reads", lines[0], "mine")
		host.Equal(h, "bob stands in", lines[1], "/")
		host.Equal(h, "from the polydir itself", lines[2], "/tmp")
		inInstance(h, "from the polydir itself", "bob", lines[3])
		host.Equal(h, "from elsewhere", lines[4], "/usr")
	})
}

// The host's view is only that of process 1: a session that was built from a
// container's view does not lead its nested ones out of the container.
func TestNestedInAContainer(t *testing.T) {
	story(t, nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.WriteFile("/run/nest/root", "#!/bin/sh\nrunuser root -c 'ls /mnt; "+place+"'\n", 0o755)
		out := h.Sh("unshare -m sh -c 'mount -t tmpfs none /mnt; touch /mnt/here; " + h.Built("pamhost") +
			" service=su user=alice start acct open root-exec:/run/nest/root close end'")
		if !strings.Contains(out, "here") || !strings.Contains(out, h.Place(instance("alice"))) {
			t.Errorf("root was thrown out of the container, or got no session:\n%s", out)
		}
		h.WaitLog("not built from the view of process 1")
	})
}

// Ids of namespaces are used again: a record that was left behind by one that
// has ended is not believed of another.
func TestStaleRecordIsNotBelieved(t *testing.T) {
	story(t, nested("replace"), []string{"su", "runuser"}, func(h *host.Host) {
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
	story(t, "[namespace]\nnested = \"keep\"\n"+tmpdir, []string{"su", "runuser"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.Fifo("/run/in")
		h.Fifo("/run/go")
		h.MustRun("chmod", "666", "/run/in", "/run/go")
		inside(h, "runuser bob -c 'echo in > /run/in; read line < /run/go' >/dev/null 2>&1 & cat /run/in")
		host.Equal(h, "instances of alice and bob", len(instances(h)), 2)
		h.WriteFile("/run/go", "\n")
	})
}
