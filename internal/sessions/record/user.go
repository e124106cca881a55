package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// userPrefix begins the names of the users' directories.
const userPrefix = "user."

// User is a user's turn with the namespaces that their sessions share: nobody else
// looks for one of theirs, or builds one, until Done. It is the exclusive lock of
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
type hint struct{ Is mntns.Identity }

// ErrBusy says that the turn is still another session's.
var ErrBusy = errors.New("another session of the user is being opened or closed, and does not come to an end")

// Turn waits for the user's turn, and gives up at the time until: the user may have
// stopped the program that has the turn.
func (s Store) Turn(uid uint32, until time.Time) (*User, error) {
	u := &User{store: s, name: userName(uid)}
	for {
		taken, err := u.take(until)
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
func (u *User) take(until time.Time) (bool, error) {
	if err := u.store.dir.Mkdir(u.name, 0o700); err != nil && !dirfd.IsExist(err) {
		return false, foreseen(u.store.dir, err)
	}
	var err error
	if u.dir, err = u.store.dir.Lookup(u.name); err != nil {
		return false, ignoreNotExist(err)
	}
	if err := trusted(u.dir); err != nil {
		return false, err
	}
	if u.lock, err = u.store.dir.OpenLock(u.name); err != nil {
		return false, ignoreNotExist(err)
	}
	mine, err := u.lock.LockBy(dirfd.Exclusive, until)
	if err == nil && !mine {
		err = ErrBusy
	}
	if err != nil {
		return false, err
	}
	st, err := u.lock.Stat()
	if err != nil {
		return false, err
	}
	now, err := u.dir.Stat()
	return err == nil && st.Nlink > 0 && st.ID == now.ID, err
}

// TurnPossible tells why a user can never have their turn: what Turn would say, but
// nothing is made, and nobody is waited for.
func TurnPossible(uid uint32) error {
	way, err := openRunDir()
	if err != nil {
		return err
	}
	defer way.Close()
	store, err := open(way)
	if err != nil {
		return ignoreNotExist(err)
	}
	defer store.Close()
	dir, err := store.dir.Lookup(userName(uid))
	if err != nil {
		return ignoreNotExist(err)
	}
	defer dir.Close()
	return trusted(dir)
}

func userName(uid uint32) string { return userPrefix + strconv.FormatUint(uint64(uid), 10) }

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
	r, err := u.store.Read(h.Is)
	if err != nil || r == nil || r.View != view {
		return nil, err
	}
	return r, nil
}

// Publish lets the namespace stand for the view.
func (u *User) Publish(view string, ns mntns.Identity) error {
	raw, err := json.Marshal(hint{ns})
	if err != nil {
		return err
	}
	return foreseen(u.dir, u.dir.WriteFile(view, raw))
}

// Forget lets no namespace stand for the view.
func (u *User) Forget(view string) error { return ignoreNotExist(u.dir.Unlink(view)) }

// TidyUsers removes what stands for namespaces that have ended; a user whose turn
// it is now is left alone.
func (s Store) TidyUsers(ended func(mntns.Identity) bool) error {
	names, err := s.dir.Names()
	for _, name := range names {
		if strings.HasPrefix(name, userPrefix) {
			err = errors.Join(err, s.tidyUser(name, ended))
		}
	}
	return err
}

func (s Store) tidyUser(name string, ended func(mntns.Identity) bool) error {
	u := &User{store: s, name: name}
	defer u.Done()
	taken, err := u.take(time.Time{})
	if errors.Is(err, ErrBusy) || err == nil && !taken {
		return nil
	}
	if err != nil {
		return err
	}
	if err := u.dir.RemoveUnfinished(); err != nil {
		return err
	}
	views, err := u.dir.Names()
	if err != nil {
		return err
	}
	left := 0
	for _, view := range views {
		r, err := u.Find(view)
		if err == nil && r != nil && !ended(r.Identity) {
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
