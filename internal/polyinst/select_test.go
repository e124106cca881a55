package polyinst

import (
	"fmt"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		name, keys string
		applies    bool
		why        string
	}{
		{"everybody", ``, true, "it applies to everybody"},
		{"except by name", `except = ["alice"]`, false, `except lists "alice"`},
		{"except another", `except = ["root"]`, true, "the user is in no entry of except"},
		{"except by group", `except = ["@staff"]`, false, `except lists "@staff"`},
		{"except a group that she is not in", `except = ["@wheel"]`, true, "the user is in no entry of except"},
		{"except a group that is gone", `except = ["@gone"]`, true, `the user is in no entry of except (there is no group "gone")`},
		{"except by range", `except = ["uid:1000-1001"]`, false, "except lists uid:1000-1001"},
		{"except the range beside", `except = ["uid:1002-2000"]`, true, "the user is in no entry of except"},
		{"only by name", `only = ["alice"]`, true, `only lists "alice"`},
		{"only another", `only = ["bob"]`, false, "the user is in no entry of only"},
		{"only a group that is gone", `only = ["@gone"]`, true, `only names the group "gone", which does not exist: the rule applies to everybody`},
		{"service", `services = ["login", "sshd"]`, true, "it applies to everybody"},
		{"another service", `services = ["login"]`, false, `service "sshd" is not among services = ["login"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := Select(parse(t, tmpUser+c.keys), alice)
			if r != nil {
				t.Fatal(r)
			}
			if v := s.Verdicts[0]; v.Applies != c.applies || v.Why != c.why || len(s.Rules) == 1 != c.applies {
				t.Errorf("applies %v because %q, %d rules", v.Applies, v.Why, len(s.Rules))
			}
		})
	}
}

func TestExemptionIsNotService(t *testing.T) {
	for keys, exempt := range map[string]bool{
		`except = ["alice"]`:   true,
		`only = ["bob"]`:       true,
		`services = ["login"]`: false,
		``:                     false, // it applies
	} {
		s, r := Select(parse(t, tmpUser+keys), alice)
		if r != nil || s.Exempt() != exempt {
			t.Errorf("%s: exempt %v, want %v (%v)", keys, s.Exempt(), exempt, r)
		}
	}
}

func TestOuterFirst(t *testing.T) {
	s, r := Select(parse(t, `
[[polydir]]
path = "/srv/a/b"
method = "tmpfs"
[[polydir]]
path = "/srv"
method = "tmpfs"
[[polydir]]
path = "/srv/a"
method = "tmpfs"
`), alice)
	if r != nil {
		t.Fatal(r)
	}
	var paths []string
	for _, rule := range s.Rules {
		paths = append(paths, rule.Path)
	}
	if got := strings.Join(paths, " "); got != "/srv /srv/a /srv/a/b" {
		t.Error(got)
	}
}

func TestTwoThatApplyToOnePath(t *testing.T) {
	_, r := Select(parse(t, tmpUser+"only = [\"@staff\"]\n"+tmpUser+"only = [\"alice\"]"), alice)
	if r == nil || r.Error() != `polydir "/tmp": two polydirs apply: namespace.conf:2 and namespace.conf:8` {
		t.Error(r)
	}
}

func TestKeptPolydir(t *testing.T) {
	conf := parse(t, tmpUser+"keep = [\"a\"]\n"+strings.NewReplacer(`/tmp"`, `/tmp/a"`, "/tmp/\"", "/tmp-a/\"").Replace(tmpUser))
	_, r := Select(conf, alice)
	if r == nil || r.Error() != `polydir "/tmp": keep "a": polydir "/tmp/a" covers it: remove one of the two` {
		t.Errorf("%v", r)
	}
}

func TestInstanceNames(t *testing.T) {
	long := strings.Repeat("x", 81)
	for _, c := range []struct {
		name, keys string
		user       string
		want       string
	}{
		{"plain", ``, "alice", "alice"},
		{"uid", `instance_name = "$UID"`, "alice", "1001"},
		{"80 bytes", ``, long[:80], long[:80]},
		// the peer's rule: 47 bytes, "_", MD5 of the whole
		{"81 bytes", ``, long, long[:47] + "_21360fb332fac3e20710495d135a23d4"},
		{"hashed", `hash_names = true`, "alice", "6384e2b2184bcbf58eccf10ca7a6563c"},
		{"domain", ``, `DOM\alice`, `DOM\alice`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := alice
			s.User, s.Typed = c.user, c.user
			selection, r := Select(parse(t, tmpUser+c.keys), s)
			if r != nil {
				t.Fatal(r)
			}
			names, r := InstanceNames(selection.Rules[0], s, machine)
			if r != nil || names.Own != c.want {
				t.Errorf("%q, want %q (%v)", names.Own, c.want, r)
			}
		})
	}
}

func TestUnusableUserNames(t *testing.T) {
	for name, want := range map[string]string{
		"..":        "is no name for a directory",
		"a/b":       `contains "/"`,
		"":          "is empty",
		"a\nb":      "contains a control character",
		".tmpdir.x": "begins with .tmpdir.",
		".new.bob":  "begins with .new.",
		".lock":     "begins with .lock",
	} {
		rule := Rule{Config: &parse(t, tmpUser).Polydirs[0], Path: "/tmp", Parent: "/p"}
		s := alice
		s.User = name
		_, r := InstanceNames(rule, s, machine)
		if r == nil || r.Fault != FaultUser || !strings.Contains(r.Error(), want) {
			t.Errorf("%q: %v, want %q", name, r, want)
		}
	}
}

// A colon stands in the names by context alone.
func TestColonInAUserName(t *testing.T) {
	rule := Rule{Config: &parse(t, tmpUser).Polydirs[0], Path: "/tmp", Parent: "/p"}
	s := alice
	s.User, s.Typed = "a:b", "a:b"
	if names, r := InstanceNames(rule, s, machine); r != nil || names.Own != "a:b" {
		t.Errorf("%v, %v", names, r)
	}
}

func TestOlderNameIsTheTypedOne(t *testing.T) {
	s := alice
	s.Typed = "Alice"
	rule := Rule{Config: &parse(t, tmpUser).Polydirs[0], Path: "/tmp", Parent: "/p"}
	names, r := InstanceNames(rule, s, machine)
	if r != nil || fmt.Sprint(names) != "{alice [Alice]}" {
		t.Error(names, r)
	}
}

func TestRescued(t *testing.T) {
	lists := parse(t, `[namespace]
rescue = ["root", "@staff"]`).Namespace.Rescue
	for _, c := range []struct {
		fault Fault
		want  bool
	}{{FaultConfig, true}, {FaultHost, true}, {FaultUser, false}} {
		if got := Rescued(&Refusal{Fault: c.fault}, alice, lists); got != c.want {
			t.Errorf("fault %v: rescued %v", c.fault, got)
		}
	}
	bob := Subject{User: "bob", UID: 1002, Groups: map[string]Membership{"staff": NotMember}}
	if Rescued(&Refusal{Fault: FaultHost}, bob, lists) {
		t.Error("bob is not of the rescue group")
	}
}

func TestDigest(t *testing.T) {
	digest := func(conf string, s Subject) string {
		c := parse(t, conf)
		selection, r := Select(c, s)
		if r != nil {
			t.Fatal(r)
		}
		return selection.Digest(c.Namespace, "")
	}
	base := digest(tmpUser, alice)
	if digest("\n# moved\n"+tmpUser+`except = ["root"]`, alice) != base {
		t.Error("places and lists of users are no part of what a session gets")
	}
	for _, other := range []string{
		tmpUser + `mount_options = ["noexec"]`,
		strings.Replace(tmpUser, "polyinst/tmp", "polyinst/tmq", 1),
		"[namespace]\npropagation = \"private\"\n" + tmpUser,
	} {
		if digest(other, alice) == base {
			t.Errorf("the same digest for %s", other)
		}
	}
}

func TestHomeThatIsNoPolydir(t *testing.T) {
	s := alice
	s.Home = "/bin"
	_, r := Select(parse(t, strings.Replace(tmpUser, `"/tmp"`, `"$HOME"`, 1)), s)
	if r == nil || r.Fault != FaultUser || !strings.Contains(r.Error(), "/bin") {
		t.Error(r)
	}
}

// The peer's names: <raw context>_<user>, and the context alone where shared.
func TestInstanceNamesByContext(t *testing.T) {
	m := selinux(session, "")
	for keys, want := range map[string]string{
		``:                       "{" + s2Label + "_alice [" + s2Label + "-s2_alice]}",
		`shared = true`:          "{" + s2Label + " [" + s2Label + "-s2]}",
		`instance_name = "$UID"`: "{" + s2Label + "_1001 [" + s2Label + "-s2_1001]}",
	} {
		rule := Rule{Config: &parse(t, tmpLevel+keys).Polydirs[0], Path: "/tmp", Parent: "/p"}
		names, r := InstanceNames(rule, alice, m, s2Label, s2Label+"-s2")
		if r != nil || fmt.Sprint(names) != want {
			t.Errorf("%s: %v, want %s (%v)", keys, names, want, r)
		}
	}
	// without a security module, a user's like any other
	rule := Rule{Config: &parse(t, tmpLevel+"shared = true\nwithout_context = \"user\"").Polydirs[0], Path: "/tmp", Parent: "/p"}
	if names, r := InstanceNames(rule, alice, machine); r != nil || names.Own != "alice" {
		t.Error(names, r)
	}
	// a vector that the peer made on a real host
	long := "system_u:object_r:tmp_t:s2:c1,c3,c5,c7,c9,c11,c13,c15,c17,c19,c21,c23,c25,c27"
	rule = Rule{Config: &parse(t, tmpLevel).Polydirs[0], Path: "/tmp", Parent: "/p"}
	if names, r := InstanceNames(rule, alice, m, long); r != nil || len(names.Own) != 80 || names.Own[:48] != long[:47]+"_" {
		t.Error(names, r)
	}
	rule.Config.HashNames = true
	names, _ := InstanceNames(rule, alice, m, "system_u:object_r:tmp_t:s2-s4:c1,c3")
	if names.Own != "584b7353f36c493d93362241677942e9" {
		t.Error(names)
	}
}

// A private IPC namespace brings its own /dev/shm, where the configuration says
// nothing else, and only to those who get anything.
func TestShmOfAPrivateIPCNamespace(t *testing.T) {
	tmp := "[[polydir]]\npath = '/tmp'\ninstance_prefix = '/i/'\nmethod = 'user'\nexcept = ['root']\n"
	shm := "[[polydir]]\npath = '/dev/shm'\nmethod = 'tmpfs'\nonly = ['bob']\n"
	for _, d := range []struct {
		name, conf string
		who        Subject
		want       string
	}{
		{"shared", tmp, Subject{User: "alice", UID: 1000}, "/tmp"},
		{"private", "[namespace]\nipc = 'private'\n" + tmp, Subject{User: "alice", UID: 1000}, "/tmp /dev/shm"},
		{"by unshare", "[namespace]\nunshare = ['ipc']\n" + tmp, Subject{User: "alice", UID: 1000}, "/tmp /dev/shm"},
		{"exempt", "[namespace]\nipc = 'private'\n" + tmp, Subject{User: "root"}, ""},
		{"named", "[namespace]\nipc = 'private'\n" + tmp + shm, Subject{User: "alice", UID: 1000}, "/tmp"},
	} {
		selection, r := Select(parse(t, d.conf), d.who)
		if r != nil {
			t.Fatal(d.name, r)
		}
		var paths []string
		for _, rule := range selection.Rules {
			paths = append(paths, rule.Path)
		}
		if got := strings.Join(paths, " "); got != d.want {
			t.Errorf("%s: %q, want %q", d.name, got, d.want)
		}
		for _, v := range selection.Verdicts {
			if v.Polydir.Pos.Line == 0 {
				t.Errorf("%s: the verdict on %s has no place", d.name, v.Path)
			}
		}
	}
}
