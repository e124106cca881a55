package apply

import (
	"errors"
	"fmt"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mountfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
)

// kept is an entry of the public directory that is ready to be attached in the
// instance.
type kept struct {
	name    string
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
func makePoints(instance dirfd.Dir, step *polyinst.Step, fscreate string) {
	all := step.Keep
	step.Keep = nil
	for _, k := range all {
		if k.Point == (polyinst.FileID{}) {
			err := labelled(fscreate, func() error { return instance.MkdirExact(k.Name, k.Mode) })
			if err != nil && !dirfd.IsExist(err) {
				step.LeftOut = append(step.LeftOut, polyinst.LeftOut{Name: k.Name, Why: err.Error()})
				continue
			}
		}
		step.Keep = append(step.Keep, k)
	}
}

// keep makes a mount of each entry that is kept.
func (s *Staged) keep(scene *observe.Scene, p config.Propagation) {
	s.eachKept(func(k polyinst.Kept) error {
		one := kept{name: k.Name}
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
func (s *Staged) eachKept(f func(polyinst.Kept) error) {
	all := s.Step.Keep
	s.Step.Keep = nil
	for _, k := range all {
		if err := f(k); err != nil {
			s.Step.LeftOut = append(s.Step.LeftOut, polyinst.LeftOut{Name: k.Name, Why: err.Error()})
			continue
		}
		s.Step.Keep = append(s.Step.Keep, k)
	}
}

func (s *Staged) readyKept(one *kept, k polyinst.Kept, p config.Propagation) error {
	// as in the rest of the session, the host's later mounts arrive or do not
	if err := one.mount.SetTreeAttr(mountfd.Flags(s.Step.KeptFlags()), p == config.PropagationSlave); err != nil {
		return err
	}
	st, err := one.mount.Root.Stat()
	if err != nil {
		return err
	}
	if polyinst.FileID(st.ID) != k.Entry {
		return errors.New("it was replaced at this moment")
	}
	one.root, one.mountID = st.ID, st.MountID
	point, err := s.Mount.Root.LookupHere(k.Name)
	facts := observe.EntryFacts(point, err)
	point.Close()
	why := polyinst.PointProblem(facts, s.uid, s.Step.Shared)
	switch {
	case why != "":
		return errors.New(why)
	case !facts.Exists, k.Point != polyinst.FileID{} && k.Point != facts.ID:
		return errors.New("its mount point was replaced at this moment")
	}
	one.point = dirfd.ID(facts.ID)
	return nil
}

// attachKept mounts what is kept, now that the instance stands in its place:
// each on the very directory that was approved. The user can have moved that
// one in an instance of his own; then he has to do without.
func (s *Staged) attachKept() {
	ready := s.kept
	s.kept = nil
	i := 0
	s.eachKept(func(polyinst.Kept) error {
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
func (s *Staged) verifyKept(polydir dirfd.Dir) error {
	for _, one := range s.kept {
		if err := one.verify(polydir, s.Step.KeptFlags()); err != nil {
			return fmt.Errorf("%w %q: %w", errKept, one.name, err)
		}
	}
	return nil
}

func (one kept) verify(polydir dirfd.Dir, want config.MountFlags) error {
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
	if config.MountFlags(flags)&want != want {
		return fmt.Errorf("mounted %s, want %s", config.MountFlags(flags), want)
	}
	return keepsToItself(entry)
}

// LayKept lays what is kept over its mount points in a view, for a polydir that
// lies inside.
func (s *Staged) LayKept(view dirfd.View) {
	for _, one := range s.kept {
		view[one.point] = one.mount.Root
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
	way, err := dirfd.Walk(polydir, nil)
	if err != nil {
		return false, err
	}
	defer way.Close()
	if way.Missing {
		return false, dirfd.NotExist(polydir)
	}
	err = way.Dir.MkdirExact(name, 0o1777)
	if err == nil || !dirfd.IsExist(err) {
		return err == nil, err
	}
	entry, err := way.Dir.Lookup(name)
	why := polyinst.EntryProblem(observe.EntryFacts(entry, err))
	entry.Close()
	if why != "" {
		return false, errors.New(why)
	}
	return false, nil
}
