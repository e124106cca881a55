package namespaces

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// below is ownTmp with mounts of a session that reach the namespaces below it.
const below = "[namespace]\npropagation = \"slave+shared\"\n" + kit.OwnTmp + kit.KeepX

// What is mounted in a session, by root and by its user through fusermount, reaches
// the namespaces that were made in it before, as rootless podman, a portal and
// bubblewrap make them, and never the host or another session. What is mounted in
// those stays there.
func TestMountsReachNamespacesBelow(t *testing.T) {
	kit.Story(t, below, []string{"su", "pamhost"}, func(h *host.Host) {
		h.Need("unshare", "setpriv")
		h.AddUser("alice")
		h.AddUser("bob")
		kit.UsersMayMount(h)
		h.Mkdir("/srv/late", 0o755, 0, 0)
		h.Mkdir("/run/nest", 0o755, 0, 0)
		h.Sh("mkfifo -m 666 /run/nest/ready /run/nest/go /run/nest/fuse")
		// user and mount namespaces of alice's own, as podman makes them; it wants
		// to find a shared root directory
		h.WriteFile("/run/nest/below", "#!/bin/sh\ncd /tmp\nmkdir /tmp/own\necho podman finds $(findmnt -no PROPAGATION /)\n"+
			"exec unshare -Urm --propagation slave sh -c '"+
			"mount -t tmpfs mine /tmp/own; touch /tmp/own/file; echo ready >/run/nest/ready; read line </run/nest/go; "+
			"echo below sees: $(ls /srv/late /tmp/box; stat -fc %T /tmp/box)'\n", 0o755)
		h.WriteFile("/run/nest/session", "#!/bin/sh\n"+
			"setpriv --reuid alice --regid alice --init-groups /run/nest/below &\n"+
			"read line </run/nest/ready\n"+
			"echo session sees: $(ls /tmp/own)\n"+
			"mount -t tmpfs late /srv/late; touch /srv/late/arrived\n"+
			"setpriv --reuid alice --regid alice --init-groups sh -c 'cd /tmp; mkdir box; exec "+h.Built("liar")+" /tmp/box d:in-box:0:755 </run/nest/fuse' &\n"+
			"exec 3>/run/nest/fuse\n"+
			"until mountpoint -q /tmp/box; do :; done\n"+
			"echo go >/run/nest/go; wait %1; exec 3>&-; wait\n", 0o755)
		before := h.ReadFile("/proc/self/mountinfo")
		beside := h.Start("su", "bob", "-c", "echo ready; read line; ls -d /srv/late/* /tmp/box 2>&1; echo end; cat")
		beside.Expect("ready")
		p := h.PamHostCommand(kit.Steps("open", "root-exec:/run/nest/session 2>&1", "print:done", "pause", "close", "end")...).Start()
		out := p.Expect(`(?s).*"done"`)[0]
		h.Match("the session", out, `podman finds shared,slave`)
		h.Match("the session", out, `session sees:\\u000a`)
		h.Match("the namespace below", out, `below sees: /srv/late: arrived /tmp/box: in-box fuseblk|below sees: .*arrived.*in-box`)
		host.Equal(h, "the host's mounts", h.ReadFile("/proc/self/mountinfo"), before)
		host.Equal(h, "the host's directory", len(h.Names("/srv/late")), 0)
		host.Equal(h, "the instance, from outside", strings.Join(h.Names(kit.Instance("alice")+"/box"), " "), "")
		beside.Send("\n")
		h.Match("bob's session", beside.Expect(`(?s).*\nend`)[0], `cannot access '/srv/late/\*'(?s:.*)cannot access '/tmp/box'`)
		beside.CloseInput()
		beside.Wait()
		p.Send("\n")
		p.Wait()
	})
}

// The host's later mounts arrive in a session, and in the namespaces below it; also
// below what is kept.
func TestHostsMountsReachBelow(t *testing.T) {
	kit.Story(t, below, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("polyinst", "prepare")
		h.Mkdir("/srv/disk", 0o755, 0, 0)
		h.Mkdir(kit.X11Dir+"/late", 0o755, 0, 0)
		p := h.PamHostCommand(kit.Steps("open", "print:ready", "pause",
			"root-exec:unshare -m --propagation unchanged sh -c 'echo seen: $(ls "+kit.X11Dir+"/late /srv/disk)'",
			"root-exec:mount -t tmpfs none "+kit.X11Dir+"/late; mount -t tmpfs none /srv/disk", "print:mounted", "pause", "close", "end")...).Start()
		p.Expect("ready")
		h.MustRun("mount", "-t", "tmpfs", "none", kit.X11Dir+"/late")
		h.WriteFile(kit.X11Dir+"/late/one", "")
		h.MustRun("mount", "-t", "tmpfs", "none", "/srv/disk")
		h.WriteFile("/srv/disk/two", "")
		after := h.ReadFile("/proc/self/mountinfo")
		p.Send("\n")
		p.Expect(`seen: /srv/disk: two /tmp/.X11-unix/late: one`)
		p.Expect(`"mounted"`)
		host.Equal(h, "the host's mounts", h.ReadFile("/proc/self/mountinfo"), after)
		p.Send("\n")
		p.Wait()
		h.MustRun("umount", kit.X11Dir+"/late", "/srv/disk")
	})
}

