package program

import (
	"os/exec"
	"os/user"
	"testing"
)

// The exit status is the program's, and 128 and the signal where one ended it.
func TestStatus(t *testing.T) {
	for script, want := range map[string]int{"exit 0": 0, "exit 3": 3, "exit 255": 255, "kill -9 $$": 128 + 9, "kill -15 $$": 128 + 15} {
		cmd := exec.Command("/bin/sh", "-c", script)
		_ = cmd.Run()
		if got := status(cmd.ProcessState); got != want {
			t.Errorf("%s: %d, want %d", script, got, want)
		}
	}
}

// A program runs with the groups of its account, or not at all.
func TestCredentialOf(t *testing.T) {
	root, err := user.LookupId("0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := credentialOf(root)
	if err != nil || c.Uid != 0 || c.Gid != 0 || len(c.Groups) == 0 || c.NoSetGroups {
		t.Errorf("%+v, %v", c, err)
	}
	for _, bad := range []user.User{{Uid: "-1", Gid: "0", Username: "root"}, {Uid: "0", Gid: "4294967296", Username: "root"}, {Uid: "", Gid: "0", Username: "root"}} {
		if c, err := credentialOf(&bad); err == nil {
			t.Errorf("%+v: %+v", bad, c)
		}
	}
}
