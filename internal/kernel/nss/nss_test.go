package nss

import (
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"": "passwd files:S | group files:S | initgroups files:",
		"passwd: files systemd\ngroup:\tfiles   sss # not: ldap\n":                    "passwd files:S systemd:S | group files:S sss:S | initgroups files: sss:",
		"# passwd: ldap\n passwd : files[NOTFOUND=return]sss\n":                       "passwd files:NS sss:S | group files:S | initgroups files:",
		"group: files [SUCCESS=merge] sss [!success=RETURN]\n":                        "passwd files:S | group files: sss:NSTU | initgroups files: sss:NTU",
		"group: files sss\ninitgroups: files [SUCCESS=continue UNAVAIL=return] sss\n": "passwd files:S | group files:S sss:S | initgroups files:U sss:S",
		"passwd: ldap\npasswd: files\ninitgroups: sss\n":                              "passwd files:S | group files:S | initgroups sss:S",
		"passwd:\n": "passwd | group files:S | initgroups files:",
	} {
		var got []string
		for _, database := range []string{"passwd", "group", "initgroups"} {
			list, err := parse(text, database)
			if err != nil {
				t.Errorf("%q: %v", text, err)
			}
			words := []string{database}
			for _, s := range list {
				var ends []string
				for status, end := range s.ends {
					if end {
						ends = append(ends, status.String()[:1])
					}
				}
				slices.Sort(ends)
				words = append(words, s.name+":"+strings.Join(ends, ""))
			}
			got = append(got, strings.Join(words, " "))
		}
		if g := strings.Join(got, " | "); g != want {
			t.Errorf("%q:\n got %s\nwant %s", text, g, want)
		}
	}
	for _, text := range []string{"passwd: [NOTFOUND=return] files", "passwd: files [NOTFOUND=return", "passwd: files [NOSUCH=return]", "passwd: files [NOTFOUND=maybe]", "passwd: files [NOTFOUND]"} {
		if list, err := parse(text, "passwd"); err == nil {
			t.Errorf("%q is read as %v", text, list)
		}
	}
}

// That there is none is known where all say so; a module that is not installed
// counts in a login as one that says so, and never where data hangs on it.
func TestFound(t *testing.T) {
	yes, no := Answer{Source: "a", Status: Success}, Answer{Source: "b", Status: NotFound, Errno: syscall.ENOENT}
	absent := Answer{Source: "d", Status: Unavailable, Absent: true, Why: "no file"}
	type result struct{ login, strict string }
	check := func(want result, answers ...Answer) {
		t.Helper()
		got := result{}
		for strict, into := range map[bool]*string{false: &got.login, true: &got.strict} {
			there, err := found(answers, nil, strict)
			*into = fmt.Sprint(there, err != nil)
		}
		if got != want {
			t.Errorf("%v: %+v, want %+v", answers, got, want)
		}
	}
	const there, none, unknown = "true false", "false false", "false true"
	check(result{none, none}, no)
	check(result{none, none}, no, no)
	check(result{there, there}, no, yes)
	check(result{there, there}, absent, yes)
	check(result{none, unknown}, no, absent)
	for _, status := range []Status{Unavailable, TryAgain, 5} {
		for _, errno := range []syscall.Errno{0, syscall.ENOENT, syscall.ECONNREFUSED, syscall.EAGAIN, syscall.ESRCH} {
			down := Answer{Source: "c", Status: status, Errno: errno}.settled()
			check(result{unknown, unknown}, no, down)
			check(result{unknown, unknown}, down, no)
			check(result{there, there}, down, yes)
		}
	}
	if a := (Answer{Source: "systemd", Status: Unavailable, Errno: syscall.ESRCH}).settled(); a.Status != NotFound {
		t.Errorf("systemd's own answer for no entry: %v", a)
	}
}

// The functions of the sources are called as they are declared.
func TestFiles(t *testing.T) {
	files := load("files")
	for name, want := range map[string]Status{"root": Success, "no-such-account": NotFound, "": NotFound} {
		for _, function := range []string{"getpwnam_r", "getgrnam_r"} {
			if a, ok := filesByName(function, name); !ok || a.Status != want {
				t.Errorf("%s of %q, read here: %v", function, name, a)
			}
		}
		if a := files.byName("getpwnam_r", name); a.Status != want {
			t.Errorf("user %q: %v", name, a)
		}
		if a := files.byName("getgrnam_r", name); a.Status != want {
			t.Errorf("group %q: %v", name, a)
		}
	}
	for id, want := range map[uint32]Status{0: Success, 4123456789: NotFound} {
		if a := filesByID(id); a.Status != want {
			t.Errorf("uid %d, read here: %v", id, a)
		}
		if a := files.byID("getpwuid_r", id); a.Status != want {
			t.Errorf("uid %d: %v", id, a)
		}
	}
	if a := inFile("/etc/no-such-file", func([]string) bool { return true }); a.Status != Unavailable || a.Errno != syscall.ENOENT {
		t.Errorf("a file that is not there: %v", a)
	}
	if _, a := filesGroupsOf("no-such-account"); a.Status != NotFound {
		t.Errorf("groups of nobody: %v", a)
	}
	// as each of a machine's members says
	text, err := os.ReadFile("/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 4 || f[3] == "" {
			continue
		}
		who := strings.Split(f[3], ",")[0]
		direct, a := files.groupsOf(who, 4123456789)
		every, b := files.everyGroupOf(who)
		if own, c := filesGroupsOf(who); !slices.Equal(direct, own) || c.Status != Success {
			t.Errorf("groups of %s: %v, read here: %v %v", who, direct, own, c)
		}
		if a.Status != Success || b.Status != Success || !slices.Equal(direct, every) || !slices.Contains(strings.Split(fmt.Sprint(direct), " "), f[2]) && !strings.Contains(fmt.Sprint(direct), f[2]) {
			t.Errorf("groups of %s: %v %v, %v %v, want %s among them", who, direct, a, every, b, f[2])
		}
	}
	if a := files.byName("getnosuch_r", "x"); a.Status != Unavailable || a.Absent {
		t.Errorf("a function that is not there: %v", a)
	}
}

func TestModuleThatIsNotInstalled(t *testing.T) {
	m := load("no-such-source")
	a := m.byName("getpwnam_r", "root")
	if !a.Absent || a.Status != Unavailable || !strings.Contains(a.String(), `source "no-such-source"`) {
		t.Errorf("%+v", a)
	}
	if load("../../tmp/x").absent {
		t.Error("a name with a slash counts as a module that is not there")
	}
}

func TestUserAndMemberships(t *testing.T) {
	u, err := User("root")
	if err != nil || u.Uid != "0" {
		t.Fatal(u, err)
	}
	own, err := Memberships(u)
	if err != nil || !own["0"] {
		t.Error(own, err)
	}
	if _, err := User("no-such-account"); err != nil && !IsUnknown(err) {
		t.Skip("this machine's directory cannot be asked: ", err)
	}
	if _, err := Group("no-such-group"); !IsUnknown(err) {
		t.Error(err)
	}
	var unknown error = user.UnknownUserError("x")
	if !IsUnknown(fmt.Errorf("x: %w", unknown)) || IsUnknown(nil) || IsUnknown(syscall.ENOENT) {
		t.Error("IsUnknown")
	}
}
