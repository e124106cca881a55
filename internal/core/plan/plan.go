package plan

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
)

// FileID is the identity of a directory: device and inode.
type FileID struct{ Dev, Ino uint64 }

// Source says what a polydir is covered with.
type Source string

// The values of Source.
const (
	ExistingInstance Source = "existing instance"
	NewInstance      Source = "new instance"
	NewTmpfs         Source = "tmpfs"
	NewMqueue        Source = "mqueue" // of the IPC namespace that the session is in
	NewProc          Source = "procfs" // a procfs of the session's own
	Nothing          Source = "nothing"
	Itself           Source = "itself"  // the public directory or file
	Another          Source = "another" // directory or file, which Step.From names
)

// Instance reports whether the source is an instance in a parent.
func (s Source) Instance() bool { return s == ExistingInstance || s == NewInstance }

// Tree reports whether what is mounted below the source is shown as well.
func (s Source) Tree() bool { return s == Itself || s == Another }

// Owner is what a directory is given: who owns it and its permission bits.
type Owner struct {
	UID, GID uint32
	Mode     uint32
}

func (o Owner) String() string { return fmt.Sprintf("%d:%d %04o", o.UID, o.GID, o.Mode) }

// Step is what is done for one polydir.
type Step struct {
	conf string // as Machine.Conf

	Path    string // the polydir
	Polydir FileID // the directory that it is; zero if it is made first
	File    bool   // it is no directory
	Create  *CreatePolydir
	Method  config.Method

	Source     Source
	From       string // what Another is; else empty
	FromID     FileID
	Parent     string // the instance parent; empty where there is none
	MakeParent bool
	Name       string // the instance, in its parent
	Temporary  string // what a NewInstance is called until it is complete
	Instance   FileID // of an ExistingInstance
	Closed     *Owner // what it has, where the user can do less in it than in the polydir; else nil
	Owner      Owner  // of a NewInstance or NewTmpfs
	FormerName string // beside a NewInstance: one of this name was made for the same uid
	Tight      bool   // there may be no room for a NewInstance, which cannot be told before it is tried
	Tmpfs      []FSOption
	Proc       []FSOption
	SeesAll    string // the group whose members see everything in it
	Attributes config.MountFlags
	Module     Module // whose label Label is
	Label      string // of the instance; empty where files have no labels
	Transmute  bool   // Smack: what is made in it gets its label
	Profile    string // AppArmor's, after which the instance is named
	Relabel    bool   // the existing instance has another type: give it Label
	Shared     bool   // it is of several users

	Quota config.Quota // limits of the instance; zero: none

	Overlay *Overlay // what lies over the polydir; nil: an instance covers it
	Fresh   bool     // the instance is this session's alone, and is removed after it

	Keep    []Kept    // entries of the public directory, mounted inside the instance
	LeftOut []LeftOut // those of `keep` that are not
	// Patterns are those of `keep`. An empty directory of root's whose name matches
	// one was a mount point in this existing instance: it goes when what it was
	// for is gone, else each start of a unit would leave one for ever.
	Patterns []string

	Skel      bool   // fill the new instance from /etc/skel, the user's
	SkelLabel string // SELinux: of all that is in it; empty: what the kernel gives it
	Init      *Init
	// InitAlways: the script is also for instances that exist
	InitAlways bool
}

// Init is a run of an administrator's script, after the polydir is covered.
type Init struct {
	Path    string
	Args    []string // as pam_namespace's: polydir, instance, new, user, and whether root alone can change the two paths
	Timeout time.Duration
}

// FSOption is a mount option of tmpfs(5) or proc(5); an empty Value is a flag.
type FSOption struct{ Key, Value string }

// CreatePolydir says how a missing polydir is made.
type CreatePolydir struct {
	Owner  Owner
	AsUser bool // with the user's rights alone: the directory above it is theirs
	Finish bool // it is there, and was never finished
	Label  string
}

// Plan is what a session gets: it prints itself, for `debug`, `polyinst
// explain` and the golden tests alike.
type Plan struct {
	Subject   Subject
	Steps     []Step
	Namespace config.Namespace
}

