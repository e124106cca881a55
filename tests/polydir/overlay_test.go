package polydir

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// overlays runs a story on a host with a directory for all that users can change, and
// instance parents on a filesystem that can hold the changes of an overlay: the host's
// own is one.
func overlays(t *testing.T, config string, services []string, tell func(h *host.Host)) {
	t.Helper()
	host.Run(t, func(h *host.Host) {
		h.Mkdir(host.Parents, 0o755, 0, 0)
		h.MustRun("mount", "-t", "tmpfs", "-o", "mode=755", "parents", host.Parents)
		h.MustRun("mount", "-t", "tmpfs", "-o", "mode=755", "base", "/srv")
		kit.Install(h, config)
		for _, s := range services {
			h.PAM(s, host.Stack(kit.Session)...)
		}
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir(kit.Lab, 0o1777, 0, 0)
		h.Mkdir(kit.Lab+"/course", 0o777, alice.UID, alice.GID)
		h.WriteFile(kit.Lab+"/course/sheet", "as it was\n", 0o666)
		h.WriteFile(kit.Lab+"/course/solved", "no\n", 0o666)
		tell(h)
	})
}

// base is all that the public directory has.
func base(h *host.Host) string {
	h.T.Helper()
	return h.Sh("cd " + kit.Lab + "; find . -printf '%p %U %m %s\n' | sort; cat course/*")
}

// changes is what alice does: she writes to a file, removes one, renames a directory
// of the public directory and makes a file.
const changes = "cd " + kit.Lab + " && echo mine >>course/sheet && rm course/solved && mv course done && echo new >new"

// What a user changes is seen in their other sessions, and in the next ones, and
// nowhere else; the public directory is as it was.
func TestOverlay(t *testing.T) {
	overlays(t, kit.KeptLab, []string{"su"}, func(h *host.Host) {
		before := base(h)
		first := h.Start("su", "alice", "-c", changes+"; echo ready; cat")
		first.Expect("ready")
		see := "cd " + kit.Lab + "; ls; cat done/sheet new"
		host.Equal(h, "her other session", h.MustRun("su", "alice", "-c", see), "done\nnew\nas it was\nmine\nnew")
		host.Equal(h, "bob", h.MustRun("su", "bob", "-c", "cd "+kit.Lab+"; ls . course; cat course/sheet"), ".:\ncourse\n\ncourse:\nsheet\nsolved\nas it was")
		host.Equal(h, "the public directory", base(h), before)
		first.CloseInput()
		first.Wait()
		host.Equal(h, "her next session", h.MustRun("su", "alice", "-c", see), "done\nnew\nas it was\nmine\nnew")
		host.Equal(h, "the public directory", base(h), before)
		host.Equal(h, "the options", h.MustRun("su", "alice", "-c", "findmnt -no VFS-OPTIONS "+kit.Lab+" | tail -n 1"), "rw,nosuid,nodev,relatime")
		h.Match("explain", h.MustRun("polyinst", "explain", "alice"), `cover "/srv/lab" with itself and the session's changes over it, there in the next session, in existing instance "/var/lib/polyinst/lab/alice"`)
	})
}

// Changes that are not kept are gone when the session has ended, and each session
// has its own; in a tmpfs they are bounded.
func TestOverlayIsThrownAway(t *testing.T) {
	for name, config := range map[string]string{"in a directory": kit.DroppedLab, "in a tmpfs": kit.TmpfsLab} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overlays(t, config, []string{"su"}, func(h *host.Host) {
				before := base(h)
				first := h.Start("su", "alice", "-c", changes+"; echo ready; cat")
				first.Expect("ready")
				host.Equal(h, "her other session", h.MustRun("su", "alice", "-c", "cd "+kit.Lab+"; ls . course"), ".:\ncourse\n\ncourse:\nsheet\nsolved")
				first.CloseInput()
				first.Wait()
				host.Equal(h, "her next session", h.MustRun("su", "alice", "-c", "cat "+kit.Lab+"/course/sheet"), "as it was")
				host.Equal(h, "the public directory", base(h), before)
				if config == kit.DroppedLab {
					host.Equal(h, "the instances", strings.Join(h.Names(kit.LabParent), " "), ".lock")
				} else {
					h.Match("too much", h.Su("alice", "head -c 2M /dev/zero >"+kit.Lab+"/big").String(), "No space left")
				}
			})
		})
	}
}

