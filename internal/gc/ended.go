package gc

import (
	"time"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// Ended removes the tmpdir instances of the recorded namespaces that have ended, and
// that no other namespace shows; then it forgets the records. What cannot be told, or
// is held, stays for the next time, or for gc; what a user did is no error. One look
// at the namespaces is for all of them: each user can have many that have ended and
// whose instances another namespace shows. looked is how long it took, which users can
// prolong.
func Ended() (looked time.Duration, errs []error) {
	began := time.Now()
	store, err := record.Open()
	if err != nil {
		return 0, []error{err}
	}
	defer store.Close()
	room := newRoom(live.Uses{Known: store.Identities, Skip: func(ever uint64, number mntns.ID) bool { return fromHostView(ever, number, store) }})
	defer room.Close()
	failed := func(err error) {
		// a parent that is not there has no instances
		if err != nil && !dirfd.IsNotExist(err) && !isUsersDoing(err) {
			errs = append(errs, err)
		}
	}
	var all []record.Record
	failed(store.Ended(func(r record.Record) {
		if len(r.Tmpdirs()) > 0 && !r.Emptied {
			if err := room.want(r); err != nil {
				failed(err)
				return
			}
			all = append(all, r)
		}
	}))
	if err := room.uses.Look(); err != nil {
		return 0, append(errs, err)
	}
	looked = time.Since(began)
	for _, r := range all {
		failed(room.ended(r, store))
	}
	return looked, errs
}

func (r *Room) ended(of record.Record, store record.Store) error {
	for _, p := range of.Tmpdirs() {
		if r.Of(p, of.UID) != live.Free {
			return nil
		}
		removed, err := r.Remove(p)
		if err != nil && !dirfd.IsNotExist(err) || err == nil && !removed {
			return err
		}
	}
	return store.Remove(of.Identity)
}

// isUsersDoing reports whether an error is about what a user did to their own
// instance or home: it is no failure of root's.
func isUsersDoing(err error) bool {
	_, parent := observe.IsUsersDoing(err)
	return parent || dirfd.IsStillMade(err) || dirfd.IsTooDeep(err)
}
