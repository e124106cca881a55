package nss

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// An instance is an orphan only where each source says that there is no such account,
// and libc as well: nobody's files go with a directory that is down (I-13).
func TestGone(t *testing.T) {
	none, down, absent := Answer{Source: "files", Status: NotFound}, Answer{Source: "ldap", Status: Unavailable, Errno: syscall.ECONNREFUSED}, Answer{Source: "sss", Status: Unavailable, Absent: true, Why: "no file"}
	there := Answer{Source: "ldap", Status: Success}
	unknown, failed := user.UnknownUserError("x"), syscall.EIO
	for what, c := range map[string]struct {
		answers  []Answer
		err      error
		libc     error
		gone     bool
		mentions string // in the error
	}{
		"all say so":                       {answers: []Answer{none, none}, libc: unknown, gone: true},
		"one is down":                      {answers: []Answer{none, down}, libc: unknown, mentions: `source "ldap" of /etc/nsswitch.conf answers UNAVAIL (connection refused)`},
		"one is not installed":             {answers: []Answer{none, absent}, libc: unknown, mentions: `source "sss" of /etc/nsswitch.conf cannot be asked: no file`},
		"one that libc does not come to":   {answers: []Answer{none, there}, libc: unknown},
		"it is there, and another is down": {answers: []Answer{down, there}, libc: unknown},
		"libc has failed":                  {answers: []Answer{none}, libc: failed, mentions: "input/output error"},
		"nobody could be asked":            {err: errors.New("half written"), libc: unknown, mentions: "half written"},
	} {
		gone, err := gone(c.answers, c.err, c.libc)
		if gone != c.gone || (err == nil) != (c.mentions == "") || err != nil && !strings.Contains(err.Error(), c.mentions) {
			t.Errorf("%s: %v, %v, want %v, %q", what, gone, err, c.gone, c.mentions)
		}
	}
}

// What libc does not find is believed only where the sources say so themselves.
func TestLookup(t *testing.T) {
	none, down, there := Answer{Source: "files", Status: NotFound}, Answer{Source: "ldap", Status: TryAgain}, Answer{Source: "ldap", Status: Success}
	unknown := user.UnknownUserError("x")
	for what, c := range map[string]struct {
		libc []error // of one call and the next
		says Answer
		want string // "": found
	}{
		"it is there":                           {[]error{nil}, down, ""},
		"there is none":                         {[]error{unknown}, none, "user: unknown user x"},
		"it cannot be known":                    {[]error{unknown}, down, `source "ldap" of /etc/nsswitch.conf answers TRYAGAIN`},
		"libc fails, and a source is down":      {[]error{syscall.EIO}, down, `source "ldap" of /etc/nsswitch.conf answers TRYAGAIN`},
		"libc fails, and there is none":         {[]error{syscall.EIO}, none, "input/output error"},
		"it has come into being":                {[]error{unknown, nil}, there, ""},
		"a source knows it, and libc never":     {[]error{unknown, unknown}, there, "libc does not find it, and a source of /etc/nsswitch.conf does (is an old answer in the cache of nscd?)"},
		"a source knows it, and libc fails now": {[]error{unknown, syscall.EIO}, there, "input/output error"},
	} {
		calls := 0
		_, err := lookup(func() (int, error) { calls++; return 0, c.libc[calls-1] }, IsUnknown, func() ([]Answer, error) { return []Answer{c.says}, nil })
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != c.want || calls != len(c.libc) {
			t.Errorf("%s: %q after %d calls, want %q after %d", what, got, calls, c.want, len(c.libc))
		}
		if IsUnknown(err) != (what == "there is none") {
			t.Errorf("%s: the account is unknown: %v", what, IsUnknown(err))
		}
	}
}

// passwd(5) and group(5) as they are read where libc keeps "files" to itself.
func TestInFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passwd")
	text := "root:x:0:0:root:/root:/bin/sh\n# alice:x:1:1\nshort:x:7\n:x:8:8\n  bob:x:1002:1002::/home/bob:/bin/sh  \n\nlast:x:9:9:"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Status{"root": Success, "bob": Success, "last": Success, "alice": NotFound, "short": NotFound, "x": NotFound} {
		if a := inFile(path, func(f []string) bool { return f[0] == name }); a.Status != want || a.Source != "files" {
			t.Errorf("%q: %v, want %v", name, a, want)
		}
	}
}

// sssd has no configuration only where that is sure.
func TestIdle(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.MkdirAll(filepath.Join(full, "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]bool{ // missing, empty
		filepath.Join(dir, "none"):       {true, true},
		full:                             {false, false},
		filepath.Join(full, "x"):         {false, true},
		link:                             {false, true}, // something is there, and it is no directory with files
		"/proc/self/status":              {false, false},
		filepath.Join(full, "none", "x"): {true, true},
		"/proc/self/status/x":            {false, false}, // ENOTDIR: nothing is sure
	} {
		if got := [2]bool{missing(path), empty(path)}; got != want {
			t.Errorf("%s: missing, empty: %v, want %v", path, got, want)
		}
	}
}

// Whatever stands in nsswitch.conf, a list has no source without a name, and each
// source ends the search or does not.
func FuzzSources(f *testing.F) {
	f.Add("passwd: files [NOTFOUND=return] sss [!SUCCESS=continue]\n", "passwd")
	f.Add("group:files[ ]ldap # x\ninitgroups : [", "initgroups")
	f.Fuzz(func(t *testing.T, text, database string) {
		list, err := parse(text, database)
		if err != nil && list != nil {
			t.Errorf("%v, and %v", err, list)
		}
		for _, s := range list {
			if s.name == "" || strings.ContainsAny(s.name, " \t\n[") {
				t.Errorf("%q: %q is a source", text, s.name)
			}
			for status := range s.ends {
				if strings.HasPrefix(status.String(), "status ") {
					t.Errorf("%q: %v", text, status)
				}
			}
		}
	})
}
