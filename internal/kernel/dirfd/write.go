package dirfd

import (
	"encoding/hex"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// unfinishedPrefix begins the names of files that are not complete yet.
const unfinishedPrefix = ".new."

// WriteFile puts content at name in one step: written beside it, under a name of
// its own, with mode 0600, and renamed over it. The directory must be one that only
// root can write. No writer waits for another one, and the last one counts.
func (d Dir) WriteFile(name string, content []byte) error {
	return d.putFile(name, content, func(_ File, next string) error {
		return pathError("rename", d.path+"/"+next, unix.Renameat(d.FD(), next, d.FD(), name))
	})
}

// MakeEmpty makes an empty file that nobody may open, mode 0000, at a name that is
// free: fs.ErrExist if it is not.
func (d Dir) MakeEmpty(name string) error {
	f, _, err := d.openFile(name, unix.O_RDONLY|unix.O_CREAT|unix.O_EXCL, 0)
	f.Close()
	return err
}

// CreateFile is WriteFile for a name that is free: fs.ErrExist if it is not.
func (d Dir) CreateFile(name string, content []byte) error {
	return d.putFile(name, content, func(_ File, next string) error { return d.Rename(next, name) })
}

// putFile writes content beside name, under the name next, for rename to put it in its
// place.
func (d Dir) putFile(name string, content []byte, rename func(f File, next string) error) error {
	f, next, err := d.unfinished(name)
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Rewrite(content)
	if err == nil {
		err = rename(f, next)
	}
	if err != nil {
		_ = unix.Unlinkat(d.FD(), next, 0)
	}
	return err
}

// unfinished makes a file that is known by its lock as somebody's who lives:
// RemoveUnfinished takes those alone that nobody holds.
func (d Dir) unfinished(name string) (f File, next string, err error) {
	const tries = 10 // each only fails if it was removed between open and lock
	for range tries {
		var random [8]byte
		if _, err := unix.Getrandom(random[:], 0); err != nil {
			return File{}, "", pathError("random", d.path, err)
		}
		next = unfinishedPrefix + name + "." + hex.EncodeToString(random[:])
		f, _, err = d.openFile(next, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err != nil {
			return File{}, "", err
		}
		ours, err := f.TryLock(Exclusive)
		if err != nil {
			_ = unix.Unlinkat(d.FD(), next, 0)
			f.Close()
			return File{}, "", err
		}
		if st, err := f.Stat(); ours && err == nil && st.Nlink > 0 {
			return f, next, nil
		}
		f.Close()
	}
	return File{}, "", pathError("lock", join(d.path, next), unix.EAGAIN)
}

// RemoveUnfinished removes what WriteFile and Replace left where the writer died. It waits
// for nobody.
func (d Dir) RemoveUnfinished() error {
	names, err := d.Names()
	for _, name := range names {
		if isUnfinished(name) {
			err = errors.Join(err, d.removeUnfinished(name))
		}
	}
	return err
}

// isUnfinished reports whether a name is one that unfinished gives.
func isUnfinished(name string) bool {
	i := strings.LastIndexByte(name, '.')
	random, err := hex.DecodeString(name[i+1:])
	return strings.HasPrefix(name, unfinishedPrefix) && err == nil && len(random) == 8
}

func (d Dir) removeUnfinished(name string) error {
	f, err := d.OpenFile(name)
	if IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	free, err := f.TryLock(Exclusive)
	if err != nil || !free {
		return err
	}
	if err := d.Unlink(name); !IsNotExist(err) {
		return err
	}
	return nil
}
