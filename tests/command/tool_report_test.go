package command

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// What report says of a machine on which all is well, and that it can be proved by
// other programs.
func TestReport(t *testing.T) {
	kit.Story(t, kit.OwnTmp+kit.TmpfsShm, []string{"su", "sshd"}, func(h *host.Host) {
		h.AddUser("alice")
		a := h.Start("su", "alice", "-c", "echo ready; cat")
		a.Expect("ready")
		x := kit.ReportOf(h, "--require", "/tmp", "--require", "/dev/shm/", "--service", "sshd", "--service", "su")
		host.Equal(h, "reasons", fmt.Sprint(x.Reasons), "[]")
		host.Equal(h, "judged", fmt.Sprint(x.Judged), "[sshd su]")
		if age := x.Time.Sub(*x.Since); age < 0 || age > time.Hour {
			t.Errorf("it is so since %v, at %v", x.Since, x.Time)
		}
		sums := h.Sh("sha256sum " + host.ConfigFile)
		host.Equal(h, "the file", x.Configuration.Files[0].SHA256+"  "+x.Configuration.Files[0].Path, sums)
		host.Equal(h, "the digest", x.Configuration.Digest+"  -", h.Sh("sha256sum "+host.ConfigFile+" | sha256sum"))
		host.Equal(h, "the module", x.Module.SHA256+"  "+x.Module.Path, h.Sh("sha256sum "+x.Module.Path))
		host.Equal(h, "accepted", x.Configuration.Accepted, false)
		covered := map[string]string{}
		for _, s := range x.Services {
			covered[s.Service] = fmt.Sprint(s.Covered, " ", s.File, ":", s.Line)
		}
		host.Equal(h, "sshd", covered["sshd"], "true /etc/pam.d/sshd:5")
		host.Equal(h, "sudo", covered["sudo"], "false /etc/pam.d/sudo:0")
		for _, p := range x.Polydirs {
			host.Equal(h, p.Path+": options", fmt.Sprint(p.Options), "[nosuid nodev]")
			host.Equal(h, p.Path+": public", fmt.Sprint(p.Public), "[root]")
			for _, user := range []string{"alice", "*"} {
				host.Equal(h, p.Path+" of "+user, slices.Contains(p.Isolated, user), true)
			}
		}
		host.Equal(h, "parents", fmt.Sprint(x.Parents), "[{"+kit.TmpParent+" /tmp }]")
		s := x.Sessions[0]
		host.Equal(h, "the session", fmt.Sprint(s.User, " ", s.Service, " ", s.Polydirs[0].Covered, " ", *s.Current), "alice su true true")
		h.Match("for people", h.MustRun("polyinst", "report"), `(?m)^ISOLATED since \S+: sessions by sshd, su, su-l\n(.*\n)*live sessions:\n  alice  su  \S+  the kernel shows all of its mounts$`)

		// a session that is older than what the configuration says now
		h.Config(kit.OwnTmp)
		h.MustRun("polyinst", "check", "--accept")
		x = kit.ReportOf(h)
		host.Equal(h, "accepted", x.Configuration.Accepted, true)
		host.Equal(h, "current", *x.Sessions[0].Current, false)
		host.Equal(h, "what is missing now", kit.ReportOf(h, "--require", "/dev/shm").Isolated, false)

		// the kernel's word, and not the record's
		pid := x.Sessions[0].PIDs[0]
		h.MustRun("nsenter", "-m", "-t", fmt.Sprint(pid), "umount", "-l", "/tmp")
		x = kit.ReportOf(h)
		host.Equal(h, "covered", x.Sessions[0].Polydirs[0].Covered && x.Sessions[0].Polydirs[1].Covered, false)
		h.Match("the reason", x.Reasons[0], `^a session of alice by su since \S+: /tmp is not covered any more$`)
		a.Kill()
	})
}

