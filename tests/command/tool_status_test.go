package command

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// authLog writes what was logged so far to a log file, as a distribution does, with
// times that end now.
func authLog(h *host.Host, path, layout string) {
	h.T.Helper()
	h.MustRun("rm", "-rf", "/var/log/journal", "/run/log/journal", "/var/log/auth.log", "/var/log/secure", "/var/log/messages")
	var b strings.Builder
	at := time.Now().Add(-10 * time.Minute)
	for i, l := range h.Syslog() {
		fmt.Fprintf(&b, "%s vm %s[%d]: %s\n", at.Add(time.Duration(i)*time.Second).Format(layout), l.Tag, 100+i, l.Text)
	}
	h.WriteFile(path, b.String(), 0o640)
}

// What is on, what is not, and what is wrong: one screen and one exit status.
func TestStatus(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.Forks()
		h.MustRun("rm", "-rf", host.Parents, "/etc/pam.d", "/usr/lib/pam.d", "/usr/share/pam.d")
		h.MustRun("rm", "-rf", "/var/log/journal", "/var/log/auth.log", "/var/log/secure", "/var/log/messages")
		h.PAM("other", "session required pam_deny.so")
		kit.Without(h, "su", "cron", "login")
		h.AddUser("alice")
		look := func(what string, code int, patterns ...string) {
			t.Helper()
			r := h.Cmd("polyinst", "status")
			host.Equal(h, what+": exit status", r.Code, code)
			for _, p := range patterns {
				h.Match(what, r.Stdout, "(?m)^"+p+"$")
			}
			if lines := strings.Count(r.Stdout, "\n"); lines > 24 {
				t.Errorf("%s: %d lines", what, lines)
			}
		}
		h.Config(asInstalled(h))
		look("as installed", 0, "state +off: no service has our line: `polyinst enable SERVICE...`", "without +cron, login, su",
			`configuration +/etc/security/polyinst/namespace\.conf: 1 file, 0 polydirs; no problem`, "last hour +not known: there is no log that can be read here", "gc +never")
		h.Config(kit.OwnTmp)
		h.Prepare(kit.TmpParent)
		look("off, and it should not be", 1, "state +off: .*", `configuration .*: 1 file, 1 polydir; 2 warnings \(.polyinst check --pam.\)`)

		h.MustRun("polyinst", "enable", "su")
		look("enabled", 0, "state +on", "services +su", "without +cron, login", "to confirm +su, until \\d\\d:\\d\\d:\\d\\d: `polyinst confirm`", "parents +1, all there", "sessions +0 namespaces of 0 users, 0 processes")
		killWaiter(h)
		look("the process that waits is gone", 0, "to confirm +su, and nobody takes it back: `polyinst prepare` does")
		h.MustRun("polyinst", "confirm")

		p := h.Start("su", "alice", "-c", "echo ready; cat")
		p.Expect("ready")
		h.MustRun("polyinst", "gc")
		look("on", 0, "state +on", `sessions +1 namespace of 1 user, [12] process(es)?`, "gc +\\d+s ago, removed 0 instances", `  the machine +root \(rescue in .namespace., by default\)|  the machine .*`)
		p.CloseInput()
		p.Wait()

		h.MustRun("chmod", "755", kit.TmpParent)
		look("a parent", 1, "state +faulty: 1 error, told on standard error", "configuration .*1 error.*")
		h.Match("the error", h.Cmd("polyinst", "status").Stderr, "mode 0755, want 0000: chmod 0000")
		h.MustRun("rm", "-r", kit.TmpParent)
		look("no parent", 1, "parents +1, 1 missing: `polyinst prepare` makes them")
		h.Config("junk")
		look("broken", 1, "state +faulty: .*", "meanwhile +in, WITHOUT private directories: root .*")
		h.Config("[namespace]\nrescue = [\"root\", \"alice\"]\n[[polydir]]\n")
		look("broken, and whom it rescues", 1, `meanwhile +in, WITHOUT private directories: root, alice \(rescue in \[namespace\]\) .*`)
		h.MustRun("rm", host.ConfigFile)
		look("no configuration", 1, "state +faulty: 1 error, told on standard error", "meanwhile +in, WITHOUT private directories: root .*")
		host.Equal(h, "the file is named once", strings.Count(h.Cmd("polyinst", "status").Stderr, host.ConfigFile), 2)
		h.Match("the error", h.Cmd("polyinst", "status").Stderr, "begin with `polyinst edit`")

		h.Config(asInstalled(h))
		h.Mkdir("/etc/security/polyinst/namespace.conf.d", 0o755, 0, 0)
		h.WriteFile("/etc/security/polyinst/namespace.conf.d/tmp.conf", kit.OwnTmp)
		look("a drop-in where nobody looks", 0, "state +off: no polydir is configured: `polyinst edit`", "services +su", `configuration .*: 1 file, 0 polydirs; 1 warning.*`)
		h.MustRun("rm", "-r", "/etc/security/polyinst/namespace.conf.d")
		h.Match("doctor", h.MustRun("polyinst", "doctor", "alice"), `(?m)^now:  alice by su gets in, and no polydir applies\n      none is configured$`)
		h.PAM("su", host.Stack(kit.Session+" conf=/etc/other.conf")...)
		h.WriteFile("/etc/other.conf", asInstalled(h))
		look("another main file without polydirs", 0, "state +off: no polydir is configured: `polyinst edit --conf /etc/other.conf`")
		h.WriteFile("/etc/other.conf", kit.OwnTmp)
		look("another main file, and no parent", 1, "state +faulty: 1 error.*")
		h.Match("the error", h.Cmd("polyinst", "status").Stderr, `(?m)conf=/etc/other.conf: sessions are refused: .*does not exist: .polyinst prepare --conf /etc/other.conf. makes it`)
		h.Prepare(kit.TmpParent)
		look("another main file", 0, "state +on")
		h.PAM("su", host.Stack(kit.Session)...)

		h.Config(kit.OwnTmp)
		h.Prepare(kit.TmpParent)
		h.PAM("su", host.Stack("session optional pam_polyinst.so")...)
		look("a line that does not refuse", 1, "state +faulty: 1 error.*")
		h.PAM("su", host.Stack(kit.Session)...)
		serve := h.Serve()
		look("served", 0, "workers +ready ones are listened for")
		serve.Stop()
		look("the module", 0, "workers +none listens: every session forks its own .*", "module +/.*/pam_polyinst.so: whole, and of the same build as this command")
		h.MustRun("mkdir", "-p", "/usr/lib64/security")
		h.MustRun("cp", h.Module(), "/usr/lib64/security/")
		look("another copy", 0, "module +/.*/pam_polyinst.so: whole, .*\n +/.*lib64/security/pam_polyinst.so is another one, which libpam does not load")
		h.MustRun("cp", h.Module(), "/root/module")
		build := regexp.MustCompile(`[0-9a-f]{32}`).FindString(h.MustRun("sh", "-c", "strings -n 32 /root/module | grep -xE '[0-9a-f]{32}'"))
		h.Sh("sed -i s/" + build + "/" + strings.Repeat("0", 32) + "/ " + h.Module())
		look("another build", 0, "module +.*: whole, but of another build than this command: every session forks")
		h.Sh(`printf '\377\377' | dd of=` + h.Module() + ` bs=1 seek=18 conv=notrunc status=none`)
		look("another processor", 1, "state +faulty: 1 error.*", `module +cannot be loaded: .* is for another processor \(.*\)`)
		h.MustRun("mv", "/root/module", h.Module())
		h.MustRun("mv", h.Module(), "/root/away")
		look("where libpam does not look", 1, "module +cannot be loaded: there is no pam_polyinst.so in .*, where libpam looks for it: it is /.*lib64/security/pam_polyinst.so")
		h.MustRun("rm", "/usr/lib64/security/pam_polyinst.so")
		look("no module", 1, "state +faulty: 1 error.*", "module +cannot be loaded: there is no pam_polyinst.so in .*")
		h.Match("the error", h.Cmd("polyinst", "status").Stderr, "there is no pam_polyinst.so in ")
		h.MustRun("mv", "/root/away", h.Module())
		host.Equal(h, "nothing is found without PATH", h.Cmd("env", "-i", "/usr/local/sbin/polyinst", "status").Stderr, "")
		for _, quiet := range []string{"-q", "--quiet"} {
			r := h.Cmd("polyinst", "status", quiet)
			host.Equal(h, "quiet", fmt.Sprintf("%q %q %d", r.Stdout, r.Stderr, r.Code), `"" "" 0`)
		}
		h.MustRun("chmod", "777", "/var/lib")
		look("what cannot be read does not hide the rest", 1, "state +faulty: 2 errors.*", "services +su", "gc +.*")
		h.Match("the error", h.Cmd("polyinst", "status", "-q").Stderr, "(?m)^"+host.ConfigFile+": error: /var/lib/polyinst/pam-before: /var/lib is mode 0777: only root may write there$")
		h.MustRun("chmod", "755", "/var/lib")
		h.Sh("umount -l /run; mv /run /run.away")
		look("no records", 1, "state +faulty: 1 error.*", "sessions +0 namespaces .*")
		h.Match("the error", h.Cmd("polyinst", "status").Stderr, "the records of sessions: /run does not exist")
	})
}

