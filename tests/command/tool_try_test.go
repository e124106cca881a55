package command

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// A rehearsal is a real session, and leaves /etc/pam.d and /run as they were.
func TestTry(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		stacks := h.Sh("ls -lR /etc/pam.d; cat /etc/pam.d/*")
		ns := h.MustRun("readlink", "/proc/self/ns/mnt")
		kit.InInstance(h, "try", "alice", h.MustRun("polyinst", "try", "alice", "--", "sh", "-c", kit.WhichTmp))
		out := h.MustRun("polyinst", "try", "alice", "--", "sh", "-c", "id -un; id -Gn; echo $HOME; touch /tmp/mine; readlink /proc/self/ns/mnt")
		h.Match("who", out, "^alice\nalice\n/home/alice\n")
		if strings.Contains(out, ns) {
			t.Errorf("the command ran in the host's namespace:\n%s", out)
		}
		h.Match("without a command", h.MustRun("polyinst", "try", "alice"), `(?s)^drwxrwxrwt.* /tmp\n.*nosuid.*\nmine\nalice by polyinst-try has /tmp of their own$`)
		h.Match("the log", fmt.Sprint(h.ModuleLog()), `polyinst-try:session\): session opened for "alice"`)
		host.Equal(h, "PAM stacks", h.Sh("ls -lR /etc/pam.d; cat /etc/pam.d/*"), stacks)
		for _, name := range h.Names("/run") {
			if strings.HasPrefix(name, "polyinst-try") {
				t.Errorf("/run/%s is left", name)
			}
		}

		r := h.Cmd("polyinst", "try", "alice", "--", "sh", "-c", "exit 7")
		host.Equal(h, "a command that fails: exit status", r.Code, 1)
		h.Match("it says", r.Stderr, "the command ended with 7")
		host.Equal(h, "root is exempt", h.MustRun("polyinst", "try", "root"), "root by polyinst-try gets in, and no polydir applies: the session stays in the view that it is in")
		host.Equal(h, "no user: exit status", h.Cmd("polyinst", "try").Code, 2)
		host.Equal(h, "two words: exit status", h.Cmd("polyinst", "try", "alice", "bob").Code, 2)
		host.Equal(h, "no such user: exit status", h.Cmd("polyinst", "try", "nobody-here").Code, 1)
		host.Equal(h, "as alice: exit status", h.Command("polyinst", "try", "alice").As(host.User{Name: "alice", UID: 2001, GID: 2001, Home: "/home/alice"}).Run().Code, 1)
	})
}

// A session that is refused says why, and where a draft is meant, the draft is
// tried.
func TestTryRefused(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("chmod", "755", kit.TmpParent)
		r := h.Cmd("polyinst", "try", "alice", "--", "touch", "/tmp/mine")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("why", r.Stdout, `REFUSED: polydir "/tmp": instance parent .* mode 0755, want 0000`)
		if h.Exists("/tmp/mine") {
			t.Error("the command ran")
		}
		h.WriteFile("/root/draft/namespace.conf", strings.Replace(kit.OwnTmp, "polyinst/tmp", "polyinst/other", 1))
		h.MustRun("polyinst", "prepare", "--conf", "/root/draft/namespace.conf")
		seen := h.MustRun("polyinst", "try", "alice", "--conf", "/root/draft/namespace.conf", "--", "sh", "-c", kit.WhichTmp)
		host.Equal(h, "the draft's", seen, h.FileID(host.Parents+"/other/alice"))
		h.Config(strings.Replace(kit.OwnTmp, `["root"]`, `["bin"]`, 1))
		for _, command := range []string{"", " -- true"} {
			r = h.Cmd(strings.Fields("polyinst try root" + command)...)
			host.Equal(h, "rescued: exit status", r.Code, 1)
			h.Match("rescued", r.Stderr, "(?m)^polyinst: root by polyinst-try gets in by rescue, WITHOUT private directories$")
			h.Match("rescued, why", r.Stdout, `REFUSED: polydir "/tmp": instance parent .* mode 0755, want 0000`)
		}
		h.MustRun("mv", h.Module(), "/root/away")
		h.Match("no module", h.Cmd("polyinst", "try", "alice").Stderr, `^polyinst: the session was refused: Module is unknown: there is no pam_polyinst\.so in \S+\n$`)
		h.MustRun("mv", "/root/away", h.Module())
		host.Equal(h, "an unknown argument: exit status", h.Cmd("polyinst", "try", "alice", "--arg", "debgu").Code, 2)
	})
}

