// Package apply carries out a plan: Stage makes instances and detached mounts,
// which nobody can see yet; Enter makes the namespace; Attach puts the mounts
// in their places; Verify looks whether the view is what the plan says.
package apply

import (
	"errors"
	"fmt"
	"strconv"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/hook"
	"pam_polyinst/internal/mountfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/projquota"
	"pam_polyinst/internal/selinuxfs"
)

// Staged is one step whose instance and mount are ready to be attached.
type Staged struct {
	Step    polyinst.Step
	Polydir dirfd.ID // what the step approved as the polydir
	Real    string   // its path without symbolic links, as far as it is known
	Mount   mountfd.Mount
	Root    dirfd.ID // the root directory of Mount
	MountID uint64

	locks     dirfd.Dir
	lock      dirfd.File
	lockLabel string
	uid       uint32
	parent    dirfd.Dir // of a new tmpdir instance, to remove it again
	attached  bool
	kept      []kept
	project   uint32 // of the instance that is made; 0: none
}

// Close releases the handles and the lock; what is attached stays.
func (s *Staged) Close() {
	for i := range s.kept {
		s.kept[i].mount.Close()
	}
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
		_ = projquota.RemoveLock(s.locks, s.Step.Name)
	}
	s.Close()
}

// Stage makes what the step needs, by the handles of the scene, and leaves the
// host's view as it was but for a polydir that `create` demands. After it the
// step holds a shared lock on its instance, and no exclusive one.
func Stage(step polyinst.Step, scene *observe.Scene, s polyinst.Subject, p config.Propagation) (*Staged, *polyinst.Refusal) {
	staged := &Staged{Step: step, Polydir: dirfd.ID(step.Polydir), uid: s.UID, Real: scene.Polydir.Dir.Path()}
	if scene.Polydir.Missing {
		staged.Real = step.Path
	}
	if err := stage(staged, scene, s, p); err != nil {
		staged.Undo()
		r := hostFault(step.Path, err)
		r.Again = errors.Is(err, errReplaced)
		return nil, r
	}
	return staged, nil
}

func stage(staged *Staged, scene *observe.Scene, s polyinst.Subject, p config.Propagation) error {
	step := &staged.Step
	var err error
	if step.Init != nil {
		// before anything is made; once more where it runs
		if _, err = hook.Check(step.Init.Path); err != nil {
			return err
		}
	}
	if step.Create != nil {
		if err := createPolydir(staged, &scene.Polydir, s); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if step.Module == polyinst.Smack && step.Method != config.MethodContext {
			// the kernel has labelled it, and the instance is to be alike
			if step.Label, step.Transmute, err = observe.SmackLabel(scene.Polydir.Dir); err != nil {
				return fmt.Errorf("create: %w", err)
			}
		}
	}
	if step.Source == polyinst.NewTmpfs {
		staged.Mount, err = newTmpfs(step)
	} else {
		staged.Mount, err = cloneInstance(staged, scene, s)
	}
	if err != nil {
		return err
	}
	if step.Source == polyinst.NewTmpfs {
		if err := fillTmpfs(staged, s); err != nil {
			return err
		}
	}
	if err := staged.finishMount(); err != nil {
		return err
	}
	staged.keep(scene, p)
	return nil
}

