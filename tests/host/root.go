package host

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// scratch is where the new root is put together; what lies below it outside is
// not needed any more.
const scratch = "/run"

// emptied are the directories that start empty, as on a fresh machine.
var emptied = []string{"/tmp", "/var/tmp"}

// makeRoot mounts the root of the host and returns its path.
func makeRoot(copied bool) (string, error) {
	mounts, err := diskMounts()
	if err != nil {
		return "", err
	}
	if err := mountTmpfs(scratch, 0o755); err != nil {
		return "", err
	}
	root := scratch + "/root"
	if err := os.Mkdir(root, 0o755); err != nil {
		return "", err
	}
	if copied || mountOverlay("/", root, scratch+"/layers/root", emptied) != nil {
		// Refused in a container whose / is an overlay of overlays.
		return root, copyRoot(root)
	}
	for i, m := range mounts {
		layers := fmt.Sprintf("%s/layers/%d", scratch, i)
		if err := mountOverlay(m, root+m, layers, nil); err == nil {
			continue
		}
		if err := bindReadOnly(m, root+m, true); err != nil {
			return "", err
		}
	}
	return root, nil
}

// mountOverlay mounts an overlay of lower at target. The directories of empty
// hide what is below them.
func mountOverlay(lower, target, layers string, empty []string) error {
	upper, work := layers+"/upper", layers+"/work"
	for _, d := range []string{upper, work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := sameOwnerAndMode(lower, upper); err != nil {
		return err
	}
	for _, d := range empty {
		if err := makeOpaque(lower, upper, d); err != nil {
			return err
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work)
	err := unix.Mount("overlay", target, "overlay", 0, options+",xino=on")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", target, "overlay", 0, options)
	}
	return err
}

// makeOpaque makes dir an empty, world-writable directory of the upper layer.
func makeOpaque(lower, upper, dir string) error {
	for parent := filepath.Dir(dir); parent != "/"; parent = filepath.Dir(parent) {
		if err := os.MkdirAll(upper+parent, 0o755); err != nil {
			return err
		}
		if err := sameOwnerAndMode(filepath.Join(lower, parent), upper+parent); err != nil {
			return err
		}
	}
	if err := makeSticky(upper + dir); err != nil {
		return err
	}
	return unix.Setxattr(upper+dir, "trusted.overlay.opaque", []byte("y"), 0)
}

func makeSticky(path string) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, 0o777|os.ModeSticky)
}

func sameOwnerAndMode(from, to string) error {
	var st unix.Stat_t
	if err := unix.Stat(from, &st); err != nil {
		return fmt.Errorf("stat %s: %w", from, err)
	}
	if err := unix.Chown(to, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Chmod(to, st.Mode&0o7777)
}

// notCopied is what a host of copies does without: caches, images, databases
// of the package manager, and people's files.
var notCopied = []string{
	"/var/cache", "/var/tmp", "/var/lib/containers", "/var/lib/docker", "/var/lib/containerd",
	"/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd", "/var/log", "/var/backups",
}

// startEmpty are directories of people and disks, which a host of copies has
// empty.
var startEmpty = []string{"/home", "/root", "/srv", "/mnt", "/media"}

// copyRoot makes the root without an overlay: copies of what the host writes
// to, read-only bind mounts of the rest.
func copyRoot(root string) error {
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount tmpfs on %s: %w", root, err)
	}
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := "/" + e.Name()
		switch {
		case slices.Contains([]string{"/proc", "/sys", "/dev", "/run", "/tmp"}, path):
		case e.Type()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, root+path); err != nil {
				return err
			}
		case !e.IsDir():
		case slices.Contains(startEmpty, path):
			if err := emptyLike(path, root+path); err != nil {
				return err
			}
		case path == "/etc":
			if err := copyTree(path, root+path); err != nil {
				return err
			}
		case path == "/var":
			if err := copyVar(root); err != nil {
				return err
			}
		default:
			if err := bindReadOnly(path, root+path, true); err != nil {
				return err
			}
		}
	}
	if err := copyWritableParts(root); err != nil {
		return err
	}
	for _, d := range emptied {
		if err := makeSticky(root + d); err != nil {
			return err
		}
	}
	return nil
}

func copyVar(root string) error {
	if err := emptyLike("/var", root+"/var"); err != nil {
		return err
	}
	return copyChildren("/var", root)
}

func copyChildren(dir, root string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case slices.Contains(notCopied, path):
			err = emptyLike(path, root+path)
		case path == "/var/lib":
			if err = emptyLike(path, root+path); err == nil {
				err = copyChildren(path, root)
			}
		default:
			err = copyTree(path, root+path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyWritableParts gives the host its own copy of the directories below /usr
// that Install writes to.
func copyWritableParts(root string) error {
	for _, path := range []string{pamDir(), toolDir} {
		path, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue
		}
		copied := scratch + "/parts" + path
		if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
			return err
		}
		if err := copyTree(path, copied); err != nil {
			return err
		}
		if err := unix.Mount(copied, root+path, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", path, err)
		}
	}
	return nil
}

func emptyLike(path, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	return sameOwnerAndMode(path, to)
}

func copyTree(from, to string) error {
	out, err := exec.Command("cp", "-a", "--one-file-system", from, to).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

func bindReadOnly(from, to string, recursive bool) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	open, set := uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC), uint(unix.AT_EMPTY_PATH)
	if recursive {
		open, set = open|unix.AT_RECURSIVE, set|unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(unix.AT_FDCWD, from, open)
	if err != nil {
		return fmt.Errorf("open_tree %s: %w", from, err)
	}
	defer unix.Close(fd)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(fd, "", set, &attr); err != nil {
		return fmt.Errorf("mount_setattr %s: %w", from, err)
	}
	if err := unix.MoveMount(fd, "", unix.AT_FDCWD, to, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("move_mount %s: %w", to, err)
	}
	return nil
}

// diskMounts are the directories of the machine, apart from /, where a
// filesystem with files of its own is mounted, outer ones first.
func diskMounts() ([]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var found []string
	for in := bufio.NewScanner(f); in.Scan(); {
		before, after, ok := strings.Cut(in.Text(), " - ")
		fields, tail := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(tail) < 1 || !onDisk(tail[0]) {
			continue
		}
		path := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])
		if path == "/" || hidden(path) || slices.Contains(found, path) {
			continue
		}
		if st, err := os.Stat(path); err != nil || !st.IsDir() {
			continue
		}
		found = append(found, path)
	}
	slices.SortFunc(found, func(a, b string) int { return len(a) - len(b) })
	return found, nil
}

func onDisk(fstype string) bool {
	return slices.Contains([]string{"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "overlay"}, fstype)
}

func hidden(path string) bool {
	return slices.ContainsFunc([]string{"/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp"}, func(d string) bool {
		return path == d || strings.HasPrefix(path, d+"/")
	})
}