// Rules for some services are tried by their name; a tmpdir ends with the
// rehearsal.
func TestTryAService(t *testing.T) {
	kit.Story(t, kit.Tmpdir+"services = [\"sshd\"]\n", nil, func(h *host.Host) {
		h.AddUser("alice")
		kit.InPublic(h, "another service", h.MustRun("polyinst", "try", "alice", "--", "sh", "-c", kit.WhichTmp))
		seen := h.MustRun("polyinst", "try", "alice", "--service", "sshd", "--", "sh", "-c", kit.WhichTmp)
		if seen == h.FileID("/tmp") {
			t.Error("the public /tmp")
		}
		host.Equal(h, "instances after it", len(kit.Settled(h, 0)), 0)
		kit.Without(h, "sshd")
		h.Match("a service without our line", h.MustRun("polyinst", "try", "alice", "--service", "sshd"), "(?m)^NOT ACTIVE: the session stack of \"sshd\" \\(/etc/pam.d/sshd\\) has no `session required pam_polyinst.so`: what follows holds once it has\nalice by sshd has /tmp of their own$")
		h.PAM("sshd", host.Stack(kit.Session)...)
		h.Match("with it", h.MustRun("polyinst", "try", "alice", "--service", "sshd"), "(?m)^[a-z].*\nalice by sshd has /tmp of their own$")
	})
}

// What root holds and types stays root's: the command has neither root's
// terminal, nor another descriptor, nor the keys, and who it leaves behind has
// nothing that root uses later.
func TestTryKeepsRootsTerminal(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		h.WriteFile("/etc/try.sh", `echo "inside: $(tty) $(ps -o tty= -p $$) $(readlink /proc/self/fd/* /proc/self/cwd | tr '\n' ' ')"
ls /proc/$PPID/fd >/dev/null 2>&1 && echo "inside: root's descriptors"
stty size
exec 3<&0
setsid sh -c 'echo $$ >/tmp/left; exec cat <&3 >/tmp/stolen' &
until [ -s /tmp/left ]; do :; done
`, 0o755)
		p := h.OnPty("sh", "-c", `cd /root; exec 7</dev/tty; stty rows 33 cols 77; before=$(stty -g); echo "outside: $(tty)"
polyinst try alice -- sh /etc/try.sh
[ "$before" = "$(stty -g)" ] && echo as before
read line; echo "root reads $line"`)
		outside := p.Expect(`outside: (\S+)`)[1]
		inside := p.Expect(`inside: (.*)\r`)[1]
		p.Expect(`\n33 77`)
		p.Expect(`as before`)
		for _, mine := range []string{outside + "\n", outside + " ", strings.TrimPrefix(outside, "/dev/") + " ", "/dev/tty", "/root"} {
			if strings.Contains(inside+"\n", mine) {
				t.Errorf("the command has %q of root's: %s", mine, inside)
			}
		}
		left := strings.TrimSpace(h.ReadFile(kit.Instance("alice") + "/left"))
		if held := h.Cmd("sh", "-c", "ls -l /proc/"+left+"/fd").Stdout; strings.Contains(held, outside) {
			t.Errorf("what the command left behind holds root's terminal:\n%s", held)
		}
		p.Send("secret\n")
		p.Expect(`root reads secret`)
		p.Wait()
		host.Equal(h, "stolen", h.ReadFile(kit.Instance("alice")+"/stolen"), "")
	})
}

