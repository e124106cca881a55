package live

import (
	"cmp"
	"slices"
	"strings"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/record"
)

// Namespace is a namespace of ours in which a process is.
type Namespace struct {
	record.Record
	PIDs    []int  // in ascending order
	Covered []bool // of each polydir: the namespace shows its instance there
}

// Namespaces are our live namespaces, oldest first. A record is believed only
// where a process is in a namespace of its id whose root is the recorded mount;
// where mount ids are used again, all polydirs must show their instances
// instead. A record that cannot be read is told to bad, which may be nil.
//
// It is for reports. Who wants to enter a namespace verifies it from inside.
func Namespaces(store record.Store, bad func(error)) ([]Namespace, error) {
	records, err := store.List(bad)
	if err != nil {
		return nil, err
	}
	seen := map[mntns.ID]*candidate{}
	for _, r := range records {
		if !r.Dead {
			seen[r.NS] = &candidate{Namespace: Namespace{Record: r.Record, Covered: make([]bool, len(r.Polydirs))}}
		}
	}
	if len(seen) == 0 {
		return nil, nil
	}
	err = Each(func(t Task) (bool, error) {
		if c := seen[t.NS]; c != nil {
			c.look(t)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	var out []Namespace
	for _, c := range seen {
		if c.agrees {
			slices.Sort(c.PIDs)
			out = append(out, c.Namespace)
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

// candidate is a record, until some process shows that it is right.
type candidate struct {
	Namespace
	agrees bool
}

func (c *candidate) look(t Task) {
	if !slices.Contains(c.PIDs, t.PID) {
		c.PIDs = append(c.PIDs, t.PID)
	}
	if c.agrees && !slices.Contains(c.Covered, false) {
		return
	}
	// a process in a chroot sees less than the namespace shows: what one of
	// them sees is there
	mounts, err := Mounts(t)
	if err != nil {
		return // it ended meanwhile
	}
	for i, p := range c.Polydirs {
		c.Covered[i] = c.Covered[i] || slices.ContainsFunc(mounts, func(m Mount) bool { return m.shows(p) })
	}
	if !c.agrees {
		c.agrees = c.rootAgrees(t)
	}
}

func (c *candidate) rootAgrees(t Task) bool {
	if !c.Unique {
		return !slices.Contains(c.Covered, false)
	}
	return IsIn(t, c.Record)
}

// IsIn tells whether a task is in the very namespace of a record. Where mount
// ids are used again, or the task is in a chroot, that cannot be told: false.
func IsIn(t Task, r record.Record) bool {
	if t.NS != r.NS || !r.Unique {
		return false
	}
	root, err := dirfd.RootOf(t.PID, t.TID)
	if err != nil {
		return false
	}
	defer root.Close()
	st, err := root.Stat()
	return err == nil && st.MountUnique && st.MountID == r.Root
}

// shows tells whether the mount is one of the recorded instance. The polydir's
// path may have led through a link, so that the place is compared for a tmpfs
// alone, which has no other name.
func (m Mount) shows(p record.Polydir) bool {
	if p.Parent == "" {
		return m.FSType == "tmpfs" && m.Point == p.Path
	}
	return strings.HasSuffix(m.Root, "/"+p.Name)
}
