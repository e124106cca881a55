package mountfd

import (
	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mountinfo"
)

// Peers is the peer group of the mount that a directory lies on: the mounts that get
// what is mounted on this one (a shared mount, mount_namespaces(7)). 0: there are
// none. known is false where the kernel does not say: before statmount(2), Linux
// 6.8, and where a security module does not let this process ask.
func Peers(d dirfd.Dir) (group uint64, known bool, err error) {
	st, err := d.Stat()
	if err != nil || !st.MountUnique {
		return 0, false, err
	}
	var a mountinfo.Answer
	err = a.Ask(0, st.MountID, mountinfo.Propagation)
	if mountinfo.IsUntold(err) || err == nil && !a.Has(mountinfo.Propagation) {
		return 0, false, nil
	}
	if err != nil || a.Propagation()&unix.MS_SHARED == 0 {
		return 0, err == nil, err
	}
	return a.Peers(), true, nil
}

// PeersAt is Peers of what is at the end of a walk, which has mostly asked.
func PeersAt(way dirfd.Way) (group uint64, known bool, err error) {
	switch {
	case way.Mount.ID == 0 || way.Mount.ID != way.Stat.MountID:
		return Peers(way.Dir)
	case !way.Mount.Shared:
		return 0, true, nil
	}
	return way.Mount.Peers, true, nil
}

// PeersByMountinfo says the same of any kernel, and costs more where there are many
// mounts. known is false where the root directory does not show the mount.
func PeersByMountinfo(d dirfd.Dir) (group uint64, known bool, err error) {
	id, err := d.ReusedMountID()
	if err != nil {
		return 0, false, err
	}
	line, found, err := mountinfo.Own(id)
	return line.Peers, found, err
}

// Groups are the peer groups of the mounts that this process sees, each with the
// mounts that are in it, by the ids of mountinfo.
type Groups map[uint64][]uint64

// OwnGroups looks at all mounts.
func OwnGroups() (Groups, error) {
	groups := Groups{}
	err := mountinfo.EachOwn(func(m mountinfo.Line) bool {
		if m.Peers != 0 {
			groups[m.Peers] = append(groups[m.Peers], m.ID)
		}
		return true
	})
	return groups, err
}

// Has reports whether the group is still that of other mounts: one of those that were
// in it is in it, or gets what is mounted in it. The number of a group that has ended
// is used again.
func (g Groups) Has(group uint64) (has bool, err error) {
	was := map[uint64]bool{}
	for _, id := range g[group] {
		was[id] = true
	}
	if len(was) == 0 {
		return false, nil
	}
	err = mountinfo.EachOwn(func(m mountinfo.Line) bool {
		has = was[m.ID] && (m.Peers == group || m.Master == group)
		return !has
	})
	return has, err
}
