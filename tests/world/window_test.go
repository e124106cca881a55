//go:build world

package world

import (
	"testing"

	"pam_polyinst/tests/host"
)

// TestWindows: a program of GTK and an editor of Qt, which has a file of the session's
// /tmp open, have a window on a server of the session's own, on the host's, also where
// they do not share IPC with it, and on one at the other end of ssh -Y. No server listens
// at an abstract socket, which needs no entry of keep.
func TestWindows(t *testing.T) {
	const server = "mkfifo /tmp/ready; nohup Xvfb :7 -ac -nolisten tcp -nolisten local -displayfd 3 3>/tmp/ready >/tmp/xvfb.log 2>&1 </dev/null & read n </tmp/ready"
	for name, config := range map[string]string{
		"the session's": ownTmp,
		"the host's":    "[namespace]\nipc = \"private\"\n" + ownTmp + "keep = [\".X11-unix\"]\n",
		"ssh -Y":        ownTmp,
	} {
		t.Run(name, func(t *testing.T) {
			story(t, config, []string{"Xvfb", "xauth", "xdotool", "xwininfo", "gtk3-demo", "featherpad"}, func(h *host.Host) {
				s := h.Sshd("X11Forwarding yes")
				if name == "the session's" {
					must(s, "alice", server)
				} else {
					h.Sh("install -d -m 1777 /tmp/.X11-unix; " + server)
				}
				const look = `echo mine >/tmp/note; gtk3-demo & featherpad /tmp/note &
for window in '--class gtk3-demo' '--name note'; do xwininfo -id $(xdotool search --sync --onlyvisible $window) | grep -E 'id:|Map State'; done; kill $(jobs -p)`
				programs := s.Client(host.PublicKey, "alice", "export DISPLAY=:7; "+look)
				if name == "ssh -Y" {
					programs = s.Client(host.PublicKey, "alice", "-Y", look).Env("DISPLAY=:7")
				}
				h.Match("the windows", programs.Must(), `"Application Class"\n +Map State: IsViewable\n.*"/tmp/note"\n +Map State: IsViewable\n*$`)
				if h.Exists("/tmp/note") || h.Exists("/tmp/.X11-unix/X7") != (name != "the session's") {
					t.Error("they are in the public /tmp")
				}
				h.Sh("pkill Xvfb || :")
			})
		})
	}
}
