package plan

import (
	"fmt"

	"pam_polyinst/internal/core/shellword"
)

// instance judges an existing instance, or plans a new one.
func instance(step *Step, rule Rule, s Subject, f Facts) *Refusal {
	step.Name = f.InstanceName
	step.Source = NewInstance
	d := f.Instance
	path := rule.Parent + "/" + f.InstanceName
	bad := func(format string, args ...any) *Refusal {
		return refuse(FaultUser, rule.Path, "instance %q: %s", path, fmt.Sprintf(format, args...)).blame("instance_prefix")
	}
	if f.Recorded && f.RecordedUID != s.UID && !step.Shared {
		return bad("was made for uid %d, and %q has uid %d now: `polyinst prepare --repair %s --from-uid %d` if that is the same person, else `polyinst prepare --aside %s`",
			f.RecordedUID, s.User, s.UID, shellword.Quote(path), f.RecordedUID, shellword.Quote(path))
	}
	if d.Problem != "" {
		return bad("%s", d.Problem)
	}
	if f.LockProblem != "" {
		return refuse(FaultHost, rule.Path, "instance %q: its lock: %s", path, f.LockProblem).blame("instance_prefix")
	}
	if f.ParentRoom != "" && (f.ParentShut || !d.Exists || f.Unfinished) {
		fault := FaultHost
		if f.ParentScarce {
			fault = FaultAnyone
		}
		return refuse(fault, rule.Path, "instance parent %q: %s", rule.Parent, f.ParentRoom).blame("instance_prefix")
	}
	if !d.Exists || f.Unfinished {
		step.FormerName, step.Tight = f.FormerName, f.ParentTight
		return nil
	}
	switch {
	case step.Fresh:
		return bad("exists already: the name was to be fresh")
	case step.Overlay != nil && d.Owner != step.Owner:
		return bad("%s, want %s, with the changes of an overlay in it: `polyinst prepare --aside %s`", d.Owner, step.Owner, shellword.Quote(path))
	case step.Overlay != nil && f.LayersProblem != "":
		return refuse(FaultUser, rule.Path, "overlay: %s: `polyinst prepare --aside %s`", f.LayersProblem, shellword.Quote(path)).blame("instance_prefix")
	case d.Owner.UID != step.Owner.UID:
		return bad("owned by uid %d, want %d like the polydir: `polyinst prepare --repair %s`", d.Owner.UID, step.Owner.UID, shellword.Quote(path))
	case openToAll(d.Owner):
		return bad("mode %04o: writable by everybody without the sticky bit: `polyinst prepare --repair %s`", d.Owner.Mode, shellword.Quote(path))
	}
	if step.Label != "" && f.InstanceLabel != step.Label {
		switch {
		case step.Module == Smack:
			return bad("labelled %q, want %q: another label is never taken over: `polyinst prepare --repair %s`", f.InstanceLabel, step.Label, shellword.Quote(path))
		case !f.SameLevel:
			return bad("labelled %q, want %q: another level is never taken over: `polyinst prepare --repair %s`", f.InstanceLabel, step.Label, shellword.Quote(path))
		}
		step.Relabel = true
	}
	if step.Overlay != nil {
		step.Overlay.Tight = f.ParentTight
	}
	step.Source = ExistingInstance
	step.Instance = d.ID
	if closed(s, step.Owner, d.Owner) {
		step.Closed = &d.Owner
	}
	return nil
}

// closed reports whether a user can do less in an existing instance than in its
// polydir: it was made elsewhere, or before the polydir got its mode. That is no
// leak, and no reason to refuse. Of which other groups than their own the user is a
// member is not known here: they may be one wherever that makes a difference.
func closed(s Subject, polydir, instance Owner) bool {
	may := func(o Owner) uint32 {
		switch {
		case o.UID == s.UID:
			return o.Mode >> 6
		case o.GID == s.GID:
			return o.Mode >> 3
		}
		return o.Mode
	}
	have := may(instance)
	if stranger := instance.UID != s.UID && instance.GID != s.GID; stranger && instance.GID == polydir.GID {
		return s.UID != 0 && polydir.Mode&^instance.Mode&0o77 != 0
	} else if stranger && instance.GID != 0 {
		have |= instance.Mode >> 3
	}
	return s.UID != 0 && may(polydir)&^have&7 != 0
}
