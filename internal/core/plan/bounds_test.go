package plan

import (
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
)

// Bounds and conditions that no other test of the core notices. Each row is
// a decision; want is a part of the refusal, or empty.
func TestDecideBounds(t *testing.T) {
	parentAny := machine
	parentAny.ParentModeAny = true
	swaps := func(f Facts, s ...Swap) Facts {
		f.Polydir.Swaps = s
		return f
	}
	ours, theirs := Swap{Dir: "/home/alice", UID: 1001}, Swap{Dir: "/home/bob", UID: 1002}
	oursAndOthers := Swap{Dir: "/home/alice", Reason: "mode 0777", UID: 1001, Others: true}
	tmpfs := "[[polydir]]\npath = \"/dev/shm\"\nmethod = \"tmpfs\"\n"
	for _, c := range []struct {
		name  string
		conf  string
		m     Machine
		facts func() Facts
		want  string
		fault Fault
	}{
		{"a problem that no user brought about", tmpUser, machine, func() Facts {
			f := swaps(good(), Swap{Dir: "/srv", Others: true})
			f.Polydir.Problem = "is a FIFO"
			return f
		}, "is a FIFO", FaultHost},
		{"a problem that another user may have brought about", tmpUser, machine, func() Facts {
			f := swaps(good(), theirs)
			f.Polydir.Problem = "is a FIFO"
			return f
		}, "is a FIFO", FaultUser},
		{"a problem that may be", tmpUser, machine, func() Facts {
			f := swaps(good(), ours)
			f.Polydir.Problem = "is a FIFO"
			return f
		}, "is a FIFO", FaultUser},
		{"others can rename it in the home", tmpUser, machine, func() Facts { return swaps(good(), oursAndOthers) }, "others can rename it", FaultUser},
		{"made by another in a sticky directory", tmpUser, machine, func() Facts {
			return swaps(good(), Swap{Dir: "/scratch", Reason: "mode 1777", UID: 1002, Entry: true})
		}, `uid 1002 made what stands in its place, in "/scratch"`, FaultUser},
		{"one's own in a sticky directory", tmpUser, machine, func() Facts {
			return swaps(good(), Swap{Dir: "/scratch", Reason: "mode 1777", UID: 1001, Entry: true})
		}, "", 0},
		{"missing, in the home", tmpUser, machine, func() Facts {
			f := swaps(good(), ours)
			f.Polydir.Exists = false
			return f
		}, "does not exist", FaultUser},
		{"open to all, the user's own", tmpUser, machine, func() Facts {
			f := instanceOf(Owner{1001, 1001, 0o777})
			f.Polydir.Owner = Owner{1001, 1001, 0o777}
			return f
		}, "", 0},
		{"parent: others can rename it", home, machine, func() Facts {
			f := inHome(good())
			f.Parent.Swaps = []Swap{oursAndOthers}
			return f
		}, "others can rename it in", FaultUser},
		{"parent: another user can", home, machine, func() Facts {
			f := inHome(good())
			f.Parent.Swaps = []Swap{theirs}
			return f
		}, "others can rename it in", FaultUser},
		{"parent: on a network filesystem, allowed, in a place of users", tmpUser + "allow_network_fs = true\nparent_in_unsafe_dir = true", machine, func() Facts {
			f := good()
			f.Parent.Foreign, f.Parent.Exposed, f.ParentFS = "on nfs", "/srv/nfs", "nfs"
			return f
		}, "the way to it is on nfs, and users can create names", FaultHost},
		{"parent: behind a network filesystem", tmpUser, machine, func() Facts {
			f := good()
			f.Parent.Foreign = "on nfs"
			return f
		}, "the way to it is on nfs: that needs allow_network_fs", FaultHost},
		{"parent: a problem", tmpUser, machine, func() Facts {
			f := good()
			f.Parent.Problem = "is a link"
			return f
		}, "is a link", FaultHost},
		{"parent: the group can write, any mode", tmpUser + `parent_mode = "any"`, machine, func() Facts {
			f := good()
			f.Parent.Owner.Mode = 0o720
			return f
		}, "group or others can write", FaultHost},
		{"parent: others can write, any mode", tmpUser + `parent_mode = "any"`, machine, func() Facts {
			f := good()
			f.Parent.Owner.Mode = 0o702
			return f
		}, "group or others can write", FaultHost},
		{"parent: any mode, by the PAM line", tmpUser, parentAny, func() Facts {
			f := good()
			f.Parent.Owner.Mode = 0o755
			return f
		}, "", 0},
		{"parent: missing in a home, any mode", home + `parent_mode = "any"`, machine, func() Facts {
			f := inHome(good())
			f.Parent.Exists = false
			return f
		}, "", 0},
		{"parent: missing in a home, any mode by the PAM line", home + `parent_mode = "0711"`, parentAny, func() Facts {
			f := inHome(good())
			f.Parent.Exists = false
			return f
		}, "", 0},
		{"instance: made for this uid", tmpUser, machine, func() Facts {
			f := instanceOf(Owner{0, 0, 0o1777})
			f.Recorded, f.RecordedUID = true, 1001
			return f
		}, "", 0},
		{"instance: a problem", tmpUser, machine, func() Facts {
			f := good()
			f.Instance.Problem = "its lock: no"
			return f
		}, "its lock: no", FaultUser},
		{"tmpdir: the name is taken", strings.Replace(tmpUser, `"user"`, `"tmpdir"`, 1), machine,
			func() Facts { return instanceOf(Owner{0, 0, 0o1777}) }, "exists already", FaultUser},
		{"no label is wanted", tmpUser, machine, func() Facts {
			f := instanceOf(Owner{0, 0, 0o1777})
			f.InstanceLabel = "whatever"
			return f
		}, "", 0},
		{"tmpfs: noswap", tmpfs + "tmpfs = { noswap = true }", func() Machine {
			m := machine
			m.KernelAtLeast = func(int, int) bool { return true }
			return m
		}(), good, "", 0},
		{"tmpfs in percent", tmpfs + "tmpfs = { size = \"10%\" }", machine, good, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			selection, r := Select(parse(t, c.conf), alice)
			if r != nil {
				t.Fatal(r)
			}
			_, r = Decide(selection.Rules[0], alice, c.facts(), c.m)
			switch {
			case r == nil && c.want != "":
				t.Errorf("permitted, want %q", c.want)
			case r != nil && c.want == "":
				t.Errorf("refused: %v", r)
			case r != nil && (!strings.Contains(r.Error(), c.want) || r.Fault != c.fault):
				t.Errorf("refused with fault %d: %v, want %d: %q", r.Fault, r, c.fault, c.want)
			}
		})
	}
}

