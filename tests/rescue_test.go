package tests

import (
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// everybody leaves nobody out: root too has a /tmp of his own.
var everybody = strings.Replace(ownTmp, `except          = ["root"]`, "", 1)

func admitted(h *host.Host, user string) bool { return h.Su(user, "true").Code == 0 }

// Whatever is broken, root comes in, and the log is loud about it.
func TestRootIsNeverLockedOut(t *testing.T) {
	for name, spoil := range map[string]func(h *host.Host){
		"broken file":        func(h *host.Host) { h.Config("[[polydir\n") },
		"no file":            func(h *host.Host) { h.MustRun("rm", host.ConfigFile) },
		"file of a user":     func(h *host.Host) { h.MustRun("chown", "4000", host.ConfigFile) },
		"unknown argument":   func(h *host.Host) { h.PAM("su", host.Stack(session+" frobnicate")...) },
		"no instance parent": func(h *host.Host) { h.MustRun("rmdir", parent) },
		"no polydir":         func(h *host.Host) { h.MustRun("rmdir", "/tmp") },
		"no /run":            func(h *host.Host) { h.MustRun("chmod", "777", "/run") },
		"no room for a worker": func(h *host.Host) {
			h.PAM("su", append(host.Stack()[:2], "session required pam_limits.so conf=/etc/limits", session)...)
			h.WriteFile("/etc/limits", "* hard as 300000\nroot hard as 300000\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, everybody, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				spoil(h)
				if !admitted(h, "root") {
					t.Error("root is locked out")
				}
				if l := h.WaitLog("rescue:.*root.*WITHOUT private directories"); !strings.HasPrefix(l.String(), "<1>") {
					t.Errorf("the log is not loud: %s", l)
				}
				if admitted(h, "alice") {
					t.Error("alice was let in without her directories")
				}
			})
		})
	}
}

// rescue never covers what is wrong with the user's own instance.
func TestRescueIsNotForOneself(t *testing.T) {
	story(t, everybody, []string{"su"}, func(h *host.Host) {
		h.MustRun("ln", "-s", "/etc", instance("root"))
		if admitted(h, "root") {
			t.Error("root was admitted in spite of his instance")
		}
	})
}

func TestRescueGroup(t *testing.T) {
	story(t, "[namespace]\nrescue = [\"@admins\"]\n"+everybody, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.AddGroup("admins", "bob")
		h.MustRun("rmdir", parent)
		host.Equal(h, "bob of the rescue group", admitted(h, "bob"), true)
		host.Equal(h, "alice", admitted(h, "alice"), false)
		// without a readable file only the PAM line can name anybody
		h.Config("broken")
		host.Equal(h, "bob, broken file", admitted(h, "bob"), false)
		h.PAM("su", host.Stack(session+" rescue=@admins")...)
		host.Equal(h, "bob, by the PAM line", admitted(h, "bob"), true)
		host.Equal(h, "alice, by the PAM line", admitted(h, "alice"), false)
	})
}

func TestLastGood(t *testing.T) {
	story(t, ownTmp, nil, func(h *host.Host) {
		h.PAM("su", host.Stack(session+" config_error=last-good")...)
		h.AddUser("alice")
		good := h.ReadFile(host.ConfigFile)
		h.Config("broken")
		host.Equal(h, "nothing was accepted yet", admitted(h, "alice"), false)
		h.WaitLog("check --accept")
		host.Equal(h, "a broken file is not accepted", h.Cmd("polyinst", "check", "--accept").Code, 1)
		h.Config(good)
		h.MustRun("polyinst", "check", "--accept")
		h.Config("broken again")
		h.ForgetLog()
		sees(h, "alice", true)
		if l := h.WaitLog("last good one is used"); !strings.HasPrefix(l.String(), "<1>") {
			t.Errorf("the log is not loud: %s", l)
		}
		// it is believed as root's file with its digests alone
		h.MustRun("sed", "-i", "s/user/tmpdir/", "/var/lib/polyinst/last-good.json")
		host.Equal(h, "changed behind our back", admitted(h, "alice"), false)
	})
}

// require_selinux denies where SELinux is off, as it is in this host: also a
// user for whom nothing applies.
func TestRequireSELinux(t *testing.T) {
	story(t, ownTmp, nil, func(h *host.Host) {
		h.PAM("su", host.Stack(session+" require_selinux")...)
		h.AddUser("alice")
		host.Equal(h, "alice", admitted(h, "alice"), false)
		h.WaitLog("require_selinux, but SELinux is not active here")
		host.Equal(h, "root, of the rescue group", admitted(h, "root"), true)
	})
}

// level and context without SELinux: refused, unless the file says what else.
func TestWithoutContext(t *testing.T) {
	level := strings.Replace(ownTmp, `"user"`, `"level"`, 1)
	story(t, level, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		host.Equal(h, "alice", admitted(h, "alice"), false)
		h.WaitLog(regexp.QuoteMeta(levelHere()))
		h.Config(level + "shared = true\nwithout_context = \"user\"\n")
		sees(h, "alice", true)
	})
}
