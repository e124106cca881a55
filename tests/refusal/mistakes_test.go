package refusal

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// agrees compares what explain said before with whether su admits the user.
func agrees(h *host.Host, user string) (in bool) {
	h.T.Helper()
	outcome := kit.Explain(h, user, "--service", "su").Outcome
	in = kit.Admitted(h, user)
	host.Equal(h, fmt.Sprintf("explain says of %s: %s; admitted", user, outcome), in, outcome != "refused")
	return in
}

// A mistyped group in `only` throws nobody's files away who repairs the machine,
// and tells everybody else.
func TestMistypedGroup(t *testing.T) {
	config := strings.NewReplacer(`"/tmp"`, `"/var/tmp"`, `"user"`, `"tmpdir"`, `except          = ["root"]`, `only = ["@studnets"]`).Replace(kit.OwnTmp)
	kit.Story(t, "[namespace]\nrescue = [\"root\", \"@admins\"]\n"+config, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.AddGroup("students", "alice")
		h.AddGroup("admins", "bob")
		for _, user := range []string{"root", "bob"} {
			h.MustRun("su", user, "-c", "echo precious >/var/tmp/of-"+user)
			host.Equal(h, "what "+user+" finds after the next login", h.MustRun("su", user, "-c", "cat /var/tmp/of-"+user), "precious")
			h.WaitLog(`<4>.*polydir "/var/tmp": only names the group "studnets", which does not exist: the rule applies to everybody but root and the rescue list \(` + host.ConfigFile + `:4\)`)
			h.ForgetLog()
		}
		told := "pam_polyinst: by a mistake in the configuration what you keep in /var/tmp is thrown away at the end of this session"
		r := h.Su("alice", "ls /var/tmp; touch /var/tmp/mine")
		host.Equal(h, "alice: exit status and what she sees", fmt.Sprint(r.Code, r.Stdout), "0")
		h.Match("alice is told", r.Stderr, told)
		host.Equal(h, "in the public directory", h.Exists("/var/tmp/mine"), false)
		h.WaitLog(`<4>.*the group "studnets"`)
		h.Match("explain", kit.Explain(h, "alice", "--service", "su").Polydirs[0].Why, `"studnets", which does not exist`)

		// what keeps files tells no user
		h.Config(strings.Replace(config, `"tmpdir"`, `"user"`, 1))
		host.Equal(h, "alice is told of a directory that stays", h.Su("alice", "true").Stderr, "")
		// the right name
		h.Config(strings.Replace(config, "studnets", "students", 1))
		h.ForgetLog()
		host.Equal(h, "alice is told of what is meant", h.Su("alice", "true").Stderr, "")
		host.Equal(h, "the log", strings.Contains(fmt.Sprint(h.Syslog()), "does not exist"), false)
	})
}

// check and edit take a mistyped group in `only` for an error; edit does not
// save it, whatever is answered.
func TestMistypedGroupIsNotSaved(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.AddGroup("students")
		p := h.Command("polyinst", "edit").Env(kit.WriteEditor(h, `if [ -e /root/again ]; then sed -i s/studnets/students/ "$1"; else sed -i 's/^except.*/only = ["@studnets"]/' "$1"; touch /root/again; fi`)).OnPty()
		p.Expect(`there is no group "studnets": .*, did you mean "students"\?`)
		p.Expect(`e: edit again, x: give up\? \[e\] $`)
		p.Send("s\n")
		p.Expect(`e: edit again, x: give up\? \[e\] $`)
		host.Equal(h, "the file meanwhile", h.ReadFile(host.ConfigFile), kit.OwnTmp)
		p.Send("e\n")
		p.Expect("saved")
		host.Equal(h, "exit status", p.Wait().Code, 0)
		h.Match("the file", h.ReadFile(host.ConfigFile), `only = \["@students"\]`)

		before := h.ReadFile(kit.LastGood(h))
		h.Config(strings.Replace(kit.OwnTmp, `except          = ["root"]`, `only = ["@studnets"]`, 1))
		r := h.Cmd("polyinst", "check", "--accept")
		host.Equal(h, "check: exit status", r.Code, 1)
		host.Equal(h, "the last good configuration", h.ReadFile(kit.LastGood(h)), before)
	})
}

