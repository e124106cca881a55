package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// sections are the parts of a case's file: "-- NAME --" begins each.
func sections(text string) map[string]string {
	parts, name := map[string]string{}, ""
	for line := range strings.Lines(text) {
		if head, ok := strings.CutPrefix(line, "-- "); ok {
			name = strings.TrimSuffix(strings.TrimSpace(head), " --")
			continue
		}
		parts[name] += line
	}
	return parts
}

// Every file of testdata/check is a machine and a configuration, and what
// polyinst check says of it.
func TestCheckMachine(t *testing.T) {
	files, _ := filepath.Glob("testdata/check/*.txt")
	if len(files) < 30 {
		t.Fatalf("%d cases", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			host.Run(t, func(h *host.Host) {
				raw, err := os.ReadFile(h.Source("tests/command/" + file))
				if err != nil {
					t.Fatal(err)
				}
				parts := sections(string(raw))
				h.Install()
				h.Config(parts["namespace.conf"])
				h.Sh(parts["setup"])
				r := h.Cmd("polyinst", "check")
				got := fmt.Sprintf("%sexit %d\n", r.Stderr, r.Code)
				head, _, _ := strings.Cut(string(raw), "-- want --\n")
				if want := strings.Replace(got, kit.LevelHere(), kit.WithoutModule, 1); want != parts["want"] {
					h.Update("tests/command/"+file, head+"-- want --\n"+want)
				}
				host.Equal(h, "said", got, strings.Replace(parts["want"], kit.WithoutModule, kit.LevelHere(), 1))
			})
		})
	}
}

func TestCheckJSON(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		var out struct {
			Schema  int
			Remarks []struct {
				File, Level, Message string
				Line, Column         int
			}
		}
		r := h.Cmd("polyinst", "check", "--json")
		host.Equal(h, "a good one", fmt.Sprint(r.Code, json.Unmarshal([]byte(r.Stdout), &out), out.Schema, len(out.Remarks)), "0 <nil> 1 0")
		h.Config(kit.OwnTmp + "colour = 'red'\n")
		r = h.Cmd("polyinst", "check", "--json")
		host.Equal(h, "a bad one", fmt.Sprint(r.Code, json.Unmarshal([]byte(r.Stdout), &out), len(out.Remarks)), "1 <nil> 1")
		x := out.Remarks[0]
		host.Equal(h, "where", fmt.Sprint(x.File, " ", x.Line, " ", x.Column, " ", x.Level), host.ConfigFile+" 7 1 error")
		h.Match("what", x.Message, `^polydir "/tmp": unknown key "colour"`)
	})
}

// A user can check a draft; of the machine it is then said that it was not
// looked at.
func TestCheckAsAUser(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.WriteFile("/home/alice/draft.conf", strings.Replace(kit.OwnTmp, "polyinst/tmp", "nowhere/tmp", 1))
		r := h.Command("polyinst", "check", "/home/alice/draft.conf").As(alice).Run()
		host.Equal(h, "exit status", r.Code, 0)
		h.Match("it says", r.Stdout, "the machine was not looked at, which needs root")
		h.MustRun("polyinst", "check", "--config-only", "/home/alice/draft.conf")
	})
}

func TestCheckPAM(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		r := h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "exit status where nobody has the line", r.Code, 0)
		h.Match("it says", r.Stderr, "/etc/pam.d: warning: no session stack has")
		h.PAM("sshd", host.Stack(kit.Session)...)
		h.PAM("su", host.Stack("session optional pam_polyinst.so debgu")...)
		r = h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("an unknown argument", r.Stderr, `(?m)^/etc/pam\.d/su:5:1: error: PAM line: unknown argument "debgu"`)
		h.Match("an ignored refusal", r.Stderr, `(?m)^/etc/pam\.d/su:5:1: error: control "optional"`)
		h.Match("cron", r.Stderr, `(?m)^/etc/pam\.d/cron: warning: .* sessions of "cron" see the public /tmp`)
		h.Match("the vendor's files", r.Stderr, `(?m)pam\.d/systemd-user: warning: `)
		// another directory stands alone
		h.WriteFile("/root/pam.d/sshd", kit.Session+"\n")
		host.Equal(h, "another directory", h.Cmd("polyinst", "check", "--pam=/root/pam.d").Stderr, "")
	})
}

