package projquota

import (
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/polyinst"
)

// Of is the project of the instance whose lock it is; 0: it has none. The lock
// is where the number is kept: nobody but root can reach that, whereas a user
// can change the project of all that is his.
func Of(locks, lock dirfd.Dir) (uint32, error) {
	id, _, err := Project(lock)
	if err != nil || !polyinst.IsProject(id) {
		return 0, err
	}
	// one that all locks inherit is the administrator's
	whole, _, err := Project(locks)
	if err != nil || whole == id {
		return 0, err
	}
	return id, nil
}

// RemoveLock removes the lock of an instance that is gone, and the limits of its
// project, so that the number is free again.
func RemoveLock(locks dirfd.Dir, name string) error {
	var id uint32
	if lock, err := locks.LookupHere(name); err == nil {
		id, _ = Of(locks, lock)
		lock.Close()
	}
	if err := locks.Rmdir(name); err != nil {
		return err
	}
	if id != 0 {
		_ = Set(locks, id, Limits{}) // of nothing: what stays is a number that is not used again
	}
	return nil
}
