package live

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
	"pam_polyinst/internal/kernel/mountinfo"
	"pam_polyinst/internal/sessions/record"
)

// Living says which namespaces there are. What keeps one does not matter where the
// kernel can be asked (Linux 6.11 by id, 6.12 for all that there are); else those
// count in which a task is.
type Living struct {
	asked  bool
	sure   bool
	ever   map[uint64]bool
	number map[mntns.ID]uint64 // with the id of the namespace that has it now
}

// FindLiving looks once.
func FindLiving() (Living, error) {
	l := Living{ever: map[uint64]bool{}, number: map[mntns.ID]uint64{}}
	err := mntns.EachNamespace(func(n mntns.Found) (bool, error) {
		l.asked, l.sure = true, true
		l.ever[n.Ever], l.number[n.ID] = true, n.Ever
		return true, nil
	})
	if l.asked || !mountinfo.IsUntold(err) {
		return l, err
	}
	l.sure, err = All(func(t Task) (bool, error) {
		l.number[t.NS] = 0
		return true, nil
	})
	return l, err
}

// Ended reports whether it is certain that a namespace is not there any more.
func (l Living) Ended(i mntns.Identity) bool {
	if life := mntns.Lives(i.Ever); life != mntns.Unknown {
		return life == mntns.Ended
	}
	ever, taken := l.number[i.NS]
	switch {
	case !l.sure:
		return false
	case l.asked && i.Ever != 0:
		return !l.ever[i.Ever]
	case l.asked && taken && i.Unique:
		return !mntns.HasMount(ever, i.Root) // another one has got its number
	}
	return !taken
}

// Namespace is a namespace of ours that lives.
type Namespace struct {
	record.Record
	PIDs    []int  // of the processes in it, in ascending order
	Covered []bool // of each polydir: the namespace shows its instance there
}

// Open opens the namespace by one of the processes in it.
func (n Namespace) Open() (mntns.NS, error) {
	for _, pid := range n.PIDs {
		ns, err := mntns.OpenTask(pid, pid)
		if err != nil {
			continue // it ended meanwhile
		}
		if ns.ID == n.NS && (n.Ever == 0 || n.Ever == ns.Ever()) {
			return ns, nil
		}
		ns.Close() // it has gone to another one
	}
	return mntns.NS{}, fmt.Errorf("mnt:[%d]: no process is in it any more", n.NS)
}

// Namespaces are our live namespaces in which a process is, wherever its root is; the
// oldest first. A record is believed only if the kernel knows the namespace. Before
// Linux 6.12 a process must be in a namespace of its number whose root is the recorded
// mount; if mount ids are used again, all polydirs must show their instances instead.
// Namespaces tells bad, which may be nil, of a record that it cannot read.
//
// It is for reports. Before a process enters a namespace, it verifies it from inside.
func Namespaces(store record.Store, bad func(error)) ([]Namespace, error) {
	records, err := store.List(bad)
	if err != nil {
		return nil, err
	}
	living, err := FindLiving()
	if err != nil {
		return nil, err
	}
	seen := map[mntns.ID][]*candidate{}
	for _, r := range records {
		if r.Dead || living.Ended(r.Identity) {
			continue
		}
		c := &candidate{Namespace: Namespace{Record: r.Record, Covered: make([]bool, len(r.Polydirs))}}
		if c.ever = r.Ever; c.ever == 0 && r.Unique {
			c.ever = living.number[r.NS]
		}
		if mntns.Lives(c.ever) == mntns.Alive {
			c.ask()
		} else {
			c.ever = 0
		}
		seen[r.NS] = append(seen[r.NS], c)
	}
	if len(seen) == 0 {
		return nil, nil
	}
	_, err = All(func(t Task) (bool, error) {
		for _, c := range seen[t.NS] {
			c.look(t)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	var out []Namespace
	for _, all := range seen {
		for _, c := range all {
			if c.agrees && len(c.PIDs) > 0 {
				slices.Sort(c.PIDs)
				out = append(out, c.Namespace)
			}
		}
	}
	slices.SortFunc(out, func(a, b Namespace) int {
		if a.Opened != b.Opened {
			return cmp.Compare(a.Opened, b.Opened)
		}
		return cmp.Compare(a.Root, b.Root) // later mounts have greater ids
	})
	return out, nil
}

// candidate is a record, until something shows that it is right.
type candidate struct {
	Namespace
	ever   uint64 // by which the kernel was asked; 0: it cannot be
	agrees bool

	numbered bool // the namespace that was asked has the recorded number
}

// ask asks the kernel what the namespace has.
func (c *candidate) ask() {
	c.agrees = mntns.HasMount(c.ever, c.Root)
	for i, p := range c.Polydirs {
		c.Covered[i] = mntns.Shows(c.ever, p.MountID)
	}
}

func (c *candidate) look(t Task) {
	if c.ever != 0 && !c.has(t) {
		return
	}
	if !slices.Contains(c.PIDs, t.PID) {
		c.PIDs = append(c.PIDs, t.PID)
	}
	if c.ever != 0 || c.agrees && !slices.Contains(c.Covered, false) {
		return
	}
	// a process in a chroot sees less than the namespace shows: what one of
	// them sees is there
	err := mountinfo.Each(t.PID, t.TID, func(m mountinfo.Line) bool {
		for i, p := range c.Polydirs {
			c.Covered[i] = c.Covered[i] || shows(m, p)
		}
		return slices.Contains(c.Covered, false)
	})
	if err != nil {
		return // it ended meanwhile
	}
	if !c.agrees {
		c.agrees = c.rootAgrees(t)
	}
}

func (c *candidate) rootAgrees(t Task) bool {
	if !c.Unique {
		return !slices.Contains(c.Covered, false)
	}
	return isIn(t, c.Record)
}

// has reports whether the task is in the namespace that was asked, and not in one
// that has its number by now: one of the tasks says that for all.
func (c *candidate) has(t Task) bool {
	if c.numbered {
		return true
	}
	ns, err := mntns.OpenTask(t.PID, t.TID)
	if err != nil {
		return false // it ended meanwhile
	}
	defer ns.Close()
	c.numbered = ns.ID == c.NS && ns.Ever() == c.ever
	return c.numbered
}

// isIn reports whether a task is in the very namespace of a record. Where mount
// ids are used again, or the task is in a chroot, that cannot be told: false.
func isIn(t Task, r record.Record) bool {
	if t.NS != r.NS || !r.Unique {
		return false
	}
	root, err := dirfd.RootOf(t.PID, t.TID)
	if err != nil {
		return false
	}
	defer root.Close()
	id, unique, err := root.Mount()
	return err == nil && unique && id == r.Root
}

// shows reports whether the mount is one of the recorded instance. The polydir's
// path may have led through a link, so that the location is compared only for what
// has no name of its own.
func shows(m mountinfo.Line, p record.Polydir) bool {
	if p.Parent != "" {
		return strings.HasSuffix(m.Root, "/"+p.Name)
	}
	if m.Point != p.Path && m.Point != p.Real {
		return false
	}
	switch p.Method {
	case "tmpfs", "proc", "overlay":
		return m.FSType == p.Method
	case "hidden":
		return strings.HasPrefix(m.Root, "/polyinst/nothing") || strings.HasPrefix(m.Root, "/run/polyinst/nothing")
	case "bind":
		return strings.HasSuffix(p.Source, m.Root) || strings.HasSuffix(m.Root, p.Source)
	}
	return true
}
