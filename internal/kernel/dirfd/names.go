package dirfd

import (
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/sys/unix"
)

// Names lists the directory's entries, without "." and "..", in no order.
func (d Dir) Names() ([]string, error) {
	var all []string
	err := d.SomeNames(func(names []string) bool {
		all = append(all, names...)
		return true
	})
	return all, err
}

// NamesAt lists the entries of the directory at a path; there are none where it
// does not exist.
func NamesAt(path string) ([]string, error) { return (*Walks)(nil).NamesAt(path) }

// NamesAt is that function's.
func (a *Walks) NamesAt(path string) ([]string, error) {
	way, err := a.WalkFor(NoUID, path, nil)
	if IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer way.Close()
	if way.Missing {
		return nil, nil
	}
	return way.Dir.Names()
}

// Has reports whether the directory has an entry whose name is like that; it reads
// no further than to the first.
func (d Dir) Has(like func(name string) bool) (bool, error) {
	found := false
	err := d.SomeNames(func(names []string) bool {
		found = slices.ContainsFunc(names, like)
		return !found
	})
	return found, err
}

// Matching lists those names that are like that: of the first entries, as the
// kernel tells them, and no more than most of these; all reports whether there
// were no others.
func (d Dir) Matching(like func(name string) bool, entries, most int) (found []string, all bool, err error) {
	all = true
	err = d.SomeNames(func(names []string) bool {
		for _, name := range names {
			entries--
			matches := like(name)
			if all = entries >= 0 && (!matches || len(found) < most); !all {
				return false
			}
			if matches {
				found = append(found, name)
			}
		}
		return true
	})
	return found, all, err
}

// SomeNames hands on the names as the kernel tells them, some at a time, for as
// long as more is wanted. Of a directory in which users make names it is not known how
// many there are.
func (d Dir) SomeNames(more func([]string) bool) error {
	fd, err := d.reopen()
	if err != nil {
		return pathError("open", d.path, err)
	}
	defer unix.Close(fd)
	return readNames(fd, d.path, more)
}

func readNames(fd int, path string, more func([]string) bool) error {
	buf := make([]byte, 4<<10)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return pathError("read", path, err)
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

// EachName calls f with one name after the other, each as soon as the kernel has
// told it, for as long as more is wanted. For a directory such as /proc, whose
// entries come and go while it is read. The names at its beginning for which skip
// holds are left out; when the kernel tells these does not matter, and they are
// read together. skip may be nil.
func (d Dir) EachName(skip func(name string) bool, f func(name string) (more bool)) error {
	fd, err := d.reopen()
	if err != nil {
		return pathError("open", d.path, err)
	}
	defer unix.Close(fd)
	if skip != nil {
		if err := skipNames(fd, skip); err != nil {
			return pathError("read", d.path, err)
		}
	}
	// room for one entry with a short name (getdents(2)): 19 bytes and the name,
	// in units of 8; and for one with any name
	short, long := make([]byte, 32), make([]byte, 280)
	for {
		n, err := unix.ReadDirent(fd, short)
		buf := short
		if errors.Is(err, unix.EINVAL) {
			n, err = unix.ReadDirent(fd, long)
			buf = long
		}
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return pathError("read", d.path, err)
		}
		if n <= 0 {
			return nil
		}
		_, _, names := unix.ParseDirent(buf[:n], -1, nil)
		for _, name := range names {
			if !f(name) {
				return nil
			}
		}
	}
}

// skipNames reads on to the first name for which skip does not hold, which is then
// the next one.
func skipNames(fd int, skip func(name string) bool) error {
	at, found := int64(0), false
	err := readFrom(fd, 0, make([]byte, 8192), func(name string, place int64) bool {
		at, found = place, !skip(name)
		return !found
	})
	if err == nil && found {
		_, err = unix.Seek(fd, at, unix.SEEK_SET)
	}
	return err
}

// readFrom tells the names of a directory that is open to be read, from an offset on
// (lseek(2)), for as long as more is wanted; at is where each is read again.
func (d Dir) readFrom(from int64, more func(name string, at int64) bool) error {
	return pathError("read", d.path, readFrom(d.FD(), from, make([]byte, 4<<10), more))
}

// readFrom is that function. An entry of getdents(2) has its inode number and the offset
// of the next entry, 8 bytes each, its own length, a type, and the name.
func readFrom(fd int, at int64, buf []byte, more func(name string, at int64) bool) error {
	const next, length, name = 8, 16, 19
	if _, err := unix.Seek(fd, at, unix.SEEK_SET); err != nil {
		return err
	}
	for {
		n, err := unix.ReadDirent(fd, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return err
		}
		for rest := buf[:n]; len(rest) > 0; {
			if len(rest) <= name {
				return unix.EBADMSG
			}
			size := int(binary.NativeEndian.Uint16(rest[length:]))
			if size <= name || size > len(rest) {
				return unix.EBADMSG
			}
			if n := unix.ByteSliceToString(rest[name:size]); n != "." && n != ".." && !more(n, at) {
				return nil
			}
			at = int64(binary.NativeEndian.Uint64(rest[next:]))
			rest = rest[size:]
		}
	}
}
