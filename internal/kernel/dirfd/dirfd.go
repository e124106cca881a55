// Package dirfd is a directory as a handle. A path is walked once, component
// by component, each judged by what was opened and not by its name; afterwards
// the handle is the truth and the path a label for messages.
//
// It is one of the kernel packages, which alone make system calls.
package dirfd

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"
)

// Dir is an open handle (O_PATH) of a directory, or of what stands where one
// was looked for. The zero Dir is not open.
type Dir struct {
	fd   int // descriptor + 1, so that the zero value is closed
	path string
	lent bool // somebody else closes it: Walks
}

func newDir(fd int, path string) Dir { return Dir{fd: fd + 1, path: path} }

// lend is the same handle, which its owner closes.
func (d Dir) lend() Dir { return Dir{d.fd, d.path, true} }

// FromFD makes a Dir of a descriptor, which it then owns.
func FromFD(fd int, label string) Dir { return newDir(fd, label) }

// FD is the descriptor, -1 if the Dir is not open. It stays the Dir's.
func (d Dir) FD() int { return d.fd - 1 }

// IsOpen reports whether the Dir holds a descriptor.
func (d Dir) IsOpen() bool { return d.fd > 0 }

// Path is the path by which the directory was reached, for messages only.
func (d Dir) Path() string { return d.path }

// Close releases the handle; closing a closed Dir is nothing.
func (d *Dir) Close() {
	if d.IsOpen() && !d.lent {
		_ = unix.Close(d.FD())
	}
	d.fd = 0
}

// Dup is a second handle of the same directory.
func (d Dir) Dup() (Dir, error) {
	fd, err := unix.FcntlInt(uintptr(d.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return Dir{}, pathError("dup", d.path, err)
	}
	return newDir(fd, d.path), nil
}

// Root is the root directory of this process.
func Root() (Dir, error) { return openPath("/") }

// RootStat is what the root directory of this process is now.
func RootStat() (Stat, error) {
	root, err := Root()
	if err != nil {
		return Stat{}, err
	}
	defer root.Close()
	return root.Stat()
}

// Cwd says where this process stands: the directory's identity, and its path, which is
// empty if the directory was removed or lies outside the root. Cwd opens nothing and
// asks no filesystem (AT_STATX_DONT_SYNC, statx(2)): it may be a user's that hangs.
func Cwd() (path string, id ID, err error) {
	var x unix.Statx_t
	flags := unix.AT_EMPTY_PATH | unix.AT_STATX_DONT_SYNC
	if err := unix.Statx(unix.AT_FDCWD, "", flags, unix.STATX_INO, &x); err != nil {
		return "", ID{}, pathError("stat", ".", err)
	}
	if wd, err := unix.Getwd(); err == nil && wd != "" && wd[0] == '/' {
		path = wd
	}
	return path, ID{Dev: unix.Mkdev(x.Dev_major, x.Dev_minor), Ino: x.Ino}, nil
}

// Enter makes the directory the working directory of this process.
func (d Dir) Enter() error { return pathError("chdir", d.path, unix.Fchdir(d.FD())) }

func openPath(path string) (Dir, error) { return openPathAt(unix.AT_FDCWD, path) }

func openPathAt(dir int, path string) (Dir, error) {
	fd, err := unix.Openat(dir, path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Dir{}, pathError("open", path, err)
	}
	return newDir(fd, path), nil
}

// open opens one name in d without following anything; the flags of openat2(2)
// say what else is demanded.
func (d Dir) open(name string, flags, resolve uint64, mode uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Mode:    mode,
		Resolve: resolve | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_BENEATH,
	}
	for {
		fd, err := unix.Openat2(d.FD(), name, &how)
		// EAGAIN: something was renamed below us during the look (openat2(2)); of a file
		// that is opened to be read, that somebody holds a lease on it (fcntl(2)), for whom
		// nobody waits
		again := errors.Is(err, unix.EAGAIN) && flags&(unix.O_PATH|unix.O_DIRECTORY) != 0
		if !errors.Is(err, unix.EINTR) && !again {
			return fd, err
		}
	}
}

// Lookup opens the entry called name, of whatever type, without following it.
// A FIFO or a device is not opened for reading and so cannot block. What a user
// has mounted there is an error of IsUsersMount, and nothing is asked of it.
func (d Dir) Lookup(name string) (Dir, error) {
	path := join(d.path, name)
	fd, err := d.openEntry(name, unix.RESOLVE_NO_XDEV)
	if err == nil {
		return newDir(fd, path), nil
	}
	if IsOtherMount(err) {
		fd, err = d.openEntry(name, 0)
	}
	if err != nil {
		return Dir{}, pathError("open", path, err)
	}
	entry := newDir(fd, path)
	f, err := entry.Filesystem()
	if err == nil {
		err = f.enters(NoUID, path)
	}
	if err != nil {
		entry.Close()
		return Dir{}, err
	}
	return entry, nil
}

