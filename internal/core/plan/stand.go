package plan

import (
	"slices"
	"strings"
)

// Where a session stands whose host stood in a directory of another view
// (decision 26): a directory has the name that getcwd(3) says in the view that
// it is in, and nobody keeps a directory of the view that was left.

// Covered is a polydir of the view that is left.
type Covered struct {
	Path     string
	Instance string // its path in the host's view; empty: a tmpfs
}

// Stand is a directory to try in the new view.
type Stand struct {
	Path string
	Any  bool // whatever directory is there; else only the very one that was left
}

// Left is what becomes of a directory, of which path is the name in the view
// that is left.
type Left struct {
	Path   string
	UID    uint32    // of the session's user
	Covers []Covered // in the view that is left
	Own    []string  // paths that are covered in the new view
	// Parents are the instance parents that the session's rules name. Only root
	// reaches by name what lies below them.
	Parents []string
}

// Stands are what to try for the directory, in this order. Where none of
// them will do, the session stands in an empty directory.
func (l Left) Stands() []Stand {
	within := func(dir string) bool { return at(l.Path, dir) }
	switch {
	case l.Path == "/":
		return []Stand{{"/", true}}
	case l.UID != 0 && slices.ContainsFunc(l.Parents, within):
		// another user's instance, by the hand of root
		return nil
	case slices.Contains(l.Own, l.Path):
		return []Stand{{l.Path, true}}
	}
	stands := []Stand{{l.Path, false}}
	if c := l.cover(); c.Instance != "" && l.UID == 0 {
		stands = append(stands, Stand{c.Instance + strings.TrimPrefix(l.Path, c.Path), false})
	}
	return stands
}

// cover is the innermost polydir that shows the directory.
func (l Left) cover() Covered {
	var found Covered
	for _, c := range l.Covers {
		if at(l.Path, c.Path) && len(c.Path) > len(found.Path) {
			found = c
		}
	}
	return found
}

// at reports whether a path is a directory's or lies below it.
func at(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}
