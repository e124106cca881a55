package live

import (
	"os"
	"slices"
	"testing"
)

// Roots says of every mount what Mounts says, but for whole filesystems.
func TestRootsAreThoseOfMounts(t *testing.T) {
	self := Task{PID: os.Getpid(), TID: os.Getpid()}
	mounts, err := Mounts(self)
	if err != nil {
		t.Fatal(err)
	}
	var want, got []string
	for _, m := range mounts {
		if m.Root != "/" {
			want = append(want, m.Root)
		}
	}
	if err := Roots(self, func(root string) { got = append(got, root) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for line, root := range map[string]string{
		`36 35 98:0 /mnt1\040a /mnt2 rw,noatime master:1 - ext3 /dev/root rw`: `/mnt1\040a`,
		`36 35 98:0`: ``,
		``:           ``,
	} {
		if got := string(fourthField([]byte(line))); got != root {
			t.Errorf("%q: %q", line, got)
		}
	}
}