// hour is last_hour of status --json.
type hour struct {
	LastHour struct {
		From    string
		Opened  int
		Refused []struct {
			User, Service, Reason string
			Rescued               bool
			Times                 int
		}
	} `json:"last_hour"`
}

// Nobody but root makes status and metrics say that there are ready workers: a user has
// paths of their own in a mount namespace of theirs, and /proc/net/unix shows these too.
func TestStatusIsNotLiedTo(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.Need("python3", "unshare")
		h.Forks()
		alice := h.AddUser("alice")
		liar := h.Command("unshare", "-Urm", "sh", "-c", "mount -t tmpfs x /run && mkdir /run/polyinst && exec python3 -c 'import socket\ns = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"+
			"s.bind(\""+host.ReadySocket+"\")\ns.listen()\nprint(\"listens\", flush=True)\ninput()'").As(alice).Start()
		liar.Expect("listens")
		h.Match("the lie", h.ReadFile("/proc/net/unix"), host.ReadySocket)
		h.Match("status", h.Cmd("polyinst", "status").Stdout, "(?m)^workers +none listens")
		h.Match("metrics", h.MustRun("polyinst", "metrics"), "(?m)^polyinst_served 0$")
		liar.Send("\n")
		liar.Wait()
		h.Serve()
		h.Match("status with workers", h.Cmd("polyinst", "status").Stdout, "(?m)^workers +ready ones are listened for")
	})
}

