package dirfd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/mountinfo"
	"pam_polyinst/internal/kernel/nstest"
)

// The filesystem of a test: a daemon that says that its root is root's, and that
// a directory "dir" in it is 1002's, and a link "link" to /mnt root's. All that it is
// asked is noted.
type daemon struct {
	fd    int
	mode  uint32 // of its root
	mu    sync.Mutex
	asked []string
}

// What it is asked: opcodes of fuse(4), uapi/linux/fuse.h.
const (
	opLookup   = 1
	opForget   = 2
	opGetattr  = 3
	opReadlink = 5
	opStatfs   = 17
	opInit     = 26
	opForgets  = 42
)

// fuse mounts the filesystem as somebody's.
func fuse(t *testing.T, point string, uid int, options string) *daemon {
	t.Helper()
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("needs a kernel feature: /dev/fuse")
	}
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other%s", fd, uid, uid, options)
	if err := unix.Mount("liar", point, "fuse.ext4", 0, data); err != nil {
		t.Fatal(err)
	}
	d := &daemon{fd: fd, mode: 0o755}
	if uid != 0 {
		d.mode = 0o1777
	}
	go d.serve()
	t.Cleanup(func() { _ = unix.Unmount(point, unix.MNT_DETACH|unix.MNT_FORCE) })
	return d
}

func (d *daemon) serve() {
	buf := make([]byte, 1<<17)
	for {
		n, err := unix.Read(d.fd, buf)
		if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return // it was unmounted
		}
		op, unique, node := binary.NativeEndian.Uint32(buf[4:]), binary.NativeEndian.Uint64(buf[8:]), binary.NativeEndian.Uint64(buf[16:])
		body, errno := d.answer(op, node, string(bytes.TrimRight(buf[40:n], "\x00")))
		if op == opForget || op == opForgets {
			continue
		}
		out := binary.NativeEndian.AppendUint32(nil, uint32(16+len(body)))
		out = binary.NativeEndian.AppendUint32(out, uint32(-int32(errno)))
		out = binary.NativeEndian.AppendUint64(out, unique)
		_, _ = unix.Write(d.fd, append(out, body...))
	}
}

func (d *daemon) answer(op uint32, node uint64, name string) ([]byte, unix.Errno) {
	if op != opInit && op != opForget && op != opForgets {
		d.mu.Lock()
		d.asked = append(d.asked, fmt.Sprint(op))
		d.mu.Unlock()
	}
	nodes := map[string]uint64{"dir": 2, "link": 3}
	switch op {
	case opInit:
		init := make([]byte, 64)
		binary.NativeEndian.PutUint32(init, 7)
		binary.NativeEndian.PutUint32(init[4:], 31)
		binary.NativeEndian.PutUint32(init[20:], 4096) // max_write
		return init, 0
	case opLookup:
		found := nodes[name]
		if found == 0 {
			return nil, unix.ENOENT
		}
		entry := make([]byte, 40)
		binary.NativeEndian.PutUint64(entry, found)
		return append(entry, d.attributes(found)...), 0
	case opGetattr:
		return append(make([]byte, 16), d.attributes(node)...), 0
	case opReadlink:
		return []byte("/mnt"), 0
	case opStatfs:
		return nil, unix.EACCES // as under SELinux
	}
	return nil, unix.ENOSYS
}

// attributes are a fuse_attr.
func (d *daemon) attributes(node uint64) []byte {
	mode := uint32(unix.S_IFDIR | 0o755)
	switch node {
	case 1:
		mode = unix.S_IFDIR | d.mode
	case 3:
		mode = unix.S_IFLNK | 0o777
	}
	attr := make([]byte, 88)
	binary.NativeEndian.PutUint64(attr, node)
	binary.NativeEndian.PutUint32(attr[60:], mode)
	binary.NativeEndian.PutUint32(attr[64:], 2)
	if node == 2 {
		binary.NativeEndian.PutUint32(attr[68:], 1002)
	}
	return attr
}

// wasAsked is what has been asked since the last time.
func (d *daemon) wasAsked() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := strings.Join(d.asked, " ")
	d.asked = nil
	return all
}

// told runs f with each way in which the kernel can be asked what type a
// filesystem has.
func told(t *testing.T, f func(t *testing.T)) {
	for _, name := range []string{"statmount", "mountinfo"} {
		t.Run(name, func(t *testing.T) {
			before := noStatmount
			noStatmount = name == "mountinfo"
			defer func() { noStatmount = before }()
			f(t)
		})
	}
}

