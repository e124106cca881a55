package record

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// Store is the open directory of the records.
type Store struct{ dir dirfd.Dir }

// IsOpen reports whether there is a directory; the zero Store has none.
func (s Store) IsOpen() bool { return s.dir.IsOpen() }

// NotifyOf adds to a watch which records there are.
func (s Store) NotifyOf(w mntns.Watch) error { return w.Names(s.dir) }

// Close releases the directory.
func (s *Store) Close() { s.dir.Close() }

// Again is a second handle of the directory.
func (s Store) Again() (Store, error) {
	dir, err := s.dir.Dup()
	return Store{dir}, err
}

// Open opens the directory of the records, as seen from this process's root,
// and makes it where it is missing.
func Open() (Store, error) {
	way, err := openRunDir()
	if err != nil {
		return Store{}, err
	}
	defer way.Close()
	if err := way.Dir.Mkdir(ownDir, 0o700); err != nil && !dirfd.IsExist(err) {
		return Store{}, foreseen(way.Dir, err)
	}
	return open(way)
}

// openRunDir opens the directory that holds that of the records.
func openRunDir() (dirfd.Way, error) {
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
	if err := trusted(dir); err != nil {
		dir.Close()
		return Store{}, err
	}
	return Store{dir}, nil
}

// trusted says why what was found is no directory of root's alone.
func trusted(dir dirfd.Dir) error {
	st, err := dir.Stat()
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s is a %s, not a directory", dir.Path(), st.TypeName())
	}
	return dirfd.TrustedFile(dir.Path(), st)
}

// filePrefix begins the names of the files. After it comes the namespace's
// number, by which a file is found where no more is known, and what tells apart those
// that have had the number: no two namespaces have one name, but before Linux 6.8.
const filePrefix = "mnt."

func fileName(i mntns.Identity) string {
	if i.Ever != 0 {
		return fmt.Sprintf("%s%d.%d", filePrefix, i.NS, i.Ever)
	}
	return fmt.Sprintf("%s%d.m%d", filePrefix, i.NS, i.Root)
}

// fileNames are those that the record can have: of who could not be told all that
// there is to know, and of version 0.1.
func fileNames(i mntns.Identity) []string {
	byMount := i
	byMount.Ever = 0
	all := []string{fileName(i), fileName(byMount), filePrefix + strconv.FormatUint(uint64(i.NS), 10)}
	return slices.Compact(all)
}

// Read is the record of the namespace with this identity; nil if there is none.
// Where all that tells it is used again, IsOf says whether it speaks of the live one.
func (s Store) Read(i mntns.Identity) (*Record, error) {
	for _, name := range fileNames(i) {
		r, err := s.read(name)
		if err != nil {
			return nil, err
		}
		if r != nil {
			if same, _ := r.Same(i); same {
				return r, nil
			}
		}
	}
	if i.Ever != 0 || !mntns.KernelAtLeast(6, 11) {
		return nil, nil
	}
	// a security module does not tell this program the id: somebody else may have
	// been told it
	all, err := s.OfNumber(i.NS)
	for _, r := range all {
		if same, _ := r.Same(i); same {
			return &r, err
		}
	}
	return nil, err
}

// Of is the record of the live namespace with this identity, as far as that agrees
// (I-11); nil if it is not ours.
func (s Store) Of(here mntns.Identity) (*Record, error) {
	r, err := s.Read(here)
	if err != nil || r == nil || !r.IsOf(here) {
		return nil, err
	}
	return r, nil
}

// OfNumber are the records of all namespaces that have had this number.
func (s Store) OfNumber(ns mntns.ID) ([]Record, error) {
	names, err := s.dir.Names()
	if err != nil {
		return nil, err
	}
	plain := filePrefix + strconv.FormatUint(uint64(ns), 10)
	var out []Record
	for _, name := range names {
		if name != plain && !strings.HasPrefix(name, plain+".") {
			continue
		}
		r, err := s.read(name)
		if err != nil {
			return nil, err
		}
		if r != nil {
			out = append(out, *r)
		}
	}
	return out, nil
}

func (s Store) read(name string) (*Record, error) {
	raw, err := s.contentOf(s.dir, name)
	if err != nil || raw == nil {
		return nil, err
	}
	r, err := decode(raw)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", s.dir.Path(), name, err)
	}
	return r, nil
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

// Update replaces the record of a namespace that lives on. Whoever does that has
// the user's turn.
func (s Store) Update(r Record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return foreseen(s.dir, s.dir.WriteFile(fileName(r.Identity), raw))
}

// Write keeps a record. Its file is this namespace's alone, so that nobody waits
// for anybody. Before Linux 6.8 an older one can have the same name, of a namespace that
// has ended: it is kept aside, for gc.
func (s Store) Write(r Record, random string) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	name := fileName(r.Identity)
	err = s.dir.CreateFile(name, raw)
	if !dirfd.IsExist(err) && !dirfd.IsUnsupported(err) {
		return foreseen(s.dir, err)
	}
	if err := s.dir.Rename(name, deadPrefix+random); err != nil && !dirfd.IsNotExist(err) && !dirfd.IsUnsupported(err) {
		return err
	}
	return foreseen(s.dir, s.dir.WriteFile(name, raw))
}

// Identities are those of the namespaces that there are records of, as far as the
// files' names tell them: those that the kernel can be asked about.
func (s Store) Identities() []mntns.Identity {
	names, _ := s.dir.Names()
	var out []mntns.Identity
	for _, name := range names {
		ever := everOf(name)
		if ever == 0 {
			continue
		}
		number, _, _ := strings.Cut(strings.TrimPrefix(name, filePrefix), ".")
		if ns, err := strconv.ParseUint(number, 10, 64); err == nil {
			out = append(out, mntns.Identity{NS: mntns.ID(ns), Ever: ever})
		}
	}
	return out
}

// everOf is the id in a file's name, 0 if there is none.
func everOf(name string) uint64 {
	rest, ok := strings.CutPrefix(name, filePrefix)
	_, ever, two := strings.Cut(rest, ".")
	id, err := strconv.ParseUint(ever, 10, 64)
	if !ok || !two || err != nil {
		return 0
	}
	return id
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
		if !dead && !strings.HasPrefix(name, filePrefix) {
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

// Any reports whether there may be a record: where there is none, no process is
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
	some, err := way.Dir.Has(func(name string) bool { return strings.HasPrefix(name, filePrefix) })
	return err != nil || some
}
