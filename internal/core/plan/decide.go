package plan

import (
	"fmt"
	"strconv"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/shellword"
)

// cannotRename says why a polydir or parent is not used: somebody else than the
// session's user can rename a directory on the way to it. It is empty if nobody can.
// otherwise says what to do about it, so that no file and no use of the directory
// suffers. movable: the session's user can replace the directory by a link.
func cannotRename(d DirFacts, s Subject, otherwise func(swap Swap, movable bool) string) string {
	for i, swap := range d.Swaps {
		switch {
		case !swap.Others && swap.UID == s.UID:
		case swap.Entry:
			return fmt.Sprintf("uid %d made what stands in its place, in %q, and can rename it (%s): look at it and move it away; better is a directory in which only root can create names", swap.UID, swap.Dir, swap.Reason)
		default:
			return fmt.Sprintf("others can rename it in %q (%s): %s", swap.Dir, swap.Reason, otherwise(swap, i > 0))
		}
	}
	return ""
}

// brought is the fault of what is wrong on a way: what a user can have brought
// about is no reason to admit anybody without an instance. Root gets in none the
// less, as it is root who has to put it right.
func brought(d DirFacts, s Subject) Fault {
	for _, swap := range d.Swaps {
		if swap.UID != 0 && s.UID != 0 {
			return FaultUser
		}
	}
	return FaultHost
}

// Decide derives the step for one rule. Plan and refusal follow from the
// arguments alone. Where something could not be looked at for a reason that a
// user can bring about, that is the refusal's, whatever it says (I-15).
func Decide(rule Rule, s Subject, f Facts, m Machine) (Step, *Refusal) {
	step, r := derive(rule, s, f, m)
	if r != nil && r.Fault != FaultUser && f.Short != FaultConfig {
		r.Fault = f.Short
	}
	if step.conf = m.Conf; r != nil {
		r.Reason = OfConf(r.Reason, m.Conf)
	}
	return step, r
}

// OfConf is a message in which `polyinst prepare` and `rename` go by another main
// file than the default one; conf is empty for that.
func OfConf(message, conf string) string {
	if conf == "" {
		return message
	}
	const begin = "`polyinst "
	for _, command := range []string{begin + "prepare", begin + "rename"} {
		message = strings.ReplaceAll(message, command, command+" --conf "+shellword.Quote(conf))
	}
	return message
}

func derive(rule Rule, s Subject, f Facts, m Machine) (Step, *Refusal) {
	if r := context(rule, f, m); r != nil {
		return Step{}, r
	}
	if f.SameAs != "" {
		return Step{}, refuse(FaultConfig, rule.Path, "is the same directory as polydir %q, by a symbolic link: remove this table, the other one is enough", f.SameAs)
	}
	step := Step{Path: rule.Path, Method: rule.Config.Method, Parent: rule.Parent, Fresh: rule.Config.Fresh()}
	owner, r := polydir(&step, rule, s, f)
	if r != nil {
		return Step{}, r
	}
	step.Owner = owner
	step.Attributes = rule.Config.MountOptions | f.PolydirFlags
	step.Shared = Shared(rule, m)
	switch {
	case !rule.Config.MakesDirectory():
	case m.Security.Labels():
		step.Module, step.Label, step.Transmute = m.Security.Module, f.Label, f.Transmute
	case ByContext(rule, m):
		step.Profile = m.Security.Session
	}
	if rule.Config.Method == config.MethodOverlay {
		if r := overlay(&step, rule, s, f, m); r != nil {
			return Step{}, r
		}
	}
	if r := source(&step, rule, s, f, m); r != nil {
		return Step{}, r
	}
	isNew := step.Source != ExistingInstance
	step.Skel, step.SkelLabel = rule.Config.Skel && isNew, f.SkelLabel
	if step.Skel && f.SkelProblem != "" {
		return Step{}, refuse(FaultHost, rule.Path, "skel: %s", f.SkelProblem).blame("skel")
	}
	if rule.Config.Init != "" && (isNew || rule.Config.InitWhen == config.InitAlways) {
		step.InitAlways = rule.Config.InitWhen == config.InitAlways
		step.Init = initScript(step, rule, s, f, m, isNew)
		if f.InitProblem != "" {
			return Step{}, refuse(FaultHost, rule.Path, "%s", f.InitProblem).blame("init")
		}
	}
	keep(&step, rule, s, f)
	return step, nil
}

func source(step *Step, rule Rule, s Subject, f Facts, m Machine) *Refusal {
	switch {
	case rule.Config.MakesDirectory() && !rule.Config.InParent():
		return tmpfs(step, rule, m)
	case !rule.Config.InParent():
		return shown(step, rule, s, f)
	}
	if r := parent(step, rule, s, f, m); r != nil {
		return r
	}
	if r := quota(step, rule, f); r != nil {
		return r
	}
	step.Temporary = layout.Temporary(f.InstanceName, m.Random)
	return instance(step, rule, s, f)
}

