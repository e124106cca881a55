package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// full is a record in which every field says something.
var full = Record{
	Identity: mntns.Identity{NS: 4026532001, Root: 4294967301, Unique: true, Ever: 1 << 62},
	Host:     4026531841, Base: 4026531999,
	Private: mntns.IDs{"ipc": 11, "net": 12}, HostPrivate: mntns.IDs{"ipc": 21, "net": 22},
	User: "alice", UID: math.MaxUint32 - 1, Service: "sshd", TTY: "ssh", RHost: "10.0.0.7", Opened: 1750000000, HostPID: 4711,
	Digest: "d1", View: "v1",
	Sessions: []Session{{Service: "su", TTY: "pts/3", RHost: "host", Opened: 1750000001, HostPID: 5, Worker: 6}},
	Polydirs: []Polydir{
		{Path: "/var/tmp", Real: "/srv/tmp", Method: "overlay", Fresh: true, Parent: "/i", Name: "alice", Dev: 2049, Ino: 131, MountID: 77, Keep: []string{".X11-unix"}},
		{Path: "/x", Real: "/x", Method: "bind", Source: "/y"},
	},
	Emptied: true, Watched: true, Worker: "forked: the host lacks capabilities",
}

// fullText is what stands in its file. A program of another version reads it, while
// the session lives: what is renamed here is lost there.
const fullText = `{"NS":4026532001,"Root":4294967301,"Unique":true,"Ever":4611686018427387904,"Host":4026531841,"Base":4026531999,` +
	`"Private":{"ipc":11,"net":12},"HostPrivate":{"ipc":21,"net":22},` +
	`"User":"alice","UID":4294967294,"Service":"sshd","TTY":"ssh","RHost":"10.0.0.7","Opened":1750000000,"HostPID":4711,"Digest":"d1","View":"v1",` +
	`"Sessions":[{"Service":"su","TTY":"pts/3","RHost":"host","Opened":1750000001,"HostPID":5,"Worker":6}],` +
	`"Polydirs":[{"Path":"/var/tmp","Real":"/srv/tmp","Method":"overlay","Fresh":true,"Parent":"/i","Name":"alice","Dev":2049,"Ino":131,"MountID":77,"Keep":[".X11-unix"]},` +
	`{"Path":"/x","Real":"/x","Method":"bind","Source":"/y","Parent":"","Name":"","Dev":0,"Ino":0,"MountID":0}],` +
	`"Emptied":true,"Watched":true,"Worker":"forked: the host lacks capabilities"}`

func TestFormat(t *testing.T) {
	raw, err := json.Marshal(full)
	must(t, err)
	if string(raw) != fullText {
		t.Errorf("is written as\n%s\nwant\n%s", raw, fullText)
	}
	back, err := decode(raw)
	must(t, err)
	if !reflect.DeepEqual(*back, full) {
		t.Errorf("is read as %+v, want %+v", *back, full)
	}
	// a new field is to be in the record above, and so in the text
	for _, v := range []reflect.Value{reflect.ValueOf(full), reflect.ValueOf(full.Sessions[0])} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s.%s says nothing here", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Polydir]()) {
		if !slices.ContainsFunc(full.Polydirs, func(p Polydir) bool { return !reflect.ValueOf(p).FieldByIndex(f.Index).IsZero() }) {
			t.Errorf("no polydir here has a %s", f.Name)
		}
	}
}

// What an older version has left out means what it did then, and what a newer one has
// added is passed over: a session outlives an upgrade, and its undoing.
func TestFormatOfOtherVersions(t *testing.T) {
	const older = `{"NS":7,"Root":70,"Unique":true,"Host":3,"User":"bob","UID":1001,"Service":"su","TTY":"pts/1","RHost":"","Opened":5,"HostPID":9,"Digest":"d",` +
		`"Polydirs":[{"Path":"/tmp","Method":"tmpdir","Parent":"/i","Name":".tmpdir.a.b.c","Dev":1,"Ino":2,"MountID":3}]}`
	r, err := decode([]byte(older))
	must(t, err)
	if id := (mntns.Identity{NS: 7, Root: 70, Unique: true}); r.Identity != id || r.View != "" || r.Kinds() != mntns.Mount || len(r.Tmpdirs()) != 1 ||
		!slices.Equal(r.Covers(), []plan.Covered{{Path: "/tmp", Instance: "/i/.tmpdir.a.b.c"}}) || r.Worker != "" {
		t.Errorf("an older one: %+v", r)
	}
	newer, err := decode([]byte(strings.Replace(fullText, `"Host":`, `"Tomorrow":{"a":[1]},"Host":`, 1)))
	must(t, err)
	if !reflect.DeepEqual(*newer, full) {
		t.Errorf("a newer one: %+v", newer)
	}
}