// Nobody but root gets at the changes except through the overlay; what a user can do
// to that changes nothing of what it is made of.
func TestOverlayAttacked(t *testing.T) {
	overlays(t, kit.KeptLab, []string{"su"}, func(h *host.Host) {
		h.Need("setfattr", "unshare", "capsh")
		before := base(h)
		h.WriteFile("/srv/secret", "root's\n", 0o600)
		h.MustRun("su", "alice", "-c", "true")
		for _, try := range []string{
			"ls " + kit.LabParent, "ls " + kit.LabParent + "/alice", "cat " + kit.LabParent + "/alice/upper/x",
			"ls /proc/self/root" + kit.LabParent + "/alice/upper",
			// the kernel's own notes are nobody's to write
			"touch " + kit.Lab + "/f; setfattr -n trusted.overlay.redirect -v /../secret " + kit.Lab + "/f",
			"mknod " + kit.Lab + "/whiteout c 0 0",
			// what covers the layers does not go away in a user namespace
			"unshare -Urm umount " + kit.Lab, "unshare -Urm umount -l " + kit.Lab, "unshare -Urm mount -o remount,rw,suid,dev " + kit.Lab,
			"unshare -Urm mount -t overlay -o lowerdir=" + kit.Lab + ",upperdir=" + kit.LabParent + "/alice/upper,workdir=" + kit.LabParent + "/alice/work o /mnt",
			"unshare -Urm sh -c 'mount --bind / /mnt && umount -l /mnt" + kit.Lab + "'",
		} {
			if r := h.Su("alice", try); r.Code == 0 {
				t.Errorf("alice may: %s", r)
			}
		}
		// a user's own notes mean nothing here
		h.MustRun("su", "alice", "-c", "mkdir "+kit.Lab+"/d && setfattr -n user.overlay.opaque -v y "+kit.Lab+"/d && setfattr -n user.overlay.redirect -v /../secret "+kit.Lab+"/f")
		host.Equal(h, "the file", h.MustRun("su", "alice", "-c", "cat "+kit.Lab+"/f; ls "+kit.Lab+"/d"), "")
		// a whiteout in the public directory hides what is there from nobody else
		h.Su("bob", "true")
		h.MustRun("su", "bob", "-c", "rm "+kit.Lab+"/course/solved; touch "+kit.Lab+"/f")
		host.Equal(h, "alice's", h.MustRun("su", "alice", "-c", "cat "+kit.Lab+"/course/solved"), "no")
		host.Equal(h, "the public directory", base(h), before)
		host.Equal(h, "what is in the parent", h.Sh("stat -c '%n %U %a' "+kit.LabParent+" "+kit.LabParent+"/alice "+kit.LabParent+"/alice/*"),
			kit.LabParent+" root 0\n"+kit.LabParent+"/alice root 700\n"+kit.LabParent+"/alice/upper root 1777\n"+kit.LabParent+"/alice/work root 700")
	})
}