// decide is the step for alice; the test ends where there is none.
func decide(t *testing.T, conf string, f Facts, m Machine) Step {
	t.Helper()
	selection, r := Select(parse(t, conf), alice)
	if r != nil {
		t.Fatal(r)
	}
	step, r := Decide(selection.Rules[0], alice, f, m)
	if r != nil {
		t.Fatal(r)
	}
	return step
}

// What is carried out later rests on more of a step than its text says.
func TestStepCarriesWhatIsNotPrinted(t *testing.T) {
	f := instanceOf(Owner{0, 0, 0o1777})
	step := decide(t, tmpUser+"init = \"x\"\ninit_when = \"always\"", f, machine)
	if step.Polydir != f.Polydir.ID || step.Instance != f.Instance.ID || !step.InitAlways {
		t.Errorf("%+v", step)
	}
	if step = decide(t, tmpUser+"init = \"x\"", good(), machine); step.InitAlways {
		t.Error("an init script of new instances is not one of always")
	}
	if want := layout.Temporary(step.Name, machine.Random); step.Temporary != want || step.Name == "" {
		t.Errorf("until it is complete it is called %q, want %q", step.Temporary, want)
	}

	f = inHome(good())
	f.Polydir.Exists, f.Create = false, Owner{1001, 1001, 0o700}
	if step = decide(t, home+`create = { mode = "0700" }`, f, machine); step.Create == nil || !step.Create.AsUser || step.Create.Finish {
		t.Errorf("in a user's own home it is made with the user's rights: %+v", step.Create)
	}
	f = good()
	f.PolydirUnfinished, f.Create = true, Owner{0, 0, 0o1777}
	if step = decide(t, tmpUser+`create = { mode = "1777", owner = "root" }`, f, machine); step.Create == nil || step.Create.AsUser || !step.Create.Finish {
		t.Errorf("one that was begun is finished: %+v", step.Create)
	}

	const tmpfs = "[[polydir]]\npath = \"/dev/shm\"\nmethod = \"tmpfs\"\n"
	f = good()
	f.Polydir.Owner.Mode = 0o755
	step = decide(t, tmpfs+"tmpfs = { size = \"10%\" }", f, machine)
	if step.Owner.Mode != 0o755 || len(step.Tmpfs) != 1 || step.Tmpfs[0] != (FSOption{"size", "10%"}) {
		t.Errorf("%+v", step)
	}
	step = decide(t, tmpfs+"tmpfs = { mode = \"0700\" }", f, machine)
	if step.Owner.Mode != 0o700 || len(step.Tmpfs) != 0 {
		t.Errorf("%+v", step)
	}
	newer := machine
	newer.KernelAtLeast = func(major, minor int) bool { return major == 6 && minor == 4 }
	step = decide(t, tmpfs+"tmpfs = { noswap = true }", f, newer)
	if len(step.Tmpfs) != 1 || step.Tmpfs[0].Key != "noswap" {
		t.Errorf("%+v", step)
	}
	step = decide(t, tmpfs+"init = \"x\"", f, machine)
	if step.Init.Args[1] != "tmpfs" {
		t.Errorf("%+v", step.Init)
	}
}

