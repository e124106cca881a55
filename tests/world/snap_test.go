//go:build world

package world

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// aSnap is a snap and its base, as snapd leaves them when it has installed them: what is
// below /snap, and the filter of system calls, which forbids nothing.
const aSnap = `set -e
for s in core22 demo; do mkdir -p /snap/$s/1; ln -s 1 /snap/$s/current; mount --bind /snap/$s/1 /snap/$s/1; done
cd /snap/core22/1
mkdir -p bin dev etc home lib/firmware lib/modules media mnt proc root run snap sys tmp usr/lib/snapd usr/src var/lib/snapd var/log var/snap var/tmp
cp /bin/busybox bin/
for p in sh cat ls pwd true; do ln -s busybox bin/$p; done
touch etc/nsswitch.conf
cd /snap/demo/1
mkdir meta
printf 'name: demo\nversion: 1\nbase: core22\napps:\n  app:\n    command: app\n' >meta/snap.yaml
printf '#!/bin/sh\nexec /bin/sh -c "$@"\n' >app
chmod 755 app
mkdir -p /var/snap /run/snapd /var/lib/snapd/seccomp/bpf /var/lib/snapd/snaps
touch /var/lib/snapd/snaps/demo_1.snap
echo @unrestricted >/run/snapd/filter
/usr/lib/snapd/snap-seccomp compile /run/snapd/filter /var/lib/snapd/seccomp/bpf/snap.demo.app.bin
`

// TestSnap: `snap run` starts snap-confine, which is set-user-ID and leads each snap into
// the view of process 1. No snap sees a private directory of the session: its /tmp is one
// of its own, for all users, below the public one. docs/compatibility.md says so.
func TestSnap(t *testing.T) {
	story(t, ownTmp+strings.NewReplacer("/tmp", "/var/tmp", "polyinst/tmp", "polyinst/var-tmp").Replace(ownTmp), []string{"snap", "/usr/lib/snapd/snap-confine", "busybox", "dbus-daemon"}, func(h *host.Host) {
		h.Prepare("/var/lib/polyinst/var-tmp")
		h.Sh("mount --make-rshared /; mount -t cgroup2 none /sys/fs/cgroup; echo public >/var/tmp/note; mkdir -p /run/dbus; dbus-daemon --system --fork --nopidfile")
		h.MustRun("sh", "-c", aSnap)
		h.Command("/usr/lib/snapd/snapd").Env("SNAPD_DEBUG=1").Start().Expect("activation done")
		s := h.Sshd()
		// From Linux 6.18 on each processor numbers namespaces for itself. snap-confine keeps
		// the snap's by a bind mount, which the kernel refuses in one with a greater number:
		// on one processor at least it has a smaller one than what is made there.
		must(s, "alice", "for cpu in $(seq 0 $(($(nproc --all) - 1))); do taskset -c $cpu snap run demo.app true && exit; done; exit 1")
		const work = `snap run demo.app 'cat /var/tmp/note; ls /tmp; echo >/tmp/by-$USER; pwd'`
		host.Equal(h, "alice's snap", must(s, "alice", "echo mine | tee /tmp/note >/var/tmp/note; cd /usr/lib; "+work), "public\n/usr/lib")
		host.Equal(h, "bob's snap", must(s, "bob", work), "public\nby-alice\n/home/bob")
		host.Equal(h, "its /tmp", strings.Join(h.Names("/tmp/snap-private-tmp/snap.demo/tmp"), " "), "by-alice by-bob")
		host.Equal(h, "alice's session", must(s, "alice", "cat /tmp/note /var/tmp/note"), "mine\nmine")
		host.Equal(h, "where the session's /tmp was", must(s, "alice", "cd /tmp; snap run demo.app pwd"), "/tmp")
	})
}
