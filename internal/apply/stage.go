// Package apply carries out a plan: Stage makes instances and detached mounts,
// which nobody can see yet; Enter makes the namespace; Attach puts the mounts
// in their places; Verify looks whether the view is what the plan says.
package apply

import (
	"errors"
	"fmt"
	"strconv"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/script"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/observe"
)

// Staged is one step whose instance and mount are ready to be attached.
type Staged struct {
	Step    plan.Step
	Polydir dirfd.ID   // what the step approved as the polydir
	Spot    dirfd.Spot // where that is mounted upon
	Real    string     // its path without symbolic links, as far as it is known
	Mount   mountfd.Mount
	Root    dirfd.ID // the root directory of Mount
	MountID uint64

	instance.Opening // of the instance; what is in no parent has none

	mark   mountfd.Mount   // beneath all: its end is that of the namespace and its copies
	under  mountfd.Mount   // beneath an overlay: what its changes lie in
	layers instance.Layers // of an overlay
	over   mountfd.Overlay // Mount, with what it is made of

	below    dirfd.Dir // where inner polydirs are looked for; not open: in Mount
	foreign  string    // why the instance's filesystem is not believed; empty: it is
	attached bool
	kept     []kept
	project  uint32 // of the instance that is made; 0: none
}

// Close releases the handles and the lock; what is attached stays.
func (s *Staged) Close() {
	for i := range s.kept {
		s.kept[i].mount.Close()
	}
	s.Mount.Close()
	s.mark.Close()
	s.under.Close()
	s.layers.Close()
	s.Opening.Close()
	s.below.Close()
}

// Mark has a mark mounted beneath the instance, where nobody gets at it.
func (s *Staged) Mark(e mountfd.Ends) (err error) {
	s.mark, err = e.NewMark(s.Step.Path)
	return err
}

// Undo removes what Stage made for this session alone: the tmpdir instance, and
// an instance that is not finished. A new persistent instance that has its name is
// complete and stays for the next session.
func (s *Staged) Undo() {
	s.Mount.Close()
	s.under.Close()
	if s.Called != "" {
		_ = s.Parent.RemoveTree(s.Called, nil)
	}
	if s.Parent.IsOpen() && s.Step.Fresh {
		_ = s.Parent.RemoveTree(s.Step.Name, nil)
		_ = s.Locks.Remove(s.Step.Name)
	}
	s.Close()
}

// Stage makes what the step needs, by the handles of the scene, and leaves the
// host's view as it was, except for a polydir that `create` demands. After it the
// step holds a shared lock on its instance, and no exclusive one unless an init
// script is still to run.
func Stage(step plan.Step, scene *observe.Scene, s plan.Subject, p config.Propagation, w instance.Waits) (*Staged, *plan.Refusal) {
	staged := &Staged{Step: step, Polydir: dirfd.ID(step.Polydir), Real: scene.Polydir.Dir.Path(),
		Opening: instance.Opening{Name: step.Name, Path: step.Parent + "/" + step.Name, Temporary: step.Temporary, UID: s.UID, Shared: step.Shared, Waits: w,
			Unseen: step.Fresh && step.Module == plan.SELinux},
		foreign: scene.Parent.Exposure.ForeignReason}
	if scene.Polydir.Missing {
		staged.Real = step.Path
	}
	if scene.Polydir.Dir.IsOpen() {
		staged.Spot = scene.Polydir.Stat.Spot()
	}
	if err := stage(staged, scene, s, p); err != nil {
		staged.Undo()
		return nil, hostFault(step.Path, err)
	}
	return staged, nil
}

func stage(staged *Staged, scene *observe.Scene, s plan.Subject, p config.Propagation) error {
	step := &staged.Step
	var err error
	if step.Create != nil {
		if err := createPolydir(staged, &scene.Polydir, s); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if step.Module == plan.Smack && step.Method != config.MethodContext {
			// the kernel has labelled it, and the instance is to be alike
			if step.Label, step.Transmute, err = observe.SmackLabel(scene.Polydir.Dir); err != nil {
				return fmt.Errorf("create: %w", err)
			}
		}
	}
	switch step.Source {
	case plan.NewTmpfs:
		staged.Mount, err = newTmpfs(step)
	case plan.NewProc, plan.Nothing, plan.Itself, plan.Another:
		staged.Mount, err = staged.shown(scene)
	default:
		staged.Mount, err = cloneInstance(staged, scene, s)
	}
	if err != nil {
		return err
	}
	if step.Source == plan.NewTmpfs {
		if err := fillTmpfs(staged, s); err != nil {
			return err
		}
	}
	if err := staged.overlay(scene); err != nil {
		return err
	}
	if err := staged.finishMount(); err != nil {
		return err
	}
	staged.keep(scene, p)
	return nil
}

