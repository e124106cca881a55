package apply

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/script"
)

// Cut says how a namespace was cut off from others.
type Cut struct {
	below  bool           // what is mounted in it reaches the namespaces below it
	others mountfd.Groups // with below: what spread to others before
}

// Isolate cuts the namespace off, before anything is attached in it: nothing of
// ours can reach the host (I-6). Slaves that then become shared are each in a new
// peer group, which the namespaces that are made from this one join; they do so
// only after this process has left.
func Isolate(p config.Propagation) (Cut, *plan.Refusal) {
	cut := Cut{below: p == config.PropagationBelow}
	err := cut.isolate(p)
	if err != nil {
		return cut, hostFault("", err)
	}
	return cut, nil
}

func (cut *Cut) isolate(p config.Propagation) (err error) {
	switch p {
	case config.PropagationPrivate:
		return mntns.Propagate(mntns.Private)
	case config.PropagationBelow:
		// in the copy of the namespace the mounts are in the groups of the original
		if cut.others, err = mountfd.OwnGroups(); err != nil {
			return err
		}
	}
	if err := mntns.Propagate(mntns.Slave); err != nil || !cut.below {
		return err
	}
	return mntns.Propagate(mntns.Shared)
}

// Attach puts every mount on its polydir, outer ones first. A handle from
// before unshare is of no use as a target, so that each polydir is walked to
// once more, and must be the same directory that was approved.
func Attach(all []*Staged) *plan.Refusal {
	var walks dirfd.Walks
	defer walks.Close()
	for _, s := range all {
		if err := attach(s, &walks); err != nil {
			return hostFault(s.Step.Path, err)
		}
	}
	return nil
}

// StageMqueue is the step that goes with a new IPC namespace, in which the caller
// must be already; nil where this machine has no message queues to be seen.
func StageMqueue() (*Staged, *plan.Refusal) {
	s, err := stageMqueue()
	if err != nil {
		return nil, hostFault(plan.MqueueDir, err)
	}
	return s, nil
}

