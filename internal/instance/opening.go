package instance

import (
	"errors"
	"fmt"
	"time"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/projquota"
	"pam_polyinst/internal/kernel/selinuxfs"
)

// Waits says until when other sessions are waited for. Whoever has started the
// program that opens another one can slow that down or stop it, also with a lock
// in its hands: so nothing is waited for without an end, and what is not needed
// is not waited for up to the host's deadline.
type Waits struct {
	Turn time.Time // for the init script of another session
	Lock time.Time // for a lock without which this session cannot be opened
}

// Opening is a session's hold on the instance that it opens or makes. First its
// lock is taken (Take), shared; an instance that only one session can make has it
// alone (TakeAlone). A new one is made under the name Temporary and published, and
// Settle is the end of it. Close lets go of everything.
type Opening struct {
	Locks     Locks
	Lock      dirfd.File
	Name      string // of the instance
	Path      string // of the instance, for messages
	Temporary string // what it is called until it is complete; empty: it cannot be renamed
	UID       uint32 // for whom it is
	Shared    bool   // for all who have its context
	// Unseen: nothing is renamed, because nobody else knows the name of a tmpdir
	// instance: SELinux's stock policies let no login program rename a directory,
	// and each try would be logged.
	Unseen bool
	Waits  Waits

	Parent dirfd.Dir // of a new instance
	Called string    // what the new instance is called now; empty: it has its name

	said      dirfd.Stat // what Lock said when it was taken, or last changed by us
	alone     bool       // Lock is an exclusive one
	turn      dirfd.File // to run the init script; not open where that is not known to be ours alone
	impatient bool       // another session's init script was waited for long enough
}

// Close releases the handles and the locks.
func (o *Opening) Close() {
	o.Lock.Close()
	o.turn.Close()
	o.Locks.Close()
	o.Parent.Close()
}

// Exclusive reports whether other sessions may be waiting for this one. Nothing
// may be sent to the host then: who has stopped the host would stop them too.
func (o *Opening) Exclusive() bool { return o.alone || o.turn.FD() >= 0 }

// Impatient reports whether the init script of another session may be running
// for the same instance, which was waited for long enough.
func (o *Opening) Impatient() bool { return o.impatient }

// ErrHeld says that a lock was not to be had in time.
var ErrHeld = errors.New("it is held for too long by another session that is being opened, or by `polyinst gc`: try again")

func (o *Opening) held() error {
	return fmt.Errorf("instance %q: %w", o.Path, ErrHeld)
}

// Take takes the lock of the instance. gc removes locks while it holds
// them: one that it removed between our open and our lock is not the one that
// the next session will open.
func (o *Opening) Take() error {
	for looked := o.Lock.IsOpen(); ; looked = false {
		var err error
		if !looked { // else the one that was looked at, if it is still there
			o.Lock.Close()
			o.Lock, err = o.Locks.OpenLock(o.Name)
		}
		if dirfd.IsNotExist(err) {
			if err = o.makeLock(); err == nil || dirfd.IsExist(err) {
				continue
			}
		}
		if err != nil {
			return err
		}
		mine, err := o.Lock.LockBy(dirfd.Shared, o.Waits.Lock)
		if err != nil {
			return err
		}
		if !mine {
			return o.held()
		}
		there, err := o.lockIsThere()
		if there || err != nil {
			return err
		}
	}
}

func (o *Opening) lockIsThere() (there bool, err error) {
	o.said, err = o.Lock.Stat()
	return o.said.Nlink > 0, err
}

// makeLock makes the lock of an instance, which says from the first moment on for
// whom that is: of two accounts that claim one name, one is first. Where a
// directory cannot be renamed, or nobody claims it, it says nothing yet.
func (o *Opening) makeLock() error {
	if o.Temporary != "" && !o.Unseen {
		owner, mode := o.claim()
		err := o.makeClaim(o.Temporary, owner, mode)
		if !CannotRename(err) {
			return err
		}
	}
	return selinuxfs.Labelled(o.Locks.Label, func() error { return o.Locks.Mkdir(o.Name, OfNobody) })
}

func (o *Opening) makeClaim(temporary string, owner, mode uint32) error {
	if err := selinuxfs.Labelled(o.Locks.Label, func() error { return o.Locks.Mkdir(temporary, 0) }); err != nil && !dirfd.IsExist(err) {
		return err
	}
	dir, err := o.Locks.LookupHere(temporary)
	if err == nil {
		err = dir.SetOwner(owner, 0, mode)
		dir.Close()
	}
	if err == nil {
		err = o.Locks.Rename(temporary, o.Name)
	}
	if err != nil {
		_ = o.Locks.Rmdir(temporary)
	}
	if dirfd.IsNotExist(err) {
		return nil // gc was faster: once more
	}
	return err
}

// claim is what the lock says when the instance is finished.
func (o *Opening) claim() (owner, mode uint32) {
	if o.Shared {
		return 0, OfMany
	}
	return o.UID, OfOne
}

