package plan

import (
	"crypto/md5"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
)

// aliceOf is alice where the group "unknown" cannot be looked up.
func aliceOf() Subject {
	s := alice
	s.Groups = maps.Clone(s.Groups)
	s.Groups["unknown"], s.Problem = Unknown, `group "unknown" cannot be looked up`
	return s
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		name, keys string
		applies    bool
		why        string
	}{
		{"everybody", ``, true, "it applies to everybody"},
		{"except by name", `except = ["alice"]`, false, `except lists "alice"`},
		{"only by pattern", `only = ["bob", "al*e"]`, true, `only lists "al*e"`},
		{"except by pattern", `except = ["*ice"]`, false, `except lists "*ice"`},
		{"except by another pattern", `except = ["al*ice*ice"]`, true, "the user is in no entry of except"},
		{"except another", `except = ["root"]`, true, "the user is in no entry of except"},
		{"except by group", `except = ["@staff"]`, false, `except lists "@staff"`},
		{"except a group that she is not in", `except = ["@wheel"]`, true, "the user is in no entry of except"},
		{"except a group that is gone", `except = ["@gone"]`, true, `the user is in no entry of except (there is no group "gone")`},
		{"except by range", `except = ["uid:1000-1001"]`, false, "except lists uid:1000-1001"},
		{"except the range beside", `except = ["uid:1002-2000"]`, true, "the user is in no entry of except"},
		{"only by name", `only = ["alice"]`, true, `only lists "alice"`},
		{"only another", `only = ["bob"]`, false, "the user is in no entry of only"},
		{"only a group that is gone", `only = ["@gone"]`, true, `only names the group "gone", which does not exist: the rule applies to everybody but root and the rescue list`},
		{"only a group that is gone, and her", `only = ["@gone", "alice"]`, true, `only lists "alice"`},
		{"service", `services = ["login", "sshd"]`, true, "it applies to everybody"},
		{"another service", `services = ["login"]`, false, `service "sshd" is not among services = ["login"]`},
		{"another service, and not excepted", "except = ['root']\nservices = ['login']", false, `service "sshd" is not among services = ["login"]`},
		{"another service, and excepted", "except = ['alice']\nservices = ['login']", false, `except lists "alice", and service "sshd" is not among services = ["login"]`},
		{"another service, and excepted by range", "except = ['uid:1000-1001']\nservices = ['login']", false, `except lists uid:1000-1001, and service "sshd" is not among services = ["login"]`},
		{"another service, and listed", "only = ['alice']\nservices = ['login']", false, `service "sshd" is not among services = ["login"]`},
		{"another service, and not listed", "only = ['bob']\nservices = ['login']", false, `the user is in no entry of only, and service "sshd" is not among services = ["login"]`},
		{"another service, and a group that is gone", "only = ['@gone']\nservices = ['login']", false, `service "sshd" is not among services = ["login"]`},
		{"another service, and a group that cannot be asked", "except = ['@unknown']\nservices = ['login']", false,
			`service "sshd" is not among services = ["login"] (except: group "unknown" cannot be looked up)`},
		{"another service, and excepted beside a group that cannot be asked", "except = ['@unknown', 'uid:1001']\nservices = ['login']", false,
			`except lists uid:1001-1001, and service "sshd" is not among services = ["login"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := Select(parse(t, tmpUser+c.keys), aliceOf())
			if r != nil {
				t.Fatal(r)
			}
			if v := s.Verdicts[0]; v.Applies != c.applies || v.Why != c.why || len(s.Rules) == 1 != c.applies {
				t.Errorf("applies %v because %q, %d rules", v.Applies, v.Why, len(s.Rules))
			}
		})
	}
}

// A group that does not exist makes nobody a subject of the rule who repairs the
// machine; everybody else is, with a warning.
func TestGroupThatIsGone(t *testing.T) {
	root := Subject{User: "root", Service: "sshd", Groups: alice.Groups}
	toor := Subject{User: "toor", Service: "sshd", Groups: alice.Groups}
	for _, c := range []struct {
		name, conf, method string
		who                Subject
		more               config.UserList // rescue= on the PAM line
		applies, lost      bool
	}{
		{"a user", "", "user", alice, nil, true, false},
		{"a user's tmpdir", "", "tmpdir", alice, nil, true, true},
		{"a user's tmpfs", "", "tmpfs", alice, nil, true, true},
		{"root", "", "tmpdir", root, nil, false, false},
		{"root by another name", "[namespace]\nrescue = []\n", "tmpdir", toor, nil, false, false},
		{"of the rescue list", "[namespace]\nrescue = [\"@staff\"]\n", "tmpdir", alice, nil, false, false},
		{"of rescue= on the PAM line", "", "tmpdir", alice, config.UserList{{Name: "alice"}}, false, false},
		{"of another list", "[namespace]\nrescue = [\"@wheel\"]\n", "tmpdir", alice, nil, true, true},
	} {
		table := strings.Replace(tmpUser, `"user"`, `"`+c.method+`"`, 1)
		if c.method == "tmpfs" {
			table = "[[polydir]]\npath = \"/tmp\"\nmethod = \"tmpfs\"\n"
		}
		conf := parse(t, c.conf+table+`only = ["@gone"]`)
		s, r := Select(conf, c.who, c.more)
		if r != nil || s.Verdicts[0].Applies != c.applies || len(s.Lost()) > 0 != c.lost {
			t.Errorf("%s: %+v, lost %q (%v)", c.name, s.Verdicts, s.Lost(), r)
		}
		if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0], `polydir "/tmp": only names the group "gone", which does not exist`) {
			t.Errorf("%s: warnings %q", c.name, w)
		}
	}
	s, r := Select(parse(t, strings.Replace(tmpUser, `"user"`, `"tmpdir"`, 1)+`only = ["@gone", "alice"]`), alice)
	if r != nil || len(s.Lost())+len(s.Warnings()) > 0 {
		t.Errorf("she is listed by name: %q %q (%v)", s.Lost(), s.Warnings(), r)
	}
}

func TestExemptionIsNotService(t *testing.T) {
	for keys, exempt := range map[string]bool{
		`except = ["alice"]`:   true,
		`only = ["bob"]`:       true,
		`services = ["login"]`: false,
		``:                     false, // it applies
		// the lists are judged first, and a lookup that fails exempts nobody
		"except = ['alice']\nservices = ['login']":               true,
		"except = ['root']\nservices = ['login']":                false,
		"only = ['bob']\nservices = ['login']":                   true,
		"only = ['@gone']\nservices = ['login']":                 false,
		"except = ['@unknown']\nservices = ['login']":            false,
		"only = ['@unknown']\nservices = ['login']":              false,
		"except = ['@unknown', 'alice']\nservices = ['login']":   true,
		"except = ['@unknown', 'uid:1001']\nservices = ['cron']": true,
	} {
		s, r := Select(parse(t, tmpUser+keys), aliceOf())
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
		// pam_namespace's rule: 47 bytes, "_", MD5 of the whole
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

func TestHostFault(t *testing.T) {
	for _, c := range []struct {
		limit, anyone bool
		want          Fault
	}{{false, false, FaultHost}, {true, false, FaultUser}, {false, true, FaultAnyone}, {true, true, FaultUser}} {
		if got := HostFault(errors.New("x"), c.limit, c.anyone).Fault; got != c.want {
			t.Errorf("limit %v, anyone %v: fault %v", c.limit, c.anyone, got)
		}
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

// pam_namespace's names: <raw context>_<user>, and the context alone where shared.
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
	// a vector that pam_namespace made on a real host
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

// What keep names, for one user: by $HOME wherever that lies.
func TestKeepNames(t *testing.T) {
	for _, c := range []struct{ entry, home, want string }{
		{".X11-unix", "/home/alice", "{.X11-unix false }"},
		{"systemd-private-*", "/home/alice", "{systemd-private-* false }"},
		{"$USER", "/home/alice", "{alice true }"},
		{"x-$UID", "/home/alice", "{x-1001 true }"},
		{"a/$USER", "/home/alice", "{a/alice true }"},
		{"a$$b", "/home/alice", "{a$b false }"},
		{"$HOME", "/home/alice/", "{alice true }"},
		{"$HOME", "/home/a/alice", "{a/alice true }"},
		{"$HOME/x", "/home/alice", "{alice/x true }"},
		{"$HOME", "/homes/alice", `{/homes/alice true does not lie below "/home": it is seen where it is}`},
		{"$HOME", "/home", `{/home true does not lie below "/home": it is seen where it is}`},
		{"$HOME", "", "home directory: "},
	} {
		conf := "[[polydir]]\npath = '/home'\nmethod = 'tmpfs'\nkeep = ['" + c.entry + "']\n"
		selection, r := Select(parse(t, conf), Subject{User: "alice", UID: 1001, Home: c.home})
		got := ""
		if r != nil {
			got = r.Reason
		} else {
			got = fmt.Sprint(selection.Rules[0].Keep[0])
		}
		if r == nil && got != c.want || r != nil && !strings.Contains(got, c.want) {
			t.Errorf("%s of %q: %s, want %s", c.entry, c.home, got, c.want)
		}
	}
	clash := "[[polydir]]\npath = '/home'\nmethod = 'tmpfs'\nkeep = ['$HOME']\n[[polydir]]\npath = '$HOME'\nmethod = 'tmpfs'\n"
	if _, r := Select(parse(t, clash), alice); r == nil || !strings.Contains(r.Reason, "covers it") {
		t.Error(r)
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

// What an instance is called for an account that has another name now.
func TestRenamed(t *testing.T) {
	long := strings.Repeat("x", 81)
	for _, c := range []struct{ keys, name, old, want string }{
		{``, "alice", "alice", "alicia"},
		{``, "alice2", "alice", ""},
		{``, "bob_alice", "alice", ""},
		{``, "6384e2b2184bcbf58eccf10ca7a6563c", "alice", "MD5"},
		{``, long[:47] + "_21360fb332fac3e20710495d135a23d4", long, "alicia"},
		{`instance_name = "$UID"`, "1001", "1001", "alicia"},
	} {
		rule := Rule{Config: &parse(t, tmpUser+c.keys).Polydirs[0], Path: "/tmp", Parent: "/p"}
		got, ok, r := Renamed(rule, c.name, c.old, "alicia")
		c.want = strings.Replace(c.want, "MD5", fmt.Sprintf("%x", md5.Sum([]byte("alicia"))), 1)
		if got != c.want || ok != (c.want != "") || r != nil {
			t.Errorf("%q of %q: %q %t %v, want %q", c.name, c.old, got, ok, r, c.want)
		}
	}
	rule := Rule{Config: &parse(t, tmpLevel).Polydirs[0], Path: "/tmp", Parent: "/p"}
	if got, ok, r := Renamed(rule, "u:r_x:tmp_t:s0_alice", "alice", "alicia"); got != "u:r_x:tmp_t:s0_alicia" || !ok || r != nil {
		t.Error(got, ok, r)
	}
	for _, bad := range []string{"", "..", "a/b", ".lock", ".new.x"} {
		if got, ok, r := Renamed(rule, "alice", "alice", bad); r == nil || ok {
			t.Errorf("%q: %q", bad, got)
		}
	}
}

func TestHashed(t *testing.T) {
	hash := "6384e2b2184bcbf58eccf10ca7a6563c"
	for name, want := range map[string]bool{
		hash: true, strings.Repeat("x", 47) + "_" + hash: true,
		"": false, "alice": false, hash[1:]: false, strings.Repeat("x", 46) + "_" + hash: false, hash + ".uid-1001": false,
		strings.Repeat("x", 48) + hash: false, strings.Repeat("g", 32): false,
	} {
		if Hashed(name) != want {
			t.Errorf("%q", name)
		}
	}
}
