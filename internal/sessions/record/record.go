// Package record keeps the root-only notes about the namespaces that we made:
// one small file per namespace below /run/polyinst, named by the namespace's
// id. A record is how we tell ours from others; it is believed only as far as
// the live namespace agrees with it, because ids are reused.
package record

import (
	"encoding/json"
	"maps"
	"slices"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

const (
	runDir    = "/run"
	ownDir    = "polyinst"
	sizeLimit = 1 << 20
	// deadPrefix marks the record of a namespace that has ended, but whose
	// tmpdir instances may still be there.
	deadPrefix = "dead."
	emptyName  = "empty"
	emptyMode  = 0o555
	noDirName  = "nothing"
	noFileName = "nothing.file"
	emptyDirs  = 16 // names that are tried: empty, empty.1 ...
)

// Polydir is what covers one polydir in a recorded namespace.
type Polydir struct {
	Path    string
	Real    string // without symbolic links
	Method  string
	Source  string `json:",omitempty"` // what is shown instead of an instance
	Fresh   bool   `json:",omitempty"` // the instance ends with the session
	Parent  string // of the instance; empty where there is none
	Name    string
	Dev     uint64 // identity of the instance's directory
	Ino     uint64
	MountID uint64
	Keep    []string `json:",omitempty"` // entries of the public directory that are mounted in the instance
}

// Session is a session in a namespace that several share.
type Session struct {
	Service string
	TTY     string
	RHost   string
	Opened  int64
	HostPID int
	Worker  int // what opened it, and is in the namespace until the host is
}

// Record says what we know of a namespace that we made.
type Record struct {
	mntns.Identity
	Host mntns.ID // the host's view: what the outermost session was built from
	Base mntns.ID // what its mounts are a copy of: the host's view, or that of an outer session
	// Private are its other namespaces that are not the host's, and
	// HostPrivate the host's of these kinds.
	Private, HostPrivate mntns.IDs

	User    string
	UID     uint32
	Service string
	TTY     string
	RHost   string
	Opened  int64 // seconds since the epoch
	HostPID int
	Digest  string // of the resolved selection: same digest, same view
	// View is what the user's sessions that share the namespace have in common;
	// empty: the namespace is one session's.
	View     string
	Sessions []Session // those that have joined it; the first one is told above
	Polydirs []Polydir
	Emptied  bool `json:",omitempty"` // close has removed the tmpdirs
	// Watched: the ready workers' service is told when the last process has left the
	// namespace and its copies, and removes the tmpdirs then.
	Watched bool `json:",omitempty"`
	// Worker is what opened it: "ready", or "forked" and why. Empty: an older
	// version has.
	Worker string `json:",omitempty"`
}

// HostIDs are the namespaces of the host's view instead of which there are
// others here.
func (r Record) HostIDs() mntns.IDs {
	ids := mntns.IDs{"mnt": r.Host}
	maps.Copy(ids, r.HostPrivate)
	return ids
}

// IDs are the namespaces that the record speaks of.
func (r Record) IDs() mntns.IDs {
	ids := mntns.IDs{"mnt": r.NS}
	maps.Copy(ids, r.Private)
	return ids
}

// Kinds are the kinds of namespaces that are not the host's here.
func (r Record) Kinds() mntns.Kinds { return mntns.Mount | r.Private.Kinds() }

// IsOf reports whether the record speaks of the live namespace with this identity,
// in which the caller is. Where all that tells it is used again, the polydirs must
// also be what the record says.
func (r Record) IsOf(id mntns.Identity) bool {
	same, sure := r.Same(id)
	return same && (sure || r.ShowsInstances())
}

// ShowsInstances reports whether every polydir shows its instance, by the recorded
// mounts or by those of a copy of the namespace.
func (r Record) ShowsInstances() bool {
	return !slices.ContainsFunc(r.Polydirs, func(p Polydir) bool { return !p.isCovered(r.UID, false) })
}

// isCovered reports whether the polydir is covered by the recorded instance.
func (p Polydir) isCovered(uid uint32, byMount bool) bool {
	way, err := dirfd.WalkAny(uid, p.Path, nil)
	if err != nil {
		return false
	}
	defer way.Close()
	if way.Missing || (way.Stat.ID != dirfd.ID{Dev: p.Dev, Ino: p.Ino}) {
		return false
	}
	// one that was removed is mounted still, and nobody can make anything in it
	return !byMount || way.Stat.MountID == p.MountID && way.Stat.Nlink > 0
}

// Instance is the path of the instance, or of what is shown instead; where
// there is none, the method says it.
func (p Polydir) Instance() string {
	if host := p.OnHost(); host != "" {
		return host
	}
	return p.Method
}

// OnHost is the path in the host's view of what covers the polydir; empty: it has
// none there.
func (p Polydir) OnHost() string {
	if p.Parent == "" {
		return p.Source
	}
	return p.Parent + "/" + p.Name
}

// Paths are the paths of the polydirs, by which a working directory is judged.
func (r Record) Paths() []string {
	var out []string
	for _, p := range r.Polydirs {
		out = append(out, p.Path, p.Real)
	}
	return out
}

// Covers are the polydirs, by each of their paths, with the instances as the
// host's view has them.
func (r Record) Covers() []plan.Covered {
	var out []plan.Covered
	for _, p := range r.Polydirs {
		instance := p.OnHost()
		out = append(out, plan.Covered{Path: p.Path, Instance: instance})
		if p.Real != "" && p.Real != p.Path {
			out = append(out, plan.Covered{Path: p.Real, Instance: instance})
		}
	}
	return out
}

// Tmpdirs are the recorded instances that end with the session.
func (r Record) Tmpdirs() []Polydir {
	var out []Polydir
	for _, p := range r.Polydirs {
		if p.Method == "tmpdir" || p.Fresh {
			out = append(out, p)
		}
	}
	return out
}

// decode reads what stands in a file. What another version has added is passed over.
func decode(raw []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// Exists reports whether the instance is on the disk, or may be.
func (p Polydir) Exists() bool {
	way, err := dirfd.Walk(p.Parent+"/"+p.Name, nil)
	if err != nil {
		return !dirfd.IsNotExist(err)
	}
	defer way.Close()
	return !way.Missing
}

// MountsIntact reports whether every polydir of this process's view is covered as the
// record says, by the very mounts.
func (r Record) MountsIntact() bool {
	return !slices.ContainsFunc(r.Polydirs, func(p Polydir) bool { return !p.isCovered(r.UID, true) })
}
