package lsm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseProfile(t *testing.T) {
	for text, want := range map[string]Profile{
		"unconfined":                             {Name: "unconfined"},
		"poly-strict (enforce)":                  {"poly-strict", "enforce"},
		"/usr/sbin/sshd//alice (complain)":       {"/usr/sbin/sshd//alice", "complain"},
		"name with space (enforce)":              {"name with space", "enforce"},
		"like (this) (enforce)":                  {"like (this)", "enforce"},
		"poly-strict//&unconfined (enforce)":     {"poly-strict//&unconfined", "enforce"},
		"a//&b (mixed)":                          {"a//&b", "mixed"},
		"chrome (unconfined)":                    {"chrome", "unconfined"},
		"ends with a parenthesis) (enforce)":     {"ends with a parenthesis)", "enforce"},
		"unconfined (but not as the kernel says": {Name: "unconfined (but not as the kernel says"},
	} {
		if got := parseProfile(text); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestConfined(t *testing.T) {
	for _, c := range []struct {
		p                  Profile
		confined, enforced bool
	}{
		{Profile{}, false, false},
		{Profile{"unconfined", ""}, false, false},
		{Profile{"a", "enforce"}, true, true},
		{Profile{"a", "kill"}, true, true},
		{Profile{"a//&b", "mixed"}, true, true},
		{Profile{"a", "complain"}, true, false},
		{Profile{"a", "unconfined"}, true, false},
	} {
		if c.p.Confined() != c.confined || c.p.Enforced() != c.enforced {
			t.Errorf("%q: confined %v, enforced %v", c.p, c.p.Confined(), c.p.Enforced())
		}
	}
}

// What a thread says is read by its directory, whichever process it is; of no thread
// nothing is known, and that is an error.
func TestAttribute(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "attr"), 0o700); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	thread := Of(fd)
	file := func(name, text string) string {
		if err := os.WriteFile(filepath.Join(dir, "attr", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	long := strings.Repeat("p", 3*4096)
	for name, c := range map[string]struct{ text, want string }{
		"apparmor": {"web (enforce)\n", "web (enforce)"},
		"selinux":  {"u:r:t:s0\x00", "u:r:t:s0"},
		"smack":    {"Secret", "Secret"},
		"long":     {long, long},
		"empty":    {"", ""},
	} {
		got, there, err := thread.Attribute(file(name, c.text))
		if got != c.want || !there || err != nil {
			t.Errorf("%s: %q %v %v", name, got, there, err)
		}
	}
	if _, there, err := thread.Attribute("absent"); there || err != nil {
		t.Errorf("absent: %v %v", there, err)
	}
	if _, there, err := thread.Attribute("."); there || err == nil {
		t.Errorf("a directory: %v %v", there, err)
	}
	if _, there, err := thread.Attribute(file("endless", strings.Repeat("p", answerMax+1))); there || err == nil {
		t.Errorf("endless: %v %v", there, err)
	}
	_ = unix.Close(fd)
	for what, none := range map[string]Thread{"one that is not open any more": thread, "the zero one": {}, "none": Of(-1)} {
		if _, there, err := none.Attribute("apparmor"); there || err == nil {
			t.Errorf("%s: %v %v", what, there, err)
		}
	}
}
