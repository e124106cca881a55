package dirfd

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// ActAs gives this thread's access to files the rights of a user, without their
// supplementary groups; ActAsRoot takes them back (setfsuid(2)). The thread
// must be locked to the goroutine, as it is in a call from C.
func ActAs(uid, gid uint32) error {
	if _, err := unix.SetfsgidRetGid(int(gid)); err != nil {
		return err
	}
	if _, err := unix.SetfsuidRetUid(int(uid)); err != nil {
		return err
	}
	// setfsuid(2) reports no failure: asking again is the documented way
	now, err := unix.SetfsuidRetUid(-1)
	if err != nil {
		return err
	}
	if now != int(uid) {
		_ = ActAsRoot()
		return fmt.Errorf("setfsuid(%d): %w", uid, unix.EPERM)
	}
	return nil
}

// ActAsRoot is the end of ActAs. After an error nothing more may be made: it
// would be the user's.
func ActAsRoot() error {
	_, _ = unix.SetfsuidRetUid(0)
	_, _ = unix.SetfsgidRetGid(0)
	uid, err1 := unix.SetfsuidRetUid(-1)
	gid, err2 := unix.SetfsgidRetGid(-1)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if uid != 0 || gid != 0 {
		return fmt.Errorf("setfsuid(0): %w", unix.EPERM)
	}
	return nil
}