// Whatever breaks the isolation is a reason, and the exit status is 1.
func TestReportOfABrokenMachine(t *testing.T) {
	const require = "--require /tmp --service su"
	for name, broken := range map[string]struct{ setup, args, want string }{
		"the line is gone":                {"sed -i /pam_polyinst/d /etc/pam.d/su", require, `^service "su": its session stack \(/etc/pam.d/su\) has no .session required pam_polyinst.so.$`},
		"a service without a stack":       {"true", "--service nothing", `^service "nothing": its session stack \(/etc/pam.d/other\) has no`},
		"the line is commented out":       {"sed -i 's/^session.*pam_polyinst/#&/' /etc/pam.d/su", "", `^no service has .session required pam_polyinst.so. in its stack$`},
		"the line is optional":            {"sed -i '/polyinst/s/required/optional/' /etc/pam.d/su", require, `/etc/pam.d/su:5:1: control "optional"`},
		"the line is jumped over":         {`sed -i '/pam_polyinst/i session [success=1 default=ignore] pam_permit.so' /etc/pam.d/su`, require, `jumps over this line`},
		"a sufficient line before it":     {`sed -i '/pam_polyinst/i session sufficient pam_permit.so' /etc/pam.d/su`, require, `never reached`},
		"the parent can be entered":       {"chmod 0711 " + kit.TmpParent, require, `instance parent "/var/lib/polyinst/tmp": mode 0711, want 0000`},
		"the parent is a user's":          {"chown 2001 " + kit.TmpParent, require, `instance parent "/var/lib/polyinst/tmp": owned by uid 2001`},
		"the parent is gone":              {"rmdir " + kit.TmpParent, require, `instance parent "/var/lib/polyinst/tmp": does not exist`},
		"the module is gone":              {"rm $MODULE", require, `there is no pam_polyinst.so in `},
		"the module is cut short":         {"truncate -s 1000 $MODULE", require, `no shared object, or not a whole one`},
		"the module is a user's":          {"chown 2001 $MODULE", require, `owned by uid 2001, want root`},
		"no configuration":                {"rm " + host.ConfigFile, require, `^there is no configuration`},
		"a broken configuration":          {"echo colour = 1 >>" + host.ConfigFile, require, `unknown key "colour"`},
		"others can write it":             {"chmod 0666 " + host.ConfigFile, require, `others can write`},
		"no polydir":                      {"printf '[namespace]\\npolydirs = \"none\"\\n' >" + host.ConfigFile, "", `no polydir is configured`},
		"no such polydir":                 {"true", "--require /var/tmp", `^alice by su, su-l sees the public /var/tmp: the configuration has no such polydir$`},
		"an exempt user":                  {"sed -i 's/\"root\"/\"root\", \"alice\"/' " + host.ConfigFile, require, `^alice by su sees the public /tmp: except lists "alice"$`},
		"other services only":             {"echo 'services = [\"sshd\"]' >>" + host.ConfigFile, require, `^alice by su sees the public /tmp: service "su" is not among services`},
		"some users only":                 {"sed -i 's/^except.*/only = [\"alice\"]/' " + host.ConfigFile, require, `^any account that no list names by su sees the public /tmp: the user is in no entry of only$`},
		"a service that no polydir names": {"echo 'services = [\"SU\"]' >>" + host.ConfigFile, "", `^nobody who was looked at gets a private directory by su, su-l$`},
		"a group without members":         {"groupadd -f nobodys; sed -i 's/^except.*/only = [\"@nobodys\"]/' " + host.ConfigFile, "", `^nobody who was looked at gets a private directory by su, su-l$`},
		"whoever is rescued": {"printf '[namespace]\\nrescue = [\"alice\"]\\n' >>" + host.ConfigFile + "; chmod 0755 " + kit.TmpParent, require,
			`^alice by su is admitted WITHOUT private directories: polydir "/tmp": instance parent`},
		"a warning, if wanted": {"true", "--strict", `warning: no .session required pam_polyinst.so.: sessions of "sshd" see the public /tmp`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice", host.User{UID: 2001})
				host.Equal(h, "before", fmt.Sprint(kit.ReportOf(h, strings.Fields(require)...).Reasons), "[]")
				h.Sh(strings.ReplaceAll(broken.setup, "$MODULE", h.Module()))
				x := kit.ReportOf(h, strings.Fields(broken.args)...)
				host.Equal(h, "isolated", x.Isolated, false)
				if !slices.ContainsFunc(x.Reasons, regexp.MustCompile(broken.want).MatchString) {
					t.Errorf("no reason is %q: %q", broken.want, x.Reasons)
				}
				r := h.Cmd(append([]string{"polyinst", "report"}, strings.Fields(broken.args)...)...)
				h.Match("for people", r.Stdout, `^NOT ISOLATED: sessions by `)
				host.Equal(h, "exit status", r.Code, 1)
			})
		})
	}
}

