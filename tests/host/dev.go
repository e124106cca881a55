package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// makeKernelMounts mounts /proc, /sys, /dev and /run of the host.
func makeKernelMounts(root string) error {
	for _, d := range []string{"/proc", "/sys", "/dev", "/run"} {
		if err := os.MkdirAll(root+d, 0o755); err != nil {
			return err
		}
	}
	flags := uintptr(unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("proc", root+"/proc", "proc", flags, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	if err := makeSys(root, flags); err != nil {
		return err
	}
	if err := makeDev(root + "/dev"); err != nil {
		return fmt.Errorf("make /dev: %w", err)
	}
	return makeRun(root + "/run")
}

func makeSys(root string, flags uintptr) error {
	if err := unix.Mount("sysfs", root+"/sys", "sysfs", flags|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("mount /sys: %w", err)
	}
	// The security modules, where there are any.
	for _, d := range []string{"/sys/fs/selinux", "/sys/kernel/security", "/sys/fs/smackfs"} {
		if entries, err := os.ReadDir(d); err != nil || len(entries) == 0 {
			continue
		}
		if err := unix.Mount(d, root+d, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", d, err)
		}
	}
	return nil
}

// makeDev makes a /dev of the host's own: sockets and terminals made there are
// not the machine's.
func makeDev(dev string) error {
	old, err := filepath.Glob("/dev/loop*")
	if err != nil {
		return err
	}
	if err := mountTmpfs(dev, 0o755); err != nil {
		return err
	}
	for _, path := range append(old, "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/fuse") {
		if err := sameDevice(path, dev+"/"+filepath.Base(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	links := map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd",
		"stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2",
	}
	for name, target := range links {
		if err := os.Symlink(target, dev+"/"+name); err != nil {
			return err
		}
	}
	for _, d := range []string{"pts", "mqueue"} {
		if err := os.Mkdir(dev+"/"+d, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("devpts", dev+"/pts", "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"); err != nil {
		return fmt.Errorf("mount devpts: %w", err)
	}
	if err := unix.Mount("mqueue", dev+"/mqueue", "mqueue", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("mount mqueue: %w", err)
	}
	if err := os.Mkdir(dev+"/shm", 0o755); err != nil {
		return err
	}
	return mountTmpfs(dev+"/shm", 0o1777)
}

func sameDevice(path, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR && st.Mode&unix.S_IFMT != unix.S_IFBLK {
		return nil
	}
	if err := unix.Mknod(to, st.Mode, int(st.Rdev)); err != nil {
		// A container may lack CAP_MKNOD.
		if err := os.WriteFile(to, nil, 0o600); err != nil {
			return err
		}
		return unix.Mount(path, to, "", unix.MS_BIND, "")
	}
	if err := unix.Chmod(to, st.Mode&0o7777); err != nil {
		return err
	}
	return unix.Chown(to, int(st.Uid), int(st.Gid))
}

// makeRun makes /run as it is on a machine that has just booted.
func makeRun(run string) error {
	if err := mountTmpfs(run, 0o755); err != nil {
		return err
	}
	for _, d := range []string{"/sshd", "/user"} {
		if err := os.Mkdir(run+d, 0o755); err != nil {
			return err
		}
	}
	if err := makeSticky(run + "/lock"); err != nil {
		return err
	}
	return os.WriteFile(run+"/utmp", nil, 0o664)
}

func mountTmpfs(path string, mode uint32) error {
	err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID, fmt.Sprintf("mode=%04o", mode))
	if err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", path, err)
	}
	return nil
}
