package close

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// Old files go from instances when that is asked for; what a session has mounted
// or may listen on in there stays, as does what is root's.
func TestGcAgesFiles(t *testing.T) {
	kit.Story(t, kit.OwnTmp+"keep = [\".X11-unix\"]\n", []string{"su"}, func(h *host.Host) {
		h.Need("debugfs", "mke2fs", "perl")
		h.AddUser("alice")
		h.AddUser("bob")
		h.AddUser("carol")
		// the times of an inode's change and making are set on a filesystem that
		// is not mounted
		h.MustRun("sh", "-c", "truncate -s 16M /root/image; mke2fs -q /root/image; mount -o loop /root/image "+host.Parents)
		h.MustRun("polyinst", "prepare")
		for _, user := range []string{"alice", "bob", "carol"} {
			h.MustRun("su", user, "-c", `cd /tmp; mkdir -p d/empty own; echo >file; echo >d/file; ln -s file link; mkfifo fifo
perl -MSocket -e 'socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("/tmp/d/socket"))'; echo >fresh; echo >own/fresh`)
		}
		makeOld(h, "alice", "bob", "carol")
		h.MustRun("sh", "-c", "echo now >"+kit.Instance("alice")+"/fresh; echo now >"+kit.Instance("alice")+"/own/fresh")
		a := h.Start("su", "alice", "-c", "echo ready; cat")
		a.Expect("ready")
		h.MustRun("touch", "-d", "20 days ago", kit.TmpParent+"/.lock/alice", kit.TmpParent+"/.lock/carol")
		files := func(user string) string {
			return h.Sh("cd " + kit.Instance(user) + "; find . -mindepth 1 | sort | xargs")
		}
		all := "./.X11-unix ./d ./d/empty ./d/file ./d/socket ./fifo ./file ./fresh ./link ./own ./own/fresh"
		host.Equal(h, "before", files("alice"), all)
		h.Match("a dry run", h.MustRun("polyinst", "gc", "--files-older-than", "10d", "--dry-run"), `(?m)^would remove 3 old entries of `+kit.Instance("alice")+`$`)
		host.Equal(h, "after the dry run", files("alice"), all)
		h.MustRun("polyinst", "gc", "--files-older-than", "4000w")
		host.Equal(h, "with a longer time", files("alice"), all)

		// bob's lock is held, as while bob's session is being opened
		opening := h.Start("flock", "-s", kit.TmpParent+"/.lock/bob", "sh", "-c", "echo ready; cat")
		opening.Expect("ready")
		h.Match("gc", h.MustRun("polyinst", "gc", "--files-older-than", "10d"), `(?m)^removed 3 old entries of `+kit.Instance("alice")+`$`)
		used := "./.X11-unix ./d ./d/empty ./d/socket ./fifo ./fresh ./own ./own/fresh"
		host.Equal(h, "alice's, in use", files("alice"), used)
		host.Equal(h, "bob's, being opened", files("bob"), "./.X11-unix ./d ./d/empty ./d/socket ./fifo ./own")
		host.Equal(h, "carol's, idle", files("carol"), "./.X11-unix")
		h.Match("what is kept", h.MustRun("polyinst", "list"), ` with \.X11-unix`)
		opening.CloseInput()
		opening.Wait()
		h.MustRun("touch", "-d", "1 day", kit.TmpParent+"/.lock/bob") // later than any gc begins, however slow the machine is
		h.MustRun("polyinst", "gc", "--files-older-than", "10d")
		host.Equal(h, "bob's, opened since gc began", files("bob"), "./.X11-unix ./d ./d/empty ./d/socket ./fifo ./own")
		h.MustRun("touch", "-d", "20 days ago", kit.TmpParent+"/.lock/bob")
		h.Match("as JSON", h.MustRun("polyinst", "gc", "--files-older-than", "10d", "--json"), `"aged": \[\s+\{\s+"path": "`+kit.Instance("bob")+`",\s+"entries": 3`)
		host.Equal(h, "bob's, idle, but for what changed just now", files("bob"), "./.X11-unix ./d ./own")
		host.Equal(h, "alice's, in use", files("alice"), used)

		// the kernel takes a mount off whose directory goes, in whichever namespace
		h.MustRun("rmdir", kit.Instance("alice")+"/.X11-unix")
		if out := h.MustRun("polyinst", "list"); strings.Contains(out, "X11") {
			t.Errorf("list shows what is not mounted any more:\n%s", out)
		}
		a.Kill()
		for _, age := range []string{"", "0d", "30"} {
			host.Equal(h, "age "+age, h.Cmd("polyinst", "gc", "--files-older-than="+age).Code, 2)
		}
	})
}