// What was refused in the last hour, and why, by whichever log there is.
func TestStatusLastHour(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "login"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		h.MustRun("su", "bob", "-c", "true")
		h.MustRun("su", "alice", "-c", "true")
		h.MustRun("chown", "bob", kit.Instance("alice"))
		h.Su("alice", "true")
		h.Su("alice", "true")
		h.MustRun("chmod", "755", kit.TmpParent)
		h.MustRun("su", "root", "-c", "true") // exempt: neither refused nor rescued
		h.Config(strings.Replace(kit.OwnTmp, `["root"]`, `["bin"]`, 1))
		h.MustRun("su", "root", "-c", "true") // rescued
		h.Config(kit.OwnTmp)

		ask := func() hour {
			t.Helper()
			var out hour
			if err := json.Unmarshal([]byte(h.Cmd("polyinst", "status", "--json").Stdout), &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		check := func(what, from string) {
			t.Helper()
			s := ask().LastHour
			host.Equal(h, what+": from", s.From, from)
			host.Equal(h, what+": opened", s.Opened, 2)
			if len(s.Refused) != 2 {
				t.Fatalf("%s: %+v", what, s)
			}
			host.Equal(h, what+": rescued", fmt.Sprintf("%s %v %d", s.Refused[0].User, s.Refused[0].Rescued, s.Refused[0].Times), "root true 1")
			host.Equal(h, what+": refused", fmt.Sprintf("%s %s %v %d", s.Refused[1].User, s.Refused[1].Service, s.Refused[1].Rescued, s.Refused[1].Times), "alice su false 2")
			h.Match(what+": why", s.Refused[1].Reason, `^polydir "/tmp": instance .*owned by uid \d+`)
		}
		for path, layout := range map[string]string{"/var/log/auth.log": time.RFC3339Nano, "/var/log/secure": time.Stamp, "/var/log/messages": time.Stamp} {
			authLog(h, path, layout)
			check(path, path)
			out := h.Cmd("polyinst", "status").Stdout
			h.Match("the screen", out, `(?m)^last hour +2 opened, 2 refused, 1 rescued, says `+path+`, which begins at \d\d:\d\d:\d\d\n +\d\d:\d\d:\d\d rescued root by su: .*\n +\d\d:\d\d:\d\d refused alice by su \(2 times\): polydir "/tmp": instance`)
		}
		// an hour ago is long ago
		authLog(h, "/var/log/messages", time.Stamp)
		old := h.ReadFile("/var/log/messages")
		authLog(h, "/var/log/auth.log", time.RFC3339)
		h.Sh(`sed -i 's/^[0-9-]*T/2020-01-01T/' /var/log/auth.log`)
		host.Equal(h, "long ago", ask().LastHour.Opened, 0)

		// the journal, asked by the words of journalctl(1)
		h.MustRun("mkdir", "-p", "/run/log/journal")
		h.WriteFile("/root/messages", old)
		h.WriteFile("/usr/local/bin/journalctl", `#!/bin/sh
echo "$@" >/root/asked
tac /root/messages | sed 's/^[^]]*\]: //; s/[\\"]/\\&/g; s/.*/{"__REALTIME_TIMESTAMP":"'$(date +%s)'000000","MESSAGE":"&"}/'
`, 0o755)
		check("the journal", "the journal")
		h.Match("what it is asked", h.ReadFile("/root/asked"), `^--quiet --no-pager --reverse --output=json --output-fields=MESSAGE --since=@\d+ SYSLOG_FACILITY=10\n$`)
		// one that cannot be read leaves the files
		h.WriteFile("/usr/local/bin/journalctl", "#!/bin/sh\nexit 1\n", 0o755)
		authLog(h, "/var/log/auth.log", time.RFC3339)
		h.MustRun("mkdir", "-p", "/run/log/journal")
		check("no journal", "/var/log/auth.log")
		// and so does one to which nothing is written
		h.WriteFile("/usr/local/bin/journalctl", "#!/bin/sh\n", 0o755)
		check("an empty journal", "/var/log/auth.log")
		h.MustRun("rm", "-f", "/var/log/auth.log", "/var/log/messages")
		host.Equal(h, "an empty journal alone", ask().LastHour.From, "the journal")
	})
}