func stageMqueue() (*Staged, error) {
	way, err := dirfd.Walk(plan.MqueueDir, nil)
	if err != nil {
		return nil, err
	}
	defer way.Close()
	if way.Missing {
		return nil, nil
	}
	if way.Exposure.Exposed() {
		dir, reason := way.Exposure.Where()
		return nil, fmt.Errorf("others can create names in %s (%s)", dir, reason)
	}
	s := &Staged{Step: plan.MqueueStep(plan.FileID(way.Stat.ID)), Polydir: way.Stat.ID, Real: way.Dir.Path()}
	s.Mount, err = mountfd.NewMqueue(plan.MqueueDir)
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

// errSwapped is a user's doing, where the polydir lies in a directory of theirs.
var errSwapped = errors.New("was replaced while the session was being opened")

// walk goes to the polydir in the view that this process is in.
func (s *Staged) walk(walks *dirfd.Walks) (dirfd.Way, error) {
	if s.Step.File {
		return walks.WalkAny(s.UID, s.Step.Path, nil)
	}
	return walks.WalkFor(s.UID, s.Step.Path, nil)
}

func attach(s *Staged, walks *dirfd.Walks) error {
	way, err := s.walk(walks)
	if err != nil {
		return err
	}
	defer way.Close()
	if way.Missing || way.Stat.ID != s.Polydir {
		return errSwapped
	}
	on := way.Dir
	for _, m := range s.Mounts() {
		if err := (mountfd.Mount{Root: m}).Attach(on); err != nil {
			return err
		}
		s.attached, on = true, m
	}
	walks.Covered(way.Stat.Spot())
	s.attachKept()
	return nil
}

// RunInits runs the init scripts, each in the finished view and when it is its
// turn. What they write goes to log, which must send nothing to the host while
// one of the steps is Exclusive. One that fails refuses the session; the instance
// that it was to complete is made anew by the next one. None runs longer than until.
func RunInits(all []*Staged, until time.Time, log func(polydir, line string)) *plan.Refusal {
	for _, s := range all {
		if s.Step.Init == nil {
			continue
		}
		result, err := runInit(s.Step.Init, time.Until(until))
		if err == nil && s.Step.Source.Instance() {
			err = s.Settle()
		}
		for _, line := range result.Output {
			log(s.Step.Path, line)
		}
		if result.Cut {
			log(s.Step.Path, "(it wrote more than is logged)")
		}
		if err != nil {
			return hostFault(s.Step.Path, err)
		}
	}
	return nil
}

// runInit judges the script in the view in which it runs: a polydir may cover
// the path by which it was judged before.
func runInit(i *plan.Init, left time.Duration) (script.Result, error) {
	path, err := script.Check(i.Path)
	if err != nil {
		return script.Result{}, err
	}
	return script.Run(script.Script{Path: path, Args: i.Args, Timeout: min(i.Timeout, max(left, time.Millisecond))})
}

// Verify looks at the finished view as the session will: every polydir must be
// the mount that was made for it, on top, with at least the attributes that the
// plan says, and nothing that is mounted here may reach the host (I-7).
func Verify(all []*Staged, cut Cut) *plan.Refusal {
	if err := cut.off(); err != nil {
		return hostFault("", fmt.Errorf("the finished view is not what was planned: %w", err))
	}
	var walks dirfd.Walks
	defer walks.Close()
	for _, s := range all {
		if err := verify(s, cut, &walks); err != nil {
			r := hostFault(s.Step.Path, fmt.Errorf("the finished view is not what was planned: %w", err))
			if errors.Is(err, errKept) {
				r.Fault = plan.FaultUser // they can have moved it, in an instance of their own
			}
			return r
		}
	}
	return nil
}

func (cut Cut) off() error {
	root, err := dirfd.Root()
	if err != nil {
		return err
	}
	defer root.Close()
	return cut.holds(root)
}

// holds reports what is wrong with the propagation of the mount that a directory
// lies on: nothing of it reaches a namespace that is not below this one.
func (cut Cut) holds(d dirfd.Dir) error {
	group, known, err := mountfd.Peers(d)
	return cut.judge(d, group, known, err)
}

func (cut Cut) judge(d dirfd.Dir, group uint64, known bool, err error) error {
	if cut.below && err == nil && !known {
		group, known, err = mountfd.PeersByMountinfo(d)
	}
	switch {
	case err != nil || !known:
		return err
	case !cut.below && group != 0:
		return fmt.Errorf("the mount on %s is shared with other namespaces", d.Path())
	case cut.below && group == 0:
		return fmt.Errorf("what is mounted on %s would not reach the namespaces below this one", d.Path())
	}
	if others, err := cut.others.Has(group); err != nil || others {
		return errors.Join(err, fmt.Errorf("the mount on %s is shared with other namespaces, by peer group %d", d.Path(), group))
	}
	return nil
}

func verify(s *Staged, cut Cut, walks *dirfd.Walks) error {
	way, err := s.walk(walks)
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
	flags, err := mountfd.FlagsAt(way)
	if err != nil {
		return err
	}
	if want := config.MountFlags(s.Step.Attributes); config.MountFlags(flags)&want != want {
		return fmt.Errorf("mounted %s, want %s", config.MountFlags(flags), want)
	}
	group, known, err := mountfd.PeersAt(way)
	if err := cut.judge(way.Dir, group, known, err); err != nil {
		return err
	}
	if s.Step.Overlay != nil {
		if err := s.over.Check(way.Dir); err != nil {
			return err
		}
	}
	return s.verifyKept(way.Dir, cut)
}

// DetachAll takes off again what Attach attached, in a namespace that somebody
// else will go on to use.
func DetachAll(all []*Staged) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].attached {
			for _, m := range slices.Backward(all[i].Mounts()) {
				_ = mountfd.Detach(m)
			}
			all[i].attached = false
		}
	}
}
