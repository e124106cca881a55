package config

import (
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	alice := Vars{Home: "/home/alice//", User: "alice", UID: "1000"}
	for _, tc := range []struct {
		template Template
		vars     Vars
		want     string
		err      string
	}{
		{"/tmp", Vars{}, "/tmp", ""},
		{"$HOME", alice, "/home/alice", ""},
		{"$HOME/$USER.inst/", alice, "/home/alice/alice.inst/", ""},
		{"/s/$UID/$$USER/$USER$UID", alice, "/s/1000/$USER/alice1000", ""},
		{"/s/$USER", Vars{User: "$HOME"}, "/s/$HOME", ""},
		{"/s/$USER", Vars{User: "../x"}, "", `user name: "../x" holds a "/", want one path component`},
		{"/s/$USER", Vars{User: ".."}, "", `user name: ".." is no name`},
		{"/s/$USER", Vars{User: "."}, "", `user name: "." is no name`},
		{"/s/$USER", Vars{}, "", `user name: empty name`},
		{"/s/$USER", Vars{User: "a\x00b"}, "", `user name: "a\x00b" holds a control character`},
		{"/s/$UID", Vars{UID: "-1"}, "", `user id: "-1" is no number`},
		{"/s/$UID", Vars{}, "", `user id: "" is no number`},
		{"$HOME", Vars{Home: "home"}, "", `home directory: "home" is not absolute`},
		{"$HOME", Vars{Home: ""}, "", `home directory: "" is not absolute`},
		{"$HOME/x", Vars{Home: "/"}, "", `home directory: "/" is the root directory`},
		{"$HOME", Vars{Home: "//"}, "", `home directory: "//" is the root directory`},
		{"$HOME", Vars{Home: "/home/../etc"}, "", `home directory: component ".." in "/home/../etc"`},
		{"$HOME", Vars{Home: "/home//x"}, "", `home directory: "//" in "/home//x"`},
		{"$HOME", Vars{Home: "//x"}, "", `home directory: "//" in "//x"`},
		{"$HOME", Vars{Home: "/a\nb"}, "", `home directory: "/a\nb" holds a control character`},
		{"$HOME", Vars{Home: strings.Repeat("/x", 2048)}, "", "4096 bytes long after expansion, want at most 4095"},
		{"/$UID9", alice, "", `unknown variable "$UID9", want $HOME, $USER or $UID, did you mean "$UID"?`},
		{"/$USER", Vars{User: strings.Repeat("x", 255)}, "/" + strings.Repeat("x", 255), ""},
		{"/$USER", Vars{User: strings.Repeat("x", 256)}, "", "user name: 256 bytes long, want at most 255"},
		{"/$HOMEDIR", alice, "", `unknown variable "$HOMEDIR", want $HOME, $USER or $UID`},
	} {
		got, err := tc.template.Expand(tc.vars)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != tc.want || text != tc.err {
			t.Errorf("%q with %.40v: got %q, %q", tc.template, tc.vars, got, text)
		}
	}
}

func TestUses(t *testing.T) {
	for _, tc := range []struct {
		template Template
		name     string
		want     bool
	}{
		{"/s/$USER", "USER", true},
		{"/s/$USER", "UID", false},
		{"/s/$$USER", "USER", false},
		{"/s/$$$UID", "UID", true},
	} {
		if got := tc.template.Uses(tc.name); got != tc.want {
			t.Errorf("%q uses %q: got %v", tc.template, tc.name, got)
		}
	}
}

func TestParent(t *testing.T) {
	for in, want := range map[Template]Template{"/a/b/": "/a/b", "/a/b/x-": "/a/b", "$HOME/x": "$HOME", "": ""} {
		if got := in.Parent(); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
}

// An account of the system may have a home such as /bin.
func TestCheckPolydirPath(t *testing.T) {
	for _, p := range []string{"/", "/bin", "/usr/sbin", "/dev", "/proc/self", "/var/run"} {
		if CheckPolydirPath(p, MethodUser) == nil {
			t.Errorf("%q accepted", p)
		}
	}
	for _, p := range []string{"/tmp", "/dev/shm", "/usr/local/x", "/usrbin", "/library", "/process"} {
		if err := CheckPolydirPath(p, MethodUser); err != nil {
			t.Error(err)
		}
	}
}

func TestSuggest(t *testing.T) {
	words := []string{"method", "path", "except", "mode"}
	for found, want := range map[string]string{
		"methd": "method", "METHOD": "method", "excpet": "except", "pth": "path", "zebra": "", "": "", "mod": "mode",
		strings.Repeat("x", 10000): "",
	} {
		if got := Nearest(found, words); got != want {
			t.Errorf("%.20q: got %q, want %q", found, got, want)
		}
	}
}
