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
	err := setFS(uid, gid)
	if err != nil {
		_ = ActAsRoot()
	}
	return err
}

// ActAsRoot is the end of ActAs. After an error nothing more may be made: it
// would be the user's.
func ActAsRoot() error { return setFS(0, 0) }

func setFS(uid, gid uint32) error {
	_, _ = unix.SetfsgidRetGid(int(gid))
	_, _ = unix.SetfsuidRetUid(int(uid))
	// neither reports a failure: asking again is the documented way
	nowUID, err1 := unix.SetfsuidRetUid(-1)
	nowGID, err2 := unix.SetfsgidRetGid(-1)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if nowUID != int(uid) || nowGID != int(gid) {
		return fmt.Errorf("setfsuid(%d), setfsgid(%d): %w", uid, gid, unix.EPERM)
	}
	return nil
}
