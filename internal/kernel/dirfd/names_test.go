package dirfd

import (
	"fmt"
	"os"
	"slices"
	"testing"
)

// Names that are skipped are those at the beginning, wherever the kernel's answer
// ends, and none of the others is.
func TestEachNameSkips(t *testing.T) {
	path := t.TempDir()
	for i := range 600 { // more than one answer
		if err := os.WriteFile(fmt.Sprintf("%s/a-name-of-some-length-%d", path, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	way, err := Walk(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	read := func(skip func(string) bool) (names []string) {
		t.Helper()
		if err := way.Dir.EachName(skip, func(name string) bool { names = append(names, name); return true }); err != nil {
			t.Fatal(err)
		}
		return names
	}
	all := read(nil)
	if len(all) != 600 {
		t.Fatalf("%d names", len(all))
	}
	for _, n := range []int{0, 1, 2, 150, 170, 171, 172, 350, 599, 600} {
		left := n
		got := read(func(string) bool { left--; return left >= 0 })
		if !slices.Equal(got, all[n:]) {
			t.Errorf("without the first %d of %d: %d names", n, len(all), len(got))
		}
	}
}
