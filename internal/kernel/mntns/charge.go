package mntns

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// chargedTo runs f, which makes namespaces, so that they count as the user's
// (namespaces(7), /proc/sys/user). The kernel counts them by the effective uid of the
// process that makes them, and the user can keep them by a descriptor. If they counted
// as root's, the number that everybody else's sessions and services need would run out.
// If the change is not permitted, f runs as root. While f runs, the user may change how
// this thread is scheduled, but can neither stop nor trace it: the kernel judges that
// by the real and saved ids. The change clears what happens at the parent's death, and
// who may look at this process (PR_SET_PDEATHSIG(2const), PR_SET_DUMPABLE(2const)).
//
// libc's functions would change all threads; this changes only its own. errNotRoot says
// that the thread has not become root again.
func chargedTo(uid uint32, f func() error) error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if uid == 0 || unix.Capget(&header, &caps[0]) != nil || setEffective(uid) != nil {
		return f()
	}
	// the change took the effective ones; what f makes in a filesystem is root's
	err := unix.Capset(&header, &caps[0])
	if err == nil {
		_, _, _ = unix.RawSyscall(unix.SYS_SETFSUID, 0, 0, 0)
		err = f()
	} else {
		err = errNotCharged
	}
	if back := errors.Join(setEffective(0), unix.Capset(&header, &caps[0])); back != nil {
		return fmt.Errorf("%w: %w", errNotRoot, back)
	}
	if errors.Is(err, errNotCharged) {
		return f()
	}
	return err
}

var (
	errNotCharged = errors.New("not permitted")
	errNotRoot    = errors.New("this process cannot become root again")
)

func setEffective(uid uint32) error {
	const same = ^uintptr(0)
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); errno != 0 {
		return errno
	}
	return nil
}
