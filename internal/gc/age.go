package gc

import (
	"errors"
	"strings"
	"time"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/observe"
)

// Age removes from persistent instances what nobody has used for so long. It
// does what systemd-tmpfiles cannot, who sees an instance from outside: it
// leaves alone what a session has mounted or listens on in there. aged is told
// how many entries of an instance were removed or, in a dry run, are to be; bad
// is as for Instances.
func Age(parents []Parent, olderThan time.Duration, dryRun bool, progress func(), aged func(path string, entries int), bad func(path string, err error)) error {
	began := time.Now() // before anybody looks who uses what
	all, err := Instances(parents, bad)
	if err != nil {
		return err
	}
	var errs []error
	for _, i := range all {
		if i.State != InUse && i.State != Idle || strings.Contains(i.Name, layout.TmpdirPrefix) {
			continue
		}
		a := dirfd.Aging{Before: began.Add(-olderThan), DryRun: dryRun, Progress: progress}
		n, err := age(i, began, a)
		if n > 0 {
			aged(i.Path(), n)
		}
		if err != nil && !dirfd.IsNotExist(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func age(i Instance, began time.Time, a dirfd.Aging) (int, error) {
	way, err := observe.OpenParent(i.Parent)
	if err != nil || !way.Dir.IsOpen() {
		return 0, err
	}
	defer way.Close()
	dir, err := way.Dir.LookupHere(i.Name)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	if instance.HoldsLayers(dir) {
		return 0, nil // an overlay's changes: a file of the public directory would come back
	}
	a.Alone = func(f func()) bool { return alone(i, way.Dir, began, f) }
	return dir.Age(a)
}

// alone runs f while it holds the lock of an instance that nobody used, so that every
// opener waits; f must be short, because one may come. A session that came since began
// has left its time in the lock. Without a lock nobody knows when it was used, and f is
// not run.
func alone(i Instance, parent dirfd.Dir, began time.Time, f func()) bool {
	if i.State == InUse {
		return false
	}
	g, err := instance.Hold(parent, i.Name)
	if err != nil || g == nil {
		return false
	}
	defer g.Release()
	lock, known := lockState(parent, i.Name)
	const tick = 2 * time.Second // the lock's time is in seconds
	if !known || !lock.LastOpen.Before(began.Add(-tick)) {
		return false
	}
	f()
	return true
}
