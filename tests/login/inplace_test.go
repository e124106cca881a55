package login

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// twoPolydirs are a /tmp and a /var/tmp per user.
var twoPolydirs = kit.OwnTmp + strings.NewReplacer(`"/tmp"`, `"/var/tmp"`, "polyinst/tmp", "polyinst/var-tmp").Replace(kit.OwnTmp)

// A worker that is killed between two mounts in the host's own namespace leaves
// the host in the view that it had (I-9).
func TestWorkerKilledInPlace(t *testing.T) {
	for _, when := range []string{"move_mount:signal=SIGKILL:when=2", "move_mount:error=ENOMEM:when=2"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, twoPolydirs, []string{"pamhost", "su"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=" + when, h.Built("pamhost")}
				steps := kit.Steps("dropcap:cap_sys_chroot", "root-exec:"+places, "open", "root-exec:"+places, "end")
				tr := h.Command(append(args, steps...)...).Trace()
				h.Match("the fault", h.ReadFile("/run/trace"), `SIGKILL|INJECTED`)
				tr.RC("open", host.PAMRefused)
				views := tr.All("root-exec")
				host.Equal(h, "the view after the refusal", views[1].Text, views[0].Text)
				kit.SeesOwnTmp(h, "alice", true)
			})
		})
	}
}

const places = "stat -c %d:%i /tmp /var/tmp"

// In place there is one worker that makes anything: one tmpdir, one success.
func TestInPlaceMakesOnce(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		tr := h.PamHost(kit.Steps("dropcap:cap_sys_chroot", "open", "root-exec:ls -A "+kit.TmpParent, "close", "end")...)
		tr.RC("open", host.PAMSuccess)
		host.Equal(h, "tmpdirs", strings.Count(tr.Step("root-exec").Text, ".tmpdir."), 1)
		host.Equal(h, "after close", len(kit.Settled(h, 0)), 0)
	})
}

// An exempt root in a session of alice's, by a program that may not join the
// host's view: they stay where they are, untouched and told; escape is refused.
func TestNestedWithoutJoin(t *testing.T) {
	kit.Story(t, kit.Nested("replace"), []string{"su", "pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		rootInside := h.Built("pamhost") + " user=root start acct dropcap:cap_sys_chroot 'root-exec:readlink /proc/self/ns/mnt' open 'root-exec:readlink /proc/self/ns/mnt' close end"
		out := kit.InASession(h, rootInside)
		seen := strings.Count(out, "mnt:[")
		if first := out[strings.Index(out, "mnt:["):][:16]; seen != 2 || strings.Count(out, first) != 2 {
			t.Errorf("the namespace changed:\n%s", out)
		}
		h.WaitLog("may not join the host's view")
		h.PAM("pamhost", host.Stack(kit.Session+" unmnt_only")...)
		out = kit.InASession(h, strings.ReplaceAll(rootInside, "user=root", "user=bob"))
		h.Match("escape", out, `"open".*"RC":6`)
		h.WaitLog("escape.*dist/selinux")
	})
}

// Whether the view is the right one already is looked up in the live
// namespace, not in a record.
func TestViewThatWasTakenApart(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		tr := h.PamHost(kit.Steps("open", "root-exec:umount /tmp", "open", "exec:"+kit.WhichTmp, "close", "end")...)
		tr.RC("open", host.PAMSuccess)
		kit.InInstance(h, "the second open", "alice", tr.Step("exec").Text)
	})
}
