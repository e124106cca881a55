package config

import (
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// source reads a test's file; messages show its base name.
func source(t testing.TB, path string) Source {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Source{Name: filepath.Base(path), Data: data}
}

// testdata/refused holds files with mistakes. Beside each NAME.conf stand the
// exact messages, NAME.err, and its drop-ins if it has any, NAME.d.
func TestRefused(t *testing.T) {
	files, _ := filepath.Glob("testdata/refused/*.conf")
	if len(files) == 0 {
		t.Fatal("no test files")
	}
	for _, path := range files {
		base := strings.TrimSuffix(path, ".conf")
		t.Run(filepath.Base(base), func(t *testing.T) {
			var dropins []Source
			more, _ := filepath.Glob(base + ".d/*.conf")
			for _, m := range more {
				dropins = append(dropins, source(t, m))
			}
			c, problems := Parse(source(t, path), dropins)
			if len(problems) == 0 || c != nil {
				t.Fatalf("accepted; Config %v", c)
			}
			compare(t, base+".err", problems.Error()+"\n")
		})
	}
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", golden, got, want)
	}
}

// Every message is lower case at its beginning, on one line, without a full stop.
func TestMessageForm(t *testing.T) {
	files, _ := filepath.Glob("testdata/refused/*.err")
	form := regexp.MustCompile(`^[^ :]+(:\d+:\d+)?: (polydir "[^ ]*": )?("|[$a-z0-9]|TOML: ).*[^.]$`)
	for _, path := range files {
		for _, line := range strings.Split(strings.TrimSpace(string(source(t, path).Data)), "\n") {
			if !form.MatchString(line) {
				t.Errorf("%s: %s", path, line)
			}
		}
	}
}