// sshd can be told to open no sessions through libpam: its line then does nothing,
// and no command says that all is well.
func TestSSHDWithoutSessions(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"sshd", "su"}, func(h *host.Host) {
		h.AddUser("alice")
		server := h.Sshd("UsePAM no")
		h.MustRun("touch", "/tmp/public")
		h.Match("the session", server.SSH("alice", "ls", "/tmp").Stdout, "public")
		const drop = "/etc/ssh/sshd_config.d/10-mine.conf"
		h.MustRun("mkdir", "-p", "/etc/ssh/sshd_config.d")
		h.WriteFile("/etc/ssh/sshd_config", "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n")
		said := func(uses string) {
			t.Helper()
			h.WriteFile(drop, "UsePAM "+uses+"\n")
			yes := uses == "yes"
			is := func(what, text, pattern string) {
				t.Helper()
				host.Equal(h, "UsePAM "+uses+": "+what, regexp.MustCompile(pattern).MatchString(text), yes)
			}
			is("status", h.Cmd("polyinst", "status").Stdout, `(?m)^services +sshd, su\b`)
			is("report", h.Cmd("polyinst", "report").Stdout, "(?m)^ISOLATED")
			is("the services of the report", h.Cmd("polyinst", "report").Stdout, "(?m)^  sshd +covered")
			is("explain", h.Cmd("polyinst", "explain", "alice").Stdout, `^alice \(uid \d+\) by sshd:\n.*\nuser "alice"`)
			is("doctor", h.Cmd("polyinst", "doctor", "alice", "--service", "sshd").Stdout, "now:  alice by sshd has /tmp")
			host.Equal(h, "UsePAM "+uses+": check", strings.Contains(h.Cmd("polyinst", "check", "--pam").Stderr, drop+":1:1: warning: UsePAM"), !yes)
		}
		said("yes")
		said("no")
		h.Match("the way out", h.Cmd("polyinst", "doctor", "alice", "--service", "sshd").Stdout, `now:  sessions by sshd see the public directories\n +warning: `+drop+`:1:1: UsePAM is not "yes"`)
	})
}

