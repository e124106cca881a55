package attackers

import (
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// A polydir that is swapped while the session is being opened is covered where
// it was approved, or the session is refused; never is another directory.
func TestPolydirSwappedMeanwhile(t *testing.T) {
	config := strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"$HOME/a"`)
	kit.Story(t, config, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		u := h.AddUser("alice")
		h.Mkdir("/home/alice/a", 0o700, u.UID, u.UID)
		h.Mkdir("/home/alice/b", 0o755, u.UID, u.UID)
		var done sync.WaitGroup
		stop := make(chan struct{})
		done.Add(1)
		go kit.Exchange("/home/alice/a", "/home/alice/b", stop, &done)
		for range 12 {
			// time for a swap between the approval and the namespace
			args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=unshare:delay_enter=20000", h.Built("pamhost")}
			h.Command(append(args, kit.Steps("open", "root-exec:true", "close", "end")...)...).Trace()
		}
		close(stop)
		done.Wait()
		h.WaitLog("was replaced while the session was being opened")
		for _, l := range h.ModuleLog() {
			// or swapped once more, before it was looked at
			ok := strings.Contains(l.String(), "was replaced while") || strings.Contains(l.String(), "is not what was planned")
			if strings.HasPrefix(l.String(), "<3>") && !ok {
				t.Errorf("refused for another reason: %s", l)
			}
		}
	})
}

// A kernel that says yes and does nothing gives nobody a session: the view is
// looked at before it is reported (I-7).
func TestProofBeforeSuccess(t *testing.T) {
	for lie, says := range map[string]string{
		"move_mount:retval=0:when=1":    "another directory is there",
		"mount_setattr:retval=0:when=2": "mounted .* want nosuid,nodev",
		"mount_setattr:retval=0:when=3": "the mount on / is shared with other namespaces",
	} {
		t.Run(lie, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=" + lie, h.Built("pamhost")}
				tr := h.Command(append(args, kit.Steps("open", "end")...)...).Trace()
				tr.RC("open", host.PAMRefused)
				h.WaitLog("the finished view is not what was planned: " + says)
			})
		})
	}
}

// A kernel that is too old is noticed before anything is made.
func TestKernelBelowTheFloor(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		args := []string{"strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=mount_setattr:error=ENOSYS", h.Built("pamhost")}
		h.Command(append(args, kit.Steps("open", "end")...)...).Trace().RC("open", host.PAMRefused)
		h.WaitLog("needs Linux 5.14 or later")
		host.Equal(h, "what was made", len(h.Names(kit.TmpParent)), 0)
	})
}

// Sessions are opened while a user swaps what they can for links and
// directories that lead to root's; a breach is a change of what is root's.
func TestCreateWhileTheUserSwaps(t *testing.T) {
	config := strings.ReplaceAll(kit.OwnTmp, `"/tmp"`, `"$HOME/d/a"`) + "create = { mode = \"0777\" }\n"
	kit.Story(t, config, []string{"pamhost"}, func(h *host.Host) {
		u := h.AddUser("alice")
		h.Mkdir("/home/alice/d", 0o755, u.UID, u.UID)
		h.Mkdir("/srv/roots", 0o700, 0, 0)
		h.WriteFile("/srv/roots/file", "root's")
		h.MustRun("ln", "-s", "/srv/roots", "/home/alice/link")
		h.Mkdir("/home/alice/roots", 0o700, 0, 0) // one of root's that they can move
		var done sync.WaitGroup
		stop := make(chan struct{})
		done.Add(3)
		go kit.Exchange("/home/alice/d/a", "/home/alice/link", stop, &done)
		go kit.Exchange("/home/alice/d/a", "/home/alice/roots", stop, &done)
		go kit.Again(stop, &done, func() {
			_ = unix.Rename("/home/alice/d/a", "/home/alice/gone")
			_ = unix.Rmdir("/home/alice/gone")
		})
		opened := 0
		for range 100 {
			if h.PamHost(kit.Steps("open", "close", "end")...).All("open")[0].RC == 0 {
				opened++
			}
		}
		close(stop)
		done.Wait()
		t.Logf("%d of 100 sessions were opened", opened)
		mode, uid, _ := h.Mode("/srv/roots")
		host.Equal(h, "the target of the link", [2]int{int(mode), uid}, [2]int{0o700, 0})
		for _, path := range []string{"/home/alice/roots", "/home/alice/d/a", "/home/alice/gone"} {
			if !h.Exists(path) {
				continue
			}
			var st unix.Stat_t
			if unix.Lstat(path, &st) == nil && st.Uid == 0 && st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o777 != 0o700 {
				t.Errorf("a directory of root's has mode %o", st.Mode)
			}
		}
		if out := h.Sh("find /home/alice -user root -type d ! -perm 700; find /srv/roots ! -user root"); out != "" {
			t.Errorf("breach: %s", out)
		}
	})
}
