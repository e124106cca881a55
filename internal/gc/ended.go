package gc

import (
	"errors"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// Ended removes the tmpdir instances of the recorded namespaces that have ended, and
// that no other namespace shows; then it forgets the records. What cannot be told, or
// is held, stays for the next time, or for gc.
func Ended() error {
	store, err := record.Open()
	if err != nil {
		return err
	}
	defer store.Close()
	var errs []error
	err = store.Ended(func(r record.Record) {
		if len(r.Tmpdirs()) > 0 && !r.Emptied {
			errs = append(errs, ended(r, store))
		}
	})
	return errors.Join(append(errs, err)...)
}

func ended(r record.Record, store record.Store) error {
	room, err := Beside(r, store, 0)
	if err != nil {
		return err
	}
	defer room.Close()
	for _, p := range r.Tmpdirs() {
		if room.Of(p) != live.Free {
			return nil
		}
		removed, err := room.Remove(p)
		if err != nil && !dirfd.IsNotExist(err) || err == nil && !removed {
			return err
		}
	}
	return store.Remove(r.Identity)
}
