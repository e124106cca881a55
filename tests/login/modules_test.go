package login

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// Other session modules clean up at close in the view in which they worked at
// open: those before our line in the host's, those behind it in the session's.
// A line "close" at the top of the stack sees to that, as pam_selinux has it.
const closeFirst = "session optional pam_polyinst.so close"

// mounts gives each session of alice a tmpfs, by pam_mount.
const mounts = `<?xml version="1.0" encoding="utf-8" ?>
<!DOCTYPE pam_mount SYSTEM "pam_mount.conf.xml.dtd">
<pam_mount>
<volume user="alice" fstype="tmpfs" path="tmpfs" mountpoint="/home/alice/vol" options="size=1M,mode=0700" />
<mkmountpoint enable="1" remove="false" />
</pam_mount>
`

// pamMount is the stack of a service with pam_mount before our line.
func pamMount(h *host.Host, service string) {
	h.Need("pam_mount.so")
	h.WriteFile("/etc/security/pam_mount.conf.xml", mounts)
	lines := []string{"auth optional pam_mount.so", "auth sufficient pam_rootok.so", "auth required pam_unix.so", "account required pam_permit.so",
		"password required pam_deny.so", closeFirst, "session optional pam_mount.so", kit.Session, "session required pam_unix.so"}
	h.PAM(service, lines...)
}

// What pam_mount mounts is seen in the session, and is off the host when the last
// session has ended.
func TestPamMountBeforeUs(t *testing.T) {
	const look = "stat -f -c %T /home/alice/vol; " + kit.WhichTmp
	judge := func(h *host.Host, how, out string) {
		kind, at, _ := strings.Cut(strings.TrimSpace(out), "\n")
		host.Equal(h, how+": what is at the volume", kind, "tmpfs")
		kit.InInstance(h, how, "alice", at)
		h.WaitLog("session closed for user alice")
		h.ForgetLog()
		if left := h.Sh("grep /home/alice/vol /proc/self/mountinfo || :"); left != "" {
			t.Errorf("%s: left on the host after logout: %s", how, left)
		}
	}
	t.Run("su", func(t *testing.T) {
		t.Parallel()
		kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
			h.AddUser("alice")
			pamMount(h, "su")
			judge(h, "su", h.MustRun("su", "alice", "-c", look))
			judge(h, "su once more", h.MustRun("su", "alice", "-c", look))
		})
	})
	t.Run("sshd", func(t *testing.T) {
		t.Parallel()
		kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
			h.AddUser("alice")
			pamMount(h, "sshd")
			s := h.Sshd()
			judge(h, "ssh", s.Client(host.PasswordAuth, "alice", look).Must())
		})
	})
	t.Run("tmpdir", func(t *testing.T) {
		t.Parallel()
		kit.Story(t, kit.Tmpdir, nil, func(h *host.Host) {
			h.AddUser("alice")
			pamMount(h, "su")
			h.MustRun("su", "alice", "-c", "touch /tmp/x")
			if left := h.Sh("grep /home/alice/vol /proc/self/mountinfo || :"); left != "" {
				t.Errorf("left on the host after logout: %s", left)
			}
			if n := kit.Settled(h, 0); len(n) > 0 {
				t.Errorf("the parent holds %v", n)
			}
		})
	})
}

