package login

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// Open and close leave everything of the host as it was but the view.
func TestHostIsUnchanged(t *testing.T) {
	cases := map[string][]string{
		"plain":            nil,
		"umask 0":          {"umask:0"},
		"no stdin":         {"closefd:0"},
		"few descriptors":  {"rlimit:nofile=64"},
		"no core":          {"rlimit:core=0,0"},
		"SIGCHLD blocked":  {"sigblock:17"},
		"SIGCHLD ignored":  {"sigign:17"},
		"SIGPIPE ignored":  {"sigign:13"},
		"hostile settings": {"setenv:GOMEMLIMIT=junk", "setenv:GODEBUG=inittrace=1", "setenv:GOTRACEBACK=crash"},
		"silent":           {"silent"},
	}
	for name, before := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.HostStory(t, func(h *host.Host) {
				steps := append(before, kit.Steps("snapshot:before", "open", "snapshot:open", "exec:"+kit.WhichTmp, "snapshot:used", "close", "snapshot:closed", "end")...)
				tr := h.PamHost(steps...)
				tr.RC("open", host.PAMSuccess)
				tr.RC("close", host.PAMSuccess)
				kit.InInstance(h, name, "alice", tr.Step("exec").Text)
				h.Unchanged("open", tr.Snapshot("before"), tr.Snapshot("open"), host.View...)
				h.Unchanged("close", tr.Snapshot("used"), tr.Snapshot("closed"), host.View...)
			})
		})
	}
}

// The host's working directory is the same place in the new view; the polydir
// itself becomes the instance, never the public directory.
func TestHostWorkingDirectory(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		tr := h.PamHost(kit.Steps("cwd:/etc", "open", "root-exec:pwd; stat -c %d:%i .", "close", "end")...)
		host.Equal(h, "in /etc", tr.Step("root-exec").Text, "/etc\n"+h.FileID("/etc"))
		tr = h.PamHost(kit.Steps("cwd:/tmp", "open", "root-exec:stat -c %d:%i .", "close", "end")...)
		kit.InInstance(h, "in /tmp", "alice", tr.Step("root-exec").Text)
	})
}

// Hosts fork wherever they like, and never hang.
func TestHostThatForks(t *testing.T) {
	cases := map[string][]string{
		"before open":                   kit.Steps("fork", "open", "exec:"+kit.WhichTmp, "close", "end", "join"),
		"twice before open":             kit.Steps("fork", "fork", "open", "exec:"+kit.WhichTmp, "close", "end", "join", "join"),
		"between open and close":        kit.Steps("open", "fork", "exec:"+kit.WhichTmp, "join", "close", "end"),
		"before close":                  kit.Steps("open", "exec:"+kit.WhichTmp, "fork", "close", "end", "join", "end"),
		"close in an unprivileged one":  kit.Steps("open", "exec:"+kit.WhichTmp, "fork", "unpriv", "close", "end", "join", "end"),
		"open in one, close in another": kit.Steps("fork", "open", "exec:"+kit.WhichTmp, "join", "fork", "close", "join", "end"),
		"end in a child":                kit.Steps("open", "fork", "end-silent", "join", "exec:"+kit.WhichTmp, "close", "end"),
		"credentials in a child":        kit.Steps("open", "fork", "cred", "join", "exec:"+kit.WhichTmp, "close", "end"),
		"two sessions one after another": kit.Steps("fork", "open", "close", "join",
			"open", "exec:"+kit.WhichTmp, "close", "end"),
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.HostStory(t, func(h *host.Host) {
				tr := h.PamHost(steps...)
				tr.RC("open", host.PAMSuccess)
				tr.RC("close", host.PAMSuccess)
				kit.InInstance(h, name, "alice", tr.Step("exec").Text)
			})
		})
	}
}

// A host that waits for its children, in any of the ways there are, hears of
// each of its own and of no other.
func TestHostThatWaitsForItsChildren(t *testing.T) {
	for _, mode := range []string{"handler", "signalfd", "sigtimedwait", "ppoll", "ign", "nocldwait"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			kit.HostStory(t, func(h *host.Host) {
				var steps []string
				for _, when := range []string{",pending", ",0", ",500", ",1000", ",2000", ",4000"} {
					steps = append(steps,
						"sigchld:"+mode+when, "open", "sigchld-check",
						"sigchld:"+mode+when, "close", "sigchld-check")
				}
				tr := h.PamHost(kit.Steps(append(steps, "end")...)...)
				tr.RC("open", host.PAMSuccess)
				tr.RC("close", host.PAMSuccess)
				for i, s := range tr.All("sigchld-check") {
					host.Equal(h, fmt.Sprintf("check %d: own, strangers, lost", i),
						[3]int{s.Own, s.Strangers, s.Lost}, [3]int{3, 0, 0})
				}
			})
		})
	}
}