// openEntry opens an entry. It tries O_DIRECTORY first, because only that has an
// automount point mounted; if the entry is no directory, it opens what it is.
func (d Dir) openEntry(name string, resolve uint64) (int, error) {
	fd, err := d.open(name, unix.O_PATH|unix.O_DIRECTORY, resolve, 0)
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return d.open(name, unix.O_PATH, resolve, 0)
	}
	return fd, err
}

// LookupHere is Lookup for an entry that must lie on d's own mount: EXDEV
// otherwise.
func (d Dir) LookupHere(name string) (Dir, error) {
	path := join(d.path, name)
	fd, err := d.open(name, unix.O_PATH, unix.RESOLVE_NO_XDEV, 0)
	if err != nil {
		return Dir{}, pathError("open", path, err)
	}
	return newDir(fd, path), nil
}

// Mkdir makes a directory, by name and not following; the umask applies.
// fs.ErrExist if the name is taken.
func (d Dir) Mkdir(name string, mode uint32) error {
	return pathError("mkdir", join(d.path, name), unix.Mkdirat(d.FD(), name, mode))
}

// MkdirExact is Mkdir with just this mode, whatever the umask: nothing has to be
// put right afterwards, on what somebody may have put in its place.
func (d Dir) MkdirExact(name string, mode uint32) error {
	old := unix.Umask(0)
	defer unix.Umask(old)
	return d.Mkdir(name, mode)
}

// Rename gives an entry of d another name in d, which must be free:
// fs.ErrExist if it is not (RENAME_NOREPLACE, rename(2)).
func (d Dir) Rename(from, to string) error {
	err := unix.Renameat2(d.FD(), from, d.FD(), to, unix.RENAME_NOREPLACE)
	return pathError("rename", join(d.path, from), err)
}

// MoveTo is Rename into a directory of the same mount.
func (d Dir) MoveTo(from string, to Dir, name string) error {
	err := unix.Renameat2(d.FD(), from, to.FD(), name, unix.RENAME_NOREPLACE)
	return pathError("rename", join(d.path, from), err)
}

// Rmdir removes an empty directory.
func (d Dir) Rmdir(name string) error {
	return pathError("rmdir", join(d.path, name), unix.Unlinkat(d.FD(), name, unix.AT_REMOVEDIR))
}

// Unlink removes an entry that is no directory.
func (d Dir) Unlink(name string) error {
	return pathError("unlink", join(d.path, name), unix.Unlinkat(d.FD(), name, 0))
}

// reopen is a readable descriptor of the directory that the handle stands for:
// "." below a directory handle names nothing but that directory.
func (d Dir) reopen() (int, error) {
	return unix.Openat(d.FD(), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
}

// SetOwner sets owner, group and mode of a directory, in this order: chown(2)
// clears set-id bits.
func (d Dir) SetOwner(uid, gid, mode uint32) error {
	fd, err := d.reopen()
	if err != nil {
		return pathError("open", d.path, err)
	}
	defer unix.Close(fd)
	if err := unix.Fchown(fd, int(uid), int(gid)); err != nil {
		return pathError("chown", d.path, err)
	}
	if err := unix.Fchmod(fd, mode); err != nil {
		return pathError("chmod", d.path, err)
	}
	return nil
}

// MountFlags are the ST_ flags of the mount that the handle lies on
// (statvfs(3)), and the filesystem's magic number (statfs(2)).
func (d Dir) MountFlags() (flags int64, magic int64, err error) {
	var s unix.Statfs_t
	if err := unix.Fstatfs(d.FD(), &s); err != nil {
		return 0, 0, pathError("statfs", d.path, err)
	}
	return int64(s.Flags), int64(s.Type), nil
}

// ReusedMountID is the id by which mountinfo names the mount that the handle
// lies on.
func (d Dir) ReusedMountID() (uint64, error) {
	var x unix.Statx_t
	if err := unix.Statx(d.FD(), "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &x); err != nil {
		return 0, pathError("stat", d.path, err)
	}
	return x.Mnt_id, nil
}

// join is a label: the path of an entry of a directory. One that is longer than a path can
// be is cut: users choose how deep a tree is, and each level has its label.
func join(dir, name string) string {
	const cut = "/..."
	if len(dir)+1+len(name) > unix.PathMax {
		return strings.TrimSuffix(dir, cut) + cut
	}
	if dir == "/" {
		return dir + name
	}
	return dir + "/" + name
}

// pathError wraps an errno with what was tried on which path; nil stays nil.
// The result works with errors.Is and fs.ErrNotExist, fs.ErrExist and so on.
func pathError(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// Reason is what an error says of the path that it carries.
func Reason(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// Errno is the system's word for an error, without the operation and the path
// that it carries.
func Errno(err error) string {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return fmt.Sprint(err)
}

// SetMode sets the permission bits of a directory.
func (d Dir) SetMode(mode uint32) error {
	fd, err := d.reopen()
	if err != nil {
		return pathError("open", d.path, err)
	}
	defer unix.Close(fd)
	return pathError("chmod", d.path, unix.Fchmod(fd, mode))
}
