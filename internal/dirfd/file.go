package dirfd

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// File is an open regular file.
type File struct {
	fd   int // descriptor + 1
	path string
}

// Close releases the file, and with it a lock on it.
func (f *File) Close() {
	if f.fd > 0 {
		_ = unix.Close(f.fd - 1)
	}
	f.fd = 0
}

// FD is the descriptor, -1 if the file is not open. It stays the File's.
func (f File) FD() int { return f.fd - 1 }

// OpenFile opens the regular file called name, without following and without
// blocking on anything that is not one.
func (d Dir) OpenFile(name string) (File, error) {
	return d.openFile(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// OpenLock opens the lock called name: an empty directory, which serves as
// well as a file, and which SELinux's policies let every login program make and
// lock in an instance parent. Its owner and mode say what it is for.
func (d Dir) OpenLock(name string) (File, error) {
	path := join(d.path, name)
	fd, err := d.open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, unix.RESOLVE_NO_XDEV, 0)
	if err != nil {
		return File{}, pathError("open", path, err)
	}
	return File{fd: fd + 1, path: path}, nil
}

func (d Dir) openFile(name string, flags, mode uint64) (File, error) {
	path := join(d.path, name)
	fd, err := d.open(name, flags, 0, mode)
	if err != nil {
		return File{}, pathError("open", path, err)
	}
	f := File{fd: fd + 1, path: path}
	st, err := f.Stat()
	if err == nil && !st.IsRegular() {
		err = pathError("open", path, fmt.Errorf("is a %s, not a regular file", st.TypeName()))
	}
	if err != nil {
		f.Close()
		return File{}, err
	}
	return f, nil
}

// Stat asks the kernel about the file.
func (f File) Stat() (Stat, error) {
	return statAt(f.fd-1, "", unix.AT_EMPTY_PATH, f.path)
}

// ReadAll reads the file from its beginning; an error if it is larger than
// limit bytes.
func (f File) ReadAll(limit int) ([]byte, error) {
	const first = 4096 // most of what is read here is shorter
	buf := make([]byte, min(limit+1, first))
	n := 0
	for {
		m, err := unix.Pread(f.fd-1, buf[n:], int64(n))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, pathError("read", f.path, err)
		}
		if m == 0 {
			return buf[:n], nil
		}
		if n += m; n > limit {
			return nil, pathError("read", f.path, fmt.Errorf("is larger than %d bytes", limit))
		}
		if n == len(buf) {
			buf = append(buf, make([]byte, min(limit+1-n, n))...)
		}
	}
}

// Rewrite replaces the file's content and so sets its time of modification.
func (f File) Rewrite(content []byte) error {
	if n, err := unix.Pwrite(f.fd-1, content, 0); err != nil || n != len(content) {
		if err == nil {
			err = unix.EIO
		}
		return pathError("write", f.path, err)
	}
	return pathError("truncate", f.path, unix.Ftruncate(f.fd-1, int64(len(content))))
}

// SetOwner sets the owner and the mode, and so the time of the last change.
func (f File) SetOwner(uid, gid, mode uint32) error {
	if err := unix.Fchown(f.fd-1, int(uid), int(gid)); err != nil {
		return pathError("chown", f.path, err)
	}
	return pathError("chmod", f.path, unix.Fchmod(f.fd-1, mode))
}

// Touch sets the time of modification to now.
func (f File) Touch() error {
	return pathError("touch", f.path, unix.Futimes(f.fd-1, nil))
}

// LockKind is the kind of a lock of flock(2).
type LockKind int

// The kinds of lock.
const (
	Shared    LockKind = unix.LOCK_SH
	Exclusive LockKind = unix.LOCK_EX
)

// Lock waits for the lock; one held already is converted, not atomically.
func (f File) Lock(kind LockKind) error {
	for {
		err := unix.Flock(f.fd-1, int(kind))
		if !errors.Is(err, unix.EINTR) {
			return pathError("lock", f.path, err)
		}
	}
}

