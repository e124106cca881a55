package apply

import (
	"errors"
	"fmt"
	"time"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/record"
)

// errLayers says that an overlay cannot have its layers, by what the user has or
// did.
var errLayers = errors.New("overlay")

// makeLayers makes them in a new instance that nobody can see yet.
func makeLayers(in dirfd.Dir, step *plan.Step) error {
	if step.Overlay == nil {
		return nil
	}
	work := plan.Owner{Mode: 0o700}
	for name, owner := range map[string]plan.Owner{layout.Upper: step.Overlay.Owner, layout.Work: work} {
		if err := in.Mkdir(name, 0); err != nil {
			return err
		}
		dir, err := in.LookupHere(name)
		if err != nil {
			return err
		}
		err = dir.SetOwner(owner.UID, owner.GID, owner.Mode)
		dir.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// openLayers opens them.
func (s *Staged) openLayers(in dirfd.Dir) (err error) {
	if s.Step.Overlay == nil {
		return nil
	}
	s.layers, err = instance.OpenLayers(in)
	if err != nil {
		return fmt.Errorf("%w: %w: `polyinst prepare --aside %s`", errLayers, err, shellword.Quote(s.Step.Shows()))
	}
	return nil
}

// repairLayers gives an existing overlay's changes the owner, group and mode of the
// polydir. What holds no changes is left as it is: others may have made what is in it.
func repairLayers(in dirfd.Dir, owner plan.Owner) error {
	if !instance.HoldsLayers(in) {
		return fmt.Errorf("%s: holds no changes of an overlay: `polyinst prepare --aside %s`", in.Path(), shellword.Quote(in.Path()))
	}
	l, err := instance.OpenLayers(in)
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Upper.SetOwner(owner.UID, owner.GID, owner.Mode)
}

// layersPatience is how long the kernel may take to let go of the changes after
// the last process of another session has ended.
const layersPatience = 5 * time.Second

// overlay lays an overlay over the public directory, whose changes lie in what was
// staged so far. That is mounted beneath it: so each namespace that has the overlay
// shows the instance too, and is seen to use it (I-10).
func (s *Staged) overlay(scene *observe.Scene) error {
	if s.Step.Overlay == nil {
		return nil
	}
	base, err := scene.Polydir.Dir.Stat()
	if err != nil {
		return err
	}
	if base.ID != s.Polydir {
		return errSwapped
	}
	s.under, s.Mount = s.Mount, mountfd.Mount{}
	lay := func() (err error) {
		s.over, err = mountfd.NewOverlay(s.Step.Path, mountfd.Layers{Lower: scene.Polydir.Dir, Upper: s.layers.Upper, Work: s.layers.Work, Alone: s.Step.Overlay.Keep})
		return err
	}
	err = lay()
	for until := time.Now().Add(layersPatience); errors.Is(err, mountfd.ErrLayersInUse) && time.Now().Before(until); err = lay() {
		time.Sleep(10 * time.Millisecond)
	}
	if errors.Is(err, mountfd.ErrNoRoom) { // and then nobody has the changes
		err = s.unlimited(lay)
	}
	switch {
	case errors.Is(err, mountfd.ErrLayersInUse):
		return fmt.Errorf("%w: %s: %w, of another namespace of the user's: end the sessions in it, which `polyinst list` shows", errLayers, s.Step.Shows(), err)
	case errors.Is(err, mountfd.ErrOtherLower):
		return fmt.Errorf("%w: %s: %w: `polyinst prepare --aside %s`", errLayers, s.Step.Shows(), err, shellword.Quote(s.Step.Shows()))
	case errors.Is(err, mountfd.ErrNoRoom):
		return fmt.Errorf("overlay: %s: %w: `polyinst list --instances` shows who has how much", s.Step.Shows(), err)
	}
	if err != nil {
		return err
	}
	s.Mount = s.over.Mount
	// only now: the kernel takes no changes to a mount that is read-only
	return s.under.SetAttr(mountfd.NoSuid | mountfd.NoDev | mountfd.NoExec | mountfd.NoSymFollow | mountfd.ReadOnly)
}

// TakeOff takes an overlay off its polydir, in a view that nobody but its host is in
// any more, before its changes are removed. The instance beneath it, which only root
// can enter, then covers the polydir.
func TakeOff(p record.Polydir) error {
	if p.Method != string(config.MethodOverlay) {
		return nil
	}
	way, err := dirfd.Walk(p.Path, nil)
	if err != nil {
		return err
	}
	defer way.Close()
	if way.Missing || way.Stat.MountID != p.MountID {
		return nil
	}
	return mountfd.Detach(way.Dir)
}

// Mounts are the root directories of what is attached for the polydir, the
// undermost first.
func (s *Staged) Mounts() []dirfd.Dir {
	var all []dirfd.Dir
	for _, beneath := range []mountfd.Mount{s.mark, s.under} {
		if beneath.Root.IsOpen() {
			all = append(all, beneath.Root)
		}
	}
	return append(all, s.Mount.Root)
}