// InitPath is where the init script of a rule is; empty where it has none.
func InitPath(rule Rule, m Machine) string {
	path := rule.Config.Init
	if path != "" && path[0] != '/' {
		path = m.InitDir + "/" + path
	}
	return path
}

func initScript(step Step, rule Rule, s Subject, f Facts, m Machine, isNew bool) *Init {
	flag := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	args := []string{step.Path, step.Shows(), flag(isNew), s.User, flag(f.Polydir.rootsAlone()), flag(f.Parent.rootsAlone())}
	return &Init{Path: InitPath(rule, m), Args: args, Timeout: rule.Config.InitTimeout}
}

// polydir judges the directory to cover and says what its instance looks like.
func polydir(step *Step, rule Rule, s Subject, f Facts) (Owner, *Refusal) {
	d := f.Polydir
	fault := brought(d, s)
	if rule.Config.Create == nil && f.Inside != "" {
		return Owner{}, refuse(FaultConfig, rule.Path, "leads by a symbolic link into polydir %q, whose instance has no such directory: make %s a directory of its own", f.Inside, rule.Path)
	}
	if d.Problem != "" {
		return Owner{}, refuse(fault, rule.Path, "%s", d.Problem)
	}
	if why := cannotRename(d, s, s.shuts); why != "" {
		return Owner{}, refuse(fault, rule.Path, "%s", why)
	}
	if d.Exists && !f.PolydirUnfinished {
		if !rule.Config.MakesDirectory() {
			step.Polydir, step.File = d.ID, f.File
			return Owner{}, nil
		}
		if d.VoidOwners {
			step.Polydir = d.ID
			return Owner{UID: s.UID, GID: s.GID, Mode: d.Owner.Mode & 0o777}, nil
		}
		if openToAll(d.Owner) {
			advice := "chmod +t " + shellword.Quote(rule.Path)
			if !d.rootsAlone() {
				advice = LookAndMove
			}
			return Owner{}, refuse(FaultHost, rule.Path, "mode %04o: root's and writable by everybody without the sticky bit, as its instances would be: %s", d.Owner.Mode, advice)
		}
		step.Polydir = d.ID
		return d.Owner, nil
	}
	if rule.Config.Create != nil && openToAll(f.Create) {
		return Owner{}, refuse(FaultConfig, rule.Path, "create with mode %04o for root: writable by everybody, it needs the sticky bit", f.Create.Mode).blame("create")
	}
	if m := rule.Config.Method; m == config.MethodHidden || m == config.MethodSame || m == config.MethodProc {
		return Owner{}, refuse(fault, rule.Path, "does not exist: make it, or remove this table")
	}
	if rule.Config.Create == nil {
		return Owner{}, refuse(fault, rule.Path, "does not exist: make it, or let create = { mode = ... } make it")
	}
	step.Create = &CreatePolydir{Owner: f.Create, Label: f.CreateLabel, Finish: f.PolydirUnfinished}
	if len(d.Swaps) > 0 {
		// in a directory of the user's own only what they could do themselves
		if f.Create.UID != s.UID {
			return Owner{}, refuse(FaultConfig, rule.Path, "cannot be made for uid %d in %q, which the user can change: create with owner = \"$USER\"", f.Create.UID, d.Swaps[0].Dir).blame("create")
		}
		if f.Create.GID != s.GID {
			return Owner{}, refuse(FaultConfig, rule.Path, "cannot be made with gid %d in %q, which is the user's: leave out create's group there", f.Create.GID, d.Swaps[0].Dir).blame("create")
		}
		step.Create.AsUser = true
	}
	return f.Create, nil
}

// openToAll reports whether everybody can write in a directory of root's, and
// remove what others have there.
func openToAll(o Owner) bool { return o.UID == 0 && o.Mode&0o1002 == 0o0002 }

func tmpfs(step *Step, rule Rule, m Machine) *Refusal {
	step.Source = NewTmpfs
	t := rule.Config.Tmpfs
	if t.HasMode {
		step.Owner.Mode = t.Mode
	}
	add := func(key, value string) { step.Tmpfs = append(step.Tmpfs, FSOption{key, value}) }
	switch {
	case t.SizePct > 0:
		add("size", strconv.FormatUint(uint64(t.SizePct), 10)+"%")
	case t.Size > 0:
		add("size", strconv.FormatUint(t.Size, 10))
	}
	if t.Inodes > 0 {
		add("nr_inodes", strconv.FormatUint(t.Inodes, 10))
	}
	if t.NoSwap {
		if !m.KernelAtLeast(6, 4) {
			return refuse(FaultHost, rule.Path, "tmpfs noswap needs Linux 6.4, this is %s", m.Kernel).blame("tmpfs")
		}
		add("noswap", "")
	}
	return nil
}