// what stands before our line closes in the host's view, what stands behind it in
// the session's.
func TestCloseLine(t *testing.T) {
	const told = `#!/bin/sh
echo "$PAM_USER $PAM_TYPE $(stat -c %d:%i /tmp) $(pwd -P)" >>/run/told."$1"
`
	stack := func(ours string) []string {
		return host.Stack(closeFirst, "session required pam_exec.so seteuid /usr/local/sbin/told before", ours, "session required pam_exec.so seteuid /usr/local/sbin/told behind")
	}
	for name, c := range map[string]struct{ config, args string }{
		"user":             {kit.OwnTmp, ""},
		"tmpdir":           {kit.Tmpdir, ""},
		"unmount_on_close": {kit.Tmpdir, " unmount_on_close"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, c.config, nil, func(h *host.Host) {
				h.AddUser("alice")
				h.WriteFile("/usr/local/sbin/told", told, 0o755)
				h.PAM("pamhost", stack(kit.Session+c.args)...)
				tr := h.PamHost(kit.Steps("cwd:/usr", "snapshot:before", "open", "exec:stat -c %d:%i /tmp", "close", "exec:stat -c %d:%i /tmp; pwd -P", "end", "snapshot:end")...)
				tr.RC("open", host.PAMSuccess)
				tr.RC("close", host.PAMSuccess)
				public, own := h.FileID("/tmp"), tr.All("exec")[0].Text
				if own == public {
					t.Fatal("the session is in the public /tmp")
				}
				host.Equal(h, "before our line", h.ReadFile("/run/told.before"), "alice open_session "+public+" /usr\nalice close_session "+public+" /usr\n")
				behind := own
				if c.args != "" {
					behind = public // our line has led the host back for good
				}
				host.Equal(h, "behind our line", h.ReadFile("/run/told.behind"), "alice open_session "+own+" /usr\nalice close_session "+behind+" /usr\n")
				host.Equal(h, "where the host stands at the end", tr.All("exec")[1].Text, behind+"\n/usr")
				host.Equal(h, "descriptors", len(tr.Snapshot("end")["fds"]), len(tr.Snapshot("before")["fds"]))
				if c.config == kit.Tmpdir {
					host.Equal(h, "left behind", len(kit.Settled(h, 0)), 0)
				}
			})
		})
	}
	t.Run("exempt, out of another session", func(t *testing.T) {
		t.Parallel()
		kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
			h.AddUser("alice")
			h.WriteFile("/usr/local/sbin/told", told, 0o755)
			h.PAM("sudo", append([]string{"auth sufficient pam_permit.so"}, stack(kit.Session)...)...)
			h.WriteFile("/etc/sudoers.d/alice", "alice ALL=(ALL) NOPASSWD: ALL\n", 0o440)
			h.Need("sudo")
			own := strings.TrimSpace(h.MustRun("su", "alice", "-c", "stat -c %d:%i /tmp; sudo true"))
			h.Match("before our line", h.ReadFile("/run/told.before"), "root open_session "+own+" .*\nroot close_session "+own+" .*\n")
			h.Match("behind our line", h.ReadFile("/run/told.behind"), "root open_session "+h.FileID("/tmp")+" .*\nroot close_session "+h.FileID("/tmp")+" .*\n")
		})
	})
	t.Run("no line that opens", func(t *testing.T) {
		t.Parallel()
		kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
			h.AddUser("alice")
			h.PAM("su", host.Stack(closeFirst, "session required pam_permit.so")...)
			h.MustRun("su", "alice", "-c", "true")
			h.WaitLog(`<4> .*no line of the module that opens sessions`)
		})
	})
}

// A ticket that libpam-krb5 writes before the session opens is gone from the
// public /tmp when it ends.
func TestKerberosTicketIsGone(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.Need("pam_krb5.so", "krb5kdc", "kdb5_util", "kadmin.local", "klist")
		h.AddUser("alice")
		kit.KDC(h, "alice", "")
		h.PAM("su", "auth required pam_krb5.so", "account required pam_permit.so", "password required pam_deny.so",
			closeFirst, "session optional pam_krb5.so", kit.Session, "session required pam_unix.so")
		bob := h.AddUser("bob")
		p := h.Command("su", "alice", "-c", "echo got=$KRB5CCNAME; "+kit.WhichTmp).As(bob).OnPty()
		p.Expect("Password")
		p.Send("secret\n")
		p.Expect(`got=FILE:/tmp/krb5cc_`)
		p.Wait()
		h.WaitLog("session closed for user alice")
		for _, name := range h.Names("/tmp") {
			if strings.HasPrefix(name, "krb5cc") {
				t.Errorf("left in the public /tmp: %s", name)
			}
		}
	})
}

// What libpam-krb5 writes to the public /tmp before the session opens, the session does
// not find, on whichever side of our line it stands: behind it the ticket even stays. It
// does not go by default_ccache_name. check says so, and what it advises helps.
func TestKerberosTicketInTheSession(t *testing.T) {
	const advised = "ccache=KEYRING:persistent:%u"
	for name, c := range map[string]struct {
		libdefaults, args string
		behind            bool
		cache             string // what the session has
		found             bool   // klist finds it
	}{
		"a file":                     {"", "", false, "FILE:/tmp/krb5cc_", false},
		"a file, behind our line":    {"", "", true, "FILE:/tmp/krb5cc_", false},
		"a file, by another default": {"default_ccache_name = KEYRING:persistent:%{uid}", "", false, "FILE:/tmp/krb5cc_", false},
		"as check advises":           {"default_ccache_name = KEYRING:persistent:%{uid}", advised, false, "KEYRING:persistent:", true},
		"a file elsewhere":           {"", "ccache=FILE:/run/tickets/krb5cc_%u", false, "FILE:/run/tickets/krb5cc_", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
				h.Need("pam_krb5.so", "krb5kdc", "kdb5_util", "kadmin.local", "klist")
				h.AddUser("alice")
				bob := h.AddUser("bob")
				kit.KDC(h, "alice", c.libdefaults)
				h.Mkdir("/run/tickets", 0o1777, 0, 0)
				session := []string{closeFirst, "session optional pam_krb5.so " + c.args, kit.Session}
				if c.behind {
					session = []string{kit.Session, "session optional pam_krb5.so " + c.args}
				}
				h.PAM("su", append([]string{"auth required pam_krb5.so " + c.args, "account required pam_permit.so", "password required pam_deny.so"}, session...)...)
				p := h.Command("su", "alice", "-c", "echo got=$KRB5CCNAME; klist >/dev/null 2>&1 && echo a ticket || echo none; echo done").As(bob).OnPty()
				p.Expect("Password")
				p.Send("secret\n")
				p.Expect("got=" + c.cache)
				p.Expect(map[bool]string{true: "a ticket", false: "none"}[c.found])
				p.Wait()
				said := h.Cmd("polyinst", "check", "--pam").String()
				host.Equal(h, "check advises it", strings.Contains(said, advised), strings.Contains(c.cache, "/tmp/"))
				left := strings.Contains(strings.Join(h.Names("/tmp"), " "), "krb5cc_")
				host.Equal(h, "left in the public /tmp", left, c.behind)
			})
		})
	}
}

