package dirfd

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// The bounds of a tree that is copied: generous for what a new home begins
// with, and less than what would keep a login waiting.
const (
	maxCopyDepth   = 100
	maxCopyEntries = 100_000
	maxCopyBytes   = 1 << 30
)

// setID are the bits that make a file run as its owner or group, and a
// directory hand on its group.
const setID = 0o6000

// CopyTree copies what is in one directory (such as /etc/skel) into another:
// directories, regular files and symbolic links, which are never followed. All
// that it makes belongs to uid and gid and has the source's permission bits,
// without set-id bits: the new owner must not get a program that runs as
// somebody who can be them, but was given it by root. Whatever else is there is
// refused, and so is a name that to has already.
//
// The directory `to` itself is left as it is: the caller gives it away
// afterwards. Until then it must be one that only root can enter, so that nobody
// sees or changes a half-finished tree. On an error what was made stays, for the
// caller to remove with all the rest. A hard link becomes a file of its own;
// extended attributes are not copied.
func CopyTree(from, to Dir, uid, gid uint32) error {
	c := copier{uid: uid, gid: gid, depth: maxCopyDepth, entries: maxCopyEntries, bytes: maxCopyBytes}
	return c.directory(from, to)
}

// CheckTree reports why a tree could not be copied by CopyTree: what is in it, or
// that it is too much. It makes nothing.
func CheckTree(from Dir) error {
	c := copier{look: true, depth: maxCopyDepth, entries: maxCopyEntries, bytes: maxCopyBytes}
	return c.directory(from, Dir{})
}

// copier is one copy: whose it will be, and what is left of the bounds.
type copier struct {
	look                  bool // nothing is made
	uid, gid              uint32
	depth, entries, bytes int
}

func (c *copier) directory(from, to Dir) error {
	names, err := from.Names()
	if err != nil {
		return err
	}
	slices.Sort(names) // the same tree fails at the same entry each time
	for _, name := range names {
		if err := c.entry(from, to, name); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) entry(from, to Dir, name string) error {
	source, err := from.Lookup(name)
	if err != nil {
		return err
	}
	defer source.Close()
	st, err := source.Stat()
	if err != nil {
		return err
	}
	if c.entries--; c.entries < 0 {
		return pathError("copy", source.path, fmt.Errorf("too many: more than %d files and directories", maxCopyEntries))
	}
	switch {
	case st.IsDir():
		return c.subdirectory(source, to, name, st)
	case st.IsRegular() && c.look:
		if c.bytes -= int(min(st.Size, maxCopyBytes+1)); c.bytes < 0 {
			return tooMuch(source.path)
		}
		return nil
	case st.IsSymlink() && c.look:
		return nil
	case st.IsRegular():
		return c.file(from, to, name)
	case st.IsSymlink():
		return c.link(source, to, name)
	}
	return pathError("copy", source.path, fmt.Errorf("is a %s: only directories, regular files and symbolic links are copied", st.TypeName()))
}

func (c *copier) subdirectory(source, to Dir, name string, st Stat) error {
	if c.depth--; c.depth < 0 {
		return pathError("copy", source.path, fmt.Errorf("deeper than %d directories", maxCopyDepth))
	}
	defer func() { c.depth++ }()
	if c.look {
		return c.directory(source, Dir{})
	}
	if err := to.Mkdir(name, 0o700); err != nil {
		return err
	}
	made, err := to.LookupHere(name)
	if err != nil {
		return err
	}
	defer made.Close()
	if err := c.directory(source, made); err != nil {
		return err
	}
	// last: until now it was root's alone
	return made.SetOwner(c.uid, c.gid, st.Mode&^setID)
}

// file copies a regular file. What it is and its mode are asked of the open
// file, not of the name.
func (c *copier) file(from, to Dir, name string) error {
	source, err := from.OpenFile(name)
	if err != nil {
		return err
	}
	defer source.Close()
	st, err := source.Stat()
	if err != nil {
		return err
	}
	path := join(to.path, name)
	fd, err := to.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0, 0o600)
	if err != nil {
		return pathError("open", path, err)
	}
	made := File{fd: fd + 1, path: path}
	defer made.Close()
	if err := c.content(source, made); err != nil {
		return err
	}
	if err := unix.Fchown(fd, int(c.uid), int(c.gid)); err != nil {
		return pathError("chown", path, err)
	}
	return pathError("chmod", path, unix.Fchmod(fd, st.Mode&^setID))
}

func (c *copier) content(source, made File) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(source.fd-1, buf)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return pathError("read", source.path, err)
		}
		if n == 0 {
			return nil
		}
		// counted as it is read: a size can be wrong, and can grow
		if c.bytes -= n; c.bytes < 0 {
			return tooMuch(source.path)
		}
		if err := made.write(buf[:n]); err != nil {
			return err
		}
	}
}

func tooMuch(path string) error {
	return pathError("copy", path, fmt.Errorf("too much: the whole is larger than %d bytes", maxCopyBytes))
}

// write appends all of b.
func (f File) write(b []byte) error {
	for len(b) > 0 {
		n, err := unix.Write(f.fd-1, b)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return pathError("write", f.path, err)
		}
		b = b[n:]
	}
	return nil
}

// link makes a symbolic link with the source's target, whatever it is.
func (c *copier) link(source, to Dir, name string) error {
	target, err := source.readlink()
	if err != nil {
		return err
	}
	path := join(to.path, name)
	if err := unix.Symlinkat(target, to.FD(), name); err != nil {
		return pathError("symlink", path, err)
	}
	made, err := to.LookupHere(name)
	if err != nil {
		return err
	}
	defer made.Close()
	return pathError("chown", path, unix.Fchownat(made.FD(), "", int(c.uid), int(c.gid), unix.AT_EMPTY_PATH))
}
