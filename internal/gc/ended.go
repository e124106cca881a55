package gc

import (
	"slices"
	"time"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// Tidying removes what sessions have left that have ended, a part of each at a time: what
// one user has left keeps no other's waiting.
type Tidying struct {
	begun  map[string]dirfd.Removal
	failed map[mntns.Identity]bool // what failed for these is tried again when the rest is done
	told   [2]map[string]bool      // errors, when all was looked at last, and since then
}

// share is how long the removal of one user's instances may take before others' are looked
// after.
const share = 200 * time.Millisecond

// Ended removes the tmpdir instances of the recorded namespaces that have ended, and
// that no other namespace shows; then it forgets the records. What cannot be told, or
// is held, stays for the next time, or for gc; what a user did is no error. One look
// at the namespaces is for all of them: each user can have many that have ended and
// whose instances another namespace shows. looked is how long it took, which users can
// prolong. more: a part of an instance is left for lack of time. An error is one that was
// not there when all was looked at last.
func (t *Tidying) Ended() (looked time.Duration, more bool, errs []error) {
	looked, more, errs = t.ended()
	errs = slices.DeleteFunc(errs, func(err error) bool {
		text := err.Error()
		known := t.told[0][text] || t.told[1][text]
		if t.told[1] == nil {
			t.told[1] = map[string]bool{}
		}
		t.told[1][text] = true
		return known
	})
	if !more {
		t.begun = nil // gc may have removed what was begun
		t.told = [2]map[string]bool{t.told[1], nil}
	}
	return looked, more, errs
}

func (t *Tidying) ended() (looked time.Duration, more bool, errs []error) {
	began := time.Now()
	store, err := record.Open()
	if err != nil {
		return 0, false, []error{err}
	}
	defer store.Close()
	room := newRoom(live.Uses{Known: store.Identities, Skip: func(ever uint64, number mntns.ID) bool { return fromHostView(ever, number, store) }})
	defer room.Close()
	if t.begun == nil {
		t.begun, t.failed = map[string]dirfd.Removal{}, map[mntns.Identity]bool{}
	}
	room.begun = t.begun
	failed := func(of record.Record, err error) {
		if err == nil || dirfd.IsUnfinished(err) {
			return
		}
		t.failed[of.Identity] = true
		if !dirfd.IsNotExist(err) && !isUsersDoing(err) { // a parent that is not there has no instances
			errs = append(errs, err)
		}
	}
	var all []record.Record
	err = store.Ended(func(r record.Record) {
		if len(r.Tmpdirs()) > 0 && !r.Emptied && !t.failed[r.Identity] {
			if err := room.want(r); err != nil {
				failed(r, err)
				return
			}
			all = append(all, r)
		}
	})
	if err != nil {
		errs = append(errs, err)
	}
	if err := room.uses.Look(); err != nil {
		return 0, false, append(errs, err)
	}
	looked = time.Since(began)
	more = room.part(all, store, failed)
	return looked, more, errs
}

// part removes of each user's instances what it can in the user's share of the time.
func (r *Room) part(all []record.Record, store record.Store, failed func(record.Record, error)) (more bool) {
	spent := map[uint32]time.Duration{}
	for _, of := range all {
		if spent[of.UID] >= share {
			more = true
			continue
		}
		began := time.Now()
		err := r.ended(of, store)
		spent[of.UID] += time.Since(began)
		more = more || dirfd.IsUnfinished(err)
		failed(of, err)
	}
	return more
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
