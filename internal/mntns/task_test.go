package mntns

import (
	"os"
	"testing"
)

func TestThreadStart(t *testing.T) {
	const rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20 21\n"
	for _, name := range []string{"sh", "a b", ") R 1 1", "((", ""} {
		start, err := parseStart("x", "12 ("+name+")"+rest)
		if err != nil || start != 4711 {
			t.Errorf("%q: %d, %v", name, start, err)
		}
	}
	for _, stat := range []string{"", "12 (sh)", "12 (sh) S 1 2 3", "12 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x"} {
		if start, err := parseStart("x", stat); err == nil {
			t.Errorf("%q: %d, want an error", stat, start)
		}
	}
	own, err := ThreadStart(os.Getpid())
	if err != nil || own == 0 {
		t.Errorf("of this process: %d, %v", own, err)
	}
}
