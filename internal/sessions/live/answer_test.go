package live

import (
	"testing"

	"pam_polyinst/internal/kernel/mntns"
)

// A directory is in use if it is shown, or something below it is; on another device the same
// path is another directory.
func TestShown(t *testing.T) {
	var u Uses
	dirs := map[string]bool{"/i/alice": true, "/i/al": false, "/i": true, "/i/alice/deep": false, "/i/bob": false, "/": true, "/other": false}
	for dir := range dirs {
		u.Want(mntns.Location{Dev: 7, Path: dir})
	}
	u.shown(mntns.Location{Dev: 7, Path: "/i/alice/sub"})
	u.shown(mntns.Location{Dev: 8, Path: "/i/bob"})
	for dir, used := range dirs {
		want := Free
		if used {
			want = InUse
		}
		if got := u.Of(mntns.Location{Dev: 7, Path: dir}, 1001, true); got != want {
			t.Errorf("%s: %v, want %v", dir, got, want)
		}
	}
	if got := u.Of(mntns.Location{Dev: 7, Path: "/not/asked"}, 1001, true); got != InDoubt {
		t.Errorf("what nobody asked about: %v", got)
	}
	for _, shown := range []string{"/", "/part"} { // the root of a filesystem
		var u Uses
		u.Want(mntns.Location{Dev: 7, Path: "/"})
		u.shown(mntns.Location{Dev: 7, Path: shown})
		if got := u.Of(mntns.Location{Dev: 7, Path: "/"}, 0, true); got != InUse {
			t.Errorf("a filesystem of which %s is shown: %v", shown, got)
		}
	}
}

// What was not read is in doubt for whose doing that is, and for all where it is not known
// whose: one user's mounts keep nobody else's instance.
func TestDoubt(t *testing.T) {
	of := mntns.Location{Dev: 7, Path: "/i/alice"}
	for what, c := range map[string]struct {
		doubt doubt
		uid   uint32
		known bool
		want  Answer
	}{
		"none of theirs":                      {doubt{uid: 1002}, 1001, true, Free},
		"theirs":                              {doubt{uid: 1001}, 1001, true, InDoubt},
		"whose the directory is is not known": {doubt{uid: 1002}, 1001, false, InDoubt},
		"whose the mount is is not known":     {doubt{uid: 1002, everybody: true}, 1001, true, InDoubt},
		"on this device":                      {doubt{device: 7, uid: 1001}, 1001, true, InDoubt},
		"on another one":                      {doubt{device: 8, everybody: true}, 1001, true, Free},
	} {
		var u Uses
		u.Want(of)
		u.doubt(c.doubt)
		u.doubt(c.doubt)
		if got := u.Of(of, c.uid, c.known); got != c.want || len(u.doubts) != 1 {
			t.Errorf("%s: %v, %d doubts, want %v", what, got, len(u.doubts), c.want)
		}
		u.shown(of)
		if got := u.Of(of, c.uid, c.known); got != InUse {
			t.Errorf("%s, and it is shown: %v", what, got)
		}
	}
}

// Nothing is looked at where nothing is asked about, and a namespace that can show nothing of
// it is left out.
func TestPasses(t *testing.T) {
	u := Uses{Skip: func(ever uint64, number mntns.ID) bool { return ever == 5 || number == 9 }}
	for _, c := range []struct {
		ever   uint64
		number mntns.ID
		want   bool
	}{{1, 1, true}, {5, 1, false}, {1, 9, false}, {0, 1, true}} {
		if got := u.passes(c.ever, c.number, 0); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	if u.visited != 4 {
		t.Errorf("%d are counted", u.visited)
	}
	if err := (&Uses{Task: func(Task) bool { t.Error("a task is looked at"); return false }}).Look(); err != nil {
		t.Error(err)
	}
}
