package command

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

func TestCheck(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		host.Equal(h, "a good file", h.Cmd("polyinst", "check").Code, 0)
		h.WriteFile("/root/bad.conf", kit.OwnTmp+"colour = 'red'\nshape = 'round'\n")
		r := h.Cmd("polyinst", "check", "/root/bad.conf")
		host.Equal(h, "a bad file", r.Code, 1)
		h.Match("the problems", r.Stderr, `(?s)^/root/bad\.conf:7:1: .*colour.*\n/root/bad\.conf:8:1: .*shape`)
		host.Equal(h, "its standard output", r.Stdout, "")
	})
}

func TestPrepare(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("rm", "-r", host.Parents)
		h.MustRun("polyinst", "prepare")
		mode, uid, gid := h.Mode(kit.TmpParent)
		host.Equal(h, "mode, owner, group", [3]int{int(mode), uid, gid}, [3]int{0, 0, 0})
		kit.InInstance(h, "then", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.MustRun("polyinst", "prepare") // once more changes nothing
		kit.InInstance(h, "and again", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
	})
}

// No parent is made below a mount point of fstab on which nothing is mounted yet: it
// would be hidden. What prepare and check say instead ends the trouble.
func TestParentsOnAFilesystemThatIsNotMounted(t *testing.T) {
	conf := strings.Replace(kit.OwnTmp, "/var/lib/polyinst/tmp/", "/srv/fast disk/inst/tmp/", 1)
	kit.Story(t, "", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Config(conf)
		h.WriteFile("/etc/fstab", "# what is mounted\nproc /proc proc defaults 0 0\n/dev/sda2 none swap sw 0 0\ntmpfs /srv/fast\\040disk tmpfs mode=755,noauto 0 0\n")
		const says = "instance parent \"/srv/fast disk/inst/tmp\": lies in \"/srv/fast disk\", which /etc/fstab:4 mounts, and nothing is mounted there: `mount '/srv/fast disk'`"
		for _, there := range []bool{false, true} { // the mount point
			if there {
				h.Mkdir("/srv/fast disk", 0o755, 0, 0)
			}
			for _, command := range []string{"prepare", "check"} {
				r := h.Cmd("polyinst", command)
				host.Equal(h, command+": exit status", r.Code, 1)
				host.Equal(h, command+" says why", strings.Contains(r.Stderr, says), true)
				host.Equal(h, command+" says another thing", strings.Contains(r.Stderr, "polyinst prepare"), false)
			}
			host.Equal(h, "the mount point is there", h.Exists("/srv/fast disk"), there)
			host.Equal(h, "the parent is there", h.Exists("/srv/fast disk/inst"), false)
		}
		h.MustRun("sh", "-c", commands(says)[0])
		host.Equal(h, "prepare", h.MustRun("polyinst", "prepare"), "made /srv/fast disk/inst/tmp")
		h.MustRun("polyinst", "check", "--strict")
		h.MustRun("su", "alice", "-c", "touch /tmp/mine")
		host.Equal(h, "her file", h.Exists("/srv/fast disk/inst/tmp/alice/mine"), true)

		// made by hand below the mount point, they work, and check warns
		h.MustRun("umount", "/srv/fast disk")
		h.Mkdir("/srv/fast disk/inst/tmp", 0, 0, 0)
		h.MustRun("su", "alice", "-c", "true")
		h.Match("check", h.Sh("polyinst check 2>&1"), "warning: polydir \"/tmp\": "+says+"; it hides the instances that are made until then")
	})
}

// Several at a time, as a cluster's nodes run it before each job, do not stand in each
// other's way, nor in that of a session that begins meanwhile.
func TestPrepareTogether(t *testing.T) {
	config := ""
	for i := range 8 {
		config += fmt.Sprintf("[[polydir]]\npath = \"/srv/d%d\"\ninstance_prefix = \"/var/lib/polyinst/deep/d%d/\"\nmethod = \"user\"\nexcept = [\"root\"]\n", i, i)
	}
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Sh("mkdir -m 1777 /srv/d0 /srv/d1 /srv/d2 /srv/d3 /srv/d4 /srv/d5 /srv/d6 /srv/d7")
		for range 25 {
			h.Sh("rm -rf /var/lib/polyinst/deep /run/polyinst")
			host.Equal(h, "what fails", h.Sh(`for i in 1 2 3 4 5 6; do { polyinst prepare >/dev/null 2>/run/said.$i || cat /run/said.$i; } & done; wait`), "")
		}
		h.MustRun("polyinst", "check")
		h.MustRun("su", "alice", "-c", "true")
	})
}

// The example that the administrator copies works as it is.
func TestExampleFile(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Config(h.ReadFile(h.Source("namespace.conf.example")))
		h.MustRun("polyinst", "check", "--config-only")
		h.MustRun("polyinst", "prepare")
		h.MustRun("polyinst", "check")
		seen := h.MustRun("su", "alice", "-c", "for d in /tmp /var/tmp /dev/shm; do touch $d/mine && stat -c %n $d/mine; done")
		host.Equal(h, "alice's files", seen, "/tmp/mine\n/var/tmp/mine\n/dev/shm/mine")
		for _, d := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
			if h.Exists(d + "/mine") {
				t.Errorf("alice's file is in the public %s", d)
			}
		}
	})
}
