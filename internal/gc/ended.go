package gc

import (
	"time"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// Tidying removes what sessions have left that have ended, a part of each at a time: what
// one user has left keeps no other's waiting.
type Tidying struct{ begun map[string]dirfd.Removal }

// share is how long the removal of one instance may take before others are looked after.
const share = 200 * time.Millisecond

// Ended removes the tmpdir instances of the recorded namespaces that have ended, and
// that no other namespace shows; then it forgets the records. What cannot be told, or
// is held, stays for the next time, or for gc; what a user did is no error. One look
// at the namespaces is for all of them: each user can have many that have ended and
// whose instances another namespace shows. looked is how long it took, which users can
// prolong. more: a part of an instance is left for lack of time.
func (t *Tidying) Ended() (looked time.Duration, more bool, errs []error) {
	began := time.Now()
	store, err := record.Open()
	if err != nil {
		return 0, false, []error{err}
	}
	defer store.Close()
	room := newRoom(live.Uses{Known: store.Identities, Skip: func(ever uint64, number mntns.ID) bool { return fromHostView(ever, number, store) }})
	defer room.Close()
	if t.begun == nil {
		t.begun = map[string]dirfd.Removal{}
	}
	room.begun = t.begun
	failed := func(err error) {
		// a parent that is not there has no instances
		if more = more || dirfd.IsUnfinished(err); err != nil && !dirfd.IsNotExist(err) && !isUsersDoing(err) && !dirfd.IsUnfinished(err) {
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
		return 0, more, append(errs, err)
	}
	looked = time.Since(began)
	for _, r := range all {
		failed(room.ended(r, store))
	}
	if !more {
		t.begun = nil // gc may have removed what was begun
	}
	return looked, more, errs
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
