package apply

import (
	"fmt"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/sessions/record"
)

// Cwd is the working directory of a process in the view that it is about to
// leave. No handle of it is kept: the process that stands in it keeps its inode
// from being used again.
type Cwd struct {
	Path string // empty: it cannot be told
	id   dirfd.ID
	why  string // Path cannot be told
}

// LookAtCwd notes the working directory of this process. It asks no filesystem.
func LookAtCwd() Cwd {
	path, id, err := dirfd.Cwd()
	c := Cwd{Path: path, id: id}
	switch {
	case err != nil:
		c.why = err.Error()
	case path == "":
		c.why = "it was removed, or lies outside of the root directory"
	}
	return c
}

// Standing is where a session stands.
type Standing struct {
	Dir dirfd.Dir
	// Empty is the empty directory, for a host that cannot enter Dir; not open
	// where Dir cannot fail, or is that directory.
	Empty dirfd.Dir
	Left  string // one sentence on what was left, and why; empty: nothing was
}

// Close releases the handles.
func (s *Standing) Close() {
	s.Dir.Close()
	s.Empty.Close()
}

// WorkingDir finds where a session stands that had the working directory old, in the
// view that this process has entered: in the first directory of left.Stands that is
// right, else in an empty one (decision 26). It leaves this process there, as the
// proof that the directory can be entered. It may ask a filesystem of a user's, so the
// caller holds nothing for which others wait.
func WorkingDir(old Cwd, left plan.Left) (Standing, error) {
	if old.why != "" {
		return nowhere(old.Path, old.why)
	}
	why := "it lies in an instance parent"
	left.Path = old.Path
	for i, stand := range left.Stands() {
		dir, bad := old.at(stand, left.UID)
		if bad == "" {
			s := Standing{Dir: dir}
			if stand.Path != "/" {
				s.Empty, _, _ = emptyDir()
			}
			return s, nil
		}
		if i == 0 {
			why = bad
		}
	}
	return nowhere(old.Path, why)
}

// at opens one; bad says why it is not right. What uid has mounted may keep
// their own session waiting.
func (c Cwd) at(stand plan.Stand, uid uint32) (dir dirfd.Dir, bad string) {
	if stand.Path == "/" {
		dir, err := dirfd.Root()
		if err != nil {
			return dirfd.Dir{}, err.Error()
		}
		return dir, ""
	}
	way, err := dirfd.WalkFor(uid, stand.Path, nil)
	switch {
	case dirfd.IsNotExist(err):
		return dirfd.Dir{}, "it does not exist in the session's view"
	case err != nil:
		return dirfd.Dir{}, err.Error()
	}
	way.Parent.Close()
	switch {
	case way.Missing:
		return dirfd.Dir{}, "it does not exist in the session's view"
	case !stand.Any && way.Stat.ID != c.id:
		bad = "in the session's view another directory has its name"
	default:
		if err := way.Dir.Enter(); err != nil {
			bad = err.Error()
		}
	}
	if bad != "" {
		way.Dir.Close()
		return dirfd.Dir{}, bad
	}
	return way.Dir, ""
}

// nowhere is the empty directory.
func nowhere(path, why string) (Standing, error) {
	dir, where, err := emptyDir()
	if err != nil {
		return Standing{}, fmt.Errorf("there is no directory to stand in: %w", err)
	}
	what := "the working directory"
	if path != "" {
		what = fmt.Sprintf("the working directory %q", path)
	}
	return Standing{Dir: dir, Left: fmt.Sprintf("%s was left: %s; %s", what, why, where)}, nil
}

// emptyDir is an empty directory that nobody can write. If /run is full, forbidden or
// missing in a chroot, it is a detached mount, which has no path: getcwd(3) fails
// there with ENOENT, and so says nothing that is false.
func emptyDir() (dir dirfd.Dir, where string, err error) {
	dir, why := record.EmptyDir()
	if why == nil {
		return dir, "this session stands in the empty directory " + dir.Path(), nil
	}
	m, err := mountfd.NewTmpfs("an empty directory", []mountfd.Option{{Key: "mode", Value: "0555"}, {Key: "size", Value: "4096"}})
	if err != nil {
		return dirfd.Dir{}, "", fmt.Errorf("%w; %w", why, err)
	}
	if err := m.SetAttr(mountfd.NoSuid | mountfd.NoDev | mountfd.NoExec | mountfd.ReadOnly); err != nil {
		m.Close()
		return dirfd.Dir{}, "", fmt.Errorf("%w; %w", why, err)
	}
	return m.Root, fmt.Sprintf("this session stands in an empty directory without a name (%v)", why), nil
}