// The last refusal, its cause now, and the command that mends it, which is obeyed.
func TestDoctor(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su", "login"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		kit.Without(h, "cron")
		doctor := func(code int, args ...string) string {
			t.Helper()
			r := h.Cmd(append([]string{"polyinst", "doctor"}, args...)...)
			host.Equal(h, strings.Join(args, " ")+": exit status", r.Code, code)
			return r.Stdout
		}
		h.MustRun("su", "alice", "-c", "true")
		authLog(h, "/var/log/auth.log", time.RFC3339)
		h.Match("nothing is wrong", doctor(0, "alice"), `^last: no refusal since \S+ \S+, when /var/log/auth\.log begins\nnow:  alice by login has /tmp of their own\n$`)
		h.WriteFile("/var/log/auth.log", "2001-01-01T00:00:00Z vm su: the first line\n"+h.ReadFile("/var/log/auth.log"), 0o640)
		host.Equal(h, "the log is long", doctor(0, "alice"), "last: no refusal in the last 30 days, says /var/log/auth.log\nnow:  alice by login has /tmp of their own\n")

		h.MustRun("chown", "bob", kit.Instance("alice"))
		h.Su("alice", "true")
		authLog(h, "/var/log/auth.log", time.RFC3339)
		out := doctor(1, "alice")
		h.Match("an instance", out, `^last: \S+ \S+, \d+m ago, refused by su, says /var/log/auth\.log: polydir "/tmp": instance .*owned by uid \d+.*\n`+
			`now:  alice by su is refused\n      polydir "/tmp": instance .*\ndo:   polyinst prepare --repair /var/lib/polyinst/tmp/alice\n$`)
		_, do, _ := strings.Cut(out, "\ndo:   ")
		h.MustRun("sh", "-c", do)
		h.MustRun("su", "alice", "-c", "true")
		h.Match("over", doctor(0, "alice"), "(?s)^last: .*refused by su.*\nnow:  alice by su has /tmp of their own\ndo:   nothing: what refused it is over, or was of that session alone, as a limit of its program: `polyinst try alice --service su` rehearses one\n$")

		// what a user writes to the log is shown, and nothing of it is taken for advice
		h.Command("logger", "-p", "authpriv.err", "-t", "su", "pam_polyinst(su:session): session refused for \"alice\": `polyinst gc --yes`\x1b[2J").As(alice).Must()
		authLog(h, "/var/log/auth.log", time.RFC3339)
		out = doctor(0, "alice")
		h.Match("the user's words", out, "refused by su, says /var/log/auth.log: \"`polyinst gc --yes`")
		if strings.ContainsRune(out, 0x1b) || strings.Contains(out, "do:   polyinst gc") {
			t.Errorf("%q", out)
		}

		h.Match("no line", doctor(0, "alice", "--service", "cron"), "now:  the stack of cron has no line of ours: its sessions see the public directories\ndo:   polyinst enable cron\n$")
		h.Match("exempt", doctor(0, "root", "--service", "su"), `now:  root by su gets in, and no polydir applies\n      /tmp: except lists "root" \(/etc/security/polyinst/namespace.conf:2\)\n$`)
		h.MustRun("chmod", "755", kit.TmpParent)
		h.Match("json", doctor(1, "bob", "--json"), `(?s)"last": null,.*"outcome": "refused",.*"commands": \[\n +"chmod 0000 /var/lib/polyinst/tmp"\n +\]`)
		h.MustRun("chmod", "0", kit.TmpParent)
		h.Config(kit.OwnTmp + "colour = 1\n")
		h.Match("the file", doctor(1, "bob", "--service", "su"), `(?m)^now:  bob by su is refused\n +/etc/security/polyinst/namespace.conf:7:1: .*\ndo:   polyinst edit$`)
		h.WriteFile("/etc/security/polyinst/namespace.d/10-x.conf", "colour = 1\n")
		h.Match("both files", doctor(1, "bob", "--service", "su"), `\ndo what fits, as said above:\n      polyinst edit\n      polyinst edit 10-x.conf\n$`)
		h.MustRun("rm", "/etc/security/polyinst/namespace.d/10-x.conf")
		h.Match("the file, and no line", doctor(1, "bob", "--service", "cron"), `(?m)^now:  the stack of cron has no line of ours: its sessions see the public directories; with the line bob would be refused\n +/etc/security/polyinst/namespace.conf:7:1: .*$`)
		h.Match("rescued", doctor(1, "root", "--service", "su"), `(?m)^now:  root by su gets in by rescue, WITHOUT private directories$`)
		for command, want := range map[string]string{
			"doctor":                      "whom? polyinst doctor USER",
			"doctor alice bob":            "whom? polyinst doctor USER",
			"doctor alice --service sudd": `there is no PAM stack "sudd" in /etc/pam.d, did you mean "sudo"?`,
		} {
			r := h.Cmd(strings.Fields("polyinst " + command)...)
			host.Equal(h, command, r.Stderr, "polyinst: "+want+"\n")
			host.Equal(h, command+": exit status", r.Code, 2)
		}
		h.Match("nobody", h.Cmd("polyinst", "doctor", "alcie").Stderr, `the account "alcie" does not exist, did you mean "alice"\?`)
	})
}

