package command

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// explain says what the module then does, and changes nothing.
func TestExplain(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "sshd"}, func(h *host.Host) {
		h.AddUser("alice")
		out := h.MustRun("polyinst", "explain", "alice", "--service", "su")
		h.Match("the rule", out, `/tmp +yes +the user is in no entry of except +.*namespace\.conf:2`)
		h.Match("the plan", out, `cover "/tmp" with new instance "/var/lib/polyinst/tmp/alice"`)
		if h.Exists(kit.Instance("alice")) {
			t.Error("explain made the instance")
		}
		x := kit.Explain(h, "alice", "--service", "su")
		host.Equal(h, "outcome", x.Outcome+" "+x.Plan[0].Source+" "+*x.Plan[0].Instance+" "+*x.Plan[0].Mode, "new new instance "+kit.Instance("alice")+" 1777")
		host.Equal(h, "the line", fmt.Sprint(x.PAM.File, ":", x.PAM.Line, " ", x.PAM.Control, len(x.PAM.Arguments)), "/etc/pam.d/su:5 required0")
		h.MustRun("su", "alice", "-c", "true")
		h.Match("then", h.MustRun("polyinst", "explain", "alice"), `cover "/tmp" with existing instance`)
		h.Match("root", h.MustRun("polyinst", "explain", "root"), `(?s)except lists "root".*nothing applies`)
		host.Equal(h, "root's outcome", kit.Explain(h, "root").Outcome, "stays")
		h.MustRun("chmod", "755", kit.TmpParent)
		r := h.Cmd("polyinst", "explain", "alice")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("a fault of the machine", r.Stdout, `REFUSED: polydir "/tmp": .*0755`)
		host.Equal(h, "outcome", kit.Explain(h, "alice").Outcome, "refused")
		host.Equal(h, "an unknown account", h.Cmd("polyinst", "explain", "nobody-here").Code, 1)
		host.Equal(h, "no account", h.Cmd("polyinst", "explain").Code, 2)
		r = h.Command("polyinst", "explain", "alice").As(host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}).Run()
		host.Equal(h, "as a user", r.Stderr, "polyinst: explain needs root\n")
	})
}

// Where no line is in the stack, what is explained is what would be.
func TestExplainWithoutALine(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		h.Match("no line", h.MustRun("polyinst", "explain", "alice"), `(?m)^NOT ACTIVE: the session stack of "sshd" \(/etc/pam.d/sshd\) has no .session required pam_polyinst.so`)
		h.Match("no stack", h.MustRun("polyinst", "explain", "alice", "--service", "nosuch"), `(?m)^NOT ACTIVE: the session stack of "nosuch" \(/etc/pam.d/other\)`)
		h.PAM("other", host.Stack(kit.Session)...)
		host.Equal(h, "the stack of other", kit.Explain(h, "alice", "--service", "nosuch").PAM.File, "/etc/pam.d/other")
		// an included line
		h.PAM("common-session", kit.Session+" debug")
		h.PAM("sshd", "@include common-session")
		x := kit.Explain(h, "alice")
		host.Equal(h, "included", fmt.Sprint(x.PAM.File, x.PAM.Line, x.PAM.Arguments), "/etc/pam.d/common-session1 [{debug the decision is logged}]")
	})
}

