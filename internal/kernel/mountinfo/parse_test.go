package mountinfo

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The fields of proc_pid_mountinfo(5): the example there, and what users can bring into
// a line.
func TestParse(t *testing.T) {
	dev := unix.Mkdev
	for text, want := range map[string]Line{
		"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue": {
			ID: 36, Dev: dev(98, 0), Root: "/mnt1", Point: "/mnt2", Flags: "rw,noatime", FSType: "ext3", Options: "rw,errors=continue", Master: 1},
		"25 1 0:23 / / rw - tmpfs x rw": {ID: 25, Dev: dev(0, 23), Root: "/", Point: "/", Flags: "rw", FSType: "tmpfs", Options: "rw"},
		"25 1 0:23 / / rw shared:7 master:8 propagate_from:9 unbindable - tmpfs x rw": {
			ID: 25, Dev: dev(0, 23), Root: "/", Point: "/", Flags: "rw", FSType: "tmpfs", Options: "rw", Peers: 7, Master: 8},
		`30 25 0:24 /a\040b /c\011d\134\012 rw - fuse.x y\040z rw`: {
			ID: 30, Dev: dev(0, 24), Root: "/a b", Point: "/c\td\\\n", Flags: "rw", FSType: "fuse.x", Options: "rw"},
		// the source has a space that is none of the kernel's: fields end at a space alone
		"30 25 0:24 / /x rw - fuse.x y\u00a0- rw,user_id=0": {ID: 30, Dev: dev(0, 24), Root: "/", Point: "/x", Flags: "rw", FSType: "fuse.x", Options: "rw,user_id=0"},
		// without a source the second field is empty, as the kernel prints it
		"30 25 0:24 / /x rw - tmpfs  rw":          {ID: 30, Dev: dev(0, 24), Root: "/", Point: "/x", Flags: "rw", FSType: "tmpfs", Options: "rw"},
		"30 25 0:24 / /x rw - fuse.x y rw more":   {ID: 30, Dev: dev(0, 24), Root: "/", Point: "/x", Flags: "rw", FSType: "fuse.x"},
		"30 25 0:24 / /x rw shared:x - tmpfs a b": {ID: 30, Dev: dev(0, 24), Root: "/", Point: "/x", Flags: "rw", FSType: "tmpfs", Options: "b"},
		"30 25 4095:1048575 /":                    {ID: 30, Dev: dev(4095, 1048575), Root: "/"},
	} {
		if got, ok := Parse(text); !ok || got != want {
			t.Errorf("%q:\n got %+v, %v\nwant %+v", text, got, ok, want)
		}
	}
	for _, text := range []string{"", " ", "36", "36 35 98:0", "x 35 98:0 /", "-1 35 98:0 /", "36 35 98 /", "36 35 98: /", "36 35 :0 /", "36 35 98:4294967296 /", "36 35 98:0x /"} {
		if got, ok := Parse(text); ok {
			t.Errorf("%q is a line: %+v", text, got)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"":          "",
		`/a\040b`:   "/a b",
		`\134040`:   `\040`, // once, and not again
		`\`:         `\`,
		`\04`:       `\04`,
		`\999`:      `\999`,
		`x\777`:     `x\777`, // no byte
		`\303\244`:  "ä",
		`/x\012y\n`: "/x\ny\\n",
	} {
		if got := unescape(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// An option that a user has chosen ends at a comma of the kernel's and not at one of
// theirs, which is escaped.
func TestFSOptions(t *testing.T) {
	m := Line{Options: `rw,user_id=1001,fsname=a\054user_id=0,default_permissions`}
	if got, want := m.FSOptions(), []string{"rw", "user_id=1001", "fsname=a,user_id=0", "default_permissions"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever stands in a line, what is read of it stands there.
func FuzzParse(f *testing.F) {
	f.Add(`36 35 98:0 /mnt1\040x /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw`)
	f.Add("30 25 0:24 / /x rw - - - -")
	f.Add(`1 1 1:1 \ \0 \04`)
	f.Fuzz(func(t *testing.T, text string) {
		m, ok := Parse(text)
		if !ok {
			if m != (Line{}) {
				t.Errorf("%q is no line, and %+v", text, m)
			}
			return
		}
		for _, part := range []string{m.Flags, m.FSType, m.Options} {
			if !strings.Contains(text, part) || strings.Contains(part, " ") {
				t.Errorf("%q: %+v", text, m)
			}
		}
		if len(m.Root) > len(text) || len(m.Point) > len(text) {
			t.Errorf("%q: %+v", text, m)
		}
		m.FSOptions()
	})
}

// This process's own mounts are read, and one is found by its id.
func TestOwn(t *testing.T) {
	var root Line
	n := 0
	if err := EachOwn(func(m Line) bool {
		if n++; m.Point == "/" {
			root = m
		}
		return true
	}); err != nil || n == 0 || root.ID == 0 {
		t.Fatalf("%d mounts, %+v, %v", n, root, err)
	}
	if m, found, err := Own(root.ID); err != nil || !found || m != root {
		t.Errorf("%+v, %v, %v, want %+v", m, found, err, root)
	}
	if m, found, err := Own(1 << 40); err != nil || found {
		t.Errorf("one that is not there: %+v, %v", m, err)
	}
	if err := EachAt(unix.AT_FDCWD, "/proc/self/no-such-file", func(Line) bool { return true }); err == nil {
		t.Error("a file that is not there is read")
	}
	seen := 0
	if err := EachOwn(func(Line) bool { seen++; return false }); err != nil || seen != 1 {
		t.Errorf("read on after it was enough: %d, %v", seen, err)
	}
}
