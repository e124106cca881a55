package dirfd

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"pam_polyinst/internal/kernel/nstest"
)

// A file is read whole, whatever its size, or refused above the limit.
func TestReadAll(t *testing.T) {
	dir := nstest.Dir(t)
	const limit = 10000
	for _, size := range []int{0, 1, 4095, 4096, 4097, 8192, 8193, limit - 1, limit, limit + 1, 3 * limit} {
		content := bytes.Repeat([]byte("0123456"), size)[:size]
		if err := os.WriteFile(dir+"/file", content, 0o644); err != nil {
			t.Fatal(err)
		}
		d := open(t, dir)
		f, err := d.OpenFile("file")
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.ReadAll(limit)
		if size > limit && err == nil {
			t.Errorf("%d bytes: read, with a limit of %d", size, limit)
		}
		if size <= limit && (err != nil || !bytes.Equal(got, content)) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
		f.Close()
		d.Close()
	}
}

// What is looked for is found behind more entries than the kernel tells at once,
// and what is not there is not.
func TestHas(t *testing.T) {
	dir := nstest.Dir(t)
	for i := range 500 {
		nstest.Tree(t, dir, fmt.Sprintf("d 0755 0 one-of-many-%d", i))
	}
	nstest.Tree(t, dir, "d 0755 0 the-last")
	d := open(t, dir)
	defer d.Close()
	for name, want := range map[string]bool{"one-of-many-7": true, "the-last": true, "another": false} {
		if got, err := d.Has(func(n string) bool { return n == name }); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, want)
		}
	}
	if names, err := d.Names(); err != nil || len(names) != 501 {
		t.Errorf("Names: %d, %v", len(names), err)
	}
}
