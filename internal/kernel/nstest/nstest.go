// Package nstest runs the tests of a kernel package in a mount namespace of
// their own, where a fresh tmpfs lies on /mnt: what they mount, make and remove
// never touches the machine.
package nstest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const inside = "POLYINST_NSTEST"

// Main is a TestMain: it runs the tests again in a child that has a namespace.
func Main(m *testing.M) {
	if os.Getenv(inside) != "" {
		if err := enter(); err != nil {
			fmt.Fprintln(os.Stderr, "nstest:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	if os.Getuid() != 0 {
		fmt.Println("LEFT OUT: the tests of this package need root")
		return
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "nstest:", err)
		os.Exit(1)
	}
}

// Some is Main for a package that has tests which need no root: whoever is not root
// runs those, and the others, which call Need, are skipped.
func Some(m *testing.M) {
	if os.Getenv(inside) == "" && os.Getuid() != 0 {
		os.Exit(m.Run())
	}
	Main(m)
}

// Need skips a test that wants the namespace where there is none.
func Need(t *testing.T) {
	t.Helper()
	if os.Getenv(inside) == "" {
		t.Skip("needs root: a mount namespace of its own")
	}
}

func enter() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	return syscall.Mount("nstest", "/mnt", "tmpfs", 0, "mode=755")
}

// Dir is a new directory of root's for one test, on a path that is root's alone.
func Dir(t *testing.T) string {
	t.Helper()
	Need(t)
	dir := filepath.Join("/mnt", strings.NewReplacer("/", "_", " ", "_").Replace(t.Name()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Tree makes files below dir from lines such as "d 1777 0 sub", "f 0644 1001
// sub/file", "l 0 sub/link target", "p 0644 0 fifo": type, mode (not for a
// link), owner, name and target.
func Tree(t *testing.T, dir string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if err := entry(dir, strings.Fields(line)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
}

func entry(dir string, f []string) error {
	if f[0] == "l" {
		var uid int
		if _, err := fmt.Sscan(f[1], &uid); err != nil {
			return err
		}
		path := filepath.Join(dir, f[2])
		if err := os.Symlink(f[3], path); err != nil {
			return err
		}
		return os.Lchown(path, uid, uid)
	}
	var mode uint32
	var uid int
	if _, err := fmt.Sscanf(f[1]+" "+f[2], "%o %d", &mode, &uid); err != nil {
		return err
	}
	path := filepath.Join(dir, f[3])
	var err error
	switch f[0] {
	case "d":
		err = os.Mkdir(path, 0o700)
	case "f":
		err = os.WriteFile(path, []byte(f[3]), 0o600)
	case "p":
		err = syscall.Mkfifo(path, 0o600)
	}
	if err != nil {
		return err
	}
	if err := os.Chown(path, uid, uid); err != nil {
		return err
	}
	return syscall.Chmod(path, mode)
}