// What an overlay cannot be made of is refused, by explain and check as by the
// login; nobody sees the public directory as it is.
func TestOverlayIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ make, says string }{
		"a parent on an overlay": {"umount " + host.Parents + "; mkdir -p " + kit.LabParent + "; chmod 0 " + kit.LabParent,
			"instance parent \"/var/lib/polyinst/lab\": lies on an overlay itself"},
		"a base without handles": {"umount /srv; mkdir -m 1777 " + kit.Lab, "the public directory lies on a filesystem without file handles"},
		"another owner":          {"chown alice " + kit.LabParent + "/alice", `instance "/var/lib/polyinst/lab/alice": 2001:0 0700, want 0:0 0700, with the changes of an overlay in it`},
		"open":                   {"chmod 755 " + kit.LabParent + "/alice", `instance "/var/lib/polyinst/lab/alice": 0:0 0755, want 0:0 0700, with the changes of an overlay in it`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overlays(t, kit.KeptLab, []string{"su", "pamhost"}, func(h *host.Host) {
				refusedWithChanges(h, c.make, c.says)
				h.Match("explain", h.Cmd("polyinst", "explain", "alice").String(), c.says)
				h.Match("check", h.Cmd("polyinst", "check").String(), c.says)
				h.MustRun("su", "root", "-c", "true")
				obeyAside(h, c.says)
			})
		})
	}
}

// refusedWithChanges has alice's session refused, who has changes, after what a command of
// root's has made.
func refusedWithChanges(h *host.Host, command, says string) {
	h.T.Helper()
	h.MustRun("su", "alice", "-c", "echo precious >"+kit.Lab+"/precious")
	h.Sh(command)
	tr := h.PamHost(kit.Steps("snapshot:before", "open", "snapshot:after", "end")...)
	tr.RC("open", host.PAMRefused)
	h.Unchanged("the refusal", tr.Snapshot("before"), tr.Snapshot("after"))
	h.WaitLog(says)
}

// What is wrong with the changes themselves refuses as well; what is made of
// another base, only the kernel tells, when the overlay is made.
func TestOverlayIsRefusedByTheKernel(t *testing.T) {
	for name, c := range map[string]struct{ make, says string }{
		"no changes":     {"mv " + kit.LabParent + "/alice/upper " + kit.LabParent + "/alice/was", "/var/lib/polyinst/lab/alice/upper: no such file or directory: `polyinst prepare --aside /var/lib/polyinst/lab/alice`"},
		"a link":         {"mv " + kit.LabParent + "/alice/upper " + kit.LabParent + "/alice/was; ln -s /etc " + kit.LabParent + "/alice/upper", "/var/lib/polyinst/lab/alice/upper: is a symbolic link, not a directory"},
		"another base":   {"mv " + kit.Lab + " " + kit.Lab + ".old; mkdir -m 1777 " + kit.Lab, "the changes were made over another directory: `polyinst prepare --aside /var/lib/polyinst/lab/alice`"},
		"another's work": {"rmdir " + kit.LabParent + "/alice/work/work " + kit.LabParent + "/alice/work/index " + kit.LabParent + "/alice/work; touch " + kit.LabParent + "/alice/work", "/var/lib/polyinst/lab/alice/work: is a regular file, not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overlays(t, kit.KeptLab, []string{"su", "pamhost"}, func(h *host.Host) {
				refusedWithChanges(h, c.make, c.says)
				if name != "another base" {
					h.Match("explain", h.Cmd("polyinst", "explain", "alice").String(), c.says)
					h.Match("check", h.Cmd("polyinst", "check").String(), c.says)
				}
				obeyAside(h, c.says)
			})
		})
	}
}