// finishMount gives the detached mount its attributes and notes what it is.
func (s *Staged) finishMount() error {
	set := s.Mount.SetAttr
	if s.Step.Source.Tree() {
		set = func(f mountfd.Flags) error { return s.Mount.SetTreeAttr(f, false) }
	}
	if err := set(mountfd.Flags(s.Step.Attributes)); err != nil {
		return err
	}
	st, err := s.Mount.Root.Stat()
	if err != nil {
		return err
	}
	s.Root, s.MountID = st.ID, st.MountID
	return nil
}

func newTmpfs(step *plan.Step) (mountfd.Mount, error) {
	options := []mountfd.Option{
		{Key: "mode", Value: strconv.FormatUint(uint64(step.Owner.Mode), 8)},
		{Key: "uid", Value: strconv.FormatUint(uint64(step.Owner.UID), 10)},
		{Key: "gid", Value: strconv.FormatUint(uint64(step.Owner.GID), 10)},
	}
	for _, o := range step.Tmpfs {
		options = append(options, mountfd.Option(o))
	}
	return mountfd.NewTmpfs(step.Path, options)
}

// fillTmpfs labels and fills a tmpfs that nobody can see yet.
func fillTmpfs(staged *Staged, s plan.Subject) error {
	if staged.Step.Skel {
		if err := fromSkel(staged.Mount.Root, staged.Step.SkelLabel, s); err != nil {
			return err
		}
	}
	if err := makeLayers(staged.Mount.Root, &staged.Step); err != nil {
		return err
	}
	if err := staged.openLayers(staged.Mount.Root); err != nil {
		return err
	}
	makePoints(staged.Mount.Root, &staged.Step, "")
	return setLabel(staged.Mount.Root, &staged.Step)
}

// fromSkel fills an empty directory from /etc/skel; all in it is the user's.
func fromSkel(dir dirfd.Dir, label string, s plan.Subject) error {
	way, err := dirfd.Walk(observe.Skel, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	if way.Missing {
		return nil
	}
	if err := dirfd.Trusted(way, way.Stat); err != nil {
		return err
	}
	return selinuxfs.Labelled(label, func() error { return dirfd.CopyTree(way.Dir, dir, s.UID, s.GID) })
}

// createPolydir makes the missing polydir. In a directory of the user's own
// that happens with their rights: as root, a name that they swap meanwhile could
// lead us to another directory of root's, and give it to them (I-4).
func createPolydir(staged *Staged, way *dirfd.Way, s plan.Subject) (err error) {
	want := staged.Step.Create
	if want.AsUser {
		if err := dirfd.ActAs(s.UID, s.GID); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, dirfd.ActAsRoot()) }()
	}
	begun := uint32(0) // tells an unfinished one from any that was meant so
	if want.AsUser {
		begun = 0o700 // they could not go on otherwise
	}
	err = selinuxfs.Labelled(want.Label, func() error { return way.Parent.Mkdir(way.Name, begun) })
	if err != nil && !dirfd.IsExist(err) {
		return err
	}
	// else another session was faster, or an earlier one was cut short
	made := err == nil || staged.Step.Create.Finish
	if err == nil {
		defer func() {
			if err != nil { // nobody may take a half-made one for finished
				_ = way.Parent.Rmdir(way.Name)
			}
		}()
	}
	// on the mount that was judged: what is mounted on the name was not
	dir, err := way.Parent.LookupHere(way.Name)
	if err != nil {
		return err
	}
	way.Dir = dir
	st, err := dir.Stat()
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s: is a %s, not a directory", dir.Path(), st.TypeName())
	}
	if made {
		if want.AsUser {
			err = dir.SetMode(want.Owner.Mode)
		} else {
			err = dir.SetOwner(want.Owner.UID, want.Owner.GID, want.Owner.Mode)
		}
		if err != nil {
			return err
		}
		if st, err = dir.Stat(); err != nil {
			return err
		}
	}
	if st.UID != want.Owner.UID {
		return fmt.Errorf("%s: owned by uid %d, want %d", dir.Path(), st.UID, want.Owner.UID)
	}
	staged.Polydir, staged.Spot = st.ID, st.Spot()
	return nil
}

