package dirfd

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/nstest"
)

// A file that takes another one's place has its owner, mode and attributes, but not
// what says of the content what that is; nothing is left beside it.
func TestReplace(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "f 2640 1001 file", "f 0644 0 other", "l 0 link other")
	d := open(t, dir)
	defer d.Close()
	for name, value := range map[string]string{"security.selinux": "a:b:c\x00", "user.note": "mine", "trusted.x": "\x00\x01", "security.ima": "x"} {
		if err := unix.Setxattr(dir+"/file", name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	f, err := d.OpenFile("file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	like, err := f.Likeness()
	if err != nil {
		t.Fatal(err)
	}
	before, _ := f.Stat()
	if err := d.Replace("file", []byte("new"), like); err != nil {
		t.Fatal(err)
	}
	now, err := d.OpenFile("file")
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	st, _ := now.Stat()
	if text, err := now.ReadAll(100); err != nil || string(text) != "new" || st.UID != 1001 || st.GID != 1001 || st.Mode != 0o2640 || st.ID == before.ID {
		t.Errorf("%q %v %+v", text, err, st)
	}
	if got, err := now.Likeness(); err != nil || len(got.attributes) != 3 || got.attributes["security.selinux"] != "a:b:c\x00" ||
		got.attributes["user.note"] != "mine" || got.attributes["trusted.x"] != "\x00\x01" {
		t.Errorf("%+v %v", got, err)
	}

	// a link is replaced, and what it leads to stays
	if err := d.Replace("link", []byte("new"), Likeness{Mode: 0o600}); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(dir + "/other"); string(text) != "other" {
		t.Errorf("the link's target: %q", text)
	}
	// what cannot be finished is not there
	if err := d.Replace("absent", nil, Likeness{attributes: map[string]string{"nonsense.x": ""}}); err == nil {
		t.Error("an attribute that nobody can set: no error")
	}
	if names, _ := d.Names(); len(names) != 3 {
		t.Errorf("%v", names)
	}
	if err := d.Remove("link"); err != nil {
		t.Error(err)
	}
	if err := d.Remove("link"); err != nil {
		t.Errorf("what is not there: %v", err)
	}
}

// What a dead writer has left goes, and nothing else that looks like it.
func TestRemoveUnfinishedOnly(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "f 0600 0 .new.su.0123456789abcdef", "f 0600 0 .new.su", "f 0600 0 .new.su.bak", "f 0600 0 .new.su.01234567", "f 0600 0 su.0123456789abcdef")
	d := open(t, dir)
	defer d.Close()
	if err := d.RemoveUnfinished(); err != nil {
		t.Fatal(err)
	}
	names, _ := d.Names()
	if len(names) != 4 || strings.Contains(strings.Join(names, " "), ".new.su.0123456789abcdef") {
		t.Errorf("%v", names)
	}
}
