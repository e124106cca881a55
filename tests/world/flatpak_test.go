//go:build world

package world

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// aFlatpak is a repository with a program and its runtime, which is busybox: all that
// flatpak gets from a network elsewhere. The program runs a line of shell.
const aFlatpak = `set -e
cd /srv
mkdir -p runtime/usr/bin runtime/files app/files/bin app/export
cp /bin/busybox runtime/usr/bin/
for p in sh cat ls stat; do ln -s busybox runtime/usr/bin/$p; done
platform=org.example.Platform/$(flatpak --default-arch)/stable
printf '[Runtime]\nname=org.example.Platform\nruntime=%s\nsdk=%s\n' $platform $platform >runtime/metadata
printf '[Application]\nname=org.example.App\nruntime=%s\nsdk=%s\ncommand=app\n' $platform $platform >app/metadata
printf '#!/usr/bin/sh\nexec /usr/bin/sh -c "$@"\n' >app/files/bin/app
chmod 755 app/files/bin/app
flatpak build-export --no-update-summary --runtime repository runtime stable
flatpak build-export repository app stable
`

// desk is what each of alice's commands begins with, after atADesk.
const desk = "exec 2>&1; export XDG_RUNTIME_DIR=/run/user/2001; "

// atADesk gives alice what pam_systemd would give her, the machine a system bus, and
// flatpak its repository.
func atADesk(h *host.Host) {
	h.T.Helper()
	h.Sh("install -d -m 0700 -o alice -g alice /run/user/2001; chmod 0666 /dev/fuse; mkdir -p /run/dbus; dbus-daemon --system --fork --nopidfile")
	h.MustRun("sh", "-c", aFlatpak)
}

const installFlatpak = desk + "flatpak --user remote-add --no-gpg-verify local file:///srv/repository && flatpak --user install -y --noninteractive local org.example.App"

// TestFlatpak: a program is installed and run in the session. Its own /tmp lies in
// XDG_RUNTIME_DIR; where it may see the session's, that is the instance, and the X server
// that it finds is the session's own.
func TestFlatpak(t *testing.T) {
	for name, config := range map[string]string{"private tmp": ownTmp, "beside own proc": ownTmp + ownProc} {
		t.Run(name, func(t *testing.T) {
			story(t, config, []string{"flatpak", "busybox", "bwrap", "Xvfb", "dbus-daemon"}, func(h *host.Host) {
				atADesk(h)
				h.Sh("touch /tmp/public")
				s := h.Sshd()
				must(s, "alice", installFlatpak)
				must(s, "alice", "echo mine >/tmp/note; mkfifo /tmp/ready; nohup Xvfb :7 -nolisten tcp -displayfd 3 3>/tmp/ready >/tmp/xvfb.log 2>&1 </dev/null & read n </tmp/ready")
				run := func(what string) string { return must(s, "alice", desk+"export DISPLAY=:7; flatpak run "+what) }
				host.Equal(h, "its own /tmp", run("org.example.App 'ls /tmp'"), "")
				host.Equal(h, "the session's /tmp", run("--filesystem=/tmp org.example.App 'cat /tmp/note; ls -d /tmp/public; echo boxed >/tmp/boxed'"), "mine\nls: /tmp/public: No such file or directory")
				host.Equal(h, "what it wrote", h.ReadFile(instances+"alice/boxed"), "boxed\n")
				host.Equal(h, "its display", run("--socket=x11 org.example.App 'stat -c %d:%i /tmp/.X11-unix/*'"), h.FileID(instances+"alice/.X11-unix/X7"))
				has(h, "the next login's list", must(s, "alice", desk+"flatpak run --filesystem=/tmp org.example.App 'echo >/tmp/ready; read x </tmp/ready' & read x </tmp/ready; flatpak ps; echo >/tmp/ready; wait"), "org.example.App")
				host.Equal(h, "the public /tmp", strings.Join(h.Names("/tmp"), " "), "public")
				h.Sh("pkill Xvfb || :")
			})
		})
	}
}

// line is what the stack of user managers has, as the bus is started.
func line(bus []string) string {
	if len(bus) > 0 && bus[0] == "su" {
		return "pam_polyinst.so"
	}
	return "pam_permit.so"
}

// TestPortals: flatpak's programs get single files by xdg-document-portal, which shows
// them by FUSE below XDG_RUNTIME_DIR, in the view of the bus that starts it. That is the
// session, or the user manager: of a manager without our line it cannot reach what lies
// in a private /tmp, and what it mounts in a view that is the manager's alone, no session
// sees: flatpak starts no program then. With scope "user" they are one.
func TestPortals(t *testing.T) {
	const bus = "XDG_RUNTIME_DIR=/run/user/2001 exec dbus-daemon --session --address=unix:path=/run/user/2001/bus --nofork --print-address"
	const noProgram = "^bwrap: Can't find source path /run/user/2001/doc/by-app/org.example.App"
	for name, c := range map[string]struct {
		config      string
		bus         []string
		home, inTmp string // what comes of a program that is given a file there
	}{
		"a bus of the session's":           {ownTmp, nil, "^own\n$", "^mine\n$"},
		"a manager without the line":       {ownTmp, []string{"runuser", "-u", "alice", "--", "sh", "-c", bus}, "^own\n$", "^error: Invalid fd passed"},
		"a manager with the line":          {ownTmp, []string{"su", "alice", "-c", bus}, noProgram, noProgram},
		"a manager with it and scope user": {"[namespace]\nscope = \"user\"\n" + ownTmp, []string{"su", "alice", "-c", bus}, "^own\n$", "^mine\n$"},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, c.config, []string{"flatpak", "busybox", "bwrap", "dbus-run-session", "dbus-send", "/usr/libexec/xdg-document-portal"}, func(h *host.Host) {
				h.MustRun("mount", "--make-rshared", "/")
				h.PAM("systemd-user", host.Stack("session required "+line(c.bus))...)
				told := strings.Contains(h.Cmd("polyinst", "check", "--pam").String(), "flatpak then starts no program")
				host.Equal(h, "check says that flatpak starts no program", told, c.home == noProgram)
				atADesk(h)
				s := h.Sshd()
				must(s, "alice", installFlatpak)
				h.WriteFile("/home/alice/work", "flatpak run org.example.App 'echo it runs' >~/said 2>&1\nfor file in ~/own /tmp/note; do flatpak run --file-forwarding org.example.App 'cat \"$0\"' @@ $file @@ >~/said.${file##*/} 2>&1; done\n"+
					"dbus-send --session --print-reply --dest=org.freedesktop.portal.Desktop /org/freedesktop/portal/desktop org.freedesktop.portal.NetworkMonitor.GetAvailable\n")
				with := "dbus-run-session -- "
				if c.bus != nil {
					h.Start(c.bus...).Expect("unix:path=")
					with = "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/2001/bus "
				}
				has(h, "xdg-desktop-portal", must(s, "alice", desk+"echo own >~/own; echo mine >/tmp/note; "+with+"sh ~/work"), "boolean")
				started := "^it runs\n$"
				if c.home == noProgram {
					started = noProgram
				}
				h.Match("a program without files", h.ReadFile("/home/alice/said"), started)
				h.Match("a file in the home", h.ReadFile("/home/alice/said.own"), c.home)
				h.Match("a file in /tmp", h.ReadFile("/home/alice/said.note"), c.inTmp)
			})
		})
	}
}