// A configuration that has lost its polydirs admits nobody but root; one that
// says that there are none admits everybody.
func TestEmptyConfiguration(t *testing.T) {
	for name, text := range map[string]string{"no bytes": "", "comments": "# gone\n", "a namespace alone": "[namespace]\nscope = \"session\"\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, text, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				host.Equal(h, "alice", agrees(h, "alice"), false)
				h.WaitLog(`session refused for "alice": ` + host.ConfigFile + `: no polydir, neither here nor in a drop-in`)
				host.Equal(h, "root", agrees(h, "root"), true)
				h.WaitLog(`rescue: "root" is admitted WITHOUT private directories`)
				host.Equal(h, "check", h.Cmd("polyinst", "check").Code, 1)
			})
		})
	}
}

func TestThePackagesConfiguration(t *testing.T) {
	kit.Story(t, "", []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		shipped, err := os.ReadFile(h.Source("dist/namespace.conf"))
		if err != nil {
			t.Fatal(err)
		}
		h.Config(string(shipped))
		host.Equal(h, "with the package's file", agrees(h, "alice"), true)
		h.MustRun("polyinst", "check")
		// the whole commented table taken into use, and the key forgotten
		h.Config(string(shipped) + kit.OwnTmp)
		h.Match("a polydir beside it", h.Cmd("polyinst", "check").Stderr, `polydirs: "none" contradicts the polydir at .*, remove this line`)
	})
}

// require= refuses whoever does not get these directories, for whatever reason;
// rescue admits root alone.
func TestRequire(t *testing.T) {
	for name, c := range map[string]struct {
		conf, line string
		alice, bob bool
		says       string
	}{
		"given":               {kit.Everybody, "require=/tmp", true, true, `session opened for "alice"`},
		"exempt":              {kit.Everybody + "except = [\"bob\", \"alice\"]\n", "require=/tmp", false, false, `require= on the PAM line: it does not apply: except lists "alice"`},
		"one of them":         {kit.Everybody + "except = [\"bob\"]\n", "require=/tmp", true, false, `session opened for "alice"`},
		"no such polydir":     {kit.Everybody, "require=/tmp,/dev/shm", false, false, `polydir "/dev/shm": require= on the PAM line: the configuration has no such polydir`},
		"none":                {"[namespace]\npolydirs = \"none\"\n", "require=/tmp", false, false, "the configuration has no such polydir"},
		"empty":               {"", "require=/tmp", false, false, "no polydir, neither here nor in a drop-in"},
		"services":            {kit.Everybody + "services = [\"sshd\"]\n", "require=/tmp", false, false, "is not among services"},
		"group":               {kit.Everybody + "only = [\"@project\"]\n", "require=/tmp", false, false, "the user is in no entry of only"},
		"broken, with rescue": {"[namespace]\nrescue = [\"bob\", \"alice\"]\n[[polydir]]\ncolour = 1\n", "require=/tmp rescue=bob", false, false, "session refused"},
		"no parent":           {"[namespace]\nrescue = [\"root\", \"bob\", \"alice\"]\n" + kit.Everybody, "require=/tmp", false, false, "session refused"},
		"a broken argument":   {kit.Everybody, "require=tmp rescue=bob", false, false, `require: "tmp" is not absolute`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, c.conf, nil, func(h *host.Host) {
				h.AddUser("alice")
				h.AddUser("bob")
				h.AddGroup("project")
				h.PAM("su", host.Stack(kit.Session+" "+c.line)...)
				if name == "no parent" {
					h.MustRun("rmdir", kit.TmpParent)
				}
				host.Equal(h, "alice", agrees(h, "alice"), c.alice)
				h.WaitLog(c.says)
				host.Equal(h, "bob", agrees(h, "bob"), c.bob)
				host.Equal(h, "root", agrees(h, "root"), true)
			})
		})
	}
}

// A session that leaves for the host's view does not have what is required.
func TestRequireAndNested(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.WriteFile("/etc/pam.d/su", strings.Join(host.Stack(kit.Session+" unmnt_only require=/tmp"), "\n")+"\n")
		h.PamHost(kit.Steps("open", "root-exec:su bob -c true && touch /srv/bob-is-in", "close", "end")...).RC("open", host.PAMSuccess)
		h.WaitLog(`session refused for "bob": polydir "/tmp": require= on the PAM line: nested = "escape" leads to the host's view`)
		host.Equal(h, "bob is in the host's view", h.Exists("/srv/bob-is-in"), false)
		host.Equal(h, "explain", kit.Explain(h, "bob", "--from", "alice:pamhost", "--service", "su").Outcome, "refused")
	})
}

