package login

import (
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// Two users see two directories, one user's sessions one and the same, and root
// the public one.
func TestWhoSeesWhat(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		first := h.Start("su", "alice", "-c", "echo from-alice > /tmp/note; echo ready; cat")
		first.Expect("ready")

		host.Equal(h, "alice's other session", h.MustRun("su", "alice", "-c", "cat /tmp/note"), "from-alice")
		host.Equal(h, "bob", h.MustRun("su", "bob", "-c", "ls -A /tmp"), "")
		host.Equal(h, "the machine", h.MustRun("ls", "-A", "/tmp"), "")
		kit.InPublic(h, "su root", h.MustRun("su", "root", "-c", kit.WhichTmp))

		// No user gets at another's instance by its path.
		r := h.Su("bob", "ls "+kit.Instance("alice"))
		if r.Code == 0 {
			t.Errorf("bob reads alice's instance:\n%s", r)
		}
		first.CloseInput()
		host.Equal(h, "the first session", first.Wait().Code, 0)
		host.Equal(h, "after it", h.ReadFile(kit.Instance("alice")+"/note"), "from-alice\n")
	})
}

// A user for whom nothing applies stays in the namespace that there is.
func TestExemptIsLeftAlone(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		ns := h.MustRun("readlink", "/proc/self/ns/mnt")
		host.Equal(h, "root's namespace", h.MustRun("su", "root", "-c", "readlink /proc/self/ns/mnt"), ns)
	})
}

// Mounts made in a session stay in it; the host's later mounts arrive.
func TestPropagation(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Mkdir("/srv/disk", 0o755, 0, 0)
		before := h.ReadFile("/proc/self/mountinfo")
		p := h.Start("su", "alice", "-c", "echo ready; read line; ls /srv/disk; cat")
		p.Expect("ready")
		host.Equal(h, "the host's mounts", h.ReadFile("/proc/self/mountinfo"), before)
		h.MustRun("mount", "-t", "tmpfs", "late", "/srv/disk")
		h.WriteFile("/srv/disk/arrived", "")
		p.Send("\n")
		p.Expect("arrived")
		h.MustRun("umount", "/srv/disk")
		p.CloseInput()
		p.Wait()
	})
}

// What is mounted below an instance stays in the session too: the instance's
// mount is no peer of the filesystem that it comes from.
func TestMountsInAnInstanceStayThere(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		before := h.ReadFile("/proc/self/mountinfo")
		p := h.PamHostCommand(kit.Steps("open", "root-exec:mkdir /tmp/m && mount -t tmpfs none /tmp/m && echo done", "pause", "close", "end")...).Start()
		p.Expect("done")
		host.Equal(h, "the host's mounts", h.ReadFile("/proc/self/mountinfo"), before)
		p.Send("\n")
		p.Wait()
	})
}
