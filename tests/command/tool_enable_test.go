package command

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// asInstalled is the configuration that a package brings.
func asInstalled(h *host.Host) string {
	return strings.ReplaceAll(h.ReadFile(h.Source("dist/namespace.conf")), "@DOCDIR@", "/usr/share/doc/pam_polyinst")
}

// enabler is a host with the module, a configuration and a user, and stacks without
// our line.
func enabler(t *testing.T, services []string, tell func(h *host.Host)) {
	t.Helper()
	host.Run(t, func(h *host.Host) {
		kit.Install(h, kit.OwnTmp)
		h.AddUser("alice")
		kit.Without(h, services...)
		tell(h)
	}, host.Within(2*time.Minute))
}

const tool = "/usr/local/sbin/polyinst"

// waiter is the process that takes a change back.
func waiter(h *host.Host) int {
	h.T.Helper()
	pid, err := strconv.Atoi(h.MustRun("pgrep", "-f", "polyinst rollback"))
	if err != nil {
		h.T.Fatal(err)
	}
	return pid
}

// refused runs a command that must fail and change nothing, and returns what it
// says.
func refused(h *host.Host, args ...string) string {
	h.T.Helper()
	before := kit.PAMState(h)
	r := h.Cmd(args...)
	if r.Code == 0 {
		h.T.Errorf("this succeeded:\n%s", r)
	}
	host.Equal(h, strings.Join(args, " ")+": the files", kit.PAMState(h), before)
	return r.Stderr
}

// From a bare machine to a login with a private /tmp that stays: three commands, of
// which one is the login.
func TestEnableInThreeCommands(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Install()
		h.MustRun("rm", "-rf", host.Parents)
		h.Config(asInstalled(h))
		s := h.Sshd()
		h.AddUser("alice")
		before := kit.PAMState(h)

		commands := 0
		count := func(r host.Result) string {
			commands++
			if r.Code != 0 {
				t.Fatal(r)
			}
			return r.Out()
		}
		out := count(h.Cmd("polyinst", "enable", "--tmp", "sshd", "su"))
		seen := count(s.SSH("alice", kit.WhichTmp))
		count(h.Cmd("polyinst", "confirm"))
		host.Equal(h, "commands", commands, 3)

		kit.InInstance(h, "by ssh", "alice", seen)
		kit.InInstance(h, "by su", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.Match("what is shown", out, `(?m)^\+\+\+ /etc/pam\.d/sshd$`)
		h.Match("what is rehearsed", out, `(?m)^rehearsed: \S+ by sshd has /tmp of their own\nrehearsed: root by sshd gets in, in the host's view$`)
		h.Match("what to do", out, `\nenabled: sshd, su\nlog in anew, and if that works: polyinst confirm; if nobody does, the files are as before again at \d\d:\d\d:\d\d$`)
		h.Match("check", h.Cmd("polyinst", "check", "--pam").Stdout, "no problem")

		h.Match("what goes, and what stays", h.MustRun("polyinst", "disable", "sshd", "su"),
			`(?m)^disabled: sshd, su\nremoved /etc/security/polyinst/namespace\.d/tmp\.conf\nwhat sessions have written stays: /var/lib/polyinst/tmp$`)
		host.Equal(h, "all of it", kit.PAMState(h), before)
		kit.InPublic(h, "by su", h.MustRun("su", "alice", "-c", kit.WhichTmp))
	})
}

