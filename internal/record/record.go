// Package record keeps the root-only notes about the namespaces that we made:
// one small file per namespace below /run/polyinst, named by the namespace's
// id. A record is how we tell ours from others; it is believed only as far as
// the live namespace agrees with it, because ids are reused.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mntns"
)

const (
	runDir    = "/run"
	ownDir    = "polyinst"
	sizeLimit = 1 << 20
	// deadPrefix marks the record of a namespace that has ended, but whose
	// tmpdir instances may still be there.
	deadPrefix = "dead."
)

// Polydir is what covers one polydir in a recorded namespace.
type Polydir struct {
	Path    string
	Real    string // without symbolic links
	Method  string
	Parent  string // of the instance; empty for tmpfs
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
	NS     mntns.ID
	Root   uint64   // mount id of its root
	Unique bool     // Root is never used again, so that it tells reused NS apart
	Host   mntns.ID // the host's view: what the outermost session was built from
	Base   mntns.ID // what its mounts are a copy of: the host's view, or that of an outer session
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
}

// HostIDs are the namespaces of the host's view in place of which there are
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

// Is tells whether the record speaks of the live namespace with this id and
// this mount at its root, in which the caller is. Where mount ids are used
// again, the polydirs must also be what the record says.
func (r Record) Is(id mntns.ID, root dirfd.Stat) bool {
	if r.NS != id || r.Root != root.MountID || r.Unique != root.MountUnique {
		return false
	}
	if r.Unique {
		return true
	}
	return r.Looks()
}

// Looks tells whether every polydir shows its instance, be it by other mounts:
// those of a copy of the namespace.
func (r Record) Looks() bool {
	return !slices.ContainsFunc(r.Polydirs, func(p Polydir) bool { return !p.stands(false) })
}

