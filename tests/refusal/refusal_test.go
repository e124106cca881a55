package refusal

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// refusal is one thing pulled from under the module, and what it must say.
type refusal struct {
	name  string
	spoil func(h *host.Host)
	forks bool     // a ready worker has limits of its own
	steps []string // of the host, before the session
	user  string   // alice
	rc    int      // host.PAMRefused
	says  string   // matches the one LOG_ERR line
}

var refusals = []refusal{
	{name: "unknown key", says: `namespace\.conf:\d+:\d+: .*metod.*did you mean.*method`,
		spoil: func(h *host.Host) { h.Config(strings.Replace(kit.OwnTmp, "method", "metod", 1)) }},
	{name: "wrong type", says: `namespace\.conf:6:\d+: .*except`,
		spoil: func(h *host.Host) { h.Config(strings.Replace(kit.OwnTmp, `["root"]`, `true`, 1)) }},
	{name: "not TOML", says: `namespace\.conf:\d+:\d+: `,
		spoil: func(h *host.Host) { h.Config("[[polydir\n") }},
	{name: "no configuration", says: `/etc/security/polyinst/namespace\.conf`,
		spoil: func(h *host.Host) { h.MustRun("rm", host.ConfigFile) }},
	{name: "configuration writable by its group", says: `namespace\.conf.*0664`,
		spoil: func(h *host.Host) { h.MustRun("chmod", "664", host.ConfigFile) }},
	{name: "configuration of a user", says: `namespace\.conf.*uid 4000`,
		spoil: func(h *host.Host) { h.MustRun("chown", "4000", host.ConfigFile) }},
	{name: "directory of the configuration writable", says: `/etc/security/polyinst\b.*0777`,
		spoil: func(h *host.Host) { h.MustRun("chmod", "777", "/etc/security/polyinst") }},
	{name: "unknown argument", says: `frobnicate`,
		spoil: func(h *host.Host) { h.PAM("pamhost", host.Stack(kit.Session+" frobnicate")...) }},
	{name: "conf= names no file", says: `/etc/absent\.conf`,
		spoil: func(h *host.Host) { h.PAM("pamhost", host.Stack(kit.Session+" conf=/etc/absent.conf")...) }},

	{name: "no instance parent", says: `polydir "/tmp": .*/var/lib/polyinst/tmp.*polyinst prepare`,
		spoil: func(h *host.Host) { h.MustRun("rmdir", kit.TmpParent) }},
	{name: "instance parent open to all", says: `polydir "/tmp": .*0755.*0000`,
		spoil: func(h *host.Host) { h.MustRun("chmod", "755", kit.TmpParent) }},
	{name: "instance parent of a user", says: `polydir "/tmp": .*uid 4000.*root`,
		spoil: func(h *host.Host) { h.MustRun("chown", "4000", kit.TmpParent) }},
	{name: "instance parent is a file", says: `polydir "/tmp": .*directory`,
		spoil: func(h *host.Host) { h.Sh("rmdir " + kit.TmpParent + "; touch " + kit.TmpParent) }},
	{name: "instance parent below a user's directory", says: `polydir "/tmp": .*others can rename it in "/var/lib/polyinst"`,
		spoil: func(h *host.Host) { h.MustRun("chown", "4000", host.Parents) }},

	{name: "polydir is absent", says: `polydir "/tmp": `,
		spoil: func(h *host.Host) { h.MustRun("rmdir", "/tmp") }},
	{name: "polydir is a file", says: `polydir "/tmp": .*directory`,
		spoil: func(h *host.Host) { h.Sh("rmdir /tmp; touch /tmp") }},

	{name: "instance is a symlink", says: `polydir "/tmp": .*alice.*symbolic link`,
		spoil: func(h *host.Host) { h.MustRun("ln", "-s", "/etc", kit.Instance("alice")) }},
	{name: "instance is a file", says: `polydir "/tmp": .*alice.*directory`,
		spoil: func(h *host.Host) { h.MustRun("touch", kit.Instance("alice")) }},
	{name: "instance is a fifo", says: `polydir "/tmp": .*alice`,
		spoil: func(h *host.Host) { h.MustRun("mkfifo", kit.Instance("alice")) }},
	{name: "instance of another user", says: `polydir "/tmp": .*alice.*uid 4000`,
		spoil: func(h *host.Host) { h.Mkdir(kit.Instance("alice"), 0o1777, 4000, 0) }},
	{name: "instance without the sticky bit", says: `polydir "/tmp": .*alice.*0777`,
		spoil: func(h *host.Host) { h.Mkdir(kit.Instance("alice"), 0o777, 0, 0) }},
	{name: "instance on another filesystem", says: `polydir "/tmp": .*alice`,
		spoil: func(h *host.Host) {
			h.Mkdir(kit.Instance("alice"), 0o1777, 0, 0)
			h.MustRun("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", kit.Instance("alice"))
		}},

	{name: "unknown user", user: "nobody-here", rc: host.PAMUserUnknown, says: `nobody-here`},
	{name: "no CAP_SYS_ADMIN", steps: []string{"dropcap:cap_sys_admin"}, says: `(?i)cap_sys_admin`},
	{name: "little address space", steps: []string{"rlimit:as=300000000,300000000"}, says: `RLIMIT_AS`, forks: true},
}

