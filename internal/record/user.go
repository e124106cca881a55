package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mntns"
)

// userPrefix begins the names of the users' directories.
const userPrefix = "user."

// User is a user's turn with the namespaces that his sessions share: nobody else
// looks for one of his, or builds one, until Done. It is the exclusive lock of
// a directory /run/polyinst/user.UID, which only root can reach; the files in
// it say which namespace stands for which view.
type User struct {
	store Store
	name  string
	dir   dirfd.Dir
	lock  dirfd.File
}

// hint is the content of such a file. It is believed as far as the record of
// that namespace is.
type hint struct{ NS mntns.ID }

// Turn waits for the user's turn.
func (s Store) Turn(uid uint32) (*User, error) {
	u := &User{store: s, name: userPrefix + strconv.FormatUint(uint64(uid), 10)}
	for {
		taken, err := u.take(dirfd.File.Lock)
		if err != nil {
			u.Done()
			return nil, err
		}
		if taken {
			return u, nil
		}
		u.Done() // gc removed it between our open and our lock
	}
}

// take opens and locks the directory; false if it was removed meanwhile.
func (u *User) take(lock func(dirfd.File, dirfd.LockKind) error) (bool, error) {
	if err := u.store.dir.Mkdir(u.name, 0o700); err != nil && !dirfd.IsExist(err) {
		return false, err
	}
	var err error
	if u.dir, err = u.store.dir.Lookup(u.name); err != nil {
		return false, ignoreNotExist(err)
	}
	st, err := u.dir.Stat()
	switch {
	case err != nil:
		return false, err
	case !st.IsDir():
		return false, fmt.Errorf("%s is a %s, not a directory", u.dir.Path(), st.TypeName())
	}
	if err := dirfd.TrustedFile(u.dir.Path(), st); err != nil {
		return false, err
	}
	if u.lock, err = u.store.dir.OpenLock(u.name); err != nil {
		return false, ignoreNotExist(err)
	}
	if err := lock(u.lock, dirfd.Exclusive); err != nil {
		return false, err
	}
	if st, err = u.lock.Stat(); err != nil {
		return false, err
	}
	now, err := u.dir.Stat()
	return err == nil && st.Nlink > 0 && st.ID == now.ID, err
}

func ignoreNotExist(err error) error {
	if dirfd.IsNotExist(err) {
		return nil
	}
	return err
}

// Done ends the turn; a second time it is nothing.
func (u *User) Done() {
	u.lock.Close()
	u.dir.Close()
}

// Find is the record of the namespace that stands for the view; nil if there is
// none.
func (u *User) Find(view string) (*Record, error) {
	raw, err := u.store.contentOf(u.dir, view)
	if err != nil || raw == nil {
		return nil, err
	}
	var h hint
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", u.dir.Path(), view, err)
	}
	r, err := u.store.Read(h.NS)
	if err != nil || r == nil || r.View != view {
		return nil, err
	}
	return r, nil
}

// Publish lets the namespace stand for the view.
func (u *User) Publish(view string, ns mntns.ID) error {
	raw, err := json.Marshal(hint{ns})
	if err != nil {
		return err
	}
	return u.dir.WriteFile(view, raw)
}

// Forget lets no namespace stand for the view.
func (u *User) Forget(view string) error { return ignoreNotExist(u.dir.Unlink(view)) }

// TidyUsers removes what stands for namespaces in which nobody is any more; a
// user whose turn it is now is left alone.
func (s Store) TidyUsers(live func(mntns.ID) bool) error {
	names, err := s.dir.Names()
	for _, name := range names {
		if strings.HasPrefix(name, userPrefix) {
			err = errors.Join(err, s.tidyUser(name, live))
		}
	}
	return err
}

var errBusy = errors.New("busy")

func (s Store) tidyUser(name string, live func(mntns.ID) bool) error {
	u := &User{store: s, name: name}
	defer u.Done()
	taken, err := u.take(func(f dirfd.File, k dirfd.LockKind) error {
		free, err := f.TryLock(k)
		if err == nil && !free {
			err = errBusy
		}
		return err
	})
	if errors.Is(err, errBusy) || err == nil && !taken {
		return nil
	}
	if err != nil {
		return err
	}
	views, err := u.dir.Names()
	if err != nil {
		return err
	}
	left := 0
	for _, view := range views {
		r, err := u.Find(view)
		if err == nil && r != nil && live(r.NS) {
			left++
			continue
		}
		if err := u.Forget(view); err != nil {
			return err
		}
	}
	if left > 0 {
		return nil
	}
	return ignoreNotExist(s.dir.Rmdir(name))
}