// cloneInstance opens or makes the instance under its lock, and clones it.
func cloneInstance(staged *Staged, scene *observe.Scene, s plan.Subject) (mountfd.Mount, error) {
	step := &staged.Step
	parent, err := instanceParent(step, scene)
	if err != nil {
		return mountfd.Mount{}, err
	}
	if err := staged.openLocks(parent, scene); err != nil {
		return mountfd.Mount{}, err
	}
	var dir dirfd.Dir
	if step.Source == plan.NewInstance {
		dir, err = makeInstance(staged, parent, s)
	} else {
		dir, err = existingInstance(staged, scene)
	}
	if err != nil {
		return mountfd.Mount{}, err
	}
	defer dir.Close()
	if err := staged.limit(parent, dir); err != nil {
		return mountfd.Mount{}, err
	}
	clearPoints(dir, scene.Polydir.Dir, step.Patterns)
	makePoints(dir, step, step.Label)
	if step.Init == nil {
		if err := staged.Settle(); err != nil {
			return mountfd.Mount{}, err
		}
	}
	if err := staged.openLayers(dir); err != nil {
		return mountfd.Mount{}, err
	}
	return mountfd.Clone(dir)
}

// instanceParent is the handle of the parent, made if the plan says so: then it
// stands in the user's own home, and is root's with mode 0000 or nothing.
func instanceParent(step *plan.Step, scene *observe.Scene) (dirfd.Dir, error) {
	if !step.MakeParent {
		return scene.Parent.Dir, nil
	}
	above, name := scene.Parent.Parent, scene.Parent.Name
	if err := above.Mkdir(name, 0); err != nil && !dirfd.IsExist(err) {
		return dirfd.Dir{}, err
	}
	dir, err := above.LookupHere(name)
	if err != nil {
		return dirfd.Dir{}, err
	}
	scene.Parent.Dir = dir
	st, err := dir.Stat()
	if err == nil && st.IsDir() && st.UID == 0 && st.Mode == unixSetgid {
		// born so in a home with the set-group-id bit
		if err = dir.SetOwner(0, 0, 0); err == nil {
			st, err = dir.Stat()
		}
	}
	if err != nil {
		return dirfd.Dir{}, err
	}
	if !st.IsDir() || st.UID != 0 || st.Mode != 0 {
		return dirfd.Dir{}, fmt.Errorf("instance parent %q: is a %s of uid %d with mode %04o, want a directory of root's with mode 0000",
			dir.Path(), st.TypeName(), st.UID, st.Mode)
	}
	return dir, nil
}

// unixSetgid is S_ISGID, which a new directory takes over from the one above
// it (inode(7)).
const unixSetgid = 0o2000

// openLocks opens the locks of the parent, or goes on with those that were looked at.
func (s *Staged) openLocks(parent dirfd.Dir, scene *observe.Scene) (err error) {
	label := ""
	if s.Step.Module == plan.SELinux && s.Step.Label != "" {
		// every login program must be able to use what another one made
		if label, err = parent.Xattr(selinuxfs.XattrLabel); err != nil {
			return err
		}
	}
	if !scene.Locks.IsOpen() {
		s.Locks, err = instance.MakeLocks(parent, label)
		return err
	}
	s.Locks, scene.Locks = scene.Locks, instance.Locks{}
	s.Locks.Label = label
	if scene.Facts.InstanceName == s.Name { // not the lock of one by an older name
		s.Lock, scene.Lock = scene.Lock, dirfd.File{}
	}
	return nil
}

func hostFault(path string, err error) *plan.Refusal {
	r := plan.HostFault(err, dirfd.IsLimit(err) || errors.Is(err, instance.ErrHeld) || errors.Is(err, errMadeFor) || errors.Is(err, errLayers),
		dirfd.IsScarce(err) || script.IsLate(err) || errors.Is(err, instance.ErrReplaced) || errors.Is(err, errSwapped))
	r.Polydir, r.Again = path, errors.Is(err, instance.ErrReplaced)
	return r
}

// Release lets go of the lock of a persistent instance, which is finished; that
// of a tmpdir is held until the session stands in its namespace.
func (s *Staged) Release() {
	if !s.Step.Fresh {
		s.Lock.Close()
	}
}