// Whose a mount is, no text says that the user chooses: its type and its name may
// hold what Unicode calls white space.
func TestWhoseAMountIs(t *testing.T) {
	for name, tail := range map[string]string{
		"plain":                 "fuse.x x rw,user_id=1001,group_id=0",
		"no name":               "fuse  rw,user_id=1001",
		"a form feed":           "fuse.x\fy\fuser_id=0\f x rw,user_id=1001",
		"in the name":           "fuse x\fuser_id=0 rw,user_id=1001",
		"a no-break space":      "fuse.x\u00a0y\u00a0user_id=0 x rw,user_id=1001",
		"escaped":               `fuse.x x\040-\040ext4\040x\040user_id=0 rw,user_id=1001`,
		"of a mount with flags": "fuse x rw,user_id=1001,group_id=1001,default_permissions,allow_other",
	} {
		f := Filesystem{UID: NoUID}
		line, _ := mountinfo.Parse("107 99 0:63 / /home/alice rw shared:23 - " + tail)
		f.describe(line)
		if want := (Filesystem{Type: "fuse", ByUser: true, UID: 1001}); f != want {
			t.Errorf("%s: %+v, want %+v", name, f, want)
		}
	}
}

func TestFilesystem(t *testing.T) {
	told(t, func(t *testing.T) {
		dir := nstest.Dir(t)
		nstest.Tree(t, dir, "d 0755 0 users", "d 0755 0 roots", "d 0755 0 tmpfs", "d 0755 0 gone")
		users, roots := fuse(t, dir+"/users", 1001, ""), fuse(t, dir+"/roots", 0, "")
		if err := syscall.Mount("fuse", dir+"/tmpfs", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]Filesystem{
			"/mnt":          {Type: "tmpfs", Kept: true, Believed: true, UID: NoUID},
			dir + "/tmpfs":  {Type: "tmpfs", Kept: true, Believed: true, UID: NoUID},
			dir + "/users":  {Type: "fuse", ByUser: true, UID: 1001},
			dir + "/roots":  {Type: "fuse", UID: 0},
			"/proc/self/fd": {Type: "proc", Kept: true, Believed: true, UID: NoUID},
		} {
			d, err := openPath(path)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Filesystem()
			if _, _, err := d.Mount(); err != nil {
				t.Error(err)
			}
			d.Close()
			if err != nil || got != want {
				t.Errorf("%s: %+v, %v; want %+v", path, got, err, want)
			}
		}
		root, err := Root()
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if f, err := root.Filesystem(); err != nil || !f.Believed || f.ByUser {
			t.Errorf("/: %+v, %v", f, err)
		}
		if asked := users.wasAsked() + roots.wasAsked(); asked != "" {
			t.Error("the daemons were asked:", asked)
		}
		// what is no longer among the mounts here may be anything
		if err := syscall.Mount("none", dir+"/gone", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		gone, err := openPath(dir + "/gone")
		if err != nil {
			t.Fatal(err)
		}
		defer gone.Close()
		if err := syscall.Unmount(dir+"/gone", syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
		if f, err := gone.Filesystem(); err != nil || f != (Filesystem{ByUser: true, UID: NoUID}) {
			t.Errorf("a mount that is gone: %+v, %v", f, err)
		}
	})
}

// On what a user has mounted a walk asks nothing, and on their own behalf takes
// it for a directory of theirs; on what root has mounted it follows no link.
func TestWalkOnForeignFilesystems(t *testing.T) {
	told(t, func(t *testing.T) {
		dir := nstest.Dir(t)
		nstest.Tree(t, dir, "d 0755 0 users", "d 0755 0 roots", "d 1777 0 sticky", "d 0755 0 sticky/m", "d 0755 0 around")
		users, roots := fuse(t, dir+"/users", 1001, ",default_permissions"), fuse(t, dir+"/roots", 0, "")
		fuse(t, dir+"/sticky/m", 1001, "")
		fuse(t, dir+"/around", 0, "")
		fuse(t, dir+"/around/dir", 1001, "")
		say := func(uid uint32, path string) string {
			way, err := WalkFor(uid, dir+"/"+path, nil)
			if err != nil {
				_, reason, _ := strings.Cut(err.Error(), ": ")
				return strings.ReplaceAll(reason, dir, "DIR")
			}
			defer way.Close()
			where, _ := way.Exposure.Where()
			text := "exposed by " + strings.TrimPrefix(where, dir+"/") + "," + strings.TrimPrefix(way.Exposure.Dir, dir+"/") +
				"," + strings.TrimPrefix(way.Exposure.Foreign, dir+"/")
			if way.Exposure.VoidOwners {
				text += " void"
			}
			for _, s := range way.Exposure.Swaps {
				text += fmt.Sprintf(", swaps %s of %d %v", strings.TrimPrefix(s.Dir, dir+"/"), s.UID, s.Others)
			}
			if err := Trusted(way, way.Stat); err == nil {
				text += ", trusted"
			}
			return text
		}
		const notAsked = "is on a filesystem that uid 1001 mounted, fuse: nothing is asked of it"
		for _, uid := range []uint32{0, 1002, NoUID} {
			for _, path := range []string{"users", "users/dir", "users/dir/missing", "users/link"} {
				if got := say(uid, path); got != notAsked {
					t.Errorf("%s for %d: %s", path, uid, got)
				}
			}
		}
		around := open(t, dir)
		if d, err := around.Lookup("users"); !IsUsersMount(err) {
			d.Close()
			t.Errorf("Lookup: %v", err)
		}
		if asked := users.wasAsked(); asked != "" {
			t.Error("the user's daemon was asked:", asked)
		}
		for path, want := range map[string]string{
			"users":             "exposed by users,users,users void, swaps users of 1001 false",
			"users/dir":         "exposed by users,users,users void, swaps users of 1001 false",
			"users/dir/missing": "exposed by users,users,users, swaps users of 1001 false",
			"sticky/m":          "exposed by sticky,sticky,sticky/m void, swaps sticky/m of 1001 false",
			"around/dir":        "exposed by around/dir,around/dir,around void, swaps around/dir of 1001 false",
			"users/link": "is a symbolic link below DIR/users (on a filesystem that uid 1001 mounted, fuse): " +
				"none is followed there",
		} {
			if got := say(1001, path); got != want {
				t.Errorf("%s for its user: got  %s\nwant %s", path, got, want)
			}
		}
		for path, want := range map[string]string{
			"roots":             "exposed by roots,,roots",
			"roots/dir":         "exposed by roots,,roots",
			"roots/dir/missing": "exposed by roots/dir,roots/dir,roots, swaps roots/dir of 1002 false",
			"roots/link": "is a symbolic link below DIR/roots (on fuse, whose owners and modes this kernel does not keep itself): " +
				"none is followed there",
		} {
			if got := say(1001, path); got != want {
				t.Errorf("%s: got  %s\nwant %s", path, got, want)
			}
		}
		// what root has mounted there is believed again; the way to it is not
		if err := syscall.Mount("none", dir+"/users/dir", "tmpfs", 0, "mode=755"); err != nil {
			t.Fatal(err)
		}
		if got, want := say(1001, "users/dir"), "exposed by users,users,users, swaps users of 1001 false"; got != want {
			t.Errorf("below the user's: got  %s\nwant %s", got, want)
		}
		if roots.wasAsked() == "" {
			t.Error("the instrument does not notice a question")
		}
	})
}

// A working directory on what a user has mounted is not asked either.
func TestWorkingDirectoryOnAUsersMount(t *testing.T) {
	told(t, func(t *testing.T) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		dir := nstest.Dir(t)
		nstest.Tree(t, dir, "d 0755 0 users")
		users := fuse(t, dir+"/users", 1001, ",default_permissions")
		before, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chdir(dir + "/users"); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := os.Chdir(before); err != nil {
				t.Fatal(err)
			}
		}()
		users.wasAsked()
		path, id, err := Cwd()
		if err != nil || path != dir+"/users" || id == (ID{}) {
			t.Error(path, id, err)
		}
		if asked := users.wasAsked(); asked != "" {
			t.Error("the daemon was asked:", asked)
		}
	})
}

