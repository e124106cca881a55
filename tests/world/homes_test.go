//go:build world

package world

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// automounted lets automount(8) mount each user's home when somebody looks for it: a
// bind mount of the place where it really is, as on a machine that has its own users'
// homes. Mounts of the host are shared, as systemd makes them.
func automounted(h *host.Host) (homes string) {
	h.T.Helper()
	h.Sh(`mount --make-rshared /
[ -e /dev/autofs ] || mknod /dev/autofs c 10 235
install -d -m 755 /export/home
mv /home/* /export/home/
echo '/home /etc/auto.home --timeout=600' >/etc/auto.master
echo '* -fstype=bind :/export/home/&' >/etc/auto.home
printf '[ autofs ]\nmount_nfs_default_protocol = 4\n' >/etc/autofs.conf`)
	h.Start("automount", "--foreground", "--dont-check-daemon")
	h.Sh("until grep -q ' /home autofs ' /proc/mounts; do :; done")
	return "/export/home"
}

// mounted are the homes that are mounted on the host.
func mounted(h *host.Host) string {
	return strings.TrimSpace(h.Sh("awk '$5 ~ \"^/home/\" { print $5 }' /proc/self/mountinfo | tr '\\n' ' '"))
}

// Homes that are mounted when somebody looks for them: the session's home is mounted
// by its login, one that is looked for in the session arrives there, and a polydir, an
// instance parent and a kept entry may lie in one.
func TestAutofsHomes(t *testing.T) {
	for name, config := range map[string]string{
		"private /tmp":   ownTmp,
		"polydir inside": strings.Replace(ownTmp, `"/tmp"`, `"$HOME/work"`, 1) + "create = { mode = \"0700\" }\n",
		"parent inside":  strings.NewReplacer("/var/lib/polyinst/tmp/", "$HOME/.inst/").Replace(ownTmp) + "parent_in_unsafe_dir = true\n",
		"one's own home": "[[polydir]]\npath = \"/home\"\nmethod = \"tmpfs\"\ntmpfs = { size = \"1M\", mode = \"0755\" }\nkeep = [\"$HOME\"]\nexcept = [\"root\"]\n",
	} {
		t.Run(name, func(t *testing.T) {
			story(t, config, []string{"automount", "sshd"}, func(h *host.Host) {
				homes := automounted(h)
				s := h.Sshd()
				host.Equal(h, "homes that are mounted", mounted(h), "")
				h.Agrees("alice", "su", func() {
					host.Equal(h, "her home", h.MustRun("su", "alice", "-c", "touch ~/here; stat -c %d:%i ~"), h.FileID(homes+"/alice"))
				})
				host.Equal(h, "her file", h.Exists(homes+"/alice/here"), true)
				has(h, "by ssh", must(s, "alice", "ls ~"), "here")
				switch name {
				case "private /tmp":
					must(s, "alice", "touch /tmp/mine")
					host.Equal(h, "her file in /tmp", h.Exists(instances+"alice/mine"), true)
					// bob's is mounted because she looks for it, on the host and in her session
					has(h, "bob's home", s.SSH("alice", "stat -c %d:%i /home/bob").Stdout, h.FileID(homes+"/bob"))
					has(h, "homes that are mounted", mounted(h), "/home/bob")
				case "polydir inside":
					must(s, "alice", "touch ~/work/mine")
					host.Equal(h, "her file in it", h.Exists(instances+"alice/mine"), true)
				case "parent inside":
					must(s, "alice", "touch /tmp/mine")
					host.Equal(h, "her file in /tmp", h.Exists(homes+"/alice/.inst/alice/mine"), true)
				case "one's own home":
					host.Equal(h, "the homes that she sees", strings.TrimSpace(must(s, "alice", "ls /home; ls -d /home/bob 2>/dev/null || :")), "alice")
				}
				has(h, "check", h.Cmd("polyinst", "check").String(), "no problem")
			})
		})
	}
}
