package plan

import (
	"pam_polyinst/internal/core/config"
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
	// Foreign says why a filesystem on the way is not believed in what it says of
	// owners; empty if all are. What it says can take rights away, and gives none.
	Foreign string
	// VoidOwners: it lies on a filesystem of a user's own, and its Owner is whatever
	// that user wants it to be.
	VoidOwners bool
}

// Swap is a directory on the way whose entries somebody but root can rename or
// replace.
type Swap struct {
	Dir    string
	Reason string
	UID    uint32
	Others bool // group or others can, not its owner alone
	Entry  bool // it is the entry that is theirs, in a directory that is sticky
}

// rootsAlone reports whether only root can rename what is on the way.
func (d DirFacts) rootsAlone() bool { return len(d.Swaps) == 0 && d.Foreign == "" }

// Facts are what was observed for one rule.
type Facts struct {
	Polydir      DirFacts
	PolydirFlags config.MountFlags // of the mount that the polydir lies on
	// PolydirUnfinished: `create` began to make it, and was cut short
	PolydirUnfinished bool
	Create            Owner // resolved from `create`, where the rule has it
	// SameAs is the polydir of an earlier rule on which this one would be mounted
	// as well; Inside the one in whose instance this one's path ends, though it
	// does not begin there.
	SameAs, Inside string
	File           bool     // the polydir is no directory
	Source         DirFacts // what method "bind" is to show
	SourceFile     bool     // it is no directory
	ProcGroup      uint32   // the group that the rule's proc.gid names
	Parent         DirFacts
	ParentInstance bool   // it is itself an instance, in another parent; looked at only where it is not as it must be
	ParentFS       string // type of the filesystem that the parent lies on, where the kernel does not keep its owners itself; else empty
	Instance       DirFacts
	InstanceName   string // the one of the rule's names under which Instance exists, else its own
	Recorded       bool   // there is a record of the instance's user
	RecordedUID    uint32
	Unfinished     bool // the instance was begun, and never finished: it is made anew
	// FormerName is the name of an instance that was made for the subject's uid,
	// where they have none by their own; empty: none was seen
	FormerName string

	// Where a security module gives files labels:
	Label         string // what the instance is to be labelled: the session's context, as far as it names the instance, or the polydir's own label
	LabelProblem  string // why that cannot be told
	Transmute     bool   // Smack: the polydir gives what is made in it its own label, and so is the instance to
	CreateLabel   string // of a polydir that is made; empty: what the kernel gives it
	InstanceLabel string // of the existing Instance, as the kernel spells it
	SameLevel     bool   // SELinux: Label and InstanceLabel have the same range

	ParentRoom   string // why nothing can be made in the parent; empty: it can
	ParentShut   bool   // nothing in it can be changed either
	ParentScarce bool   // it is for want of what all users share
	ParentTight  bool   // there may be no room for something small
	LockProblem  string // what is wrong with the locks of the parent, or with the instance's
	SkelProblem  string // why /etc/skel cannot be copied
	SkelLabel    string // SELinux: of what is copied; empty: what the kernel gives it
	InitProblem  string // why the init script cannot be run
	// OverlayProblem says why there can be no overlay, UpperProblem why its changes
	// cannot lie in the parent, and BaseProblem why none that are kept can lie over
	// the polydir; empty: they can
	OverlayProblem, UpperProblem, BaseProblem string
	// LayersProblem: the existing instance has not got what an overlay's changes lie in
	LayersProblem string
	QuotaProblem  string // why what is in the parent cannot be limited; empty: it can

	Keep []KeepFacts // one per name of the rule's `keep`

	// Short says whose doing it is that something could not be looked at:
	// FaultUser for a limit of the process, FaultAnyone for want of what all users
	// share; FaultConfig: all could
	Short Fault
}
