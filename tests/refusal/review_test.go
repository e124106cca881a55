package refusal

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// In a sticky directory the owner of an entry can rename it: a polydir that
// another user owns there is none.
func TestPolydirOfAnotherInAStickyDirectory(t *testing.T) {
	config := strings.Replace(kit.OwnTmp, `"/tmp"`, `"/srv/pub/box"`, 1)
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		m := h.AddUser("mallory")
		h.Mkdir("/srv/pub", 0o1777, 0, 0)
		h.Mkdir("/srv/pub/box", 0o755, m.UID, m.UID)
		host.Equal(h, "alice", kit.Admitted(h, "alice"), false)
		h.WaitLog("made what stands in its place, in \"/srv/pub\"")
		host.Equal(h, "mallory", kit.Admitted(h, "mallory"), true)
		h.MustRun("chown", "root", "/srv/pub/box")
		host.Equal(h, "alice, when it is root's", kit.Admitted(h, "alice"), true)
	})
}

// A directory service that fails refuses whom it leaves in doubt, and nobody
// else: not root, who is exempt by name.
func TestGroupLookupThatFails(t *testing.T) {
	config := strings.Replace(kit.OwnTmp, `["root"]`, `["root", "@students"]`, 1)
	kit.Story(t, config, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		h.AddGroup("students", "nobody")
		h.Sh(`sed -i 's/^group:.*/group: files/' /etc/nsswitch.conf`)
		for user, want := range map[string]int{"root": 0, "alice": host.PAMRefused} {
			args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-P", "/etc/group", "-e", "inject=read,pread64:error=EIO", h.Built("pamhost")}
			tr := h.Command(append(args, "user="+user, "start", "open", "end")...).Trace()
			tr.RC("open", want)
		}
		h.WaitLog("students.*cannot be looked up|groups of.*cannot be looked up")
	})
}

// What cannot be read of an instance's lock refuses; it is not "nothing known".
func TestLockThatCannotBeRead(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "true")
		h.MustRun("chown", "9999", kit.TmpParent+"/.lock/alice")
		host.Equal(h, "another's instance", kit.Admitted(h, "alice"), false)
		h.MustRun("chown", "9999", kit.TmpParent+"/.lock")
		host.Equal(h, "a directory of locks that is not root's", kit.Admitted(h, "alice"), false)
	})
}

// Prefixes by which two polydirs would take each other's instances.
func TestPrefixesThatClash(t *testing.T) {
	for _, second := range []string{"/var/lib/polyinst/tmp/", "/var/lib/polyinst/tmp/v-"} {
		t.Run(second, func(t *testing.T) {
			t.Parallel()
			config := kit.OwnTmp + strings.NewReplacer(`"/tmp"`, `"/var/tmp"`, "/var/lib/polyinst/tmp/", second).Replace(kit.OwnTmp)
			kit.Story(t, config, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				host.Equal(h, "admitted", kit.Admitted(h, "alice"), false)
				h.WaitLog("lead to the same names")
				host.Equal(h, "check", h.Cmd("polyinst", "check").Code, 1)
			})
		})
	}
}

// Two tmpdir polydirs may share an instance parent.
func TestTwoTmpdirsInOneParent(t *testing.T) {
	config := kit.Tmpdir + strings.Replace(kit.Tmpdir, `"/tmp"`, `"/var/tmp"`, 1)
	kit.Story(t, config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		seen := strings.Fields(h.MustRun("su", "alice", "-c", "stat -c %d:%i /tmp /var/tmp"))
		if seen[0] == seen[1] {
			t.Error("one directory for both")
		}
		host.Equal(h, "afterwards", len(kit.Settled(h, 0)), 0)
	})
}

// A polydir that `create` began to make is finished by the next session.
func TestCreateThatWasCutShort(t *testing.T) {
	config := strings.Replace(kit.OwnTmp, `"/tmp"`, `"/srv/made"`, 1) + "create = { mode = \"1777\", owner = \"root\" }\n"
	kit.Story(t, config, []string{"pamhost", "su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		for _, fault := range []string{"fchown:signal=SIGKILL:when=1", "fchown:error=EIO:when=1", "fchmod:signal=SIGKILL:when=1"} {
			h.Command(append([]string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=" + fault, h.Built("pamhost")},
				kit.Steps("open", "end")...)...).Run()
			h.MustRun("su", "alice", "-c", "touch /srv/made/mine")
			mode, uid, _ := h.Mode("/srv/made")
			host.Equal(h, fault, [2]int{int(mode), uid}, [2]int{0o1777, 0})
			h.MustRun("rmdir", "/srv/made")
		}
	})
}

// rescue does not cover what a user alone can bring about: their limits, their
// own home.
func TestRescueDoesNotCoverOnesOwnDoing(t *testing.T) {
	config := "[namespace]\nrescue = [\"root\", \"alice\"]\n" + strings.Replace(kit.OwnTmp, `"/tmp"`, `"$HOME/dir"`, 1)
	kit.Story(t, config, []string{"pamhost"}, func(h *host.Host) {
		u := h.AddUser("alice")
		h.PamHost(kit.Steps("open", "end")...).RC("open", host.PAMRefused)
		h.MustRun("ln", "-s", "/etc", "/home/alice/dir")
		h.PamHost(kit.Steps("open", "end")...).RC("open", host.PAMRefused)
		h.MustRun("rm", "/home/alice/dir")
		h.Mkdir("/home/alice/dir", 0o700, u.UID, u.UID)
		h.PamHost(kit.Steps("open", "end")...).RC("open", 0)
		h.Forks() // a ready worker has limits of its own
		h.PamHost(append([]string{"rlimit:nofile=8,8"}, kit.Steps("open", "end")...)...).RC("open", host.PAMRefused)
	})
}

// The working directory below a polydir whose path is a symbolic link is never
// the public one.
func TestWorkingDirectoryBehindALink(t *testing.T) {
	config := strings.Replace(kit.OwnTmp, `"/tmp"`, `"/srv/t"`, 1)
	kit.Story(t, config, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("ln", "-s", "/tmp", "/srv/t")
		h.Mkdir("/tmp/a", 0o777, 0, 0)
		tr := h.PamHost(append([]string{"cwd:/tmp/a"}, kit.Steps("open", "exec:pwd", "close", "end")...)...)
		tr.RC("open", host.PAMSuccess)
		host.Equal(h, "the working directory", strings.TrimSpace(tr.Step("exec").Text), kit.Nowhere)
	})
}

// gc and an opener that is about to finish: what it finished is not garbage.
func TestGcAndAnInstanceJustFinished(t *testing.T) {
	kit.Story(t, kit.WithInit(), []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		h.Fifo("/run/in")
		h.Fifo("/run/out")
		kit.InitScript(h, "echo in > /run/in; read line < /run/out")
		p := h.PamHostCommand(kit.Steps("open", "exec:echo data > /tmp/data; echo opened", "pause", "exec:cat /tmp/data", "close", "end")...).Start()
		h.ReadFifo("/run/in")
		gc := h.Command("strace", "-f", "-qq", "-o", "/run/gc.trace", "-e", "trace=flock", "-e", "inject=flock:delay_enter=1500000", "polyinst", "gc").Start()
		h.Sh("until test -s /run/gc.trace || ! pgrep -x polyinst >/dev/null; do :; done; echo go > /run/out")
		p.Expect("opened")
		gc.Wait()
		p.Send("\n")
		p.Expect("data")
		host.Equal(h, "the host", p.Wait().Code, 0)
		host.Equal(h, "the data", h.ReadFile(kit.Instance("alice")+"/data"), "data\n")
	})
}