// What is there already is left alone, and what is only shown as well.
func TestEnableTwice(t *testing.T) {
	enabler(t, []string{"su", "login"}, func(h *host.Host) {
		h.MustRun("rmdir", kit.TmpParent)
		before, run := kit.PAMState(h), strings.Join(h.Names("/run"), " ")
		out := h.MustRun("polyinst", "enable", "--dry-run", "su")
		h.Match("dry run", out, `(?s)^would make /var/lib/polyinst/tmp\n--- /etc/pam\.d/su\n.*\n\+session required pam_polyinst\.so$`)
		host.Equal(h, "after a dry run", kit.PAMState(h), before)
		host.Equal(h, "/run after a dry run", strings.Join(h.Names("/run"), " "), run)
		host.Equal(h, "the parent", h.Exists(kit.TmpParent), false)

		h.MustRun("polyinst", "enable", "--no-confirm", "su")
		kit.InInstance(h, "su", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		once := kit.PAMState(h)
		host.Equal(h, "again", h.MustRun("polyinst", "enable", "--no-confirm", "su"), "su has it already: /etc/pam.d/su:6:1")
		host.Equal(h, "once more", h.MustRun("polyinst", "enable", "su"), "su has it already: /etc/pam.d/su:6:1")
		host.Equal(h, "after it", kit.PAMState(h), once)

		// what is there is not what was asked for, or refuses nobody
		without := "polyinst: su has the line already, without \"nested=keep\": /etc/pam.d/su:6:1: add it there, or begin with `polyinst disable su`\n"
		host.Equal(h, "another argument", refused(h, "polyinst", "enable", "--arg", "nested=keep", "su"), without)
		host.Equal(h, "another argument, with a service that lacks the line", refused(h, "polyinst", "enable", "--arg", "nested=keep", "su", "login"), without)
		h.Sh("sed -i 's/required pam_polyinst.so/optional pam_polyinst.so/' /etc/pam.d/su")
		h.Match("optional", refused(h, "polyinst", "enable", "su"), `^/etc/pam.d/su:6:1: error: control "optional".*\n$`)
		h.Match("optional, with a service that lacks the line", refused(h, "polyinst", "enable", "su", "login"), `^/etc/pam.d/su:6:1: error: control "optional".*\npolyinst: nothing is changed\n$`)
		h.Sh("sed -i 's/optional pam_polyinst.so/required pam_polyinst.so/' /etc/pam.d/su")
		host.Equal(h, "after all that", kit.PAMState(h), once)
		host.Equal(h, "confirm", h.MustRun("polyinst", "confirm"), "nothing is to be confirmed: all that is enabled was confirmed")

		host.Equal(h, "disable, dry", strings.Contains(h.MustRun("polyinst", "disable", "--dry-run", "su", "login"), "login has no line"), true)
		host.Equal(h, "after it", kit.PAMState(h), once)
		h.MustRun("polyinst", "disable", "su")
		host.Equal(h, "disable again", h.MustRun("polyinst", "disable", "su"), "su has no line")
		host.Equal(h, "at the end", kit.PAMState(h), before)
		h.Match("confirm at the end", h.Cmd("polyinst", "confirm").Stderr, "nothing is to be confirmed: what nobody confirms in time is taken back")
	})
}

// killWaiter kills the process that waits, and returns when it has let go of its lock.
func killWaiter(h *host.Host) {
	h.T.Helper()
	pid := fmt.Sprint(waiter(h))
	h.MustRun("kill", "-9", pid)
	h.MustRun("tail", "--pid", pid, "-f", "/dev/null")
}

// Nobody confirms it: the files are as before, whatever became of who enabled it.
func TestEnableIsTakenBack(t *testing.T) {
	enabler(t, []string{"su", "sshd"}, func(h *host.Host) {
		before := kit.PAMState(h)
		taken := func(why string) {
			t.Helper()
			h.WaitLog(`^<4> polyinst: taken back, ` + why + `: /etc/pam\.d/su: as it was$`)
			h.MustRun("polyinst", "disable", "su") // waits until that has ended
			host.Equal(h, why, kit.PAMState(h), before)
			h.ForgetLog()
		}
		h.MustRun("polyinst", "enable", "--within", "1s", "su")
		taken("nobody has confirmed it within 1s")

		// the machine is shut down
		h.MustRun("polyinst", "enable", "su")
		kit.InInstance(h, "meanwhile", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.MustRun("kill", fmt.Sprint(waiter(h)))
		taken("the machine or its service is stopped before anybody has confirmed it")

		// the connection is lost: all processes of the session are killed at once
		s := h.Sshd()
		p := s.Client(host.PublicKey, "root", "-tt", "polyinst enable --within 3s su; echo done; sleep 1000").OnPty()
		p.Expect("done")
		kit.InInstance(h, "meanwhile", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.Sh(`p=$(pgrep -f '^sshd: root@'); s=$(ps -o sid= --ppid $p | tr -d " "); kill -9 $p $(pgrep -s $s) || :`)
		p.Wait()
		taken("nobody has confirmed it within 3s")
		kit.InPublic(h, "afterwards", h.MustRun("su", "alice", "-c", kit.WhichTmp))

		// the machine lost its power: nobody waits any more, and the boot takes it back
		// even where the configuration is broken by now
		h.MustRun("polyinst", "enable", "su")
		killWaiter(h)
		h.Config("junk")
		h.Match("prepare", h.Cmd("polyinst", "prepare").Stderr, "(?m)^polyinst: su was enabled and never confirmed: it is taken back$")
		host.Equal(h, "after the boot", kit.PAMState(h), before)
	})
}

// The process that waits holds a lock, and nothing of the terminal; a hangup does
// not end it.
func TestEnableWaiter(t *testing.T) {
	enabler(t, []string{"su", "login"}, func(h *host.Host) {
		p := h.OnPty("bash", "-c", "exec 9</root; polyinst enable su; echo done; read x")
		p.Expect("done")
		pid := waiter(h)
		host.Equal(h, "its session", h.MustRun("ps", "-o", "sid=", "-p", fmt.Sprint(pid)), fmt.Sprint(pid))
		host.Equal(h, "its files", h.Sh(fmt.Sprintf("readlink /proc/%d/fd/[0-2] /proc/%d/cwd; ls -l /proc/%d/fd | grep -c -e pts -e /root || :", pid, pid, pid)), "/dev/null\n/dev/null\n/dev/null\n/\n0")
		h.MustRun("kill", "-HUP", fmt.Sprint(pid))
		h.MustRun("kill", "-INT", fmt.Sprint(pid))
		p.KillHard()

		// one change at a time
		h.Match("another one", refused(h, "polyinst", "enable", "login"), "^polyinst: an earlier change is to be confirmed first, of su: `polyinst confirm`, or `polyinst disable su`\n$")
		h.Match("the same one", h.MustRun("polyinst", "enable", "su"), `^su has it already: /etc/pam\.d/su:6:1\nlog in anew`)
		h.MustRun("polyinst", "prepare") // as it may be run at any time
		host.Equal(h, "confirm", h.MustRun("polyinst", "confirm"), "confirmed: su")
		gone := h.Command("tail", "--pid", fmt.Sprint(pid), "-f", "/dev/null").Run()
		host.Equal(h, "the process ends", gone.Code, 0)
		kit.InInstance(h, "it stays", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))

		// what waits can be disabled, and be confirmed by --no-confirm
		h.MustRun("polyinst", "enable", "login")
		h.MustRun("polyinst", "disable", "login")
		host.Equal(h, "nothing waits", h.Cmd("polyinst", "confirm").Out(), "nothing is to be confirmed: all that is enabled was confirmed")
		h.MustRun("polyinst", "enable", "login")
		h.Match("confirmed in passing", h.MustRun("polyinst", "enable", "--no-confirm", "login"), "confirmed: login$")
	})
}

// Under systemd the process is a unit of its own, which the end of a session leaves
// alone. If it cannot be started, nothing is changed. tests/vm has a real one.
func TestEnableUnderSystemd(t *testing.T) {
	enabler(t, []string{"su"}, func(h *host.Host) {
		before := kit.PAMState(h)
		h.MustRun("mkdir", "-p", "/run/systemd/system")
		h.WriteFile("/usr/local/bin/systemd-run", "#!/bin/sh\necho Failed to connect to bus >&2\nexit 1\n", 0o755)
		h.Match("no systemd-run", refused(h, "polyinst", "enable", "su"), "^polyinst: the process that takes the change back: systemd-run: Failed to connect to bus: nothing is changed; --no-confirm does without it\n$")

		h.WriteFile("/usr/local/bin/systemd-run", `#!/bin/sh
echo "$@" >/root/asked
while [ "$1" != -- ]; do shift; done
shift
setsid "$@" </dev/null >/dev/null 2>&1 &
`, 0o755)
		h.MustRun("polyinst", "enable", "su")
		h.Match("systemd-run", h.ReadFile("/root/asked"), `^--quiet --no-ask-password --collect --unit=polyinst-rollback-([0-9a-f]{12}) .*-- \S+/polyinst rollback [0-9a-f]{12} --after 1m0s\n$`)
		h.MustRun("kill", fmt.Sprint(waiter(h)))
		h.WaitLog("taken back")
		h.MustRun("polyinst", "disable", "su")
		host.Equal(h, "taken back", kit.PAMState(h), before)
	})
}

// What speaks against it is said, with the way out, and nothing is changed.
func TestEnableRefuses(t *testing.T) {
	enabler(t, []string{"su", "sshd"}, func(h *host.Host) {
		h.Forks() // a ready worker has limits of its own
		for command, want := range map[string]string{
			"enable sshdd":                       `there is no PAM stack "sshdd" in /etc/pam.d, did you mean "sshd"?`,
			"enable /etc/pam.d/sshd":             `there is no PAM stack "/etc/pam.d/sshd" in /etc/pam.d, did you mean "sshd"?`,
			"disable su-":                        `there is no PAM stack "su-" in /etc/pam.d, did you mean "su"?`,
			"enable":                             `which services? polyinst enable SERVICE [SERVICE...]`,
			"disable":                            `which services? polyinst disable SERVICE [SERVICE...]`,
			"enable --arg debgu su":              `PAM line: unknown argument "debgu", did you mean "debug"?`,
			"enable --within 0 su":               `--within: 0s is too short to log in: at least 1s`,
			"enable --within 1ms su":             `--within: 1ms is too short to log in: at least 1s`,
			"enable --convert --arg x su":        `--convert takes the arguments of pam_namespace's line: not together with --arg or --conf`,
			"enable --no-confirm --within 2s su": `--within or --no-confirm, not both`,
		} {
			r := h.Cmd(strings.Fields("polyinst " + command)...)
			host.Equal(h, command, r.Stderr, "polyinst: "+want+"\n")
			host.Equal(h, command+": exit status", r.Code, 2)
		}
		host.Equal(h, "no such user", h.Cmd("polyinst", "enable", "--user", "alcie", "su").Stderr, "polyinst: the account \"alcie\" does not exist, did you mean \"alice\"?\n")

		// what cannot be written is told, and that all is as it was
		h.Sh("mount --bind /etc/pam.d /etc/pam.d && mount -o remount,bind,ro /etc/pam.d")
		h.Match("read-only", refused(h, "polyinst", "enable", "su"), `(?m)^polyinst: open /etc/pam\.d/\S+: read-only file system; nothing is changed$`)
		h.MustRun("umount", "/etc/pam.d")

		// the configuration
		h.Config(asInstalled(h))
		h.Match("no polydir", refused(h, "polyinst", "enable", "su"), "has no polydir, and sessions would be as they are: `polyinst edit`, or `polyinst enable --tmp` with these services begins with a private /tmp; nothing is changed\n$")
		h.Config(kit.OwnTmp + "colour = 1\n")
		h.Match("broken", refused(h, "polyinst", "enable", "su"), `namespace\.conf:7:1: error: polydir "/tmp": unknown key "colour".*\npolyinst: nothing is changed\n$`)
		h.Config(kit.OwnTmp)
		h.MustRun("chmod", "755", kit.TmpParent)
		h.Match("a parent", refused(h, "polyinst", "enable", "su"), "mode 0755, want 0000: chmod 0000 /var/lib/polyinst/tmp\npolyinst: nothing is changed\n$")
		h.MustRun("chmod", "0", kit.TmpParent)

		// the stack: what check says of it, but nothing about others
		h.PAM("cron", "session optional pam_polyinst.so", "@include nothing")
		h.PAM("su", host.Stack("session required pam_unix.so", "session include nowhere")...)
		host.Equal(h, "a stack", refused(h, "polyinst", "enable", "su"), `/etc/pam.d/su:6:1: error: includes "nowhere", which does not exist: libpam refuses the whole stack`+"\npolyinst: nothing is changed\n")
		h.PAM("su", host.Stack()...)
		h.Match("no session part", refused(h, "polyinst", "enable", "su"), "^polyinst: service \"su\": /etc/pam.d/su has no session line, so that the session part of \"other\" counts: put `session include other` into it first\n$")

		// what ends the stack before our line
		h.PAM("su", host.Stack("session sufficient pam_permit.so")...)
		h.Match("never reached", refused(h, "polyinst", "enable", "su"), "(?m)^polyinst: \\S+ by su gets no private directory through the changed stack, and nothing is changed: a line before ours ends it \\(`polyinst check --pam`\\)$")

		// a session that the module refuses, or anybody else
		h.PAM("su", host.Stack("session required pam_limits.so")...)
		h.WriteFile("/etc/security/limits.conf", "alice hard as 300000\n")
		h.Match("a limit", refused(h, "polyinst", "enable", "--user", "alice", "su"), "(?m)^polyinst: alice by su is refused through the changed stack, and nothing is changed: .*; the system log says more$")
		kit.Without(h, "su")
		h.MustRun("chown", "alice", instanceOf(h, "alice"))
		h.Match("an instance", refused(h, "polyinst", "enable", "--user", "alice", "su"), "owned by uid 2001, want 0 like the polydir: `polyinst prepare --repair /var/lib/polyinst/tmp/alice`")
		h.MustRun("chown", "root", kit.Instance("alice"))

		// root is shut out by a module that refuses all: not even root's session
		h.MustRun("cp", strings.TrimSuffix(h.Module(), "pam_polyinst.so")+"pam_deny.so", h.Module())
		h.Match("root", refused(h, "polyinst", "enable", "--user", "root", "su"), "(?m)^polyinst: root by su is refused through the changed stack, and nothing is changed: ")
		h.MustRun("su", "alice", "-c", "true")
	})
}

// instanceOf makes a user's instance by a rehearsal.
func instanceOf(h *host.Host, user string) string {
	h.T.Helper()
	h.MustRun("polyinst", "try", user, "--", "true")
	return kit.Instance(user)
}

// A stack with pam_namespace is refused by name; obeyed, the message puts our line in
// its place, and the way back leads to pam_namespace.
func TestEnableInsteadOfNamespace(t *testing.T) {
	enabler(t, nil, func(h *host.Host) {
		h.PAM("su", host.Stack("session required pam_unix.so", "session required pam_namespace.so unmnt_remnt", "session optional pam_env.so")...)
		before := kit.PAMState(h)
		host.Equal(h, "refused", refused(h, "polyinst", "enable", "su"), "polyinst: service \"su\": pam_namespace.so stands at /etc/pam.d/su:6:1, and does not go into one stack with pam_polyinst.so: "+
			"`polyinst convert` translates its configuration, and `polyinst enable --convert su` then puts pam_polyinst.so in its place\n")
		h.MustRun("polyinst", "enable", "--no-confirm", "--convert", "su")
		host.Equal(h, "the stack", strings.Join(strings.Split(h.ReadFile("/etc/pam.d/su"), "\n")[4:], "\n"),
			"session required pam_unix.so\nsession required pam_polyinst.so unmnt_remnt\nsession optional pam_env.so\n")
		kit.InInstance(h, "su", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.MustRun("polyinst", "disable", "su")
		host.Equal(h, "the way back", kit.PAMState(h), before)

		// in a file that others include
		h.PAM("common", "session required pam_unix.so", "session required pam_namespace.so")
		h.PAM("su", host.Stack("session include common")...)
		host.Equal(h, "elsewhere", refused(h, "polyinst", "enable", "--convert", "su"), "polyinst: service \"su\": pam_namespace.so stands in another file, /etc/pam.d/common:2:1: `polyinst enable --convert` with the name of that file\n")
		h.MustRun("polyinst", "enable", "--no-confirm", "--convert", "common")
		kit.InInstance(h, "su", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.MustRun("polyinst", "disable", "common")

		h.PAM("su", host.Stack("session required pam_namespace.so unmnt_remntt")...)
		h.Match("a mistyped argument", refused(h, "polyinst", "enable", "--convert", "su"), "unknown argument \"unmnt_remntt\"")
	})
}

// In a view of its own, a rehearsal would be a nested session.
func TestEnableInAPrivateNamespace(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		kit.Install(h, strings.Replace(kit.OwnTmp, `except          = ["root"]`, "", 1))
		kit.Without(h, "login")
		h.PAM("su", host.Stack(kit.Session)...)
		r := h.Cmd("su", "root", "-c", "polyinst enable --no-confirm --user root login")
		h.Match("refused", r.Stderr, "^polyinst: this shell is in a private namespace: `polyinst real -- polyinst enable` begins in the host's view\n$")
		h.MustRun("su", "root", "-c", "polyinst real -- polyinst enable --no-confirm --user root login")
	})
}

// The vendor's file is copied, and the copy goes again. A link of authselect or
// pam-config stays one.
func TestEnableFilesOfOthers(t *testing.T) {
	enabler(t, nil, func(h *host.Host) {
		h.MustRun("rm", "/etc/pam.d/su")
		h.WriteFile("/usr/lib/pam.d/su", strings.Join(host.Stack("session required pam_unix.so"), "\n")+"\n", 0o640)
		before := kit.PAMState(h)
		out := h.MustRun("polyinst", "enable", "--no-confirm", "su")
		h.Match("the diff", out, `(?m)^--- /usr/lib/pam\.d/su\n\+\+\+ /etc/pam\.d/su$`)
		mode, _, _ := h.Mode("/etc/pam.d/su")
		host.Equal(h, "mode of the copy", mode, 0o640)
		kit.InInstance(h, "su", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.MustRun("polyinst", "disable", "su")
		host.Equal(h, "the copy", h.Exists("/etc/pam.d/su"), false)
		host.Equal(h, "all", kit.PAMState(h), before)

		h.WriteFile("/etc/authselect/system-auth", "# Generated by authselect\nsession required pam_unix.so\n")
		h.WriteFile("/etc/authselect/authselect.conf", "sssd\nwith-mkhomedir\n")
		h.WriteFile("/etc/pam.d/common-session-pc", "# This file is autogenerated by pam-config.\nsession required pam_unix.so\n")
		h.Sh("cd /etc/pam.d; ln -s /etc/authselect/system-auth .; ln -sf common-session-pc common-session; ln /etc/pam.d/su-l /etc/pam.d/another")
		h.Match("authselect", refused(h, "polyinst", "enable", "system-auth"),
			"system-auth is written by authselect, .*: authselect create-profile polyinst -b sssd && echo 'session required pam_polyinst.so' >>/etc/authselect/custom/polyinst/system-auth && authselect select custom/polyinst with-mkhomedir\n$")
		h.Match("pam-config", refused(h, "polyinst", "enable", "common-session"), "cp --remove-destination /etc/pam.d/common-session-pc /etc/pam.d/common-session\n$")
		h.Sh("cp --remove-destination /etc/pam.d/common-session-pc /etc/pam.d/common-session") // obeyed
		h.MustRun("polyinst", "enable", "--no-confirm", "common-session")
		h.MustRun("polyinst", "disable", "common-session")
		h.Match("two names", refused(h, "polyinst", "enable", "su-l"), "/etc/pam.d/su-l has 2 names, of which a change would leave all but one: ")

		h.Sh("echo session required pam_polyinst.so >>/etc/authselect/system-auth")
		h.Match("authselect", refused(h, "polyinst", "disable", "system-auth"), "take the line out of /etc/authselect/sssd/system-auth, then authselect apply-changes\n$")
	})
}

// Owner, mode, access list and label stay, and a file without an end of its last line
// gets it back so. pam-auth-update leaves the line where it is.
func TestEnableKeepsTheRest(t *testing.T) {
	enabler(t, nil, func(h *host.Host) {
		h.Need("setfattr", "getfattr")
		h.WriteFile("/etc/pam.d/su", strings.Join(host.Stack("session required pam_unix.so"), "\n"), 0o600)
		h.Sh("chown alice:daemon /etc/pam.d/su; chmod 2640 /etc/pam.d/su; setfattr -n security.selinux -v system_u:object_r:etc_t:s0 /etc/pam.d/su; setfattr -n user.note -v mine /etc/pam.d/su")
		attributes := func() string { return h.Sh("cd /etc/pam.d; stat -c '%U:%G %a' su; getfattr -dm- su") }
		h.Match("the attributes", attributes(), `(?s)^alice:daemon 2640\n.*security\.selinux="system_u:object_r:etc_t:s0.*user\.note="mine"`)
		before, like := kit.PAMState(h), attributes()
		h.MustRun("polyinst", "enable", "--no-confirm", "su")
		host.Equal(h, "the attributes of the new file", attributes(), like)
		h.MustRun("polyinst", "disable", "su")
		host.Equal(h, "all", kit.PAMState(h), before)

		h.MustRun("polyinst", "enable", "--no-confirm", "common-session")
		h.Command("pam-auth-update", "--package").Env("DEBIAN_FRONTEND=noninteractive").Must()
		h.Match("behind the block", h.ReadFile("/etc/pam.d/common-session"), `(?m)^# end of pam-auth-update config\nsession required pam_polyinst\.so$`)
		h.Match("by whom", refused(h, "polyinst", "disable", "cron", "login"),
			"^polyinst: login has its line by /etc/pam.d/common-session:\\d+:1, which is for these services: .*login.*: `polyinst disable common-session` takes it from all of them\n$")
		h.MustRun("polyinst", "disable", "common-session")
		host.Equal(h, "no line", h.Sh("grep -l pam_polyinst /etc/pam.d/* || :"), "")
	})
}

// What was changed since is kept; only our lines go.
func TestDisableWhatWasChanged(t *testing.T) {
	enabler(t, []string{"su", "login"}, func(h *host.Host) {
		before := h.ReadFile("/etc/pam.d/su")
		h.MustRun("polyinst", "enable", "--no-confirm", "su")
		h.Sh("echo session optional pam_env.so >>/etc/pam.d/su")
		h.MustRun("polyinst", "disable", "su")
		host.Equal(h, "the file", h.ReadFile("/etc/pam.d/su"), before+"session optional pam_env.so\n")
		host.Equal(h, "copies", h.Exists(host.Parents+"/pam-before"), false)

		// a line by hand, twice, and one that somebody took out by hand
		h.Sh("echo session required pam_polyinst.so debug >>/etc/pam.d/su; echo session optional pam_polyinst.so >>/etc/pam.d/su")
		h.MustRun("polyinst", "disable", "su")
		host.Equal(h, "the file", h.ReadFile("/etc/pam.d/su"), before+"session optional pam_env.so\n")
		h.MustRun("polyinst", "enable", "--no-confirm", "su")
		h.Sh("sed -i /pam_polyinst/d /etc/pam.d/su")
		h.MustRun("polyinst", "enable", "--no-confirm", "login")
		host.Equal(h, "copies", strings.Join(h.Names(host.Parents+"/pam-before"), " "), ".note.json login")

		// changed before it is confirmed: nobody's text is lost
		h.MustRun("polyinst", "enable", "su")
		h.Sh("echo session optional pam_umask.so >>/etc/pam.d/su")
		h.MustRun("kill", fmt.Sprint(waiter(h)))
		h.WaitLog("taken back, .*: /etc/pam.d/su: without our line")
		h.MustRun("polyinst", "disable", "su")
		host.Equal(h, "the file", h.ReadFile("/etc/pam.d/su"), before+"session optional pam_env.so\nsession optional pam_umask.so\n")

		// root would be shut out without the line
		h.PAM("other", host.Stack("session required pam_deny.so")...)
		h.PAM("su", host.Stack(kit.Session)...)
		h.Match("the only line", refused(h, "polyinst", "disable", "su"), "root by su is refused without the line, and nothing is changed: ")
	})
}

// A stack that cannot be rehearsed here, because it does not open a session without
// the line either, is judged by our line alone.
func TestEnableStackThatCannotBeRehearsed(t *testing.T) {
	enabler(t, nil, func(h *host.Host) {
		h.WriteFile("/usr/local/bin/by-su", "#!/bin/sh\n[ \"$(cat /proc/$PPID/comm)\" = su ]\n", 0o755)
		h.PAM("su", host.Stack("session required pam_exec.so quiet /usr/local/bin/by-su")...)
		h.Match("rehearsed", h.MustRun("polyinst", "enable", "--user", "alice", "--no-confirm", "su"),
			`(?m)^rehearsed: alice by su has /tmp of their own \(by our line alone: the other lines cannot be rehearsed here\)$`)
		kit.InInstance(h, "su", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
	})
}

// A stack whose session does not close here, as systemd-user's since systemd 256, whose
// logind lets nobody but the user manager release that session, can be enabled; one
// whose session only our line keeps from closing cannot.
func TestEnableStackThatDoesNotClose(t *testing.T) {
	enabler(t, []string{"su"}, func(h *host.Host) {
		closes := func(when string) { // what does not open, libpam does not close, either
			h.WriteFile("/usr/local/bin/closes", "#!/bin/sh\n[ $PAM_TYPE = open_session ] || "+when+"\n", 0o755)
		}
		h.PAM("su", host.Stack("session required pam_exec.so quiet seteuid /usr/local/bin/closes")...)
		closes("false")
		h.Match("neither closes", h.MustRun("polyinst", "enable", "--no-confirm", "--user", "alice", "su"), `(?m)^rehearsed: alice by su has /tmp of their own$`)
		h.MustRun("polyinst", "disable", "su")
		closes("[ /tmp/. -ef /proc/1/root/tmp/. ]")
		h.Match("with our line it does not", refused(h, "polyinst", "enable", "--user", "alice", "su"), `alice by su, through the changed stack: the session was not closed: .*; nothing is changed\n$`)
	})
}

// Whoever is killed at any call by which something changes leaves each file as it was
// or as it was to be, and the next command goes on from there.
func TestEnableKilledAnywhere(t *testing.T) {
	for name, step := range map[string]struct {
		prepare, command string
		kills            int // at least
	}{
		"enable":       {"true", "enable --no-confirm --user root atd cron", 20},
		"begin":        {"mv /root/none " + host.ConfigFile, "enable --tmp --no-confirm --user root atd", 20},
		"to confirm":   {"true", "enable --user root atd cron", 20},
		"confirm":      {"polyinst enable --user root atd cron", "confirm", 4},
		"disable":      {"polyinst enable --no-confirm --user root atd cron", "disable atd cron", 10},
		"taking back":  {"polyinst enable --user root atd cron; p=$(pgrep -f 'polyinst [r]ollback'); kill -KILL $p; tail --pid $p -f /dev/null", "prepare", 10},
		"vendor's":     {"mv /etc/pam.d/atd /usr/lib/pam.d", "enable --no-confirm --user root atd cron", 20},
		"vendor's off": {"mv /etc/pam.d/atd /usr/lib/pam.d; polyinst enable --no-confirm --user root atd cron", "disable atd cron", 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			enabler(t, []string{"atd", "cron"}, func(h *host.Host) {
				h.Need("setfattr")
				h.MustRun("mkdir", "-p", "/usr/lib/pam.d")
				h.WriteFile("/root/none", asInstalled(h))
				h.MustRun("setfattr", "-n", "user.note", "-v", "mine", "/etc/pam.d/cron")
				old := map[string]string{"atd": h.ReadFile("/etc/pam.d/atd"), "cron": h.ReadFile("/etc/pam.d/cron")}
				first := kit.PAMState(h)
				kills := 0
				for _, call := range strings.Fields("pwrite64 fsync fchown fchmod fsetxattr renameat renameat2 unlinkat mkdirat") {
					for n := 1; ; n++ {
						what := fmt.Sprintf("killed at %s %d", call, n)
						h.MustRun("sh", "-ec", step.prepare)
						// with it goes the process that waits to take the change back: the power is gone
						r := h.Cmd(append([]string{h.Built("fault"), "0", "host", call, fmt.Sprint(n), "kill", tool}, strings.Fields(step.command)...)...)
						for name, text := range old {
							now := text
							if h.Exists("/etc/pam.d/" + name) {
								now = h.ReadFile("/etc/pam.d/" + name)
							}
							if now != text && now != text+kit.Session+"\n" {
								t.Fatalf("%s: %s is neither the old file nor the new one:\n%s", what, name, now)
							}
						}
						killed := strings.Contains(r.Stdout, `"RC":1`)
						h.MustRun("polyinst", "prepare")
						h.MustRun("polyinst", "disable", "atd", "cron")
						h.Sh("[ ! -e /usr/lib/pam.d/atd ] || mv /usr/lib/pam.d/atd /etc/pam.d; cp -p " + host.ConfigFile + " /root/none")
						h.Config(kit.OwnTmp)
						if now := kit.PAMState(h); now != first {
							t.Fatalf("%s: is left:\n%s\nwas:\n%s", what, now, first)
						}
						if !killed {
							break
						}
						kills++
					}
				}
				t.Logf("killed %d times", kills)
				if kills < step.kills {
					t.Errorf("killed %d times", kills)
				}
			})
		})
	}
}

// A file that another program changes while the process that waits is being started is
// not replaced by what was planned for the earlier one, and nor is any other.
func TestEnableBesideAnotherProgram(t *testing.T) {
	enabler(t, []string{"su", "sshd"}, func(h *host.Host) {
		const theirs = "# an upgrade\n"
		h.Mkdir("/run/systemd/system", 0o755, 0, 0)
		h.WriteFile("/usr/local/bin/systemd-run", "#!/bin/sh\necho '# an upgrade' >>/etc/pam.d/su\nuntil [ \"$1\" = -- ]; do shift; done; shift\nsetsid \"$@\" </dev/null >/dev/null 2>&1 &\n", 0o755)
		sshd, su := h.ReadFile("/etc/pam.d/sshd"), h.ReadFile("/etc/pam.d/su")
		r := h.Cmd(tool, "enable", "sshd", "su")
		host.Equal(h, "enable", r.Code, 1)
		h.Match("and says", r.Stderr, `/etc/pam\.d/su: it was changed meanwhile`)
		host.Equal(h, "sshd", h.ReadFile("/etc/pam.d/sshd"), sshd)
		host.Equal(h, "su", h.ReadFile("/etc/pam.d/su"), su+theirs)
		h.Match("status", h.Cmd(tool, "status").Stdout, `(?m)^state +off`)
	})
}
