package plan

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	alice = Subject{User: "alice", Typed: "alice", UID: 1001, GID: 1001, Home: "/home/alice", Service: "sshd",
		Groups: map[string]Membership{"staff": Member, "wheel": NotMember, "gone": NoSuchGroup}}
	machine = Machine{MachineID: "aaaa0001", BootID: "bbbb0002", Random: "0123456789ab", Kernel: "6.1.0", InitDir: "/etc/security/polyinst/namespace.d",
		KernelAtLeast: func(major, minor int) bool { return major < 6 || major == 6 && minor <= 1 }}
)

// good are facts with which every persistent method succeeds.
func good() Facts {
	return Facts{
		Polydir:      DirFacts{Exists: true, ID: FileID{1, 10}, Owner: Owner{0, 0, 0o1777}},
		Parent:       DirFacts{Exists: true, ID: FileID{1, 20}},
		InstanceName: "alice",
	}
}

// instanceOf are good facts with an instance.
func instanceOf(owner Owner) Facts {
	f := good()
	f.Instance = DirFacts{Exists: true, ID: FileID{1, 30}, Owner: owner}
	return f
}

const tmpUser = `
[[polydir]]
path = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method = "user"
`

const kept = `keep = [".X11-unix"]`

const keptByPattern = `keep = ["systemd-private-*"]`

// keeping are facts with an entry of the public directory that may be kept, and
// with what the instance has in its place.
func keeping(f Facts, inside DirFacts) Facts {
	f.Keep = []KeepFacts{{Name: ".X11-unix", Public: DirFacts{Exists: true, ID: FileID{1, 40}, Owner: Owner{0, 0, 0o1777}}, Inside: inside}}
	return f
}

const (
	overDropped = "[[polydir]]\npath = \"/srv/x\"\nmethod = \"overlay\"\nkeep_changes = false\ninstance_prefix = \"/var/lib/polyinst/x/\"\n"
	overKept    = "[namespace]\nscope = \"user\"\n[[polydir]]\npath = \"/srv/x\"\nmethod = \"overlay\"\ninstance_prefix = \"/var/lib/polyinst/x/\"\n"
)

const ownProc = "[[polydir]]\npath = \"/proc\"\nmethod = \"proc\"\n"

const homeAlone = "[[polydir]]\npath = \"/home\"\nmethod = \"tmpfs\"\nkeep = [\"$HOME\"]\n"

// shows is a polydir of a method that makes no instance.
func shows(method, more string) string {
	return "[[polydir]]\npath = \"/srv/x\"\nmethod = \"" + method + "\"\n" + more + "\n"
}

var bound = shows("bind", `source = "/srv/of/$USER"`)

func binding(source DirFacts) Facts {
	f := good()
	f.Source = source
	return f
}

func keepsOwn(entry DirFacts, above ...DirFacts) Facts {
	f := good()
	f.Keep = []KeepFacts{{Name: "a/alice", Own: true, Public: entry, Above: above}}
	return f
}

const home = `
[[polydir]]
path = "$HOME/.cache"
instance_prefix = "$HOME/.inst/"
method = "user"
parent_in_unsafe_dir = true
`

const (
	onNFS  = "on nfs, whose owners and modes this kernel does not keep itself"
	onFUSE = "on a filesystem that uid 1002 mounted, fuse"
)

func inHome(f Facts) Facts {
	swaps := []Swap{{Dir: "/home/alice", Reason: "owned by uid 1001", UID: 1001}}
	f.Polydir.Exposed, f.Polydir.Swaps = "/home/alice", swaps
	f.Parent.Exposed, f.Parent.Swaps = "/home/alice", swaps
	return f
}

