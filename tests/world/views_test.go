//go:build world

package world

import (
	"testing"

	"pam_polyinst/tests/host"
)

const ownProc = `
[[polydir]]
path   = "/proc"
method = "proc"
except = ["root"]
`

// polkit, which runs without root's rights, asks who a process is, and pkcheck and
// pkexec work in a session with a /proc of its own. A hidepid for the whole machine
// breaks them: it is there for comparison.
func TestPolkit(t *testing.T) {
	story(t, ownProc, []string{"pkcheck", "dbus-daemon"}, func(h *host.Host) {
		polkitd := "/usr/lib/polkit-1/polkitd"
		if !h.Exists(polkitd) {
			t.Skip("needs a program: " + polkitd)
		}
		h.Sh("mkdir -p /run/dbus; dbus-daemon --system --fork --nopidfile")
		daemon := h.Start(polkitd)
		defer daemon.KillHard()
		daemon.Expect("Acquired the name|Registering|Finished loading")
		ask := "exec 2>&1; pkcheck --action-id org.freedesktop.policykit.exec --process $$; echo code $?"
		want := `(?s)requires authentication.*code 2`
		h.Match("in the session", h.Su("alice", ask).Stdout, want)
		h.MustRun("mount", "-o", "remount,hidepid=invisible", "/proc")
		h.Match("hidepid for the whole machine", h.Su("alice", ask).Stdout, `(?s)Failed to open file.*No such file.*code 127`)
	})
}

// bubblewrap and rootless podman mount a /proc of their own in a session that has
// one: nothing is mounted below it.
func TestContainersBesideOwnProc(t *testing.T) {
	story(t, ownProc, []string{"podman", "newuidmap", "crun", "bwrap"}, func(h *host.Host) {
		h.Sh(`mount -t cgroup2 none /sys/fs/cgroup
for f in subuid subgid; do echo alice:200000:65536 >>/etc/$f; done
install -d -o alice /run/user/2001
image=/home/alice/image
mkdir -p $image/bin $image/proc $image/dev $image/sys $image/etc $image/run $image/tmp
cp -L /bin/sh $image/bin/
for l in $(ldd /bin/sh | grep -o '/[^ ]*'); do mkdir -p $image$(dirname $l); cp -L $l $image$l; done
chown -R alice $image`)
		out := h.MustRun("su", "alice", "-c", `cd; export XDG_RUNTIME_DIR=/run/user/2001
podman --cgroup-manager=cgroupfs --events-backend=file --runtime crun run --rm --cgroups=disabled --network=host --rootfs ~/image /bin/sh -c 'echo /proc/[0-9]*'`)
		h.Match("podman: its processes", out, `^/proc/1$`)
		h.Match("bubblewrap: its processes", h.MustRun("su", "alice", "-c", "cd /; bwrap --unshare-pid --ro-bind / / --proc /proc --dev /dev ps -eo comm="), `^bwrap\nps$`)
	})
}