func TestCheckRequire(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.PAM("su", host.Stack(kit.Session+" require=/tmp,/dev/shm")...)
		r := h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("no such polydir", r.Stderr, `(?m)^/etc/pam\.d/su:5:1: error: service "su": require=/dev/shm: the configuration has no such polydir: all sessions are refused but root's`)
		h.WriteFile("/etc/other.conf", kit.Everybody)
		h.PAM("su", host.Stack(kit.Session+" conf=/etc/other.conf require=/tmp rescue=@wheel")...)
		h.PAM("sshd", host.Stack(kit.Session+" rescue=alice,@wheel")...)
		said := h.MustRun("polyinst", "check", "--pam")
		h.Match("who is rescued, by the line of sshd", said, `(?m)^by the PAM line /etc/pam\.d/sshd:5:1:\n  the file, but not its \[namespace\] +root, alice, @wheel \(rescue= on the PAM line\)$`)
		host.Equal(h, "the line of su, which has another file", strings.Contains(said, "/etc/pam.d/su"), false)
		said = h.MustRun("polyinst", "check", "/etc/other.conf", "--pam")
		h.Match("who is rescued, by the line of su", said, `(?ms)^by the PAM line /etc/pam\.d/su:5:1:\n.*^  the machine +root \(rescue in \[namespace\]\)$`)
		h.Match("whom a list leaves out", r.Stderr, `(?m)^/etc/pam\.d/su:5:1: warning: service "su": require=/tmp: everybody whom except = "root" names is refused`)
	})
}

// Who is rescued when what breaks is what check said before.
func TestRescueByABrokenFile(t *testing.T) {
	good := "[namespace]\nrescue = [\"root\", \"@wheel\"]\n" + kit.Everybody
	for name, c := range map[string]struct {
		accept bool
		broken string
		carol  bool
	}{
		"another table":                          {false, good + "colour = 1\n", true},
		"another table, no TOML":                 {false, good + "only = [@students]\n", true},
		"its own table":                          {false, strings.Replace(good, "rescue", "recsue", 1), false},
		"its own table, but one was accepted":    {true, strings.Replace(good, "rescue", "recsue", 1), true},
		"no TOML at all":                         {false, "broken", false},
		"no TOML at all, but one was accepted":   {true, "broken", true},
		"its own table comes first":              {true, strings.Replace(good, `"@wheel"`, `"@students"`, 1) + "colour = 1\n", false},
		"its own table is only in a broken part": {false, kit.Everybody + "skel =\n" + "[namespace]\nrescue = [\"@wheel\"]\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, good, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				h.AddUser("carol")
				h.AddGroup("wheel", "carol")
				h.AddGroup("students")
				if c.accept {
					h.MustRun("polyinst", "check", "--accept")
				}
				said := h.MustRun("polyinst", "check")
				h.Match("check, of another table", said, `(?m)^  the file, but not its \[namespace\] +root, @wheel \(rescue in \[namespace\]\)$`)
				if c.accept {
					h.Match("check, of the table", said, `(?m)^  \[namespace\], or the whole file +root, @wheel \(rescue in the last good configuration\)$`)
				} else {
					h.Match("check, of the table", said, "(?m)^  \\[namespace\\], or the whole file +root; `polyinst check --accept` keeps a list for that$")
				}
				h.Config(c.broken)
				host.Equal(h, "carol", agrees(h, "carol"), c.carol)
				host.Equal(h, "alice", agrees(h, "alice"), false)
				host.Equal(h, "root", agrees(h, "root"), true)
			})
		})
	}
}

// A file that others can change has no say in who is rescued.
func TestRescueByAnUntrustedFile(t *testing.T) {
	kit.Story(t, "[namespace]\nrescue = [\"root\", \"@wheel\"]\n"+kit.Everybody, []string{"su"}, func(h *host.Host) {
		h.AddUser("carol")
		h.AddGroup("wheel", "carol")
		h.MustRun("chmod", "666", host.ConfigFile)
		host.Equal(h, "carol", agrees(h, "carol"), false)
		h.MustRun("chmod", "644", host.ConfigFile)
		h.WriteFile(filepath.Dir(host.ConfigFile)+"/namespace.d/10-x.conf", "colour = 1\n")
		host.Equal(h, "carol, by a drop-in", agrees(h, "carol"), true)
		h.MustRun("chmod", "666", filepath.Dir(host.ConfigFile)+"/namespace.d/10-x.conf")
		host.Equal(h, "carol, by a drop-in that others can change", agrees(h, "carol"), true)
		h.PAM("su", host.Stack(kit.Session+" frobnicate rescue=@wheel")...)
		host.Equal(h, "carol, by a mistyped line", agrees(h, "carol"), true)
	})
}

