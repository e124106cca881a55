package projquota

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// What a user did to a file of theirs refuses nobody; what the machine says does.
func TestStaysAsItIs(t *testing.T) {
	for err, want := range map[unix.Errno]bool{unix.EAGAIN: true, unix.ENOKEY: true, unix.EIO: false, unix.EMFILE: false, unix.EACCES: false} {
		if got := staysAsItIs(fmt.Errorf("open x: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
