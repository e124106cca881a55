// Package apply carries out a plan: Stage makes instances and detached mounts,
// which nobody can see yet; Enter makes the namespace; Attach puts the mounts
// in their places; Verify looks whether the view is what the plan says.
package apply

import (
	"errors"
	"fmt"
	"strconv"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mountfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/selinuxfs"
)

// Staged is one step whose instance and mount are ready to be attached.
type Staged struct {
	Step    polyinst.Step
	Polydir dirfd.ID // what the step approved as the polydir
	Mount   mountfd.Mount
	Root    dirfd.ID // the root directory of Mount
	MountID uint64

	locks     dirfd.Dir
	lock      dirfd.File
	lockLabel string
	parent    dirfd.Dir // of a new tmpdir instance, to remove it again
	attached  bool
}

// Close releases the handles and the lock; what is attached stays.
func (s *Staged) Close() {
	s.Mount.Close()
	s.lock.Close()
	s.locks.Close()
	s.parent.Close()
}

// Undo removes what Stage made for this session alone: the tmpdir instance. A
// new persistent instance is complete and stays for the next session.
func (s *Staged) Undo() {
	s.Mount.Close()
	if s.parent.IsOpen() {
		_ = s.parent.RemoveTree(s.Step.Name, nil)
		_ = s.locks.Rmdir(s.Step.Name)
	}
	s.Close()
}

// Stage makes what the step needs, by the handles of the scene, and leaves the
// host's view as it was but for a polydir that `create` demands. After it the
// step holds a shared lock on its instance, and no exclusive one.
func Stage(step polyinst.Step, scene *observe.Scene, s polyinst.Subject) (*Staged, *polyinst.Refusal) {
	staged := &Staged{Step: step, Polydir: dirfd.ID(step.Polydir)}
	if err := stage(staged, scene, s); err != nil {
		staged.Undo()
		return nil, hostFault(step.Path, err)
	}
	return staged, nil
}

func stage(staged *Staged, scene *observe.Scene, s polyinst.Subject) error {
	step := &staged.Step
	if step.Create != nil {
		if err := createPolydir(staged, &scene.Polydir, s); err != nil {
			return fmt.Errorf("create: %w", err)
		}
	}
	var err error
	if step.Source == polyinst.NewTmpfs {
		staged.Mount, err = newTmpfs(step)
	} else {
		staged.Mount, err = cloneInstance(staged, scene, s)
	}
	if err != nil {
		return err
	}
	if step.Source == polyinst.NewTmpfs && step.Label != "" {
		if err := staged.Mount.Root.SetXattr(selinuxfs.XattrLabel, step.Label); err != nil {
			return err
		}
	}
	if err := staged.Mount.SetAttr(mountfd.Flags(step.Attributes)); err != nil {
		return err
	}
	st, err := staged.Mount.Root.Stat()
	if err != nil {
		return err
	}
	staged.Root, staged.MountID = st.ID, st.MountID
	return nil
}

