package live

import (
	"slices"
	"strings"

	"pam_polyinst/internal/kernel/mountinfo"
)

// Kept are, of each polydir, the entries of its Keep that are mounted still. Who
// removes the directory below one, in whichever namespace, takes it off: rmdir(2)
// detaches what others have mounted on it. A process in a chroot sees less than
// the namespace shows: what one of them sees is there.
func (n Namespace) Kept() [][]string {
	kept := make([][]string, len(n.Polydirs))
	missing := 0
	for _, p := range n.Polydirs {
		missing += len(p.Keep)
	}
	for _, pid := range n.PIDs {
		if missing == 0 {
			break
		}
		mounts, err := n.mountsOf(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		for i, p := range n.Polydirs {
			at := slices.IndexFunc(mounts, func(m mountinfo.Line) bool { return shows(m, p) })
			if at < 0 {
				continue
			}
			for _, name := range p.Keep {
				point := mounts[at].Point + "/" + name
				if !slices.Contains(kept[i], name) && slices.ContainsFunc(mounts, func(m mountinfo.Line) bool { return m.Point == point }) {
					kept[i] = append(kept[i], name)
					missing--
				}
			}
		}
	}
	return kept
}

// mountsOf are those mounts that a process sees which can be of an instance, or of
// an entry that is kept: others a user can make as many as they like.
func (n Namespace) mountsOf(pid int) ([]mountinfo.Line, error) {
	var out []mountinfo.Line
	err := mountinfo.Each(pid, pid, func(m mountinfo.Line) bool {
		for _, p := range n.Polydirs {
			kept := slices.ContainsFunc(p.Keep, func(name string) bool { return strings.HasSuffix(m.Point, "/"+name) })
			if shows(m, p) || kept {
				out = append(out, m)
				break
			}
		}
		return len(out) < mountsMax
	})
	return out, err
}

// mountsMax is how many such mounts are looked at.
const mountsMax = 10_000
