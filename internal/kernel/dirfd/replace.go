package dirfd

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Likeness is what a file has besides its content: owner, permission bits and
// extended attributes, among which are labels and access lists (xattr(7)).
type Likeness struct {
	UID, GID, Mode uint32
	attributes     map[string]string
}

// ofContent are attributes that say what the content is. The kernel makes them
// anew; those of another content would keep the file from being read.
var ofContent = []string{"security.ima", "security.evm"}

// Likeness is that of the file.
func (f File) Likeness() (Likeness, error) {
	st, err := f.Stat()
	if err != nil {
		return Likeness{}, err
	}
	l := Likeness{UID: st.UID, GID: st.GID, Mode: st.Mode, attributes: map[string]string{}}
	names := make([]byte, 1<<16) // XATTR_LIST_MAX
	n, err := unix.Flistxattr(f.FD(), names)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return l, nil
	}
	if err != nil {
		return l, pathError("listxattr", f.path, err)
	}
	for _, name := range strings.Split(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		if name == "" {
			continue
		}
		value := make([]byte, 1<<16) // XATTR_SIZE_MAX
		n, err := unix.Fgetxattr(f.FD(), name, value)
		if err != nil {
			return l, pathError("getxattr "+name, f.path, err)
		}
		l.attributes[name] = string(value[:n])
	}
	for _, name := range ofContent {
		delete(l.attributes, name)
	}
	return l, nil
}

// give gives the file the likeness. Attributes that it was born with and the
// likeness lacks, such as a label by its directory, stay.
func (l Likeness) give(f File) error {
	if err := f.SetOwner(l.UID, l.GID, l.Mode); err != nil {
		return err
	}
	for name, value := range l.attributes {
		if err := unix.Fsetxattr(f.FD(), name, []byte(value), 0); err != nil {
			return pathError("setxattr "+name, f.path, err)
		}
	}
	return nil
}

// Replace puts content with a likeness at name, in one step that a crash does not
// undo: written beside it, synced, renamed over it, and the directory synced.
// A program that opens the name finds the old file or the new one. The directory must be
// one that only root can write.
func (d Dir) Replace(name string, content []byte, like Likeness) error {
	err := d.putFile(name, content, func(f File, next string) error {
		if err := like.give(f); err != nil {
			return err
		}
		if err := unix.Fsync(f.FD()); err != nil {
			return pathError("sync", f.path, err)
		}
		return pathError("rename", f.path, unix.Renameat(d.FD(), next, d.FD(), name))
	})
	if err != nil {
		return err
	}
	return d.Sync()
}

// Remove unlinks a file, and a crash does not bring it back. One that is not there
// is none.
func (d Dir) Remove(name string) error {
	if err := d.Unlink(name); err != nil && !IsNotExist(err) {
		return err
	}
	return d.Sync()
}

// Sync has the disk know which names the directory has (fsync(2)).
func (d Dir) Sync() error {
	fd, err := d.reopen()
	if err != nil {
		return pathError("open", d.path, err)
	}
	defer unix.Close(fd)
	return pathError("sync", d.path, unix.Fsync(fd))
}
