package apply

import (
	"fmt"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/record"
)

// shown is the detached mount of what a method shows that makes no instance.
// What is mounted below a directory is shown with it, and is as it was at this
// moment: a mount that came later would come without the attributes.
func (s *Staged) shown(scene *observe.Scene) (mountfd.Mount, error) {
	switch s.Step.Source {
	case plan.NewProc:
		return newProc(&s.Step)
	case plan.Nothing:
		source, err := record.Nothing(s.Step.File)
		if err != nil {
			return mountfd.Mount{}, err
		}
		defer source.Close()
		return mountfd.Clone(source)
	case plan.Another:
		s.foreign = scene.Source.Exposure.ForeignReason
		return s.cloneTree(scene.Source.Dir, s.Step.FromID)
	}
	return s.cloneTree(scene.Polydir.Dir, plan.FileID(s.Polydir))
}

// cloneTree clones the approved directory or file with all that is mounted below
// it. Of a detached copy the kernel does not tell which filesystems are in it, so
// that the way to inner polydirs leads through the directory itself.
func (s *Staged) cloneTree(d dirfd.Dir, want plan.FileID) (mountfd.Mount, error) {
	st, err := d.Stat()
	if err != nil {
		return mountfd.Mount{}, err
	}
	if plan.FileID(st.ID) != want {
		return mountfd.Mount{}, errSwapped
	}
	if s.below, err = d.Dup(); err != nil {
		return mountfd.Mount{}, err
	}
	return mountfd.CloneTree(d)
}

func newProc(step *plan.Step) (mountfd.Mount, error) {
	var options []mountfd.Option
	for _, o := range step.Proc {
		options = append(options, mountfd.Option(o))
	}
	m, err := mountfd.NewProc(step.Path, options)
	if err != nil && dirfd.IsDenied(err) {
		err = fmt.Errorf("%w (in a container whose /proc is masked the kernel permits no other one)", err)
	}
	return m, err
}