// Keys in root's session keyring are not the command's.
func TestTryKeepsRootsKeys(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("calls keyctl(2) by its number")
	}
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.Need("perl")
		h.AddUser("alice")
		// KEYCTL_JOIN_SESSION_KEYRING; add_key(2) into KEY_SPEC_SESSION_KEYRING
		out := h.MustRun("perl", "-e", `syscall(250, 1, 0) > 0 && syscall(248, $t="user", $n="roots-key", $k="secret", 6, -3) > 0 or die "$!"; system("grep -c roots-key /proc/keys"); exec @ARGV`,
			"polyinst", "try", "alice", "--", "sh", "-c", "grep -c roots-key /proc/keys; true")
		host.Equal(h, "who sees the key", out, "1\n0")
	})
}

// Signals, terminal modes, sizes and exit status are as with a command that has
// the terminal itself; without a terminal, pipes carry everything.
func TestTryCopiesFaithfully(t *testing.T) {
	kit.Story(t, kit.OwnTmp, nil, func(h *host.Host) {
		h.AddUser("alice")
		for name, end := range map[string]struct {
			then string
			do   func(p *host.Process)
			code int
		}{
			"interrupt":    {"exec cat", func(p *host.Process) { p.Send("\x03") }, 130},
			"terminated":   {"exec cat", func(p *host.Process) { h.MustRun("sh", "-c", "kill $(cat /root/try.pid)") }, 143},
			"end of input": {"exec cat", func(p *host.Process) { p.Send("a line\n\x04") }, 0},
			"another window": {`trap \"stty size\" WINCH; sleep 1000 & while :; do wait; done`, func(p *host.Process) {
				h.Sh("stty -F $(cat /root/tty) rows 40 cols 90")
				p.Expect("40 90")
				p.Send("\x1c")
			}, 131},
		} {
			p := h.OnPty("sh", "-c", `tty >/root/tty; before=$(stty -g)
sh -c 'echo $$ >/root/try.pid; exec polyinst try alice -- sh -c "echo ready; `+end.then+`"'
echo "over $?"
[ "$before" = "$(stty -g)" ] && echo as before`)
			p.Expect("ready")
			end.do(p)
			if end.code != 0 {
				p.Expect(fmt.Sprintf(`the command ended with %d`, end.code))
			} else {
				p.Expect("a line\r\na line")
			}
			p.Expect("as before")
			if t.Failed() {
				t.Fatal(name)
			}
			p.Wait()
		}
		// one that will not end is killed by the second request
		p := h.OnPty("sh", "-c", `before=$(stty -g); sh -c 'echo $$ >/root/try.pid; exec polyinst try alice -- sh -c "trap \"echo not yet\" TERM; echo ready; while :; do read x; done"'
[ "$before" = "$(stty -g)" ] && echo as before`)
		p.Expect("ready")
		h.MustRun("sh", "-c", "kill $(cat /root/try.pid)")
		p.Expect("not yet")
		h.MustRun("sh", "-c", "kill $(cat /root/try.pid)")
		p.Expect("ended with 137")
		p.Expect("as before")
		p.Wait()

		host.Equal(h, "through pipes", h.Command("polyinst", "try", "alice", "--", "tr", "a-z", "A-Z").Stdin("words\n").Must(), "WORDS")
		host.Equal(h, "much", h.Sh("polyinst try alice -- head -c 3000000 /dev/zero </dev/null | wc -c"), "3000000")
		host.Equal(h, "nobody reads it", h.Sh("polyinst try alice -- sh -c 'yes; echo end >&2' </dev/null 2>&1 >/dev/full | tail -2"), "end\npolyinst: standard output: no space left on device")
		r := h.Cmd("polyinst", "try", "alice", "--", "sh", "-c", "sleep 1000 & echo out; echo err >&2; exit 3")
		host.Equal(h, "with one left behind", fmt.Sprint(r.Stdout, r.Code), "out\n1")
		h.Match("error output", r.Stderr, "^err\n")
		host.Equal(h, "what cannot be run", h.Cmd("polyinst", "try", "alice", "--", "/nothing/here").Code, 1)
	})
}
