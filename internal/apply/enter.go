package apply

import (
	"errors"
	"fmt"
	"time"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/hook"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/mountfd"
	"pam_polyinst/internal/polyinst"
)

// Isolate cuts the namespace off, before anything is attached in it: nothing of
// ours can reach the host (I-6).
func Isolate(p config.Propagation) *polyinst.Refusal {
	if err := mntns.Isolate(p == config.PropagationPrivate); err != nil {
		return hostFault("", err)
	}
	return nil
}

// Attach puts every mount on its polydir, outer ones first. A handle from
// before unshare is of no use as a target, so that each polydir is walked to
// once more, and must be the same directory that was approved.
func Attach(all []*Staged) *polyinst.Refusal {
	for _, s := range all {
		if err := attach(s); err != nil {
			return hostFault(s.Step.Path, err)
		}
	}
	return nil
}

// StageMqueue is the step that goes with a new IPC namespace, in which the caller
// must be already; nil where this machine has no message queues to be seen.
func StageMqueue() (*Staged, *polyinst.Refusal) {
	s, err := stageMqueue()
	if err != nil {
		return nil, hostFault(polyinst.MqueueDir, err)
	}
	return s, nil
}

func stageMqueue() (*Staged, error) {
	way, err := dirfd.Walk(polyinst.MqueueDir, nil)
	if err != nil {
		return nil, err
	}
	defer way.Close()
	if way.Missing {
		return nil, nil
	}
	if way.Exposure.Exposed() {
		return nil, fmt.Errorf("others can create names in %s (%s)", way.Exposure.Dir, way.Exposure.Reason)
	}
	s := &Staged{Step: polyinst.MqueueStep(polyinst.FileID(way.Stat.ID)), Polydir: way.Stat.ID, Real: way.Dir.Path()}
	s.Mount, err = mountfd.NewMqueue(polyinst.MqueueDir)
	if mountfd.IsNoMqueue(err) {
		if _, magic, seen := way.Dir.MountFlags(); seen == nil && !mountfd.IsMqueue(magic) {
			return nil, nil
		}
	}
	if err == nil {
		err = s.finishMount()
	}
	if err != nil {
		s.Mount.Close()
		return nil, err
	}
	return s, nil
}

func attach(s *Staged) error {
	way, err := dirfd.Walk(s.Step.Path, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	if way.Missing || way.Stat.ID != s.Polydir {
		return errors.New("was replaced while the session was being opened")
	}
	if err := s.Mount.Attach(way.Dir); err != nil {
		return err
	}
	s.attached = true
	s.attachKept()
	return nil
}

// RunInits runs the init scripts, each in the finished view and under its
// instance's lock. What they write goes to log. One that fails refuses the
// session; the instance that it was to complete is made anew by the next one.
// None runs longer than until.
func RunInits(all []*Staged, until time.Time, log func(polydir, line string)) *polyinst.Refusal {
	for _, s := range all {
		if s.Step.Init == nil {
			continue
		}
		result, err := runInit(s.Step.Init, time.Until(until))
		for _, line := range result.Output {
			log(s.Step.Path, line)
		}
		if result.Cut {
			log(s.Step.Path, "(it wrote more than is logged)")
		}
		if err == nil && s.Step.Source != polyinst.NewTmpfs {
			err = s.settle()
		}
		if err != nil {
			return hostFault(s.Step.Path, err)
		}
	}
	return nil
}

// runInit judges the script in the view in which it runs: a polydir may cover
// the path by which it was judged before.
func runInit(i *polyinst.Init, left time.Duration) (hook.Result, error) {
	script, err := hook.Check(i.Path)
	if err != nil {
		return hook.Result{}, err
	}
	return hook.Run(hook.Script{Path: script, Args: i.Args, Timeout: min(i.Timeout, max(left, time.Millisecond))})
}

// Verify looks at the finished view as the session will: every polydir must be
// the mount that was made for it, on top, with at least the attributes that the
// plan says, and nothing that is mounted here may reach the host (I-7).
func Verify(all []*Staged) *polyinst.Refusal {
	if err := cutOff(); err != nil {
		return hostFault("", fmt.Errorf("the finished view is not what was planned: %w", err))
	}
	for _, s := range all {
		if err := verify(s); err != nil {
			r := hostFault(s.Step.Path, fmt.Errorf("the finished view is not what was planned: %w", err))
			if errors.Is(err, errKept) {
				r.Fault = polyinst.FaultUser // he can have moved it, in an instance of his own
			}
			return r
		}
	}
	return nil
}

func cutOff() error {
	root, err := dirfd.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	return keepsToItself(root)
}

func keepsToItself(d dirfd.Dir) error {
	spreads, known, err := mountfd.Spreads(d)
	if err == nil && known && spreads {
		err = fmt.Errorf("the mount on %s is shared with other namespaces", d.Path())
	}
	return err
}

func verify(s *Staged) error {
	way, err := dirfd.Walk(s.Step.Path, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	if way.Missing {
		return errors.New("the polydir is gone")
	}
	if way.Stat.ID != s.Root || way.Stat.MountID != s.MountID {
		return fmt.Errorf("another directory is there (device %d inode %d, want %d %d)",
			way.Stat.Dev, way.Stat.Ino, s.Root.Dev, s.Root.Ino)
	}
	if s.Step.Label != "" {
		have, err := labelOf(way.Dir, s.Step.Module)
		if err != nil {
			return err
		}
		if have != s.Step.Label {
			return fmt.Errorf("labelled %q, want %q", have, s.Step.Label)
		}
	}
	flags, err := mountfd.FlagsOf(way.Dir)
	if err != nil {
		return err
	}
	if want := config.MountFlags(s.Step.Attributes); config.MountFlags(flags)&want != want {
		return fmt.Errorf("mounted %s, want %s", config.MountFlags(flags), want)
	}
	if err := keepsToItself(way.Dir); err != nil {
		return err
	}
	return s.verifyKept(way.Dir)
}

// DetachAll takes off again what Attach attached, in a namespace that somebody
// else will go on to use.
func DetachAll(all []*Staged) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].attached {
			_ = mountfd.Detach(all[i].Mount.Root)
			all[i].attached = false
		}
	}
}