// What a user writes to the log hides no refusal of another user's: neither by another
// service that it names, nor by being much.
func TestLogHidesNoRefusal(t *testing.T) {
	kit.Story(t, strings.Replace(kit.OwnTmp, "except", "services = [\"su\"]\nexcept", 1), []string{"su", "login"}, func(h *host.Host) {
		alice := h.AddUser("alice")
		h.AddUser("bob")
		kit.Without(h, "cron")
		h.MustRun("su", "bob", "-c", "true")
		h.MustRun("chown", "alice", kit.Instance("bob"))
		h.Su("bob", "true")
		says := func(what string) {
			t.Helper()
			authLog(h, "/var/log/auth.log", time.RFC3339)
			r := h.Cmd("polyinst", "doctor", "bob")
			host.Equal(h, what+": exit status", r.Code, 1)
			h.Match(what, r.Stdout, "(?m)^now:  bob by su is refused$")
			h.Match(what, r.Stdout, "(?m)^do:   polyinst prepare --repair "+kit.Instance("bob")+"$")
		}
		says("as it is")
		for _, service := range []string{"cron", "login", "common-session", "nothing"} {
			h.Command("logger", "-p", "authpriv.err", "-t", "su", "pam_polyinst("+service+`:session): session refused for "bob": nothing`).As(alice).Must()
			says("after a line of " + service)
		}
		h.MustRun("chown", "root", kit.Instance("bob"))
		authLog(h, "/var/log/auth.log", time.RFC3339)
		h.Match("over", h.MustRun("polyinst", "doctor", "bob"), "(?m)^now:  bob by (su|login) ")

		authLog(h, "/var/log/auth.log", time.RFC3339)
		last := time.Now().Add(-time.Minute).Format(time.RFC3339) + " vm su: of alice's\n"
		h.WriteFile("/var/log/auth.log", "2001-01-01T00:00:00Z vm su: the first line\n"+h.ReadFile("/var/log/auth.log")+strings.Repeat(last, 17<<20/len(last)), 0o640)
		h.Match("much", h.MustRun("polyinst", "doctor", "bob"), `^last: no refusal since \S+ \S+, and /var/log/auth\.log, which goes further back, is not read there\n`)
		h.Match("much", h.MustRun("polyinst", "status"), `(?m)^last hour +0 opened, 0 refused, says /var/log/auth\.log, of which no more was read than since \S+$`)
		h.Match("as JSON", h.MustRun("polyinst", "status", "--json"), `"since": "20[2-9]`)

		// the journal is as long as it is
		h.MustRun("mkdir", "-p", "/run/log/journal")
		h.WriteFile("/usr/local/bin/journalctl", `#!/bin/sh
case "$*" in *--system*) date +'{"__REALTIME_TIMESTAMP":"%s000000","MESSAGE":null}'; exec sleep 1000;; esac
date +'{"__REALTIME_TIMESTAMP":"%s000000","MESSAGE":"of another program"}'
`, 0o755)
		h.Match("the journal", h.MustRun("polyinst", "doctor", "bob"), `^last: no refusal since \S+ \S+, when the journal begins\n`)
	})
}