// Where the filesystem of the changes is full, the kernel makes an overlay that
// cannot be written to, and says so to nobody: that is refused, with the way out, and
// rescues nobody who could have filled it. Where the kernel has room for its one
// directory, the session is opened, so that its user can make room.
func TestOverlayOnAFullDisk(t *testing.T) {
	for name, c := range map[string]struct {
		mkfs  []string
		opens bool
	}{
		"XFS":  {[]string{"mkfs.xfs", "-q"}, false},
		"ext4": {[]string{"mke2fs", "-q", "-t", "ext4", "-m", "0"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overlays(t, kit.KeptLab, []string{"su", "pamhost"}, func(h *host.Host) {
				h.Need(c.mkfs[0], "losetup")
				h.MustRun("umount", host.Parents)
				h.MustRun("truncate", "-s", "300M", "/root/image")
				h.MustRun(append(c.mkfs, "/root/image")...)
				h.MustRun("mount", "-o", "loop", "/root/image", host.Parents)
				h.Prepare(kit.LabParent)
				h.MustRun("su", "alice", "-c", "echo mine >"+kit.Lab+"/f; head -c 1M /dev/zero >"+kit.Lab+"/big")
				h.Sh("cd " + host.Parents + "; cat /dev/zero >rest 2>/dev/null || until ! echo x >more.$((i = i + 1)) 2>/dev/null; do :; done")
				h.Match("doctor", h.Cmd("polyinst", "doctor", "alice", "--service", "su").String(), `warning: polydir "/srv/lab": instance parent "/var/lib/polyinst/lab": its filesystem is full, or nearly: the kernel makes a directory there for the overlay, and a session is refused if it cannot: .polyinst list --instances. shows who has how much`)
				h.Match("explain", h.MustRun("polyinst", "explain", "alice"), `refuse, unless the kernel has room for a directory: the filesystem of instance parent "/var/lib/polyinst/lab" is full, or nearly`)
				if c.opens {
					h.MustRun("su", "alice", "-c", "rm "+kit.Lab+"/big; echo more >>"+kit.Lab+"/f")
					host.Equal(h, "the file", h.MustRun("su", "alice", "-c", "cat "+kit.Lab+"/f"), "mine\nmore")
					return
				}
				tr := h.PamHost(kit.Steps("snapshot:before", "open", "snapshot:after", "end")...)
				tr.RC("open", host.PAMRefused)
				h.Unchanged("the refusal", tr.Snapshot("before"), tr.Snapshot("after"))
				h.WaitLog("session refused for \"alice\": polydir \"/srv/lab\": overlay: /var/lib/polyinst/lab/alice: the kernel has no room for its directory in \"work\": no space left on device: `polyinst list --instances` shows who has how much")
				h.Match("who has how much", h.MustRun("polyinst", "list", "--instances"), `1\.0M.*/var/lib/polyinst/lab/alice`)
				h.MustRun("rm", "/var/lib/polyinst/lab/alice/upper/big") // as root may, who has been told
				host.Equal(h, "the file", h.MustRun("su", "alice", "-c", "echo more >>"+kit.Lab+"/f; cat "+kit.Lab+"/f"), "mine\nmore")
			})
		})
	}
}

// Changes are removed also where there is no room for a directory to ask the kernel by.
func TestGcOfOverlaysOnAFullDisk(t *testing.T) {
	overlays(t, kit.KeptLab, []string{"su"}, func(h *host.Host) {
		h.Need("mke2fs", "losetup")
		h.MustRun("umount", host.Parents)
		h.MustRun("truncate", "-s", "8M", "/root/image")
		h.MustRun("mke2fs", "-q", "-t", "ext4", "-m", "0", "-I", "256", "/root/image")
		h.MustRun("mount", "-o", "loop", "/root/image", host.Parents)
		h.Prepare(kit.LabParent)
		h.MustRun("su", "alice", "-c", "echo mine >"+kit.Lab+"/f")
		h.Sh("cd " + host.Parents + "; cat /dev/zero >rest 2>/dev/null || until ! echo x >more.$((i = i + 1)) 2>/dev/null; do :; done")
		if r := h.Cmd("mkdir", kit.LabParent+"/alice/probe"); r.Code == 0 {
			t.Fatal("there is room")
		}
		first := h.Start("su", "alice", "-c", "echo ready; cat")
		first.Expect("ready")
		h.MustRun("touch", "-d", "100 days ago", kit.LabParent+"/.lock/alice")
		h.MustRun("polyinst", "gc", "--older-than", "90d")
		host.Equal(h, "while she is there", h.Exists(kit.LabParent+"/alice/upper/f"), true)
		first.CloseInput()
		first.Wait()
		h.MustRun("touch", "-d", "100 days ago", kit.LabParent+"/.lock/alice")
		h.MustRun("polyinst", "gc", "--older-than", "90d")
		host.Equal(h, "afterwards", h.Exists(kit.LabParent+"/alice"), false)
	})
}

