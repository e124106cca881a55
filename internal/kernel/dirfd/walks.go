package dirfd

import "golang.org/x/sys/unix"

// Walks are the walks to the polydirs of a session, one after the other, of which many
// begin alike. They enter a directory on the way once if only root can change it and
// its name, because then no later walk could see another one; and they ask once what
// a mount is. Each walk enters everything else by itself, as if it were the first.
//
// They are of one view: they end before this process enters another namespace. What
// they have handed out ends with them, with the exception of the Dir of a Way. The nil
// Walks remember nothing.
type Walks struct {
	at     stop // the root directory
	known  map[stepping]entered
	mounts map[uint64]*mounted // by ids that are never used again
	rooms  map[uint64]*unix.Statfs_t
}

// stepping is a step from a directory to its entry.
type stepping struct {
	from Spot
	name string
}

// Close lets go of all handles.
func (a *Walks) Close() {
	for _, e := range a.known {
		e.lent = false
		e.Close()
	}
	a.at.lent = false
	a.at.Close()
	*a = Walks{}
}

// Covered forgets a directory on which something has been mounted.
func (a *Walks) Covered(spot Spot) {
	for step, e := range a.known {
		if e.stat.Spot() == spot {
			e.lent = false
			e.Close()
			delete(a.known, step)
		}
	}
}

// root is the root directory.
func (a *Walks) root() (stop, error) {
	if a != nil && a.at.IsOpen() {
		return a.at, nil
	}
	root, err := Root()
	if err != nil {
		return stop{}, err
	}
	st, err := root.Stat()
	if err != nil {
		root.Close()
		return stop{}, err
	}
	at := stop{Dir: root, stat: st}
	if a != nil {
		at.Dir = root.lend()
		at.on = rootMount(st)
		a.at = at
	}
	return at, nil
}

// rootMount is what is known of the root directory's mount, if one call says so:
// whoever lies there is believed anyway.
func rootMount(root Stat) *mounted {
	if !root.MountUnique {
		return nil
	}
	kind, says := byStatmount(root.MountID)
	if !keptHere[kind] {
		return nil
	}
	return &mounted{Filesystem{Type: kind, Kept: true, Believed: true, UID: NoUID}, says}
}

// recall is a step that was made before. What a walk leads to in the end is always
// looked at.
func (a *Walks) recall(here stop, name string, last bool) (entered, bool) {
	if a == nil || last || !here.lent {
		return entered{}, false
	}
	e, ok := a.known[stepping{here.stat.Spot(), name}]
	return e, ok
}

// remember notes a step, if only root could have it lead elsewhere. The way to here is
// known to be root's alone.
func (a *Walks) remember(here stop, name string, next entered) entered {
	st := next.stat
	if a == nil || !here.lent || !st.IsDir() || st.UID != 0 || st.Mode&0o022 != 0 || next.on == nil || !next.on.Kept {
		return next
	}
	if a.known == nil {
		a.known = map[stepping]entered{}
	}
	next.Dir = next.lend()
	a.known[stepping{here.stat.Spot(), name}] = next
	return next
}

// mounted asks of the mount that a handle lies on what it is.
func (a *Walks) mounted(d Dir, st Stat) (*mounted, error) {
	if a != nil && st.MountUnique {
		if m, ok := a.mounts[st.MountID]; ok {
			return m, nil
		}
	}
	var m mounted
	var err error
	if m.Filesystem, m.says, err = d.filesystemOn(st.MountID, st.MountUnique); err != nil {
		return nil, err
	}
	if a != nil && st.MountUnique {
		if a.mounts == nil {
			a.mounts = map[uint64]*mounted{}
		}
		a.mounts[st.MountID] = &m
	}
	return &m, nil
}

// statfs asks what there is on the mount that a handle lies on.
func (a *Walks) statfs(d Dir, st Stat) (*unix.Statfs_t, error) {
	if a != nil && st.MountUnique && a.rooms[st.MountID] != nil {
		return a.rooms[st.MountID], nil
	}
	s := &unix.Statfs_t{}
	err := unix.Fstatfs(d.FD(), s)
	if a != nil && st.MountUnique && err == nil {
		if a.rooms == nil {
			a.rooms = map[uint64]*unix.Statfs_t{}
		}
		a.rooms[st.MountID] = s
	}
	return s, err
}

// keep is a handle that outlives the walk.
func (s stop) keep() (Dir, error) {
	if s.lent {
		return s.Dir, nil
	}
	return s.Dup()
}