// decisions is the table of the core: a configuration, what was observed, and
// in testdata/NAME.golden the plan or the refusal.
var decisions = []struct {
	name  string
	conf  string
	facts func() Facts
}{
	{"new-instance", tmpUser, good},
	{"existing-instance", tmpUser, func() Facts { return instanceOf(Owner{0, 0, 0o1777}) }},
	{"inherits-noexec", tmpUser, func() Facts { f := good(); f.PolydirFlags = config.NoExec; return f }},
	{"no-flags-asked", tmpUser + "mount_options = []", good},
	{"instance-of-another-owner", tmpUser, func() Facts { return instanceOf(Owner{1002, 1002, 0o700}) }},
	{"instance-world-writable", tmpUser, func() Facts { return instanceOf(Owner{0, 0, 0o777}) }},
	{"instance-root-private", tmpUser, func() Facts { return instanceOf(Owner{0, 0, 0o700}) }},
	{"instance-is-a-link", tmpUser, func() Facts {
		f := good()
		f.Instance.Problem = "is a symbolic link, not a directory"
		return f
	}},
	{"instance-of-another-uid", tmpUser, func() Facts {
		f := instanceOf(Owner{0, 0, 0o1777})
		f.Recorded, f.RecordedUID = true, 1007
		return f
	}},
	{"instance-closed", tmpUser, func() Facts { return instanceOf(Owner{0, 0, 0o400}) }},
	{"instance-of-another-mode", tmpUser, func() Facts { return instanceOf(Owner{0, 0, 0o3777}) }},
	{"instance-by-a-former-name", tmpUser, func() Facts { f := good(); f.FormerName = "alicia"; return f }},
	{"polydir-missing", tmpUser, func() Facts { f := good(); f.Polydir = DirFacts{}; return f }},
	{"polydir-created", tmpUser + `create = { mode = "1777", owner = "root" }`, func() Facts {
		f := good()
		f.Polydir, f.Create = DirFacts{}, Owner{0, 0, 0o1777}
		return f
	}},
	{"polydir-is-a-fifo", tmpUser, func() Facts {
		f := good()
		f.Polydir = DirFacts{Problem: "/tmp: is a FIFO, not a directory"}
		return f
	}},
	{"polydir-others-can-rename", tmpUser, func() Facts {
		f := good()
		f.Polydir.Swaps = []Swap{{Dir: "/srv", Reason: "mode 0775", UID: 0, Others: true}}
		return f
	}},
	{"polydir-in-ones-home-open-to-others", tmpUser, func() Facts {
		f := good()
		f.Polydir.Swaps = []Swap{{Dir: "/home/alice", Reason: "mode 0777", UID: 1001, Others: true}}
		return f
	}},
	{"polydir-below-what-its-user-can-rename", tmpUser, func() Facts {
		f := good()
		f.Polydir.Swaps = []Swap{{Dir: "/home/alice", Reason: "owned by uid 1001", UID: 1001}, {Dir: "/home/alice/x", Reason: "mode 0775", UID: 1001, Others: true}}
		return f
	}},
	{"polydir-open-to-all-that-its-user-can-rename", tmpUser, func() Facts {
		f := good()
		f.Polydir.Owner.Mode = 0o777
		f.Polydir.Swaps = []Swap{{Dir: "/home/alice", Reason: "owned by uid 1001", UID: 1001}}
		return f
	}},
	{"polydir-in-another-users-home", tmpUser, func() Facts {
		f := good()
		f.Polydir.Swaps = []Swap{{Dir: "/home/bob", Reason: "owned by uid 1002", UID: 1002}}
		return f
	}},
	{"polydir-open-to-all", tmpUser, func() Facts { f := good(); f.Polydir.Owner.Mode = 0o777; return f }},
	{"polydir-created-open-to-all", tmpUser + `create = { mode = "0777", owner = "root" }`, func() Facts {
		f := good()
		f.Polydir, f.Create = DirFacts{}, Owner{0, 0, 0o777}
		return f
	}},
	{"parent-missing", tmpUser, func() Facts { f := good(); f.Parent = DirFacts{}; return f }},
	{"parent-missing-in-unsafe-place", tmpUser + "parent_in_unsafe_dir = true", func() Facts {
		f := good()
		f.Parent = DirFacts{Exposed: "/var/tmp"}
		return f
	}},
	{"parent-not-roots", tmpUser, func() Facts { f := good(); f.Parent.Owner.UID = 1002; return f }},
	{"parent-open", tmpUser, func() Facts { f := good(); f.Parent.Owner.Mode = 0o755; return f }},
	{"parent-any-mode", tmpUser + `parent_mode = "any"`, func() Facts { f := good(); f.Parent.Owner.Mode = 0o755; return f }},
	{"parent-any-but-writable", tmpUser + `parent_mode = "any"`, func() Facts { f := good(); f.Parent.Owner.Mode = 0o775; return f }},
	{"parent-on-nfs", tmpUser, func() Facts { f := good(); f.ParentFS, f.Parent.Foreign = "nfs", onNFS; return f }},
	{"parent-on-nfs-allowed", tmpUser + "allow_network_fs = true", func() Facts { f := good(); f.ParentFS, f.Parent.Foreign = "nfs", onNFS; return f }},
	{"parent-on-a-root-by-nfs", tmpUser, func() Facts { f := good(); f.ParentFS = "nfs"; return f }},
	{"parent-behind-nfs", tmpUser, func() Facts { f := good(); f.Parent.Foreign = onNFS; return f }},
	{"parent-on-a-users-filesystem", tmpUser + "allow_network_fs = true\nparent_in_unsafe_dir = true", func() Facts {
		f := good()
		f.ParentFS, f.Parent.Foreign, f.Parent.Exposed = "fuse", onFUSE, "/home/alice"
		f.Parent.Swaps = []Swap{{Dir: "/home/alice", Reason: onFUSE, UID: 1001}}
		return f
	}},
	{"polydir-on-anothers-filesystem", tmpUser, func() Facts {
		f := good()
		f.Polydir.Foreign, f.Polydir.Exposed = onFUSE, "/scratch/alice"
		f.Polydir.Swaps = []Swap{{Dir: "/scratch/alice", Reason: onFUSE, UID: 1002}}
		return f
	}},
	{"polydir-on-the-users-own-filesystem", tmpUser, func() Facts {
		f := good()
		f.Polydir.Foreign, f.Polydir.Exposed, f.Polydir.VoidOwners = onFUSE, "/home/alice", true
		f.Polydir.Swaps = []Swap{{Dir: "/home/alice", Reason: onFUSE, UID: 1001}}
		f.Polydir.Owner = Owner{0, 42, 0o6775}
		return f
	}},
	{"polydir-of-another-in-a-sticky-directory", tmpUser, func() Facts {
		f := good()
		f.Polydir.Exposed = "/scratch"
		f.Polydir.Swaps = []Swap{{Dir: "/scratch", Reason: "mode 1777, and the entry is owned by uid 1002", UID: 1002, Entry: true}}
		return f
	}},
	{"parent-in-unsafe-place", tmpUser, func() Facts { f := good(); f.Parent.Exposed = "/var/tmp"; return f }},
	{"home", home, func() Facts { return inHome(good()) }},
	{"home-parent-made", home, func() Facts { f := inHome(good()); f.Parent.Exists = false; return f }},
	{"home-created-as-user", home + `create = { mode = "0700" }`, func() Facts {
		f := inHome(good())
		f.Polydir.Exists, f.Create = false, Owner{1001, 1001, 0o700}
		return f
	}},
	{"home-created-for-root", home + `create = { mode = "0700", owner = "root" }`, func() Facts {
		f := inHome(good())
		f.Polydir.Exists, f.Create = false, Owner{0, 0, 0o700}
		return f
	}},
	{"home-parent-of-another-mode", home + `parent_mode = "0711"`, func() Facts { f := inHome(good()); f.Parent.Exists = false; return f }},
	{"home-parent-on-nfs", home, func() Facts {
		f := inHome(good())
		f.Parent.Exists, f.ParentFS, f.Parent.Foreign = false, "nfs", onNFS
		return f
	}},
	{"home-on-nfs-created-as-user", strings.Replace(home, "$HOME/.inst/", "/var/lib/polyinst/cache/", 1) + `create = { mode = "0700" }`, func() Facts {
		f := inHome(good())
		f.Parent, f.Polydir.Foreign = good().Parent, onNFS
		f.Polydir.Exists, f.Create = false, Owner{1001, 1001, 0o700}
		return f
	}},
	{"home-created-with-group", home + `create = { mode = "0700", group = "staff" }`, func() Facts {
		f := inHome(good())
		f.Polydir.Exists, f.Create = false, Owner{1001, 50, 0o700}
		return f
	}},
	{"instance-unfinished", tmpUser, func() Facts {
		f := instanceOf(Owner{})
		f.Unfinished = true
		return f
	}},
	{"init-new", tmpUser + `init = "tmp.init"`, good},
	{"init-existing", tmpUser + `init = "tmp.init"`, func() Facts { return instanceOf(Owner{0, 0, 0o1777}) }},
	{"init-always", tmpUser + "init = \"/etc/tmp.init\"\ninit_when = \"always\"\ninit_timeout = \"3s\"", func() Facts { return instanceOf(Owner{0, 0, 0o1777}) }},
	{"init-on-nfs", tmpUser + "init = \"tmp.init\"\nallow_network_fs = true", func() Facts {
		f := good()
		f.ParentFS, f.Parent.Foreign, f.Polydir.Foreign = "nfs", onNFS, onNFS
		return f
	}},
	{"init-in-home", home + `init = "home.init"`, func() Facts { return inHome(good()) }},
	{"skel-new", tmpUser + `skel = true`, good},
	{"skel-existing", tmpUser + `skel = true`, func() Facts { return instanceOf(Owner{0, 0, 0o1777}) }},
	{"tmpdir", strings.Replace(tmpUser, `"user"`, `"tmpdir"`, 1), func() Facts {
		f := good()
		f.InstanceName = ".tmpdir.aaaa0001.bbbb0002.0123456789ab"
		return f
	}},
	{"tmpfs", "[[polydir]]\npath = \"/dev/shm\"\nmethod = \"tmpfs\"\ntmpfs = { size = \"1G\", inodes = 1000, mode = \"1777\" }", good},
	{"overlay-new", overKept, good},
	{"overlay-existing", overKept + "mount_options = [\"noexec\"]\n", func() Facts {
		f := instanceOf(Owner{0, 0, 0o700})
		f.PolydirFlags = config.ReadOnly | config.NoDev
		return f
	}},
	{"overlay-where-all-is-full", overKept, func() Facts {
		f := instanceOf(Owner{0, 0, 0o700})
		f.ParentTight = true
		return f
	}},
	{"new-where-all-is-full", tmpUser, func() Facts { f := good(); f.ParentTight = true; return f }},
	{"existing-where-all-is-full", tmpUser, func() Facts {
		f := instanceOf(Owner{0, 0, 0o1777})
		f.ParentTight = true
		return f
	}},
	{"overlay-of-another-method", overKept, func() Facts { return instanceOf(Owner{0, 0, 0o1777}) }},
	{"overlay-of-a-user", overKept, func() Facts { return instanceOf(Owner{1001, 1001, 0o700}) }},
	{"overlay-without-changes", overKept, func() Facts {
		f := instanceOf(Owner{0, 0, 0o700})
		f.LayersProblem = "/var/lib/polyinst/x/alice/upper: no such file or directory"
		return f
	}},
	{"overlay-thrown-away", overDropped, func() Facts {
		f := good()
		f.InstanceName = ".tmpdir.aaaa0001.bbbb0002.0123456789ab"
		return f
	}},
	{"overlay-in-tmpfs-too-old", "[[polydir]]\npath = \"/srv/x\"\nmethod = \"overlay\"\nkeep_changes = false\ntmpfs = { size = \"1G\" }", good},
	{"overlay-without-kernel", overKept, func() Facts { f := good(); f.OverlayProblem = "this kernel has no overlay filesystem"; return f }},
	{"overlay-on-an-overlay", overKept, func() Facts { f := good(); f.UpperProblem = "lies on an overlay itself"; return f }},
	{"overlay-base-without-handles", overKept, func() Facts { f := good(); f.BaseProblem = "lies on a filesystem without file handles"; return f }},
	{"overlay-base-without-handles-thrown-away", overDropped, func() Facts { f := good(); f.BaseProblem = "lies on a filesystem without file handles"; return f }},
	{"overlay-changes-on-nfs", overKept, func() Facts { f := good(); f.ParentFS = "nfs"; return f }},
	{"overlay-base-on-nfs", overKept, func() Facts { f := good(); f.Polydir.Foreign = onNFS; return f }},
	{"overlay-base-of-a-user", overKept, func() Facts { f := good(); f.Polydir.Foreign, f.Polydir.VoidOwners = "of a user", true; return f }},
	{"proc", ownProc, good},
	{"proc-noaccess", ownProc + `proc = { hidepid = "noaccess", gid = "adm" }`, func() Facts { f := good(); f.ProcGroup = 4; return f }},
	{"hidden", shows("hidden", ""), good},
	{"hidden-file", shows("hidden", ""), func() Facts { f := good(); f.File = true; return f }},
	{"hidden-missing", shows("hidden", ""), func() Facts { f := good(); f.Polydir = DirFacts{}; return f }},
	{"same", shows("same", `mount_options = ["ro"]`), func() Facts { f := good(); f.PolydirFlags = config.NoDev; return f }},
	{"same-open-to-all", shows("same", `mount_options = ["ro"]`), func() Facts { f := good(); f.Polydir.Owner.Mode = 0o777; return f }},
	{"same-others-can-rename", shows("same", `mount_options = ["ro"]`), func() Facts {
		f := good()
		f.Polydir.Swaps = []Swap{{Dir: "/srv", Reason: "mode 0775", Others: true}}
		return f
	}},
	{"bind", bound, func() Facts { return binding(DirFacts{Exists: true, ID: FileID{1, 60}}) }},
	{"bind-created", bound + `create = { owner = "root" }`, func() Facts {
		f := binding(DirFacts{Exists: true, ID: FileID{1, 60}})
		f.Polydir = DirFacts{}
		return f
	}},
	{"bind-missing", bound, func() Facts { return binding(DirFacts{}) }},
	{"bind-unreachable", bound, func() Facts {
		return binding(DirFacts{Problem: "is a symbolic link owned by uid 1002: only root's are followed"})
	}},
	{"bind-another-kind", bound, func() Facts {
		f := binding(DirFacts{Exists: true, ID: FileID{1, 60}})
		f.SourceFile = true
		return f
	}},
	{"bind-file-on-created", bound + `create = { owner = "root" }`, func() Facts {
		f := binding(DirFacts{Exists: true, ID: FileID{1, 60}})
		f.SourceFile, f.Polydir = true, DirFacts{}
		return f
	}},
	{"bind-ones-own", bound, func() Facts {
		return binding(DirFacts{Exists: true, ID: FileID{1, 60}, Owner: Owner{1001, 1001, 0o755}, Swaps: []Swap{{Dir: "/home/alice", Reason: "owned by uid 1001", UID: 1001}}})
	}},
	{"bind-moved-by-the-user", bound, func() Facts {
		return binding(DirFacts{Exists: true, ID: FileID{1, 60}, Swaps: []Swap{{Dir: "/home/alice", Reason: "owned by uid 1001", UID: 1001}}})
	}},
	{"bind-others-can-rename", bound, func() Facts {
		return binding(DirFacts{Exists: true, ID: FileID{1, 60}, Swaps: []Swap{{Dir: "/srv", Reason: "mode 0777", Others: true}}})
	}},
	{"keep-own", homeAlone, func() Facts {
		return keepsOwn(DirFacts{Exists: true, ID: FileID{1, 70}, Owner: Owner{1001, 1001, 0o755}})
	}},
	{"keep-own-of-another", homeAlone, func() Facts {
		return keepsOwn(DirFacts{Exists: true, ID: FileID{1, 70}, Owner: Owner{1002, 1002, 0o755}})
	}},
	{"keep-own-absent", homeAlone, func() Facts { return keepsOwn(DirFacts{}) }},
	{"keep-own-below", homeAlone, func() Facts {
		return keepsOwn(DirFacts{Exists: true, ID: FileID{1, 70}, Owner: Owner{1001, 1001, 0o755}}, DirFacts{Exists: true, ID: FileID{1, 71}})
	}},
	{"keep-own-below-anothers", homeAlone, func() Facts {
		return keepsOwn(DirFacts{Exists: true, ID: FileID{1, 70}, Owner: Owner{1001, 1001, 0o755}}, DirFacts{Exists: true, ID: FileID{1, 71}, Owner: Owner{UID: 1002}})
	}},
	{"keep-own-elsewhere", homeAlone, func() Facts {
		f := good()
		f.Keep = []KeepFacts{{Name: "/srv/alice", Own: true, Lost: "does not lie below \"/home\": it is seen where it is"}}
		return f
	}},
	{"keep-new-instance", tmpUser + kept, func() Facts { return keeping(good(), DirFacts{}) }},
	{"keep-existing-instance", tmpUser + kept, func() Facts {
		return keeping(instanceOf(Owner{0, 0, 0o1777}), DirFacts{Exists: true, ID: FileID{1, 50}, Owner: Owner{0, 0, 0o1777}})
	}},
	{"keep-point-made", tmpUser + kept, func() Facts { return keeping(instanceOf(Owner{0, 0, 0o1777}), DirFacts{}) }},
	{"keep-point-of-the-user", tmpUser + kept, func() Facts {
		return keeping(instanceOf(Owner{0, 0, 0o1777}), DirFacts{Exists: true, ID: FileID{1, 50}, Owner: Owner{1001, 1001, 0o700}})
	}},
	{"keep-point-of-another", tmpUser + kept, func() Facts {
		return keeping(instanceOf(Owner{0, 0, 0o1777}), DirFacts{Exists: true, ID: FileID{1, 50}, Owner: Owner{1002, 1002, 0o700}})
	}},
	{"keep-point-is-a-link", tmpUser + kept, func() Facts {
		return keeping(instanceOf(Owner{0, 0, 0o1777}), DirFacts{Problem: "is a symbolic link, not a directory"})
	}},
	{"keep-point-of-an-unfinished-instance", tmpUser + kept, func() Facts {
		f := keeping(instanceOf(Owner{}), DirFacts{Problem: "is a symbolic link, not a directory"})
		f.Unfinished = true
		return f
	}},
	{"keep-absent", tmpUser + kept, func() Facts { f := keeping(good(), DirFacts{}); f.Keep[0].Public = DirFacts{}; return f }},
	{"keep-not-roots", tmpUser + kept, func() Facts { f := keeping(good(), DirFacts{}); f.Keep[0].Public.Owner.UID = 1002; return f }},
	{"keep-open-to-all", tmpUser + kept, func() Facts { f := keeping(good(), DirFacts{}); f.Keep[0].Public.Owner.Mode = 0o777; return f }},
	{"keep-open-to-group", tmpUser + kept, func() Facts { f := keeping(good(), DirFacts{}); f.Keep[0].Public.Owner.Mode = 0o775; return f }},
	{"keep-closed", tmpUser + kept, func() Facts { f := keeping(good(), DirFacts{}); f.Keep[0].Public.Owner.Mode = 0o700; return f }},
	{"keep-odd-type", tmpUser + kept, func() Facts {
		f := keeping(good(), DirFacts{})
		f.Keep[0].Public = DirFacts{Problem: "is a FIFO, not a directory"}
		return f
	}},
	{"keep-pattern", tmpUser + keptByPattern, func() Facts {
		f := keeping(instanceOf(Owner{0, 0, 0o1777}), DirFacts{Exists: true, ID: FileID{1, 50}, Owner: Owner{0, 0, 0o700}})
		f.Keep[0].Name, f.Keep[0].Public.Owner.Mode = "systemd-private-1", 0o700
		open := f.Keep[0]
		open.Name, open.Public.Owner.Mode = "systemd-private-2", 0o777
		f.Keep = append(f.Keep, open, KeepFacts{Name: "systemd-private-*", Cut: "more than 64 directories: the others are left out"})
		return f
	}},
	{"keep-pattern-new-instance", tmpUser + keptByPattern, good},
	{"keep-on-tmpfs", "[[polydir]]\npath = \"/tmp\"\nmethod = \"tmpfs\"\nmount_options = [\"noexec\"]\n" + kept, func() Facts { return keeping(good(), DirFacts{}) }},
	{"quota-new-instance", tmpUser + `quota = { bytes = "10G", inodes = 1000 }`, good},
	{"quota-existing-instance", tmpUser + `quota = { bytes = "1500" }`, func() Facts { return instanceOf(Owner{0, 0, 0o1777}) }},
	{"quota-of-inodes", tmpUser + `quota = { inodes = 1000 }`, good},
	{"quota-not-there", tmpUser + `quota = { bytes = "10G" }`, func() Facts { f := good(); f.QuotaProblem = "no project quota on its filesystem"; return f }},
	{"quota-of-nothing", tmpUser + `quota = { bytes = 0 }`, func() Facts { f := good(); f.QuotaProblem = "no project quota on its filesystem"; return f }},
	{"tmpfs-noswap-too-old", "[[polydir]]\npath = \"/dev/shm\"\nmethod = \"tmpfs\"\ntmpfs = { noswap = true }", good},
}

