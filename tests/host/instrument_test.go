package host_test

import (
	"fmt"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// The measuring instrument itself: with a module that does nothing, nothing
// changes and nothing is lost.
func TestInstrument(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.AddUser("alice")
		h.PAM("pamhost", host.Stack("session required pam_permit.so")...)
		for _, mode := range []string{"handler", "signalfd", "sigtimedwait", "ppoll", "ign", "nocldwait"} {
			for _, when := range []string{"", ",pending", ",0"} {
				tr := h.PamHost(kit.Steps("threads:2", "snapshot:before", "open", "snapshot:open",
					"sigchld:"+mode+when, "open", "sigchld-check", "fork", "unpriv", "close", "join", "close", "end")...)
				h.Unchanged(mode, tr.Snapshot("before"), tr.Snapshot("open"))
				s := tr.Step("sigchld-check")
				host.Equal(h, fmt.Sprint(mode, when, ": own, strangers, lost"), [3]int{s.Own, s.Strangers, s.Lost}, [3]int{3, 0, 0})
			}
		}
	})
}

// And with one that changes something, that is seen.
func TestInstrumentSeesChanges(t *testing.T) {
	changes := map[string]string{
		"umask:077": "umask", "cwd:/etc": "cwd", "sigblock:10": "mask", "sigign:10": "sigactions",
		"closefd:2": "fds", "dup2:0,77": "fds", "setenv:A=B": "environ", "rlimit:core=0": "limits",
		"threads:1": "threads", "dropcap:cap_mknod": "credentials", "chroot:/srv": "root",
	}
	host.Run(t, func(h *host.Host) {
		h.Mkdir("/srv/proc", 0o755, 0, 0)
		h.MustRun("mount", "--rbind", "/proc", "/srv/proc")
		for step, section := range changes {
			tr := h.PamHost("rlimit:core=1", "snapshot:before", step, "snapshot:after")
			diff := tr.Snapshot("before").Diff(tr.Snapshot("after"))
			h.Match(step, fmt.Sprint(diff), section+" [-+] ")
		}
	})
}
