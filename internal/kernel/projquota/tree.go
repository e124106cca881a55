package projquota

import (
	"errors"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
)

// maxDepth is how deep a tree is gone into: each level holds two descriptors.
const maxDepth = 2000

// ErrTooMany says that a tree has more entries than were allowed.
var ErrTooMany = errors.New("too many files")

// SetTree makes a directory and all that is in it belong to a project. It goes
// by handle, follows no link and crosses into no other mount. Each directory
// comes before what is in it, so that what somebody makes meanwhile is of the
// project, too; the outermost one comes last, and says that all is done: a run
// that was cut short leaves it as it was. Only directories and regular files
// can be opened for that; others keep the project that they have, and so does what
// lies too deep, or has a lease or no key: no user shuts themselves out by that, or has a
// command of root's fail.
//
// With max above 0, a tree with more entries is ErrTooMany.
func SetTree(d dirfd.Dir, id uint32, max int) error {
	t := tree{id: id, left: max, bounded: max > 0}
	if err := t.entries(d, 0); err != nil {
		return err
	}
	if err := SetProject(d, id, true); err != nil {
		return err
	}
	// what was made in it before that, and after the first look
	t.left = max
	return t.entries(d, 0)
}

type tree struct {
	id      uint32
	left    int
	bounded bool
}

func (t *tree) entries(d dirfd.Dir, depth int) error {
	if depth > maxDepth {
		return nil
	}
	var failed error
	err := d.SomeNames(func(names []string) bool {
		for _, name := range names {
			if t.left--; t.bounded && t.left < 0 {
				failed = ErrTooMany
			} else if err := t.entry(d, name, depth); !dirfd.IsNotExist(err) { // else it is nobody's by now
				failed = err
			}
			if failed != nil {
				return false
			}
		}
		return true
	})
	return errors.Join(failed, err)
}

func (t *tree) entry(d dirfd.Dir, name string, depth int) error {
	e, err := d.LookupHere(name)
	if dirfd.IsOtherMount(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer e.Close()
	st, err := e.Stat()
	switch {
	case err != nil:
		return err
	case st.IsDir():
		if err := SetProject(e, t.id, true); err != nil {
			return err
		}
		return t.entries(e, depth+1)
	case st.IsRegular():
		return t.file(e)
	}
	return nil
}

func (t *tree) file(e dirfd.Dir) error {
	f, err := e.AsFile()
	if err != nil && staysAsItIs(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return setProject(f.FD(), e.Path(), t.id, false)
}

// staysAsItIs reports whether a file cannot be opened because of what its user did:
// somebody holds a lease on it (fcntl(2)), and is not waited for; or its key is gone
// (fscrypt). That the name is another's by now is nothing: the handle is the file.
func staysAsItIs(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOKEY)
}