func TestDecide(t *testing.T) {
	for _, d := range decisions {
		t.Run(d.name, func(t *testing.T) {
			conf := parse(t, d.conf)
			selection, refusal := Select(conf, alice)
			if refusal != nil {
				t.Fatal(refusal)
			}
			plan := Plan{Subject: alice, Namespace: conf.Namespace}
			got := ""
			if step, r := Decide(selection.Rules[0], alice, d.facts(), machine); r != nil {
				got = "refused: " + r.Error() + "\n"
			} else {
				plan.Steps = []Step{step}
				got = plan.String()
			}
			golden(t, d.name, got)
		})
	}
}

const tmpLevel = `
[[polydir]]
path = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method = "level"
`

// selinux is the machine with SELinux on.
func selinux(session, problem string) Machine {
	m := machine
	m.Security = Security{Module: SELinux, Enforcing: true, Session: session, Problem: problem}
	return m
}

// under is the machine with another security module.
func under(module Module, session, problem string) Machine {
	m := machine
	m.Security = Security{Module: module, Enforcing: true, Session: session, Problem: problem}
	return m
}

// smackLabelled are facts of a machine with Smack, where an instance has a label.
func smackLabelled(want, instance string) func() Facts {
	return func() Facts {
		f := labelled(instance, false)()
		f.Label = want
		return f
	}
}

