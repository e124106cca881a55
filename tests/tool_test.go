package tests

import (
	"testing"

	"pam_polyinst/tests/host"
)

func TestCheck(t *testing.T) {
	story(t, ownTmp, nil, func(h *host.Host) {
		host.Equal(h, "a good file", h.Cmd("polyinst", "check").Code, 0)
		h.WriteFile("/root/bad.conf", ownTmp+"colour = 'red'\nshape = 'round'\n")
		r := h.Cmd("polyinst", "check", "/root/bad.conf")
		host.Equal(h, "a bad file", r.Code, 1)
		h.Match("the problems", r.Stderr, `(?s)^/root/bad\.conf:7:1: .*colour.*\n/root/bad\.conf:8:1: .*shape`)
		host.Equal(h, "its standard output", r.Stdout, "")
	})
}

func TestPrepare(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.MustRun("rm", "-r", host.Parents)
		h.MustRun("polyinst", "prepare")
		mode, uid, gid := h.Mode(parent)
		host.Equal(h, "mode, owner, group", [3]int{int(mode), uid, gid}, [3]int{0, 0, 0})
		inInstance(h, "then", "alice", h.MustRun("su", "alice", "-c", place))
		h.MustRun("polyinst", "prepare") // once more changes nothing
		inInstance(h, "and again", "alice", h.MustRun("su", "alice", "-c", place))
	})
}

// The example that the administrator copies works as it is.
func TestExampleFile(t *testing.T) {
	story(t, ownTmp, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Config(h.ReadFile(h.Source("namespace.conf.example")))
		h.MustRun("polyinst", "check")
		h.MustRun("polyinst", "prepare")
		seen := h.MustRun("su", "alice", "-c", "for d in /tmp /var/tmp /dev/shm; do touch $d/mine && stat -c %n $d/mine; done")
		host.Equal(h, "alice's files", seen, "/tmp/mine\n/var/tmp/mine\n/dev/shm/mine")
		for _, d := range []string{"/tmp", "/var/tmp", "/dev/shm"} {
			if h.Exists(d + "/mine") {
				t.Errorf("alice's file is in the public %s", d)
			}
		}
	})
}
