package dirfd

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestWalk(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir,
		"d 0755 0 safe",
		"d 0755 0 safe/polydir",
		"f 0644 0 safe/file",
		"p 0666 0 safe/fifo",
		"l 0 safe/link polydir",
		"l 1001 safe/userlink polydir",
		"l 0 safe/absolute "+dir+"/safe/polydir",
		"l 0 safe/up ../safe/polydir",
		"l 0 safe/loop loop",
		"d 1777 0 sticky",
		"d 0755 0 sticky/roots",
		"d 0755 1001 sticky/users",
		"l 0 sticky/link ../safe/polydir",
		"d 0755 1001 home",
		"d 0755 1001 home/sub",
		"d 0775 0 group",
		"d 0755 0 group/sub",
		"l 0 safe/intohome ../home/sub",
	)
	for _, c := range []struct {
		path, want string // the directory found and what was noted, or the error
	}{
		{"safe/polydir", "safe/polydir"},
		{"safe/../safe/polydir", "safe/polydir"},
		{"safe/link", "safe/polydir"},
		{"safe/absolute", "safe/polydir"},
		{"safe/up", "safe/polydir"},
		{"safe/missing", "missing in safe"},
		{"sticky/roots", "sticky/roots exposed by sticky"},
		{"sticky/users", "sticky/users exposed by sticky, swaps sticky of 1001"},
		{"home/sub", "home/sub exposed by home, swaps home of 1001"},
		{"group/sub", "group/sub exposed by group, swaps group of 0 and others"},
		{"safe/intohome", "home/sub exposed by home, swaps home of 1001"},
		{"home/missing", "missing in home exposed by home, swaps home of 1001"},
		{"safe/file", "error: is a regular file, not a directory: look at it and move it away"},
		{"safe/fifo", "error: is a FIFO, not a directory: look at it and move it away"},
		{"safe/fifo/below", "error: is a FIFO, not a directory: look at it and move it away"},
		{"safe/missing/below", "error: no such file or directory"},
		{"safe/userlink", "error: is a symbolic link owned by uid 1001: only root's are followed"},
		{"sticky/link", "error: is a symbolic link below DIR/sticky (mode 1777): none is followed there"},
		{"safe/loop", "error: too many levels of symbolic links"},
	} {
		t.Run(c.path, func(t *testing.T) {
			if got := describe(dir, c.path); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// describe walks and puts what was found into words.
func describe(dir, path string) string {
	way, err := Walk(dir+"/"+path, nil)
	if err != nil {
		_, reason, _ := strings.Cut(err.Error(), ": ")
		return "error: " + strings.ReplaceAll(reason, dir, "DIR")
	}
	defer way.Close()
	name := func(path string) string { return strings.TrimPrefix(path, dir+"/") }
	var b strings.Builder
	if way.Missing {
		b.WriteString("missing in " + name(way.Parent.Path()))
	} else {
		b.WriteString(name(way.Dir.Path()))
	}
	if way.Exposure.Exposed() {
		b.WriteString(" exposed by " + name(way.Exposure.Dir))
	}
	for _, s := range way.Exposure.Swaps {
		b.WriteString(", swaps " + name(s.Dir) + " of ")
		b.WriteString(map[uint32]string{0: "0", 1001: "1001"}[s.UID])
		if s.Others {
			b.WriteString(" and others")
		}
	}
	return b.String()
}

func TestWalkIsBoundToWhatItOpened(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 a", "d 0755 0 b")
	way, err := Walk(dir+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	if err := os.Rename(dir+"/a", dir+"/c"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/b", dir+"/a"); err != nil {
		t.Fatal(err)
	}
	if err := way.Dir.Mkdir("mark", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/c/mark"); err != nil {
		t.Error("the handle followed the name:", err)
	}
}

func TestView(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 public", "d 0755 0 instance", "d 0755 0 instance/inner")
	public, err := Walk(dir+"/public", nil)
	if err != nil {
		t.Fatal(err)
	}
	instance, err := Walk(dir+"/instance", nil)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := Walk(dir+"/public/inner", View{public.Stat.Spot(): {Dir: instance.Dir}})
	if err != nil || inner.Missing {
		t.Fatal("a polydir inside an instance was not found:", err)
	}
	if inner.Dir.Path() != dir+"/public/inner" {
		t.Error("label:", inner.Dir.Path())
	}
}

// A walk says where it went on in the view the last time, and whether that is what
// it found.
func TestLaid(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 public", "d 0755 0 public/sub", "d 0755 0 instance", "d 0755 0 instance/sub", "d 0755 0 other", "l 0 link public")
	public, other, instance := open(t, dir+"/public"), open(t, dir+"/other"), open(t, dir+"/instance")
	spot := func(d Dir) Spot {
		st, err := d.Stat()
		if err != nil {
			t.Fatal(err)
		}
		return st.Spot()
	}
	view := View{spot(public): {Dir: instance}, spot(other): {}}
	for path, want := range map[string]Way{ // at "/other" nothing can be seen yet
		"/public":             {Laid: spot(public), LaidLast: true},
		"/link":               {Laid: spot(public), LaidLast: true},
		"/public/sub":         {Laid: spot(public)},
		"/public/sub/..":      {Laid: spot(public), LaidLast: true},
		"/public/../other/..": {Laid: spot(other)},
		"/public/..":          {},
		"/public/missing":     {Laid: spot(public)},
		"/instance":           {},
		"/public/../public":   {Laid: spot(public), LaidLast: true},
		"/other":              {Laid: spot(other), LaidLast: true},
		"/other/x":            {Laid: spot(other)},
	} {
		way, err := Walk(dir+path, view)
		if notYet := errors.Is(err, ErrNotYet); notYet != strings.Contains(path, "/other") || !notYet && err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if way.Laid != want.Laid || way.LaidLast != want.LaidLast {
			t.Errorf("%s: laid %v, last %v; want %v, %v", path, way.Laid, way.LaidLast, want.Laid, want.LaidLast)
		}
		way.Close()
	}
}

func TestLookupHereStaysOnItsMount(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 mounted")
	if err := syscall.Mount("none", dir+"/mounted", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	if _, err := d.LookupHere("mounted"); err == nil {
		t.Error("crossed a mount")
	}
}

func open(t *testing.T, path string) Dir {
	t.Helper()
	way, err := Walk(path, nil)
	if err != nil || way.Missing {
		t.Fatal(path, err)
	}
	t.Cleanup(way.Close)
	return way.Dir
}

func TestRemoveTree(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir,
		"d 0755 0 keep", "f 0600 0 keep/file",
		"d 0000 1001 tree", "d 0755 1001 tree/sub", "f 0600 1001 tree/sub/file",
		"l 1001 tree/link ../keep", "p 0600 1001 tree/fifo")
	removed := 0
	if err := open(t, dir).RemoveTree("tree", func() { removed++ }); err != nil {
		t.Fatal(err)
	}
	if removed != 5 {
		t.Errorf("told of %d entries", removed)
	}
	if _, err := os.Lstat(dir + "/tree"); !os.IsNotExist(err) {
		t.Error("the tree is still there:", err)
	}
	if _, err := os.Stat(dir + "/keep/file"); err != nil {
		t.Error("a link was followed:", err)
	}
}

func TestRemoveTreeStopsAtMounts(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 tree", "d 0755 0 tree/mounted")
	if err := syscall.Mount("none", dir+"/tree/mounted", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	nstest.Tree(t, dir+"/tree/mounted", "f 0600 0 precious")
	if err := open(t, dir).RemoveTree("tree", nil); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(dir + "/tree/mounted/precious"); err != nil {
		t.Error("crossed a mount:", err)
	}
}

func TestOpenFileRefusesWhatIsNoFile(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "p 0666 0 fifo", "d 0755 0 sub", "f 0600 0 file", "l 0 link file")
	d := open(t, dir)
	for _, name := range []string{"fifo", "sub", "link"} { // must not block on the FIFO
		if f, err := d.OpenFile(name); err == nil {
			f.Close()
			t.Error("opened", name)
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := nstest.Dir(t)
	d := open(t, dir)
	for _, content := range []string{"one", "the second"} {
		if err := d.WriteFile("state", []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, "state"))
		if err != nil || string(got) != content {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Error("left behind:", entries)
	}
}

func TestTrustedFile(t *testing.T) {
	for _, c := range []struct {
		uid, mode, kind uint32
		says            string // why not
	}{
		{0, 0o644, unix.S_IFREG, ""},
		{0, 0o600, unix.S_IFREG, ""},
		{0, 0o755, unix.S_IFDIR, ""},
		{1001, 0o644, unix.S_IFREG, "/x: owned by uid 1001, want root: chown root /x"},
		{0, 0o664, unix.S_IFREG, "/x: mode 0664: group or others can write it: chmod go-w /x"},
		{0, 0o646, unix.S_IFREG, "/x: mode 0646: group or others can write it: chmod go-w /x"},
		{0, 0o666, unix.S_IFCHR, "/x: is a device, not a regular file"}, // /dev/null stays open to all
		{0, 0o644, unix.S_IFIFO, "/x: is a FIFO, not a regular file"},
	} {
		said := ""
		if err := TrustedFile("/x", Stat{UID: c.uid, Mode: c.mode, Type: c.kind}); err != nil {
			said = err.Error()
		}
		if said != c.says {
			t.Errorf("uid %d mode %o: %q, want %q", c.uid, c.mode, said, c.says)
		}
	}
}

func TestActAs(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0700 1001 home", "d 0700 0 roots")
	home, roots := open(t, dir+"/home"), open(t, dir+"/roots")
	done := make(chan struct{})
	go func() { // a locked thread ends with its goroutine
		runtime.LockOSThread()
		defer close(done)
		if err := ActAs(1001, 1001); err != nil {
			t.Error(err)
			return
		}
		if err := home.Mkdir("made", 0o755); err != nil {
			t.Error(err)
		}
		if err := roots.Mkdir("made", 0o755); err == nil {
			t.Error("a user made a directory in root's")
		}
		if err := ActAsRoot(); err != nil {
			t.Error(err)
		}
		if err := roots.Mkdir("made", 0o755); err != nil {
			t.Error("root's rights did not come back:", err)
		}
	}()
	<-done
	if st, err := os.Stat(dir + "/home/made"); err != nil || st.Sys().(*syscall.Stat_t).Uid != 1001 {
		t.Error("made by another:", err)
	}
}

// A thread that may not take the user's group makes nothing: it would be root's group's.
func TestActAsWithoutTheRight(t *testing.T) {
	nstest.Dir(t) // as root
	for name, bit := range map[string]uint32{"CAP_SETGID": unix.CAP_SETGID, "CAP_SETUID": unix.CAP_SETUID} {
		done := make(chan struct{})
		go func() { // a locked thread ends with its goroutine
			runtime.LockOSThread()
			defer close(done)
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var caps [2]unix.CapUserData
			if err := unix.Capget(&header, &caps[0]); err != nil {
				t.Error(err)
				return
			}
			caps[0].Effective &^= 1 << bit
			if err := unix.Capset(&header, &caps[0]); err != nil {
				t.Error(err)
				return
			}
			if err := ActAs(1001, 1001); err == nil {
				t.Errorf("without %s it acts as the user", name)
			}
			uid, _ := unix.SetfsuidRetUid(-1)
			gid, _ := unix.SetfsgidRetGid(-1)
			if uid != 0 || gid != 0 {
				t.Errorf("without %s it goes on as %d, %d", name, uid, gid)
			}
		}()
		<-done
	}
}

func TestXattr(t *testing.T) {
	dir := nstest.Dir(t)
	d := open(t, dir)
	if got, err := d.Xattr("trusted.test"); err != nil || got != "" {
		t.Errorf("absent: %q %v", got, err)
	}
	if err := d.SetXattr("trusted.test", "value"); err != nil {
		t.Fatal(err)
	}
	if got, err := d.Xattr("trusted.test"); err != nil || got != "value" {
		t.Errorf("%q %v", got, err)
	}
}

// Walks that begin alike enter once what is root's alone to change, on the way as well
// as by its own mode; all else is as the last of them finds it.
func TestWalks(t *testing.T) {
	for kind, want := range map[string]string{
		"d 0755 0":    "first", // nobody but root can have swapped it
		"d 0755 1001": "second",
		"d 0775 0":    "second",
		"d 1777 0":    "second",
	} {
		dir := nstest.Dir(t) + "/" + strings.ReplaceAll(kind, " ", "-")
		nstest.Tree(t, "/", "d 0755 0 "+dir[1:])
		for _, name := range []string{"first", "second"} {
			nstest.Tree(t, dir, kind+" "+name, "d 0755 0 "+name+"/a", "d 0755 0 "+name+"/a/"+name, "d 0755 0 "+name+"/a/x")
		}
		swap := func(to string) {
			t.Helper()
			_ = os.Remove(dir + "/at")
			if err := os.Rename(dir+"/"+to, dir+"/at"); err != nil {
				t.Fatal(err)
			}
		}
		var walks Walks
		walk := func() string {
			t.Helper()
			way, err := walks.WalkFor(NoUID, dir+"/at/a/x", nil)
			if err != nil || way.Missing {
				t.Fatal(err)
			}
			defer way.Close()
			for _, name := range []string{"first", "second"} {
				if d, err := way.Parent.Lookup(name); err == nil {
					d.Close()
					return name
				}
			}
			return ""
		}
		swap("first")
		if got := walk(); got != "first" {
			t.Errorf("%s: in %q", kind, got)
		}
		if err := os.Rename(dir+"/at", dir+"/first"); err != nil {
			t.Fatal(err)
		}
		swap("second")
		if got := walk(); got != want {
			t.Errorf("%s: in %q, want %q", kind, got, want)
		}
		// what is found is looked at each time
		if way, err := walks.WalkFor(NoUID, dir+"/at", nil); err != nil {
			t.Error(err)
		} else {
			if d, err := way.Dir.Lookup("a"); err == nil {
				d.Close()
			}
			var st unix.Stat_t
			if err := unix.Stat(dir+"/at", &st); err != nil || st.Ino != way.Stat.Ino {
				t.Errorf("%s: another one was found: %v", kind, err)
			}
			way.Close()
		}
		walks.Close()
		if got := walk(); got != "second" {
			t.Errorf("%s: after the end in %q", kind, got)
		}
		walks.Close()
		if err := os.RemoveAll(filepath.Dir(dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// What is mounted on a directory that a walk went through is gone through by the next.
func TestWalksAreCovered(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 a", "d 0755 0 a/x")
	var walks Walks
	defer walks.Close()
	first, err := walks.WalkFor(NoUID, dir+"/a/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	at, err := walks.WalkFor(NoUID, dir+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	if err := syscall.Mount("over", dir+"/a", "tmpfs", 0, "mode=755"); err != nil {
		t.Fatal(err)
	}
	walks.Covered(at.Stat.Spot())
	if way, err := walks.WalkFor(NoUID, dir+"/a/x", nil); err != nil || !way.Missing {
		t.Errorf("the covered one was found: %v", err)
	} else {
		way.Close()
	}
}