const (
	s2Label = "system_u:object_r:tmp_t:s2"
	session = "staff_u:staff_r:staff_t:s2"
)

// labelled are facts of a machine with SELinux, where an instance has a label.
func labelled(instance string, same bool) func() Facts {
	return func() Facts {
		f := good()
		f.Label = s2Label
		if instance != "" {
			f.Instance = DirFacts{Exists: true, ID: FileID{1, 30}, Owner: Owner{0, 0, 0o1777}}
			f.InstanceLabel, f.SameLevel = instance, same
		}
		return f
	}
}

type securityDecision struct {
	name    string
	conf    string
	machine Machine
	facts   func() Facts
}

var securityDecisions = []securityDecision{
	{"level-new", tmpLevel, selinux(session, ""), labelled("", false)},
	{"level-existing", tmpLevel, selinux(session, ""), labelled(s2Label, true)},
	{"level-another-type", tmpLevel, selinux(session, ""), labelled("system_u:object_r:user_tmp_t:s2", true)},
	{"level-another-level", tmpLevel, selinux(session, ""), labelled("system_u:object_r:tmp_t:s3", false)},
	{"level-no-session-context", tmpLevel, selinux("", "the session has no security context yet"), good},
	{"level-policy-silent", tmpLevel, selinux(session, ""), func() Facts { f := good(); f.LabelProblem = "the policy does not answer"; return f }},
	{"level-without-selinux", tmpLevel, machine, good},
	{"level-without-selinux-as-user", tmpLevel + `without_context = "user"`, machine, good},
	{"user-with-selinux", tmpUser, selinux("", "the session has no security context yet"), labelled("", false)},
	{"keep-shared-point-of-the-user", tmpLevel + "shared = true\n" + kept, selinux(session, ""), func() Facts {
		return keeping(labelled(s2Label, true)(), DirFacts{Exists: true, ID: FileID{1, 50}, Owner: Owner{1001, 1001, 0o700}})
	}},
	{"shared-of-another-user", tmpLevel + "shared = true", selinux(session, ""), func() Facts {
		f := labelled(s2Label, true)()
		f.Recorded, f.RecordedUID = true, 1007
		return f
	}},
}

