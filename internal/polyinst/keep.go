package polyinst

import (
	"fmt"

	"pam_polyinst/internal/config"
)

// KeepFacts are what was seen of one name of `keep`.
type KeepFacts struct {
	Name   string
	Public DirFacts // the entry of the public directory
	Inside DirFacts // what an existing instance has under that name
}

// Kept is an entry of the public directory that the instance shows as well: it
// is mounted on the directory of its name in the instance.
type Kept struct {
	Name  string
	Entry FileID
	Mode  uint32 // of the entry, and of a mount point that is made
	Point FileID // the mount point; zero: made first
}

// Absent is why an entry is left out that is not there.
const Absent = "does not exist"

// LeftOut is a name of `keep` that the session does not get, and why.
type LeftOut struct{ Name, Why string }

// KeptFlags are the mount attributes of what the step keeps: the instance's, and
// no symbolic link in it is followed, since all users may be able to make names
// there.
func (s Step) KeptFlags() config.MountFlags { return s.Attributes | config.NoSymFollow }

// keep sorts out which entries of the public directory the instance shows. What
// is not in order is left out, which refuses nobody: the session then has less
// to do with other users, not more.
func keep(step *Step, s Subject, f Facts) {
	for _, k := range f.Keep {
		why := EntryProblem(k.Public)
		inside := k.Inside
		if step.Source != ExistingInstance {
			inside = DirFacts{}
		}
		if why == "" {
			why = PointProblem(inside, s.UID, step.Shared)
		}
		if why != "" {
			step.LeftOut = append(step.LeftOut, LeftOut{k.Name, why})
			continue
		}
		step.Keep = append(step.Keep, Kept{Name: k.Name, Entry: k.Public.ID, Mode: k.Public.Owner.Mode, Point: inside.ID})
	}
}

// EntryProblem says why an entry of the public directory, where any user may have
// made it, is not kept; empty if it is.
func EntryProblem(d DirFacts) string {
	switch {
	case d.Problem != "":
		return d.Problem
	case !d.Exists:
		return Absent
	case d.Owner.UID != 0:
		return fmt.Sprintf("owned by uid %d, want root", d.Owner.UID)
	case d.Owner.Mode&0o022 != 0 && d.Owner.Mode&0o1000 == 0:
		return fmt.Sprintf("mode %04o: group or others can write it, and it has no sticky bit", d.Owner.Mode)
	}
	return ""
}

// PointProblem says why what the instance has under the name is no mount point;
// empty if it is one, or if there is nothing. Whoever owns it can rename it, and
// what is mounted there with it: that is root, or the one user of the instance.
func PointProblem(d DirFacts, uid uint32, shared bool) string {
	switch {
	case d.Problem != "":
		return "in the instance: " + d.Problem
	case !d.Exists, d.Owner.UID == 0, d.Owner.UID == uid && !shared:
		return ""
	}
	return fmt.Sprintf("in the instance it is owned by uid %d", d.Owner.UID)
}

// keepClash refuses a polydir that covers what another one keeps: one of the
// two cannot be meant.
func keepClash(rules []Rule) *Refusal {
	paths := map[string]bool{}
	for _, r := range rules {
		paths[r.Path] = true
	}
	for _, r := range rules {
		for _, name := range r.Config.Keep {
			if path := r.Path + "/" + name; paths[path] {
				return refuse(FaultConfig, r.Path, "keep %q: polydir %q covers it: remove one of the two", name, path)
			}
		}
	}
	return nil
}
