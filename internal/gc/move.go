package gc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// Move is an instance that gets another name, perhaps in another parent.
type Move struct {
	From, To         Parent
	OldName, NewName string // without the prefix
	// UID is the account that the instance must have been made for, where that
	// is recorded; AnyUID: whichever it is.
	UID    uint32
	AnyUID bool
}

func (m Move) source() string { return m.From.Prefix + m.OldName }
func (m Move) target() string { return m.To.Prefix + m.NewName }

// Source is where the instance is before the move.
func (m Move) Source() string { return m.From.Path + "/" + m.source() }

// Target is where the instance is after the move.
func (m Move) Target() string { return m.To.Path + "/" + m.target() }

// AsideName is the name, without the prefix, under which an instance is kept for
// nobody.
func AsideName(name string, uid uint32) string {
	return name + ".uid-" + strconv.FormatUint(uint64(uid), 10)
}

// isAside reports whether an instance has a name that AsideName gave it.
func isAside(name string, uid uint32) bool {
	before, is := strings.CutSuffix(name, AsideName("", uid))
	return is && before != ""
}

// Check says what speaks against a move. It holds nothing: Run looks again.
func (m Move) Check() error {
	h, err := m.take()
	h.release()
	return err
}

// Run moves the instance with its lock: it is there under one name or the other,
// whole, whenever this is cut short. No session can use it meanwhile: whoever
// opens either name waits for its lock.
//
// The lock does not move, but is made anew: an opener that has the old one open
// would take it for that of the old name. It finds that removed, and looks again.
func (m Move) Run() error {
	h, err := m.take()
	defer h.release()
	if err != nil {
		return err
	}
	if err := h.newLock(m.target()); err != nil {
		return err
	}
	if err := h.from.Dir.MoveTo(m.source(), h.to.Dir, m.target()); err != nil {
		return err
	}
	if !h.old.HasLock() {
		return nil
	}
	return h.old.ForgetCopied()
}

// moving is what a move holds: both ends, and both locks.
type moving struct {
	from, to dirfd.Way
	old, new *instance.Guard
	uid      uint32 // the recorded account
	mode     uint32 // of the old lock
}

func (h *moving) release() {
	for _, g := range []*instance.Guard{h.old, h.new} {
		if g != nil {
			g.Release()
		}
	}
	h.from.Close()
	h.to.Close()
}

func (m Move) take() (*moving, error) {
	h := &moving{}
	var err error
	if h.from, err = dirfd.WalkTo(m.From.Path); err != nil {
		return h, err
	}
	if h.to, err = dirfd.WalkTo(m.To.Path); err != nil {
		return h, err
	}
	if h.old, err = holdFor(h.from.Dir, m.source()); err != nil {
		return h, err
	}
	if h.new, err = holdFor(h.to.Dir, m.target()); err != nil {
		return h, err
	}
	dir, err := h.from.Dir.LookupHere(m.source())
	if err != nil {
		return h, err
	}
	dir.Close()
	if lock, ok := lockState(h.from.Dir, m.source()); ok {
		h.uid, h.mode = lock.UID, lock.Mode
	}
	if !m.AnyUID && h.mode == instance.OfOne && h.uid != m.UID {
		return h, fmt.Errorf("%s: was made for uid %d, not %d", m.Source(), h.uid, m.UID)
	}
	if there, err := h.to.Dir.LookupHere(m.target()); err == nil {
		there.Close()
		return h, fmt.Errorf("%s: there is something already: look at it, and `polyinst prepare --aside %s` if it is of no use", m.Target(), shellword.Quote(m.Target()))
	} else if !dirfd.IsNotExist(err) {
		return h, err
	}
	if h.mode == instance.Begun || h.mode == instance.OfMany {
		return h, fmt.Errorf("%s: is not one account's, or was never finished", m.Source())
	}
	return h, notUsed(h.from.Dir, m.source())
}

// RecordedUID is the account for which an instance was made, if that is recorded.
func RecordedUID(parent, name string) (uid uint32, recorded bool, err error) {
	way, err := dirfd.WalkTo(parent)
	if err != nil {
		return 0, false, err
	}
	defer way.Close()
	uid, recorded = instance.UID(way.Dir, name)
	return uid, recorded, nil
}

// holdFor is instance.Hold, and an error where a session is being opened.
func holdFor(parent dirfd.Dir, name string) (*instance.Guard, error) {
	g, err := instance.Hold(parent, name)
	if err == nil && g == nil {
		err = errOpening(parent, name)
	}
	return g, err
}

func errOpening(parent dirfd.Dir, name string) error {
	return fmt.Errorf("%s/%s: a session is being opened with it: once more", parent.Path(), name)
}

// notUsed is an error if a session uses an instance, or if that cannot be found out.
// The caller holds the lock, so that no session begins to.
func notUsed(parent dirfd.Dir, name string) error {
	path := parent.Path() + "/" + name
	at, err := mntns.LocationOf(parent)
	if err != nil {
		return err
	}
	at = at.Below(name)
	var uses live.Uses
	if store, err := record.Open(); err == nil {
		defer store.Close()
		uses.Known = store.Identities
	}
	uses.Want(at)
	if err := uses.Look(); err != nil {
		return err
	}
	uid, known := instance.UID(parent, name)
	switch uses.Of(at, uid, known) {
	case live.InUse:
		return fmt.Errorf("%s: a session uses it: `polyinst list` shows whose; end that first", path)
	case live.InDoubt:
		return fmt.Errorf("%s: whether a session uses it cannot be told", path)
	}
	return nil
}

// newLock makes the lock of the new name as that of the old one is, and holds it.
func (h *moving) newLock(name string) error {
	if h.mode != instance.OfOne {
		return nil // the instance is older than its lock, and stays that
	}
	if h.new.HasLock() {
		if err := h.new.Forget(); err != nil { // of an instance that is gone
			return err
		}
		h.new.Release()
	}
	var err error
	if h.new, err = h.old.Copy(h.to.Dir, name); err == nil && h.new == nil {
		err = errOpening(h.to.Dir, name)
	}
	return err
}

// Adopt gives an instance that was made for one uid to another, as usermod(8)
// does with a home: all in it that is the old one's, and its lock last, so that a
// run that was cut short can be repeated. progress, which may be nil, is told of
// every entry.
func Adopt(p Parent, name string, from, to uint32, progress func()) error {
	way, err := dirfd.WalkTo(p.Path)
	if err != nil {
		return err
	}
	defer way.Close()
	name = p.Prefix + name
	g, err := holdFor(way.Dir, name)
	if err != nil {
		return err
	}
	defer g.Release()
	path := p.Path + "/" + name
	uid, recorded := instance.UID(way.Dir, name)
	if !recorded || uid != from {
		return fmt.Errorf("%s: is not recorded as made for uid %d", path, from)
	}
	if err := notUsed(way.Dir, name); err != nil {
		return err
	}
	dir, err := way.Dir.LookupHere(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	if st, err := dir.Stat(); err != nil || !st.IsDir() {
		return errors.Join(err, fmt.Errorf("%s: is no directory", path))
	}
	if err := dir.GiveTree(from, to, progress); err != nil {
		return err
	}
	return g.GiveTo(to)
}
