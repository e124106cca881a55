package instance

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/kernel/dirfd"
)

// parentOf is a handle of a directory of the test's, with what is below it.
func parentOf(t *testing.T, dirs ...string) dirfd.Dir {
	t.Helper()
	path := t.TempDir()
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(path, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	dir := dirfd.FromFD(fd, path)
	t.Cleanup(dir.Close)
	return dir
}

// A lock's owner, mode and time say what is known of its instance (decision 12): these
// numbers are on disks, and no version may give them another meaning.
func TestState(t *testing.T) {
	if got := [...]uint32{OfNobody, Begun, OfOne, OfMany}; got != [...]uint32{0, 0o300, 0o700, 0o1700} {
		t.Errorf("the modes are %o", got)
	}
	got := stateOf(dirfd.Stat{UID: 1001, Mode: 0o700, ModTime: 1750000000})
	if want := (State{Mode: OfOne, UID: 1001, LastOpen: time.Unix(1750000000, 0)}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	for _, c := range []struct {
		of          Opening
		owner, mode uint32
	}{{Opening{UID: 1001}, 1001, OfOne}, {Opening{UID: 0}, 0, OfOne}, {Opening{UID: 1001, Shared: true}, 0, OfMany}} {
		if owner, mode := c.of.claim(); owner != c.owner || mode != c.mode {
			t.Errorf("%+v claims uid %d, mode %04o", c.of, owner, mode)
		}
	}
}

// What nobody has made is nothing, and what is not root's is no lock: an instance is held
// by whoever can open its lock.
func TestLook(t *testing.T) {
	none := parentOf(t, "alice")
	if s, ok, err := Look(none, "alice"); ok || err != nil || s != (State{}) {
		t.Errorf("without locks: %+v, %v, %v", s, ok, err)
	}
	if _, recorded := UID(none, "alice"); recorded || WasBegun(none, "alice") {
		t.Error("without locks something is recorded")
	}
	if _, err := OpenLocks(none); !dirfd.IsNotExist(err) {
		t.Errorf("without locks: %v", err)
	}
	theirs := parentOf(t, "alice", ".lock/alice")
	uid := os.Getuid()
	if uid == 0 {
		uid = 1001
		if err := os.Chown(filepath.Join(theirs.Path(), layout.LockDir), uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	want := fmt.Sprintf("owned by uid %d, want root", uid)
	if _, ok, err := Look(theirs, "alice"); ok || err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a user's locks: %v, %v, want %q", ok, err, want)
	}
	if _, recorded := UID(theirs, "alice"); recorded || WasBegun(theirs, "alice") {
		t.Error("a user's locks record something")
	}
	if err := Touch(theirs, "alice"); err == nil {
		t.Error("a user's lock is touched")
	}
	file := parentOf(t)
	if err := os.WriteFile(filepath.Join(file.Path(), layout.LockDir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLocks(file); err == nil || !strings.Contains(err.Error(), "is a regular file, not a directory") {
		t.Errorf("a file: %v", err)
	}
}

// Nothing is held in a parent that is not root's alone.
func TestHold(t *testing.T) {
	parent := parentOf(t)
	if os.Getuid() == 0 {
		if err := os.Chmod(parent.Path(), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if g, err := Hold(parent, "alice"); g != nil || err == nil {
		t.Errorf("%v, %v", g, err)
	}
}

// A directory is not renamed for three reasons, and each is one of the place, not of a
// moment: the instance is then made under its own name.
func TestCannotRename(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{unix.EACCES, true}, {unix.EPERM, true}, {unix.EINVAL, true}, {unix.EXDEV, true},
		{&fs.PathError{Op: "rename", Path: "x", Err: unix.EXDEV}, true},
		{unix.EEXIST, false}, {unix.ENOENT, false}, {unix.ENOSPC, false}, {unix.EROFS, false}, {nil, false},
	} {
		if got := CannotRename(c.err); got != c.want {
			t.Errorf("%v: %v", c.err, got)
		}
	}
}

// An overlay's changes lie in two directories, and a link in the place of one is none.
func TestLayers(t *testing.T) {
	whole := parentOf(t, "upper", "work")
	// root's alone, or they are no changes of an overlay's
	for mode, root := range map[os.FileMode]bool{LayersMode: true, 0o755: false} {
		if err := os.Chmod(whole.Path(), mode); err != nil {
			t.Fatal(err)
		}
		if got, want := HoldsLayers(whole), root && os.Getuid() == 0; got != want {
			t.Errorf("uid %d, mode %04o: %v", os.Getuid(), mode, got)
		}
	}
	l, err := OpenLayers(whole)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if l.Upper.IsOpen() || l.Work.IsOpen() {
		t.Error("a handle is left open")
	}
	for what, dirs := range map[string][]string{"nothing": nil, "one": {"upper"}, "the other": {"work"}} {
		if l, err := OpenLayers(parentOf(t, dirs...)); !dirfd.IsNotExist(err) || l != (Layers{}) {
			t.Errorf("%s: %v, %v", what, l, err)
		}
	}
	link := parentOf(t, "upper", "elsewhere")
	if err := os.Symlink("elsewhere", filepath.Join(link.Path(), "work")); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenLayers(link); err == nil || !strings.Contains(err.Error(), "is a symbolic link, not a directory") {
		t.Errorf("a link: %v", err)
	}
	if used, err := LayersInUse(parentOf(t)); used || err != nil {
		t.Errorf("an instance without changes: %v, %v", used, err)
	}
}

// A number that belongs to something, or that another session has claimed, is passed over;
// what cannot be asked or noted gives none; and the search has an end, with a message.
func TestChooseProject(t *testing.T) {
	free := func(uint32) (bool, error) { return true, nil }
	some := projects{path: "/i/tmp/alice", mine: func() (uint32, error) { return 0, nil }, unused: free,
		claim: func(uint32) error { return nil }, note: func(uint32) error { return nil }}
	first, second := layout.ProjectID(some.path, 0), layout.ProjectID(some.path, 1)
	broken := errors.New("it is broken")
	for what, c := range map[string]struct {
		change func(*projects)
		id     uint32
		want   string
	}{
		"free":             {func(*projects) {}, first, ""},
		"it has one":       {func(p *projects) { p.mine = func() (uint32, error) { return 7, nil } }, 7, ""},
		"used":             {func(p *projects) { p.unused = func(id uint32) (bool, error) { return id != first, nil } }, second, ""},
		"claimed":          {func(p *projects) { p.claim = func(id uint32) error { return map[uint32]error{first: fs.ErrExist}[id] } }, second, ""},
		"not to be told":   {func(p *projects) { p.mine = func() (uint32, error) { return 0, broken } }, 0, "it is broken"},
		"not to be asked":  {func(p *projects) { p.unused = func(uint32) (bool, error) { return false, broken } }, 0, "it is broken"},
		"not to be made":   {func(p *projects) { p.claim = func(uint32) error { return broken } }, first, "it is broken"},
		"not to be noted":  {func(p *projects) { p.note = func(uint32) error { return broken } }, first, "it is broken"},
		"all of them used": {func(p *projects) { p.unused = func(uint32) (bool, error) { return false, nil } }, 0, `quota: instance parent "/i/tmp": no project is free`},
	} {
		p := some
		c.change(&p)
		id, err := chooseProject(p)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if id != c.id || got != c.want {
			t.Errorf("%s: %d, %q, want %d, %q", what, id, got, c.id, c.want)
		}
	}
}

func TestSoonest(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	if soonest(early, late) != early || soonest(late, early) != early {
		t.Error("the later one")
	}
}