// What the security module says counts only where it is on.
func TestSecurityThatIsOff(t *testing.T) {
	off := machine
	off.Security.Problem = "no context"
	f := good()
	f.LabelProblem = "no label"
	decide(t, tmpLevel+`without_context = "user"`, f, off)
	for _, method := range []string{"level", "context"} {
		conf := strings.Replace(tmpLevel, `"level"`, `"`+method+`"`, 1)
		selection, r := Select(parse(t, conf), alice)
		if r != nil || !selection.ByContext() {
			t.Fatal(r, selection.ByContext())
		}
		if _, r = Decide(selection.Rules[0], alice, good(), machine); r == nil {
			t.Errorf("%s without a security module", method)
		}
	}
	if selection, _ := Select(parse(t, tmpUser), alice); selection.ByContext() {
		t.Error("user is no method by context")
	}
	shared := Rule{Config: &config.Polydir{Method: config.MethodLevel, Shared: true}}
	if Shared(shared, machine) || !Shared(shared, selinux(session, "")) {
		t.Error("an instance is shared where contexts name it")
	}
}

// A list that cannot be looked up refuses, and says so.
func TestMembershipThatIsUnknown(t *testing.T) {
	s := alice
	s.Groups, s.Problem = map[string]Membership{"lost": Unknown}, "the directory is away"
	for _, keys := range []string{`except = ["@lost"]`, `only = ["@lost"]`} {
		if _, r := Select(parse(t, tmpUser+keys), s); r == nil || r.Fault != FaultHost || !strings.Contains(r.Error(), s.Problem) {
			t.Errorf("%s: %v", keys, r)
		}
		// another entry decides
		if _, r := Select(parse(t, tmpUser+strings.Replace(keys, `"@lost"`, `"@lost", "alice"`, 1)), s); r != nil {
			t.Errorf("%s and alice: %v", keys, r)
		}
	}
}

func TestUIDRangesHaveBothEnds(t *testing.T) {
	list := config.UserList{{Kind: config.UIDRange, Min: 10, Max: 20}}
	for uid, in := range map[uint32]bool{9: false, 10: true, 20: true, 21: false} {
		if by, _, _ := Listed(list, Subject{UID: uid}); (by != "") != in {
			t.Errorf("uid %d: %q", uid, by)
		}
	}
}

func TestRefusalsThatRescueDoesNotCover(t *testing.T) {
	rescue := RescueOf(parse(t, "[namespace]\nrescue = [\"alice\"]\n"+tmpUser), config.Args{})
	if rescue.Admits(&Refusal{Fault: FaultHost, Unknown: true}, alice, false, Security{}) {
		t.Error("an account that does not exist is rescued")
	}
	if text := (&Refusal{Reason: "why"}).Error(); text != "why" {
		t.Error(text)
	}
}

