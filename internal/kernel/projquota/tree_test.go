package projquota

import (
	"fmt"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
)

// What its user did to a file refuses nobody, and fails no command; what is wrong with
// the machine does.
func TestStaysAsItIs(t *testing.T) {
	for err, want := range map[unix.Errno]bool{unix.EAGAIN: true, unix.ENOKEY: true, unix.ELOOP: true, unix.ENXIO: true,
		unix.EIO: false, unix.EMFILE: false, unix.EACCES: false} {
		if got := staysAsItIs(fmt.Errorf("open x: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, err := range []error{unix.Mkfifo(dir+"/fifo", 0o600), os.Mkdir(dir+"/directory", 0o700), os.Symlink("fifo", dir+"/link")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := dirfd.FromFD(fd, dir)
	defer d.Close()
	for _, name := range []string{"socket", "fifo", "directory", "link"} {
		f, err := d.OpenFile(name)
		if err == nil {
			f.Close()
		}
		if err == nil || !staysAsItIs(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
