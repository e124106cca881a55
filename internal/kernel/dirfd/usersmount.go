package dirfd

import (
	"errors"
	"fmt"
)

// enters judges the filesystem of what lies on another mount than the directory
// above it. One that somebody else than own has mounted is an error.
func (f Filesystem) enters(own uint32, path string) error {
	if f.ByUser && (own == NoUID || f.UID != own) {
		return pathError("open", path, usersMount(f))
	}
	return nil
}

// usersMount is the error about a filesystem of a user's own.
type usersMount Filesystem

func (e usersMount) Error() string {
	if e.UID == NoUID {
		return "is on a filesystem that is not among the mounts here: nothing is asked of it"
	}
	return fmt.Sprintf("is on a filesystem that uid %d mounted, %s: nothing is asked of it", e.UID, e.Type)
}

// IsUsersMount reports whether an error says that a user mounted what is there.
func IsUsersMount(err error) bool {
	var e usersMount
	return errors.As(err, &e)
}

// IsMountOf is IsUsersMount for that user.
func IsMountOf(uid uint32, err error) bool {
	var e usersMount
	return errors.As(err, &e) && e.UID == uid && uid != NoUID
}