func parseOK(t *testing.T, text string, dropins ...string) *Config {
	t.Helper()
	var more []Source
	for _, d := range dropins {
		more = append(more, Source{"drop-in", []byte(d)})
	}
	c, problems := Parse(Source{"main", []byte(text)}, more)
	if problems != nil {
		t.Fatalf("refused:\n%v", problems)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := parseOK(t, `
[[polydir]]
path = "/tmp/"
method = "user"
instance_prefix = "/inst/tmp/x-"
`)
	at := func(line int) Position { return Position{"main", line, 1} }
	want := &Config{
		Namespace: Namespace{
			Scope: "session", Propagation: "slave", Nested: "replace",
			Rescue: UserList{{Name: "root"}}, Timeout: 30 * time.Second,
			Set: map[string]Position{},
		},
		Polydirs: []Polydir{{
			Pos:    at(2),
			KeyPos: map[string]Position{"path": at(3), "method": at(4), "instance_prefix": at(5)},
			Path:   "/tmp", Prefix: "/inst/tmp/x-", Method: "user",
			MountOptions: NoSuid | NoDev, WithoutContext: "refuse",
			InstanceName: "$USER", InitWhen: "new", InitTimeout: 10 * time.Second, Proc: Proc{HidePID: "invisible"},
		}},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestEverything(t *testing.T) {
	c := parseOK(t, `
[namespace]
scope = "user"
propagation = "private"
unshare = ["mount", "uts"]
uts = "private"
nested = "escape"
rescue = ["@wheel", "uid:0"]
timeout = "1m30s"

[[polydir]]
path = "$HOME"
instance_prefix = "$HOME/$USER.inst/"
method = "level"
only = ["alice", "@domain users", "uid:2000-2999"]
services = ["sshd"]
mount_options = ["ro", "nosymfollow", "noexec"]
keep = [".a..b"]
create = { mode = "02770", group = "grp-$USER" }
skel = true
quota = { bytes = "10g", inodes = 7 }
shared = true
without_context = "user"
instance_name = "$UID"
hash_names = true
init = "/etc/x.init"
init_when = "always"
init_timeout = "2s"
parent_in_unsafe_dir = true
allow_network_fs = true
parent_mode = "any"
`, `
[[polydir]]
path = "/a..b/$$x/$UID"
method = "tmpfs"
mount_options = []
tmpfs = { size = "50%", inodes = 3, mode = "0000", noswap = true }
create = {}
[[polydir]]
path = "/dev/shm"
method = "tmpfs"
tmpfs.size = 4096
`)
	ns := c.Namespace
	set := ns.Set
	ns.Set = nil
	wantNS := Namespace{Scope: "user", Propagation: "private", UTS: true, Nested: "escape", Timeout: 90 * time.Second,
		Rescue: UserList{
			{Kind: GroupName, Name: "wheel", Pos: Position{"main", 8, 11}},
			{Kind: UIDRange, Pos: Position{"main", 8, 21}}}}
	if !reflect.DeepEqual(ns, wantNS) {
		t.Errorf("namespace: got %+v", ns)
	}
	if (set["uts"] != Position{"main", 6, 1}) || (set["scope"] != Position{"main", 3, 1}) || len(set) != 7 {
		t.Errorf("set: %v", set)
	}
	p := c.Polydirs[0]
	create := *p.Create
	p.Create, p.KeyPos = nil, nil
	wantP := Polydir{Pos: Position{"main", 11, 1}, Path: "$HOME", Prefix: "$HOME/$USER.inst/", Method: "level",
		Only: UserList{
			{Name: "alice", Pos: Position{"main", 15, 9}},
			{Kind: GroupName, Name: "domain users", Pos: Position{"main", 15, 18}},
			{Kind: UIDRange, Min: 2000, Max: 2999, Pos: Position{"main", 15, 35}}},
		Services: []string{"sshd"}, MountOptions: ReadOnly | NoSymFollow | NoExec, Keep: []string{".a..b"},
		Skel: true, Quota: Quota{10 << 30, 7}, Shared: true, WithoutContext: "user", InstanceName: "$UID", HashNames: true,
		Init: "/etc/x.init", InitWhen: "always", InitTimeout: 2 * time.Second,
		ParentInUnsafeDir: true, AllowNetworkFS: true, ParentModeAny: true, Proc: Proc{HidePID: "invisible"}}
	if !reflect.DeepEqual(p, wantP) {
		t.Errorf("polydir: got\n%+v\nwant\n%+v", p, wantP)
	}
	if (create != Create{0o2770, "$USER", "grp-$USER", Position{"main", 19, 1}}) {
		t.Errorf("create: %+v", create)
	}
	q := c.Polydirs[1]
	if (q.Tmpfs != Tmpfs{SizePct: 50, Inodes: 3, HasMode: true, NoSwap: true, Set: true}) || q.MountOptions != 0 {
		t.Errorf("tmpfs: %+v", q)
	}
	if q.Path != "/a..b/$$x/$UID" || q.Create == nil || q.Create.Mode != 0o700 || q.Create.Owner != "$USER" {
		t.Errorf("second polydir: %+v", q)
	}
	if (q.KeyPos["tmpfs.noswap"] != Position{"drop-in", 6, 52}) {
		t.Errorf("place of tmpfs.noswap: %v", q.KeyPos["tmpfs.noswap"])
	}
	if c.Polydirs[2].Tmpfs.Size != 4096 {
		t.Errorf("third polydir: %+v", c.Polydirs[2])
	}
}

func TestNetworkByUnshare(t *testing.T) {
	ns := parseOK(t, "namespace.unshare = [\"net\", \"ipc\"]\nnamespace.polydirs = \"none\"").Namespace
	if !ns.Network || !ns.IPC || ns.UTS || ns.Set["network"].Col != 22 {
		t.Errorf("got %+v", ns)
	}
}

func TestPrivateNamespaces(t *testing.T) {
	ns := parseOK(t, "[namespace]\nipc = 'private'\nnetwork = 'private'\nuts = 'shared'\npolydirs = 'none'").Namespace
	if !ns.IPC || !ns.Network || ns.UTS {
		t.Errorf("got %+v", ns)
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]Tmpfs{
		`size = "1%"`:       {SizePct: 1},
		`size = "100%"`:     {SizePct: 100},
		`size = "1"`:        {Size: 1},
		`size = "3k"`:       {Size: 3 << 10},
		`size = "7P"`:       {Size: 7 << 50},
		`size = "8388607T"`: {Size: 8388607 << 40},
		`mode = "007"`:      {Mode: 7, HasMode: true},
		`mode = "07777"`:    {Mode: 0o7777, HasMode: true},
	} {
		got := parseOK(t, "[[polydir]]\npath = '/x'\nmethod = 'tmpfs'\ntmpfs = { "+text+" }").Polydirs[0].Tmpfs
		if want.Set = true; got != want {
			t.Errorf("%s: got %+v", text, got)
		}
	}
	for _, s := range []string{"0%", "%", "-1%", "1.5%", "5 %"} {
		if _, ok, f := parsePercent(s); !ok || f == nil {
			t.Errorf("%q accepted", s)
		}
	}
}

func TestRescueOfNobody(t *testing.T) {
	if r := parseOK(t, `namespace = { rescue = [], polydirs = "none" }`).Namespace.Rescue; len(r) != 0 {
		t.Errorf("got %v", r)
	}
}

// A configuration without a polydir is one only where it says that this is
// meant: an empty file may be an accident.
func TestNoPolydir(t *testing.T) {
	for text, ok := range map[string]bool{
		"": false, "\xef\xbb\xbf# nothing\r\n": false, "[namespace]\n": false, "polydir = []\n": false,
		"[namespace]\npolydirs = \"none\"\n": true, "\xef\xbb\xbf# nothing\r\n[namespace]\r\npolydirs = 'none'": true,
	} {
		c, problems := Parse(Source{"main", []byte(text)}, nil)
		if ok != (problems == nil) || ok && (len(c.Polydirs) != 0 || !c.Namespace.NoPolydirs) {
			t.Errorf("%q: %+v, %v", text, c, problems)
		}
	}
	const shm = "[[polydir]]\npath = '/dev/shm'\nmethod = 'tmpfs'\n"
	parseOK(t, "", shm)
	// a package's main file stays as it is where drop-ins have the polydirs
	parseOK(t, "[namespace]\npolydirs = 'none'\n", shm)
}

// Two polydirs may share a path where no session can meet both, or where that
// depends on the user.
func TestNestedOf(t *testing.T) {
	keep := NestedKeep
	for _, c := range []struct {
		file, service string
		line          Args
		want          Nested
	}{
		{``, "su", Args{}, NestedReplace},
		{`nested = "keep"`, "su", Args{}, NestedKeep},
		{`nested = { sudo = "keep" }`, "sudo", Args{}, NestedKeep},
		{`nested = { sudo = "keep" }`, "sudo-i", Args{}, NestedReplace},
		{`nested = { default = "keep", sudo = "replace" }`, "sudo", Args{}, NestedReplace},
		{`nested = { default = "keep", sudo = "replace" }`, "su", Args{}, NestedKeep},
		{"nested.default = 'escape'\nnested.su = 'keep'", "su", Args{}, NestedKeep},
		{"nested.default = 'escape'\nnested.su = 'keep'", "cron", Args{}, NestedEscape},
		{"[namespace.nested]\n\"su-l\" = 'keep'", "su-l", Args{}, NestedKeep},
		{`nested = { default = "escape", sudo = "replace" }`, "sudo", Args{Nested: &keep}, NestedKeep},
	} {
		n := parseOK(t, "[namespace]\npolydirs = 'none'\n"+c.file+"\n").Namespace
		if got := n.NestedOf(c.service, c.line); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.file, c.service, got, c.want)
		}
	}
	n := parseOK(t, "[namespace]\nnested = {\n default = 'keep',\n  sudo = 'replace' }\npolydirs = 'none'\n").Namespace
	want := map[string]Position{"nested": {"main", 2, 1}, "nested.default": {"main", 3, 2}, "nested.sudo": {"main", 4, 3}, "polydirs": {"main", 5, 1}}
	if !reflect.DeepEqual(n.Set, want) {
		t.Errorf("places: %v", n.Set)
	}
}

func TestSharedPath(t *testing.T) {
	polydir := func(more string) string {
		return "[[polydir]]\npath = \"/tmp\"\nmethod = \"tmpfs\"\n" + more + "\n"
	}
	for _, tc := range []struct {
		a, b string
		ok   bool
	}{
		{`services = ["sshd"]`, `services = ["login"]`, true},
		{`services = ["sshd"]`, `services = ["login", "sshd"]`, false},
		{`services = ["sshd"]`, ``, false},
		{``, ``, false},
		{`only = ["alice"]`, ``, true},
		{``, `only = ["alice"]`, true},
		{`except = ["alice"]`, `except = ["bob"]`, false},
	} {
		_, problems := Parse(Source{"main", []byte(polydir(tc.a))}, []Source{{"more", []byte(polydir(tc.b))}})
		if (problems == nil) != tc.ok {
			t.Errorf("%q and %q: %v", tc.a, tc.b, problems)
		}
	}
}

func TestLongPath(t *testing.T) {
	file := func(n int) Source {
		return Source{"main", []byte("[[polydir]]\nmethod = \"tmpfs\"\npath = \"/" + strings.Repeat("x/", n/2-1) + "y\"\n")}
	}
	if _, problems := Parse(file(4094), nil); problems != nil {
		t.Errorf("4094 bytes: %v", problems)
	}
	_, problems := Parse(file(4096), nil)
	if problems == nil || problems[0].Message != "path: 4096 bytes long, want at most 4095" {
		t.Errorf("4096 bytes: %v", problems)
	}
}

func TestLongFile(t *testing.T) {
	const none = "namespace.polydirs = 'none'\n"
	parseOK(t, none+strings.Repeat("#", maxFile-len(none)))
	_, problems := Parse(Source{"main", []byte(strings.Repeat("#", maxFile+1))}, nil)
	if problems.Error() != "main: 262145 bytes long, want at most 262144" {
		t.Errorf("got %v", problems)
	}
	_, problems = Parse(Source{"main", []byte("x=" + strings.Repeat("[", maxFile-2))}, nil)
	if len(problems) != 1 {
		t.Errorf("deep nesting: %v", problems)
	}
}

func TestGroups(t *testing.T) {
	c := parseOK(t, `
[namespace]
rescue = ["root", "@wheel"]
[[polydir]]
path = "/a"
method = "tmpfs"
except = ["@wheel", "@adm", "zoe"]
[[polydir]]
path = "/b"
method = "tmpfs"
only = ["@students", "uid:5"]
`)
	if got := c.Groups(); !reflect.DeepEqual(got, []string{"adm", "students", "wheel"}) {
		t.Errorf("got %q", got)
	}
}

func TestString(t *testing.T) {
	for want, got := range map[string]string{
		"nosuid,nodev":                    (NoSuid | NoDev).String(),
		"nosuid,noexec,nosymfollow,ro":    (NoSuid | NoExec | NoSymFollow | ReadOnly).String(),
		"":                                MountFlags(0).String(),
		"root,@wheel,uid:5,uid:1000-1999": UserList{{Name: "root"}, {Kind: GroupName, Name: "wheel"}, {Kind: UIDRange, Min: 5, Max: 5}, {Kind: UIDRange, Min: 1000, Max: 1999}}.String(),
		"f":                               Position{File: "f"}.String(),
		"f:1:2":                           Position{"f", 1, 2}.String(),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNamePattern(t *testing.T) {
	for pattern, names := range map[string]map[string]bool{
		"agent-*": {"agent-": true, "agent-1": true, "agent": false, "xagent-1": false, "agent-*": true},
		"*-bot":   {"-bot": true, "a-bot": true, "a-bots": false},
		"a*b*c":   {"abc": true, "axxbyyc": true, "acb": false, "abcx": false, "ab": false, "abbc": true},
		"a*a":     {"a": false, "aa": true, "aba": true},
		"*x*":     {"x": true, "axb": true, "ab": false},
		"a**b":    {"ab": true, "axb": true},
		"2024*":   {"20240017": true, "2023": false},
	} {
		u, f := parseUser(pattern)
		if f != nil || u.Kind != NamePattern || u.String() != pattern {
			t.Errorf("%s: %+v, %v", pattern, u, f)
		}
		for name, want := range names {
			if u.Matches(name) != want {
				t.Errorf("%s matches %s: %v", pattern, name, !want)
			}
		}
	}
}
