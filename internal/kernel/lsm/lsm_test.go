package lsm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
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

func TestRead(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	long := strings.Repeat("p", 3*4096)
	for name, c := range map[string]struct{ text, want string }{
		"apparmor": {"web (enforce)\n", "web (enforce)"},
		"selinux":  {"u:r:t:s0\x00", "u:r:t:s0"},
		"smack":    {"Secret", "Secret"},
		"long":     {long, long},
		"empty":    {"", ""},
	} {
		got, there, err := read(file(name, c.text))
		if got != c.want || !there || err != nil {
			t.Errorf("%s: %q %v %v", name, got, there, err)
		}
	}
	if _, there, err := read(dir + "/absent"); there || err != nil {
		t.Errorf("absent: %v %v", there, err)
	}
	if _, there, err := read(dir); there || err == nil {
		t.Errorf("a directory: %v %v", there, err)
	}
	if _, there, err := read(file("endless", strings.Repeat("p", answerMax+1))); there || err == nil {
		t.Errorf("endless: %v %v", there, err)
	}
}