// obeyAside does what a message says that has "prepare --aside" in it: alice gets in
// then, and her file is where it was put.
func obeyAside(h *host.Host, says string) {
	h.T.Helper()
	if !strings.Contains(says, "--aside") && !strings.Contains(says, "with the changes of an overlay in it") {
		return
	}
	before := h.Sh("cat " + kit.LabParent + "/alice/*/precious 2>/dev/null || :")
	h.MustRun("polyinst", "prepare", "--aside", kit.LabParent+"/alice")
	h.MustRun("su", "alice", "-c", "touch "+kit.Lab+"/new")
	host.Equal(h, "the new changes", h.Exists(kit.LabParent+"/alice/upper/new"), true)
	host.Equal(h, "the old ones", h.Sh("cat "+kit.LabParent+"/alice.uid-*/*/precious 2>/dev/null || :"), before)
}

// The changes are in one mount at a time: a session that would get another one, by a
// changed configuration, is refused while the first lives.
func TestOverlayHasItsChangesAlone(t *testing.T) {
	overlays(t, kit.KeptLab, []string{"su", "pamhost"}, func(h *host.Host) {
		first := h.Start("su", "alice", "-c", "echo one >"+kit.Lab+"/f; echo ready; cat")
		first.Expect("ready")
		h.Config(kit.KeptLab + "mount_options = [\"nosuid\"]\n")
		tr := h.PamHost(kit.Steps("open", "end")...)
		tr.RC("open", host.PAMRefused)
		h.WaitLog("another overlay has these changes, of another namespace of the user's: end the sessions in it, which `polyinst list` shows")
		h.Match("list", h.MustRun("polyinst", "list"), "alice")
		first.CloseInput()
		first.Wait()
		host.Equal(h, "afterwards", h.MustRun("su", "alice", "-c", "cat "+kit.Lab+"/f"), "one")
	})
}

// A kernel, or a filter, that says yes and makes something else is found out; one
// that takes no descriptors of layers (before Linux 6.13, and 6.5) gets them by /proc.
func TestOverlayIsProved(t *testing.T) {
	// of the calls of fsconfig(2): source, three layers, redirect_dir, metacopy,
	// nfs_export, index, create
	for lie, says := range map[string]string{
		"fsconfig:retval=0:when=5":         `the finished view is not what was planned: the overlay is without "redirect_dir=on"`,
		"fsconfig:retval=0:when=8":         `the finished view is not what was planned: the overlay is without "index=on"`,
		"fsconfig:error=EINVAL:when=2":     "",
		"fsconfig:error=EOPNOTSUPP:when=2": "",
	} {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			overlays(t, kit.KeptLab, []string{"pamhost"}, func(h *host.Host) {
				h.Need("strace")
				args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "trace=fsconfig", "-e", "inject=" + lie, h.Built("pamhost")}
				tr := h.Command(append(args, kit.Steps("open", "exec:echo mine >"+kit.Lab+"/f; cat "+kit.Lab+"/f", "close", "end")...)...).Trace()
				h.Match("the fault", h.ReadFile("/run/trace"), "INJECTED")
				if says != "" {
					tr.RC("open", host.PAMRefused)
					h.WaitLog(says)
					return
				}
				tr.RC("open", host.PAMSuccess)
				host.Equal(h, "the file", strings.TrimSpace(tr.Step("exec").Text), "mine")
				host.Equal(h, "the public one", h.Exists(kit.Lab+"/f"), false)
			})
		})
	}
}

// gc leaves the changes alone that a session has, also where a process shows the
// overlay and no longer what lies beneath it; close and gc remove them afterwards.
func TestGcLeavesOverlaysAlone(t *testing.T) {
	for name, part := range map[string]string{"all of it": kit.Lab, "a part of it": kit.Lab + "/part"} {
		t.Run(name, func(t *testing.T) { leftAlone(t, part) })
	}
}