func newTmpfs(step *polyinst.Step) (mountfd.Mount, error) {
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

// createPolydir makes the missing polydir. In a directory of the user's own
// that happens with his rights: as root, a name that he swaps meanwhile could
// lead us to another directory of root's, and give it to him (I-4).
func createPolydir(staged *Staged, way *dirfd.Way, s polyinst.Subject) error {
	want := staged.Step.Create
	if want.AsUser {
		if err := dirfd.ActAs(s.UID, s.GID); err != nil {
			return err
		}
		defer dirfd.ActAsRoot()
	}
	err := labelled(want.Label, func() error { return way.Parent.Mkdir(way.Name, 0o700) })
	if err != nil && !dirfd.IsExist(err) {
		return err
	}
	made := err == nil // else another session of the user's was faster
	dir, err := way.Parent.Lookup(way.Name)
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
	staged.Polydir = st.ID
	return nil
}

// cloneInstance opens or makes the instance under its lock, and clones it.
func cloneInstance(staged *Staged, scene *observe.Scene, s polyinst.Subject) (mountfd.Mount, error) {
	step := &staged.Step
	parent, err := instanceParent(step, scene)
	if err != nil {
		return mountfd.Mount{}, err
	}
	if err := openLocks(staged, parent); err != nil {
		return mountfd.Mount{}, err
	}
	var dir dirfd.Dir
	if step.Source == polyinst.NewInstance {
		dir, err = makeInstance(staged, parent, s)
	} else {
		dir, err = existingInstance(staged, scene)
	}
	if err != nil {
		return mountfd.Mount{}, err
	}
	defer dir.Close()
	if err := noteOpen(staged.lock, step.Shared, s.UID); err != nil {
		return mountfd.Mount{}, err
	}
	return mountfd.Clone(dir)
}

// instanceParent is the handle of the parent, made if the plan says so: then it
// stands in the user's own home, and is root's with mode 0000 or nothing.
func instanceParent(step *polyinst.Step, scene *observe.Scene) (dirfd.Dir, error) {
	if !step.MakeParent {
		return scene.Parent.Dir, nil
	}
	around, name := scene.Parent.Parent, scene.Parent.Name
	if err := around.Mkdir(name, 0); err != nil && !dirfd.IsExist(err) {
		return dirfd.Dir{}, err
	}
	dir, err := around.Lookup(name)
	if err != nil {
		return dirfd.Dir{}, err
	}
	scene.Parent.Dir = dir
	st, err := dir.Stat()
	if err != nil {
		return dirfd.Dir{}, err
	}
	if !st.IsDir() || st.UID != 0 || st.Mode != 0 {
		return dirfd.Dir{}, fmt.Errorf("instance parent %q: is a %s of uid %d with mode %04o, want a directory of root's with mode 0000",
			dir.Path(), st.TypeName(), st.UID, st.Mode)
	}
	return dir, nil
}

// labelled runs f, whose new directories get the label; none is no label.
func labelled(label string, f func() error) error {
	if label == "" {
		return f()
	}
	if err := selinuxfs.SetFSCreate(label); err != nil {
		return err
	}
	err := f()
	return errors.Join(err, selinuxfs.SetFSCreate(""))
}

// openLocks opens the directory of the locks, <parent>/.lock, which only root
// can enter, because whoever can open a lock can hold it.
func openLocks(staged *Staged, parent dirfd.Dir) error {
	var err error
	if staged.Step.Label != "" {
		// every login program must be able to use what another one made
		if staged.lockLabel, err = parent.Xattr(selinuxfs.XattrLabel); err != nil {
			return err
		}
	}
	err = labelled(staged.lockLabel, func() error { return parent.Mkdir(polyinst.LockDir, 0o700) })
	if err != nil && !dirfd.IsExist(err) {
		return err
	}
	if staged.locks, err = parent.LookupHere(polyinst.LockDir); err != nil {
		return err
	}
	st, err := staged.locks.Stat()
	if err != nil {
		return err
	}
	if !st.IsDir() {
		return fmt.Errorf("%s: is a %s, not a directory", staged.locks.Path(), st.TypeName())
	}
	return dirfd.TrustedFile(staged.locks.Path(), st)
}

// takeLock takes the lock of the instance. gc removes locks while it holds
// them: one that it removed between our open and our lock is not the one that
// the next session will open.
func takeLock(staged *Staged, kind dirfd.LockKind) error {
	for {
		staged.lock.Close()
		err := labelled(staged.lockLabel, func() error {
			return staged.locks.Mkdir(staged.Step.Name, observe.LockOfNobody)
		})
		if err != nil && !dirfd.IsExist(err) {
			return err
		}
		if staged.lock, err = staged.locks.OpenLock(staged.Step.Name); dirfd.IsNotExist(err) {
			continue
		} else if err != nil {
			return err
		}
		if err := staged.lock.Lock(kind); err != nil {
			return err
		}
		st, err := staged.lock.Stat()
		if err != nil {
			return err
		}
		if st.Nlink > 0 {
			return nil
		}
	}
}

// noteOpen keeps with the lock whose the instance is, and that it was opened
// now.
func noteOpen(lock dirfd.File, shared bool, uid uint32) error {
	st, err := lock.Stat()
	if err != nil {
		return err
	}
	owner, mode := uid, uint32(observe.LockOfOne)
	if shared {
		owner, mode = 0, observe.LockOfMany
	}
	if st.UID != owner || st.Mode != mode {
		err = lock.SetOwner(owner, 0, mode)
	}
	return errors.Join(err, lock.Touch())
}

// existingInstance is the approved instance, still there under the lock.
func existingInstance(staged *Staged, scene *observe.Scene) (dirfd.Dir, error) {
	if err := takeLock(staged, dirfd.Shared); err != nil {
		return dirfd.Dir{}, err
	}
	now, err := scene.Parent.Dir.LookupHere(staged.Step.Name)
	if err != nil {
		return dirfd.Dir{}, err
	}
	st, err := now.Stat()
	if err == nil && polyinst.FileID(st.ID) != staged.Step.Instance {
		err = errors.New("the instance was replaced at this moment: try again")
	}
	if err == nil && staged.Step.Relabel {
		err = now.SetXattr(selinuxfs.XattrLabel, staged.Step.Label)
	}
	if err != nil {
		now.Close()
		return dirfd.Dir{}, err
	}
	return now, nil
}

// makeInstance makes the instance under a temporary name, finishes it, and
// renames it into its place, so that a crash at any point leaves nothing that a
// later session would take for an instance (I-5). The shared lock is held when
// it returns.
func makeInstance(staged *Staged, parent dirfd.Dir, s polyinst.Subject) (dirfd.Dir, error) {
	step := &staged.Step
	kind := dirfd.Exclusive
	if step.Method == "tmpdir" {
		// nobody else knows the name; gc must not have a moment without a lock
		kind = dirfd.Shared
		dup, err := parent.Dup()
		if err != nil {
			return dirfd.Dir{}, err
		}
		staged.parent = dup
	}
	if err := takeLock(staged, kind); err != nil {
		return dirfd.Dir{}, err
	}
	dir, err := parent.LookupHere(step.Name)
	switch {
	case err == nil:
		// another session was faster, or an earlier one did not finish
		var unfinished bool
		if unfinished, err = checkNew(dir, step); unfinished {
			dir.Close()
			dir, err = makeNamed(parent, step)
		}
	case dirfd.IsNotExist(err):
		dir, err = makeNamed(parent, step)
	}
	if err == nil {
		err = staged.lock.Lock(dirfd.Shared)
	}
	if err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	return dir, nil
}

func makeNamed(parent dirfd.Dir, step *polyinst.Step) (dirfd.Dir, error) {
	temporary := polyinst.NewPrefix + step.Name
	dir, err := makeUnder(parent, temporary, step)
	if err != nil {
		return dirfd.Dir{}, err
	}
	if err = finish(dir, step); err == nil {
		err = parent.Rename(temporary, step.Name)
	}
	if err == nil {
		return dir, nil
	}
	dir.Close()
	if !dirfd.IsDenied(err) {
		return dirfd.Dir{}, err
	}
	// SELinux's stock policies let a login program make directories in an
	// instance parent, but not rename them. Then the mode tells: until it is
	// finished, the instance is root's with mode 0000.
	if err := parent.RemoveTree(temporary, nil); err != nil {
		return dirfd.Dir{}, err
	}
	if dir, err = makeUnder(parent, step.Name, step); err != nil {
		return dirfd.Dir{}, err
	}
	if err := finish(dir, step); err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	return dir, nil
}

// makeUnder makes the empty, unfinished instance; what a dead session left
// under the name goes first.
func makeUnder(parent dirfd.Dir, name string, step *polyinst.Step) (dirfd.Dir, error) {
	if err := parent.RemoveTree(name, nil); err != nil {
		return dirfd.Dir{}, err
	}
	if err := labelled(step.Label, func() error { return parent.Mkdir(name, 0) }); err != nil {
		return dirfd.Dir{}, err
	}
	return parent.LookupHere(name)
}

// finish fills the instance, and as the last thing gives it its owner and mode.
func finish(dir dirfd.Dir, step *polyinst.Step) error {
	return dir.SetOwner(step.Owner.UID, step.Owner.GID, step.Owner.Mode)
}

// checkNew judges an instance that another session made between our look and
// our lock, as existing ones are judged.
func checkNew(dir dirfd.Dir, step *polyinst.Step) (unfinished bool, err error) {
	st, err := dir.Stat()
	switch {
	case err != nil:
		return false, err
	case !st.IsDir():
		return false, fmt.Errorf("instance %q: is a %s, not a directory", dir.Path(), st.TypeName())
	case polyinst.Unfinished(polyinst.Owner{UID: st.UID, GID: st.GID, Mode: st.Mode}):
		return true, nil
	case st.UID != step.Owner.UID:
		return false, fmt.Errorf("instance %q: owned by uid %d, want %d", dir.Path(), st.UID, step.Owner.UID)
	}
	return false, nil
}

func hostFault(path string, err error) *polyinst.Refusal {
	return &polyinst.Refusal{Fault: polyinst.FaultHost, Polydir: path, Reason: err.Error()}
}
