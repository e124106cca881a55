//go:build world

package world

import (
	"path"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// anAppImage makes ~alice/demo.AppImage: a runtime with a squashfs behind it. The real
// runtime is a program that a network has; this one does what that does, by squashfuse
// and fusermount: it mounts itself below /tmp, runs AppRun from there, and takes the
// mount away when that has ended.
const anAppImage = `set -e
cd /srv
mkdir -p app/usr/bin
cp /bin/busybox app/usr/bin/
echo inside >app/letter
cat >app/AppRun <<'END'
#!/bin/sh
exec "$APPDIR/usr/bin/busybox" sh -c "$@"
END
chmod 755 app/AppRun
mksquashfs app squashfs -quiet -no-progress
cat >runtime <<'END'
#!/bin/sh
APPIMAGE=$(readlink -f "$0")
APPDIR=$(mktemp -d /tmp/.mount_demoXXXXXX)
export APPIMAGE APPDIR
squashfuse -o ro,nosuid,nodev,offset=4096 "$APPIMAGE" "$APPDIR" || exit 127
"$APPDIR/AppRun" "$@"
status=$?
fusermount3 -u "$APPDIR"
rmdir "$APPDIR"
exit $status
END
truncate -s 4096 runtime
cat runtime squashfs >/home/alice/demo.AppImage
chmod 755 /home/alice/demo.AppImage
`

// TestAppImage: what it mounts below /tmp is in the session alone, the host and another
// session of the user's see an empty directory there, and nothing of it stays. noexec
// does not keep it from running, nor who makes a user namespace: docs/recipes.md.
func TestAppImage(t *testing.T) {
	for name, config := range map[string]string{
		"persistent": ownTmp,
		"scope user": "[namespace]\nscope = \"user\"\n" + ownTmp,
		"tmpdir":     strings.Replace(ownTmp, `"user"`, `"tmpdir"`, 1),
		"noexec":     ownTmp + "mount_options = [\"nosuid\", \"nodev\", \"noexec\"]\n",
	} {
		t.Run(name, func(t *testing.T) {
			story(t, config, []string{"squashfuse", "mksquashfs", "busybox", "fusermount3", "unshare"}, func(h *host.Host) {
				h.MustRun("mount", "--make-rshared", "/")
				h.Sh("chmod 0666 /dev/fuse")
				h.MustRun("sh", "-c", anAppImage)
				before := h.ReadFile("/proc/self/mountinfo")
				p := h.Start("su", "alice", "-c", `cp /bin/busybox /tmp/ls; /tmp/ls /tmp/ls; cd; exec ./demo.AppImage 'cat $APPDIR/letter; echo at=$APPDIR.; read x; cat $APPDIR/letter; touch /tmp/by-it'`)
				if name == "noexec" {
					p.Expect("Permission denied")
					has(h, "a user namespace", h.MustRun("su", "alice", "-c", "unshare -Urm sh -c 'mount -t tmpfs none /tmp && cp /bin/busybox /tmp/ls && /tmp/ls -d /tmp'"), "/tmp")
				}
				p.Expect("inside")
				at := p.Expect(`at=(/tmp/\.mount_demo\w+)\.`)[1]
				host.Equal(h, "the host's mounts", h.ReadFile("/proc/self/mountinfo"), before)
				own := strings.TrimSpace(h.Sh("find " + instances + " -name .mount_demo*"))
				host.Equal(h, "what the host sees in its directory", strings.Join(h.Names(own), " "), "")
				own = path.Dir(own)
				h.MustRun("polyinst", "gc")
				switch name {
				case "scope user":
					host.Equal(h, "in another session", h.MustRun("su", "alice", "-c", "cat "+at+"/letter"), "inside")
				case "tmpdir":
					host.Equal(h, "in another session", h.MustRun("su", "alice", "-c", "ls -A /tmp"), "")
				default:
					host.Equal(h, "in another session", h.MustRun("su", "alice", "-c", "ls -A "+at), "")
				}
				p.Send("\n")
				p.Expect("inside")
				p.Wait()
				if name == "tmpdir" {
					h.Sh("while ls -A " + instances + " | grep -q tmpdir; do polyinst gc >/dev/null; done") // squashfuse may end after it
					return
				}
				host.Equal(h, "what is left in the instance", strings.Join(h.Names(own), " "), "by-it ls")
			})
		})
	}
}
