package observe

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/lsm"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// write makes files below a directory of the test's: text by name; a name that ends in "/"
// is a directory.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
		} else {
			must(t, os.WriteFile(path, []byte(text), 0o644))
		}
	}
	return dir
}

func handle(t *testing.T, path string) dirfd.Dir {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	must(t, err)
	d := dirfd.FromFD(fd, path)
	t.Cleanup(d.Close)
	return d
}

// in moves the configuration into a directory of the test's.
func in(t *testing.T, dir string) {
	t.Helper()
	conf, vendor, state := ConfigDir, VendorDir, StateDir
	t.Cleanup(func() { ConfigDir, VendorDir, StateDir = conf, vendor, state })
	ConfigDir, VendorDir, StateDir = dir+"/etc", dir+"/vendor", dir+"/state"
}

func names(f Files, dir string) []string {
	var out []string
	for _, s := range f.All() {
		out = append(out, strings.TrimPrefix(s.Name, dir)+"="+string(s.Data))
	}
	return out
}

// Which files are the configuration: polyinst-namespace.conf(5), FILES.
func TestConfigFiles(t *testing.T) {
	for what, c := range map[string]struct {
		files map[string]string
		conf  string
		want  []string
	}{
		"one in /etc hides the vendor's": {map[string]string{"etc/namespace.conf": "a", "vendor/namespace.conf": "b"}, "", []string{"/etc/namespace.conf=a"}},
		"the vendor's alone":             {map[string]string{"vendor/namespace.conf": "b", "etc/": ""}, "", []string{"/vendor/namespace.conf=b"}},
		"drop-ins by name, of both": {map[string]string{"etc/namespace.conf": "a", "etc/namespace.d/20-x.conf": "x", "vendor/namespace.d/10-y.conf": "y", "vendor/namespace.d/30-z.conf": "z"}, "",
			[]string{"/etc/namespace.conf=a", "/vendor/namespace.d/10-y.conf=y", "/etc/namespace.d/20-x.conf=x", "/vendor/namespace.d/30-z.conf=z"}},
		"of one name that in /etc": {map[string]string{"etc/namespace.conf": "a", "etc/namespace.d/x.conf": "mine", "vendor/namespace.d/x.conf": "theirs"}, "",
			[]string{"/etc/namespace.conf=a", "/etc/namespace.d/x.conf=mine"}},
		"what is no drop-in": {map[string]string{"etc/namespace.conf": "a", "etc/namespace.d/.x.conf": "hidden", "etc/namespace.d/x.conf.bak": "old", "etc/namespace.d/conf": "c", "etc/namespace.d/x": "x"}, "",
			[]string{"/etc/namespace.conf=a"}},
		"another one has its own drop-ins": {map[string]string{"x/my.conf": "m", "x/namespace.d/1.conf": "1", "etc/namespace.d/2.conf": "2", "vendor/namespace.d/3.conf": "3"}, "/x/my.conf",
			[]string{"/x/my.conf=m", "/x/namespace.d/1.conf=1"}},
	} {
		dir := write(t, c.files)
		in(t, dir)
		conf := ""
		if c.conf != "" {
			conf = dir + c.conf
		}
		f, err := ConfigFiles(conf, false)
		if got := names(f, dir); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", what, got, err, c.want)
		}
	}
}

// What cannot be the configuration is an error with the file's name, and the main file
// keeps it.
func TestConfigFilesThatCannotBe(t *testing.T) {
	for what, c := range map[string]struct {
		files   map[string]string
		trusted bool
		want    string // behind the directory
	}{
		"none":              {map[string]string{"etc/": ""}, false, "/etc/namespace.conf: no such file or directory"},
		"a directory":       {map[string]string{"etc/namespace.conf/": ""}, false, "/etc/namespace.conf"},
		"too long":          {map[string]string{"etc/namespace.conf": strings.Repeat("#", sizeLimit+1)}, false, "/etc/namespace.conf: is larger than 1048576 bytes"},
		"others can change": {map[string]string{"etc/namespace.conf": "a"}, true, "only root may write there"},
	} {
		dir := write(t, c.files)
		must(t, os.Chmod(dir, 0o777))
		in(t, dir)
		f, err := ConfigFiles("", c.trusted)
		if got := strings.ReplaceAll(said(err), dir, ""); !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
		if f.Main.Name != dir+"/etc/namespace.conf" {
			t.Errorf("%s: the main file is %q", what, f.Main.Name)
		}
		if what == "none" {
			for conf, want := range map[string]bool{"": true, "/x.conf": false} {
				if hinted := strings.Contains(said(NoConfiguration(err, conf)), "begin with `polyinst edit`"); hinted != want {
					t.Errorf("conf=%s: a beginner is told what to do: %v", conf, hinted)
				}
			}
		}
	}
	if InitDir("") != ConfigDir+"/namespace.d" || InitDir("/x/my.conf") != "/x/namespace.d" || InitDir("/my.conf") != "//namespace.d" && InitDir("/my.conf") != "/namespace.d" {
		t.Error(InitDir(""), InitDir("/x/my.conf"), InitDir("/my.conf"))
	}
}

