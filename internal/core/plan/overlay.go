package plan

import (
	"fmt"

	"pam_polyinst/internal/core/config"
)

// Overlay says what lies over the public directory: the directories "upper" and
// "work" of an instance, or of a tmpfs, which is root's and closed to everybody
// else.
type Overlay struct {
	Owner Owner // of "upper", which is what the session sees of the polydir itself
	Keep  bool  // the changes are there in the next session
	// Tight: the kernel may have no room for a directory among the changes that are
	// there. That cannot be told before it is tried.
	Tight bool
}

// layersOwner is owner and mode of the directory in which the layers lie. A user who
// could enter it could change what the kernel takes for its own notes.
var layersOwner = Owner{UID: 0, GID: 0, Mode: 0o700}

// overlay judges what an overlay is made of.
func overlay(step *Step, rule Rule, s Subject, f Facts, m Machine) *Refusal {
	p := rule.Config
	bad := func(format string, args ...any) *Refusal {
		return refuse(brought(f.Polydir, s), rule.Path, "overlay: %s", fmt.Sprintf(format, args...)).blame("method")
	}
	switch d := f.Polydir; {
	case m.Security.Labels():
		// the kernel asks for the rights of the program that mounts it, too
		return refuse(FaultConfig, rule.Path, "overlay: where files have labels (%s) the kernel judges each access by the rights of the login program, too: take another method", m.Security.Module).blame("method")
	case d.VoidOwners, d.Foreign != "":
		return bad("the public directory is %s: the overlay would be taken for what this kernel keeps itself", d.Foreign)
	case f.OverlayProblem != "":
		return bad("%s", f.OverlayProblem)
	case !p.InParent() && !m.KernelAtLeast(6, 15):
		return bad("with its changes in a tmpfs it needs Linux 6.15, this is %s: instance_prefix puts them into a directory", m.Kernel)
	case f.ParentFS != "":
		return bad("instance parent %q: lies on %s: the changes are never on a network filesystem", rule.Parent, f.ParentFS)
	case f.UpperProblem != "":
		return bad("instance parent %q: %s", rule.Parent, f.UpperProblem)
	case f.BaseProblem != "" && !p.DropChanges:
		return bad("the public directory %s: keep_changes = false needs nothing of the kind", f.BaseProblem)
	}
	step.Overlay = &Overlay{Owner: step.Owner, Keep: !p.DropChanges}
	step.Owner = layersOwner
	step.Attributes = p.MountOptions | f.PolydirFlags&^config.ReadOnly // changes go elsewhere
	return nil
}

// overlayText says where an overlay's changes lie.
func (s Step) overlayText() string {
	if s.Overlay == nil {
		return ""
	}
	until := "thrown away after the session"
	if s.Overlay.Keep {
		until = "there in the next session"
	}
	return "itself and the session's changes over it, " + until + ", in "
}
