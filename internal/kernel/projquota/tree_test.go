package projquota

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
)

// A directory with too many files is not read to its end to know that.
func TestTooManyAreNotRead(t *testing.T) {
	path := t.TempDir()
	for i := range 10_000 {
		if err := os.Symlink("x", fmt.Sprintf("%s/%0200d", path, i)); err != nil { // of a link no project is asked
			t.Fatal(err)
		}
	}
	way, err := dirfd.WalkTo(path)
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := SetTree(way.Dir, 1, 10); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 1<<19 {
		t.Errorf("it took %d bytes", took)
	}
}

// What a user did to a file of theirs refuses nobody; what the machine says does.
func TestStaysAsItIs(t *testing.T) {
	for err, want := range map[unix.Errno]bool{unix.EAGAIN: true, unix.ENOKEY: true, unix.EIO: false, unix.EMFILE: false, unix.EACCES: false} {
		if got := staysAsItIs(fmt.Errorf("open x: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