// pam_limits stands on either side of our line. A limit of address space that a worker
// does not fit into belongs behind it: before it the session is refused.
func TestPamLimits(t *testing.T) {
	const limits = "session required pam_limits.so conf=/etc/limits"
	for name, c := range map[string]struct {
		limits string
		stack  []string
		want   string // the session's ulimit -n and -v; empty: it is refused
	}{
		"before our line":         {"alice hard nofile 300\n", []string{limits, kit.Session}, "300 unlimited"},
		"behind our line":         {"alice hard nofile 300\n", []string{kit.Session, limits}, "300 unlimited"},
		"narrow, before our line": {"alice hard as 300000\n", []string{limits, kit.Session}, ""},
		"narrow, behind our line": {"alice hard as 300000\n", []string{kit.Session, limits}, "300000"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
				h.AddUser("alice")
				h.Forks() // a ready worker has limits of its own
				h.WriteFile("/etc/limits", c.limits)
				h.PAM("su", host.Stack(c.stack...)...)
				r := h.Cmd("su", "alice", "-c", "echo $(ulimit -Hn) $(ulimit -Hv); "+kit.WhichTmp)
				if c.want == "" {
					if r.Code == 0 {
						t.Errorf("the session was opened:\n%s", r)
					}
					return
				}
				has, at, _ := strings.Cut(strings.TrimSpace(r.Stdout), "\n")
				h.Match("the limits of the session", has+" ", c.want+" ")
				kit.InInstance(h, "su", "alice", at)
			})
		})
	}
}

// A home that the login makes is there for our line if pam_mkhomedir stands before it.
// Behind it a session with something in the home is refused, or has a home that is lost
// with the session: check says so.
func TestHomeMadeAtLogin(t *testing.T) {
	for name, c := range map[string]struct{ config, behind string }{
		"private /tmp":   {kit.OwnTmp, "works"},
		"polydir inside": {strings.Replace(kit.OwnTmp, `"/tmp"`, `"$HOME/work"`, 1) + "create = { mode = \"0700\" }\n", "refused"},
		"parent inside":  {strings.NewReplacer("/var/lib/polyinst/tmp/", "$HOME/.inst/").Replace(kit.OwnTmp) + "parent_in_unsafe_dir = true\n", "refused"},
		"source inside":  {"[[polydir]]\npath = \"/mnt\"\nmethod = \"bind\"\nsource = \"$HOME/work\"\nexcept = [\"root\"]\n", "refused"},
		"one's own home": {"[[polydir]]\npath = \"/home\"\nmethod = \"tmpfs\"\ntmpfs = { size = \"1M\", mode = \"0755\" }\nkeep = [\"$HOME\"]\nexcept = [\"root\"]\n", "lost"},
	} {
		for _, behind := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", behind our line"}[behind], func(t *testing.T) {
				t.Parallel()
				kit.Story(t, c.config, nil, func(h *host.Host) {
					h.AddUser("alice")
					h.Sh("rmdir /home/alice; chown root:root /home; chmod 755 /home; rm -rf /etc/skel; mkdir -p /etc/skel/work; touch /etc/skel/welcome")
					stack, want := []string{"session required pam_mkhomedir.so", kit.Session}, "works"
					if behind {
						stack[0], stack[1] = stack[1], stack[0]
						want = c.behind
					}
					h.PAM("su", host.Stack(stack...)...)
					told := strings.Contains(h.Cmd("polyinst", "check", "--pam").String(), "only later")
					host.Equal(h, "check says it", told, want != "works")
					const work = "ls ~/welcome && touch ~/by-alice"
					if want == "refused" {
						if r := h.Cmd("su", "alice", "-c", work); r.Code == 0 {
							t.Error("the session was opened")
						}
						return
					}
					h.MustRun("su", "alice", "-c", work)
					host.Equal(h, "her file is there the next time", h.Cmd("su", "alice", "-c", "ls ~/by-alice").Code == 0, want == "works")
					host.Equal(h, "on the disk", h.Exists("/home/alice/by-alice"), want == "works")
				})
			})
		}
	}
}

// pam_tmpdir behind our line makes what TMPDIR names in the session's instance.
func TestPamTmpdirBehindUs(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.Need("pam_tmpdir.so")
		h.AddUser("alice")
		h.PAM("su", host.Stack(kit.Session, "session optional pam_tmpdir.so")...)
		h.MustRun("su", "alice", "-c", "touch $TMPDIR/mine && test $TMPDIR != /tmp")
		if h.Exists("/tmp/user") {
			t.Error("TMPDIR is in the public /tmp")
		}
	})
}
