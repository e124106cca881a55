//go:build world

package world

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// TestSSSDTickets: sssd writes the ticket as the user, in its own view. A file in the
// public /tmp the session does not find; sssd-kcm finds it by the uid in each session.
func TestSSSDTickets(t *testing.T) {
	const kcm = "/usr/libexec/sssd/sssd_kcm"
	for name, c := range map[string]struct{ libdefaults, says string }{
		"a file": {"", `klist: No credentials cache found \(filename: /tmp/krb5cc_2001\w+\)`},
		"KCM":    {"default_ccache_name = KCM:", `Ticket cache: KCM:2001\S*\s+Default principal: alice@EXAMPLE.ORG`},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, ownTmp, []string{kcm, "sssd", "/usr/libexec/sssd/krb5_child", "pam_sss.so", "krb5kdc", "kdb5_util", "kadmin.local", "klist", "kinit"}, func(h *host.Host) {
				h.WriteFile("/etc/sssd/sssd.conf", "[sssd]\nservices = nss, pam\ndomains = example\n[domain/example]\nid_provider = files\nauth_provider = krb5\n"+
					"krb5_server = 127.0.0.1:1088\nkrb5_realm = EXAMPLE.ORG\n[kcm]\n", 0o600)
				h.Sh("mkdir -p /run/dbus /run/sssd; dbus-daemon --system --fork --nopidfile")
				h.MustRun("sssd", "--genconf")
				h.Start(kcm, "--uid", "0", "--gid", "0", "--logger=stderr", "--debug-level=9").Expect("KCM Initialization complete")
				kit.KDC(h, "alice", c.libdefaults)
				h.Start("sssd", "-i", "--logger=stderr", "-d", "9").Expect("All services have successfully started")
				h.PAM("su", "auth sufficient pam_rootok.so", "auth required pam_sss.so", "account required pam_permit.so", "password required pam_deny.so",
					"session optional pam_sss.so", "session required pam_polyinst.so")
				p := h.Command("su", "alice", "-c", "klist; touch /tmp/mine; read x").As(host.User{Name: "bob", UID: 2002, GID: 2002, Home: "/home/bob"}).OnPty()
				p.Expect("Password")
				p.Send("secret\n")
				p.Expect(c.says)
				if name == "KCM" {
					has(h, "another session of hers", h.MustRun("su", "alice", "-c", "klist"), "krbtgt/EXAMPLE.ORG")
					if r := h.Cmd("su", "bob", "-c", "klist"); r.Code == 0 {
						t.Errorf("bob has a ticket:\n%s", r)
					}
				}
				p.Send("\n")
				p.Wait()
				host.Equal(h, "instances", h.Exists(instances+"alice/mine"), true)
			})
		})
	}
}

// TestCgroupsOfPAM: pam_cgfs gives the session a cgroup of the user's, on either side of
// our line. The hierarchy is the machine's: in a cgroup namespace its top is the story's.
func TestCgroupsOfPAM(t *testing.T) {
	story(t, ownTmp, []string{"pam_cgfs.so", "unshare"}, func(h *host.Host) {
		g := h.Cgroup()
		h.MustRun("mount", "-t", "tmpfs", "none", "/sys/fs/cgroup")
		h.Command("unshare", "-C", "mount", "-t", "cgroup2", "none", "/sys/fs/cgroup").In(g).Must()
		defer h.Sh("umount /sys/fs/cgroup; umount /sys/fs/cgroup")
		const cgfs, ours = "session required pam_cgfs.so -c all", "session required pam_polyinst.so"
		for _, stack := range [][]string{{cgfs, ours}, {ours, cgfs}} {
			h.PAM("su", host.Stack(stack...)...)
			out := h.Command("unshare", "-C", "su", "alice", "-c", "grep ^0: /proc/self/cgroup; stat -c %d:%i /tmp").In(g).Must()
			h.Match(stack[0]+" first", out, `^0::/user/alice/\d+\n`+h.FileID(instances+"alice")+`\n?$`)
		}
	})
}

// TestOddjobMkhomedir: oddjobd makes the home in the view of process 1. Behind our line
// that is too late for a session that shows one's own home alone: it has none, once.
func TestOddjobMkhomedir(t *testing.T) {
	const ownHome = "[[polydir]]\npath = \"/home\"\nmethod = \"tmpfs\"\ntmpfs = { size = \"1M\", mode = \"0755\" }\nkeep = [\"$HOME\"]\nexcept = [\"root\"]\n"
	for _, behind := range []bool{false, true} {
		t.Run(map[bool]string{false: "before our line", true: "behind our line"}[behind], func(t *testing.T) {
			story(t, ownHome, []string{"/usr/sbin/oddjobd", "pam_oddjob_mkhomedir.so", "dbus-daemon"}, func(h *host.Host) {
				h.Sh("rmdir /home/alice; mkdir -p /run/dbus /run/oddjob; dbus-daemon --system --fork --nopidfile; touch /etc/skel/welcome")
				h.Start("/usr/sbin/oddjobd", "-n", "-d").Expect(`Adding new handler for .*"mkhomedirfor"`)
				stack := []string{"session required pam_oddjob_mkhomedir.so", "session required pam_polyinst.so"}
				if behind {
					stack[0], stack[1] = stack[1], stack[0]
				}
				h.PAM("su", host.Stack(stack...)...)
				host.Equal(h, "check says it", strings.Contains(h.Cmd("polyinst", "check", "--pam").String(), "pam_oddjob_mkhomedir.so makes it only later"), behind)
				const work = "ls ~/welcome && touch ~/by-alice"
				host.Equal(h, "the first session has a home", h.Cmd("su", "alice", "-c", work).Code == 0, !behind)
				h.MustRun("su", "alice", "-c", work)
				host.Equal(h, "her file", h.Exists("/home/alice/by-alice"), true)
			})
		})
	}
}
