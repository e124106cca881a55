package polyinst

import (
	"fmt"
	"strings"
	"time"

	"pam_polyinst/internal/config"
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
)

// Owner is what a directory is given: who owns it and its permission bits.
type Owner struct {
	UID, GID uint32
	Mode     uint32
}

func (o Owner) String() string { return fmt.Sprintf("%d:%d %04o", o.UID, o.GID, o.Mode) }

// Step is what is done for one polydir.
type Step struct {
	Path    string // the polydir
	Polydir FileID // the directory that it is; zero if it is made first
	Create  *CreatePolydir
	Method  config.Method

	Source     Source
	Parent     string // the instance parent; empty for tmpfs
	MakeParent bool
	Name       string // the instance, in its parent
	Instance   FileID // of an ExistingInstance
	Owner      Owner  // of a NewInstance or NewTmpfs
	Tmpfs      []TmpfsOption
	Attributes config.MountFlags
	Module     Module // whose label Label is
	Label      string // of the instance; empty where files have no labels
	Transmute  bool   // Smack: what is made in it gets its label
	Profile    string // AppArmor's, after which the instance is named
	Relabel    bool   // the existing instance has another type: give it Label
	Shared     bool   // it is of several users

	Quota config.Quota // limits of the instance; zero: none

	Keep    []Kept    // entries of the public directory, mounted inside the instance
	LeftOut []LeftOut // those of `keep` that are not

	Skel bool // fill the new instance from /etc/skel, the user's
	Init *Init
	// InitAlways: the script is also for instances that exist
	InitAlways bool
}

// Init is a run of an administrator's script, after the polydir is covered.
type Init struct {
	Path    string
	Args    []string // as the peer's: polydir, instance, new, user, and whether root alone can change the two paths
	Timeout time.Duration
}

// TmpfsOption is a mount option of tmpfs(5); an empty Value is a flag.
type TmpfsOption struct{ Key, Value string }

// CreatePolydir says how a missing polydir is made.
type CreatePolydir struct {
	Owner  Owner
	AsUser bool // with the user's rights alone: the directory around it is his
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
	if p.Namespace.Network {
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
	}{{n.IPC, "IPC"}, {n.UTS, "UTS"}, {n.Network, "network"}} {
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

func (s Step) String() string {
	var b strings.Builder
	if s.Create != nil {
		fmt.Fprintf(&b, "make polydir %q as %s\n", s.Path, s.Create.Owner)
	}
	if s.MakeParent {
		fmt.Fprintf(&b, "make instance parent %q as 0:0 0000\n", s.Parent)
	}
	fmt.Fprintf(&b, "cover %q with %s", s.Path, s.Source)
	if s.Source != NewTmpfs {
		fmt.Fprintf(&b, " %q", s.Parent+"/"+s.Name)
	}
	if s.Source != ExistingInstance {
		fmt.Fprintf(&b, " as %s", s.Owner)
	}
	for _, o := range s.Tmpfs {
		fmt.Fprintf(&b, " %s", o.Key)
		if o.Value != "" {
			fmt.Fprintf(&b, "=%s", o.Value)
		}
	}
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

// keepText are the lines of a step about what it keeps.
func (s Step) keepText() string {
	var b strings.Builder
	for _, k := range s.Keep {
		fmt.Fprintf(&b, "keep %q of the public directory, %s", k.Name, s.KeptFlags())
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
