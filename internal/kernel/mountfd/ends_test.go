package mountfd

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// The end of a mark is told when its last copy has gone, and not before.
func TestEnds(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 at")
	ends, err := NewEnds()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(ends.FD())
	mark, err := ends.NewMark("a mark")
	if err != nil {
		t.Fatal(err)
	}
	way, err := dirfd.Walk(dir+"/at", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	told := func(when string, ms int, want bool) {
		t.Helper()
		if got, err := ends.Wait(ms); err != nil || got != want {
			t.Errorf("%s: told %v, %v; want %v", when, got, err, want)
		}
	}
	if err := mark.Attach(way.Dir); err != nil {
		t.Fatal(err)
	}
	mark.Close()
	told("attached, and let go of", 0, false)
	if fd, err := unix.Open(dir+"/at", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		t.Error(err)
	} else {
		if err := unix.Mkdirat(fd, "x", 0o700); err != unix.EROFS {
			t.Errorf("something can be made in it: %v", err)
		}
		_ = unix.Close(fd)
	}
	// a copy, as a namespace that is made from this one has it
	copied, err := unix.OpenTree(unix.AT_FDCWD, dir+"/at", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Unmount(dir+"/at", 0); err != nil {
		t.Fatal(err)
	}
	told("with a copy", 0, false)
	_ = unix.Close(copied)
	told("without", 10_000, true)
}