func TestNamesThatAreNone(t *testing.T) {
	for name, bad := range map[string]bool{
		".": true, "..": true, "a\x1fb": true, "a\x20b": false, "a\x7fb": true,
		strings.Repeat("n", 255): false, strings.Repeat("n", 256): true, "": true, "a/b": true,
	} {
		if got := plainComponent(name); (got != "") != bad {
			t.Errorf("%q: %q", name, got)
		}
	}
	rule := Rule{Config: &parse(t, tmpUser).Polydirs[0], Path: "/tmp", Parent: "/p"}
	s := alice
	s.Typed = "../etc"
	if names, r := InstanceNames(rule, s, machine); r != nil || len(names.Older) != 0 {
		t.Error("a name that was typed and is none:", names, r)
	}
	// behind a prefix that makes one of ours of it, and as a whole behind one
	// that does not
	rule.Prefix = ".tmp"
	s.User, s.Typed = "dir.x", "dir.x"
	if names, r := InstanceNames(rule, s, machine); r == nil {
		t.Error("taken for a tmpdir:", names)
	}
	rule.Prefix = "v-"
	s.User, s.Typed = ".lock", ".lock"
	if names, r := InstanceNames(rule, s, machine); r == nil {
		t.Error("taken for the locks:", names)
	}
	hashed := machine
	hashed.HashNames = true
	rule.Prefix = ""
	if names, _ := InstanceNames(rule, alice, hashed); names.Own != "6384e2b2184bcbf58eccf10ca7a6563c" {
		t.Error("gen_hash of the PAM line:", names)
	}
	level := Rule{Config: &parse(t, tmpLevel).Polydirs[0], Path: "/tmp", Parent: "/p"}
	if names, r := InstanceNames(level, alice, selinux(session, "")); r == nil {
		t.Error("named after no context:", names)
	}
}

// Prefixes that lead to the same names, whether two polydirs apply to one user
// or not.
func TestClash(t *testing.T) {
	polydir := func(path, prefix, method string) string {
		text := "[[polydir]]\npath = \"" + path + "\"\nmethod = \"" + method + "\"\n"
		if prefix != "" {
			text += "instance_prefix = \"" + prefix + "\"\n"
		}
		return text
	}
	for _, c := range []struct {
		name, conf string
		clash      bool
	}{
		{"the same", polydir("/a", "/p/", "user") + polydir("/b", "/p/", "user"), true},
		{"one begins with the other", polydir("/a", "/p/v", "user") + polydir("/b", "/p/", "user"), true},
		{"the other begins with it", polydir("/a", "/p/", "user") + polydir("/b", "/p/v", "user"), true},
		{"neither", polydir("/a", "/p/v-", "user") + polydir("/b", "/p/w-", "user"), false},
		{"another parent", polydir("/a", "/p/", "user") + polydir("/b", "/q/", "user"), false},
		{"two tmpdirs", polydir("/a", "/p/", "tmpdir") + polydir("/b", "/p/", "tmpdir"), false},
		{"a tmpdir and a user's", polydir("/a", "/p/", "tmpdir") + polydir("/b", "/p/", "user"), true},
		{"a user's and a tmpdir", polydir("/a", "/p/", "user") + polydir("/b", "/p/", "tmpdir"), true},
		{"a tmpfs", polydir("/a", "", "tmpfs") + polydir("/b", "/p/", "user") + polydir("/c", "", "tmpfs"), false},
		{"three, the last two", polydir("/a", "/q/", "user") + polydir("/b", "/p/", "user") + polydir("/c", "/p/", "user"), true},
	} {
		conf := parse(t, c.conf)
		if _, r := Select(conf, alice); (r != nil) != c.clash {
			t.Errorf("%s: %v", c.name, r)
		}
		if r := Clash(conf); (r != nil) != c.clash {
			t.Errorf("%s, for nobody: %v", c.name, r)
		}
	}
	// one path twice is for different users
	once := polydir("/a", "/p/", "user")
	if r := Clash(parse(t, once+"only = [\"alice\"]\n"+once+"only = [\"bob\"]\n")); r != nil {
		t.Error(r)
	}
}

// A template that does not expand for a user is their fault; a parent that is / is
// the configuration's.
func TestTemplatesThatDoNotExpand(t *testing.T) {
	s := alice
	s.Home = ""
	for conf, fault := range map[string]Fault{
		strings.Replace(tmpUser, `"/tmp"`, `"$HOME/x"`, 1):                                                      FaultUser,
		strings.Replace(tmpUser, `"/var/lib/polyinst/tmp/"`, `"$HOME/x/"`, 1) + "parent_in_unsafe_dir = true\n": FaultUser,
	} {
		selection, r := Select(parse(t, conf), s)
		if r == nil || r.Fault != fault || len(selection.Rules) != 0 {
			t.Errorf("%s: %v", conf, r)
		}
	}
	selection, r := Select(parse(t, strings.Replace(tmpUser, `"/tmp"`, `"$HOME/x"`, 1)), alice)
	if r != nil || selection.Verdicts[0].Path != "/home/alice/x" {
		t.Error(r, selection.Verdicts)
	}
	// a rule that does not apply to her makes no exemption of one that does
	both := tmpUser + "except = [\"bob\"]\n" + strings.NewReplacer(`"/tmp"`, `"/srv"`, "tmp/", "srv/").Replace(tmpUser) + "only = [\"bob\"]\n"
	if selection, r = Select(parse(t, both), alice); r != nil || selection.Exempt() || len(selection.Rules) != 1 {
		t.Error("exempt, and one applies:", r)
	}
}

