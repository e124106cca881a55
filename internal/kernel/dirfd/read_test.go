package dirfd

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

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

// A file is opened by its handle: neither what has its name by now is opened instead, nor is
// anybody waited for who holds a lease on it.
func TestAsFile(t *testing.T) {
	dir := nstest.Dir(t)
	for name, swap := range map[string]func(path string) error{
		"as it was":     func(string) error { return nil },
		"gone":          os.Remove,
		"another file":  func(path string) error { _ = os.Remove(path); return os.WriteFile(path, []byte("another"), 0o644) },
		"a FIFO":        func(path string) error { _ = os.Remove(path); return unix.Mkfifo(path, 0o644) },
		"a link":        func(path string) error { _ = os.Remove(path); return os.Symlink("/etc/passwd", path) },
		"renamed":       func(path string) error { return os.Rename(path, path+".away") },
		"in a dir gone": func(path string) error { return os.Rename(filepath.Dir(path), filepath.Dir(path)+".away") },
	} {
		in := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
		nstest.Tree(t, in[:len(in)-len(filepath.Base(in))], "d 0755 0 "+filepath.Base(in), "f 0644 1001 "+filepath.Base(in)+"/file")
		d := open(t, in)
		e, err := d.LookupHere("file")
		if err != nil {
			t.Fatal(err)
		}
		st, err := e.Stat()
		if err == nil {
			err = swap(in + "/file")
		}
		if err != nil {
			t.Fatal(name, err)
		}
		f, err := e.AsFile()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got, err := f.Stat(); err != nil || got.ID != st.ID {
			t.Errorf("%s: %+v, %v, want %+v", name, got, err, st)
		}
		f.Close()
		e.Close()
		d.Close()
	}
	nstest.Tree(t, dir, "f 0644 0 leased")
	held, err := os.OpenFile(dir+"/leased", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if _, err := unix.FcntlInt(held.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Fatal("lease:", err)
	}
	d := open(t, dir)
	defer d.Close()
	e, err := d.LookupHere("leased")
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.AsFile(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("a lease: %v", err)
	}
	if _, err := d.OpenFile("leased"); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("a lease, by its name: %v", err)
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
