package record

import (
	"fmt"

	"pam_polyinst/internal/kernel/dirfd"
)

// Possible says why there can be no records, as Open and Write would, and makes
// nothing. If there is no room, it removes records of ended namespaces, as a session
// that is opened does.
func Possible() error {
	way, err := openRunDir()
	if err != nil {
		return err
	}
	defer way.Close()
	store, err := open(way)
	if dirfd.IsNotExist(err) {
		return noRoom(way.Dir) // there it would be made
	}
	if err != nil {
		return err
	}
	defer store.Close()
	if err = noRoom(store.dir); dirfd.IsFull(err) && store.anyEnded() {
		return nil
	}
	return err
}

// foreseen is an error of what made something in the directory, in the words of
// noRoom if that says why.
func foreseen(dir dirfd.Dir, err error) error {
	if err != nil {
		if why := noRoom(dir); why != nil {
			return why
		}
	}
	return err
}

// noRoom says why no file can be made in the directory.
func noRoom(dir dirfd.Dir) error {
	room, err := dir.Room(true)
	switch {
	case err != nil || room.Why == "":
		return err
	case room.Scarce:
		return fmt.Errorf("%s: %s: %w", dir.Path(), room.Why, dirfd.ErrScarce)
	}
	return fmt.Errorf("%s: %s", dir.Path(), room.Why)
}
