package refusal

import (
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// Whatever is broken, root comes in, and the log is loud about it.
func TestRootIsNeverLockedOut(t *testing.T) {
	for name, spoil := range map[string]func(h *host.Host){
		"broken file":        func(h *host.Host) { h.Config("[[polydir\n") },
		"no file":            func(h *host.Host) { h.MustRun("rm", host.ConfigFile) },
		"file of a user":     func(h *host.Host) { h.MustRun("chown", "4000", host.ConfigFile) },
		"unknown argument":   func(h *host.Host) { h.PAM("su", host.Stack(kit.Session+" frobnicate")...) },
		"no instance parent": func(h *host.Host) { h.MustRun("rmdir", kit.TmpParent) },
		"no polydir":         func(h *host.Host) { h.MustRun("rmdir", "/tmp") },
		"no /run":            func(h *host.Host) { h.MustRun("chmod", "777", "/run") },
		"no room for a worker": func(h *host.Host) {
			h.PAM("su", append(host.Stack()[:2], "session required pam_limits.so conf=/etc/limits", kit.Session)...)
			h.WriteFile("/etc/limits", "* hard as 300000\nroot hard as 300000\n")
			h.Forks() // a ready worker has limits of its own
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.Everybody, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				spoil(h)
				if !kit.Admitted(h, "root") {
					t.Error("root is locked out")
				}
				if l := h.WaitLog("rescue:.*root.*WITHOUT private directories"); !strings.HasPrefix(l.String(), "<1>") {
					t.Errorf("the log is not loud: %s", l)
				}
				if kit.Admitted(h, "alice") {
					t.Error("alice was let in without her directories")
				}
			})
		})
	}
}

// rescue never covers what is wrong with the user's own instance.
func TestRescueIsNotForOneself(t *testing.T) {
	kit.Story(t, kit.Everybody, []string{"su"}, func(h *host.Host) {
		h.MustRun("ln", "-s", "/etc", kit.Instance("root"))
		if kit.Admitted(h, "root") {
			t.Error("root was admitted in spite of its instance")
		}
	})
}

func TestRescueGroup(t *testing.T) {
	kit.Story(t, "[namespace]\nrescue = [\"@admins\"]\n"+kit.Everybody, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.AddGroup("admins", "bob")
		h.MustRun("rmdir", kit.TmpParent)
		host.Equal(h, "bob of the rescue group", kit.Admitted(h, "bob"), true)
		host.Equal(h, "alice", kit.Admitted(h, "alice"), false)
		// without a readable file only the PAM line can name anybody
		h.Config("broken")
		host.Equal(h, "bob, broken file", kit.Admitted(h, "bob"), false)
		h.PAM("su", host.Stack(kit.Session+" rescue=@admins")...)
		host.Equal(h, "bob, by the PAM line", kit.Admitted(h, "bob"), true)
		host.Equal(h, "alice, by the PAM line", kit.Admitted(h, "alice"), false)
	})
}

func TestLastGood(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.PAM("su", host.Stack(kit.Session+" config_error=last-good")...)
		h.AddUser("alice")
		good := h.ReadFile(host.ConfigFile)
		h.Config("broken")
		host.Equal(h, "nothing was accepted yet", kit.Admitted(h, "alice"), false)
		h.WaitLog("check --accept")
		host.Equal(h, "a broken file is not accepted", h.Cmd("polyinst", "check", "--accept").Code, 1)
		h.Config(good)
		h.MustRun("polyinst", "check", "--accept")
		h.Config("broken again")
		h.ForgetLog()
		kit.SeesOwnTmp(h, "alice", true)
		if l := h.WaitLog("last good one is used"); !strings.HasPrefix(l.String(), "<1>") {
			t.Errorf("the log is not loud: %s", l)
		}
		// it is believed as root's file with its digests alone
		h.MustRun("sed", "-i", "s/user/tmpdir/", kit.LastGood(h))
		host.Equal(h, "changed behind our back", kit.Admitted(h, "alice"), false)
	})
}

// A snapshot is used for the main file alone that it was made of: a draft that
// is edited or accepted elsewhere, and the vendor's file, are other files.
func TestLastGoodIsOfItsFile(t *testing.T) {
	const open = "[namespace]\n[[polydir]]\npath = \"/srv/other\"\nmethod = \"tmpfs\"\ncreate = { mode = \"0700\" }\n"
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.PAM("su", host.Stack(kit.Session+" config_error=last-good")...)
		h.AddUser("alice")
		h.MustRun("polyinst", "check", "--accept")
		h.WriteFile("/root/draft.conf", open)
		h.Command("polyinst", "edit", "--conf", "/root/draft.conf").Env("EDITOR=sed -i s/other/second/").Must()
		h.MustRun("polyinst", "check", "--accept", "/root/draft.conf")
		h.Config("broken")
		kit.SeesOwnTmp(h, "alice", true)

		// the snapshot of a main file that is gone is none for the vendor's, nor the other way round
		h.MustRun("rm", "-r", "/var/lib/polyinst")
		h.Prepare(kit.TmpParent)
		h.MustRun("rm", host.ConfigFile)
		h.WriteFile("/usr/share/polyinst/namespace.conf", open)
		h.MustRun("polyinst", "check", "--accept")
		h.Config("broken")
		host.Equal(h, "by the snapshot of the vendor's file", kit.Admitted(h, "alice"), false)
		h.WaitLog("there is no last good configuration: none was accepted")
		h.MustRun("rm", host.ConfigFile)
		h.WriteFile("/usr/share/polyinst/namespace.conf", "broken")
		host.Equal(h, "the vendor's, by its own", kit.Admitted(h, "alice"), true)
	})
}

// The snapshot of version 0.1, one for all main files, counts for the one that
// it was made of.
func TestLastGoodOfAnOlderVersion(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.PAM("su", host.Stack(kit.Session+" config_error=last-good")...)
		h.AddUser("alice")
		h.MustRun("polyinst", "check", "--accept")
		h.MustRun("mv", kit.LastGood(h), "/var/lib/polyinst/last-good.json")
		h.Config("broken")
		kit.SeesOwnTmp(h, "alice", true)
		h.MustRun("sed", "-i", "s,"+host.ConfigFile+",/root/draft.conf,", "/var/lib/polyinst/last-good.json")
		host.Equal(h, "of a draft", kit.Admitted(h, "alice"), false)
	})
}

// require_selinux denies where SELinux is off, as it is in this host: also a
// user for whom nothing applies.
func TestRequireSELinux(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.PAM("su", host.Stack(kit.Session+" require_selinux")...)
		h.AddUser("alice")
		host.Equal(h, "alice", kit.Admitted(h, "alice"), false)
		h.WaitLog("require_selinux, but SELinux is not active here")
		host.Equal(h, "root, of the rescue group", kit.Admitted(h, "root"), true)
	})
}

// level and context without SELinux: refused, unless the file says what else.
func TestWithoutContext(t *testing.T) {
	level := strings.Replace(kit.OwnTmp, `"user"`, `"level"`, 1)
	kit.Story(t, level, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		host.Equal(h, "alice", kit.Admitted(h, "alice"), false)
		h.WaitLog(regexp.QuoteMeta(kit.LevelHere()))
		h.Config(level + "shared = true\nwithout_context = \"user\"\n")
		kit.SeesOwnTmp(h, "alice", true)
	})
}
