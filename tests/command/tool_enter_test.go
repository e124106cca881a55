package command

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

func TestEnter(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		r := h.Cmd("polyinst", "enter", "alice", "--", "true")
		host.Equal(h, "nobody there: exit status", r.Code, 1)
		h.Match("it says", r.Stderr, `"alice" has no live private namespace`)

		a := h.Start("su", "alice", "-c", "echo mine > /tmp/mine; echo ready; cat")
		a.Expect("ready")
		pid := kit.List(h).Namespaces[0].PIDs[0]
		for _, whom := range []string{"alice", fmt.Sprint(pid)} {
			kit.InInstance(h, whom, "alice", h.MustRun("polyinst", "enter", whom, "--", "sh", "-c", kit.WhichTmp))
			host.Equal(h, "the namespace", h.MustRun("polyinst", "enter", whom, "--", "readlink", "/proc/self/ns/mnt"), h.MustRun("readlink", fmt.Sprintf("/proc/%d/ns/mnt", pid)))
		}
		host.Equal(h, "who, where", h.Command("polyinst", "enter", "alice", "--", "sh", "-c", "id -u; pwd").Dir("/tmp").Must(), "0\n/tmp")
		host.Equal(h, "the polydir itself", h.Command("polyinst", "enter", "alice", "--", "cat", "mine").Dir("/tmp").Must(), "mine")
		h.Mkdir("/tmp/below", 0o755, 0, 0)
		h.Mkdir(kit.Instance("alice")+"/below", 0o755, 0, 0)
		below := h.Command("polyinst", "enter", "alice", "--", "pwd").Dir("/tmp/below").Run()
		host.Equal(h, "a directory that is not there", below.Out(), kit.Nowhere)
		h.Match("told", below.Stderr, `^polyinst: the working directory "/tmp/below" was left: `)
		host.Equal(h, "elsewhere", h.Command("polyinst", "enter", "alice", "--", "pwd").Dir("/etc/pam.d").Must(), "/etc/pam.d")
		host.Equal(h, "exit status", h.Cmd("polyinst", "enter", "alice", "--", "sh", "-c", "exit 7").Code, 7)
		host.Equal(h, "a shell", h.Command("polyinst", "enter", "alice").Env("SHELL=/bin/sh").Stdin("cat /tmp/mine\n").Must(), "mine")
		host.Equal(h, "process 1", h.Cmd("polyinst", "enter", "1").Code, 1)
		host.Equal(h, "usage", h.Cmd("polyinst", "enter", "alice", "ls").Code, 2)

		// out again
		kit.InPublic(h, "real", h.MustRun("polyinst", "enter", "alice", "--", "polyinst", "real", "--", "sh", "-c", kit.WhichTmp))
		kit.InPublic(h, "real, from the host", h.MustRun("polyinst", "real", "--", "sh", "-c", kit.WhichTmp))
		host.Equal(h, "real: exit status", h.Cmd("polyinst", "real", "--", "sh", "-c", "exit 7").Code, 7)
		host.Equal(h, "real: usage", h.Cmd("polyinst", "real", "ls").Code, 2)
		a.Kill()
	})
}

// Sessions with different directories are not taken for one another.
func TestEnterOneOfSeveral(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		start := func() *host.Process {
			p := h.Start("su", "alice", "-c", "echo ready; cat")
			p.Expect("ready")
			return p
		}
		one, two := start(), start()
		kit.InInstance(h, "same directories", "alice", h.MustRun("polyinst", "enter", "alice", "--", "sh", "-c", kit.WhichTmp))
		h.Config(kit.Tmpdir)
		three := start()
		r := h.Cmd("polyinst", "enter", "alice", "--", "true")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("it says", r.Stderr, `alice has 3 sessions with different directories: name one by a process of it: \d+, \d+, \d+`)
		for _, p := range []*host.Process{one, two, three} {
			p.Kill()
		}
	})
}

