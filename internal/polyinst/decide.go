package polyinst

import (
	"fmt"
	"strconv"

	"pam_polyinst/internal/config"
)

// DirFacts are what was seen of one directory.
type DirFacts struct {
	Exists  bool
	ID      FileID
	Owner   Owner
	Problem string // why it could not be reached, or is no directory; the other facts are then void

	// Exposed names the first directory on the way in which others than root
	// can create names; empty if there is none.
	Exposed string
	Swaps   []Swap
}

// Swap is a directory on the way whose entries somebody but root can rename or
// replace.
type Swap struct {
	Dir    string
	Reason string
	UID    uint32
	Others bool // group or others can, not its owner alone
}

// Facts are what was observed for one rule.
type Facts struct {
	Polydir      DirFacts
	PolydirFlags config.MountFlags // of the mount that the polydir lies on
	// PolydirUnfinished: `create` began to make it, and was cut short
	PolydirUnfinished bool
	Create            Owner // resolved from `create`, where the rule has it
	Parent            DirFacts
	ParentFS          string // name of the network filesystem that the parent lies on; empty: a local one
	Instance          DirFacts
	InstanceName      string // the one of the rule's names under which Instance exists, else its own
	Recorded          bool   // there is a record of the instance's user
	RecordedUID       uint32
	Unfinished        bool // the instance was begun, and never finished: it is made anew

	// Where a security module gives files labels:
	Label         string // what the instance is to be labelled: the session's context, as far as it names the instance, or the polydir's own label
	LabelProblem  string // why that cannot be told
	Transmute     bool   // Smack: the polydir gives what is made in it its own label, and so is the instance to
	CreateLabel   string // of a polydir that is made; empty: what the kernel gives it
	InstanceLabel string // of the existing Instance, as the kernel spells it
	SameLevel     bool   // SELinux: Label and InstanceLabel have the same range

	QuotaProblem string // why what is in the parent cannot be limited; empty: it can

	Keep []KeepFacts // one per name of the rule's `keep`
}

// Decide derives the step for one rule. Plan and refusal follow from the
// arguments alone.
func Decide(rule Rule, s Subject, f Facts, m Machine) (Step, *Refusal) {
	if r := context(rule, f, m); r != nil {
		return Step{}, r
	}
	step := Step{Path: rule.Path, Method: rule.Config.Method, Parent: rule.Parent}
	owner, r := polydir(&step, rule, s, f)
	if r != nil {
		return Step{}, r
	}
	step.Owner = owner
	step.Attributes = rule.Config.MountOptions | f.PolydirFlags
	step.Shared = Shared(rule, m)
	switch {
	case m.Security.Labels():
		step.Module, step.Label, step.Transmute = m.Security.Module, f.Label, f.Transmute
	case ByContext(rule, m):
		step.Profile = m.Security.Session
	}
	if r := source(&step, rule, s, f, m); r != nil {
		return Step{}, r
	}
	isNew := step.Source != ExistingInstance
	step.Skel = rule.Config.Skel && isNew
	if rule.Config.Init != "" && (isNew || rule.Config.InitWhen == config.InitAlways) {
		step.InitAlways = rule.Config.InitWhen == config.InitAlways
		step.Init = initScript(step, rule, s, f, m, isNew)
	}
	keep(&step, s, f)
	return step, nil
}

func source(step *Step, rule Rule, s Subject, f Facts, m Machine) *Refusal {
	if rule.Config.Method == config.MethodTmpfs {
		return tmpfs(step, rule, m)
	}
	if r := parent(step, rule, s, f, m); r != nil {
		return r
	}
	if r := quota(step, rule, f); r != nil {
		return r
	}
	return instance(step, rule, s, f)
}

