package dirfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/nstest"
)

// Bounds and conditions that no other test of the walk notices.

// descriptors counts the open descriptors of this process.
func descriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// However a walk ends, no handle is left but those that it hands out.
func TestWalkKeepsNoHandle(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 a", "d 0755 0 a/b", "d 0755 0 over", "f 0644 0 a/file", "l 0 link a/b", "l 0 loop loop",
		"l 1001 userlink a", "l 0 absolute "+dir+"/a/b")
	public, err := Walk(dir+"/a/b", nil)
	if err != nil {
		t.Fatal(err)
	}
	over, err := Walk(dir+"/over", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer public.Close()
	defer over.Close()
	for _, path := range []string{"/a/b", "/a/../a/./b", "/link", "/absolute", "/missing", "/missing/x", "/a/file", "/a/file/x", "/loop",
		"/userlink", "/../../../.."} {
		for _, view := range []View{nil, {public.Stat.Spot(): {Dir: over.Dir}}} {
			before := descriptors(t)
			for range 10 {
				way, err := Walk(dir+path, view)
				if err == nil {
					way.Close()
				}
				file, err := WalkFile(dir + path)
				if err == nil {
					file.Close()
				}
			}
			if after := descriptors(t); after != before {
				t.Errorf("%s: %d descriptors, %d before", path, after, before)
			}
		}
	}
}

func TestWalkOfOddPaths(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 a", "f 0644 0 a/file")
	for path, want := range map[string]string{
		"mnt":                               "not an absolute path",
		"":                                  "not an absolute path",
		"/":                                 "is the root directory",
		"/..":                               "is the root directory",
		"/mnt/..":                           "is the root directory",
		"/mnt":                              "/mnt named mnt",
		"/../../mnt":                        "/mnt named mnt",
		dir + "/./a//.":                     dir + "/a named a",
		strings.TrimPrefix(dir, "/") + "/a": "not an absolute path",
	} {
		way, err := Walk(path, nil)
		got := way.Dir.Path() + " named " + way.Name
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
		way.Close()
	}
	file, err := WalkFile(dir + "/a/file")
	if err != nil || !file.Stat.IsRegular() || file.Name != "file" || file.Parent.Path() != dir+"/a" {
		t.Errorf("a file: %+v, %v", file, err)
	}
	file.Close()
}