// The same where the worker is a fork(2) that sends SIGCHLD: in a host with
// threads, which take signals in one place.
func TestHostWithThreadsThatWaits(t *testing.T) {
	for _, mode := range []string{"signalfd", "sigtimedwait"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			kit.HostStory(t, func(h *host.Host) {
				steps := []string{"sigblock:17", "threads:3"}
				for _, when := range []string{",pending", ",0", ",4000", ",100000"} {
					steps = append(steps,
						"sigchld:"+mode+when, "open", "sigchld-check",
						"sigchld:"+mode+when, "close", "sigchld-check")
				}
				tr := h.PamHost(kit.Steps(append(steps, "end")...)...)
				tr.RC("open", host.PAMSuccess)
				for i, s := range tr.All("sigchld-check") {
					host.Equal(h, fmt.Sprintf("check %d: own, strangers, lost", i),
						[3]int{s.Own, s.Strangers, s.Lost}, [3]int{3, 0, 0})
				}
			})
		})
	}
}

// In a multithreaded host the thread that opens the session joins, and the
// others stay where they are.
func TestHostWithThreads(t *testing.T) {
	cases := map[string][]string{
		"main thread":  kit.Steps("threads:8", "snapshot:before", "open", "snapshot:open", "exec:"+kit.WhichTmp, "close", "end"),
		"other thread": kit.Steps("threads:3", "in-thread", "snapshot:before", "open", "snapshot:open", "exec:"+kit.WhichTmp, "close", "join", "end"),
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.HostStory(t, func(h *host.Host) {
				tr := h.PamHost(steps...)
				tr.RC("open", host.PAMSuccess)
				tr.RC("close", host.PAMSuccess)
				kit.InInstance(h, name, "alice", tr.Step("exec").Text)
				h.Unchanged("open", tr.Snapshot("before"), tr.Snapshot("open"), host.View...)
			})
		})
	}
}

// A host in a chroot stays in it. The jail is the machine's own tree once more.
func TestHostInAChroot(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		h.Mkdir("/srv/jail", 0o755, 0, 0)
		h.MustRun("mount", "--rbind", "/", "/srv/jail")
		h.MustRun("mount", "--make-rslave", "/srv/jail")
		h.WriteFile("/srv/outside", "")
		h.MustRun("mount", "-t", "tmpfs", "tmpfs", "/srv/jail/srv")
		tr := h.PamHost(append([]string{"chroot:/srv/jail"}, kit.Steps(
			"open", "root-exec:ls -A /srv", "exec:"+kit.WhichTmp, "close", "end")...)...)
		tr.RC("open", host.PAMSuccess)
		tr.RC("close", host.PAMSuccess)
		host.Equal(h, "/srv in the jail", tr.Step("root-exec").Text, "")
		kit.InInstance(h, "in the jail", "alice", tr.Step("exec").Text)
	})
}

func TestGoHost(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		tr := h.Command(h.Built("gohost"), "pamhost", "alice", kit.WhichTmp).Trace()
		tr.RC("open", host.PAMSuccess)
		tr.RC("close", host.PAMSuccess)
		kit.InInstance(h, "a Go host", "alice", tr.Step("exec").Text)
	})
}

// Loading the module starts nothing, and a thousand rounds leave nothing.
func TestLoadAndUnload(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		tr := h.Command(h.Built("dlopen_count"), h.Module(), "1000").Trace()
		h.Unchanged("one round", tr.Snapshot("before"), tr.Snapshot("loaded"))
		h.Unchanged("a thousand rounds", tr.Snapshot("loaded"), tr.Snapshot("after"))
		once, after := tr.Step("snapshot:loaded").VMSize, tr.Step("snapshot:after").VMSize
		if after > once+256 {
			t.Errorf("address space grew from %d KiB to %d KiB", once, after)
		}
		if before := tr.Step("snapshot:before").VMSize; once > before+64*1024 {
			t.Errorf("loading the module takes %d KiB of address space", once-before)
		}
		t.Log(tr.Step("rounds").Text)
	})
}

// A chroot that is no mount, but a directory in which the parts are mounted;
// opened twice, the view is still one.
func TestHostInAPlainChroot(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		h.Sh(`for d in bin sbin lib lib64 usr etc var run tmp proc dev home root .host; do
[ -e /$d ] || continue; mkdir -p /srv/jail/$d; mount --rbind /$d /srv/jail/$d; mount --make-rslave /srv/jail/$d; done`)
		tr := h.PamHost(append([]string{"chroot:/srv/jail"}, kit.Steps(
			"open", "open", "root-exec:ls -A /; grep -c ' /tmp ' /proc/self/mountinfo", "exec:"+kit.WhichTmp, "close", "end")...)...)
		tr.RC("open", host.PAMSuccess)
		kit.InInstance(h, "in the jail", "alice", tr.Step("exec").Text)
		if seen := tr.Step("root-exec").Text; strings.Contains(seen, "srv") || !strings.HasSuffix(seen, "\n2") {
			t.Errorf("the root is not the jail's, or mounts are stacked on /tmp:\n%s", seen)
		}
	})
}
