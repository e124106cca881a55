package apply

import (
	"slices"
	"strings"

	"pam_polyinst/internal/dirfd"
)

// WorkingDir chooses the working directory in the new view: the same path only
// if it is the same directory, the polydir's new self for the polydir itself.
// A path below a polydir that leads to another object is never entered, since
// somebody else may have made it: root keeps the old directory by its handle,
// others get the root directory. The result is a handle of its own.
func WorkingDir(old dirfd.Dir, polydirs []string, uid uint32) (dirfd.Dir, error) {
	dir, err := workingDir(old, polydirs, uid)
	if err != nil || dir.IsOpen() {
		return dir, err
	}
	return dirfd.Root()
}

// workingDir returns no Dir where the root directory is the answer.
func workingDir(old dirfd.Dir, polydirs []string, uid uint32) (dirfd.Dir, error) {
	if !old.IsOpen() { // root may not look at it: a user's filesystem, say
		return dirfd.Dir{}, nil
	}
	path := old.Path()
	if path == "/" {
		return dirfd.Dir{}, nil
	}
	keepIf := func(keep bool) (dirfd.Dir, error) {
		if keep {
			return old.Dup()
		}
		return dirfd.Dir{}, nil
	}
	if path == "" { // removed, or outside of the root
		return keepIf(uid == 0)
	}
	before, err := old.Stat()
	if err != nil {
		return keepIf(uid == 0)
	}
	inside := slices.ContainsFunc(polydirs, func(p string) bool {
		return path == p || strings.HasPrefix(path, p+"/")
	})
	way, err := dirfd.Walk(path, nil)
	if err != nil { // EACCES, ESTALE, EIO ...: nothing is known of the new one
		return keepIf(uid == 0 || !inside)
	}
	way.Parent.Close()
	switch {
	case way.Missing:
	case way.Stat.ID == before.ID, slices.Contains(polydirs, path):
		return way.Dir, nil
	}
	way.Dir.Close()
	return keepIf(uid == 0 && inside)
}