// Each refusal is one PAM code, one line in the log, one short line to the user,
// and a host that is as it was: the same namespace, the same mounts.
func TestRefusals(t *testing.T) {
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			kit.HostStory(t, func(h *host.Host) {
				if r.forks {
					h.Forks()
				}
				if r.spoil != nil {
					r.spoil(h)
				}
				if r.user == "" {
					r.user = "alice"
				}
				if r.rc == 0 {
					r.rc = host.PAMRefused
				}
				steps := append([]string{"user=" + r.user, "start", "acct"}, r.steps...)
				steps = append(steps, "snapshot:before", "open", "snapshot:after", "print:quietly", "silent", "open", "close", "end")
				tr := h.PamHost(steps...)
				tr.RC("open", r.rc) // what close returns after it is libpam's affair
				h.Unchanged("a refused open", tr.Snapshot("before"), tr.Snapshot("after"))
				oneErrorLine(h, r.says)
				messages := tr.All("message")
				if len(messages) != 1 || messages[0].Style != "error" {
					t.Errorf("the user was told %v, want one error message, and none under PAM_SILENT", messages)
				}
			})
		})
	}
}

// oneErrorLine fails the story where not each of the two opens logged one error,
// in the form of a PAM module, that matches.
func oneErrorLine(h *host.Host, says string) {
	h.T.Helper()
	errors := 0
	for _, l := range h.ModuleLog() {
		if l.Severity > 3 {
			continue
		}
		errors++
		h.Match("the log line", l.Text, `^pam_polyinst\(pamhost:session\): .*`+says)
		host.Equal(h, "facility authpriv", l.Facility, 10)
	}
	host.Equal(h, "error lines of two opens", errors, 2)
}

// A broken file locks users out and says where it is broken; root gets in, into
// the public view, loudly.
func TestBrokenFile(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Config(kit.OwnTmp + "colour = 'red'\n")
		r := h.Su("alice", "id")
		if r.Code == 0 || strings.Contains(r.Stdout, "uid=") {
			t.Errorf("alice got in:\n%s", r)
		}
		h.WaitLog(`^<3> su: pam_polyinst\(su:session\): .*/etc/security/polyinst/namespace\.conf:7:1: .*colour`)
		h.ForgetLog()
		kit.InPublic(h, "su root", h.MustRun("su", "root", "-c", kit.WhichTmp))
		h.WaitLog(`^<[0-4]> su: pam_polyinst\(su:session\): .*namespace\.conf:7:1`)
		h.Config(kit.OwnTmp)
		kit.InInstance(h, "repaired", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
	})
}

// What a user can choose, such as the name that they type, cannot write lines of
// its own into the log.
func TestLogIsEscaped(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		h.PamHost("user=eve\npam_polyinst(su:session): forged", "start", "open", "end")
		for _, l := range h.ModuleLog() {
			if strings.ContainsAny(l.Text, "\n\r\x1b") || strings.HasPrefix(l.Text, "pam_polyinst(su:session)") {
				t.Errorf("a forged line: %q", l.Text)
			}
		}
	})
}

// A session that opens is one line of LOG_INFO; one for which nothing applies is
// none.
func TestSuccessIsOneLine(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("su", "alice", "-c", "true")
		lines := h.ModuleLog()
		if len(lines) != 1 || lines[0].Severity != 6 {
			t.Errorf("logged %v, want one line of LOG_INFO", lines)
		}
		h.ForgetLog()
		h.MustRun("su", "root", "-c", "true")
		if lines := h.ModuleLog(); len(lines) > 0 {
			t.Errorf("logged %v for root, want nothing", lines)
		}
	})
}

// Without CAP_SYS_CHROOT a host cannot join; it is built in place.
func TestInPlace(t *testing.T) {
	kit.HostStory(t, func(h *host.Host) {
		tr := h.PamHost("user=alice", "start", "acct", "dropcap:cap_sys_chroot",
			"snapshot:before", "open", "snapshot:open", "exec:"+kit.WhichTmp, "close", "end")
		tr.RC("open", host.PAMSuccess)
		tr.RC("close", host.PAMSuccess)
		kit.InInstance(h, "in place", "alice", tr.Step("exec").Text)
		h.Unchanged("open", tr.Snapshot("before"), tr.Snapshot("open"), host.View...)
	})
}
