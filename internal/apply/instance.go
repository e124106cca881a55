package apply

import (
	"errors"
	"fmt"
	"slices"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/projquota"
	"pam_polyinst/internal/kernel/selinuxfs"
	"pam_polyinst/internal/observe"
)

// errMadeFor is followed by the account that an instance was made for.
var errMadeFor = errors.New("was made for uid")

// existingInstance is the approved instance, still there under the lock.
func existingInstance(staged *Staged, scene *observe.Scene) (dirfd.Dir, error) {
	if err := staged.Take(); err != nil {
		return dirfd.Dir{}, err
	}
	if staged.Step.Init != nil {
		if err := staged.TakeTurn(); err != nil {
			return dirfd.Dir{}, err
		}
	}
	// the name leads to the very directory whose handle there is
	st, err := scene.Parent.Dir.StatEntry(staged.Step.Name)
	if dirfd.IsNotExist(err) { // gc was faster
		return dirfd.Dir{}, instance.ErrReplaced
	}
	if err != nil {
		return dirfd.Dir{}, err
	}
	now, lock := scene.Instance, staged.State()
	switch {
	case st.Spot() != scene.InstanceStat.Spot(), plan.FileID(st.ID) != staged.Step.Instance, lock.Mode == instance.Begun:
		err = instance.ErrReplaced
	case lock.Mode == instance.OfOne && lock.UID != staged.UID && !staged.Step.Shared:
		err = fmt.Errorf("instance %q: %w %d", now.Path(), errMadeFor, lock.UID)
	}
	if err == nil && staged.Step.Relabel {
		err = setLabel(now, &staged.Step)
	}
	if err != nil {
		return dirfd.Dir{}, err
	}
	scene.Instance = dirfd.Dir{} // the caller's
	return now, nil
}

// makeInstance makes the instance. It appears under its name when it is
// complete: a crash at any point leaves nothing that a later session would take
// for an instance (I-5). Each session makes its own, under a name that no other
// one has, and the first to rename it is the one that made it; so none waits for
// another, which somebody may have stopped. Only where that is not possible one
// session makes it alone.
func makeInstance(staged *Staged, parent dirfd.Dir, s plan.Subject) (dirfd.Dir, error) {
	step := &staged.Step
	var err error
	if staged.Opening.Parent, err = parent.Dup(); err != nil {
		return dirfd.Dir{}, err
	}
	if err := staged.Take(); err != nil {
		return dirfd.Dir{}, err
	}
	tmpdir := step.Fresh // nobody else knows the name
	if !tmpdir && (!staged.Claimed() || step.Init != nil && !step.Shared) {
		return makeAlone(staged, parent, s, true)
	}
	late := step.Init != nil && !tmpdir
	if late {
		if err := staged.TakeTurn(); err != nil {
			return dirfd.Dir{}, err
		}
	}
	if staged.Exists() {
		return dirfd.Dir{}, instance.ErrReplaced // by one who was faster
	}
	if err := staged.limitNew(parent); err != nil {
		return dirfd.Dir{}, err
	}
	if staged.Unseen {
		return makeNow(staged, parent, s)
	}
	dir, err := makeUnder(staged, parent, step.Temporary, s)
	if err != nil {
		return dirfd.Dir{}, err
	}
	err = staged.complete(dir, parent, late)
	if instance.CannotRename(err) {
		dir.Close()
		staged.EndTurn()
		_ = parent.RemoveTree(staged.Called, nil) // or gc does it
		if !tmpdir {
			return makeAlone(staged, parent, s, false)
		}
		return makeNow(staged, parent, s)
	}
	if err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	return dir, nil
}

// complete gives a new instance its label, and its name; or, if its init script is to
// run before that (late), lets the script know it by the name that it has.
func (s *Staged) complete(dir, parent dirfd.Dir, late bool) error {
	if late || s.Step.Module == plan.SELinux {
		// else it comes too late that it cannot be renamed: after the script, or
		// when it has a label with which it cannot be removed either
		if err := parent.Rename(s.Called, s.Called+"0"); err != nil {
			return err
		}
		s.Called += "0"
	}
	// before it has its name: nobody can be stopped between the two
	if err := finishLabel(dir, &s.Step); err != nil {
		return err
	}
	if !late {
		return s.Publish()
	}
	s.knownAs(s.Step.Parent + "/" + s.Called)
	return nil
}

