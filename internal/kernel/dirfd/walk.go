package dirfd

import (
	"errors"
	"fmt"
	"strings"
)

// Exposure tells how far the names on a walk can be influenced by others than
// root.
type Exposure struct {
	Dir    string // the first directory on the way in which somebody else can create names; empty: none
	Reason string // "owned by uid 1001", "mode 1777"
	// Swaps are the directories on the way whose entries somebody else can
	// also rename or replace.
	Swaps []Swap
	// Foreign is the first directory on the way whose filesystem is not believed,
	// and ForeignReason says which; empty: none. What such a one says of owners
	// and modes can take rights away, and never gives any.
	Foreign, ForeignReason string
	// VoidOwners: what is at the end of the way lies on a filesystem of a user's
	// own, and nothing that its Stat says of owners and modes means anything.
	VoidOwners bool
}

// Swap is a directory whose entries somebody but root can rename or replace:
// not root's, or writable without the sticky bit.
type Swap struct {
	Dir    string
	Reason string
	UID    uint32 // the owner
	Others bool   // group or others can, not the owner alone
	// Entry: it is the entry that is theirs, in a directory that is sticky
	Entry bool
}

// Exposed reports whether somebody but root can create names on the way, or a
// filesystem on it can show any.
func (e Exposure) Exposed() bool { return e.Dir != "" || e.Foreign != "" }

// Where is the first directory that makes the way exposed, and why.
func (e Exposure) Where() (dir, reason string) {
	if e.Dir != "" {
		return e.Dir, e.Reason
	}
	return e.Foreign, e.ForeignReason
}

// Way is the result of a walk.
type Way struct {
	Dir      Dir  // what was found; not open if Missing
	Stat     Stat // of Dir
	Missing  bool // only the last component does not exist
	Parent   Dir  // the directory that holds, or would hold, the last component
	Name     string
	Exposure Exposure
	// Mount is what the kernel says of the mount that Dir lies on; the zero one where
	// it was not asked, or does not say.
	Mount Mount
	on    *mounted // of the mount that Dir, or where that is missing Parent, lies on
	// Laid is where the walk went on in a directory of the view, the last time;
	// LaidLast: that is what was found itself.
	Laid     Spot
	LaidLast bool
}

// Close releases the handles of a walk.
func (w *Way) Close() {
	w.Dir.Close()
	w.Parent.Close()
}

// Filesystem is that of Dir or, where that is missing, of Parent: the walk has asked
// for it, or does so now.
func (w Way) Filesystem() (Filesystem, error) {
	switch {
	case w.on != nil:
		return w.on.Filesystem, nil
	case w.Missing:
		return w.Parent.Filesystem()
	}
	return w.Dir.Filesystem()
}

// Spot is a directory at which something can be mounted. A directory that a bind mount
// shows twice is two spots.
type Spot struct {
	ID
	Mount uint64
}

// Spot is the one that the handle stands for.
func (s Stat) Spot() Spot { return Spot{s.ID, s.MountID} }

// View lays directories over others for a walk, as mounts would: whoever arrives
// at a spot goes on in its replacement. A replacement that is not open is one
// that nobody can look into yet: the walk ends with ErrNotYet.
type View map[Spot]Over

// Over is such a replacement, on a mount of ours.
type Over struct {
	Dir     Dir
	Foreign string // why its filesystem is not believed; empty: it is
}

// ErrNotYet says that a path leads into a directory that is only going to be
// made.
var ErrNotYet = errors.New("not there yet")

// Walk goes to an absolute path and judges every component by its handle: the
// names in a directory that somebody but root can write may be anything, so
// that from there on no symbolic link is followed; before, only root's are, and
// each component of a target is judged like any other (path_resolution(7) for
// the rules of ".." and links).
//
// On a filesystem whose owners this kernel does not keep itself no link is
// followed either, and one that a user has mounted is not entered: an error of
// IsUsersMount.
//
// The last component may be missing, if its directory exists. With an error the
// Way has only its Exposure, which is what others could do to the names up to
// there, and where a view was entered.
func Walk(path string, view View) (Way, error) { return (*Walks)(nil).WalkFor(NoUID, path, view) }

// WalkTo is Walk to a directory that must be there: an error of IsNotExist if not.
func WalkTo(path string) (Way, error) {
	way, err := Walk(path, nil)
	if err == nil && way.Missing {
		way.Close()
		return Way{}, NotExist(path)
	}
	return way, err
}

// WalkFor is Walk on behalf of a user: what they have mounted themselves is
// entered, as a directory of theirs, and may keep nobody waiting but them.
func WalkFor(uid uint32, path string, view View) (Way, error) {
	return (*Walks)(nil).WalkFor(uid, path, view)
}

// WalkAny is WalkFor to something that need not be a directory.
func WalkAny(uid uint32, path string, view View) (Way, error) {
	return (*Walks)(nil).WalkAny(uid, path, view)
}

// WalkFor is that function's.
func (a *Walks) WalkFor(uid uint32, path string, view View) (Way, error) {
	way, err := a.WalkAny(uid, path, view)
	if err == nil && !way.Missing && !way.Stat.IsDir() {
		err = notDirectory(way.Dir.path, way.Stat)
		way.Close()
		way = Way{Exposure: way.Exposure}
	}
	return way, err
}

// WalkAny is that function's.
func (a *Walks) WalkAny(uid uint32, path string, view View) (Way, error) {
	if !strings.HasPrefix(path, "/") {
		return Way{}, pathError("open", path, errors.New("not an absolute path"))
	}
	w, err := a.newWalker(path, view)
	if err != nil {
		return Way{}, err
	}
	defer w.close()
	w.own = uid
	way, err := w.run()
	if err != nil {
		return Way{Exposure: w.exposure, Laid: w.notYet.in, LaidLast: w.notYet.here}, err
	}
	return way, nil
}

// WalkFile is Walk to something that need not be a directory.
func WalkFile(path string) (Way, error) { return WalkFileIn(path, nil) }

// WalkFileIn is WalkFile in a view.
func WalkFileIn(path string, view View) (Way, error) { return (*Walks)(nil).walkFile(path, view) }

// WalkFile is that function's.
func (a *Walks) WalkFile(path string) (Way, error) { return a.walkFile(path, nil) }

func (a *Walks) walkFile(path string, view View) (Way, error) {
	w, err := a.newWalker(path, view)
	if err != nil {
		return Way{}, err
	}
	defer w.close()
	w.file = true
	return w.run()
}

func notDirectory(path string, st Stat) error {
	return pathError("open", path, fmt.Errorf("is a %s, not a directory: look at it and move it away", st.TypeName()))
}
