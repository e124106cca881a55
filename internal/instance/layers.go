package instance

import (
	"errors"
	"fmt"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountfd"
)

// LayersMode is the mode of an instance that holds an overlay's changes: they are
// reached by nobody but root, and by the overlay.
const LayersMode = 0o700

// HoldsLayers reports whether the changes of an overlay lie in an instance: it is
// root's alone, so that only root can have made what is in it.
func HoldsLayers(dir dirfd.Dir) bool {
	st, err := dir.Stat()
	if err != nil || !st.IsDir() || st.UID != 0 || st.Mode != LayersMode {
		return false
	}
	l, err := OpenLayers(dir)
	l.Close()
	return err == nil
}

// Layers are the directories in which an overlay's changes lie.
type Layers struct{ Upper, Work dirfd.Dir }

// Close releases the handles.
func (l *Layers) Close() {
	l.Upper.Close()
	l.Work.Close()
}

// OpenLayers opens them by the handle of what they lie in.
func OpenLayers(in dirfd.Dir) (l Layers, err error) {
	if l.Upper, err = in.LookupHere(layout.Upper); err == nil {
		l.Work, err = in.LookupHere(layout.Work)
	}
	for _, d := range []dirfd.Dir{l.Upper, l.Work} {
		var st dirfd.Stat
		if err == nil {
			st, err = d.Stat()
		}
		if err == nil {
			err = isDirectory(d.Path(), st)
		}
	}
	if err != nil {
		l.Close()
		return Layers{}, err
	}
	return l, nil
}

// LayersInUse asks the kernel whether an overlay has the changes in an instance that
// is about to be removed: a namespace can show the overlay alone, without the
// instance. Where the kernel cannot tell, nothing has them. They are of no use to a
// session afterwards.
func LayersInUse(dir dirfd.Dir) (bool, error) {
	if !HoldsLayers(dir) {
		return false, nil
	}
	l, err := OpenLayers(dir)
	if err != nil {
		return false, err
	}
	defer l.Close()
	const probe = "probe"
	name := probe
	if err := dir.Mkdir(probe, 0); dirfd.IsFull(err) {
		name = layout.Work // there is no overlay with that, but who has Upper is asked before
	} else if err != nil && !dirfd.IsExist(err) {
		return false, err
	}
	lower, err := dir.LookupHere(name)
	if err != nil {
		return false, err
	}
	defer lower.Close()
	o, err := mountfd.NewOverlay("probe", mountfd.Layers{Lower: lower, Upper: l.Upper, Work: l.Work, Alone: true})
	o.Close()
	return errors.Is(err, mountfd.ErrLayersInUse), nil
}

func isDirectory(path string, st dirfd.Stat) error {
	if !st.IsDir() {
		return fmt.Errorf("%s: is a %s, not a directory", path, st.TypeName())
	}
	return nil
}
