// Package config is the configuration language: TOML bytes become a checked
// Config, or a list of Problems, each with its position. The package is pure: it
// reads no file and asks no system; what a value means for one user is decided
// in package polyinst.
package config

import (
	"errors"
	"slices"
	"time"
)

// Position is a line and column of a configuration file. Line and Col count from 1; Col
// counts characters. A zero Line means the file as a whole.
type Position struct {
	File string
	Line int
	Col  int
}

// Source is one configuration file, already read.
type Source struct {
	Name string // the path that messages show
	Data []byte
}

// Config is a whole configuration: the main file with its drop-ins.
type Config struct {
	Namespace Namespace
	Polydirs  []Polydir // in the order of the files
}

// ByContext reports whether a polydir names its instances after contexts.
func (c *Config) ByContext() bool {
	return slices.ContainsFunc(c.Polydirs, func(p Polydir) bool { return p.ByContext() })
}

// ByContext reports whether the method names instances after contexts.
func (p *Polydir) ByContext() bool { return p.Method == MethodLevel || p.Method == MethodContext }

// Scope says how many sessions share a namespace.
type Scope string

// The values of Scope.
const (
	ScopeSession Scope = "session" // a namespace per session
	ScopeUser    Scope = "user"    // all of a user's sessions share one
)

// Propagation says which of the host's later mounts reach the session; see
// mount_namespaces(7).
type Propagation string

// The values of Propagation.
const (
	PropagationSlave   Propagation = "slave"   // the host's mounts and unmounts arrive
	PropagationPrivate Propagation = "private" // they do not
	// the host's arrive, and what is mounted in the session reaches the namespaces
	// that are made in it
	PropagationBelow Propagation = "slave+shared"
)

// Nested says what a session opened inside one of our namespaces is built from.
type Nested string

// The values of Nested.
const (
	NestedReplace Nested = "replace" // the host's view; an exempt target gets that view itself
	NestedKeep    Nested = "keep"    // the view that the caller is in
	NestedEscape  Nested = "escape"  // always the host's view, nothing is built
)

// Namespace is the [namespace] table.
type Namespace struct {
	Scope       Scope
	Propagation Propagation
	IPC         bool     // a private IPC namespace
	UTS         bool     // a private UTS namespace
	Network     bool     // another network namespace: a private one, loopback only, or
	Netns       Template // the one of this name that ip-netns(8) knows; empty: a private one
	Nested      Nested
	NestedBy    map[string]Nested // by PAM service, where the file says another word for it; nil: for none
	Rescue      UserList          // admitted to the host's view when the configuration or the host is at fault
	Timeout     time.Duration     // of one whole open or close
	NoPolydirs  bool              // polydirs = "none": that there is no polydir is meant

	// Set holds the position of each key that the file sets, so that a key
	// which a build cannot honour is refused where it stands.
	Set map[string]Position
}

// NestedOf is the word that holds for a session of a PAM service: that of the PAM
// line, else the service's own in the file, else the file's for all.
func (n Namespace) NestedOf(service string, line Args) Nested {
	if line.Nested != nil {
		return *line.Nested
	}
	if word, ok := n.NestedBy[service]; ok {
		return word
	}
	return n.Nested
}

// NetnsOf is the name of the network namespace that a user's sessions join; empty:
// none is named.
func (n Namespace) NetnsOf(v Vars) (string, error) {
	if n.Netns == "" {
		return "", nil
	}
	name, err := n.Netns.Expand(v)
	if err == nil {
		if f := plainName(name); f != nil {
			err = errors.New(f.String())
		}
	}
	return name, err
}

// UserKind says what a User names.
type UserKind int

// The values of UserKind.
const (
	UserName    UserKind = iota // one account, by its canonical name
	GroupName                   // "@group"
	UIDRange                    // "uid:MIN-MAX" or "uid:N"
	NamePattern                 // a name in which each "*" stands for any characters
)

// User is one entry of a list of users.
type User struct {
	Kind UserKind
	Name string // without the "@", with the "*"; empty for a UIDRange
	Min  uint32 // of a UIDRange, inclusive
	Max  uint32
	Pos  Position
}

// UserList is a list of users, groups and ranges.
type UserList []User

// MountFlags are the mount attributes that a configuration can name.
type MountFlags uint

// The values of MountFlags; see mount_setattr(2).
const (
	NoSuid MountFlags = 1 << iota
	NoDev
	NoExec
	NoSymFollow
	ReadOnly
)

// Create says how a missing polydir is made.
type Create struct {
	Mode  uint32   // permission bits with set-id and sticky
	Owner Template // a user name; "$USER" by default
	Group Template // a group name; empty: the owner's primary group
	Pos   Position
}

// Tmpfs is the tmpfs key: the mount options of tmpfs(5), typed.
type Tmpfs struct {
	Size    uint64 // bytes; 0: the kernel's default
	SizePct uint32 // percent of RAM where the size was written so; 0: not used
	Inodes  uint64 // 0: the kernel's default
	Mode    uint32 // used when HasMode
	HasMode bool   // otherwise the polydir's own mode
	NoSwap  bool   // Linux 6.4
	Set     bool   // the key is there
}

// InstanceName says what the user's part of an instance's name is.
type InstanceName string

// The values of InstanceName.
const (
	ByUser InstanceName = "$USER"
	ByUID  InstanceName = "$UID"
)

// InitWhen says when the init script runs.
type InitWhen string

// The values of InitWhen.
const (
	InitNew    InitWhen = "new"
	InitAlways InitWhen = "always"
)

// WithoutContext says what level and context do where no security module gives
// a context.
type WithoutContext string

// The values of WithoutContext.
const (
	WithoutContextRefuse WithoutContext = "refuse"
	WithoutContextUser   WithoutContext = "user"
)

// Quota is the quota key: limits of a project quota; 0 is no limit.
type Quota struct {
	Bytes  uint64
	Inodes uint64
}

// Polydir is one [[polydir]] table with its defaults filled in.
type Polydir struct {
	Pos    Position            // of the table's header
	KeyPos map[string]Position // of each key that the file sets

	Path   Template // absolute
	Prefix Template // instance_prefix: absolute; empty where the method has no instance parent
	Method Method

	Except   UserList // at most one of Except and Only is set
	Only     UserList
	Services []string // empty: all

	MountOptions MountFlags // NoSuid|NoDev unless the file says otherwise
	Keep         []string

	Source Template // of method "bind": absolute
	Proc   Proc

	DropChanges bool // keep_changes = false: an overlay's are gone after the session

	Tmpfs  Tmpfs
	Create *Create // nil: a missing polydir is refused
	Skel   bool
	Quota  Quota

	Shared         bool
	WithoutContext WithoutContext
	InstanceName   InstanceName
	HashNames      bool

	Init        string // empty: none
	InitWhen    InitWhen
	InitTimeout time.Duration

	ParentInUnsafeDir bool
	AllowNetworkFS    bool
	ParentMode        uint32 // required mode of the instance parent
	ParentModeAny     bool   // parent_mode = "any"
}

// Template is a string in which $HOME, $USER, $UID and $$ stand for values of
// the session's user.
type Template string

// Vars are the values that a Template's variables stand for.
type Vars struct {
	Home string
	User string
	UID  string
}
