package observe

import (
	"errors"
	"fmt"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
)

// usersDoing is an error that a user can bring about without harm to anybody
// else: what they put into the way to a parent in their own home.
type usersDoing struct{ error }

func (e usersDoing) Unwrap() error { return e.error }

// IsUsersDoing reports whether an error about a parent is what a user did, and
// says what. It is for them to mend: a command of root's goes on without the
// parent, and does not fail, or each user could make it fail for ever.
func IsUsersDoing(err error) (why string, is bool) {
	var u usersDoing
	if errors.As(err, &u) {
		return u.Error(), true
	}
	return "", false
}

// IsInstance reports whether a directory is an instance, by the lock beside it. It
// is asked for an advice alone: what cannot be looked at is none.
func IsInstance(dir string) bool {
	above, name := dirfd.Split(dir)
	way, err := dirfd.Walk(above, nil)
	if err != nil {
		return false
	}
	defer way.Close()
	if way.Missing {
		return false
	}
	_, is, err := instance.Look(way.Dir, name)
	return err == nil && is
}

// OpenParent opens an instance parent; the Dir is not open if there is none. One
// that lies where users can create names is looked at before it is read: it may
// be theirs, with as many names in it as they like.
func OpenParent(path string) (dirfd.Way, error) {
	way, err := dirfd.Walk(path, nil)
	theirs := way.Exposure.Exposed() || dirfd.IsUsersMount(err)
	switch {
	case dirfd.IsNotExist(err):
		return dirfd.Way{}, nil
	case err == nil && !way.Missing && theirs:
		if dirfd.TrustedFile(path, way.Stat) != nil {
			// no command by name: it may be a link when somebody obeys
			err = fmt.Errorf("%s: owned by uid %d, mode %04o, and is to be root's alone: %s", path, way.Stat.UID, way.Stat.Mode, plan.LookAndMove)
		}
	}
	if err == nil && !way.Missing {
		return way, nil
	}
	way.Close()
	if err != nil && theirs {
		err = usersDoing{err}
	}
	return dirfd.Way{}, err
}
