package live

import (
	"strings"

	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/mountinfo"
)

// Uses answers whether directories are in use: whether a mount of some namespace
// shows them, or something below them. It asks the namespaces, by device and whole
// path: all that there are (Linux 6.12), or, where the kernel does not tell that,
// those that are known and those in which a process is. Its memory grows with what
// is asked about, not with what there is.
//
// What a user mounts in user namespaces of their own is looked at within bounds. What
// is beyond them is in doubt for their own directories alone: nobody else's could be
// there without their doing.
type Uses struct {
	// Skip, which may be nil, reports whether a namespace can show nothing that is asked about.
	Skip func(ever uint64, number mntns.ID) bool
	// OwnerOf, which may be nil, says whose a namespace is in which nobody else's
	// directory can lie deeper than is read.
	OwnerOf func(ever uint64, number mntns.ID) (uid uint32, known bool)
	// Known, which may be nil, are namespaces that may be there, whether a process
	// is in them or not.
	Known func() []mntns.Identity
	// Task, which may be nil, is called with each task of the machine, with some of
	// them several times: before the namespaces are asked, or, where these are found
	// by the tasks, on the way. When it says that it is enough, nothing further is
	// looked at, and nothing is sure.
	Task func(Task) (more bool)
	// Newer: only mounts with greater ids can show what is asked about.
	Newer uint64
	// Hasty looks at little, and what is beyond that is in doubt for everybody. For
	// who can leave it to gc.
	Hasty bool

	wanted  map[mntns.Location]bool
	devices map[uint64]bool
	newest  uint64 // all mounts with greater ids were made after Begin
	asked   bool   // the namespaces can be asked
	doubts  []doubt
	spent   map[uint32]int
	total   int // of all users
	visited int // namespaces
}

// Answer says what is known of a directory.
type Answer int

// The values of Answer.
const (
	Free Answer = iota
	InUse
	InDoubt
)

// doubt: something may be shown that was not read.
type doubt struct {
	device    uint64 // of what; 0: of anything
	uid       uint32
	everybody bool
}

// Bounds of what is looked at, of each user who has mounts in user namespaces of their own.
const (
	mountsOfAUser = 65536
	mountsInHaste = 512
	// roots that are longer than is read
	longOfAUser = 64
	longInHaste = 1
	// in haste, of all users and of root
	namespacesInHaste = 10000
	foreignInHaste    = 8 * mountsInHaste
)

// Want asks about a directory, before Look.
func (u *Uses) Want(p mntns.Location) {
	if u.wanted == nil {
		u.wanted, u.devices = map[mntns.Location]bool{}, map[uint64]bool{}
	}
	if _, asked := u.wanted[p]; !asked {
		u.wanted[p] = false
	}
	u.devices[p.Dev] = true
}

// Begin is to be called when it is not known yet what is asked about, but before
// it is seen that nobody opens it: what is mounted later, Again finds.
func (u *Uses) Begin() { u.newest = mntns.NewestMount() }

// Look looks at all namespaces.
func (u *Uses) Look() error { return u.look(u.Newer) }

// Again looks at what was mounted since Begin.
func (u *Uses) Again() error {
	// never from a later moment: what was made before it can be attached after it
	return u.look(max(u.newest, u.Newer))
}

// Of is the answer for one of the wanted; uid is the account that it is of, if
// that is known.
func (u *Uses) Of(p mntns.Location, uid uint32, known bool) Answer {
	if used, asked := u.wanted[p]; used {
		return InUse
	} else if !asked {
		return InDoubt
	}
	for _, d := range u.doubts {
		if (d.device == 0 || d.device == p.Dev) && (d.everybody || !known || d.uid == uid) {
			return InDoubt
		}
	}
	return Free
}

func (u *Uses) look(after uint64) error {
	if len(u.wanted) == 0 {
		return nil
	}
	u.spent, u.total, u.visited = map[uint32]int{}, 0, 0
	if u.Task != nil && told() {
		sure, err := All(func(t Task) (bool, error) { return u.Task(t), nil })
		if err != nil || !sure {
			u.doubt(doubt{everybody: true})
			return err
		}
	}
	if err := u.walks(after); u.asked || !mountinfo.IsUntold(err) {
		return err
	}
	return u.lookByTasks(after)
}

// How often who looks walks through the namespaces at most.
const (
	walksAtMost  = 8
	walksInHaste = 4
)

// walks asks the namespaces. From Linux 6.18 on each processor numbers them for itself:
// a copy may have a smaller id than its original, and be behind the walk when the
// original ends before it. Such a copy has newer mounts than the walk, and the next walk
// asks it. A walk during which nothing was mounted at all has missed nothing; of more
// walks than the bound each would have to be missed.
func (u *Uses) walks(after uint64) error {
	most := 1
	if mntns.NumberedByProcessor() {
		if most = walksAtMost; u.Hasty {
			most = walksInHaste
		}
	}
	begun := uint64(0)
	if most > 1 {
		begun = mntns.NewestMount()
	}
	for now := begun; ; most-- {
		u.visited = 0
		err := mntns.EachNamespace(func(n mntns.Found) (bool, error) {
			u.asked = true
			if u.passes(n.Ever, n.ID, after) {
				ours, uid, known := n.Owner()
				u.ask(n.Ever, n.ID, after, ours, uid, known)
			}
			return !u.tired(), nil
		})
		if err != nil || most == 1 || u.tired() {
			return err
		}
		before := now
		if now = mntns.NewestMount(); now != 0 && now == before+1 {
			return nil
		}
		after = max(after, begun)
	}
}