func (p Plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "user %q (uid %d), service %q: new %s, propagation %s",
		p.Subject.User, p.Subject.UID, p.Subject.Service, newNamespaces(p.Namespace), p.Namespace.Propagation)
	if p.Namespace.Scope == config.ScopeUser {
		b.WriteString(", shared by all sessions of the user")
	}
	b.WriteByte('\n')
	for _, s := range p.Steps {
		b.WriteString(s.String())
	}
	if p.Namespace.IPC {
		fmt.Fprintf(&b, "cover %q with the message queues of the new IPC namespace\n", MqueueDir)
	}
	switch name, _ := p.Namespace.NetnsOf(p.Subject.Vars()); {
	case name != "":
		fmt.Fprintf(&b, "enter the network namespace %q\n", name)
	case p.Namespace.Network:
		b.WriteString("raise the loopback device of the new network namespace\n")
	}
	return b.String()
}

// newNamespaces names what a session gets of its own.
func newNamespaces(n config.Namespace) string {
	names := []string{"mount"}
	for _, k := range []struct {
		on   bool
		name string
	}{{n.IPC, "IPC"}, {n.UTS, "UTS"}, {n.Network && n.Netns == "", "network"}} {
		if k.on {
			names = append(names, k.name)
		}
	}
	if len(names) == 1 {
		return "mount namespace"
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last] + " namespaces"
}

// MqueueDir is where the POSIX message queues of an IPC namespace are mounted
// (mq_overview(7)).
const MqueueDir = "/dev/mqueue"

// MqueueStep covers MqueueDir, where it is the directory, with the queues of
// the session's own IPC namespace.
func MqueueStep(dir FileID) Step {
	return Step{Path: MqueueDir, Polydir: dir, Source: NewMqueue, Attributes: config.NoSuid | config.NoDev | config.NoExec}
}

// Warnings are what somebody should know of a step that is taken all the same.
func (s Step) Warnings(user string) []string {
	var out []string
	if s.FormerName != "" {
		out = append(out, fmt.Sprintf("polydir %q: a new instance is made for %q, beside %q, which was made for the same uid: if the account was renamed, `polyinst prepare --aside %s`, then `polyinst rename %s %s` take the old one along",
			s.Path, user, s.FormerName, shellword.Quote(s.Parent+"/"+s.Name), shellword.Quote(s.FormerName), shellword.Quote(user)))
	}
	if s.Closed != nil {
		out = append(out, fmt.Sprintf("polydir %q: instance %q: owner, group and mode are %s, and the polydir's %s: %q can do less in it than there: `polyinst prepare --repair %s`",
			s.Path, s.Parent+"/"+s.Name, s.Closed, s.Owner, user, shellword.Quote(s.Parent+"/"+s.Name)))
	}
	if s.Overlay != nil && s.Overlay.Tight {
		out = append(out, fmt.Sprintf("polydir %q: instance parent %q: its filesystem is full, or nearly: the kernel makes a directory there for the overlay, and a session is refused if it cannot: `polyinst list --instances` shows who has how much",
			s.Path, s.Parent))
	}
	if s.Tight {
		out = append(out, fmt.Sprintf("polydir %q: instance parent %q: its filesystem is full, or nearly: a new instance is made there, and the session is refused if there is no room for it: `polyinst list --instances` shows who has how much",
			s.Path, s.Parent))
	}
	for i, w := range out {
		out[i] = OfConf(w, s.conf)
	}
	return out
}

