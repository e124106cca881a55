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

	locks    dirfd.Dir
	lock     dirfd.File
	parent   dirfd.Dir // of a new tmpdir instance, to remove it again
	attached bool
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
		_ = s.locks.Unlink(s.Step.Name)
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
	err := way.Parent.Mkdir(way.Name, 0o700)
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
		if want.Label != "" {
			err = dir.SetXattr(selinuxfs.XattrLabel, want.Label)
		}
		if err != nil {
			return err
		}
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
	content := observe.InstanceRecord(s.UID)
	if step.Shared {
		content = observe.SharedRecord()
	}
	if err := staged.lock.Rewrite(content); err != nil {
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

// openLocks opens the directory of the lock files, <parent>/.lock, which only
// root can open, because whoever can open a file can lock it.
func openLocks(staged *Staged, parent dirfd.Dir) error {
	if err := parent.Mkdir(polyinst.LockDir, 0o700); err != nil && !dirfd.IsExist(err) {
		return err
	}
	var err error
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
	if err := dirfd.TrustedFile(staged.locks.Path(), st); err != nil {
		return err
	}
	return nil
}

// takeLock takes the lock of the instance. gc removes lock files, with their
// lock held: one that it removed between our open and our lock is not the one
// that the next session will open.
func takeLock(staged *Staged, kind dirfd.LockKind) error {
	for {
		staged.lock.Close()
		var err error
		if staged.lock, err = staged.locks.CreateFile(staged.Step.Name); err != nil {
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
		// another session was faster; what it made is judged like any other
		err = checkNew(dir, step)
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
	if err := parent.RemoveTree(temporary, nil); err != nil {
		return dirfd.Dir{}, err
	}
	if err := parent.Mkdir(temporary, 0o700); err != nil {
		return dirfd.Dir{}, err
	}
	dir, err := parent.LookupHere(temporary)
	if err != nil {
		return dirfd.Dir{}, err
	}
	if step.Label != "" {
		err = dir.SetXattr(selinuxfs.XattrLabel, step.Label)
	}
	if err == nil {
		err = dir.SetOwner(step.Owner.UID, step.Owner.GID, step.Owner.Mode)
	}
	if err == nil {
		err = parent.Rename(temporary, step.Name)
	}
	if err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	return dir, nil
}

// checkNew judges an instance that another session made between our look and
// our lock.
func checkNew(dir dirfd.Dir, step *polyinst.Step) error {
	st, err := dir.Stat()
	switch {
	case err != nil:
		return err
	case !st.IsDir():
		return fmt.Errorf("instance %q: is a %s, not a directory", dir.Path(), st.TypeName())
	case st.UID != step.Owner.UID:
		return fmt.Errorf("instance %q: owned by uid %d, want %d", dir.Path(), st.UID, step.Owner.UID)
	}
	return nil
}

func hostFault(path string, err error) *polyinst.Refusal {
	return &polyinst.Refusal{Fault: polyinst.FaultHost, Polydir: path, Reason: err.Error()}
}
