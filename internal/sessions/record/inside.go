package record

import (
	"errors"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// Landmarks are what a view of ours has in common with the one that it was built
// from: / and /etc are the same directories.
type Landmarks struct{ root, etc dirfd.ID }

// Here are the landmarks of the view that this process is in.
func Here() (Landmarks, error) {
	st, err := dirfd.RootStat()
	if err != nil {
		return Landmarks{}, err
	}
	etc, err := dirfd.Walk("/etc", nil)
	if err != nil {
		return Landmarks{}, err
	}
	defer etc.Close()
	return Landmarks{st.ID, etc.Stat.ID}, nil
}

// VerifyInside looks at the view that this process has just entered, before anything
// of it is used (I-11): its root is the recorded mount, the landmarks are those
// outside, and every polydir is covered by the very mount that was made for it.
// nil: it is what the record says.
func (r Record) VerifyInside(outside Landmarks) error {
	st, err := dirfd.RootStat()
	if err != nil {
		return err
	}
	if !r.IsOf(mntns.Identify(r.NS, st)) { // the number was asked of the descriptor
		return errors.New("it is not the namespace that was recorded")
	}
	inside, err := Here()
	switch {
	case err != nil:
		return err
	case inside.root != outside.root:
		return errors.New("its / is another directory")
	case inside.etc != outside.etc:
		return errors.New("its /etc is another directory")
	case !r.MountsIntact():
		return errors.New("a polydir does not show its instance any more; `polyinst list` shows which")
	}
	return nil
}
