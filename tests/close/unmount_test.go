package close

import (
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// With unmount_on_close the host returns to the view that it had: one that
// opens sessions one after another never mixes them.
func TestUnmountOnClose(t *testing.T) {
	kit.Story(t, kit.Tmpdir, nil, func(h *host.Host) {
		h.PAM("pamhost", host.Stack(kit.Session+" unmount_on_close")...)
		h.AddUser("alice")
		tr := h.PamHost(kit.Steps("cwd:/tmp", "snapshot:before", "open", "snapshot:open", "exec:touch /tmp/x; "+kit.WhichTmp, "close", "snapshot:closed", "end", "snapshot:end")...)
		tr.RC("open", host.PAMSuccess)
		tr.RC("close", host.PAMSuccess)
		h.Unchanged("open and close", tr.Snapshot("before"), tr.Snapshot("closed"))
		h.Unchanged("open, close and end", tr.Snapshot("before"), tr.Snapshot("end"))
		if tr.Step("exec").Text == h.FileID("/tmp") {
			t.Error("the session was in the public /tmp")
		}
		if n := kit.Settled(h, 0); len(n) > 0 {
			t.Errorf("the parent holds %v", n)
		}
		// two close-on-exec descriptors are held in between, of the namespace and of
		// the working directory, and no more
		held := len(tr.Snapshot("open")["fds"]) - len(tr.Snapshot("before")["fds"])
		host.Equal(h, "descriptors held in between", held, 2)
	})
}

// Without it nothing is held.
func TestNothingIsHeldWithoutUnmountOnClose(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		tr := h.PamHost(kit.Steps("snapshot:before", "open", "snapshot:open", "close", "end")...)
		host.Equal(h, "descriptors", len(tr.Snapshot("open")["fds"]), len(tr.Snapshot("before")["fds"]))
	})
}
