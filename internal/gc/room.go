// Package gc finds and removes what no session uses any more: the tmpdir
// instances whose session has ended, and what a crash left half made.
package gc

import (
	"os"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

// Others counts the processes in a mount namespace, without this one and the
// one that closes its session. sure: that there is none is certain.
func Others(ns mntns.ID, host int) (n int, sure bool, err error) {
	others := map[int]bool{}
	sure, err = live.All(func(t live.Task) (bool, error) {
		if isOther(t, ns, host) {
			others[t.PID] = true
		}
		return true, nil
	})
	return len(others), sure || len(others) > 0, err
}

func isOther(t live.Task, ns mntns.ID, host int) bool {
	return t.NS == ns && t.PID != host && t.PID != os.Getpid()
}

// Room is what the tmpdir instances of records lie in, and who shows them. Each
// instance parent is walked to once: what is asked about is what is removed.
type Room struct {
	uses  live.Uses
	ways  map[string]dirfd.Way // to the parents, by their paths
	lies  map[string]mntns.Location
	begun map[string]dirfd.Removal // nil: Remove takes as long as it takes; else those that are not finished, by path
	// Left are processes in the record's own namespace, without this one and the host.
	Left map[int]bool
}

// Beside finds out which tmpdir instances of a record namespaces other than its own
// show, as far as they can show something of it: a session's process may have made
// one of its own, with a copy of its mounts. Those that we built from the host's
// view cannot, and on a busy machine they are the most. It looks at what is mounted
// since the first of the instances, and not at much of what users mount: the answer
// is then InDoubt. On the same way it finds out who is left in the namespace itself;
// if there is somebody it looks no further. A host of 0 says that nobody is.
func Beside(own record.Record, store record.Store, host int) (*Room, error) {
	r := newRoom(live.Uses{Hasty: true, Known: store.Identities, Skip: func(ever uint64, number mntns.ID) bool {
		if ever != 0 && own.Ever != 0 {
			return ever == own.Ever || fromHostView(ever, number, store)
		}
		return number == own.NS
	}})
	if host != 0 {
		r.uses.Task = func(t live.Task) bool {
			if isOther(t, own.NS, host) {
				r.Left[t.PID] = true
			}
			return len(r.Left) == 0
		}
	}
	err := r.want(own)
	if err == nil {
		err = r.uses.Look()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func newRoom(uses live.Uses) *Room {
	return &Room{uses: uses, ways: map[string]dirfd.Way{}, lies: map[string]mntns.Location{}, Left: map[int]bool{}}
}

// want asks about the tmpdir instances of a record. What a user did to a parent in
// their home is an error of observe.IsUsersDoing.
func (r *Room) want(own record.Record) error {
	for _, p := range own.Tmpdirs() {
		way, known := r.ways[p.Parent]
		if !known {
			var err error
			if way, err = observe.OpenParent(p.Parent); err != nil {
				return err
			}
			r.ways[p.Parent] = way
		}
		if !way.Dir.IsOpen() {
			return dirfd.NotExist(p.Parent)
		}
		place, err := mntns.LocationOf(way.Dir)
		if err != nil {
			return err
		}
		r.lies[p.Instance()] = place.Below(p.Name)
		r.uses.Want(place.Below(p.Name))
		if over := overlayOf(p); over.Dev != 0 {
			r.uses.Want(over)
		}
		if own.Unique && (r.uses.Newer == 0 || p.MountID < r.uses.Newer) {
			r.uses.Newer = p.MountID
		}
	}
	return nil
}

// Close releases the handles.
func (r *Room) Close() {
	for _, w := range r.ways {
		w.Close()
	}
}

// Of is whether another namespace shows an instance, which is the user's.
func (r *Room) Of(p record.Polydir, uid uint32) live.Answer {
	answer := r.uses.Of(r.lies[p.Instance()], uid, true)
	if over := overlayOf(p); over.Dev != 0 && answer == live.Free {
		answer = r.uses.Of(over, uid, true)
	}
	return answer
}

// Remove removes an instance and its lock. False: a session that is being opened
// holds it.
func (r *Room) Remove(p record.Polydir) (bool, error) {
	parent := r.ways[p.Parent].Dir
	guard, err := instance.Hold(parent, p.Name)
	if err != nil || guard == nil {
		return false, err
	}
	defer guard.Release()
	if err := r.remove(parent, p); err != nil {
		return false, err
	}
	return true, guard.Forget()
}

func (r *Room) remove(parent dirfd.Dir, p record.Polydir) error {
	if r.begun == nil {
		return parent.RemoveTree(p.Name, nil)
	}
	removal, known := r.begun[p.Instance()]
	if !known {
		removal = dirfd.NewRemoval()
	}
	err := removal.Go(parent, p.Name, share)
	if delete(r.begun, p.Instance()); dirfd.IsUnfinished(err) {
		r.begun[p.Instance()] = removal
	}
	return err
}

// overlayOf is the overlay whose changes lie in the instance, which a namespace can
// show without the instance.
func overlayOf(p record.Polydir) mntns.Location {
	if p.Method != string(config.MethodOverlay) {
		return mntns.Location{}
	}
	return mntns.Location{Dev: p.Dev, Path: "/"}
}

// fromHostView reports whether a namespace is one that we built from the host's
// view. Only an id that is never used again says so.
func fromHostView(ever uint64, number mntns.ID, store record.Store) bool {
	if ever == 0 {
		return false
	}
	r, err := store.Read(mntns.Identity{NS: number, Ever: ever})
	return err == nil && r != nil && r.Ever == ever && r.Base != 0 && r.Base == r.Host
}