// The arguments of the PAM line win over the file, in explain as in a session.
func TestExplainArguments(t *testing.T) {
	config := "[namespace]\nnested = \"keep\"\n" + kit.OwnTmp + "hash_names = false\nparent_mode = \"0000\"\n"
	kit.Story(t, config, nil, func(h *host.Host) {
		h.AddUser("alice")
		h.PAM("su", host.Stack(kit.Session+" gen_hash ignore_instance_parent_mode unmnt_remnt")...)
		h.MustRun("chmod", "0700", kit.TmpParent)
		out := h.MustRun("polyinst", "explain", "alice", "--service", "su")
		h.Match("where", out, `(?m)^arguments of the PAM line /etc/pam.d/su:5, which win over the file:$`)
		h.Match("gen_hash", out, `(?m)^  gen_hash +hash_names = true for all polydirs, whatever `+host.ConfigFile+`:9:1 says$`)
		h.Match("any mode", out, `(?m)^  ignore_instance_parent_mode +parent_mode = "any" for all polydirs, whatever `+host.ConfigFile+`:10:1 says$`)
		h.Match("nested", out, `(?m)^  unmnt_remnt +nested = "replace", and not nested = "keep" as `+host.ConfigFile+`:2:1 says$`)
		x := kit.Explain(h, "alice", "--service", "su")
		h.MustRun("su", "alice", "-c", "touch /tmp/mine")
		if !h.Exists(*x.Plan[0].Instance+"/mine") || strings.HasSuffix(*x.Plan[0].Instance, "alice") {
			t.Errorf("explain: %s; the session had another instance: %v", *x.Plan[0].Instance, h.Names(kit.TmpParent))
		}
		// other arguments than the stack's
		host.Equal(h, "--arg: mode", kit.Explain(h, "alice", "--arg", "debug", "--service", "su").Outcome, "refused")
		host.Equal(h, "--arg: base", kit.Explain(h, "alice", "--arg", "unmnt_only", "--arg", "ignore_instance_parent_mode").Outcome, "new")

		// an argument that refuses
		h.PAM("su", host.Stack(kit.Session+" rescue=alice unmnt_remntt")...)
		x = kit.Explain(h, "alice", "--service", "su")
		host.Equal(h, "an unknown argument", x.Outcome+" "+fmt.Sprint(x.Refusals), `rescued [PAM line: unknown argument "unmnt_remntt", did you mean "unmnt_remnt"?]`)
		host.Equal(h, "the session", h.Cmd("su", "alice", "-c", "true").Code, 0)
		h.AddUser("bob")
		host.Equal(h, "another user", kit.Explain(h, "bob", "--service", "su").Outcome, "refused")
		host.Equal(h, "bob's session", h.Cmd("su", "bob", "-c", "true").Code, 1)

		// another main file
		h.WriteFile("/srv/poly/namespace.conf", strings.Replace(kit.OwnTmp, "polyinst/tmp", "polyinst/other", 1))
		h.PAM("su", host.Stack(kit.Session+" conf=/srv/poly/namespace.conf")...)
		h.MustRun("polyinst", "prepare", "--conf", "/srv/poly/namespace.conf")
		host.Equal(h, "conf=", *kit.Explain(h, "alice", "--service", "su").Plan[0].Instance, host.Parents+"/other/alice")
		host.Equal(h, "--conf", *kit.Explain(h, "alice", "--service", "su", "--conf", host.ConfigFile, "--arg", "ignore_instance_parent_mode").Plan[0].Instance, kit.Instance("alice"))
	})
}

// A configuration that is broken refuses, rescues, or is replaced by the last
// good one.
func TestExplainABrokenConfiguration(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("polyinst", "check", "--accept")
		h.Config(kit.OwnTmp + "colour = 1\nshape = 1\n")
		x := kit.Explain(h, "alice", "--service", "su")
		host.Equal(h, "alice", fmt.Sprint(x.Outcome, len(x.Refusals)), "refused2")
		host.Equal(h, "root", kit.Explain(h, "root", "--service", "su").Outcome, "rescued")
		h.Match("root reads", h.Cmd("polyinst", "explain", "root").Stdout, `(?m)^rescue: "root" is admitted all the same, WITHOUT private directories$`)
		h.PAM("su", host.Stack(kit.Session+" config_error=last-good")...)
		x = kit.Explain(h, "alice", "--service", "su")
		host.Equal(h, "last good", x.Outcome, "new")
		h.Match("it says", x.LastGood, `unknown key "colour"`)
		kit.InInstance(h, "the session", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
	})
}

