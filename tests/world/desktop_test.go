//go:build world

package world

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// TestLightDM: a display manager opens the session in a process of its own, with an X
// server that it has started before, in the public /tmp: `keep` shows its socket. It
// runs on a framebuffer in memory.
func TestLightDM(t *testing.T) {
	story(t, ownTmp+"keep = [\".X11-unix\"]\n", []string{"lightdm", "Xvfb", "xdpyinfo", "dbus-daemon"}, func(h *host.Host) {
		h.PAM("lightdm-autologin", host.Stack("session required pam_polyinst.so")...)
		h.PAM("lightdm-greeter", host.Stack("session required pam_permit.so")...)
		h.Sh("install -d -m 1777 /tmp/.X11-unix; mkdir -p /run/dbus /usr/share/xsessions; dbus-daemon --system --fork --nopidfile")
		h.WriteFile("/usr/local/bin/desk", "#!/bin/sh\ntouch /tmp/by-lightdm\nexec >/run/told 2>&1\nstat -c %d:%i /tmp\nxdpyinfo | head -n 1\n", 0o755)
		// without what only a screen has: :7 -seat seat0 -auth FILE -nolisten tcp vt7 -novtswitch
		h.WriteFile("/usr/local/bin/screen", "#!/bin/sh\nexec Xvfb $1 $4 $5 -nolisten tcp\n", 0o755)
		h.WriteFile("/usr/share/xsessions/desk.desktop", "[Desktop Entry]\nType=Application\nName=desk\nExec=/usr/local/bin/desk\n")
		h.WriteFile("/etc/lightdm/lightdm.conf", "[LightDM]\nminimum-display-number=7\n[Seat:*]\nxserver-command=/usr/local/bin/screen\nautologin-user=alice\nautologin-session=desk\nsession-wrapper=/etc/lightdm/Xsession\n")
		h.WriteFile("/etc/lightdm/Xsession", "#!/bin/sh\nexec $*\n", 0o755)
		p := h.Start("lightdm")
		told := strings.Split(strings.TrimSpace(h.ReadFifo("/run/told")), "\n")
		host.Equal(h, "what the desktop sees as /tmp", told[0], h.FileID(instances+"alice"))
		has(h, "its display", strings.Join(told, " "), "name of display")
		if h.Exists("/tmp/by-lightdm") {
			t.Error("it is in the public /tmp")
		}
		p.Signal(15)
		p.Wait()
	})
}

// TestJupyterHub: the hub's PAM authenticator opens sessions in a thread of its own,
// and the hub starts users' servers from another one: these see the public /tmp, the log
// says why, and a second user's session is refused, after which the hub opens none any
// more. docs/pam.md says what to do.
func TestJupyterHub(t *testing.T) {
	story(t, ownTmp, []string{"jupyterhub"}, func(h *host.Host) {
		h.PAM("login", host.Stack("session required pam_polyinst.so")...)
		h.WriteFile("/root/hub.py", hub)
		out := h.MustRun("/usr/bin/python3", "/root/hub.py")
		host.Equal(h, "what the servers see as /tmp", out, "alice public True\nbob public False")
		h.WaitLog(`opened by thread \d+ of process \d+: only what this very thread starts sees the session's view`)
		h.WaitLog(`session refused for "bob": this process has a session of "alice" open`)
	})
}

// hub does with the authenticator what the hub does when it starts users' servers: it
// waits for the session, and goes on whatever came of that.
const hub = `import asyncio, os, subprocess, types
from jupyterhub.auth import PAMAuthenticator
async def main():
    a = PAMAuthenticator(open_sessions=True)
    public = os.stat("/tmp")
    for name in "alice", "bob":
        await a.pre_spawn_start(types.SimpleNamespace(name=name), None)
        seen = subprocess.run(["stat", "-c", "%d:%i", "/tmp"], user=name, stdout=subprocess.PIPE, text=True).stdout.strip()
        print(name, "public" if seen == "%d:%d" % (public.st_dev, public.st_ino) else seen, a.open_sessions)
asyncio.run(main())
`
