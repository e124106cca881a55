package lsm

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The kernel's answer is taken as it is, and anything else is none.
func TestParseAnswer(t *testing.T) {
	for text, want := range map[string]uint32{
		"allow 0x0000001c\ndeny 0x00000000\naudit 0x00000000\nquiet 0x00000000\n": 0x1c,
		"allow 0xffffffff\ndeny 0x00000000\naudit 0x00000000\nquiet 0xffffffff\n": 0xffffffff,
		"allow 0x00000006\ndeny 0x00000002\naudit 0x00000000\nquiet 0x00000000\n": 4,
		"allow 0x00000000\ndeny 0x00000000\naudit 0x00000000\nquiet 0x0000317e\n": 0,
	} {
		if got, err := parseAnswer(text); got != want || err != nil {
			t.Errorf("%q: %#x, %v, want %#x", text, got, err, want)
		}
	}
	for _, text := range []string{"", "allow 0x1c", "allow 0x1c\n", "allow\ndeny 0x0\n", "deny 0x0\nallow 0x1c\n", "allow 0x1000000000\ndeny 0x0\n", "allow yes\ndeny 0x0\n"} {
		if got, err := parseAnswer(text); err == nil {
			t.Errorf("%q: %#x", text, got)
		}
	}
}

func TestElsewhere(t *testing.T) {
	for name, want := range map[string]bool{
		"unconfined": false, "web": false, "web//alice": false, "web//&mail": false, "a:b": false,
		":c1:web": true, ":c1://unconfined": true, "lxd//&:c1:web": true, "lxd//&a//&:c1://unconfined": true,
	} {
		if got := (Profile{Name: name}).Elsewhere(); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

// What another thread has asked for is not known by its directory: there the kernel says
// what the reader has asked for.
func TestAppArmorExecIsTheReaders(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/attr/apparmor", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/attr/apparmor/exec", []byte("own (enforce)\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if p, waiting, err := Of(fd).AppArmorExec(); waiting || err != nil || p != (Profile{}) {
		t.Errorf("%v %v %v", p, waiting, err)
	}
}
