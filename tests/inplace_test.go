package tests

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// twoPolydirs are a /tmp and a /var/tmp per user.
var twoPolydirs = ownTmp + strings.NewReplacer(`"/tmp"`, `"/var/tmp"`, "polyinst/tmp", "polyinst/var-tmp").Replace(ownTmp)

// A worker that is killed between two mounts in the host's own namespace leaves
// the host in the view that it had (I-9).
func TestWorkerKilledInPlace(t *testing.T) {
	for _, when := range []string{"move_mount:signal=SIGKILL:when=2", "move_mount:error=ENOMEM:when=2"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			story(t, twoPolydirs, []string{"pamhost", "su"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=" + when, h.Built("pamhost")}
				steps := script("dropcap:cap_sys_chroot", "root-exec:"+places, "open", "root-exec:"+places, "end")
				tr := h.Command(append(args, steps...)...).Trace()
				h.Match("the fault", h.ReadFile("/run/trace"), `SIGKILL|INJECTED`)
				tr.RC("open", 14)
				views := tr.All("root-exec")
				host.Equal(h, "the view after the refusal", views[1].Text, views[0].Text)
				sees(h, "alice", true)
			})
		})
	}
}

const places = "stat -c %d:%i /tmp /var/tmp"

// In place there is one worker that makes anything: one tmpdir, one success.
func TestInPlaceMakesOnce(t *testing.T) {
	story(t, tmpdir, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		tr := h.PamHost(script("dropcap:cap_sys_chroot", "open", "root-exec:ls -A "+parent, "close", "end")...)
		tr.RC("open", host.PAMSuccess)
		host.Equal(h, "tmpdirs", strings.Count(tr.Step("root-exec").Text, ".tmpdir."), 1)
		host.Equal(h, "after close", len(instances(h)), 0)
	})
}

// An exempt root in a session of alice's, by a program that may not join the
// host's view: he stays where he is, untouched and told; escape is refused.
func TestNestedWithoutJoin(t *testing.T) {
	story(t, nested("replace"), []string{"su", "pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		rootInside := h.Built("pamhost") + " user=root start acct dropcap:cap_sys_chroot 'root-exec:readlink /proc/self/ns/mnt' open 'root-exec:readlink /proc/self/ns/mnt' close end"
		out := inside(h, rootInside)
		seen := strings.Count(out, "mnt:[")
		if first := out[strings.Index(out, "mnt:["):][:16]; seen != 2 || strings.Count(out, first) != 2 {
			t.Errorf("the namespace changed:\n%s", out)
		}
		h.WaitLog("may not join the host's view")
		h.PAM("pamhost", host.Stack(session+" unmnt_only")...)
		out = inside(h, strings.ReplaceAll(rootInside, "user=root", "user=bob"))
		h.Match("escape", out, `"open".*"RC":14`)
		h.WaitLog("escape.*dist/selinux")
	})
}

// Whether the view is the right one already is looked up in the live
// namespace, not in a record.
func TestViewThatWasTakenApart(t *testing.T) {
	story(t, ownTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		tr := h.PamHost(script("open", "root-exec:umount /tmp", "open", "exec:"+place, "close", "end")...)
		tr.RC("open", host.PAMSuccess)
		inInstance(h, "the second open", "alice", tr.Step("exec").Text)
	})
}
