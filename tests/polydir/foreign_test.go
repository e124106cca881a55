package polydir

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// createIn is a polydir in users' homes, which is made.
func createIn(path string) string {
	return strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, fmt.Sprintf("%q", path)) + "create = { mode = \"0700\" }\n"
}

// A filesystem of alice's own over her home says that its files are root's, and
// leads to a directory of root's: nothing is made there.
func TestFilesystemThatLies(t *testing.T) {
	kit.Story(t, createIn("$HOME/.cache/cron.service.d"), []string{"su"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir("/home/bob/.cache", 0o700, alice.UID+1, alice.GID+1)
		h.Mkdir("/etc/systemd/system", 0o755, 0, 0)
		before := h.Sh("find /etc/systemd /etc/cron.d -printf '%p %u %m\n' | sort")
		kit.Lies(h, alice, "/home/alice", "l:.cache:0:/etc/systemd/system")
		host.Equal(h, "alice is admitted", kit.Admitted(h, "alice"), false)
		h.WaitLog(`/home/alice/\.cache: is a symbolic link below /home/alice \(on a filesystem that uid \d+ mounted`)
		host.Equal(h, "what is root's", h.Sh("find /etc/systemd /etc/cron.d -printf '%p %u %m\n' | sort"), before)
		host.Equal(h, "bob is admitted", kit.Admitted(h, "bob"), true)
	})
}