// Claimed reports whether the lock says just that already.
func (o *Opening) Claimed() bool {
	owner, mode := o.claim()
	return o.said.UID == owner && o.said.Mode == mode
}

// say has the lock say something else.
func (o *Opening) say(owner, mode uint32) error {
	err := o.Lock.SetOwner(owner, 0, mode)
	if err == nil {
		o.said.UID, o.said.Mode = owner, mode
	}
	return err
}

// CannotRename reports whether an error says that this program, or this
// filesystem, cannot rename a directory without replacing another: SELinux's stock policies
// let a login program make directories in an instance parent, but not rename
// them; network filesystems cannot rename without replacing; and a parent that
// hands a project on takes none of another (EXDEV).
func CannotRename(err error) bool {
	return dirfd.IsDenied(err) || dirfd.IsUnsupported(err) || dirfd.IsOtherMount(err)
}

// TakeAlone makes the shared lock an exclusive one, or returns with a shared one
// when another session has finished the instance meanwhile.
func (o *Opening) TakeAlone() error {
	for {
		o.alone = true // from the moment on in which it may be so
		mine, err := o.Lock.LockBy(dirfd.Exclusive, soonest(o.Waits.Lock, time.Now().Add(lookAgain)))
		o.alone = mine
		if err != nil {
			return err
		}
		there, err := o.lockIsThere()
		if err != nil {
			return err
		}
		if mine && there {
			return nil
		}
		o.alone = false
		late := !time.Now().Before(o.Waits.Lock)
		// what could not be converted is lost
		if err := o.Take(); err != nil {
			return err
		}
		if o.Claimed() && o.Exists() {
			return nil
		}
		if late {
			return o.held()
		}
	}
}

// lookAgain is after how long of waiting for an exclusive lock it is looked
// whether that is still needed.
const lookAgain = 100 * time.Millisecond

func soonest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Exists reports whether there is something under the instance's name.
func (o *Opening) Exists() bool {
	dir, err := o.Parent.LookupHere(o.Name)
	dir.Close()
	return !dirfd.IsNotExist(err)
}

// TakeTurn waits until no init script of another session runs for the instance;
// not for ever, since who has started that session can have stopped it. The
// instance's own lock is held, so that gc removes neither meanwhile.
func (o *Opening) TakeTurn() error {
	dir, err := o.Locks.LookupHere(o.Name)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = selinuxfs.Labelled(o.Locks.Label, func() error { return dir.Mkdir(layout.TurnLock, 0) })
	if err != nil && !dirfd.IsExist(err) {
		return err
	}
	if o.turn, err = dir.OpenLock(layout.TurnLock); err != nil {
		return err
	}
	mine, err := o.turn.LockBy(dirfd.Exclusive, o.Waits.Turn)
	if err == nil && !mine {
		o.impatient = true
	}
	if !mine {
		o.turn.Close()
	}
	return err
}

// IsAlone reports whether the lock is an exclusive one.
func (o *Opening) IsAlone() bool { return o.alone }

// EndTurn lets others run their init scripts.
func (o *Opening) EndTurn() { o.turn.Close() }

// Begin notes that the instance, which is held alone, is being made.
func (o *Opening) Begin() error { return o.say(0, Begun) }

// State is what the lock said when it was taken: whoever makes the instance anew
// takes it alone.
func (o *Opening) State() State { return stateOf(o.said) }

// Project is that of the instance, as Project has it.
func (o *Opening) Project() (uint32, error) {
	id, err := projquota.ProjectOf(o.Lock)
	if err != nil || !layout.IsProject(id) {
		return 0, err
	}
	return o.Locks.ownProject(id)
}

// Handle is a handle of the lock.
func (o *Opening) Handle() (dirfd.Dir, error) { return o.Locks.LookupHere(o.Name) }

// ErrReplaced says that the instance is not the one that was decided upon.
var ErrReplaced = errors.New("the instance was replaced at this moment: try again")

// Settle ends the making or opening of an instance. The instance has its name, its
// lock says whose it is and that it was opened now, and no other session is kept
// waiting.
func (o *Opening) Settle() error {
	if o.Called != "" {
		if err := o.Publish(); err != nil {
			return err
		}
	}
	o.turn.Close()
	if !o.Claimed() {
		if err := o.say(o.claim()); err != nil {
			return err
		}
	}
	if err := o.Lock.Touch(); err != nil || !o.alone {
		return err
	}
	mine, err := o.Lock.LockBy(dirfd.Shared, o.Waits.Lock)
	if err == nil && !mine {
		err = o.held()
	}
	o.alone = false
	return err
}

// Publish gives the new instance its name, unless another session was faster.
func (o *Opening) Publish() error {
	err := o.Parent.Rename(o.Called, o.Name)
	if dirfd.IsExist(err) {
		return ErrReplaced
	}
	if err == nil {
		o.Called = ""
	}
	return err
}
