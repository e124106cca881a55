package apply

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/observe"
)

// kept is an entry of the public directory that is ready to be attached in the
// instance.
type kept struct {
	name    string
	flags   config.MountFlags
	mount   mountfd.Mount
	root    dirfd.ID // of mount
	mountID uint64
	point   dirfd.ID // the directory of the instance that it is mounted on
}

// makePoints makes the mount points that a new instance needs, or that an
// existing one has not got: empty directories of root's with the mode of what
// they stand for, so that the instance is of use without it too. Only mkdir(2)
// is done, by the instance's handle, and it follows nothing. One that cannot be
// made leaves its entry out; one that is there is judged when it is used.
func makePoints(instance dirfd.Dir, step *plan.Step, fscreate string) {
	all := step.Keep
	step.Keep = nil
	for _, k := range all {
		if k.Point == (plan.FileID{}) {
			err := selinuxfs.Labelled(fscreate, func() error { return makePoint(instance, k.Name, k.Mode) })
			if err != nil && !dirfd.IsExist(err) {
				step.LeftOut = append(step.LeftOut, plan.LeftOut{Name: k.Name, Why: err.Error()})
				continue
			}
		}
		step.Keep = append(step.Keep, k)
	}
}

// makePoint makes a mount point, and what is missing above one of the user's own.
func makePoint(instance dirfd.Dir, path string, mode uint32) error {
	at, err := instance.Dup()
	if err != nil {
		return err
	}
	defer func() { at.Close() }()
	names := strings.Split(path, "/")
	last := len(names) - 1
	for _, name := range names[:last] {
		if err := at.MkdirExact(name, aboveMode); err != nil && !dirfd.IsExist(err) {
			return err
		}
		next, err := at.LookupHere(name)
		if err != nil {
			return err
		}
		at.Close()
		at = next
	}
	return at.MkdirExact(names[last], mode)
}

// aboveMode is what the directories above a mount point get: the user must get
// through, and finds nothing else there.
const aboveMode = 0o755

// clearPoints takes away the mount points that a pattern of `keep` has left in
// the instance: empty directories of root's. What the public directory has is
// looked at last, so that the one that another session has made for a newer
// entry stays. Whose mount stands on one that goes sees what is gone anyway, and
// rmdir(2) takes it off.
func clearPoints(instance, public dirfd.Dir, patterns []string) {
	if len(patterns) == 0 || !public.IsOpen() {
		return
	}
	names, _, _ := instance.Matching(func(name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return config.Matches(p, name) })
	}, pointsMax, pointsMax)
	for _, name := range names {
		point, err := instance.LookupHere(name)
		f := observe.EntryFacts(point, err)
		point.Close()
		if !f.Exists || f.Problem != "" || f.Owner.UID != 0 {
			continue
		}
		entry, err := public.Lookup(name)
		entry.Close()
		if dirfd.IsNotExist(err) {
			_ = instance.Rmdir(name)
		}
	}
}

// pointsMax is how much of an instance is read for that: its user can fill it.
const pointsMax = 1 << 16

// keep makes a mount of each entry that is kept.
func (s *Staged) keep(scene *observe.Scene, p config.Propagation) {
	s.eachKept(func(k plan.Kept) error {
		one := kept{name: k.Name, flags: s.Step.KeptFlags(k)}
		var err error
		if one.mount, err = mountfd.CloneTree(scene.Kept[k.Name]); err != nil {
			return err
		}
		if err = s.readyKept(&one, k, p); err != nil {
			one.mount.Close()
			return err
		}
		s.kept = append(s.kept, one)
		return nil
	})
}

// eachKept leaves out the entries for which f fails.
func (s *Staged) eachKept(f func(plan.Kept) error) {
	all := s.Step.Keep
	s.Step.Keep = nil
	for _, k := range all {
		if err := f(k); err != nil {
			s.Step.LeftOut = append(s.Step.LeftOut, plan.LeftOut{Name: k.Name, Why: err.Error()})
			continue
		}
		s.Step.Keep = append(s.Step.Keep, k)
	}
}