// Each of the bits that let others write counts, and the first such directory is
// the one that is named.
func TestWalkJudgesEachBit(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir,
		"d 0720 0 group", "d 0755 0 group/x", "d 0755 1001 group/users",
		"d 0702 0 others", "d 0755 0 others/x",
		"d 1720 0 stickygroup", "d 0755 1001 stickygroup/users", "d 0755 0 stickygroup/x",
		"d 1702 0 stickyothers", "d 0755 1001 stickyothers/users",
		"d 1755 0 stickyclosed", "d 0755 1001 stickyclosed/users",
		"d 0702 0 others/first", "d 0702 0 others/first/second", "d 0755 0 others/first/second/x",
	)
	for path, want := range map[string]string{
		"group/x":               "group/x exposed by group, swaps group of 0 and others",
		"group/users":           "group/users exposed by group, swaps group of 0 and others",
		"others/x":              "others/x exposed by others, swaps others of 0 and others",
		"stickygroup/users":     "stickygroup/users exposed by stickygroup, swaps stickygroup of 1001",
		"stickygroup/x":         "stickygroup/x exposed by stickygroup",
		"stickyothers/users":    "stickyothers/users exposed by stickyothers, swaps stickyothers of 1001",
		"stickyclosed/users":    "stickyclosed/users",
		"others/first/second/x": "others/first/second/x exposed by others, swaps others of 0 and others, swaps others/first of 0 and others, swaps others/first/second of 0 and others",
	} {
		if got := describe(dir, path); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// As many links as the kernel follows, and not one more.
func TestWalkFollowsFortyLinks(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 end", "l 0 l1 end")
	for i := 2; i <= maxSymlinks+1; i++ {
		nstest.Tree(t, dir, fmt.Sprintf("l 0 l%d l%d", i, i-1))
	}
	way, err := Walk(fmt.Sprintf("%s/l%d", dir, maxSymlinks), nil)
	if err != nil || way.Name != "end" {
		t.Errorf("%d links: %v", maxSymlinks, err)
	}
	way.Close()
	if _, err := Walk(fmt.Sprintf("%s/l%d", dir, maxSymlinks+1), nil); !errors.Is(err, unix.ELOOP) {
		t.Errorf("%d links: %v", maxSymlinks+1, err)
	}
}

// A tree is removed however deep it is, by a process that may have few
// descriptors open.
func TestRemoveTreeOfAnyDepth(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 top", "f 0644 0 top/.lifted.1")
	at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(deep(t, at, 5000)) // deeper than a path can be long
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 512, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
	parent, err := Walk(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	before := descriptors(t)
	removed := 0
	if err := parent.Dir.RemoveTree("top", func() { removed++ }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir + "/top"); !os.IsNotExist(err) {
		t.Error("it is still there:", err)
	}
	if after := descriptors(t); after != before || removed < 5000 {
		t.Errorf("%d descriptors, %d before; %d removed", after, before, removed)
	}
}

// deep makes a chain of directories below an open one, which it closes, and
// returns the last.
func deep(t *testing.T, at, levels int) int {
	t.Helper()
	for range levels {
		if err := unix.Mkdirat(at, "d", 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, "d", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(at)
		at = next
	}
	return at
}

// More directories than a filesystem without dates is dug out of, all just too
// deep: one removal is enough.
func TestRemoveTreeOfManyDeepDirectories(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 top")
	at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	at = deep(t, at, maxDepth)
	const many = maxUndated + 50
	for i := range many {
		if err := unix.Mkdirat(at, fmt.Sprint(i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_ = unix.Close(at)
	removed := 0
	if err := open(t, dir).RemoveTree("top", func() { removed++ }); err != nil {
		t.Fatal(err)
	}
	if removed != many+maxDepth+1 {
		t.Errorf("told of %d entries, not %d", removed, many+maxDepth+1)
	}
}

// What somebody makes below very many levels while the tree goes is looked at once, and not
// once more for each level.
func TestRemoveTreeLooksOnceAtTheYounger(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 top")
	at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	at = deep(t, at, maxDepth-2)
	made := func(what string, many int) {
		for i := range many {
			if err := unix.Mkdirat(at, fmt.Sprint(what, i), 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	made("older", 20)
	r := newRemoval(nil)
	ticks(t, dir, r)
	made("younger", 500)
	_ = unix.Close(at)
	if err := r.tree(open(t, dir), "top", 0); !IsStillMade(err) || r.done != 20 {
		t.Errorf("%d, %v", r.done, err)
	}
	if most := 2 * (maxDepth + 520); r.seen > most {
		t.Errorf("it looked %d times, want %d at most", r.seen, most)
	}
}

// ticks waits until what is made is younger than the removal: the clock of a filesystem
// ticks slower than ours.
func ticks(t *testing.T, dir string, r *removal) {
	t.Helper()
	for later := false; !later; {
		nstest.Tree(t, dir, "d 0755 0 tick")
		at, _, _ := open(t, dir+"/tick").born()
		later = at.After(r.began)
		_ = os.Remove(dir + "/tick")
	}
}

// On an overlay a directory that becomes root's is made anew, which is no reason to leave
// it.
func TestRemoveTreeOfAnOverlay(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 lower", "d 0755 0 upper", "d 0755 0 work", "d 0755 0 over", "d 0755 0 lower/top")
	at, err := unix.Open(dir+"/lower/top", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(deep(t, at, maxDepth+5))
	if err := unix.Mount("overlay", dir+"/over", "overlay", 0, fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper,workdir=%[1]s/work", dir)); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir+"/over", unix.MNT_DETACH)
	r := newRemoval(nil)
	ticks(t, dir, r)
	if err := r.tree(open(t, dir+"/over"), "top", 0); err != nil || r.done != maxDepth+6 {
		t.Errorf("%d, %v", r.done, err)
	}
}

// A removal that goes on a part at a time ends, deep or wide, and leaves what was made
// after it had begun.
func TestRemovalInParts(t *testing.T) {
	dir := nstest.Dir(t)
	for _, what := range []string{"wide", "deep", "still made"} {
		nstest.Tree(t, dir, "d 0755 0 top")
		at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if what == "deep" {
			at = deep(t, at, 3*maxDepth)
		}
		for i := range 500 {
			if err := unix.Mkdirat(at, fmt.Sprint(i), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		_ = unix.Close(at)
		r, parts, end := NewRemoval(), 0, error(nil)
		ticks(t, dir, r.of)
		for end = r.Go(open(t, dir), "top", 1); IsUnfinished(end); end = r.Go(open(t, dir), "top", 1) {
			if parts++; what == "still made" {
				_ = os.Mkdir(fmt.Sprintf("%s/top/new.%d", dir, parts), 0o755)
			}
		}
		if what != "deep" && parts == 0 || (what == "still made") != IsStillMade(end) || end != nil && !IsStillMade(end) {
			t.Errorf("%s: %d parts, %v", what, parts, end)
		}
	}
}

// Users choose how deep a tree is and how long its names are, and not how much memory it
// takes to go through it.
func TestDeepTreesTakeNoMemory(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 1001 top")
	at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 400 { // their paths have 20 MB
		name := strings.Repeat("d", 255)
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		_ = unix.Close(at)
		at = next
	}
	_ = unix.Close(at)
	d := open(t, dir+"/top")
	for _, c := range []struct {
		what string
		goes func() error
	}{
		{"usage", func() error { _, err := d.Usage(nil); return err }},
		{"give", func() error { return d.GiveTree(1001, 2001, nil) }},
		{"age", func() error { _, err := d.Age(Aging{Alone: func(func()) bool { return false }}); return err }},
		{"removal", func() error { return open(t, dir).RemoveTree("top", nil) }},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := c.goes(); err != nil {
			t.Error(c.what, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 10<<20 {
			t.Errorf("%s: %d bytes", c.what, took)
		}
	}
}

// The names of a directory are not known all at once where a user has made them.
func TestWideTreesTakeNoMemory(t *testing.T) {
	dir := nstest.Dir(t)
	for i := range 20_000 {
		if err := os.WriteFile(fmt.Sprintf("%s/%0200d", dir, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	d, entries, before := open(t, dir), 0, heap()
	err := d.GiveTree(1001, 2001, func() {
		if entries++; entries == 1 {
			if now := heap(); now > before+1<<20 {
				t.Errorf("%d bytes", now-before)
			}
		}
	})
	if err != nil || entries != 20_001 {
		t.Error(entries, err)
	}
}

// Nothing is renamed on the way, which is not everywhere possible.
func TestRemoveTreeWithoutRenames(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 top", "d 0755 0 top/other")
	at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(deep(t, at, 2*maxDepth))
	d := open(t, dir)
	withoutRenames(t, func() { err = d.RemoveTree("top", nil) })
	if err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/top"); !os.IsNotExist(err) {
		t.Error("it is still there:", err)
	}
}

// What cannot be removed, deeper than there are descriptors, ends the removal, which
// says why, and what lies beside it goes.
func TestRemoveTreeThatIsInUse(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 top", "d 0755 0 top/other")
	at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	at = deep(t, at, maxDepth+50)
	below := fmt.Sprintf("/proc/self/fd/%d", at)
	if err := unix.Mount("none", below, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	d := open(t, dir)
	for range 2 {
		if err := d.RemoveTree("top", nil); !errors.Is(err, unix.EXDEV) {
			t.Errorf("it says %v", err)
		}
		if _, err := os.Stat(dir + "/top/other"); !os.IsNotExist(err) {
			t.Error("what lies beside it is still there:", err)
		}
	}
	if err := unix.Unmount(below, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(at)
	if err := d.RemoveTree("top", nil); err != nil {
		t.Error("when it can be:", err)
	}
}

// Where no directory can be removed, the removal says so and ends.
func TestRemoveTreeWithoutRmdir(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 top")
	at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = unix.Close(deep(t, at, maxDepth+50))
	d := open(t, dir)
	before := descriptors(t)
	withoutRmdir(t, func() { err = d.RemoveTree("top", nil) })
	if !errors.Is(err, unix.EXDEV) {
		t.Errorf("it says %v", err)
	}
	if after := descriptors(t); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// Where it cannot be told what was made meanwhile, there is an end to what is removed.
func TestRemoveTreeWithinBounds(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 a")
	a := open(t, dir+"/a")
	r := removal{began: time.Now(), undated: maxUndated - 1}
	if err := r.judge(a, maxDepth+1); err != nil || r.undated != maxUndated-1 {
		t.Errorf("one whose time of birth is known: %v, %d", err, r.undated)
	}
	withoutBirths(t, func() {
		if err := r.judge(a, maxDepth); err != nil || r.undated != maxUndated-1 {
			t.Errorf("one that is not deep: %v, %d", err, r.undated)
		}
		if err := r.judge(a, maxDepth+1); err != nil {
			t.Errorf("the last one: %v", err)
		}
		if err := r.judge(a, maxDepth+1); !IsTooDeep(err) {
			t.Errorf("one more: %v", err)
		}
	})
}

// A directory that is not where it was is not gone on in.
func TestUpIsTheWayDown(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 a", "d 0755 0 a/b", "d 0755 0 c")
	a, b := open(t, dir+"/a"), open(t, dir+"/a/b")
	st, err := a.Stat()
	if err != nil {
		t.Fatal(err)
	}
	up, err := b.up(st.ID)
	if err != nil {
		t.Fatal(err)
	}
	up.Close()
	if err := os.Rename(dir+"/a/b", dir+"/c/b"); err != nil {
		t.Fatal(err)
	}
	before := descriptors(t)
	if up, err := b.up(st.ID); err == nil || up.IsOpen() || descriptors(t) != before {
		t.Errorf("it went to %s: %v", up.Path(), err)
	}
}

// withoutRenames does something on a thread whose renames fail, withoutBirths on one that
// is not told when a file was made, and withoutRmdir on one that can remove no
// directory.
func withoutRenames(t *testing.T, do func()) {
	t.Helper()
	without(t, do, unix.SYS_RENAMEAT2, unix.BPF_JGE, 0)
}

func withoutBirths(t *testing.T, do func()) {
	t.Helper()
	without(t, do, unix.SYS_STATX, unix.BPF_JGE, 0)
}

func withoutRmdir(t *testing.T, do func()) {
	t.Helper()
	without(t, do, unix.SYS_UNLINKAT, unix.BPF_JEQ, unix.AT_REMOVEDIR)
}

// without is a thread on which a system call fails with EXDEV if its third argument
// compares so.
func without(t *testing.T, do func(), call uint32, compares uint16, third uint32) {
	t.Helper()
	low := uint32(32) // of args[2] in seccomp_data
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		low = 36
	}
	code := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}, // seccomp_data's first word: the number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: call},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: low},
		{Code: unix.BPF_JMP | compares | unix.BPF_K, Jf: 1, K: third},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EXDEV)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this
		err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
		if err == nil {
			do()
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Fatal("seccomp:", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
}

// Directories that are younger than the removal stay, and what lies beside them goes.
func TestRemoveTreeLeavesTheYounger(t *testing.T) {
	for name, levels := range map[string]int{"near": 1, "deep": maxDepth + 50} {
		t.Run(name, func(t *testing.T) {
			dir := nstest.Dir(t)
			nstest.Tree(t, dir, "d 0755 0 top")
			at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			at = deep(t, at, levels)
			defer unix.Close(at)
			r := removal{began: time.Now(), progress: func() {}}
			var st unix.Statx_t
			for !time.Unix(st.Btime.Sec, int64(st.Btime.Nsec)).After(r.began) { // the clock that dates files has ticks
				_ = unix.Unlinkat(at, "young", unix.AT_REMOVEDIR)
				if err := unix.Mkdirat(at, "young", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := unix.Statx(at, "young", 0, unix.STATX_BTIME, &st); err != nil {
					t.Fatal(err)
				}
			}
			file(t, at, "old")
			d := open(t, dir)
			if err := r.tree(d, "top", 0); !IsStillMade(err) {
				t.Errorf("it says %v", err)
			}
			if err := unix.Faccessat(at, "young", unix.F_OK, 0); err != nil {
				t.Error("it is gone:", err)
			}
			if err := d.RemoveTree("top", nil); err != nil {
				t.Error("the next one:", err)
			}
		})
	}
}

// Who holds a directory of the tree and goes on making others in it is not
// waited for: the removal ends, says so, and the next one finishes.
func TestRemoveTreeThatIsStillMade(t *testing.T) {
	for name, levels := range map[string]int{"near": 3, "deep": maxDepth + 50, "dug out": maxDepth + 50} {
		t.Run(name, func(t *testing.T) {
			dir := nstest.Dir(t)
			nstest.Tree(t, dir, "d 0755 0 top", "d 0755 0 top/other")
			at, err := unix.Open(dir+"/top", unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			for range levels {
				// one of the files goes before the directory, in whichever order they are read
				file(t, at, "a")
				next := deep(t, dup(t, at), 1)
				file(t, at, "z")
				_ = unix.Close(at)
				at = next
			}
			made := 0
			const tooMany = 20_000 // in a tick of the clock that dates files there are fewer
			grow := func() {       // two for each that is removed, deeper and deeper
				if made < tooMany && unix.Mkdirat(at, fmt.Sprint("x", made), 0o755) == nil {
					made++
					at = deep(t, at, 1)
					file(t, at, "a")
					file(t, at, "z")
				}
			}
			grow()
			d := open(t, dir)
			remove := func() { err = d.RemoveTree("top", grow) }
			if name == "dug out" {
				withoutRenames(t, remove)
			} else {
				remove()
			}
			if made < 2 {
				t.Fatal("nobody made anything")
			}
			if made == tooMany {
				t.Error("it went on for as long as somebody made more")
			} else if err != nil && !IsStillMade(err) {
				t.Errorf("it says %v", err)
			}
			_ = unix.Close(at)
			if err := d.RemoveTree("top", nil); err != nil {
				t.Error("when nobody makes more:", err)
			}
		})
	}
}

func file(t *testing.T, at int, name string) {
	t.Helper()
	if err := unix.Mknodat(at, name, unix.S_IFREG, 0); err != nil {
		t.Fatal(err)
	}
}

func dup(t *testing.T, fd int) int {
	t.Helper()
	second, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	return second
}