// finishMount gives the detached mount its attributes and notes what it is.
func (s *Staged) finishMount() error {
	if err := s.Mount.SetAttr(mountfd.Flags(s.Step.Attributes)); err != nil {
		return err
	}
	st, err := s.Mount.Root.Stat()
	if err != nil {
		return err
	}
	s.Root, s.MountID = st.ID, st.MountID
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

// fillTmpfs labels and fills a tmpfs that nobody can see yet.
func fillTmpfs(staged *Staged, s polyinst.Subject) error {
	if staged.Step.Skel {
		if err := fromSkel(staged.Mount.Root, s); err != nil {
			return err
		}
	}
	makePoints(staged.Mount.Root, &staged.Step, "")
	return setLabel(staged.Mount.Root, &staged.Step)
}

// fromSkel fills an empty directory from /etc/skel; all in it is the user's.
func fromSkel(dir dirfd.Dir, s polyinst.Subject) error {
	way, err := dirfd.Walk("/etc/skel", nil)
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
	return dirfd.CopyTree(way.Dir, dir, s.UID, s.GID)
}

// createPolydir makes the missing polydir. In a directory of the user's own
// that happens with his rights: as root, a name that he swaps meanwhile could
// lead us to another directory of root's, and give it to him (I-4).
func createPolydir(staged *Staged, way *dirfd.Way, s polyinst.Subject) (err error) {
	want := staged.Step.Create
	if want.AsUser {
		if err := dirfd.ActAs(s.UID, s.GID); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, dirfd.ActAsRoot()) }()
	}
	begun := uint32(0) // tells an unfinished one from any that was meant so
	if want.AsUser {
		begun = 0o700 // he could not go on otherwise
	}
	err = labelled(want.Label, func() error { return way.Parent.Mkdir(way.Name, begun) })
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
	if err := staged.limit(parent, dir); err != nil {
		return mountfd.Mount{}, err
	}
	makePoints(dir, step, step.Label)
	if step.Init == nil {
		if err := staged.settle(); err != nil {
			return mountfd.Mount{}, err
		}
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

// unixSetgid is S_ISGID, which a new directory takes over from the one around
// it (inode(7)).
const unixSetgid = 0o2000

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
	if staged.Step.Module == polyinst.SELinux && staged.Step.Label != "" {
		// every login program must be able to use what another one made
		if staged.lockLabel, err = parent.Xattr(selinuxfs.XattrLabel); err != nil {
			return err
		}
	}
	staged.locks, err = parent.LookupHere(polyinst.LockDir)
	if dirfd.IsNotExist(err) {
		err = labelled(staged.lockLabel, func() error { return parent.Mkdir(polyinst.LockDir, 0o700) })
		if err == nil || dirfd.IsExist(err) {
			staged.locks, err = parent.LookupHere(polyinst.LockDir)
		}
	}
	if err != nil {
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
		var err error
		staged.lock, err = staged.locks.OpenLock(staged.Step.Name)
		if dirfd.IsNotExist(err) {
			err = labelled(staged.lockLabel, func() error {
				return staged.locks.Mkdir(staged.Step.Name, observe.LockOfNobody)
			})
			if err == nil || dirfd.IsExist(err) {
				continue
			}
		}
		if err != nil {
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

// settle is the end of making or opening an instance: its lock says whose it is
// and that it was opened now, and is held no longer against others.
func (s *Staged) settle() error {
	st, err := s.lock.Stat()
	if err != nil {
		return err
	}
	owner, mode := s.uid, uint32(observe.LockOfOne)
	if s.Step.Shared {
		owner, mode = 0, observe.LockOfMany
	}
	if st.UID != owner || st.Mode != mode {
		err = s.lock.SetOwner(owner, 0, mode)
	}
	return errors.Join(err, s.lock.Touch(), s.lock.Lock(dirfd.Shared))
}

// errReplaced says that the instance is not the one that was decided upon.
var errReplaced = errors.New("the instance was replaced at this moment: try again")

// existingInstance is the approved instance, still there under the lock.
func existingInstance(staged *Staged, scene *observe.Scene) (dirfd.Dir, error) {
	kind := dirfd.Shared
	if staged.Step.Init != nil {
		kind = dirfd.Exclusive // one script at a time
	}
	if err := takeLock(staged, kind); err != nil {
		return dirfd.Dir{}, err
	}
	now, err := scene.Parent.Dir.LookupHere(staged.Step.Name)
	if dirfd.IsNotExist(err) { // gc was faster
		return dirfd.Dir{}, errReplaced
	}
	if err != nil {
		return dirfd.Dir{}, err
	}
	st, err := now.Stat()
	lock, lockErr := staged.lock.Stat()
	if err == nil {
		err = lockErr
	}
	switch {
	case err != nil:
	case polyinst.FileID(st.ID) != staged.Step.Instance, lock.Mode == observe.LockBegun:
		err = errReplaced
	case lock.Mode == observe.LockOfOne && lock.UID != staged.uid && !staged.Step.Shared:
		err = fmt.Errorf("instance %q: was made for uid %d", now.Path(), lock.UID)
	}
	if err == nil && staged.Step.Relabel {
		err = setLabel(now, &staged.Step)
	}
	if err != nil {
		now.Close()
		return dirfd.Dir{}, err
	}
	return now, nil
}

// makeInstance makes the instance. It appears under its name when it is
// complete, and until its init script has run too the lock says that it was
// only begun: a crash at any point leaves nothing that a later session would
// take for an instance (I-5).
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
	faster, err := finishedByAnother(staged, parent)
	if err != nil || faster.IsOpen() {
		return faster, err
	}
	if err := staged.lock.SetOwner(0, 0, observe.LockBegun); err != nil {
		return dirfd.Dir{}, err
	}
	if err := parent.RemoveTree(step.Name, nil); err != nil {
		return dirfd.Dir{}, err
	}
	if err := staged.limitNew(parent); err != nil {
		return dirfd.Dir{}, err
	}
	dir, err := makeNamed(staged, parent, s)
	if err != nil {
		return dirfd.Dir{}, err
	}
	if step.Module == polyinst.SELinux {
		if err := setLabel(dir, step); err != nil {
			dir.Close()
			return dirfd.Dir{}, err
		}
	}
	return dir, nil
}

// finishedByAnother is the instance that another session finished between our
// look and our lock; not open if there is none. It is judged as existing ones
// are.
func finishedByAnother(staged *Staged, parent dirfd.Dir) (dirfd.Dir, error) {
	lock, err := staged.lock.Stat()
	if err != nil || lock.Mode == observe.LockBegun {
		return dirfd.Dir{}, err
	}
	dir, err := parent.LookupHere(staged.Step.Name)
	if dirfd.IsNotExist(err) {
		return dirfd.Dir{}, nil
	}
	if err != nil {
		return dirfd.Dir{}, err
	}
	st, err := dir.Stat()
	switch {
	case err != nil:
	case !st.IsDir():
		err = fmt.Errorf("instance %q: is a %s, not a directory", dir.Path(), st.TypeName())
	case st.UID != staged.Step.Owner.UID:
		err = fmt.Errorf("instance %q: owned by uid %d, want %d", dir.Path(), st.UID, staged.Step.Owner.UID)
	case lock.Mode == observe.LockOfOne && lock.UID != staged.uid:
		err = fmt.Errorf("instance %q: was made for uid %d at this moment", dir.Path(), lock.UID)
	}
	if err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	if staged.Step.Init != nil && !staged.Step.InitAlways {
		staged.Step.Init = nil // it ran for the other session
	}
	return dir, nil
}

func makeNamed(staged *Staged, parent dirfd.Dir, s polyinst.Subject) (dirfd.Dir, error) {
	step := &staged.Step
	temporary := polyinst.NewPrefix + step.Name
	dir, err := makeUnder(staged, parent, temporary, s)
	if err != nil {
		return dirfd.Dir{}, err
	}
	if err = parent.Rename(temporary, step.Name); err == nil {
		return dir, nil
	}
	dir.Close()
	if !dirfd.IsDenied(err) && !dirfd.IsUnsupported(err) && !dirfd.IsOtherMount(err) {
		return dirfd.Dir{}, err
	}
	// SELinux's stock policies let a login program make directories in an
	// instance parent, but not rename them; network filesystems cannot rename
	// without replacing; a parent that hands a project on takes none of another
	// (EXDEV). The lock tells all the same that it is not finished
	if err := parent.RemoveTree(temporary, nil); err != nil {
		return dirfd.Dir{}, err
	}
	return makeUnder(staged, parent, step.Name, s)
}

// makeUnder makes the instance under a name; what a dead session left there goes
// first. Its owner and mode are the last that it gets here.
func makeUnder(staged *Staged, parent dirfd.Dir, name string, s polyinst.Subject) (dirfd.Dir, error) {
	step := &staged.Step
	if err := parent.RemoveTree(name, nil); err != nil {
		return dirfd.Dir{}, err
	}
	// like the parent until it is finished: in that domain a login program may
	// do all that is needed
	if err := labelled(staged.lockLabel, func() error { return parent.Mkdir(name, 0) }); err != nil {
		return dirfd.Dir{}, err
	}
	dir, err := parent.LookupHere(name)
	if err != nil {
		return dirfd.Dir{}, err
	}
	if staged.project != 0 {
		err = projquota.SetProject(dir, staged.project, true) // before it is filled
	}
	if err == nil && step.Skel {
		err = fromSkel(dir, s)
	}
	if err == nil {
		makePoints(dir, step, staged.lockLabel)
		err = dir.SetOwner(step.Owner.UID, step.Owner.GID, step.Owner.Mode)
	}
	if err == nil && step.Module == polyinst.Smack {
		err = setLabel(dir, step) // before it has its name; SELinux would not let us rename it then
	}
	if err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	return dir, nil
}

func hostFault(path string, err error) *polyinst.Refusal {
	r := &polyinst.Refusal{Fault: polyinst.FaultHost, Polydir: path, Reason: err.Error()}
	if dirfd.IsLimit(err) {
		r.Fault = polyinst.FaultUser // whoever started the host has set the limit
	}
	return r
}

// Release lets go of the lock of a persistent instance, which is finished; that
// of a tmpdir is held until the session stands in its namespace.
func (s *Staged) Release() {
	if !s.parent.IsOpen() {
		s.lock.Close()
	}
}