// stands tells whether the polydir is covered by the recorded instance.
func (p Polydir) stands(byMount bool) bool {
	way, err := dirfd.Walk(p.Path, nil)
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

// Instance is the path of the instance, "tmpfs" where it has none.
func (p Polydir) Instance() string {
	if p.Parent == "" {
		return "tmpfs"
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

// Tmpdirs are the recorded instances that end with the session.
func (r Record) Tmpdirs() []Polydir {
	var out []Polydir
	for _, p := range r.Polydirs {
		if p.Method == "tmpdir" {
			out = append(out, p)
		}
	}
	return out
}

// Store is the open directory of the records.
type Store struct{ dir dirfd.Dir }

// IsOpen tells whether there is a directory; the zero Store has none.
func (s Store) IsOpen() bool { return s.dir.IsOpen() }

// Close releases the directory.
func (s *Store) Close() { s.dir.Close() }

// Open opens the directory of the records, as seen from this process's root,
// and makes it where it is missing.
func Open() (Store, error) {
	way, err := around()
	if err != nil {
		return Store{}, err
	}
	defer way.Close()
	if err := way.Dir.Mkdir(ownDir, 0o700); err != nil && !dirfd.IsExist(err) {
		return Store{}, err
	}
	return open(way)
}

// Possible tells why there can be no records: what Open would say, but nothing
// is made.
func Possible() error {
	way, err := around()
	if err != nil {
		return err
	}
	defer way.Close()
	store, err := open(way)
	store.Close()
	if dirfd.IsNotExist(err) {
		return nil
	}
	return err
}

// around opens the directory that has that of the records.
func around() (dirfd.Way, error) {
	way, err := dirfd.Walk(runDir, nil)
	if err == nil && way.Missing {
		err = fmt.Errorf("%s does not exist: it is needed to record the sessions' namespaces", runDir)
	}
	if err == nil {
		err = dirfd.Trusted(way, way.Stat)
	}
	if err != nil {
		way.Close()
	}
	return way, err
}

func open(way dirfd.Way) (Store, error) {
	dir, err := way.Dir.Lookup(ownDir)
	if err != nil {
		return Store{}, err
	}
	st, err := dir.Stat()
	if err == nil && !st.IsDir() {
		err = fmt.Errorf("%s is a %s, not a directory", dir.Path(), st.TypeName())
	}
	if err == nil {
		err = dirfd.TrustedFile(dir.Path(), st)
	}
	if err != nil {
		dir.Close()
		return Store{}, err
	}
	return Store{dir}, nil
}

func fileName(ns mntns.ID) string { return "mnt." + strconv.FormatUint(uint64(ns), 10) }

// Read is the record of the namespace with this id; nil if there is none.
// Whether it speaks of the live one, Is tells.
func (s Store) Read(ns mntns.ID) (*Record, error) { return s.read(fileName(ns)) }

func (s Store) read(name string) (*Record, error) {
	raw, err := s.contentOf(s.dir, name)
	if err != nil || raw == nil {
		return nil, err
	}
	var r Record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("%s/%s: %w", s.dir.Path(), name, err)
	}
	return &r, nil
}

// contentOf is the content of a file of root's; nil if there is none.
func (Store) contentOf(dir dirfd.Dir, name string) ([]byte, error) {
	f, err := dir.OpenFile(name)
	if dirfd.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if err := dirfd.TrustedFile(dir.Path()+"/"+name, st); err != nil {
		return nil, err
	}
	return f.ReadAll(sizeLimit)
}

// Update replaces the record of a namespace that lives on.
func (s Store) Update(r Record) error {
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.dir.WriteFile(fileName(r.NS), raw)
}

// Write keeps a record. An older one under the same id is of a namespace that
// has ended: it is kept aside while it names tmpdir instances, for gc.
func (s Store) Write(r Record, random string) error {
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	name := fileName(r.NS)
	if old, err := s.Read(r.NS); err == nil && old != nil && len(old.Tmpdirs()) > 0 {
		if err := s.dir.Rename(name, deadPrefix+random); err != nil {
			return err
		}
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.dir.WriteFile(name, raw)
}

// lock keeps other writers, and gc, away from the directory.
func (s Store) lock() (dirfd.File, error) {
	f, err := s.dir.OpenLock(".")
	if err == nil {
		err = f.Lock(dirfd.Exclusive)
	}
	if err != nil {
		f.Close()
	}
	return f, err
}

// Forget removes a record that List gave, unless it was replaced since: by
// another namespace that got the same id.
func (s Store) Forget(n Named) error {
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	now, err := s.read(n.Name)
	if err != nil || now == nil {
		return err
	}
	if now.Root != n.Root || now.Opened != n.Opened || now.HostPID != n.HostPID {
		return nil
	}
	return s.RemoveNamed(n.Name)
}

// Tidy removes what writers left that died in the middle.
func (s Store) Tidy() error {
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	names, err := s.dir.Names()
	for _, name := range names {
		if strings.HasPrefix(name, ".new.") {
			err = errors.Join(err, s.RemoveNamed(name))
		}
	}
	return err
}

// Remove forgets the record of a namespace; none there is no error.
func (s Store) Remove(ns mntns.ID) error { return s.RemoveNamed(fileName(ns)) }

// RemoveNamed forgets the record that List called so.
func (s Store) RemoveNamed(name string) error {
	if err := s.dir.Unlink(name); !dirfd.IsNotExist(err) {
		return err
	}
	return nil
}

// Named is a record with the name of its file.
type Named struct {
	Name string
	Dead bool // its id belongs to another namespace by now
	Record
}

// List reads all records. One that cannot be read is reported by bad, which may
// be nil, and left out.
func (s Store) List(bad func(error)) ([]Named, error) {
	names, err := s.dir.Names()
	if err != nil {
		return nil, err
	}
	var out []Named
	for _, name := range names {
		dead := strings.HasPrefix(name, deadPrefix)
		if !dead && !strings.HasPrefix(name, "mnt.") {
			continue
		}
		r, err := s.read(name)
		if err != nil && bad != nil {
			bad(err)
		}
		if err == nil && r != nil {
			out = append(out, Named{Name: name, Dead: dead, Record: *r})
		}
	}
	return out, nil
}

// Any tells whether there may be a record: where there is none, no process is
// in a namespace of ours.
func Any() bool {
	way, err := dirfd.Walk(runDir+"/"+ownDir, nil)
	if err != nil {
		return true
	}
	defer way.Close()
	if way.Missing {
		return false
	}
	some, err := way.Dir.Has(func(name string) bool { return strings.HasPrefix(name, "mnt.") })
	return err != nil || some
}

// Stands tells whether every polydir of this process's view is covered as the
// record says, by the very mounts.
func (r Record) Stands() bool {
	return !slices.ContainsFunc(r.Polydirs, func(p Polydir) bool { return !p.stands(true) })
}
