package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What a disposable host shows of the machine outside, all read-only.
const (
	hostDir    = "/.host"
	sourcePath = hostDir + "/src"   // the checkout
	buildPath  = hostDir + "/build" // built programs
	binaryPath = hostDir + "/test"  // the test binary
)

// Name is the host name inside.
const Name = "disposable"

// runInit is the first process: it makes the host, starts the test binary in
// it, and reaps orphans until that ends. The host ends with it.
func runInit() int {
	var s spec
	if err := json.Unmarshal([]byte(os.Getenv(specEnv)), &s); err != nil {
		return initFailed(err)
	}
	if err := makeHost(s); err != nil {
		return initFailed(err)
	}
	if err := os.Chdir(filepath.Join(sourcePath, s.Dir)); err != nil {
		return initFailed(err)
	}
	// Whoever ran the tests may have left other descriptors open.
	if err := unix.CloseRange(replyFD+1, 1<<31, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return initFailed(fmt.Errorf("close_range: %w", err))
	}
	pid, err := syscall.ForkExec(binaryPath, append([]string{binaryPath}, os.Args[1:]...), &syscall.ProcAttr{
		Env:   insideEnv(),
		Files: []uintptr{0, 1, 2, requestFD, replyFD},
	})
	if err != nil {
		return initFailed(fmt.Errorf("start the test binary: %w", err))
	}
	_ = unix.Close(requestFD)
	_ = unix.Close(replyFD)
	for {
		var status unix.WaitStatus
		ended, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return initFailed(err)
		case ended == pid && status.Signaled():
			fmt.Fprintln(os.Stderr, "the test binary was killed by", status.Signal())
			return 128 + int(status.Signal())
		case ended == pid:
			return status.ExitStatus()
		}
	}
}

func initFailed(err error) int {
	fmt.Fprintln(os.Stderr, "make a disposable host:", err)
	return 125
}

func insideEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, stageEnv+"=") && !strings.HasPrefix(v, specEnv+"=") {
			env = append(env, v)
		}
	}
	return append(env, stageEnv+"="+stageInside)
}

// makeHost turns the new namespaces into the host.
func makeHost(s spec) error {
	// First of all: nothing from here on reaches the machine.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make all mounts private: %w", err)
	}
	// Taken now, by handle: the places may be covered below.
	shown := []struct {
		from, to string
		dir      bool
		fd       int
	}{
		{from: s.Source, to: sourcePath, dir: true},
		{from: s.Build, to: buildPath, dir: true},
		{from: s.Binary, to: binaryPath},
	}
	for i := range shown {
		fd, err := unix.OpenTree(unix.AT_FDCWD, shown[i].from, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
		if err != nil {
			return fmt.Errorf("open_tree %s: %w", shown[i].from, err)
		}
		shown[i].fd = fd
	}

	root, err := makeRoot(s.Copied)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(root+hostDir, 0o755); err != nil {
		return err
	}
	for _, m := range shown {
		if err := attach(m.fd, root+m.to, m.dir); err != nil {
			return err
		}
	}
	if err := makeKernelMounts(root); err != nil {
		return err
	}
	if err := enter(root); err != nil {
		return err
	}
	// As systemd leaves it, so that a leak out of a session would be seen.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("make all mounts shared: %w", err)
	}
	if err := unix.Sethostname([]byte(Name)); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return cleanMachine()
}

// attach puts a detached mount at path, read-only.
func attach(fd int, path string, dir bool) error {
	defer unix.Close(fd)
	if err := makeMountPoint(path, dir); err != nil {
		return err
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
		return fmt.Errorf("mount_setattr %s: %w", path, err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, path, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount %s: %w", path, err)
	}
	return nil
}

func makeMountPoint(path string, dir bool) error {
	if dir {
		return os.MkdirAll(path, 0o755)
	}
	return os.WriteFile(path, nil, 0o755)
}

// enter makes root the root directory and leaves nothing of the old one.
func enter(root string) error {
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	return os.Chdir("/")
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// cleanMachine takes away what the machine may have that is ours, and what
// would make it talk to its surroundings.
func cleanMachine() error {
	for _, path := range []string{"/etc/security/polyinst", "/var/lib/polyinst", "/etc/nologin"} {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/etc/hostname", []byte(Name+"\n"), 0o644); err != nil {
		return err
	}
	return os.WriteFile("/etc/hosts", []byte("127.0.0.1 localhost "+Name+"\n::1 localhost\n"), 0o644)
}
