package dirfd

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/nstest"
)

// copied copies DIR/from into DIR/to, for uid 1001 and gid 1002.
func copied(t *testing.T, dir string) error {
	t.Helper()
	return CopyTree(open(t, dir+"/from"), open(t, dir+"/to"), 1001, 1002)
}

// listing is a tree in words: type and mode, owner, name, content or target.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%06o %d:%d %s", st.Mode, st.Uid, st.Gid, strings.TrimPrefix(path, dir+"/"))
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFREG:
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %q", st.Nlink, content)
		case syscall.S_IFLNK:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			line += " -> " + target
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestCopyTree(t *testing.T) {
	defer unix.Umask(unix.Umask(0o077)) // as the worker has it
	dir := nstest.Dir(t)
	nstest.Tree(t, dir,
		"d 0750 0 to", "d 0755 0 from",
		"f 0644 0 from/.profile", "f 4755 0 from/setuid", "f 2755 0 from/setgid",
		"d 2750 7 from/sub", "d 1777 0 from/sub/open", "d 0000 0 from/sub/closed", "f 0000 0 from/sub/closed/file",
		"l 0 from/link .profile", "l 7 from/away /etc", "l 0 from/broken no/such")
	if err := os.Link(dir+"/from/.profile", dir+"/from/second"); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(dir+"/from/.profile", "trusted.mark", []byte("x"), 0); err != nil {
		t.Log("the filesystem has no extended attributes:", err)
	}
	if err := copied(t, dir); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`100644 1001:1002 .profile 1 "from/.profile"`,
		`120777 1001:1002 away -> /etc`,
		`120777 1001:1002 broken -> no/such`,
		`120777 1001:1002 link -> .profile`,
		`100644 1001:1002 second 1 "from/.profile"`,
		`100755 1001:1002 setgid 1 "from/setgid"`,
		`100755 1001:1002 setuid 1 "from/setuid"`,
		`040750 1001:1002 sub`,
		`040000 1001:1002 sub/closed`,
		`100000 1001:1002 sub/closed/file 1 "from/sub/closed/file"`,
		`041777 1001:1002 sub/open`,
	}
	if got := listing(t, dir+"/to"); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if n, err := unix.Listxattr(dir+"/to/.profile", make([]byte, 1000)); err == nil && n != 0 {
		t.Error("extended attributes were copied")
	}
	if st, err := os.Stat(dir + "/to"); err != nil || st.Mode().Perm() != 0o750 || st.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Error("the directory itself was changed:", st, err)
	}
	if st, err := os.Stat("/etc"); err != nil || st.Sys().(*syscall.Stat_t).Uid != 0 {
		t.Error("a link was followed:", err)
	}
}

// TestCopyTreeSetgidTarget: a directory below one that hands on its group has
// its own, and no set-id bit of that one's.
func TestCopyTreeSetgidTarget(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 2755 7 to", "d 0755 0 from", "d 0755 0 from/sub")
	if err := copied(t, dir); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, dir+"/to"); !slices.Equal(got, []string{"040755 1001:1002 sub"}) {
		t.Errorf("%q", got)
	}
}

func TestCopyTreeLargeFile(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 to", "d 0755 0 from")
	content := strings.Repeat("0123456789", 20_001)
	if err := os.WriteFile(dir+"/from/file", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copied(t, dir); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(dir + "/to/file"); err != nil || string(got) != content {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestCopyTreeRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(path string) error
		want string
	}{
		{"fifo", func(p string) error { return unix.Mkfifo(p, 0o600) }, "is a FIFO"},
		{"socket", func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o600, 0) }, "is a socket"},
		{"device", func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }, "is a device"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := nstest.Dir(t)
			nstest.Tree(t, dir, "d 0755 0 to", "d 0755 0 from", "d 0755 0 from/sub")
			path := dir + "/from/sub/" + c.name
			if err := c.make(path); err != nil {
				t.Fatal(err)
			}
			err := copied(t, dir)
			if err == nil || !strings.Contains(err.Error(), path+": "+c.want) {
				t.Error(err)
			}
			if _, err := os.Lstat(dir + "/to/sub/" + c.name); err == nil {
				t.Error("it was made")
			}
		})
	}
}

// TestCopyTreeOverNothing: a name that is there already is never written to or
// followed, whatever it is.
func TestCopyTreeOverNothing(t *testing.T) {
	for _, there := range []string{"f 0600 0 to/name", "l 0 to/name ../precious", "d 0755 0 to/name", "p 0600 0 to/name"} {
		for _, kind := range []string{"f 0644 0 from/name", "l 0 from/name target", "d 0755 0 from/name"} {
			t.Run(there[:1]+kind[:1], func(t *testing.T) {
				dir := nstest.Dir(t)
				nstest.Tree(t, dir, "f 0600 0 precious", "d 0755 0 to", "d 0755 0 from", there, kind)
				before := listing(t, dir)
				err := copied(t, dir)
				if !IsExist(err) || !strings.Contains(err.Error(), dir+"/to/name") {
					t.Error(err)
				}
				if after := listing(t, dir); !slices.Equal(before, after) {
					t.Errorf("before %q\nafter %q", before, after)
				}
			})
		}
	}
}

func TestCopyTreeIsBounded(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 to", "d 0755 0 from", "d 0755 0 from/1", "d 0755 0 from/1/2", "d 0755 0 from/3", "f 0644 0 from/1/file")
	length := len("from/1/file")
	for _, c := range []struct {
		depth, entries, bytes int
		want                  string
	}{
		{2, 4, length, ""}, // 3 is a second directory of the first level
		{1, 4, length, "from/1/2: deeper than"},
		{2, 3, length, "from/3: too many"},
		{2, 4, length - 1, "from/1/file: too much"},
	} {
		for _, name := range []string{"1", "3"} {
			if err := os.RemoveAll(dir + "/to/" + name); err != nil {
				t.Fatal(err)
			}
		}
		copier := copier{depth: c.depth, entries: c.entries, bytes: c.bytes}
		err := copier.directory(open(t, dir+"/from"), open(t, dir+"/to"))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

// TestCopyTreeIntoItself ends.
func TestCopyTreeIntoItself(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 from", "d 0755 0 from/to")
	err := CopyTree(open(t, dir+"/from"), open(t, dir+"/from/to"), 1001, 1002)
	if err == nil || !strings.Contains(err.Error(), "deeper than") {
		t.Error(err)
	}
}

// TestCopyTreeIsBoundToItsHandles: the names of both directories may change
// meanwhile.
func TestCopyTreeIsBoundToItsHandles(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 to", "d 0755 0 from", "f 0644 0 from/file", "d 0755 0 decoy")
	from, to := open(t, dir+"/from"), open(t, dir+"/to")
	for _, name := range []string{"from", "to"} {
		if err := os.Rename(dir+"/"+name, dir+"/real-"+name); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("decoy", dir+"/"+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := CopyTree(from, to, 1001, 1002); err != nil {
		t.Fatal(err)
	}
	if got := listing(t, dir+"/real-to"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}