// What does not speak against it.
func TestReportOfAGoodMachine(t *testing.T) {
	for name, good := range map[string]struct{ setup, args string }{
		"who may be exempt":                {"sed -i 's/\"root\"/\"root\", \"alice\"/' " + host.ConfigFile, "--require /tmp --exempt alice"},
		"everybody else may be, too":       {"sed -i 's/^except.*/only = [\"@students\"]/' " + host.ConfigFile, "--require /tmp --exempt alice --exempt slurm --exempt *"},
		"what is wrong with other stacks":  {"echo 'session optional pam_polyinst.so' >>/etc/pam.d/cron", "--service su"},
		"an account without a home":        {"useradd -M -d /nowhere carol", "--require /tmp"},
		"a service's account":              {"sed -i 's/\"root\"/\"root\", \"daemon\"/' " + host.ConfigFile, "--require /tmp"},
		"a polydir that varies by user":    {"printf '[[polydir]]\\npath = \"$HOME/.cache\"\\nmethod = \"tmpfs\"\\nexcept = [\"root\"]\\ncreate = {}\\n' >>" + host.ConfigFile, "--require /tmp"},
		"a warning that nobody asks about": {"true", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
				h.Sh("sed -i -E '/^[^:]*:x:[1-9][0-9]{3,}:/d' /etc/passwd") // of this machine
				h.Sh("groupadd -f students")
				h.AddUser("alice", host.User{UID: 2001})
				h.Sh(good.setup)
				host.Equal(h, "reasons", fmt.Sprint(kit.ReportOf(h, strings.Fields(good.args)...).Reasons), "[]")
			})
		})
	}
}

// Of very many accounts some are left out, and that is a reason.
func TestReportOfManyAccounts(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Sh(`for i in $(seq 1 1200); do echo "u$i:x:$((100000 + i)):100:::/bin/sh"; done >>/etc/passwd`)
		x := kit.ReportOf(h)
		host.Equal(h, "left out", x.LeftOut >= 200 && x.LeftOut < 210, true)
		h.Match("the reason", fmt.Sprint(x.Reasons), fmt.Sprintf(`^\[%d accounts not looked at\]$`, x.LeftOut))
	})
}

// Every field of the object has its place in the page.
func TestDocsDescribeTheReport(t *testing.T) {
	_, entry, ok := strings.Cut(kit.ReadDoc(t, "man/polyinst.8"), "\n.It Cm report\n.Cm time")
	if !ok {
		t.Fatal("the page has no entry of report below JSON")
	}
	entry, _, _ = strings.Cut(entry, "\n.It ")
	source := kit.ReadDoc(t, "cmd/polyinst/reportjson.go")
	tags := regexp.MustCompile("json:\"(\\w+)\"").FindAllStringSubmatch(source, -1)
	if n := reflect.TypeFor[kit.Reported]().NumField(); len(tags) < n {
		t.Fatalf("%d fields are found, and there are more than %d", len(tags), n)
	}
	words := regexp.MustCompile(`\w+`).FindAllString("time"+entry, -1)
	for _, tag := range tags {
		if tag[1] != "schema" && !slices.Contains(words, tag[1]) {
			t.Errorf("the page does not have %s", tag[1])
		}
	}
}
