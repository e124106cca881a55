package promise

import (
	"errors"
	"fmt"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/sessions/record"
)

// Outer are the facts about the session of ours that a record is of, for this one,
// which is opened in it. Its view is looked at only where it could be the very one
// that is wanted.
func (p *Promise) Outer(r record.Record) *plan.Outer {
	a := &plan.Outer{User: r.User, UID: r.UID, Digest: r.Digest}
	a.Intact = p.Digest != "" && r.Digest == p.Digest && r.MountsIntact()
	for _, covered := range r.Polydirs {
		a.Polydirs = append(a.Polydirs, covered.Path)
	}
	return a
}

// OpenHostView opens the view of process 1, if that is what the outermost session
// was built from; else it notes why not. All that this one was given of its
// own returns together.
func OpenHostView(r record.Record, a *plan.Outer) mntns.Set {
	set, err := mntns.SetOfInit(r.HostIDs())
	switch {
	case err == nil:
		return set
	case errors.Is(err, mntns.ErrAnother), dirfd.IsDenied(err):
		a.Apart = err.Error()
	default:
		a.Broken = HostFault(fmt.Errorf("the host's view: %w", err))
	}
	return nil
}