var tmpContext = strings.Replace(tmpLevel, `"level"`, `"context"`, 1)

var otherModules = []securityDecision{
	{"apparmor-new", tmpContext, under(AppArmor, "/usr/sbin/sshd", ""), good},
	{"apparmor-existing", tmpContext, under(AppArmor, "/usr/sbin/sshd", ""), func() Facts { return instanceOf(Owner{0, 0, 0o1777}) }},
	{"apparmor-unconfined", tmpContext, under(AppArmor, "", ""), good},
	{"apparmor-unconfined-as-user", tmpContext + `without_context = "user"`, under(AppArmor, "", ""), good},
	{"apparmor-unreadable", tmpContext + `without_context = "user"`, under(AppArmor, "", "open /proc/thread-self/attr/apparmor/current: permission denied"), good},
	{"apparmor-level", tmpLevel, under(AppArmor, "/usr/sbin/sshd", ""), good},
	{"apparmor-level-as-user", tmpLevel + `without_context = "user"`, under(AppArmor, "/usr/sbin/sshd", ""), good},
	{"apparmor-user", tmpUser, under(AppArmor, "/usr/sbin/sshd", ""), good},
	{"apparmor-user-unreadable", tmpUser, under(AppArmor, "", "permission denied"), good},
	{"apparmor-shared-of-another-user", tmpContext + "shared = true", under(AppArmor, "web", ""), func() Facts {
		f := instanceOf(Owner{0, 0, 0o1777})
		f.Recorded, f.RecordedUID = true, 1007
		return f
	}},
	{"smack-new", tmpContext, under(Smack, "Secret", ""), smackLabelled("Secret", "")},
	{"smack-existing", tmpContext, under(Smack, "Secret", ""), smackLabelled("Secret", "Secret")},
	{"smack-another-label", tmpContext, under(Smack, "Secret", ""), smackLabelled("Secret", "_")},
	{"smack-unreadable-label", tmpUser, under(Smack, "Secret", ""), func() Facts { f := good(); f.LabelProblem = "getxattr /tmp: permission denied"; return f }},
	{"smack-level", tmpLevel, under(Smack, "Secret", ""), smackLabelled("_", "")},
	{"smack-default-context", tmpContext, under(Smack, "Secret", "use_default_context is for SELinux"), smackLabelled("Secret", "")},
	{"smack-user", tmpUser, under(Smack, "Secret", ""), smackLabelled("*", "")},
	{"smack-user-transmuting", tmpUser, under(Smack, "Secret", ""), func() Facts { f := smackLabelled("Pub", "")(); f.Transmute = true; return f }},
}