// `sudo -i` and run0 have stacks of their own, which are forgotten where su and sudo
// have the line: check --pam names each in one line, also where the stack is the
// vendor's, and what it says is what the session sees.
func TestCheckStacksOfLoginsAsAnother(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "sudo"}, func(h *host.Host) {
		h.Need("sudo")
		h.AddUser("bob")
		h.WriteFile("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n", 0o440)
		h.PAM("sudo-i", host.Stack("session required pam_permit.so")...)
		h.WriteFile("/usr/lib/pam.d/systemd-run0", strings.Join(host.Stack("session required pam_permit.so"), "\n")+"\n")
		doors := map[string]func() string{
			"sudo-i": func() string { return h.MustRun("sudo", "-i", "-u", "bob", "stat", "-c", "%d:%i", "/tmp") },
			// what systemd calls for run0, which this machine need not have
			"systemd-run0": func() string {
				tr := h.PamHost("service=systemd-run0", "user=bob", "start", "open", "exec:"+kit.WhichTmp, "close", "end")
				tr.RC("open", host.PAMSuccess)
				return strings.TrimSpace(tr.Step("exec").Text)
			},
		}
		files := map[string]string{"sudo-i": "/etc/pam.d/sudo-i", "systemd-run0": "/usr/lib/pam.d/systemd-run0"}
		warnings := func() string {
			r := h.Cmd("polyinst", "check", "--pam")
			host.Equal(h, "exit status", r.Code, 0)
			return r.Stderr
		}
		for service, look := range doors {
			kit.InPublic(h, service, look())
			says := files[service] + ": warning: no `session required pam_polyinst.so`: sessions of \"" + service + "\" see the public /tmp\n"
			host.Equal(h, "said of "+service, strings.Count(warnings(), says), 1)
			host.Equal(h, "lines on "+service, strings.Count(warnings(), service), 2)
			h.PAM(service, host.Stack(kit.Session)...) // of /etc, in the place of the vendor's
			kit.InInstance(h, service, "bob", look())
			host.Equal(h, "lines on "+service, strings.Count(warnings(), service), 0)
		}
		// pam_namespace, which systemd's own stack has
		h.PAM("systemd-run0", host.Stack("session required pam_namespace.so", kit.Session)...)
		r := h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("both modules", r.Stderr, `(?m)^/etc/pam\.d/systemd-run0:5:1: error: service "systemd-run0": pam_namespace\.so and pam_polyinst\.so \(/etc/pam\.d/systemd-run0:6:1\) in one stack`)
	})
}

// Debian 13 has run0 and no stack of its own for it: libpam takes that of "other", which
// no line of ours is put into. check --pam and enable say so, and how to give it one.
func TestCheckRun0WithoutAStack(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("bob")
		h.WriteFile("/usr/bin/run0", "#!/bin/sh\n", 0o755)
		h.PAM("other", host.Stack("session required pam_permit.so")...)
		look := func() string {
			tr := h.PamHost("service=systemd-run0", "user=bob", "start", "open", "exec:"+kit.WhichTmp, "close", "end")
			tr.RC("open", host.PAMSuccess)
			return strings.TrimSpace(tr.Step("exec").Text)
		}
		const (
			way  = "cp /etc/pam.d/other /etc/pam.d/systemd-run0"
			then = "polyinst enable systemd-run0"
			says = ": libpam takes the stack of \"other\" for it: `" + way + "`, and then `" + then + "`\n"
		)
		r := h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "said once", strings.Count(r.Stderr, "/etc/pam.d/other: warning: no `session required pam_polyinst.so`: the unit run0 (PAMName=systemd-run0) sees the public /tmp"+says), 1)
		r = h.Cmd("polyinst", "enable", "systemd-run0")
		host.Equal(h, "enable", r.Stderr, `polyinst: there is no PAM stack "systemd-run0" in /etc/pam.d`+says)
		kit.InPublic(h, "run0", look())
		h.Sh(way)
		h.MustRun("polyinst", "enable", "--no-confirm", "--user", "bob", "systemd-run0")
		kit.InInstance(h, "run0", "bob", look())
		r = h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "lines on run0", strings.Count(r.Stderr, "run0"), 0)
	})
}

// A polydir that is for a service whose stack has no line of ours is there for
// nobody, and check says so with its exit status.
func TestCheckServiceWithoutTheLine(t *testing.T) {
	kit.Story(t, kit.OwnTmp+`services = ["su", "other-door"]`+"\n", []string{"su"}, func(h *host.Host) {
		h.PAM("other-door", host.Stack("session required pam_permit.so")...)
		r := h.Cmd("polyinst", "check", "--pam")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("check", r.Stderr, `namespace\.conf:\d+:\d+: error: polydir "/tmp": services names "other-door", whose session stack \(/etc/pam\.d/other-door\) has no .session required pam_polyinst\.so.: its sessions see the public /tmp`)
		h.PAM("other-door", host.Stack(kit.Session)...)
		host.Equal(h, "exit status with the line", h.Cmd("polyinst", "check", "--pam").Code, 0)
	})
}

