package dirfd

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// maxGiveDepth bounds a tree: each level holds two descriptors.
const maxGiveDepth = 2000

// GiveTree gives all in the tree that belongs to one uid to another, the directory
// itself included, and leaves the groups as they are. It goes by handle: whose an
// entry is is asked of the very file whose owner is changed. It follows no link
// and crosses into no other mount, which is an error, because what is there stays
// whose it was. The kernel takes set-user-ID bits away.
func (d Dir) GiveTree(from, to uint32, progress func()) error {
	if progress == nil {
		progress = func() {}
	}
	return giving{from, to, progress}.tree(d, 0)
}

type giving struct {
	from, to uint32
	progress func()
}

func (g giving) tree(d Dir, depth int) error {
	if depth > maxGiveDepth {
		return pathError("chown", d.path, fmt.Errorf("deeper than %d directories", maxGiveDepth))
	}
	var failed error
	err := d.SomeNames(func(names []string) bool {
		for _, name := range names {
			// a name that is gone by now is nobody's
			if err := g.entry(d, name, depth); err != nil && !IsNotExist(err) {
				failed = err
				return false
			}
		}
		return true
	})
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	return g.one(d)
}

func (g giving) entry(d Dir, name string, depth int) error {
	e, err := d.LookupHere(name)
	if err != nil {
		return err
	}
	defer e.Close()
	st, err := e.Stat()
	if err != nil {
		return err
	}
	if st.IsDir() {
		return g.tree(e, depth+1)
	}
	return g.one(e)
}

func (g giving) one(d Dir) error {
	g.progress()
	st, err := d.Stat()
	if err != nil || st.UID != g.from {
		return err
	}
	return pathError("chown", d.path, unix.Fchownat(d.FD(), "", int(g.to), -1, unix.AT_EMPTY_PATH))
}
