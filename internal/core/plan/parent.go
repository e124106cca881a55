package plan

import (
	"fmt"
	"strings"
)

// parent judges the instance parent: root's, with the mode that is demanded,
// where nobody else can put something in its place.
func parent(step *Step, rule Rule, s Subject, f Facts, m Machine) *Refusal {
	d := f.Parent
	bad := func(format string, args ...any) *Refusal {
		return refuse(brought(d, s), rule.Path, "instance parent %q: %s", rule.Parent, fmt.Sprintf(format, args...)).blame("instance_prefix")
	}
	if why := cannotRename(d, s, func(swap Swap, _ bool) string { return BetterParent(swap.Dir) }); why != "" {
		return bad("%s", why)
	}
	switch {
	case d.Problem != "":
		return bad("%s", d.Problem)
	case d.Foreign != "" && d.Exposed != "":
		// whoever can make names there, or mounted it, may show anything as root's
		return bad("the way to it is %s, and users can create names in %q: %s", d.Foreign, d.Exposed, BetterParent(d.Exposed))
	case d.Exposed != "" && !rule.Config.ParentInUnsafeDir:
		return refuse(FaultConfig, rule.Path, "instance parent %q: users can create names in %q: %s, or parent_in_unsafe_dir = true", rule.Parent, d.Exposed, BetterParent(d.Exposed)).blame("instance_prefix")
	case f.ParentFS != "" && !rule.Config.AllowNetworkFS:
		return bad("lies on %s: instances on a network filesystem need allow_network_fs = true", f.ParentFS)
	case d.Foreign != "" && !rule.Config.AllowNetworkFS:
		return bad("the way to it is %s: that needs allow_network_fs = true", d.Foreign)
	case !d.Exists:
		if !ownHome(d, rule.Parent, s) && d.Exposed != "" {
			return bad("does not exist, and stands in %q, where users can create names: make it by hand, root's with mode %04o", d.Exposed, rule.Config.ParentMode)
		}
		if !ownHome(d, rule.Parent, s) {
			r := bad("does not exist: `polyinst prepare` makes it")
			r.Prepare = true
			return r
		}
		if rule.Config.ParentMode != 0 && !rule.Config.ParentModeAny && !m.ParentModeAny {
			return bad("does not exist, and is made here with mode 0000 only: make it by hand, root's with mode %04o", rule.Config.ParentMode)
		}
		step.MakeParent = true
		return nil
	case d.Owner.UID != 0:
		return bad("owned by uid %d, want root: %s", d.Owner.UID, ParentRepair(rule.Config, rule.Parent, s.Home, !d.rootsAlone(), f.ParentInstance, "chown root:root"))
	case m.ParentModeAny || rule.Config.ParentModeAny:
		if d.Owner.Mode&0o022 != 0 {
			return bad("mode %04o: group or others can write it, which parent_mode = \"any\" does not allow either", d.Owner.Mode)
		}
	case d.Owner.Mode != rule.Config.ParentMode:
		return bad("mode %04o, want %04o: %s", d.Owner.Mode, rule.Config.ParentMode, ParentRepair(rule.Config, rule.Parent, s.Home, !d.rootsAlone(), f.ParentInstance, fmt.Sprintf("chmod %04o", rule.Config.ParentMode)))
	}
	return nil
}

// ownHome reports whether a missing parent would stand directly in a directory
// that belongs to the user alone: there open_session makes it. What is root's says
// nothing: of root's own home its path does.
func ownHome(d DirFacts, parent string, s Subject) bool {
	if len(d.Swaps) == 0 {
		return s.UID == 0 && d.Exposed == "" && s.Home != "" && parent[:strings.LastIndexByte(parent, '/')] == s.Home
	}
	for _, swap := range d.Swaps {
		if swap.UID != s.UID || swap.Others {
			return false
		}
	}
	return true
}