// leftAlone is that story, of a sandbox that shows a part.
func leftAlone(t *testing.T, part string) {
	t.Helper()
	overlays(t, kit.DroppedLab, []string{"su"}, func(h *host.Host) {
		h.Need("unshare", "setpriv")
		h.Mkdir("/run/nest", 0o777, 0, 0)
		h.Sh("mkfifo -m 666 /run/nest/ready /run/nest/go")
		// a sandbox of alice's with the overlay alone, as bubblewrap makes it
		h.WriteFile("/run/nest/sandbox", "#!/bin/sh\nmount -t tmpfs none /mnt; cd /mnt; mkdir lab bin lib lib64 usr old dev run proc\n"+
			"mount --rbind "+part+" lab; for d in bin lib lib64 usr dev run proc; do [ -e /$d ] && mount --rbind /$d $d; done\n"+
			"pivot_root . old && umount -l /old && cd /lab && echo ready >/run/nest/ready; read line </run/nest/go; echo more >/lab/more; cat /lab/f /lab/more >/run/nest/seen\n", 0o755)
		first := h.Start("su", "alice", "-c", "mkdir -p "+part+"; echo one >"+part+"/f; echo ready; read line; setsid unshare -Urm --propagation private sh /run/nest/sandbox >/dev/null 2>&1 </dev/null &\nread line </run/nest/ready; echo sandboxed; cat")
		first.Expect("ready")
		instances := func() string { return h.Sh("cd " + kit.LabParent + "; ls -A | grep -v lock | wc -l") }
		h.MustRun("polyinst", "gc")
		host.Equal(h, "while the session lives", instances(), "1")
		first.Send("\n")
		first.Expect("sandboxed")
		first.CloseInput()
		first.Wait()
		host.Equal(h, "after close", instances(), "1")
		host.Equal(h, "namespaces that show the instance", h.Sh("cat /proc/[0-9]*/mountinfo | grep -c ' /lab/.tmpdir' || :"), "0")
		h.MustRun("polyinst", "gc")
		host.Equal(h, "while the sandbox lives", instances(), "1")
		h.Sh("echo go >/run/nest/go; until [ -s /run/nest/seen ]; do :; done")
		host.Equal(h, "the sandbox saw", h.ReadFile("/run/nest/seen"), "one\nmore\n")
		h.Sh("while polyinst gc && ls -A " + kit.LabParent + " | grep -q tmpdir; do :; done")
	})
}

