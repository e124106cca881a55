package ready

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// errnos are what the kernel can say, one after the other.
var errnos = []string{"EIO", "ENOMEM", "EPERM", "EMFILE", "EACCES", "ENOSPC", "EINTR", "EINVAL", "ENOENT", "EBUSY"}

// TestReadyFailsAtEveryCall: whichever system call of a ready worker fails while it serves,
// the session is in both of its instances or is refused with a word, nothing of it stays,
// and the next one is right. FAULTS=all: each call with each error.
func TestReadyFailsAtEveryCall(t *testing.T) {
	readyWithin(t, kit.AtEveryCall, func(h *host.Host, serve *host.Ready) {
		h.Need("strace")
		h.Config("[namespace]\ntimeout = \"5s\"\n" + kit.OwnTmp + strings.NewReplacer(`"/tmp"`, `"/var/tmp"`, `polyinst/tmp/`, `polyinst/td/`).Replace(kit.Tmpdir))
		h.Prepare("/var/lib/polyinst/td")
		servedBy(h, "alice")
		last := tracedCalls(h, serve)
		opened, refused := 0, 0
		turn, whole := 0, os.Getenv("POLYINST_TEST_FAULTS") == "all"
		for at := 2; at <= last+4; at += kit.Setting("POINTS", 27) {
			for range errnos {
				if turn++; failAt(h, serve, errnos[turn%len(errnos)], at) {
					opened++
				} else {
					refused++
				}
				if !whole {
					break
				}
			}
		}
		t.Logf("| %d calls of the worker | %d faults | %d sessions opened | %d refused |", last, opened+refused, opened, refused)
		if opened == 0 {
			t.Error("no session opened: this is no test of what happens then")
		}
	}, kit.Session)
}

// failAt has one call of the worker fail, and reports whether the session opened.
func failAt(h *host.Host, serve *host.Ready, errno string, at int) bool {
	h.T.Helper()
	what := fmt.Sprintf("%s at call %d", errno, at)
	public, mounts := h.FileID("/var/tmp"), h.ReadFile("/proc/self/mountinfo")
	worker, tracer := trace(h, serve, "-o", "/root/fault", "-e", fmt.Sprintf("inject=all:error=%s:when=%d", errno, at))
	r := h.Su("alice", "stat -c %d:%i /tmp /var/tmp")
	if seen := strings.Fields(r.Out()); r.Code == 0 {
		if len(seen) != 2 || seen[0] != h.FileID("/var/lib/polyinst/tmp/alice") || seen[1] == public {
			h.T.Errorf("%s: /tmp and /var/tmp are %v; the public one is %s", what, seen, public)
		}
	} else {
		h.Match(what, r.Stderr, `this session was refused; the system log says why`)
		h.WaitLog(`session refused: |session refused for "alice": `)
	}
	h.ForgetLog()
	host.Equal(h, what+": the mounts outside", h.ReadFile("/proc/self/mountinfo"), mounts)
	_ = unix.Kill(worker, unix.SIGKILL) // one that goes on in spite of it
	tracer.Wait()
	calls := strings.Split(strings.TrimSpace(h.ReadFile("/root/fault")), "\n")
	if n := len(calls); h.T.Failed() {
		h.T.Logf("%s: %s", what, strings.Join(calls[max(0, min(at, n)-3):min(at+1, n)], "\n"))
	}
	host.Equal(h, what+": the next one", servedByAtLast(h, "alice"), "ready")
	// the next one's tmpdir goes with its worker, which may be the last in its view
	h.Sh("until [ -z \"$(find /var/lib/polyinst/td -name '.tmpdir*')\" ]; do polyinst gc; sleep 0.1; done")
	host.Equal(h, what+": instances", strings.Join(h.Names("/var/lib/polyinst/tmp"), " "), ".lock alice")
	return r.Code == 0
}
