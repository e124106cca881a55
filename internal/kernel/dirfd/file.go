package dirfd

import (
	"errors"
	"fmt"
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

// IsOpen reports whether there is a file.
func (f File) IsOpen() bool { return f.fd > 0 }

// Path is what it was opened by, for messages only.
func (f File) Path() string { return f.path }

// FD is the descriptor, -1 if the file is not open. It stays the File's.
func (f File) FD() int { return f.fd - 1 }

// OpenFile opens the regular file called name, without following and without
// blocking on anything that is not one.
func (d Dir) OpenFile(name string) (File, error) {
	f, _, err := d.OpenFileStat(name)
	return f, err
}

// OpenFileStat is OpenFile, with what was asked about the file.
func (d Dir) OpenFileStat(name string) (File, Stat, error) {
	return d.openFile(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
}

// notRegular is the type of what is no regular file.
type notRegular string

func (t notRegular) Error() string { return fmt.Sprintf("is a %s, not a regular file", string(t)) }

// IsNotRegular reports whether an error of OpenFile says that something else has the
// name: also a link, or a socket (open(2): ELOOP, ENXIO).
func IsNotRegular(err error) bool {
	var t notRegular
	return errors.As(err, &t) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO)
}

func (d Dir) openFile(name string, flags, mode uint64) (File, Stat, error) {
	path := join(d.path, name)
	fd, err := d.open(name, flags, 0, mode)
	if err != nil {
		return File{}, Stat{}, pathError("open", path, err)
	}
	f := File{fd: fd + 1, path: path}
	st, err := f.Stat()
	if err == nil && !st.IsRegular() {
		err = pathError("open", path, notRegular(st.TypeName()))
	}
	if err != nil {
		f.Close()
		return File{}, st, err
	}
	return f, st, nil
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

// ReadSome reads the beginning of the file, n bytes at most.
func (f File) ReadSome(n int) ([]byte, error) {
	buf := make([]byte, n)
	for {
		m, err := unix.Pread(f.fd-1, buf, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, pathError("read", f.path, err)
		}
		return buf[:m], nil
	}
}

// Rewrite replaces the file's content and so sets its time of modification.
func (f File) Rewrite(content []byte) error {
	for done := 0; done < len(content); {
		// after a short write the next one says why: a limit, or no space
		n, err := unix.Pwrite(f.fd-1, content[done:], int64(done))
		if err == nil && n == 0 {
			err = unix.EIO
		}
		if err != nil {
			return pathError("write", f.path, err)
		}
		done += n
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
	// by the descriptor, and by no name below /proc, which there may not be
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(f.fd-1), 0, 0, 0, 0, 0)
	if errno != 0 {
		return pathError("touch", f.path, errno)
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