// A namespace that is not what was recorded is not entered, and nothing of it is
// run.
func TestEnterVerifies(t *testing.T) {
	cases := map[string]struct{ change, says string }{
		"a polydir that shows another directory": {"mount -t tmpfs none /tmp", "a polydir does not show its instance any more"},
		"a polydir that shows the public one":    {"umount /tmp", "a polydir does not show its instance any more"},
		"another /etc":                           {"mount -t tmpfs none /etc", "its /etc is another directory"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
				h.AddUser("alice")
				a := h.Start("su", "alice", "-c", "echo ready; cat")
				a.Expect("ready")
				pid := fmt.Sprint(kit.List(h).Namespaces[0].PIDs[0])
				h.MustRun("polyinst", "enter", "alice", "--", "true")
				h.MustRun("nsenter", "-t", pid, "-m", "sh", "-c", c.change)
				r := h.Cmd("polyinst", "enter", "alice", "--", "touch", "/root/ran")
				host.Equal(h, "exit status", r.Code, 1)
				h.Match("it says", r.Stderr, `mnt:\[\d+\] is not entered: .*`+c.says)
				if h.Exists("/root/ran") {
					t.Error("the command ran")
				}
				a.Kill()
			})
		})
	}
}

// A user who puts their process into a user namespace of their own, with a record
// that would fit, is not followed.
func TestEnterFollowsNobodyIntoHisUserNamespace(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		trap := h.Start("su", "alice", "-c", "unshare -Urm sh -c 'echo pid $$; readlink /proc/self/ns/mnt; cat'")
		pid := trap.Expect(`pid (\d+)`)[1]
		id := trap.Expect(`mnt:\[(\d+)\]`)[1]
		n := kit.List(h).Namespaces[0]
		h.Match("not ours", h.Cmd("polyinst", "enter", pid, "--", "true").Stderr, "is in no namespace of ours")
		old := h.ReadFile(kit.RecordFile(h, n.Namespace))
		forged := strings.Replace(old, fmt.Sprint(n.Namespace), id, 1)
		forged = regexp.MustCompile(`"Ever":\d+,`).ReplaceAllString(strings.Replace(forged, `"Unique":true`, `"Unique":false`, 1), "")
		h.WriteFile("/run/polyinst/mnt."+id, forged, 0o600)
		r := h.Cmd("polyinst", "enter", pid, "--", "touch", "/root/ran")
		host.Equal(h, "exit status", r.Code, 1)
		h.Match("it says", r.Stderr, "belongs to another user namespace")
		if h.Exists("/root/ran") {
			t.Error("the command ran")
		}
		trap.Kill()
	})
}

// Of an account that is called like a number, it is not guessed what is meant.
func TestEnterByNumber(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		a := h.Start("su", "alice", "-c", "echo ready; cat")
		a.Expect("ready")
		pid := fmt.Sprint(kit.List(h).Namespaces[0].PIDs[0])
		for _, whom := range []string{"pid:" + pid, "uid:2001", pid} {
			kit.InInstance(h, whom, "alice", h.MustRun("polyinst", "enter", whom, "--", "sh", "-c", kit.WhichTmp))
		}
		for whom, says := range map[string]string{
			"pid:1":    "process 1 is in no namespace of ours",
			"uid:2002": `"uid:2002" has no live private namespace`,
		} {
			r := h.Cmd("polyinst", "enter", whom, "--", "true")
			host.Equal(h, whom, r.Code, 1)
			h.Match(whom, r.Stderr, says)
		}
		for _, whom := range []string{"pid:alice", "uid:", "uid:-1"} {
			host.Equal(h, whom, h.Cmd("polyinst", "enter", whom, "--", "true").Code, 2)
		}
		h.MustRun("sh", "-c", fmt.Sprintf("echo %s:x:2002:2002::/:/bin/sh >>/etc/passwd", pid))
		r := h.Cmd("polyinst", "enter", pid, "--", "true")
		host.Equal(h, "an account and a process", r.Code, 1)
		h.Match("an account and a process", r.Stderr, pid+" is an account and a process: say uid:2002 or pid:"+pid)
		b := h.Start("su", pid, "-c", "echo ready; cat")
		b.Expect("ready")
		a.Kill()
		h.MustRun("polyinst", "enter", "uid:2002", "--", "true")
		h.MustRun("polyinst", "enter", pid, "--", "true") // no process by now
		b.Kill()
	})
}