// makeOld sets all times of what is in instances to 40 days ago, except those of
// "fresh" in alice's.
func makeOld(h *host.Host, users ...string) {
	h.T.Helper()
	var script strings.Builder
	day := h.MustRun("date", "-u", "-d", "40 days ago", "+%Y%m%d%H%M%S")
	for _, user := range users {
		for path := range strings.Lines(h.MustRun("find", kit.Instance(user)) + "\n") {
			inside := strings.TrimPrefix(strings.TrimSpace(path), host.Parents)
			for _, field := range []string{"atime", "ctime", "mtime", "crtime"} {
				fmt.Fprintf(&script, "sif %s %s %s\n", inside, field, day)
			}
		}
	}
	h.WriteFile("/root/script", script.String())
	h.MustRun("umount", host.Parents)
	if out := h.MustRun("debugfs", "-w", "-f", "/root/script", "/root/image"); regexp.MustCompile(`not found|Usage`).MatchString(out) {
		h.T.Fatal(out)
	}
	h.MustRun("mount", "-o", "loop", "/root/image", host.Parents)
}

// What a user puts into the place of an entry while it is looked at is left, and
// makes no command of root's fail.
func TestGcAgesWhileNamesAreSwapped(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("perl")
		if runtime.GOARCH != "amd64" {
			t.Skip("needs a machine: renameat2(2) by its number")
		}
		h.AddUser("alice")
		p := h.Start("su", "alice", "-c", `cd /tmp; exec perl -e 'for (1..20) { mkdir "d$_"; symlink "/etc", "l$_" } syswrite STDOUT, "ready\n";
while (1) { for (1..20) { my ($a, $b) = ("d$_", "l$_"); syscall(316, -100, $a, -100, $b, 2) } }'`)
		p.Expect("ready")
		for range 15 {
			r := h.Cmd("polyinst", "gc", "--files-older-than", "1h")
			host.Equal(h, "gc", fmt.Sprint(r.Code, r.Stderr), "0")
		}
		p.Kill()
	})
}

// The line of docs/housekeeping.md for systemd-tmpfiles keeps a parent below a directory
// that it empties.
func TestTmpfilesLeavesParentsAlone(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("systemd-tmpfiles")
		line := regexp.MustCompile(`(?m)^ +(x /var/tmp/polyinst)$`).FindStringSubmatch(h.ReadFile(h.Source("docs/housekeeping.md")))
		h.Install()
		h.Config(strings.Replace(kit.OwnTmp, "/var/lib/polyinst/tmp/", "/var/tmp/polyinst/", 1) + "parent_in_unsafe_dir = true\n")
		h.Mkdir("/var/tmp/polyinst", 0, 0, 0)
		h.PAM("su", host.Stack(kit.Session)...)
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "echo mine >/tmp/mine")
		h.WriteFile("/var/tmp/other", "old")
		h.WriteFile("/root/clean.conf", "e /var/tmp 1777 root root 0\n"+line[1]+"\n")
		h.MustRun("systemd-tmpfiles", "--clean", "/root/clean.conf")
		host.Equal(h, "what it cleans", h.Exists("/var/tmp/other"), false)
		host.Equal(h, "her file", h.MustRun("su", "alice", "-c", "cat /tmp/mine"), "mine")
		h.WriteFile("/root/clean.conf", "e /var/tmp 1777 root root 0\n")
		h.MustRun("systemd-tmpfiles", "--clean", "/root/clean.conf")
		host.Equal(h, "her file, without the line", h.Exists("/var/tmp/polyinst/alice/mine"), false)
	})
}