func TestDecideUnderOtherModules(t *testing.T) { decideUnder(t, otherModules) }

func TestDecideUnderSELinux(t *testing.T) { decideUnder(t, securityDecisions) }

func decideUnder(t *testing.T, decisions []securityDecision) {
	for _, d := range decisions {
		t.Run(d.name, func(t *testing.T) {
			conf := parse(t, d.conf)
			selection, refusal := Select(conf, alice)
			if refusal != nil {
				t.Fatal(refusal)
			}
			step, r := Decide(selection.Rules[0], alice, d.facts(), d.machine)
			got := step.String()
			if r != nil {
				got = "refused: " + r.Error() + "\n"
			}
			golden(t, d.name, got)
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func parse(t *testing.T, conf string) *config.Config {
	t.Helper()
	c, problems := config.Parse(config.Source{Name: "namespace.conf", Data: []byte(conf)}, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

// Whether the user of an instance can do less in it than in the polydir.
func TestClosed(t *testing.T) {
	const staff = 50
	for _, c := range []struct {
		name              string
		polydir, instance Owner
		want              bool
	}{
		{"the same", Owner{0, 0, 0o1777}, Owner{0, 0, 0o1777}, false},
		{"nothing at all", Owner{0, 0, 0o1777}, Owner{0, 0, 0}, true},
		{"read only", Owner{0, 0, 0o1777}, Owner{0, 0, 0o400}, true},
		{"no new files", Owner{0, 0, 0o1777}, Owner{0, 0, 0o755}, true},
		{"no listing", Owner{0, 0, 0o1777}, Owner{0, 0, 0o1733}, true},
		{"more than in the polydir", Owner{0, 0, 0o755}, Owner{0, 0, 0o1777}, false},
		{"the polydir is closed, too", Owner{0, 0, 0o755}, Owner{0, 0, 0o700}, true},
		{"a polydir for its owner", Owner{0, 0, 0o700}, Owner{0, 0, 0o700}, false},
		{"the user's own", Owner{1001, 1001, 0o700}, Owner{1001, 1001, 0o500}, true},
		{"the user's own, closed to others", Owner{1001, 1001, 0o755}, Owner{1001, 1001, 0o700}, false},
		{"by the user's group", Owner{0, 0, 0o1777}, Owner{0, 1001, 0o1770}, false},
		{"not by the user's group", Owner{0, 0, 0o1777}, Owner{0, 1001, 0o1707}, true},
		{"by a group that may be the user's", Owner{0, 0, 0o1777}, Owner{0, staff, 0o1770}, false},
		{"by a group that nobody is in", Owner{0, 0, 0o1777}, Owner{0, 0, 0o1770}, true},
		{"of a group that may be the user's", Owner{0, staff, 0o2770}, Owner{0, staff, 0o2750}, true},
		{"of a group that may be the user's, whole", Owner{0, staff, 0o2770}, Owner{0, staff, 0o3770}, false},
	} {
		if got := closed(alice, c.polydir, c.instance); got != c.want {
			t.Errorf("%s: %s in place of %s: %v, want %v", c.name, c.instance, c.polydir, got, c.want)
		}
		if closed(Subject{}, c.polydir, c.instance) {
			t.Errorf("%s: root can do less", c.name)
		}
	}
}