func (s Step) String() string {
	var b strings.Builder
	if s.Create != nil {
		fmt.Fprintf(&b, "make polydir %q as %s", s.Path, s.Create.Owner)
		if s.Create.AsUser {
			b.WriteString(", with the user's rights alone")
		}
		b.WriteByte('\n')
	}
	if s.MakeParent {
		fmt.Fprintf(&b, "make instance parent %q as 0:0 0000\n", s.Parent)
	}
	fmt.Fprintf(&b, "cover %q with %s", s.Path, s.what())
	fmt.Fprintf(&b, ", method %s", s.Method)
	if s.Profile != "" {
		fmt.Fprintf(&b, " (AppArmor profile %q)", s.Profile)
	}
	if s.Attributes != 0 {
		fmt.Fprintf(&b, ", %s", s.Attributes)
	}
	if s.Label != "" {
		fmt.Fprintf(&b, ", labelled %s", s.Label)
	}
	if s.Transmute {
		b.WriteString(" (transmuting)")
	}
	if s.Relabel {
		b.WriteString(" (anew)")
	}
	b.WriteByte('\n')
	if s.Closed != nil {
		fmt.Fprintf(&b, "leave its owner, group and mode %s, though the polydir's are %s\n", s.Closed, s.Owner)
	}
	if s.FormerName != "" {
		fmt.Fprintf(&b, "leave the instance %q, which was made for the same uid\n", s.FormerName)
	}
	if s.Overlay != nil && s.Overlay.Tight {
		fmt.Fprintf(&b, "refuse, unless the kernel has room for a directory: the filesystem of instance parent %q is full, or nearly\n", s.Parent)
	}
	if s.Tight {
		fmt.Fprintf(&b, "refuse, unless there is room for it: the filesystem of instance parent %q is full, or nearly\n", s.Parent)
	}
	if s.Quota != (config.Quota{}) {
		b.WriteString(quotaText(s.Quota))
	}
	if s.Skel {
		fmt.Fprintf(&b, "fill it from /etc/skel\n")
	}
	b.WriteString(s.keepText())
	if s.Init != nil {
		fmt.Fprintf(&b, "run %q %q within %s\n", s.Init.Path, s.Init.Args, s.Init.Timeout)
	}
	return b.String()
}

// what says what the polydir is covered with.
func (s Step) what() string {
	switch s.Source {
	case NewProc:
		return "a procfs of the session's own: " + s.procText()
	case Nothing:
		if s.File {
			return "an empty file that only root can read"
		}
		return "an empty directory that only root can enter"
	case Itself:
		return "itself, with other mount options"
	case Another:
		return strconv.Quote(s.From)
	}
	b := s.overlayText() + string(s.Source)
	if s.Source.Instance() {
		b += fmt.Sprintf(" %q", s.Parent+"/"+s.Name)
	}
	if s.Source != ExistingInstance {
		b += fmt.Sprintf(" as %s", s.Owner)
	}
	for _, o := range s.Tmpfs {
		b += " " + o.Key
		if o.Value != "" {
			b += "=" + o.Value
		}
	}
	return b
}

// Shows is in a word or a path what the session sees at the polydir.
func (s Step) Shows() string {
	switch {
	case s.Source.Instance():
		return s.Parent + "/" + s.Name
	case s.Source == Another:
		return s.From
	}
	return string(s.Method)
}

// keepText are the lines of a step about what it keeps.
func (s Step) keepText() string {
	var b strings.Builder
	for _, pattern := range s.Patterns {
		fmt.Fprintf(&b, "take away root's empty directories %q that the public directory no longer has\n", pattern)
	}
	for _, k := range s.Keep {
		fmt.Fprintf(&b, "keep %q of the public directory%s, %s", k.Name, map[bool]string{true: ", the user's own"}[k.Own], s.KeptFlags(k))
		if k.Point == (FileID{}) {
			b.WriteString(", on a new mount point")
		}
		b.WriteByte('\n')
	}
	for _, l := range s.LeftOut {
		fmt.Fprintf(&b, "leave out %q: %s\n", l.Name, l.Why)
	}
	return b.String()
}

// quotaText is the line of a step about its limits.
func quotaText(q config.Quota) string {
	s := "limit it to"
	if q.Bytes > 0 {
		s += fmt.Sprintf(" %d bytes", q.Bytes)
	}
	if q.Bytes > 0 && q.Inodes > 0 {
		s += " and"
	}
	if q.Inodes > 0 {
		s += fmt.Sprintf(" %d inodes", q.Inodes)
	}
	return s + "\n"
}