func (s *Staged) readyKept(one *kept, k plan.Kept, p config.Propagation) error {
	// as in the rest of the session, the host's later mounts arrive or do not
	if err := one.mount.SetTreeAttr(mountfd.Flags(one.flags), p != config.PropagationPrivate); err != nil {
		return err
	}
	st, err := one.mount.Root.Stat()
	if err != nil {
		return err
	}
	if plan.FileID(st.ID) != k.Entry {
		return errors.New("it was replaced at this moment")
	}
	one.root, one.mountID = st.ID, st.MountID
	point, err := s.Mount.Root.LookupHere(k.Name)
	facts := observe.EntryFacts(point, err)
	point.Close()
	why := plan.PointProblem(facts, s.UID, s.Step.Shared)
	switch {
	case why != "":
		return errors.New(why)
	case !facts.Exists, k.Point != plan.FileID{} && k.Point != facts.ID:
		return errors.New("its mount point was replaced at this moment")
	}
	one.point = dirfd.ID(facts.ID)
	return nil
}

// attachKept mounts what is kept, now that the instance is attached:
// each on the very directory that was approved. The user can have moved that
// one in an instance of their own; then they have to do without.
func (s *Staged) attachKept() {
	ready := s.kept
	s.kept = nil
	i := 0
	s.eachKept(func(plan.Kept) error {
		one := ready[i]
		i++
		if err := s.attachOne(one); err != nil {
			one.mount.Close()
			return err
		}
		s.kept = append(s.kept, one)
		return nil
	})
}

func (s *Staged) attachOne(one kept) error {
	point, err := s.Mount.Root.LookupHere(one.name)
	if err != nil {
		return err
	}
	defer point.Close()
	st, err := point.Stat()
	if err != nil {
		return err
	}
	if st.ID != one.point {
		return errors.New("its mount point was replaced at this moment")
	}
	return one.mount.Attach(point)
}

// errKept says that something is wrong with what is kept.
var errKept = errors.New("keep")

// verifyKept looks in the finished view whether what is kept is there: the
// entry that was approved, by the mount that was made of it. polydir is the
// polydir in that view.
func (s *Staged) verifyKept(polydir dirfd.Dir, cut Cut) error {
	for _, one := range s.kept {
		if err := one.verify(polydir, cut); err != nil {
			return fmt.Errorf("%w %q: %w", errKept, one.name, err)
		}
	}
	return nil
}

func (one kept) verify(polydir dirfd.Dir, cut Cut) error {
	entry, err := polydir.Lookup(one.name)
	if err != nil {
		return err
	}
	defer entry.Close()
	st, err := entry.Stat()
	if err != nil {
		return err
	}
	if st.ID != one.root || st.MountID != one.mountID {
		return fmt.Errorf("another directory is there (device %d inode %d, want %d %d)", st.Dev, st.Ino, one.root.Dev, one.root.Ino)
	}
	flags, err := mountfd.FlagsOf(entry)
	if err != nil {
		return err
	}
	if config.MountFlags(flags)&one.flags != one.flags {
		return fmt.Errorf("mounted %s, want %s", config.MountFlags(flags), one.flags)
	}
	return cut.holds(entry)
}

// Lay lays the mount and what is kept in it over their spots in a view, for a
// polydir that lies inside.
func (s *Staged) Lay(view dirfd.View) {
	over := dirfd.Over{Dir: s.Mount.Root, Foreign: s.foreign}
	if s.below.IsOpen() {
		over.Dir = s.below
	}
	view[s.Spot] = over
	for _, one := range s.kept {
		view[dirfd.Spot{ID: one.point, Mount: s.MountID}] = dirfd.Over{Dir: one.mount.Root}
	}
}

// Kept are the names of what is kept.
func (s *Staged) Kept() []string {
	var names []string
	for _, one := range s.kept {
		names = append(names, one.name)
	}
	return names
}

// KeptByX are the directories of X servers' sockets, which prepare makes: a
// server that starts later puts its sockets there, and sessions that were
// opened before see them.
var KeptByX = []string{".X11-unix", ".ICE-unix", ".XIM-unix", ".font-unix"}

// PrepareKept makes one of KeptByX in the public directory, root's with mode
// 1777. What is there already is only judged, as the module does it.
func PrepareKept(polydir, name string) (made bool, err error) {
	way, err := dirfd.WalkTo(polydir)
	if err != nil {
		return false, err
	}
	defer way.Close()
	err = way.Dir.MkdirExact(name, 0o1777)
	if err == nil || !dirfd.IsExist(err) {
		return err == nil, err
	}
	entry, facts := observe.PublicEntry(way.Dir, name)
	why := plan.EntryProblem(facts)
	entry.Close()
	if why != "" {
		return false, errors.New(why)
	}
	return false, nil
}