func initScript(step Step, rule Rule, s Subject, f Facts, m Machine, isNew bool) *Init {
	path := rule.Config.Init
	if path[0] != '/' {
		path = m.InitDir + "/" + path
	}
	instance := "tmpfs"
	if step.Source != NewTmpfs {
		instance = step.Parent + "/" + step.Name
	}
	flag := func(b bool) string {
		if b {
			return "1"
		}
		return "0"
	}
	args := []string{step.Path, instance, flag(isNew), s.User, flag(len(f.Polydir.Swaps) == 0), flag(len(f.Parent.Swaps) == 0)}
	return &Init{Path: path, Args: args, Timeout: rule.Config.InitTimeout}
}

// polydir judges the directory to cover and says what its instance looks like.
func polydir(step *Step, rule Rule, s Subject, f Facts) (Owner, *Refusal) {
	d := f.Polydir
	fault := FaultHost
	for _, swap := range d.Swaps {
		if swap.UID == s.UID {
			fault = FaultUser // what is wrong there he may have done himself
		}
	}
	if d.Problem != "" {
		return Owner{}, refuse(fault, rule.Path, "%s", d.Problem)
	}
	for _, swap := range d.Swaps {
		if swap.Others || swap.UID != s.UID {
			return Owner{}, refuse(FaultHost, rule.Path, "others can rename it in %q (%s): make that directory root's, or give it the sticky bit", swap.Dir, swap.Reason)
		}
	}
	if d.Exists && !f.PolydirUnfinished {
		if openToAll(d.Owner) {
			return Owner{}, refuse(FaultHost, rule.Path, "mode %04o: root's and writable by everybody without the sticky bit, as its instances would be: chmod +t %s", d.Owner.Mode, rule.Path)
		}
		step.Polydir = d.ID
		return d.Owner, nil
	}
	if rule.Config.Create != nil && openToAll(f.Create) {
		return Owner{}, refuse(FaultConfig, rule.Path, "create with mode %04o for root: writable by everybody, it needs the sticky bit", f.Create.Mode)
	}
	if rule.Config.Create == nil {
		return Owner{}, refuse(fault, rule.Path, "does not exist: make it, or let create = { mode = ... } make it")
	}
	step.Create = &CreatePolydir{Owner: f.Create, Label: f.CreateLabel, Finish: f.PolydirUnfinished}
	if len(d.Swaps) > 0 {
		// in a directory of the user's own only what he could do himself
		if f.Create.UID != s.UID {
			return Owner{}, refuse(FaultConfig, rule.Path, "cannot be made for uid %d in %q, which the user can change: create with owner = \"$USER\"", f.Create.UID, d.Swaps[0].Dir)
		}
		if f.Create.GID != s.GID {
			return Owner{}, refuse(FaultConfig, rule.Path, "cannot be made with gid %d in %q, which is the user's: leave out create's group there", f.Create.GID, d.Swaps[0].Dir)
		}
		step.Create.AsUser = true
	}
	return f.Create, nil
}

// openToAll tells whether everybody can write in a directory of root's, and
// remove what others have there.
func openToAll(o Owner) bool { return o.UID == 0 && o.Mode&0o1002 == 0o0002 }

func tmpfs(step *Step, rule Rule, m Machine) *Refusal {
	step.Source = NewTmpfs
	t := rule.Config.Tmpfs
	if t.HasMode {
		step.Owner.Mode = t.Mode
	}
	add := func(key, value string) { step.Tmpfs = append(step.Tmpfs, TmpfsOption{key, value}) }
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
			return refuse(FaultHost, rule.Path, "tmpfs noswap needs Linux 6.4, this is %s", m.Kernel)
		}
		add("noswap", "")
	}
	return nil
}