// A session that is built on another one (nested = "keep") gets what that one mounts,
// and that one nothing of its; in place it is the same.
func TestNestedSessionsAreBelow(t *testing.T) {
	for name, drop := range map[string]string{"joins": "umask:022", "in place": "dropcap:cap_sys_chroot"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, strings.Replace(below, "[namespace]\n", "[namespace]\nnested = \"keep\"\n", 1), nil, func(h *host.Host) {
				h.PAM("pamhost", host.Stack(kit.Session)...)
				h.PAM("su", host.Stack(kit.Session)...)
				h.AddUser("alice")
				h.AddUser("bob")
				h.Mkdir("/srv/late", 0o755, 0, 0)
				h.Mkdir("/srv/inner", 0o755, 0, 0)
				h.Mkdir("/run/nest", 0o755, 0, 0)
				h.Sh("mkfifo /run/nest/ready /run/nest/go")
				before := h.ReadFile("/proc/self/mountinfo")
				inner := h.Built("pamhost") + " service=su user=bob " + drop + " start acct open 'exec:" + kit.WhichTmp + "' " +
					"'root-exec:mount -t tmpfs none /srv/inner; touch /srv/inner/mine; echo ready >/run/nest/ready; read line </run/nest/go; echo inner sees: $(ls /srv/late)' close end"
				out := insideBy(h, drop, inner+" &\nread line </run/nest/ready\nmount -t tmpfs none /srv/late; touch /srv/late/arrived; echo outer sees: $(ls /srv/inner)\necho go >/run/nest/go\nwait")
				h.Match("the outer session", out, `outer sees:\n`)
				h.Match("the inner session", out, `inner sees: arrived`)
				host.Equal(h, "the host's mounts", h.ReadFile("/proc/self/mountinfo"), before)
			})
		})
	}
}

// insideBy is inside by a host that has done one step more.
func insideBy(h *host.Host, step, script string) string {
	h.T.Helper()
	h.WriteFile("/run/nest/run", "#!/bin/sh\n"+script+"\n", 0o755)
	tr := h.PamHost("service=su", "user=alice", step, "start", "acct", "open", "root-exec:/run/nest/run 2>&1", "close", "end")
	tr.RC("open", host.PAMSuccess)
	return tr.Step("root-exec").Text
}

// The second session of scope "user" is in the first one's namespace: what one
// mounts, the other one and what is below it see.
func TestBelowOfSharedSessions(t *testing.T) {
	kit.Story(t, strings.Replace(below, "[namespace]\n", "[namespace]\nscope = \"user\"\n", 1), []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Mkdir("/srv/late", 0o755, 0, 0)
		first := h.PamHostCommand(kit.Steps("open", "root-exec:mount -t tmpfs none /srv/late; touch /srv/late/arrived", "print:ready", "pause", "close", "end")...).Start()
		first.Expect(`"ready"`)
		tr := h.PamHost(kit.Steps("open", "root-exec:ls /srv/late; findmnt -no PROPAGATION /tmp", "close", "end")...)
		host.Equal(h, "the second", tr.Step("root-exec").Text, "arrived\nshared")
		host.Equal(h, "the host", len(h.Names("/srv/late")), 0)
		first.Send("\n")
		first.Wait()
	})
}

// A kernel, or a filter, that says yes and does nothing gives nobody a session whose
// mounts reach the host, or do not reach below (I-7): peer groups are compared.
func TestProofOfPeerGroups(t *testing.T) {
	for lie, says := range map[string]string{
		"mount_setattr:retval=0:when=3": `the mount on / is shared with other namespaces, by peer group \d+`,
		"mount_setattr:retval=0:when=4": `what is mounted on / would not reach the namespaces below this one`,
	} {
		for _, kernel := range []string{"", "oldkernel"} {
			t.Run(lie+kernel, func(t *testing.T) {
				t.Parallel()
				kit.Story(t, strings.ReplaceAll(below, kit.KeepX, ""), []string{"pamhost"}, func(h *host.Host) {
					h.Need("strace")
					h.AddUser("alice")
					args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=" + lie}
					if kernel != "" {
						args = append(args, h.Built(kernel))
					}
					args = append(args, h.Built("pamhost"))
					before := h.ReadFile("/proc/self/mountinfo")
					tr := h.Command(append(args, kit.Steps("open", "end")...)...).Trace()
					tr.RC("open", host.PAMRefused)
					h.WaitLog("the finished view is not what was planned: " + says)
					host.Equal(h, "the host's mounts", h.ReadFile("/proc/self/mountinfo"), before)
				})
			})
		}
	}
}