// told reports whether the kernel tells which namespaces there are.
func told() (yes bool) {
	_ = mntns.EachNamespace(func(mntns.Found) (bool, error) {
		yes = true
		return false, nil
	})
	return yes
}

// passes reports whether a namespace is to be looked at.
func (u *Uses) passes(ever uint64, number mntns.ID, after uint64) bool {
	u.visited++
	if ever != 0 && after != 0 && mntns.NoneNewer(ever, after) {
		return false
	}
	return u.Skip == nil || !u.Skip(ever, number)
}

// tired reports whether enough was looked at for who is in haste.
func (u *Uses) tired() bool {
	if !u.Hasty || u.visited < namespacesInHaste && u.total < foreignInHaste {
		return false
	}
	u.doubt(doubt{everybody: true})
	return true
}

// ask looks at one namespace.
func (u *Uses) ask(ever uint64, number mntns.ID, after uint64, ours bool, uid uint32, known bool) {
	d := doubt{uid: uid, everybody: !known || u.Hasty}
	limit, long := -1, -1
	if ours {
		if u.OwnerOf != nil {
			uid, known = u.OwnerOf(ever, number)
			d = doubt{uid: uid, everybody: !known}
		} else {
			d.everybody = true
		}
	} else {
		limit, long = mountsOfAUser-u.spent[uid], longOfAUser
		if u.Hasty {
			limit, long = mountsInHaste-u.spent[uid], longInHaste
		}
	}
	tooLong := 0
	looked, err := mntns.EachMount(ever, after, limit, func(dev uint64) bool { return u.devices[dev] && tooLong != long }, func(m mntns.Shown) {
		if m.Long {
			tooLong++
			u.doubt(doubt{m.Dev, d.uid, d.everybody})
			return
		}
		u.shown(mntns.Location{Dev: m.Dev, Path: m.Root})
	})
	if !ours {
		u.spent[uid] += looked
		u.total += looked
	}
	if err != nil && mntns.Lives(ever) == mntns.Ended {
		return
	}
	if err != nil || tooLong == long {
		// also what the kernel does not tell of a namespace that it has told of
		u.doubt(d)
	}
}

func (u *Uses) doubt(d doubt) {
	for _, known := range u.doubts {
		if known == d {
			return
		}
	}
	u.doubts = append(u.doubts, d)
}

// shown notes what a mount shows: the directory, and those that it is in.
func (u *Uses) shown(p mntns.Location) {
	for {
		if used, asked := u.wanted[p]; asked && !used {
			u.wanted[p] = true
		}
		i := strings.LastIndexByte(p.Path, '/')
		if i < 0 || p.Path == "/" {
			return
		}
		p.Path = p.Path[:max(i, 1)] // the root of the filesystem is one, too: an overlay's
	}
}

// lookByTasks is for kernels that do not say which namespaces there are. It asks each
// namespace that is recorded, and each that a task is in, by its id. Before Linux 6.11
// it enters them, because inside all mounts are seen, whatever the root of the task. It
// misses a namespace of a user's own making that only a descriptor or a bind mount
// keeps.
func (u *Uses) lookByTasks(after uint64) error {
	seen := map[mntns.ID]bool{}
	if u.Known != nil {
		for _, i := range u.Known() {
			if mntns.Lives(i.Ever) != mntns.Alive {
				continue
			}
			seen[i.NS] = true
			if u.tired() {
				return nil
			}
			if u.passes(i.Ever, i.NS, after) {
				u.ask(i.Ever, i.NS, after, true, 0, true) // one that we made
			}
		}
	}
	sure, err := All(func(t Task) (bool, error) {
		if u.Task != nil && !u.Task(t) {
			return false, nil
		}
		if seen[t.NS] {
			return true, nil
		}
		ns, err := mntns.OpenTask(t.PID, t.TID)
		if mntns.TaskGone(t.PID, t.TID, err) {
			return true, nil // the next task of the namespace will do
		}
		if err != nil {
			return false, err
		}
		defer ns.Close()
		if seen[ns.ID] {
			return true, nil
		}
		seen[ns.ID] = true
		ever := ns.Ever()
		if u.tired() {
			return false, nil
		}
		if !u.passes(ever, ns.ID, after) {
			return true, nil
		}
		ours, uid, known := ns.Owner()
		if ever != 0 {
			u.ask(ever, ns.ID, after, ours, uid, known)
		} else {
			u.enter(ns, ours, uid, known)
		}
		return true, nil
	})
	if err == nil && !sure {
		u.doubt(doubt{everybody: true})
	}
	return err
}

func (u *Uses) enter(ns mntns.NS, ours bool, uid uint32, known bool) {
	d := doubt{uid: uid, everybody: ours || !known || u.Hasty}
	left := mountsOfAUser - u.spent[uid]
	if u.Hasty {
		left = mountsInHaste - u.spent[uid]
	}
	err := ns.Inside(func(m mountinfo.Line) bool {
		if !ours {
			if left <= 0 {
				u.doubt(d)
				return false
			}
			left--
			u.spent[uid]++
			u.total++
		}
		switch {
		case !u.devices[m.Dev]:
		case m.Long:
			u.doubt(doubt{m.Dev, d.uid, d.everybody})
		default:
			u.shown(mntns.Location{Dev: m.Dev, Path: m.Root})
		}
		return true
	})
	if err != nil {
		u.doubt(d)
	}
}