// Where a polydir says what a session sees, check names the services by which a
// user goes around that without a login, also without --pam; what it says is so, and
// is over when it is obeyed.
func TestCheckWhatGoesAround(t *testing.T) {
	kit.Story(t, "[[polydir]]\npath = \"/proc\"\nmethod = \"proc\"\nexcept = [\"root\"]\n", []string{"su", "systemd-user"}, func(h *host.Host) {
		h.Need("cron", "atd")
		alice := h.AddUser("alice")
		h.PAM("cron", host.Stack("session required pam_permit.so")...)
		h.PAM("atd", host.Stack("session required pam_permit.so")...)
		seen := func() string { return h.CronJob(alice, "if [ -e /proc/1 ]; then echo seen; else echo gone; fi") }
		host.Equal(h, "process 1 from cron", seen(), "seen")
		says := `namespace\.conf:3:1: warning: polydir "/proc": what a user starts by cron, atd sees all processes: no .session required pam_polyinst.so. there: .polyinst enable cron atd.`
		h.Match("check", h.Cmd("polyinst", "check").Stderr, says)
		host.Equal(h, "exit status of --strict", h.Cmd("polyinst", "check", "--strict").Code, 1)
		h.Match("with --pam", h.Cmd("polyinst", "check", "--pam").Stderr, `(?m)^/etc/pam\.d/cron: warning: no .session required pam_polyinst.so.: sessions of "cron" see all processes$`)
		h.MustRun("polyinst", "enable", "--user", "alice", "cron", "atd")
		h.MustRun("polyinst", "confirm")
		host.Equal(h, "check, obeyed", h.Cmd("polyinst", "check").Stderr, "")
		host.Equal(h, "process 1 from cron, obeyed", seen(), "gone")
	})
}

// Two tables for one path that some account is subject to both of refuse that one's
// sessions, wherever they stand; for accounts that are told apart they do not.
func TestCheckTwoTables(t *testing.T) {
	kit.Story(t, strings.Replace(kit.OwnTmp, `["root"]`, `["root", "@staff"]`, 1), []string{"su"}, func(h *host.Host) {
		h.AddGroup("staff")
		h.AddUser("alice")
		h.AddUser("bob", host.User{Groups: []string{"staff"}})
		h.Prepare("/var/lib/polyinst/other")
		other := "[[polydir]]\npath = \"/tmp\"\nmethod = \"user\"\ninstance_prefix = \"/var/lib/polyinst/other/\"\n"
		for only, admits := range map[string]bool{`["@staff"]`: true, `["@staff", "alice"]`: false} {
			h.WriteFile("/etc/security/polyinst/namespace.d/10-other.conf", other+"only = "+only+"\n")
			host.Equal(h, only+": alice is admitted", h.Su("alice", "true").Code == 0, admits)
			host.Equal(h, only+": check is content", h.Cmd("polyinst", "check").Code == 0, admits)
		}
	})
}

// What check calls an error refuses sessions, and what it calls none does not.
// Doctor says so, too, and sends nobody to enable what is broken.
func TestCheckPAMIsTrue(t *testing.T) {
	const su = "auth sufficient pam_rootok.so\naccount required pam_permit.so\n"
	cases := map[string]struct {
		stack    string
		admitted bool
	}{
		"good":            {su + kit.Session, true},
		"unknown control": {su + "session requierd pam_polyinst.so", false},
		"missing include": {su + kit.Session + "\n@include comon-session", false},
		"missing session": {su + kit.Session + "\nsession include comon-session", false},
		"auth":            {"auth required pam_polyinst.so\n" + su + kit.Session, false},
		"argument":        {su + kit.Session + " debgu", false},
		"no .so":          {su + "session required pam_polyinst", false},
		"no such module":  {su + "session required /lib/security/none/pam_polyinst.so", false},
		"no such file":    {su + kit.Session + " conf=/etc/none.conf", false},
		"a broken file":   {su + kit.Session + " conf=/etc/passwd", false},
		"a file's parent": {su + kit.Session + " conf=/etc/second.conf", false},
		"carriage return": {su + kit.Session + "\r", false},
		"of an argument":  {su + kit.Session + " debug\r", false},
		"another's":       {su + "session requird pam_permit.so\n" + kit.Session, false},
		"a second line":   {su + kit.Session + "\n" + kit.Session, true},
		"a wrong one":     {su + kit.Session + "\n" + kit.Session + " debgu", false},
		"one that wants":  {su + kit.Session + "\n" + kit.Session + " require=/dev/shm", false},
		"of another file": {su + kit.Session + "\n" + kit.Session + " conf=/etc/none.conf", false},
		"capitals":        {su + strings.Replace(kit.Session, "required", "Required", 1), true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
				h.AddUser("alice")
				h.WriteFile("/etc/second.conf", strings.Replace(kit.OwnTmp, "polyinst/tmp", "polyinst/second", 1))
				h.PAM("su", c.stack)
				host.Equal(h, "admitted", h.Cmd("su", "alice", "-c", "true").Code == 0, c.admitted)
				host.Equal(h, "checked", h.Cmd("polyinst", "check", "--pam").Code == 0, c.admitted)
				said := h.Cmd("polyinst", "doctor", "alice", "--service", "su")
				host.Equal(h, "doctor", said.Code == 0, c.admitted)
				host.Equal(h, "doctor says so", strings.Contains(said.Stdout, "alice by su has /tmp of their own"), c.admitted)
				if !c.admitted && regexp.MustCompile(`(?m)polyinst (enable .*|edit)$`).MatchString(said.Stdout) {
					t.Errorf("doctor sends the administrator to what does not help: %s", said.Stdout)
				}
			})
		})
	}
}