func TestFormatMalformed(t *testing.T) {
	for _, text := range []string{"", "{", fullText[:len(fullText)/2], fullText + "x", `[]`, `"mnt"`, `{"NS":-1}`, `{"NS":"7"}`, `{"UID":4294967296}`, `{"Polydirs":{}}`,
		`{"Private":{"mnt":1.5}}`, "\x00" + fullText} {
		if r, err := decode([]byte(text)); err == nil || r != nil {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
}

// Whatever stands in a file, what was read can be asked for all that a record is asked
// for, and is written as it was read.
func FuzzFormat(f *testing.F) {
	f.Add([]byte(fullText))
	f.Add([]byte(`{"Polydirs":[{}],"Private":null}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := decode(raw)
		if err != nil {
			return
		}
		r.Kinds()
		r.Paths()
		if len(r.Covers()) < len(r.Polydirs) || len(r.Tmpdirs()) > len(r.Polydirs) {
			t.Errorf("%q: %+v", raw, r)
		}
		text, err := json.Marshal(r)
		must(t, err)
		again, err := decode(text)
		must(t, err)
		if second, _ := json.Marshal(again); string(second) != string(text) {
			t.Errorf("%s, and once more %s", text, second)
		}
	})
}

// storeIn is a store in a directory that is the test's own.
func storeIn(t *testing.T) (Store, string) {
	t.Helper()
	path := t.TempDir()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	must(t, err)
	s := Store{dirfd.FromFD(fd, path)}
	t.Cleanup(s.Close)
	return s, path
}

// Only what root wrote is a record, and none is longer than any that is written.
func TestFilesThatAreNoRecords(t *testing.T) {
	s, path := storeIn(t)
	put := func(name, text string, mode fs.FileMode) {
		t.Helper()
		file := filepath.Join(path, name)
		must(t, os.WriteFile(file, []byte(text), 0o600))
		must(t, os.Chmod(file, mode))
	}
	uid := os.Getuid()
	want := "owned by uid 1001, want root"
	put("mnt.1.1", fullText, 0o600)
	if uid == 0 {
		must(t, os.Chown(filepath.Join(path, "mnt.1.1"), 1001, 0))
	} else {
		want = fmt.Sprintf("owned by uid %d, want root", uid)
	}
	if r, err := s.read("mnt.1.1"); r != nil || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a user's: %+v, %v, want %q", r, err, want)
	}
	must(t, os.Symlink("mnt.1.1", filepath.Join(path, "mnt.2.2")))
	must(t, os.Mkdir(filepath.Join(path, "mnt.3.3"), 0o700))
	for _, name := range []string{"mnt.2.2", "mnt.3.3"} {
		if r, err := s.read(name); r != nil || err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := s.read("mnt.9.9"); r != nil || err != nil {
		t.Errorf("none: %+v, %v", r, err)
	}
	var bad []string
	all, err := s.List(func(err error) { bad = append(bad, err.Error()) })
	if err != nil || len(all) != 0 || len(bad) != 3 {
		t.Errorf("listed: %+v, %v; bad: %q", all, err, bad)
	}
	if uid != 0 {
		return // what follows reads files of root's
	}
	put("mnt.4.4", fullText, 0o620)
	put("mnt.5.5", fullText+strings.Repeat(" ", sizeLimit), 0o600)
	put("mnt.6.6", "{", 0o600)
	for name, want := range map[string]string{"mnt.4.4": "group or others can write it", "mnt.5.5": "is larger than 1048576 bytes", "mnt.6.6": path + "/mnt.6.6: "} {
		if r, err := s.read(name); r != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v, want %q", name, r, err, want)
		}
	}
}

// A file's name tells namespaces apart, and the id in it is read back.
func TestFileNames(t *testing.T) {
	for _, c := range []struct {
		id   mntns.Identity
		want []string
	}{
		{mntns.Identity{NS: 7, Root: 70, Unique: true, Ever: 700}, []string{"mnt.7.700", "mnt.7.m70", "mnt.7"}},
		{mntns.Identity{NS: 7, Root: 70, Unique: true}, []string{"mnt.7.m70", "mnt.7"}},
		{mntns.Identity{NS: 7, Root: 700}, []string{"mnt.7.m700", "mnt.7"}},
		{mntns.Identity{NS: math.MaxUint64, Ever: math.MaxUint64}, []string{"mnt.18446744073709551615.18446744073709551615", "mnt.18446744073709551615.m0", "mnt.18446744073709551615"}},
	} {
		if got := fileNames(c.id); !slices.Equal(got, c.want) || fileName(c.id) != c.want[0] {
			t.Errorf("%+v: %q and %q, want %q", c.id, got, fileName(c.id), c.want)
		}
		if got := everOf(c.want[0]); got != c.id.Ever {
			t.Errorf("%s: %d, want %d", c.want[0], got, c.id.Ever)
		}
	}
	for _, name := range []string{"", "mnt.", "mnt.7", "mnt.7.", "mnt.7.m70", "mnt.7.70x", "mnt.7.-1", "mnt.7.18446744073709551616", "dead.7.70", "user.7", "7.70", ".new.mnt.7.70"} {
		if got := everOf(name); got != 0 {
			t.Errorf("%q names namespace %d", name, got)
		}
	}
	s, path := storeIn(t)
	for _, name := range []string{"mnt.5.6", "mnt.x.6", "mnt.7.m7", "mnt.8", "dead.mnt.1.2", "user.1001", "empty"} {
		must(t, os.WriteFile(filepath.Join(path, name), nil, 0o600))
	}
	if got := s.Identities(); !slices.Equal(got, []mntns.Identity{{NS: 5, Ever: 6}}) {
		t.Errorf("that can be asked about: %+v", got)
	}
	if userName(math.MaxUint32) != "user.4294967295" {
		t.Error(userName(math.MaxUint32))
	}
}

// What a polydir shows has a path in the host's view, or the method's name.
func TestPolydirs(t *testing.T) {
	for _, c := range []struct {
		polydir          Polydir
		instance, onHost string
	}{
		{Polydir{Method: "user", Parent: "/i/tmp", Name: "alice"}, "/i/tmp/alice", "/i/tmp/alice"},
		{Polydir{Method: "bind", Source: "/srv/x"}, "/srv/x", "/srv/x"},
		{Polydir{Method: "tmpfs"}, "tmpfs", ""},
		{Polydir{Method: "proc"}, "proc", ""},
	} {
		if got := c.polydir.Instance(); got != c.instance {
			t.Errorf("%+v: %q, want %q", c.polydir, got, c.instance)
		}
		if got := c.polydir.OnHost(); got != c.onHost {
			t.Errorf("%+v: %q on the host, want %q", c.polydir, got, c.onHost)
		}
	}
	if got, want := full.Paths(), []string{"/var/tmp", "/srv/tmp", "/x", "/x"}; !slices.Equal(got, want) {
		t.Errorf("paths: %q, want %q", got, want)
	}
	covers := []plan.Covered{{Path: "/var/tmp", Instance: "/i/alice"}, {Path: "/srv/tmp", Instance: "/i/alice"}, {Path: "/x", Instance: "/y"}}
	if got := full.Covers(); !slices.Equal(got, covers) {
		t.Errorf("covers: %+v, want %+v", got, covers)
	}
	ends := Record{Polydirs: []Polydir{{Name: "a", Method: "tmpdir"}, {Name: "b", Method: "user"}, {Name: "c", Method: "overlay", Fresh: true}, {Name: "d", Method: "overlay"}}}
	var names []string
	for _, p := range ends.Tmpdirs() {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"a", "c"}) {
		t.Errorf("end with the session: %q", names)
	}
	if got, want := fmt.Sprint(full.IDs(), full.HostIDs(), full.Kinds()), "map[ipc:11 mnt:4026532001 net:12] map[ipc:21 mnt:4026531841 net:22] IPC, network, mount"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(full.Private) != 2 || len(full.HostPrivate) != 2 {
		t.Error("to ask a record changes it")
	}
}
