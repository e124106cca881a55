package plan

import (
	"slices"
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
)

func list(entries ...string) config.UserList {
	var l config.UserList
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e, "@"); ok {
			l = append(l, config.User{Kind: config.GroupName, Name: name})
		} else {
			l = append(l, config.User{Kind: config.UserName, Name: e})
		}
	}
	return l
}

// Who is admitted when what is at fault; Who says the same in words.
func TestRescued(t *testing.T) {
	root, staff, nobody := list("root"), list("@staff"), config.UserList{}
	rootHerself := Subject{User: "root", Groups: map[string]Membership{"gone": NoSuchGroup}}
	conf := func(l config.UserList) *config.Config {
		return &config.Config{Namespace: config.Namespace{Rescue: l}}
	}
	enforcing := Security{Module: SELinux, Enforcing: true}
	for _, c := range []struct {
		name        string
		rescue      Rescue
		fault       Fault
		byContext   bool
		security    Security
		alice, root bool
	}{
		{"configuration", RescueOf(conf(list("root", "@staff")), config.Args{}), FaultConfig, false, Security{}, true, true},
		{"machine", RescueOf(conf(list("root", "@staff")), config.Args{}), FaultHost, false, Security{}, true, true},
		{"one's own", RescueOf(conf(list("root", "@staff", "alice")), config.Args{Rescue: staff}), FaultUser, false, Security{}, false, false},
		{"machine, the default list", RescueOf(conf(root), config.Args{}), FaultHost, false, Security{}, false, true},
		{"machine, rescue of nobody", RescueOf(conf(nobody), config.Args{}), FaultHost, false, Security{}, false, false},
		{"machine, by the PAM line", RescueOf(conf(nobody), config.Args{Rescue: staff}), FaultHost, false, Security{}, true, false},
		{"another group", RescueOf(conf(list("@wheel")), config.Args{}), FaultHost, false, Security{}, false, false},
		{"a group that is gone", RescueOf(conf(list("@gone")), config.Args{}), FaultHost, false, Security{}, false, false},

		{"broken, by its own table", RescueOfBroken(&staff, nil, config.Args{}), FaultConfig, false, Security{}, true, true},
		{"broken, its own table of nobody", RescueOfBroken(&nobody, &staff, config.Args{}), FaultConfig, false, Security{}, false, true},
		{"broken, by the accepted one", RescueOfBroken(nil, &staff, config.Args{}), FaultConfig, false, Security{}, true, true},
		{"broken, its own before the accepted one", RescueOfBroken(&root, &staff, config.Args{}), FaultConfig, false, Security{}, false, true},
		{"broken, no list", RescueOfBroken(nil, nil, config.Args{}), FaultConfig, false, Security{}, false, true},
		{"broken, by the PAM line", RescueOfBroken(nil, nil, config.Args{Rescue: staff}), FaultConfig, false, Security{}, true, true},

		{"by context, enforcing", RescueOf(conf(list("root", "@staff")), config.Args{}), FaultHost, true, enforcing, false, true},
		{"by context, not enforcing", RescueOf(conf(list("root", "@staff")), config.Args{}), FaultHost, true, Security{Module: SELinux}, true, true},
		{"enforcing, not by context", RescueOf(conf(list("root", "@staff")), config.Args{}), FaultHost, false, enforcing, true, true},
		{"broken, perhaps by context", RescueOfBroken(&staff, nil, config.Args{}), FaultConfig, true, enforcing, false, true},

		{"required", RescueOf(conf(list("root", "@staff")), config.Args{HasRequire: true}), FaultConfig, false, Security{}, false, true},
		{"required, broken", RescueOfBroken(&staff, nil, config.Args{HasRequire: true, Rescue: staff}), FaultConfig, false, Security{}, false, true},
		{"required, rescue of nobody", RescueOf(conf(nobody), config.Args{HasRequire: true}), FaultHost, false, Security{}, false, false},
	} {
		refusal := &Refusal{Fault: c.fault}
		if got := c.rescue.Admits(refusal, alice, c.byContext, c.security); got != c.alice {
			t.Errorf("%s: alice %v", c.name, got)
		}
		if got := c.rescue.Admits(refusal, rootHerself, c.byContext, c.security); got != c.root {
			t.Errorf("%s: root %v", c.name, got)
		}
		if c.fault == FaultUser {
			continue // Who is for what is no user's fault
		}
		var all config.UserList
		for _, l := range c.rescue.Who(c.byContext, c.security) {
			all = append(all, l.Users...)
		}
		for who, want := range map[*Subject]bool{&alice: c.alice, &rootHerself: c.root} {
			if by, _, _ := Listed(all, *who); (by != "") != want {
				t.Errorf("%s: Who names %s, and %s is admitted: %v", c.name, all, who.User, want)
			}
		}
	}
}

func TestRescueAsksForItsGroups(t *testing.T) {
	accepted := list("@b", "root")
	got := RescueOfBroken(nil, &accepted, config.Args{Rescue: list("@a", "@b")}).Groups()
	if !slices.Equal(got, []string{"a", "b"}) {
		t.Error(got)
	}
}