// What explain says of a session inside a session is what then happens.
func TestExplainFrom(t *testing.T) {
	const both = `
[[polydir]]
path            = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method          = "user"
except          = ["root", "carol"]
`
	const onlySu = `
[[polydir]]
path            = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method          = "user"
except          = ["root"]
services        = ["sshd", "runuser"]
`
	type want struct{ outcome, base, place string } // place: whose /tmp it is
	cases := map[string]struct {
		config, nested, from, user, service string
		want
	}{
		"replace":               {both, "replace", "alice", "bob", "su", want{"new", "host", "bob"}},
		"replace, exempt":       {both, "replace", "alice", "root", "su", want{"host", "host", "public"}},
		"keep":                  {both, "keep", "alice", "bob", "su", want{"new", "session", "bob"}},
		"keep, exempt":          {both, "keep", "alice", "root", "su", want{"stays", "session", "alice"}},
		"escape":                {both, "escape", "alice", "bob", "su", want{"host", "host", "public"}},
		"oneself":               {both, "replace", "alice", "alice", "su", want{"same", "host", "alice"}},
		"oneself, keep":         {both, "keep", "alice", "alice", "su", want{"same", "session", "alice"}},
		"from an exempt one":    {both, "replace", "carol", "bob", "su", want{"new", "host", "bob"}},
		"only another service":  {onlySu, "replace", "alice", "bob", "su", want{"stays", "session", "alice"}},
		"only the same service": {onlySu, "replace", "alice", "bob", "runuser", want{"new", "host", "bob"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, "[namespace]\nnested = \""+c.nested+"\"\n"+c.config, []string{"su", "sshd", "runuser"}, func(h *host.Host) {
				for _, user := range []string{"alice", "bob", "carol"} {
					h.AddUser(user)
				}
				x := kit.Explain(h, c.user, "--from", c.from, "--service", c.service)
				host.Equal(h, "explained", x.Outcome+" "+x.From.Base+" "+x.From.Nested, c.outcome+" "+c.base+" "+c.nested)
				host.Equal(h, "from", x.From.User+" "+x.From.Service, c.from+" sshd")

				s := h.Sshd()
				h.PAM("sshd", host.Stack(kit.Session)...)
				h.Sh("chmod u+s /usr/bin/su; printf 'ALL ALL=(ALL) NOPASSWD: ALL\\n' >/etc/sudoers.d/all; sed -i 1i'auth sufficient pam_permit.so' /etc/pam.d/su /etc/pam.d/sudo")
				command := "su " + c.user + " -c '" + kit.WhichTmp + "'"
				if c.service == "runuser" {
					command = "sudo runuser -u " + c.user + " -- " + kit.WhichTmp
				}
				seen := s.SSH(c.from, command).Out()
				switch c.place {
				case "public":
					kit.InPublic(h, "the session", seen)
				default:
					kit.InInstance(h, "the session", c.place, seen)
				}
				// the working directory
				stood := s.SSH(c.from, "mkdir -m 777 /tmp/d; cd /tmp/d; "+strings.Replace(command, kit.WhichTmp, "pwd", 1)).Out()
				says := ""
				if len(x.From.Directories) > 0 {
					d := x.From.Directories[0]
					says = map[string]string{"stays": "/tmp/d", "host": d.Path + "/d", "empty": kit.Nowhere}[d.Fate]
				} else if c.from != "carol" {
					t.Error("nothing is said of the working directory")
				} else {
					says = kit.Nowhere // carol has the public /tmp
				}
				host.Equal(h, "the working directory", stood, says)
			})
		})
	}
}

