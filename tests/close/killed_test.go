package close

import (
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// tmpfs gives every session a small filesystem of its own.
const tmpfs = `
[[polydir]]
path   = "/tmp"
method = "tmpfs"
tmpfs  = { size = "1M" }
except = ["root"]
`

func TestTmpdirIsGoneAfterClose(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		p := h.Start("su", "alice", "-c", "mkdir -p /tmp/a/b; touch /tmp/a/b/c; echo ready; cat")
		p.Expect("ready")
		if n := kit.Instances(h); len(n) != 1 || !strings.HasPrefix(n[0], ".tmpdir.") {
			t.Errorf("during the session the parent holds %v, want one .tmpdir.", n)
		}
		p.CloseInput()
		p.Wait()
		if n := kit.Settled(h, 0); len(n) > 0 {
			t.Errorf("after the session the parent holds %v", n)
		}
	})
}

// A host that is killed leaves its instance; gc removes it, and leaves the one
// of a session that lives.
func TestKilledHost(t *testing.T) {
	kit.Story(t, kit.Tmpdir, []string{"pamhost"}, func(h *host.Host) {
		h.Forks() // else the service removes it
		h.AddUser("alice")
		steps := kit.Steps("open", "exec:touch /tmp/mine; stat -c at=%d:%i /tmp", "pause", "close", "end")
		killed := h.PamHostCommand(steps...).Start()
		gone := killed.Expect(`at=(\d+:\d+)`)[1]
		alive := h.PamHostCommand(steps...).Start()
		stays := alive.Expect(`at=(\d+:\d+)`)[1]
		if gone == stays {
			t.Error("two sessions share a tmpdir")
		}
		killed.KillHard()

		host.Equal(h, "before gc", len(kit.Instances(h)), 2)
		h.MustRun("polyinst", "gc")
		left := kit.Instances(h)
		if len(left) != 1 || h.FileID(kit.TmpParent+"/"+left[0]) != stays {
			t.Errorf("after gc the parent holds %v, want the living session's", left)
		}
		alive.Send("\n")
		host.Equal(h, "the living session", alive.Wait().Code, 0)
		if n := kit.Settled(h, 0); len(n) > 0 {
			t.Errorf("at the end the parent holds %v", n)
		}
	})
}

// openedAt is what open_session returned, and where a program of the session is.
var openedAt = regexp.MustCompile(`(?s)"Step":"open","Pid":\d+,"RC":(\d+).*"Step":"exec".*"Text":"(\d+:\d+)`)

// Whichever process makes one of these calls first, the host or its worker, is
// killed at it. The next login works, and gc leaves nothing.
func TestKilledInTheMiddle(t *testing.T) {
	calls := []string{
		"mkdirat", "fchownat,fchown", "fchmod,fchmodat", "renameat2", "open_tree", "fsopen", "mount_setattr",
		"unshare", "move_mount", "setns", "pidfd_open", "socketpair", "sendmsg", "recvmsg", "openat2",
	}
	for _, call := range calls {
		for name, config := range map[string]string{"user": kit.OwnTmp, "tmpdir": kit.Tmpdir, "tmpfs": tmpfs} {
			t.Run(call+" "+name, func(t *testing.T) {
				t.Parallel()
				kit.Story(t, config, []string{"pamhost", "su"}, func(h *host.Host) {
					h.Need("strace")
					h.AddUser("alice")
					args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "trace=" + call,
						"-e", "inject=" + call + ":signal=SIGKILL:when=1", h.Built("pamhost")}
					r := h.Command(append(args, kit.Steps("open", "exec:"+kit.WhichTmp, "close", "end")...)...).Run()
					trace := h.ReadFile("/run/trace")
					if !strings.Contains(trace, "SIGKILL") {
						t.Log("nobody makes this call")
					}
					if r.Code == 0 { // the worker was killed, or nobody
						got := openedAt.FindStringSubmatch(r.Stdout)
						if got == nil {
							t.Fatalf("the host ended well but did not open:\n%s", r)
						}
						if public := h.FileID("/tmp"); (got[1] == "0") == (got[2] == public) {
							t.Errorf("open returned %s, and the user is in %s; the public directory is %s", got[1], got[2], public)
						}
					}
					seen := h.MustRun("su", "alice", "-c", kit.WhichTmp)
					if name == "user" {
						kit.InInstance(h, "the next login", "alice", seen)
					}
					h.MustRun("polyinst", "gc")
					for _, n := range kit.Instances(h) {
						if strings.HasPrefix(n, ".") {
							t.Errorf("gc left %s", n)
						}
					}
				})
			})
		}
	}
}

func TestTmpfs(t *testing.T) {
	kit.Story(t, tmpfs, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		host.Equal(h, "alice's /tmp", h.MustRun("su", "alice", "-c", "stat -f -c %T /tmp; stat -c %a /tmp"), "tmpfs\n1777")
		r := h.Su("alice", "head -c 2M /dev/zero > /tmp/big")
		if r.Code == 0 {
			t.Errorf("the size is not kept:\n%s", r)
		}
		host.Equal(h, "the public /tmp", len(h.Names("/tmp")), 0)
	})
}