func TestTemplatesThatLeadNowhere(t *testing.T) {
	s := alice
	s.User = "a/b"
	_, r := Select(parse(t, strings.Replace(tmpUser, `"/tmp"`, `"/srv/$USER"`, 1)), s)
	if r == nil || r.Fault != FaultUser || r.Polydir != "/srv/$USER" {
		t.Error(r)
	}
	_, r = Select(&config.Config{Polydirs: []config.Polydir{{Path: "/tmp", Prefix: "/x-", Method: config.MethodUser}}}, alice)
	if r == nil || r.Fault != FaultConfig || !strings.Contains(r.Error(), "/ cannot be the instance parent") {
		t.Error(r)
	}
}

// explain shows a polydir that comes with a namespace like any other.
func TestImpliedPolydirHasAVerdict(t *testing.T) {
	selection, r := Select(parse(t, "[namespace]\nipc = \"private\"\n"+tmpUser), alice)
	if r != nil || len(selection.Verdicts) != 2 || selection.Verdicts[1].Path != shmDir || !selection.Verdicts[1].Applies {
		t.Error(r, selection.Verdicts)
	}
}

// What a user brought about admits root, who has to put it right, and nobody else.
func TestRootIsAdmittedWhateverUsersDo(t *testing.T) {
	root := Subject{User: "root", Home: "/root", Service: "login"}
	selection, r := Select(parse(t, tmpUser), root)
	if r != nil {
		t.Fatal(r)
	}
	facts := good()
	facts.Polydir.Swaps = []Swap{{Dir: "/scratch", Reason: "mode 1777", UID: 1002, Entry: true}}
	if _, r := Decide(selection.Rules[0], root, facts, machine); r == nil || r.Fault != FaultHost {
		t.Errorf("%v", r)
	}
	if _, r := Decide(selection.Rules[0], alice, facts, machine); r == nil || r.Fault != FaultUser {
		t.Errorf("%v", r)
	}
}

// A polydir on a filesystem of the user's own is attached to as approved.
func TestPolydirOfVoidOwnersIsApproved(t *testing.T) {
	selection, r := Select(parse(t, tmpUser), alice)
	if r != nil {
		t.Fatal(r)
	}
	facts := good()
	facts.Polydir.VoidOwners = true
	step, r := Decide(selection.Rules[0], alice, facts, machine)
	if r != nil || step.Polydir != facts.Polydir.ID {
		t.Errorf("%+v, %v", step, r)
	}
}

// A session makes the parent that is missing in the user's own home, root's too,
// of which no swap tells: but not what is elsewhere, or where users can make names.
func TestParentInRootsHome(t *testing.T) {
	const conf = "[[polydir]]\npath = \"$HOME\"\ninstance_prefix = \"$HOME/.inst/\"\nmethod = \"user\"\nparent_in_unsafe_dir = true\n"
	const elsewhere = "[[polydir]]\npath = \"$HOME\"\ninstance_prefix = \"/var/lib/x/\"\nmethod = \"user\"\nparent_in_unsafe_dir = true\n"
	root := Subject{User: "root", Home: "/root", Service: "login"}
	for _, c := range []struct {
		name, conf, exposed string
		who                 Subject
		made                bool
	}{
		{"root's home", conf, "", root, true},
		{"where users can make names", conf, "/root", root, false},
		{"elsewhere", elsewhere, "", root, false},
		{"a home of root's that is another's", conf, "", alice, false},
	} {
		selection, r := Select(parse(t, c.conf), c.who)
		if r != nil {
			t.Fatal(r)
		}
		facts := good()
		facts.Parent = DirFacts{Exposed: c.exposed}
		step, r := Decide(selection.Rules[0], c.who, facts, machine)
		if (r == nil) != c.made || r == nil && step.MakeParent != c.made {
			t.Errorf("%s: %v, %+v", c.name, r, step)
		}
	}
}
