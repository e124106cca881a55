package dirfd

import (
	"errors"

	"golang.org/x/sys/unix"
)

// level is a directory that dig has gone through.
type level struct {
	id   ID
	from int64 // where it goes on reading
}

// dig removes what is in a directory that lies too deep and cannot be lifted. A user can
// have such ones: fscrypt renames nothing in a directory whose key has been taken away
// (ENOKEY), and removes by names that the kernel makes up. It holds no descriptor for
// each level: it goes back by "..". Each directory is root's before it is gone into, so
// that nobody can move it elsewhere meanwhile; whether it came from there is asked all
// the same. The first thing that cannot be removed ends it.
func (r *removal) dig(top Dir) error {
	if err := top.SetOwner(0, 0, 0o700); err != nil {
		return err
	}
	here, err := top.Dup()
	if err != nil {
		return err
	}
	defer func() { here.Close() }()
	var way []level
	from, done := int64(0), -1
	for {
		name, at, err := r.clear(here, from)
		if err != nil || name == "" && len(way) == 0 {
			return err
		}
		if name != "" && r.done == done { // it comes from there, and has removed all that it saw
			return pathError("rmdir", join(top.path, name), unix.ENOTEMPTY)
		}
		var next Dir
		if name == "" {
			done = r.done
			last := way[len(way)-1]
			way, from = way[:len(way)-1], last.from
			next, err = here.up(last.id)
		} else {
			var st Stat
			if st, err = here.Stat(); err == nil {
				way, from = append(way, level{st.ID, at}), 0
				next, err = r.down(here, name)
			}
		}
		if err != nil {
			return err
		}
		here.Close()
		here = next
		here.path = top.path // a label that does not grow with the depth
	}
}

// down is a directory of a tree that is dug out, root's by then.
func (r *removal) down(d Dir, name string) (Dir, error) {
	child, err := d.openTree(name)
	if err != nil {
		return Dir{}, err
	}
	switch made, known, ino := child.born(); {
	case !known, child.subvolume(ino):
		err = pathError("remove", child.path, errTooDeep)
	case r.meanwhile(made):
		err = pathError("remove", child.path, errStillMade)
	default:
		err = child.SetOwner(0, 0, 0o700)
	}
	if err != nil {
		child.Close()
	}
	return child, err
}

// clear removes what is no directory, and empty directories, from a place on and then
// from the beginning. It ends at the first directory that has something in it, and says
// from where on that was read.
func (r *removal) clear(d Dir, from int64) (name string, at int64, err error) {
	if at, err = unix.Seek(d.FD(), from, unix.SEEK_SET); err != nil {
		return "", 0, pathError("read", d.path, err)
	}
	var failed error
	err = readNames(d.FD(), d.path, func(names []string) bool {
		for _, n := range names {
			gone, isDir, err := d.unlink(n)
			if isDir {
				err = d.Rmdir(n)
				gone = err == nil
			}
			switch {
			case gone:
				r.progress()
			case errors.Is(err, unix.ENOTEMPTY), errors.Is(err, unix.EEXIST): // rmdir(2) has both
				name = n
				return false
			case err != nil && !IsNotExist(err):
				failed = err
				return false
			}
		}
		if next, err := unix.Seek(d.FD(), 0, unix.SEEK_CUR); err == nil {
			at = next
		}
		return true
	})
	if err = errors.Join(err, failed); name != "" || err != nil || from == 0 {
		return name, at, err
	}
	return r.clear(d, 0)
}

// up is the directory that this one lies in, if it is still that one.
func (d Dir) up(id ID) (Dir, error) {
	fd, err := unix.Openat(d.FD(), "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return Dir{}, pathError("open", d.path, err)
	}
	up := newDir(fd, d.path)
	st, err := up.Stat()
	if err == nil && st.ID != id {
		err = pathError("remove", d.path, errors.New("was moved elsewhere"))
	}
	if err != nil {
		up.Close()
	}
	return up, err
}
