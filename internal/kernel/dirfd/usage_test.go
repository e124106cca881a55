package dirfd

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/nstest"
)

// What a tree takes is what its files take, each once, whatever names it has.
func TestUsage(t *testing.T) {
	dir := nstest.Dir(t)
	nstest.Tree(t, dir, "d 0755 0 tree", "d 0755 0 tree/sub", "l 0 tree/link /etc", "f 0600 0 tree/one")
	var files uint64
	for name, blocks := range map[string]int64{"one": 5, "two": 7, "three": 1} {
		path := dir + "/tree/" + name
		if err := os.WriteFile(path, make([]byte, 4096*blocks), 0o600); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			t.Fatal(err)
		}
		files += uint64(st.Blocks) * 512
	}
	for i := range 2 { // three names each, so that no share is a whole number
		for _, name := range []string{"two", "three"} {
			if err := os.Link(dir+"/tree/"+name, fmt.Sprintf("%s/tree/sub/%s.%d", dir, name, i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	u, err := open(t, dir+"/tree").Usage(nil)
	if err != nil {
		t.Fatal(err)
	}
	if u.Bytes != files || u.Entries != 10 || u.Partial { // on tmpfs directories take nothing
		t.Errorf("%+v, want %d bytes and 10 entries", u, files)
	}
}

// Nothing is kept of files with several names, of which a user can make millions.
func TestUsageTakesNoMemory(t *testing.T) {
	dir := nstest.Dir(t)
	const many = 50_000
	for i := range many {
		path := fmt.Sprintf("%s/%d", dir, i)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(path, path+".again"); err != nil {
			t.Fatal(err)
		}
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, most, entries := heap(), int64(0), 0
	d := open(t, dir)
	if _, err := d.Usage(func() {
		if entries++; entries%(many/5) == 0 {
			most = max(most, heap()-before)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if entries != 2*many+1 {
		t.Errorf("told of %d entries", entries)
	}
	if most > 200_000 {
		t.Errorf("%d bytes for %d files", most, many)
	}
}