// A directory that is laid over another one brings its filesystem's word along.
func TestViewOfForeignFilesystem(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 public", "d 0755 0 instance", "d 0755 0 instance/a", "l 0 instance/link a")
	public, instance := open(t, dir+"/public"), open(t, dir+"/instance")
	st, err := public.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for _, foreign := range []string{"", "on nfs"} {
		way, err := Walk(dir+"/public/link", View{st.Spot(): {Dir: instance, Foreign: foreign}})
		way.Close()
		if got := err == nil; got != (foreign == "") {
			t.Errorf("foreign %q: %v", foreign, err)
		}
	}
}

// The filesystem of the root directory is believed whatever it is, and so are its
// directories; others of its type are not.
func TestRootFilesystemIsBelieved(t *testing.T) {
	told(t, func(t *testing.T) {
		dir := nstest.Dir(t)
		nstest.Tree(t, dir, "d 0755 0 root", "d 0755 0 other")
		fuse(t, dir+"/root", 0, "")
		fuse(t, dir+"/other", 0, "")
		inside, err := openPath(dir + "/root/dir")
		if err != nil {
			t.Fatal(err)
		}
		defer inside.Close()
		other, err := openPath(dir + "/other/dir")
		if err != nil {
			t.Fatal(err)
		}
		defer other.Close()
		if f, err := inside.Filesystem(); err != nil || f.Believed {
			t.Errorf("before: %+v, %v", f, err)
		}
		done := make(chan error)
		go func() {
			runtime.LockOSThread() // for good: its root is its own
			err := unix.Unshare(unix.CLONE_FS)
			if err == nil {
				err = unix.Chroot(dir + "/root")
			}
			if err == nil {
				var f Filesystem
				if f, err = inside.Filesystem(); err == nil && (!f.Believed || f.ByUser) {
					err = fmt.Errorf("%+v", f)
				}
			}
			if err == nil {
				if f, unknown := other.Filesystem(); unknown == nil && f.Believed {
					err = fmt.Errorf("the other one: %+v", f)
				}
			}
			done <- err
		}()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
