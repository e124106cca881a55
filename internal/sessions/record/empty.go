package record

import (
	"fmt"
	"strconv"

	"pam_polyinst/internal/kernel/dirfd"
)

// EmptyDir is where a session stands that can stand nowhere else: an empty directory
// that only root can write and reach by name, in the view that this process is in. It
// is made if it is missing. If root has put something into it, it is left as it is, and
// another one replaces it.
func EmptyDir() (dirfd.Dir, error) { return empty(emptyName, emptyMode, false) }

// Nothing is what stands at the path of something hidden, in all sessions the
// same: an empty directory, or file, of root's that nobody else can open.
func Nothing(file bool) (dirfd.Dir, error) {
	if file {
		return empty(noFileName, 0, true)
	}
	return empty(noDirName, 0, false)
}

func empty(name string, mode uint32, file bool) (dirfd.Dir, error) {
	way, err := openRunDir()
	if err != nil {
		return dirfd.Dir{}, err
	}
	defer way.Close()
	store, err := open(way) // in a chroot there may be none, and none is made
	if err != nil {
		return dirfd.Dir{}, err
	}
	defer store.Close()
	for i := range emptyDirs {
		one := name
		if i > 0 {
			one += "." + strconv.Itoa(i)
		}
		d, fit, err := store.empty(one, mode, file)
		if err != nil || fit {
			return d, err
		}
	}
	kind := "a directory"
	if file {
		kind = "a file"
	}
	return dirfd.Dir{}, fmt.Errorf("%s/%s: is not empty, or not %s of root's with mode %04o", store.dir.Path(), name, kind, mode)
}

// empty opens the directory or file of that name, or makes it; not fit: there is
// something else.
func (s Store) empty(name string, mode uint32, file bool) (d dirfd.Dir, fit bool, err error) {
	d, err = s.dir.LookupHere(name)
	if dirfd.IsNotExist(err) {
		if file {
			err = s.dir.MakeEmpty(name)
		} else {
			err = s.dir.MkdirExact(name, mode)
		}
		if err == nil || dirfd.IsExist(err) {
			d, err = s.dir.LookupHere(name)
		}
	}
	if dirfd.IsOtherMount(err) {
		return dirfd.Dir{}, false, nil
	}
	if err != nil {
		return dirfd.Dir{}, false, err
	}
	st, err := d.Stat()
	switch {
	case err != nil || st.UID != 0 || st.Mode != mode:
	case file:
		fit = st.IsRegular() && st.Size == 0
	case st.IsDir():
		var some bool
		some, err = d.Has(func(string) bool { return true })
		fit = err == nil && !some
	}
	if !fit {
		d.Close()
		return dirfd.Dir{}, false, err
	}
	return d, true, nil
}