// gc --older-than and --orphans take an overlay's changes as any other instance's;
// --files-older-than does not touch them, and prepare --repair mends their owner.
func TestOverlayAndTheTools(t *testing.T) {
	overlays(t, kit.KeptLab, []string{"su"}, func(h *host.Host) {
		h.Need("debugfs", "mke2fs")
		h.MustRun("umount", host.Parents)
		h.MustRun("sh", "-c", "truncate -s 16M /root/image; mke2fs -q -I 256 /root/image; mount -o loop /root/image "+host.Parents)
		h.MustRun("polyinst", "prepare")
		h.MustRun("su", "alice", "-c", changes)
		upper := kit.LabParent + "/alice/upper"
		// the times of an inode's change and making are set where it is not mounted
		h.MustRun("umount", host.Parents)
		for _, field := range []string{"atime", "ctime", "mtime", "crtime"} {
			h.MustRun("debugfs", "-w", "-R", "set_inode_field lab/alice/upper/new "+field+" 20200101", "/root/image")
		}
		h.MustRun("mount", "-o", "loop", "/root/image", host.Parents)
		h.MustRun("touch", "-d", "20 days ago", kit.LabParent+"/.lock/alice")
		h.MustRun("polyinst", "gc", "--files-older-than", "10d")
		host.Equal(h, "an old file", h.Exists(upper+"/new"), true)
		h.MustRun("chown", "bob", upper)
		h.MustRun("polyinst", "prepare", "--repair", kit.LabParent+"/alice")
		host.Equal(h, "the owner", h.Sh("stat -c '%U %a' "+upper), "root 1777")
		// of another method: others may have made what is in it
		h.Mkdir(kit.LabParent+"/bob", 0o1777, 0, 0)
		r := h.Cmd("polyinst", "prepare", "--repair", kit.LabParent+"/bob")
		h.Match("repair", r.String(), "/var/lib/polyinst/lab/bob: holds no changes of an overlay: `polyinst prepare --aside /var/lib/polyinst/lab/bob`")
		h.MustRun("mv", kit.LabParent+"/bob", "/root/bobs") // it is not recorded whose it was
		h.MustRun("su", "bob", "-c", "true")
		h.Match("list", h.MustRun("polyinst", "list", "--instances"), `/var/lib/polyinst/lab/alice`)
		h.MustRun("touch", "-d", "100 days ago", kit.LabParent+"/.lock/alice")
		first := h.Start("su", "alice", "-c", "echo ready; cat")
		first.Expect("ready")
		h.Match("list", h.MustRun("polyinst", "list"), `/var/lib/polyinst/lab/alice`)
		h.Match("instances", h.MustRun("polyinst", "list", "--instances"), `in use by process \d+ +/var/lib/polyinst/lab/alice`)
		if r := h.Cmd("polyinst", "prepare", "--aside", kit.LabParent+"/alice"); r.Code == 0 {
			t.Errorf("it is in use: %s", r)
		}
		h.MustRun("touch", "-d", "100 days ago", kit.LabParent+"/.lock/alice")
		h.MustRun("polyinst", "gc", "--older-than", "90d")
		host.Equal(h, "while she is there", h.Exists(upper), true)
		first.CloseInput()
		first.Wait()
		h.MustRun("polyinst", "gc", "--older-than", "90d")
		host.Equal(h, "afterwards", h.Exists(upper), false)
	})
}

// A polydir inside an overlay, an init script, in place, and nested: as with every
// other method.
func TestOverlayAmongOthers(t *testing.T) {
	inner := kit.KeptLab + "init = \"lab.init\"\n" + `
[[polydir]]
path   = "/srv/lab/course"
method = "tmpfs"
except = ["root"]
`
	for name, c := range map[string]struct{ config, step string }{
		"joins":    {inner, "umask:022"},
		"in place": {strings.Replace(strings.Replace(inner, "scope = \"user\"", "", 1), "method          = \"overlay\"", "method = \"overlay\"\nkeep_changes = false", 1), "dropcap:cap_sys_chroot"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overlays(t, c.config, []string{"pamhost"}, func(h *host.Host) {
				h.WriteFile("/etc/security/polyinst/namespace.d/lab.init", "#!/bin/sh\necho $3 >$1/by-init\n", 0o755)
				before := base(h)
				tr := h.PamHost(kit.Steps(c.step, "open", "exec:cd "+kit.Lab+"; cat by-init; touch course/in-tmpfs; ls . course", "close", "end")...)
				tr.RC("open", host.PAMSuccess)
				host.Equal(h, "seen", strings.TrimSpace(tr.Step("exec").Text), "1\n.:\nby-init\ncourse\n\ncourse:\nin-tmpfs")
				host.Equal(h, "the public directory", base(h), before)
				h.Need("strace")
				// the mount of the overlay fails: what lies beneath it goes as well
				mounts := h.Sh("findmnt -rno TARGET | sort")
				args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=move_mount:error=ENOMEM:when=2", h.Built("pamhost")}
				tr = h.Command(append(args, kit.Steps(c.step, "open", "root-exec:findmnt -rno TARGET | sort", "end")...)...).Trace()
				tr.RC("open", host.PAMRefused)
				host.Equal(h, "the mounts", strings.TrimSpace(tr.Step("root-exec").Text), strings.TrimSpace(mounts))
			})
		})
	}
}