// An instance is like its polydir; where that is on a filesystem of the user's
// own, it is the user's: nobody gets a directory of another's, or of a group.
func TestPolydirOnAUsersFilesystem(t *testing.T) {
	kit.Story(t, strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"$HOME/box"`), []string{"su"}, func(h *host.Host) {
		alice, bob := h.AddUser("alice"), h.AddUser("bob")
		kit.Lies(h, alice, "/home/alice", fmt.Sprintf("d:box:%d:6777", bob.UID))
		h.Agrees("alice", "su", func() {
			host.Equal(h, "her polydir", h.Su("alice", "stat -c %d:%i ~/box").Out(), h.FileID(kit.Instance("alice")))
		})
		const theirs = `polydir "/home/alice/box": /home/alice: is on a filesystem that uid \d+ mounted, fuse: nothing is asked of it: their own sessions look at it, and what they find is seen at the login`
		h.Match("explain", h.MustRun("polyinst", "explain", "alice"), theirs)
		h.Match("check", h.Sh("polyinst check 2>&1"), "note: for alice: "+theirs)
		host.Equal(h, "whose it is", h.Sh("stat -c '%u:%g %a' "+kit.Instance("alice")), fmt.Sprintf("%d:%d 777", alice.UID, alice.GID))
	})
}

// What a user mounts in the public directory is not kept, and keeps nobody
// waiting.
func TestKeepOnAUsersFilesystem(t *testing.T) {
	kit.Story(t, kit.OwnTmp+"keep = [\".X11-unix\"]\n", []string{"su"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir("/tmp/.X11-unix", 0o700, alice.UID, alice.GID)
		liar := kit.Lies(h, alice, "/tmp/.X11-unix", "d:/:0:1777", "d:planted:0:755")
		host.Equal(h, "bob's /tmp", h.Su("bob", "find /tmp -mindepth 1").Out(), "")
		h.WaitLog(`keep: left out: ".X11-unix" \(.*is on a filesystem that uid \d+ mounted`)
		liar.Signal(syscall.SIGUSR1)
		host.Equal(h, "bob's /tmp while it is silent", h.Su("bob", "find /tmp -mindepth 1").Out(), "")
	})
}

// What a server says to be root's is not kept either.
func TestKeepOnARemoteFilesystem(t *testing.T) {
	kit.Story(t, kit.OwnTmp+"keep = [\"shared\"]\n", []string{"su"}, func(h *host.Host) {
		h.AddUser("bob")
		h.Mkdir("/tmp/shared", 0o755, 0, 0)
		host.Equal(h, "bob's /tmp", h.Su("bob", "ls -A /tmp").Out(), "shared")
		h.MustRun("rmdir", kit.Instance("bob")+"/shared")
		remote(h, "/tmp/shared")
		host.Equal(h, "bob's /tmp without it", h.Su("bob", "ls -A /tmp").Out(), "")
		h.WaitLog(`keep: left out: "shared" \(is on fuse, whose owners and modes this kernel does not keep itself\)`)
	})
}

// An instance parent on what a user has mounted, or on a network filesystem where
// the user can make names, is none: root would be handed anything.
func TestParentInAHomeThatLies(t *testing.T) {
	config := strings.NewReplacer(`"/tmp"`, `"$HOME/box"`, `"/var/lib/polyinst/tmp/"`, `"$HOME/.inst/"`).Replace(kit.OwnTmp) +
		"parent_in_unsafe_dir = true\nallow_network_fs = true\n"
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		alice, bob := h.AddUser("alice"), h.AddUser("bob")
		kit.Lies(h, alice, "/home/alice", fmt.Sprintf("d:box:%d:700", alice.UID), "d:.inst:0:0")
		host.Equal(h, "alice is admitted", kit.Admitted(h, "alice"), false)
		h.WaitLog(`instance parent "/home/alice/\.inst": /home/alice: is on a filesystem that uid \d+ mounted, fuse: nothing is asked of it`)
		remote(h, "/home/bob", fmt.Sprintf("d:/:%d:700", bob.UID), fmt.Sprintf("d:box:%d:700", bob.UID), "d:.inst:0:0")
		host.Equal(h, "bob is admitted", kit.Admitted(h, "bob"), false)
		h.WaitLog(`the way to it is on fuse, whose owners .*, and users can create names in "/home/bob"`)
	})
}

// remote mounts a filesystem as root does, of which another machine says whose
// its files are.
func remote(h *host.Host, point string, entries ...string) *host.Process {
	h.T.Helper()
	if !h.Exists("/dev/fuse") {
		h.T.Skip("needs a kernel feature: /dev/fuse")
	}
	p := h.Start(append([]string{h.Built("liar"), "-r", "0", point}, entries...)...)
	p.Expect("mounted")
	return p
}

// Homes on a network filesystem, and on one that the user has mounted (as one
// that encrypts), go on to be of use: what is made there is made with the user's
// rights.
func TestHomeOnAnotherFilesystem(t *testing.T) {
	for name, mount := range map[string]func(*host.Host, host.User, ...string) *host.Process{
		"users": func(h *host.Host, u host.User, entries ...string) *host.Process {
			return kit.Lies(h, u, u.Home, entries...)
		},
		"roots": func(h *host.Host, u host.User, entries ...string) *host.Process { return remote(h, u.Home, entries...) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, createIn("$HOME/.cache"), []string{"su"}, func(h *host.Host) {
				alice := h.AddUser("alice")
				daemon := mount(h, alice, fmt.Sprintf("d:/:%d:700", alice.UID))
				host.Equal(h, "her polydir", h.Su("alice", "stat -c %d:%i ~/.cache").Out(), h.FileID(kit.Instance("alice")))
				daemon.Expect(fmt.Sprintf("mkdir .cache uid=%d", alice.UID))
				host.Equal(h, "her polydir again", h.Su("alice", "stat -c %d:%i ~/.cache").Out(), h.FileID(kit.Instance("alice")))
			})
		})
	}
}

// A filesystem of alice's that is silent keeps nobody waiting: as the working
// directory of bob's session, and where bob's polydir was to be.
func TestFilesystemThatHangs(t *testing.T) {
	t.Run("working directory", func(t *testing.T) {
		t.Parallel()
		kit.Story(t, "[namespace]\nscope = \"user\"\ntimeout = \"5s\"\n"+kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
			alice := h.AddUser("alice")
			h.AddUser("bob")
			h.Mkdir("/home/alice/mnt", 0o755, alice.UID, alice.GID)
			liar := kit.Lies(h, alice, "/home/alice/mnt")
			session := h.PamHostCommand("user=bob", "start", "cwd:/home/alice/mnt", "pause", "open", "look:.", "close", "end").Start()
			session.Expect(`"cwd"`)
			liar.Signal(syscall.SIGUSR1)
			session.Send("\n")
			session.Expect(`"open".*"RC":0,`)
			session.Expect(`"look".*"` + h.FileID(kit.Nowhere) + " ")
		})
	})
	t.Run("server", func(t *testing.T) {
		t.Parallel()
		kit.Story(t, "[namespace]\nscope = \"user\"\ntimeout = \"60s\"\n"+kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
			h.AddUser("bob")
			h.Mkdir("/srv/remote", 0o755, 0, 0)
			server := remote(h, "/srv/remote")
			waits := h.PamHostCommand("user=bob", "start", "cwd:/srv/remote", "pause", "open", "close", "end").Start()
			waits.Expect(`"cwd"`)
			server.Signal(syscall.SIGUSR1)
			waits.Send("\n")
			server.Expect("silent")
			// nothing is held by the one that waits for it
			session := h.PamHostCommand("user=bob", "start", "open", "close", "end").Start()
			session.Expect(`"open".*"RC":0,`)
		})
	})
	t.Run("polydir", func(t *testing.T) {
		t.Parallel()
		config := strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"/scratch/$USER"`) + "create = { mode = \"0700\" }\n"
		kit.Story(t, "[namespace]\ntimeout = \"5s\"\n"+config, []string{"su"}, func(h *host.Host) {
			alice := h.AddUser("alice")
			h.AddUser("bob")
			h.Mkdir("/scratch", 0o1777, 0, 0)
			h.Mkdir("/scratch/bob", 0o700, alice.UID, alice.GID)
			kit.Lies(h, alice, "/scratch/bob").Signal(syscall.SIGUSR1)
			host.Equal(h, "bob is admitted", kit.Admitted(h, "bob"), false)
			h.WaitLog(`polydir "/scratch/bob": .*that uid \d+ mounted`)
		})
	})
}

// In a directory where everybody can make names, a user's polydir can be another's
// already: its user is refused, also where the rescue list names them, and the log
// says who did it and what to do; root gets in. In one of root's it is made.
func TestSquatter(t *testing.T) {
	config := "[namespace]\nrescue = [\"root\", \"bob\"]\n" + strings.NewReplacer(`"/tmp"`, `"/scratch/$USER"`, `["root"]`, `["carol"]`).Replace(kit.OwnTmp) +
		"create = { mode = \"0700\" }\n"
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir("/scratch", 0o1777, 0, 0)
		for _, what := range []string{"mkdir /scratch/bob /scratch/root", "rmdir /scratch/bob; ln -s /home /scratch/bob", "rm /scratch/bob; touch /scratch/bob"} {
			h.Command("sh", "-ec", what).As(alice).Must()
			host.Equal(h, "bob is admitted after "+what, kit.Admitted(h, "bob"), false)
			host.Equal(h, "root is admitted after "+what, kit.Admitted(h, "root"), true)
			host.Equal(h, "alice is admitted", kit.Admitted(h, "alice"), true)
		}
		h.WaitLog(`"/scratch/bob": uid \d+ made what stands in its place, in "/scratch", and can rename it .*: look at it and move it away; better is a directory in which only root can create names`)
		h.WaitLog(`"/scratch/bob": .*is a symbolic link owned by uid`)
		h.Sh("mv /scratch/bob /scratch/bob.hers; chmod 755 /scratch")
		h.Match("alice cannot make it again", h.Command("mkdir", "/scratch/bob").As(alice).Run().Stderr, "Permission denied")
		host.Equal(h, "bob's polydir", h.Su("bob", "stat -c %d:%i /scratch/bob").Out(), h.FileID(kit.Instance("bob")))
	})
}

// A process of alice's whose root directory is on a silent filesystem of hers, in
// a namespace of ours, keeps no command of root's waiting.
func TestRootDirectoryOnASilentFilesystem(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("unshare", "perl")
		alice := h.AddUser("alice")
		h.Mkdir("/home/alice/mnt", 0o755, alice.UID, alice.GID)
		liar := kit.Lies(h, alice, "/home/alice/mnt")
		h.Fifo("/srv/ready")
		h.Su("alice", `unshare -Ur perl -e 'open(F, ">", "/srv/ready"); chroot("/home/alice/mnt") or die; print F "there"; close F; sleep 1000' >/dev/null 2>&1 &`)
		host.Equal(h, "her process", strings.TrimSpace(h.ReadFifo("/srv/ready")), "there")
		liar.Signal(syscall.SIGUSR1)
		h.MustRun("polyinst", "list")
		h.MustRun("polyinst", "gc")
	})
}

// Commands of root's leave out what a user has mounted, and say so.
func TestCommandsAndASilentHome(t *testing.T) {
	config := strings.NewReplacer(`"/tmp"`, `"$HOME/box"`, `"/var/lib/polyinst/tmp/"`, `"$HOME/.inst/"`).Replace(kit.OwnTmp) + "parent_in_unsafe_dir = true\n"
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		alice, bob := h.AddUser("alice"), h.AddUser("bob")
		h.Mkdir("/home/bob/box", 0o700, bob.UID, bob.GID)
		h.Su("bob", "true")
		kit.Lies(h, alice, "/home/alice").Signal(syscall.SIGUSR1)
		for _, command := range []string{"check", "explain alice", "prepare", "list", "list --instances", "gc", "metrics", "report"} {
			h.Sh("polyinst " + command + " 2>&1 || :")
		}
		h.Match("check", h.Sh("polyinst check 2>&1 || :"), `for alice: .*/home/alice: is on a filesystem that uid \d+ mounted, fuse: nothing is asked of it`)
	})
}

// On a filesystem of root's own choice, whose server says that a directory is root's,
// the polydir is made as elsewhere, and no link leads away.
func TestCreateOnARemoteFilesystem(t *testing.T) {
	config := strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"/scratch/$USER"`) + "create = { mode = \"0700\" }\n"
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.Mkdir("/scratch", 0o755, 0, 0)
		h.Mkdir("/srv/roots", 0o755, 0, 0)
		server := remote(h, "/scratch", "l:bob:0:/srv/roots")
		host.Equal(h, "her polydir", h.Su("alice", "stat -c %d:%i /scratch/alice").Out(), h.FileID(kit.Instance("alice")))
		server.Expect("mkdir alice uid=0")
		server.Expect("chown alice uid=0")
		host.Equal(h, "bob is admitted", kit.Admitted(h, "bob"), false)
		h.WaitLog(`"/scratch/bob": is a symbolic link below /scratch \(on fuse, whose owners .*\): none is followed there`)
		host.Equal(h, "what is root's", h.Sh("ls -A /srv/roots; stat -c '%u %a' /srv/roots"), "0 755")
	})
}