// A broken configuration says what is wrong in it, and without a good one there is none.
func TestLoadBroken(t *testing.T) {
	dir := write(t, map[string]string{"my.conf": "[[polydir]]\npath = \"/tmp\"\nmethd = \"user\"\n"})
	must(t, os.Chmod(dir, 0o777))
	in(t, dir)
	c := Load(config.Args{Conf: dir + "/my.conf", LastGood: true})
	if c.Config != nil || !c.Broken() || c.UsesGood || c.GoodErr == nil || c.Err == nil {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(said(c.GoodErr), "none was accepted: `polyinst check --accept` keeps one") {
		t.Errorf("%v", c.GoodErr)
	}
	// nobody but root is admitted in spite of it
	if r := c.Rescue(config.Args{}); !r.Broken || len(r.Lists) != 0 {
		t.Errorf("%+v", r)
	}
	if AcceptedRescue(dir+"/my.conf") != nil {
		t.Error("a list was accepted")
	}
}

// The last good configuration is what was accepted, or none.
func TestLastGood(t *testing.T) {
	files := Files{Main: config.Source{Name: "/etc/x.conf", Data: []byte("a\x00\n\"ä\"")}, Dropins: []config.Source{{Name: "/etc/namespace.d/1.conf", Data: []byte("b")}, {Name: "/etc/namespace.d/2.conf", Data: nil}}}
	raw, err := EncodeLastGood(files)
	must(t, err)
	back, err := decodeLastGood(config.Source{Name: "kept", Data: raw})
	must(t, err)
	if !slices.Equal(names(back, ""), names(files, "")) || back.Main.Name != files.Main.Name {
		t.Errorf("%q, want %q", names(back, ""), names(files, ""))
	}
	for what, c := range map[string]struct{ old, new, want string }{
		"a changed text":     {`"Data": "b"`, `"Data": "c"`, "kept: the digest of /etc/namespace.d/1.conf does not match"},
		"a digest too short": {`"SHA256": "3e`, `"SHA256": "`, "kept: the digest of /etc/namespace.d/1.conf does not match"},
		"cut short":          {`]`, ``, "kept: unexpected end of JSON input"},
		"of another kind":    {string(raw), `[]`, "kept: json: cannot unmarshal array"},
		"no file":            {string(raw), `{"Files":[]}`, "kept: names no file"},
		"nothing":            {string(raw), ``, "kept: unexpected end of JSON input"},
	} {
		text := strings.Replace(string(raw), c.old, c.new, 1)
		if text == string(raw) {
			t.Fatalf("%s: nothing is changed in %s", what, raw)
		}
		if what == "cut short" {
			text = text[:len(text)-2]
		}
		f, err := decodeLastGood(config.Source{Name: "kept", Data: []byte(text)})
		if !strings.HasPrefix(said(err), c.want) || f.Main.Name != "" {
			t.Errorf("%s: %+v, %v, want %q", what, f, err, c.want)
		}
	}
	// one for each main file; its name is on disks
	if got := LastGoodName("/etc/security/polyinst/namespace.conf"); got != "last-good-"+digest("/etc/security/polyinst/namespace.conf")[:16]+".json" || got == LastGoodName("/x.conf") {
		t.Error(got)
	}
	if got, want := digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want { // of FIPS 180-2
		t.Errorf("%s, want %s", got, want)
	}
}

func FuzzLastGood(f *testing.F) {
	raw, _ := EncodeLastGood(Files{Main: config.Source{Name: "a", Data: []byte("b")}})
	f.Add(raw)
	f.Add([]byte(`{"Files":[{}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		files, err := decodeLastGood(config.Source{Name: "kept", Data: raw})
		if err != nil {
			return
		}
		text, err := EncodeLastGood(files)
		must(t, err)
		again, err := decodeLastGood(config.Source{Name: "kept", Data: text})
		if err != nil || !reflect.DeepEqual(again, files) && !slices.EqualFunc(again.All(), files.All(), func(a, b config.Source) bool { return a.Name == b.Name && bytes.Equal(a.Data, b.Data) }) {
			t.Errorf("%q: %+v, %v", raw, again, err)
		}
	})
}

// A machine's names for instances tell it from others, and do not give its id away.
func TestMachineNames(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	if got := shortHash(id); len(got) != 8 || strings.Contains(id, got) || got == shortHash(id+"0") || got != shortHash(id) {
		t.Errorf("%q", got)
	}
	a, err := Machine(true)
	must(t, err)
	b, err := Machine(true)
	must(t, err)
	if a.MachineID != b.MachineID || a.BootID != b.BootID || a.Random == b.Random || len(a.Random) != 24 || a.BootID == "" || a.MachineID == "" {
		t.Errorf("%+v\n%+v", a, b)
	}
	dir := write(t, map[string]string{"id": "abc\ndef\n", "empty": ""})
	for name, want := range map[string]string{"id": "abc", "empty": ""} {
		if got, err := firstLine(dir + "/" + name); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := firstLine(dir + "/none"); !dirfd.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

// That nobody has an account is another refusal than that nobody could be asked, and a
// group that is not there another answer than one that the user is not in (I-13).
func TestAccount(t *testing.T) {
	s, r := Account("root", "su", []string{"root", "no-such-group-here"})
	if r != nil || s.UID != 0 || s.User != "root" || s.Typed != "root" || s.Service != "su" || s.Home == "" || s.Problem != "" ||
		s.Groups["root"] != plan.Member || s.Groups["no-such-group-here"] != plan.NoSuchGroup {
		t.Errorf("%+v, %v", s, r)
	}
	s, r = Account("no-such-account-here", "su", nil)
	if r == nil || !r.Unknown || r.Fault != plan.FaultUser || r.Reason != `the account "no-such-account-here" does not exist` || s.User != "" {
		t.Errorf("%+v, %+v", s, r)
	}
	if _, r := Account("", "su", nil); r == nil || !r.Unknown {
		t.Errorf("nobody: %+v", r)
	}
}

// The owner of what `create` makes is an account, and what is not there is named.
func TestOwner(t *testing.T) {
	for _, c := range []struct {
		owner, group, want string
	}{
		{"root", "", "0:0"},
		{"root", "root", "0:0"},
		{"no-such-account-here", "", `owner: there is no account "no-such-account-here"`},
		{"root", "no-such-group-here", `group: there is no group "no-such-group-here"`},
	} {
		uid, gid, err := Owner(c.owner, c.group)
		got := fmt.Sprintf("%d:%d", uid, gid)
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s:%s: %q, want %q", c.owner, c.group, got, c.want)
		}
	}
}

// What is found of a directory becomes facts, and what is wrong a message that does not
// name the path twice.
func TestFacts(t *testing.T) {
	stat := dirfd.Stat{ID: dirfd.ID{Dev: 1, Ino: 2}, UID: 3, GID: 4, Mode: 0o1777}
	exposure := dirfd.Exposure{Dir: "/home/bob", Reason: "owned by uid 1001", Swaps: []dirfd.Swap{{Dir: "/home/bob", Reason: "owned by uid 1001", UID: 1001, Others: true, Entry: true}}, ForeignReason: "on nfs", VoidOwners: true}
	swaps := []plan.Swap{{Dir: "/home/bob", Reason: "owned by uid 1001", UID: 1001, Others: true, Entry: true}}
	for what, c := range map[string]struct {
		way  dirfd.Way
		err  error
		want plan.DirFacts
	}{
		"there":             {dirfd.Way{Stat: stat}, nil, plan.DirFacts{Exists: true, ID: plan.FileID{Dev: 1, Ino: 2}, Owner: plan.Owner{UID: 3, GID: 4, Mode: 0o1777}}},
		"missing":           {dirfd.Way{Missing: true}, nil, plan.DirFacts{}},
		"where others are":  {dirfd.Way{Missing: true, Exposure: exposure}, nil, plan.DirFacts{Exposed: "/home/bob", Swaps: swaps, Foreign: "on nfs", VoidOwners: true}},
		"its own error":     {dirfd.Way{}, &fs.PathError{Op: "open", Path: "/x", Err: unix.EACCES}, plan.DirFacts{Problem: "permission denied"}},
		"one on the way":    {dirfd.Way{}, &fs.PathError{Op: "open", Path: "/y", Err: unix.ELOOP}, plan.DirFacts{Problem: "/y: too many levels of symbolic links"}},
		"one without":       {dirfd.Way{}, errors.New("it is odd"), plan.DirFacts{Problem: "it is odd"}},
		"with its exposure": {dirfd.Way{Exposure: exposure}, unix.EIO, plan.DirFacts{Problem: "input/output error", Exposed: "/home/bob", Swaps: swaps, Foreign: "on nfs", VoidOwners: true}},
	} {
		var s Scene
		if got := s.facts("/x", c.way, c.err); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", what, got, c.want)
		}
	}
}

// Whose fault a problem is: a limit is the caller's, and stays that; what is scarce anyone
// can bring about (I-15).
func TestNote(t *testing.T) {
	for _, c := range []struct {
		errs []error
		want plan.Fault
	}{
		{nil, plan.FaultConfig},
		{[]error{unix.EACCES}, plan.FaultConfig},
		{[]error{unix.EMFILE}, plan.FaultUser},
		{[]error{unix.ENOMEM}, plan.FaultAnyone},
		{[]error{unix.ENOMEM, unix.EMFILE}, plan.FaultUser},
		{[]error{unix.EMFILE, unix.ENOMEM}, plan.FaultUser},
		{[]error{unix.ENOMEM, unix.EACCES}, plan.FaultAnyone},
	} {
		var s Scene
		for _, err := range c.errs {
			s.problem(&fs.PathError{Op: "open", Path: "/x", Err: err})
		}
		if s.Facts.Short != c.want {
			t.Errorf("%v: %v, want %v", c.errs, s.Facts.Short, c.want)
		}
	}
}

// What stands where an instance, or an entry of one, is looked for.
func TestEntryFacts(t *testing.T) {
	dir := write(t, map[string]string{"sub/": "", "file": "x"})
	must(t, os.Symlink("sub", dir+"/link"))
	must(t, os.Chmod(dir+"/sub", 0o770|fs.ModeSticky))
	parent := handle(t, dir)
	root := handle(t, "/")
	for _, c := range []struct {
		of   dirfd.Dir
		name string
		want plan.DirFacts
	}{
		{parent, "none", plan.DirFacts{}},
		{parent, "file", plan.DirFacts{Problem: "is a regular file, not a directory"}},
		{parent, "link", plan.DirFacts{Problem: "is a symbolic link, not a directory"}},
		{root, "proc", plan.DirFacts{Problem: "another filesystem is mounted there"}},
		{parent, "sub", plan.DirFacts{Exists: true, Owner: plan.Owner{UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), Mode: 0o1770}}},
	} {
		d, err := c.of.LookupHere(c.name)
		got := EntryFacts(d, err)
		if c.want.Exists && got.ID == (plan.FileID{}) {
			t.Errorf("%s has no identity", c.name)
		}
		got.ID = plan.FileID{}
		if d.Close(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// A polydir that a session has begun to make is root's, shut and empty, on a way that is
// root's: whatever else is there somebody has made.
func TestUnfinished(t *testing.T) {
	dir := write(t, map[string]string{"empty/": "", "full/x": ""})
	for what, c := range map[string]struct {
		path   string
		change func(*dirfd.Way)
		want   bool
	}{
		"begun":                {"empty", func(*dirfd.Way) {}, true},
		"something is in it":   {"full", func(*dirfd.Way) {}, false},
		"a user's":             {"empty", func(w *dirfd.Way) { w.Stat.UID = 1001 }, false},
		"a group's":            {"empty", func(w *dirfd.Way) { w.Stat.GID = 1001 }, false},
		"open":                 {"empty", func(w *dirfd.Way) { w.Stat.Mode = 0o700 }, false},
		"others can rename it": {"empty", func(w *dirfd.Way) { w.Exposure.Swaps = []dirfd.Swap{{Dir: "/x"}} }, false},
		"nothing is there":     {"empty", func(w *dirfd.Way) { w.Dir = dirfd.Dir{} }, false},
	} {
		s := Scene{Polydir: dirfd.Way{Dir: handle(t, dir+"/"+c.path)}}
		c.change(&s.Polydir)
		if got := unfinished(&s); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// Of a pattern root's directories are kept, and of each of the user's own entries all that
// lies above it is looked at.
func TestKeep(t *testing.T) {
	s := Scene{Polydir: dirfd.Way{Dir: handle(t, "/")}}
	keep(&s, plan.Rule{Config: &config.Polydir{}, Keep: []plan.KeepName{{Name: "et*"}, {Name: "no-such-*"}, {Name: "no-such-entry"}, {Name: "etc"}, {Name: "x", Lost: "it is lost"}}})
	var got []string
	for _, f := range s.Facts.Keep {
		got = append(got, fmt.Sprint(f.Name, " ", f.Public.Exists, " ", f.Public.Owner.UID, f.Lost, f.Cut))
	}
	if want := []string{"etc true 0", "no-such-entry false 0", "etc true 0", "x false 0it is lost"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	s.Close()

	public, inside := write(t, map[string]string{"a/b/c/": "", "file": ""}), write(t, map[string]string{"a/": ""})
	own := func(name string) plan.KeepFacts {
		s := Scene{Polydir: dirfd.Way{Dir: handle(t, public)}, Instance: handle(t, inside)}
		s.Facts.Instance.Exists = true
		keep(&s, plan.Rule{Config: &config.Polydir{}, Keep: []plan.KeepName{{Name: name, Own: true}}})
		defer func() {
			for _, d := range s.Kept {
				d.Close()
			}
		}()
		return s.Facts.Keep[0]
	}
	if f := own("a/b/c"); len(f.Above) != 2 || !f.Above[1].Exists || !f.Public.Exists || len(f.Points) != 2 || !f.Points[0].Exists || f.Points[1].Exists || f.Inside.Exists {
		t.Errorf("%+v", f)
	}
	if f := own("a/none/c"); len(f.Above) != 2 || f.Above[1].Exists || f.Public.Exists || f.Public.Problem != "" {
		t.Errorf("%+v", f)
	}
	if f := own("file/x"); len(f.Above) != 1 || f.Above[0].Problem != "is a regular file, not a directory" || f.Public.Exists {
		t.Errorf("%+v", f)
	}
}

// What a session gets is asked of its host's thread, and not of this one.
func TestSecurityIsTheHosts(t *testing.T) {
	for what, c := range map[string]struct {
		files map[string]string
		from  ContextFrom
		want  plan.Security
		hint  string
	}{
		"AppArmor":                  {map[string]string{"attr/apparmor/current": "web (enforce)\n"}, ExecContext, plan.Security{Module: plan.AppArmor, Enforcing: true, Session: "web"}, `the profile "web"`},
		"AppArmor, our next execve": {map[string]string{"attr/apparmor/current": "web (enforce)\n", "attr/apparmor/exec": "user (complain)\n"}, ExecContext, plan.Security{Module: plan.AppArmor, Enforcing: true, Session: "web"}, `the profile "web"`},
		"AppArmor, its own":         {map[string]string{"attr/apparmor/current": "web (enforce)\n", "attr/apparmor/exec": "user (complain)\n"}, CurrentContext, plan.Security{Module: plan.AppArmor, Enforcing: true, Session: "web"}, `the profile "web"`},
		"AppArmor, complaining":     {map[string]string{"attr/apparmor/current": "web (complain)\n"}, ExecContext, plan.Security{Module: plan.AppArmor, Session: "web"}, `"web" in complain mode, which denies detached mounts all the same: it needs flags=(attach_disconnected`},
		"AppArmor, unconfined":      {map[string]string{"attr/apparmor/current": "unconfined\n"}, ExecContext, plan.Security{Module: plan.AppArmor}, ""},
		"Smack":                     {map[string]string{"attr/smack/current": "Secret"}, ExecContext, plan.Security{Module: plan.Smack, Enforcing: true, Session: "Secret"}, `the label "Secret"`},
		"none":                      {map[string]string{"status": ""}, ExecContext, plan.Security{}, ""},
	} {
		fd, err := unix.Open(write(t, c.files), unix.O_PATH|unix.O_CLOEXEC, 0)
		must(t, err)
		host := lsm.Of(fd)
		if got := underAnother(host, c.from); got != c.want {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
		if hint := deniedByAnother(host); (hint != "") != (c.hint != "") || !strings.Contains(hint, c.hint) {
			t.Errorf("%s: %q", what, hint)
		}
		_ = unix.Close(fd)
		if got := underAnother(host, c.from); got.Problem == "" || !got.Enforcing {
			t.Errorf("%s, and the host has gone: %+v", what, got)
		}
	}
	fd, err := unix.Open(write(t, map[string]string{"attr/current": "u:r:sshd_t:s0\x00", "attr/exec": "u:r:user_t:s2\x00"}), unix.O_PATH|unix.O_CLOEXEC, 0)
	must(t, err)
	defer unix.Close(fd)
	for from, want := range map[ContextFrom]string{ExecContext: "u:r:user_t:s2", CurrentContext: "u:r:sshd_t:s0"} {
		if got := underSELinux(lsm.Of(fd), from, plan.Subject{}); got.Session != want || got.Problem != "" {
			t.Errorf("SELinux, %d: %+v, want %q", from, got, want)
		}
	}
	if got := underSELinux(lsm.Of(-1), CurrentContext, plan.Subject{}); got.Problem == "" {
		t.Errorf("SELinux, and the host has gone: %+v", got)
	}
}

// What a security module without default contexts gives a session, and what it does not.
func TestOtherModule(t *testing.T) {
	smack := plan.Security{Module: plan.Smack, Enforcing: true, Session: "_"}
	for what, c := range map[string]struct {
		from ContextFrom
		err  error
		want plan.Security
	}{
		"its label":          {ExecContext, nil, smack},
		"the host's":         {CurrentContext, nil, smack},
		"a default":          {DefaultContext, nil, plan.Security{Module: plan.Smack, Enforcing: true, Session: "_", Problem: "use_default_context is for SELinux, and Smack has no default contexts: take it out of the PAM line"}},
		"it cannot be asked": {ExecContext, errors.New("it does not say"), plan.Security{Module: plan.Smack, Enforcing: true, Session: "_", Problem: "it does not say"}},
	} {
		if got := otherModule(c.from, smack, c.err); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
	}
	unconfined := otherModule(DefaultContext, plan.Security{Module: plan.AppArmor}, nil)
	if unconfined.Problem != "" || unconfined.Enforcing {
		t.Errorf("an unconfined program: %+v", unconfined)
	}
	if failed := otherModule(ExecContext, plan.Security{Module: plan.AppArmor}, errors.New("x")); !failed.Enforcing {
		t.Errorf("what cannot be told is not enforced: %+v", failed)
	}
}

// A parent in a user's home that the user keeps root from is that user's doing; one that is
// not there is none.
func TestOpenParent(t *testing.T) {
	dir := write(t, map[string]string{"theirs/": "", "file": ""})
	must(t, os.Chmod(dir, 0o777))
	must(t, os.Chmod(dir+"/theirs", 0o777))
	must(t, os.Symlink("theirs", dir+"/link"))
	for name, mentions := range map[string]string{"none": "", "none/deeper": "", "theirs": "and is to be root's alone: " + plan.LookAndMove, "link": "link", "file": "is a regular file, not a directory"} {
		way, err := OpenParent(dir + "/" + name)
		why, theirs := IsUsersDoing(err)
		if way.Dir.IsOpen() || theirs != (mentions != "") || !strings.Contains(why, mentions) {
			t.Errorf("%s: %v, %q, %v, want %q", name, theirs, why, err, mentions)
		}
	}
	if why, theirs := IsUsersDoing(errors.New("a fault of the machine's")); theirs || why != "" {
		t.Errorf("%q", why)
	}
	if IsInstance(dir + "/theirs") {
		t.Error("a directory without a lock is an instance")
	}
	if !MayBeShared(dirfd.Dir{}) {
		t.Error("what cannot be told is not shared")
	}
}

// What was put aside is no hint that somebody was renamed.
func TestAside(t *testing.T) {
	for name, want := range map[string]bool{"alice.uid-1001": true, "alice": false, "alice.uid-": false, "alice.uid-1x": false, "uid-1001": false} {
		if got := aside.MatchString(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}