// A file that is not in its place yet is judged with all others, as a tool does
// before it puts the file there; the messages name the place.
func TestCheckAs(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		const dropin, labs = "/etc/security/polyinst/namespace.d/10-labs.conf", "/root/draft/source"
		h.Prepare("/var/lib/polyinst/labs")
		lab := strings.NewReplacer(`"/tmp"`, `"/srv"`, "polyinst/tmp", "polyinst/labs").Replace(kit.OwnTmp)
		check := func(what, text, place, want string, code int) {
			t.Helper()
			h.WriteFile(labs, text)
			r := h.Cmd("polyinst", "check", "--strict", "--as", place, labs)
			host.Equal(h, what+": exit status", r.Code, code)
			h.Match(what, r.Stderr+r.Stdout, want)
		}
		check("a drop-in", lab, dropin, `^`+host.ConfigFile+`: no problem \(files: 2, polydirs: 2\)\n`, 0)
		check("a bad drop-in", lab+"colour = 1\n", dropin, `^`+dropin+`:7:1: error: polydir "/srv": unknown key "colour"`, 1)
		check("one that does not go with the others", strings.Replace(lab, "polyinst/labs", "polyinst/tmp", 1), dropin,
			`instance_prefix`, 1)
		check("a warning", lab+`services = ["nobody"]`+"\n", dropin, `no problem`, 0) // of the stacks, which nobody asked for
		check("a warning of the file", strings.Replace(lab, `["root"]`, `["root", "zaphod"]`, 1), dropin, `there is no account "zaphod"`, 1)
		r := h.Cmd("polyinst", "check", "--json", "--strict", "--as", dropin, labs)
		h.Match("as JSON", r.Stdout, `"file": "`+dropin+`"(.*\n)*.*"level": "warning"`)
		host.Equal(h, "nothing is in its place", h.Exists(dropin), false)

		// the main file, of which the drop-ins are those of its place
		h.WriteFile(dropin, lab)
		check("a main file", kit.OwnTmp, host.ConfigFile, `\(files: 2, polydirs: 2\)`, 0)
		check("a main file without a polydir", "[namespace]\n", host.ConfigFile, `\(files: 2, polydirs: 1\)`, 0)
		h.MustRun("rm", host.ConfigFile)
		check("a main file where there is none yet", "[namespace]\n", host.ConfigFile, `\(files: 2, polydirs: 1\)`, 0)
		check("a drop-in without a main file", lab, dropin, `a drop-in needs a main file`, 1)
		check("a drop-in that nobody would read", lab, strings.TrimSuffix(dropin, ".conf")+".toml", `^polyinst: "10-labs.toml" is no name of a drop-in: want NAME.conf, which lies in /etc/security/polyinst/namespace.d\n$`, 2)
		check("another main file", kit.OwnTmp, "/srv/other/main.conf", `^/srv/other/main.conf: no problem \(files: 1, polydirs: 1\)`, 0)
		for args, want := range map[string]string{
			"--as " + host.ConfigFile:                       "--as: which file is to stand there",
			"--as " + host.ConfigFile + " --accept " + labs: "--accept keeps what is in its place",
			"--as " + host.ConfigFile + " /root/nothing":    "no such file",
		} {
			r := h.Cmd(strings.Fields("polyinst check " + args)...)
			h.Match(args, r.Stderr, want)
			host.Equal(h, args, r.Code > 0, true)
		}
	})
}