// What keeps root out for good, because libpam never comes to our module, check
// says before.
func TestMistypedPAMLine(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		says  string
	}{
		"letters in another order": {[]string{"session required pam_polyints.so"}, `module "pam_polyints.so": libpam .* refuses every session, also root's: write pam_polyinst.so`},
		"no pam_":                  {[]string{"session required polyinst.so"}, `module "polyinst.so": .*refuses`},
		"no dot":                   {[]string{"session required pam_polyinstso"}, `module "pam_polyinstso": .*refuses`},
		"another case":             {[]string{"session required pam_Polyinst.so"}, `module "pam_Polyinst.so": .*refuses`},
		"beside the right line":    {[]string{kit.Session, "session required pam_polyinst"}, `module "pam_polyinst": .*refuses`},
		"in brackets":              {[]string{"session [success=ok default=die] pam_polyints.so"}, `module "pam_polyints.so": .*refuses`},
		"what is included":         {[]string{"@include common-sesion", kit.Session}, `includes "common-sesion", which does not exist: libpam refuses the whole stack`},
		"what included our line":   {[]string{"@include common-sesion"}, `includes "common-sesion", which does not exist: libpam refuses the whole stack`},
		"left out":                 {[]string{"session optional pam_polyints.so", "session required pam_permit.so"}, `module "pam_polyints.so": libpam .* leaves this line out, and users get the public directories`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, []string{"sudo"}, func(h *host.Host) {
				h.PAM("su", host.Stack(c.lines...)...)
				r := h.Cmd("polyinst", "check", "--pam")
				host.Equal(h, "check: exit status", r.Code, 1)
				h.Match("check", r.Stderr, `(?m)^/etc/pam\.d/su:\d+:1: .*`+c.says)
				host.Equal(h, "root is admitted", kit.Admitted(h, "root"), name == "left out")
				outcome := "REFUSED"
				if name == "left out" {
					outcome = "NOT ACTIVE"
				}
				h.Match("explain", h.Cmd("polyinst", "explain", "root", "--service", "su").Stdout, `(?m)^`+outcome+`: /etc/pam\.d/su:\d+:1: .*`+c.says)
			})
		})
	}
}

// Whom rescue= names, and nobody is, is said of the PAM line as of the file.
func TestMistypedRescueOfTheLine(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		h.AddGroup("wheel", "alice")
		h.PAM("su", host.Stack(kit.Session+" rescue=alcie,wheel,@whele")...)
		r := h.Cmd("polyinst", "check", "--pam")
		for _, says := range []string{`there is no account "alcie", did you mean "alice"\?`, `there is no account "wheel", but a group of that name: "@wheel" rescues all of its members`,
			`there is no group "whele": nobody is rescued by it, did you mean "wheel"\?`} {
			h.Match("check", r.Stderr, `(?m)^/etc/pam\.d/su:5:1: warning: rescue=: `+says)
		}
	})
}

// A module that is not whole, as a full disk leaves it, keeps everybody out, and
// check says so.
func TestModuleThatIsNotWhole(t *testing.T) {
	for _, size := range []string{"0", "100000"} {
		t.Run(size, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
				h.MustRun("polyinst", "check", "--pam")
				h.Sh("cd /lib/*/security 2>/dev/null && test -e pam_polyinst.so || cd /lib/security; truncate -s " + size + " pam_polyinst.so")
				host.Equal(h, "root is admitted", kit.Admitted(h, "root"), false)
				r := h.Cmd("polyinst", "check", "--pam")
				host.Equal(h, "check: exit status", r.Code, 1)
				x := h.Cmd("polyinst", "explain", "root", "--service", "su")
				host.Equal(h, "explain: exit status", x.Code, 1)
				h.Match("explain", x.Stdout, `(?m)^REFUSED: /etc/pam\.d/su:5:1: /.*/pam_polyinst\.so is no shared object, or not a whole one: libpam refuses every session, also root's: install the module, or remove this line$`)
				h.Match("check", r.Stderr, `(?m)^/etc/pam\.d/su:5:1: error: service "su": /.*/pam_polyinst\.so is no shared object, or not a whole one: libpam refuses every session, also root's: install the module, or remove this line$`)
			})
		})
	}
}