// require= refuses whoever does not get all of the paths, and says why.
func TestRequired(t *testing.T) {
	shm := "[[polydir]]\npath = \"/dev/shm\"\nmethod = \"tmpfs\"\n"
	for _, c := range []struct {
		name, conf, require string
		nested              config.Nested
		inside              bool
		want                string // empty: no refusal
	}{
		{"both", tmpUser + shm, "/tmp,/dev/shm", "", false, ""},
		{"with a slash at the end", tmpUser, "/tmp/", "", false, ""},
		{"nothing", tmpUser, "", "", false, ""},
		{"no such polydir", tmpUser, "/tmp,/dev/shm", "", false, `polydir "/dev/shm": require= on the PAM line: the configuration has no such polydir`},
		{"no polydir", "[namespace]\npolydirs = \"none\"\n", "/tmp", "", false, `polydir "/tmp": require= on the PAM line: the configuration has no such polydir`},
		{"exempt", tmpUser + "except = [\"alice\"]\n", "/tmp", "", false, `polydir "/tmp": require= on the PAM line: it does not apply: except lists "alice"`},
		{"not of the list", tmpUser + "only = [\"bob\"]\n", "/tmp", "", false, `polydir "/tmp": require= on the PAM line: it does not apply: the user is in no entry of only`},
		{"another service", tmpUser + "services = [\"login\"]\n", "/tmp", "", false, `polydir "/tmp": require= on the PAM line: it does not apply: service "sshd" is not among services = ["login"]`},
		{"the second of the two", tmpUser + "except = [\"alice\"]\n" + tmpUser + "only = [\"alice\"]\n", "/tmp", "", false, ""},
		{"with the IPC namespace", "[namespace]\nipc = \"private\"\n" + tmpUser, "/dev/shm", "", false, ""},
		{"by variable", strings.Replace(tmpUser, `"/tmp"`, `"$HOME/x"`, 1), "$HOME/x", "", false, ""},
		{"expanded", strings.Replace(tmpUser, `"/tmp"`, `"$HOME/x"`, 1), "/home/alice/x", "", false, ""},
		{"by variable, exempt", strings.Replace(tmpUser, `"/tmp"`, `"$HOME/x"`, 1) + "except = [\"alice\"]\n", "$HOME/x", "", false, `polydir "/home/alice/x": require= on the PAM line: it does not apply: except lists "alice"`},
		{"by variable, exempt from the path", strings.Replace(tmpUser, `"/tmp"`, `"/home/alice/x"`, 1) + "except = [\"alice\"]\n", "$HOME/x", "", false, `polydir "/home/alice/x": require= on the PAM line: it does not apply: except lists "alice"`},
		{"escape", tmpUser, "/tmp", "escape", true, `polydir "/tmp": require= on the PAM line: nested = "escape" leads to the host's view`},
		{"escape, where there is nothing to escape from", tmpUser, "/tmp", "escape", false, ""},
		{"replace", tmpUser, "/tmp", "replace", true, ""},
	} {
		var line []string
		if c.require != "" {
			line = []string{"require=" + c.require}
		}
		args, err := config.ParseArgs(line)
		if err != nil {
			t.Fatal(err)
		}
		s, r := Select(parse(t, c.conf), alice)
		if r != nil {
			t.Fatal(r)
		}
		got := ""
		if r := s.Required(args.Require, alice, c.nested, c.inside); r != nil {
			got = r.Error()
			if r.Fault != FaultConfig {
				t.Errorf("%s: fault %v", c.name, r.Fault)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestRequiredThatDoesNotExpand(t *testing.T) {
	homeless := alice
	homeless.Home = ""
	s, _ := Select(parse(t, tmpUser), homeless)
	if r := s.Required([]config.Template{"$HOME/x"}, homeless, "", false); r == nil || !strings.Contains(r.Error(), "require= on the PAM line: home directory: ") {
		t.Error(r)
	}
}

// In words, root stands once, and a list of which nobody counts not at all.
func TestRescueInWords(t *testing.T) {
	uid := func(low, high uint32) config.UserList {
		return config.UserList{{Kind: config.UIDRange, Min: low, Max: high}}
	}
	enforcing := Security{Enforcing: true}
	empty := config.UserList{}
	for _, c := range []struct {
		name      string
		rescue    Rescue
		byContext bool
		want      string
	}{
		{"machine", RescueOf(&config.Config{Namespace: config.Namespace{Rescue: list("root", "@wheel")}}, config.Args{}), false, "root,@wheel (rescue in [namespace])"},
		{"machine, enforcing", RescueOf(&config.Config{Namespace: config.Namespace{Rescue: list("root", "@wheel")}}, config.Args{}), true, "root (rescue in [namespace])"},
		{"machine, no list", RescueOf(&config.Config{}, config.Args{}), false, ""},
		{"machine, uid 0", RescueOf(&config.Config{Namespace: config.Namespace{Rescue: uid(0, 0)}}, config.Args{HasRequire: true}), false, "uid:0 (rescue in [namespace])"},
		{"machine, a range", RescueOf(&config.Config{Namespace: config.Namespace{Rescue: uid(0, 5)}}, config.Args{HasRequire: true}), false, ""},
		{"machine, another uid", RescueOf(&config.Config{Namespace: config.Namespace{Rescue: uid(1, 1)}}, config.Args{HasRequire: true}), false, ""},
		{"machine, a group root", RescueOf(&config.Config{Namespace: config.Namespace{Rescue: list("@root", "bob")}}, config.Args{HasRequire: true}), false, ""},
		{"broken", RescueOfBroken(nil, nil, config.Args{}), false, "root"},
		{"broken, an empty list", RescueOfBroken(&empty, nil, config.Args{}), false, "root"},
		{"broken, root listed", RescueOfBroken(nil, func() *config.UserList { l := list("root"); return &l }(), config.Args{}), false, "root"},
		{"broken, accepted and PAM line", RescueOfBroken(nil, func() *config.UserList { l := list("root", "@wheel"); return &l }(), config.Args{Rescue: list("bob")}), false,
			"root; @wheel (rescue in the last good configuration); bob (rescue= on the PAM line)"},
	} {
		var words []string
		for _, l := range c.rescue.Who(c.byContext, enforcing) {
			text := l.Users.String()
			if l.Where != "" {
				text += " (" + l.Where + ")"
			}
			words = append(words, text)
		}
		if got := strings.Join(words, "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if r := RescueOfBroken(&empty, nil, config.Args{}); len(r.Lists) != 0 {
		t.Errorf("an empty list counts: %v", r.Lists)
	}
}

// What check says of require= before anybody comes.
func TestRequireProblem(t *testing.T) {
	polydir := func(path, keys string) string {
		return "[[polydir]]\npath = \"" + path + "\"\nmethod = \"tmpfs\"\n" + keys + "\n"
	}
	const none, elsewhere = "the configuration has no such polydir", `services = ["login"] at namespace.conf:4:1 leaves this one out`
	for _, c := range []struct{ name, conf, path, all, some string }{
		{"given", polydir("/tmp", ""), "/tmp", "", ""},
		{"another", polydir("/srv", ""), "/tmp", none, ""},
		{"none", "[namespace]\npolydirs = \"none\"\nipc = \"private\"", "/dev/shm", none, ""},
		{"except", polydir("/tmp", `except = ["root"]`), "/tmp", "", `everybody whom except = "root" names`},
		{"only", polydir("/tmp", `only = ["bob", "@x"]`), "/tmp", "", `everybody whom only = "bob,@x" does not name`},
		{"another service", polydir("/tmp", `services = ["login"]`), "/tmp", elsewhere, ""},
		{"the service", polydir("/tmp", `services = ["login", "sshd"]`), "/tmp", "", ""},
		{"another service, and given", polydir("/tmp", `services = ["login"]`) + polydir("/tmp", `services = ["sshd"]`), "/tmp", "", ""},
		{"given, and another service", polydir("/tmp", `services = ["sshd"]`) + polydir("/tmp", `services = ["login"]`), "/tmp", "", ""},
		{"some, and another service", polydir("/tmp", "services = [\"sshd\"]\nonly = [\"bob\"]") + polydir("/tmp", `services = ["login"]`), "/tmp", "", `everybody whom only = "bob" does not name`},
		{"with the IPC namespace", "[namespace]\nipc = \"private\"\n" + polydir("/tmp", ""), "/dev/shm", "", ""},
		{"a shared IPC namespace", polydir("/tmp", ""), "/dev/shm", none, ""},
		{"with the IPC namespace, another", "[namespace]\nipc = \"private\"\n" + polydir("/tmp", ""), "/srv", none, ""},
	} {
		all, some := RequireProblem(parse(t, c.conf), config.Template(c.path), "sshd")
		if all != c.all || some != c.some {
			t.Errorf("%s: %q and %q, want %q and %q", c.name, all, some, c.all, c.some)
		}
	}
}

// What could not be looked at for a reason that a user can bring about makes a
// refusal theirs, whatever it is for.
func TestShort(t *testing.T) {
	for _, c := range []struct{ short, want Fault }{{FaultConfig, FaultHost}, {FaultAnyone, FaultAnyone}, {FaultUser, FaultUser}} {
		selection, r := Select(parse(t, tmpUser), alice)
		if r != nil {
			t.Fatal(r)
		}
		f := good()
		f.Parent.Exists, f.Parent.Problem, f.Short = false, "out of order", c.short
		if _, r = Decide(selection.Rules[0], alice, f, machine); r == nil || r.Fault != c.want {
			t.Errorf("short of %d: %+v, want fault %d", c.short, r, c.want)
		}
		f = good()
		f.Short = c.short
		if _, r = Decide(selection.Rules[0], alice, f, machine); r != nil {
			t.Errorf("short of %d, and nothing wrong: %v", c.short, r)
		}
	}
}
