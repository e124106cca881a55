//go:build world

package world

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// ownThree is private /tmp, /var/tmp and /dev/shm; the last is another one in each
// session, also of one user's.
const ownThree = ownTmp + `
[[polydir]]
path            = "/var/tmp"
instance_prefix = "/var/lib/polyinst/vartmp/"
method          = "user"
except          = ["root"]

[[polydir]]
path   = "/dev/shm"
method = "tmpfs"
except = ["root"]
`

// keeping is the same with what X servers have in the public /tmp.
var keeping = strings.Replace(ownThree, ownTmp, ownTmp+"keep = [\".X11-unix\"]\n", 1)

// desktops is a story with alice and bob, whose sessions have the directory that
// pam_systemd would give them.
func desktops(t *testing.T, config string, programs []string, tell func(h *host.Host, s *host.Sshd)) {
	t.Helper()
	story(t, config, programs, func(h *host.Host) {
		h.Prepare("/var/lib/polyinst/vartmp")
		h.Sh("install -d -m 1777 /tmp/.X11-unix; for u in alice bob; do install -d -m 0700 -o $u -g $u /run/user/$(id -u $u); done")
		tell(h, h.Sshd())
	})
}

// runtime begins what a user runs in such a session.
const runtime = "exec 2>&1; export XDG_RUNTIME_DIR=/run/user/$(id -u) DBUS_SESSION_BUS_ADDRESS=disabled: NO_AT_BRIDGE=1; "

// startSway starts sway and says at which displays it is; Xwayland's name is empty where
// there is none. A fifo is for one message: who reads a second one might find that the
// writer of the first is about to leave, and nothing comes.
const startSway = runtime + "export WLR_BACKENDS=headless WLR_RENDERER=pixman; mkfifo /tmp/started /tmp/wayland /tmp/x11; " +
	"nohup sway -c /etc/a-sway >/tmp/log </dev/null 2>&1 & read line </tmp/started; echo $line"

// TestSway: two users have a compositor and an Xwayland each, at the same time, and in
// it a window by Wayland and one by X11, of another login. An Xwayland's number is taken
// for all users of a network, because it listens at an abstract socket as well: others
// reach that, and are turned away.
func TestSway(t *testing.T) {
	const config = "xwayland force\nexec echo at $DISPLAY $WAYLAND_DISPLAY >/tmp/started\n" +
		"for_window [app_id=\"gtk3-demo\"] exec echo by Wayland >/tmp/wayland\n" +
		"for_window [class=\"(?i)featherpad\"] exec echo by X11 >/tmp/x11\n"
	const look = runtime + "export WAYLAND_DISPLAY=wayland-1 DISPLAY=:0; " +
		"GDK_BACKEND=wayland nohup gtk3-demo >/tmp/log.gtk </dev/null 2>&1 & read line </tmp/wayland; echo $line; " +
		"QT_QPA_PLATFORM=xcb nohup featherpad >/tmp/log.qt </dev/null 2>&1 & read line </tmp/x11; echo $line"
	for name, c := range map[string]struct{ config, bobs, sockets string }{
		"private":            {ownThree, "1", instances + "USER/.X11-unix/X"},
		"keep":               {keeping, "1", "/tmp/.X11-unix/X"},
		"a network of one's": {"[namespace]\nnetwork = \"private\"\n" + ownThree, "0", instances + "USER/.X11-unix/X"},
	} {
		t.Run(name, func(t *testing.T) {
			desktops(t, c.config, []string{"sway", "Xwayland", "gtk3-demo", "featherpad", "xdpyinfo"}, func(h *host.Host, s *host.Sshd) {
				h.WriteFile("/etc/a-sway", config)
				for _, u := range []struct{ name, number string }{{"alice", "0"}, {"bob", c.bobs}} {
					host.Equal(h, u.name+"'s compositor", must(s, u.name, startSway), "at :"+u.number+" wayland-1")
					has(h, u.name+"'s Xwayland", must(s, u.name, "DISPLAY=:"+u.number+" xdpyinfo | head -n 1"), "name of display")
					if socket := strings.Replace(c.sockets, "USER", u.name, 1) + u.number; !h.Exists(socket) {
						t.Errorf("there is no %s", socket)
					}
				}
				host.Equal(h, "windows of the next login's", must(s, "alice", look), "by Wayland\nby X11")
				if c.bobs != "0" {
					has(h, "bob at alice's Xwayland", s.SSH("bob", "DISPLAY=:0 xdpyinfo 2>&1").Stdout, "Authorization required", "unable to open display")
				}
				host.Equal(h, "the public /tmp and /dev/shm", strings.Join(append(h.Names("/tmp"), h.Names("/dev/shm")...), " "), ".X11-unix")
				h.Sh("pkill sway")
			})
		})
	}
}