// The session in which another one begins can be of another service, and be
// refused itself.
func TestExplainFromAService(t *testing.T) {
	kit.Story(t, kit.OwnTmp+"services = [\"cron\", \"su\"]\n", []string{"su", "sshd", "cron"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		host.Equal(h, "from sshd", len(kit.Explain(h, "bob", "--from", "alice").From.Polydirs), 0)
		x := kit.Explain(h, "bob", "--from", "alice:cron")
		host.Equal(h, "from cron", strings.Join(x.From.Polydirs, " ")+" "+x.Service, "/tmp su")
		h.Match("in words", h.MustRun("polyinst", "explain", "bob", "--from", "alice:cron"),
			`(?m)^in a session of alice \(uid \d+\) by cron, which covers /tmp; nested = "replace": the host's view is what it begins from\n  a working directory below /tmp is left for an empty one\nbob \(uid \d+\) by su:$`)
		h.Mkdir(kit.Instance("alice"), 0o777, 0, 0)
		r := h.Cmd("polyinst", "explain", "bob", "--from", "alice:cron")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("no session to begin in", r.Stderr, `polyinst: alice by cron would have no session to begin in: polydir "/tmp": instance .*mode 0777`)
	})
}

// changing are the system calls by which something could be made, mounted,
// removed or changed, but open(2), whose flags tell.
var changing = []string{"mount", "umount2", "move_mount", "open_tree", "fsopen", "fsmount", "fsconfig", "mount_setattr", "pivot_root",
	"unshare", "setns", "chroot", "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir",
	"link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat",
	"truncate", "ftruncate", "utimensat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "flock", "ioctl"}

// explain makes no system call that changes anything, and needs none of root's
// capabilities but that to look everywhere.
func TestExplainChangesNothing(t *testing.T) {
	config := kit.OwnTmp + kit.TmpfsShm + kit.TmpdirVarTmp + `
[[polydir]]
path            = "$HOME/scratch"
instance_prefix = "$HOME/.scratch/"
method          = "user"
create          = { mode = "0700" }
parent_in_unsafe_dir = true
except          = ["root"]
`
	kit.Story(t, config, []string{"su", "sshd"}, func(h *host.Host) {
		h.Need("strace", "setpriv")
		h.AddUser("alice")
		h.AddUser("bob")
		h.MustRun("rm", "-rf", "/run/polyinst")
		for _, args := range [][]string{{"bob"}, {"bob", "--from", "alice"}, {"root", "--json"}} {
			out := h.MustRun(append([]string{"strace", "-f", "-qq", "-e", "trace=open,openat,openat2,creat,?" + strings.Join(changing, ",?"), "-o", "/root/trace",
				"setpriv", "--bounding-set=-all,+dac_read_search", "--inh-caps=-all", "polyinst", "explain"}, args...)...)
			trace := h.ReadFile("/root/trace")
			if !strings.Contains(trace, "/etc/security/polyinst") && !strings.Contains(trace, "\"namespace.conf\"") {
				t.Fatalf("the trace has not got what explain does:\n%s", trace)
			}
			for line := range strings.Lines(trace) {
				call := regexp.MustCompile(`^\d+ +(\w+)\(`).FindStringSubmatch(line)
				// mount_setattr of no directory asks whether the kernel has it
				if call == nil || strings.Contains(line, "ENOTTY") || strings.Contains(line, " mount_setattr(-1, ") || call[1] == "ioctl" && regexp.MustCompile(`TCGETS|TIOCGWINSZ|NS_GET`).MatchString(line) {
					continue
				}
				if slices.Contains(changing, call[1]) || regexp.MustCompile(`O_CREAT|O_WRONLY|O_RDWR|O_TRUNC|O_TMPFILE`).MatchString(line) && !strings.Contains(line, `"/dev/`) {
					t.Errorf("explain %v: %s", args, line)
				}
			}
			if args[0] == "bob" {
				h.Match("the plan", out, `(?s)cover "/tmp" with new instance.*"/home/bob/scratch"`)
			}
		}
		for _, path := range []string{"/run/polyinst", kit.Instance("bob"), "/home/bob/scratch"} {
			if h.Exists(path) && (path != "/run/polyinst" || !host.ServesAll()) {
				t.Errorf("%s was made", path)
			}
		}
	})
}