// TryLock takes the lock if that is possible at once.
func (f File) TryLock(kind LockKind) (bool, error) {
	err := unix.Flock(f.fd-1, int(kind)|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, pathError("lock", f.path, err)
}

// WriteFile puts content at name in one step: written beside it with mode 0600
// and renamed over it. The directory must be one that only root can write.
func (d Dir) WriteFile(name string, content []byte) error {
	next := ".new." + name
	_ = unix.Unlinkat(d.FD(), next, 0) // of a writer that died
	fd, err := d.open(next, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0, 0o600)
	if err != nil {
		return pathError("open", join(d.path, next), err)
	}
	f := File{fd: fd + 1, path: join(d.path, next)}
	err = f.Rewrite(content)
	f.Close()
	if err == nil {
		err = pathError("rename", f.path, unix.Renameat(d.FD(), next, d.FD(), name))
	}
	if err != nil {
		_ = unix.Unlinkat(d.FD(), next, 0)
	}
	return err
}

// Names lists the directory's entries, without "." and "..", in no order.
func (d Dir) Names() ([]string, error) {
	var all []string
	err := d.eachNames(func(names []string) bool {
		all = append(all, names...)
		return true
	})
	return all, err
}

// Has tells whether the directory has an entry whose name is like that; it reads
// no further than to the first.
func (d Dir) Has(like func(name string) bool) (bool, error) {
	found := false
	err := d.eachNames(func(names []string) bool {
		found = slices.ContainsFunc(names, like)
		return !found
	})
	return found, err
}

// eachNames hands on the names as the kernel tells them, some at a time, for as
// long as more is wanted.
func (d Dir) eachNames(more func([]string) bool) error {
	fd, err := d.reopen()
	if err != nil {
		return pathError("open", d.path, err)
	}
	defer unix.Close(fd)
	buf := make([]byte, 4<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return pathError("read", d.path, err)
		}
		if n <= 0 {
			return nil
		}
		var names []string
		if _, _, names = unix.ParseDirent(buf[:n], -1, names); !more(names) {
			return nil
		}
	}
}

// Trusted tells whether what stands at the end of a walk, and the way to it,
// is root's alone to change; the error says what is not.
func Trusted(way Way, st Stat) error {
	if way.Exposure.Exposed() {
		return pathError("trust", way.Dir.path, fmt.Errorf("%s is %s: only root may write there", way.Exposure.Dir, way.Exposure.Reason))
	}
	return TrustedFile(way.Dir.path, st)
}

// TrustedFile tells whether a file or directory is root's alone to change.
func TrustedFile(path string, st Stat) error {
	switch {
	case st.UID != 0:
		return pathError("trust", path, fmt.Errorf("owned by uid %d, want root: chown root %s", st.UID, path))
	case st.Mode&0o022 != 0:
		return pathError("trust", path, fmt.Errorf("mode %04o: group or others can write it: chmod go-w %s", st.Mode, path))
	}
	return nil
}

// Split cuts a path into its directory, without the trailing slash, and its
// last part; the directory of "/x" is "/".
func Split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i <= 0 {
		return "/", path[i+1:]
	}
	return path[:i], path[i+1:]
}

// IsNotExist tells whether an error says that something is not there.
func IsNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// IsLimit tells whether an error comes from a limit of the process, which
// whoever started it has set: RLIMIT_NOFILE, RLIMIT_FSIZE (setrlimit(2)).
func IsLimit(err error) bool { return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.EFBIG) }

// IsDenied tells whether an error says that something is not permitted.
func IsDenied(err error) bool { return errors.Is(err, fs.ErrPermission) }

// IsUnsupported tells whether an error of Rename says that the filesystem cannot
// rename without replacing (rename(2): EINVAL).
func IsUnsupported(err error) bool { return errors.Is(err, unix.EINVAL) }

// IsExist tells whether an error says that something is there already.
func IsExist(err error) bool { return errors.Is(err, fs.ErrExist) }

// NotExist is the error that says that a path does not exist.
func NotExist(path string) error { return pathError("open", path, unix.ENOENT) }

// IsOtherMount tells whether an error of LookupHere says that something is
// mounted there.
func IsOtherMount(err error) bool { return errors.Is(err, unix.EXDEV) }

// Xattr is an extended attribute of a directory, without a NUL at its end;
// empty where it has none (xattr(7)). It does not open the directory, which may
// not be permitted where looking at it is: /proc/self/fd names the handle.
func (d Dir) Xattr(name string) (string, error) {
	buf := make([]byte, 4096)
	n, err := unix.Getxattr(fmt.Sprintf("/proc/self/fd/%d", d.FD()), name, buf)
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.EOPNOTSUPP) {
		return "", nil
	}
	if err != nil {
		return "", pathError("getxattr "+name, d.path, err)
	}
	return strings.TrimRight(string(buf[:n]), "\x00"), nil
}

// SetXattr sets an extended attribute of a directory to these bytes.
func (d Dir) SetXattr(name, value string) error {
	fd, err := d.reopen()
	if err != nil {
		return pathError("open", d.path, err)
	}
	defer unix.Close(fd)
	return pathError("setxattr "+name, d.path, unix.Fsetxattr(fd, name, []byte(value), 0))
}