// TestXwaylandNumbersHeld: a user who listens at the abstract names of X servers keeps
// other users' from starting, however private their /tmp. In a network of its own a
// session has these names for itself.
func TestXwaylandNumbersHeld(t *testing.T) {
	const hold = "import socket, time\nheld = []\nfor n in range(100):\n    s = socket.socket(socket.AF_UNIX)\n" +
		"    s.bind('\\0/tmp/.X11-unix/X%d' % n)\n    s.listen()\n    held.append(s)\nprint('held', flush=True)\ntime.sleep(1000)\n"
	for name, c := range map[string]struct{ config, at string }{
		"one network":        {ownThree, "at wayland-1"},
		"a network of one's": {"[namespace]\nnetwork = \"private\"\n" + ownThree, "at :0 wayland-1"},
	} {
		t.Run(name, func(t *testing.T) {
			desktops(t, c.config, []string{"sway", "Xwayland", "python3"}, func(h *host.Host, s *host.Sshd) {
				h.WriteFile("/etc/a-sway", "xwayland force\nexec echo at $DISPLAY $WAYLAND_DISPLAY >/tmp/started\n")
				holds := h.Start("runuser", "-u", "bob", "--", "python3", "-c", hold)
				holds.Expect("held")
				host.Equal(h, "alice's compositor", must(s, "alice", startSway), c.at)
				h.Sh("pkill sway")
				holds.KillHard()
			})
		})
	}
}

// TestWeston: an Xwayland needs a /tmp/.X11-unix. weston makes none and ends, as KWin and
// GNOME Shell do; with `keep` the session has the machine's, and an init script or the user can make one.
// A window by Wayland needs nothing in /tmp.
func TestWeston(t *testing.T) {
	for name, c := range map[string]struct{ config, before, with, socket string }{
		"without Xwayland": {ownThree, "", "", ""},
		"no .X11-unix":     {ownThree, "", "--xwayland", ""},
		"the user's":       {ownThree, "mkdir -m 1777 /tmp/.X11-unix; ", "--xwayland", instances + "alice/.X11-unix/X0"},
		"an init script's": {strings.Replace(ownThree, ownTmp, ownTmp+"init = \"/etc/x11-unix\"\n", 1), "", "--xwayland", instances + "alice/.X11-unix/X0"},
		"keep":             {keeping, "", "--xwayland", "/tmp/.X11-unix/X0"},
	} {
		t.Run(name, func(t *testing.T) {
			desktops(t, c.config, []string{"weston", "weston-presentation-shm", "Xwayland", "xdpyinfo"}, func(h *host.Host, s *host.Sshd) {
				h.WriteFile("/etc/x11-unix", "#!/bin/sh\nmkdir -m 1777 /tmp/.X11-unix\n", 0o755)
				h.WriteFile("/etc/weston.ini", "[autolaunch]\npath=/etc/ready\n")
				h.WriteFile("/etc/ready", "#!/bin/sh\necho up >/tmp/seen\nexec sleep 1000\n", 0o755)
				told := must(s, "alice", runtime+c.before+"mkfifo /tmp/seen; "+
					"{ weston --backend=headless-backend.so -c /etc/weston.ini --socket=wayland-1 --idle-time=0 "+c.with+"; echo ended >/tmp/seen; } >/tmp/log </dev/null 2>&1 & read line </tmp/seen; echo $line")
				if c.with != "" && c.socket == "" {
					host.Equal(h, "weston", told, "ended")
					has(h, "its log", h.ReadFile(instances+"alice/log"), "failed to bind to /tmp/.X11-unix/X0: No such file or directory")
					return
				}
				host.Equal(h, "weston", told, "up")
				host.Equal(h, "in alice's instance", h.Exists(instances+"alice/log"), true)
				has(h, "a window of the next login's", must(s, "alice", runtime+"WAYLAND_DISPLAY=wayland-1 stdbuf -oL weston-presentation-shm -f | grep -m 1 -o 'seq 0'"), "seq 0")
				if c.socket != "" {
					has(h, "the next login's X11", must(s, "alice", "DISPLAY=:0 xdpyinfo | head -n 1"), "name of display")
					host.Equal(h, c.socket, h.Exists(c.socket), true)
				}
				h.Sh("pkill weston")
			})
		})
	}
}

// TestPipeWire: sound goes from one login to another, through a server in a third one.
// What they share they hand on by descriptors, so that each may have a /dev/shm of its own.
func TestPipeWire(t *testing.T) {
	desktops(t, ownThree, []string{"pipewire", "pw-cli", "wireplumber", "pipewire-pulse", "pactl", "pacat", "parec", "dbus-run-session"}, func(h *host.Host, s *host.Sshd) {
		h.Sh("mkdir -p /run/systemd/seats /run/systemd/sessions /run/systemd/users /run/systemd/machines") // wireplumber watches logind's
		h.WriteFile("/etc/sound", "pipewire &\nuntil pw-cli info 0; do :; done\nwireplumber & pipewire-pulse &\n"+
			"until pactl load-module module-null-sink sink_name=loop; do :; done\n"+
			"until pactl set-default-sink loop; do :; done\necho up >/tmp/seen; wait\n")
		host.Equal(h, "the server", must(s, "alice", runtime+"mkfifo /tmp/seen; "+
			"{ unset DBUS_SESSION_BUS_ADDRESS; dbus-run-session sh /etc/sound; } >/tmp/log </dev/null 2>&1 & read line </tmp/seen; echo $line"), "up")
		must(s, "alice", runtime+"(tr '\\0' a </dev/zero | pacat --raw --latency-msec=20 --device=loop) >/dev/null 2>&1 &")
		has(h, "what is heard", must(s, "alice", runtime+"parec --raw --latency-msec=20 --device=loop.monitor | tr -dc a | head -c 8"), "aaaaaaaa")
		host.Equal(h, "the public /tmp and /dev/shm", strings.Join(append(h.Names("/tmp"), h.Names("/dev/shm")...), " "), ".X11-unix")
		h.Sh("pkill -u alice pipewire")
	})
}