// makeNow makes a tmpdir instance under its name, which nobody else knows.
func makeNow(staged *Staged, parent dirfd.Dir, s plan.Subject) (dirfd.Dir, error) {
	dir, err := makeUnder(staged, parent, staged.Step.Name, s)
	if err == nil {
		err = finishLabel(dir, &staged.Step)
	}
	if err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	return dir, nil
}

// knownAs has the init script find the instance under this path.
func (s *Staged) knownAs(path string) {
	i := *s.Step.Init
	i.Args = slices.Clone(i.Args)
	i.Args[1] = path
	s.Step.Init = &i
}

// finishLabel gives the instance its SELinux label, under which a login program
// may not open it any more, nor perhaps rename it. Smack's it has already.
func finishLabel(dir dirfd.Dir, step *plan.Step) error {
	if step.Module != plan.SELinux {
		return nil
	}
	return setLabel(dir, step)
}

// makeAlone makes the instance under its exclusive lock, which is waited for. It has
// its name before it is finished, and until then the lock says that it was only
// begun: because it cannot be renamed, because its lock does not say yet for whom it
// is, because an earlier session did not come to an end, or because a script is to
// run in it that knows it by its path.
func makeAlone(staged *Staged, parent dirfd.Dir, s plan.Subject, rename bool) (dirfd.Dir, error) {
	step := &staged.Step
	if err := staged.TakeAlone(); err != nil {
		return dirfd.Dir{}, err
	}
	if lock := staged.State(); !staged.IsAlone() || lock.Mode != instance.Begun && staged.Exists() {
		return dirfd.Dir{}, instance.ErrReplaced // another session was faster
	}
	if err := staged.Begin(); err != nil {
		return dirfd.Dir{}, err
	}
	if err := parent.RemoveTree(step.Name, nil); err != nil {
		return dirfd.Dir{}, err
	}
	if err := staged.limitNew(parent); err != nil {
		return dirfd.Dir{}, err
	}
	dir, err := makeNamed(staged, parent, s, rename)
	if err != nil {
		return dirfd.Dir{}, err
	}
	if err := finishLabel(dir, step); err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	return dir, nil
}

func makeNamed(staged *Staged, parent dirfd.Dir, s plan.Subject, rename bool) (dirfd.Dir, error) {
	step := &staged.Step
	if rename {
		dir, err := makeUnder(staged, parent, step.Temporary, s)
		if err != nil {
			return dirfd.Dir{}, err
		}
		if err = staged.Publish(); err == nil {
			return dir, nil
		}
		dir.Close()
		if !instance.CannotRename(err) {
			return dirfd.Dir{}, err
		}
		if err := parent.RemoveTree(staged.Called, nil); err != nil {
			return dirfd.Dir{}, err
		}
	}
	// the lock tells all the same that it is not finished
	return makeUnder(staged, parent, step.Name, s)
}

// makeUnder makes the instance under a name; what a dead session left there goes
// first. Its owner and mode are the last that it gets here.
func makeUnder(staged *Staged, parent dirfd.Dir, name string, s plan.Subject) (dirfd.Dir, error) {
	step := &staged.Step
	if staged.Called = ""; name != step.Name {
		staged.Called = name
	}
	if err := parent.RemoveTree(name, nil); err != nil {
		return dirfd.Dir{}, err
	}
	// like the parent until it is finished: in that domain a login program may
	// do all that is needed
	if err := selinuxfs.Labelled(staged.Locks.Label, func() error { return parent.Mkdir(name, 0) }); err != nil {
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
		err = fromSkel(dir, step.SkelLabel, s)
	}
	if err == nil {
		err = makeLayers(dir, step)
	}
	if err == nil {
		makePoints(dir, step, staged.Locks.Label)
		err = dir.SetOwner(step.Owner.UID, step.Owner.GID, step.Owner.Mode)
	}
	if err == nil && step.Module == plan.Smack {
		err = setLabel(dir, step)
	}
	if err != nil {
		dir.Close()
		return dirfd.Dir{}, err
	}
	return dir, nil
}