// parent judges the instance parent: root's, with the mode that is demanded,
// where nobody else can put something in its place.
func parent(step *Step, rule Rule, s Subject, f Facts, m Machine) *Refusal {
	d := f.Parent
	bad := func(format string, args ...any) *Refusal {
		return refuse(FaultHost, rule.Path, "instance parent %q: %s", rule.Parent, fmt.Sprintf(format, args...))
	}
	for _, swap := range d.Swaps {
		if swap.Others || swap.UID != s.UID {
			return bad("others can rename it in %q (%s): use a place below /var/lib/polyinst", swap.Dir, swap.Reason)
		}
	}
	switch {
	case d.Problem != "":
		return bad("%s", d.Problem)
	case d.Exposed != "" && !rule.Config.ParentInUnsafeDir:
		return refuse(FaultConfig, rule.Path, "instance parent %q: users can create names in %q: use a place below /var/lib/polyinst, or parent_in_unsafe_dir = true", rule.Parent, d.Exposed)
	case f.ParentFS != "" && !rule.Config.AllowNetworkFS:
		return bad("lies on %s: instances on a network filesystem need allow_network_fs = true", f.ParentFS)
	case !d.Exists:
		if !ownHome(d, s) && d.Exposed != "" {
			return bad("does not exist, and stands in %q, where users can create names: make it by hand, root's with mode %04o", d.Exposed, rule.Config.ParentMode)
		}
		if !ownHome(d, s) {
			return bad("does not exist: `polyinst prepare` makes it")
		}
		if rule.Config.ParentMode != 0 && !rule.Config.ParentModeAny && !m.ParentModeAny {
			return bad("does not exist, and is made here with mode 0000 only: make it by hand, root's with mode %04o", rule.Config.ParentMode)
		}
		step.MakeParent = true
		return nil
	case d.Owner.UID != 0:
		return bad("owned by uid %d, want root: chown root:root %s", d.Owner.UID, rule.Parent)
	case m.ParentModeAny || rule.Config.ParentModeAny:
		if d.Owner.Mode&0o022 != 0 {
			return bad("mode %04o: group or others can write it, which parent_mode = \"any\" does not allow either", d.Owner.Mode)
		}
	case d.Owner.Mode != rule.Config.ParentMode:
		return bad("mode %04o, want %04o: chmod %04o %s", d.Owner.Mode, rule.Config.ParentMode, rule.Config.ParentMode, rule.Parent)
	}
	return nil
}

// ownHome tells whether a missing parent would stand directly in a directory
// that belongs to the user alone: there open_session makes it.
func ownHome(d DirFacts, s Subject) bool {
	if len(d.Swaps) == 0 {
		return false
	}
	for _, swap := range d.Swaps {
		if swap.UID != s.UID || swap.Others {
			return false
		}
	}
	return true
}

// instance judges an existing instance, or plans a new one.
func instance(step *Step, rule Rule, s Subject, f Facts) *Refusal {
	step.Name = f.InstanceName
	step.Source = NewInstance
	d := f.Instance
	path := rule.Parent + "/" + f.InstanceName
	bad := func(format string, args ...any) *Refusal {
		return refuse(FaultUser, rule.Path, "instance %q: %s", path, fmt.Sprintf(format, args...))
	}
	if f.Recorded && f.RecordedUID != s.UID && !step.Shared {
		return bad("was made for uid %d, and %q has uid %d now: `polyinst gc --orphans` removes it where that account is gone", f.RecordedUID, s.User, s.UID)
	}
	if d.Problem != "" {
		return bad("%s", d.Problem)
	}
	if !d.Exists || f.Unfinished {
		return nil
	}
	switch {
	case rule.Config.Method == config.MethodTmpdir:
		return bad("exists already: the name was to be fresh")
	case d.Owner.UID != step.Owner.UID:
		return bad("owned by uid %d, want %d like the polydir: `polyinst prepare --repair %s`", d.Owner.UID, step.Owner.UID, path)
	case openToAll(d.Owner):
		return bad("mode %04o: writable by everybody without the sticky bit: `polyinst prepare --repair %s`", d.Owner.Mode, path)
	}
	if step.Label != "" && f.InstanceLabel != step.Label {
		switch {
		case step.Module == Smack:
			return bad("labelled %q, want %q: another label is never taken over: `polyinst prepare --repair %s`", f.InstanceLabel, step.Label, path)
		case !f.SameLevel:
			return bad("labelled %q, want %q: another level is never taken over: `polyinst prepare --repair %s`", f.InstanceLabel, step.Label, path)
		}
		step.Relabel = true
	}
	step.Source = ExistingInstance
	step.Instance = d.ID
	return nil
}
