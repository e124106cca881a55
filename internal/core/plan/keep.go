package plan

import (
	"fmt"
	"strings"

	"pam_polyinst/internal/core/config"
)

// KeptByPattern is how many directories one pattern of `keep` stands for at most:
// each costs a session a mount.
const KeptByPattern = 64

// KeepFacts are what was seen of one name of `keep`, or of one of root's
// directories that a pattern of it matches. What a pattern matches besides, any
// user may have made: it counts for nothing.
type KeepFacts struct {
	Name   string     // with an entry of the user's a path, which can have several components
	Own    bool       // it is to be the user's own
	Lost   string     // why it cannot be there at all; there is no more to it then
	Above  []DirFacts // the directories above an entry of the user's, in the public directory
	Points []DirFacts // ... in an existing instance
	Cut    string     // said of a pattern: why not all that it matches was looked at; there is no more to it then
	Public DirFacts   // the entry of the public directory
	Inside DirFacts   // what an existing instance has under that name
}

// Kept is an entry of the public directory that the instance shows as well: it
// is mounted on the directory of its name in the instance.
type Kept struct {
	Name  string
	Own   bool // the user's own
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
// there. One that root alone can enter is as root left it: below it lies what
// systemd makes the /tmp of a unit, where programs need their links. In a home of
// the user's own they need them, too.
func (s Step) KeptFlags(k Kept) config.MountFlags {
	if k.Own || k.Mode&0o077 == 0 {
		return s.Attributes
	}
	return s.Attributes | config.NoSymFollow
}

// keep sorts out which entries of the public directory the instance shows. What
// is not in order is left out, which refuses nobody: the session then has less
// to do with other users, not more.
func keep(step *Step, rule Rule, s Subject, f Facts) {
	if step.Source == ExistingInstance {
		for _, name := range rule.Config.Keep {
			if config.IsPattern(name) {
				step.Patterns = append(step.Patterns, name)
			}
		}
	}
	for _, k := range f.Keep {
		if why := k.Cut + k.Lost; why != "" {
			step.LeftOut = append(step.LeftOut, LeftOut{k.Name, why})
			continue
		}
		inside := k.Inside
		if step.Source != ExistingInstance {
			inside, k.Points = DirFacts{}, nil
		}
		why := k.problem(s)
		for _, point := range append(k.Points, inside) {
			if why == "" {
				why = PointProblem(point, s.UID, step.Shared)
			}
		}
		if why != "" {
			step.LeftOut = append(step.LeftOut, LeftOut{k.Name, why})
			continue
		}
		step.Keep = append(step.Keep, Kept{Name: k.Name, Own: k.Own, Entry: k.Public.ID, Mode: k.Public.Owner.Mode, Point: inside.ID})
	}
}

// problem says why the entry of the public directory is not kept.
func (k KeepFacts) problem(s Subject) string {
	if !k.Own {
		return EntryProblem(k.Public)
	}
	for _, d := range k.Above {
		if why := EntryProblem(d); why != "" {
			return "above it: " + why
		}
	}
	switch d := k.Public; {
	case d.Problem != "":
		return d.Problem
	case !d.Exists:
		return Absent
	case d.Owner.UID != s.UID:
		return fmt.Sprintf("owned by uid %d, want %d, the session's user", d.Owner.UID, s.UID)
	}
	return ""
}

// KeepName is an entry of keep for one subject.
type KeepName struct {
	Name string // or a pattern
	Own  bool   // the user's own; Name is then a path below the polydir
	Lost string // it does not lie there
}

// keepNames expands what keep names.
func keepNames(p *config.Polydir, path string, s Subject) ([]KeepName, error) {
	var out []KeepName
	for _, written := range p.Keep {
		k := KeepName{Name: written, Own: config.OwnEntry(written)}
		if strings.Contains(written, "$") {
			full, err := config.Template(written).Expand(s.Vars())
			if err != nil {
				return nil, err
			}
			k.Name = full
			if strings.HasPrefix(full, "/") {
				below, inside := strings.CutPrefix(full, path+"/")
				if k.Name = below; !inside {
					k.Name, k.Lost = full, fmt.Sprintf("does not lie below %q: it is seen where it is", path)
				}
			}
		}
		out = append(out, k)
	}
	return out, nil
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
		for _, k := range r.Keep {
			for path := range paths {
				slash := strings.LastIndexByte(path, '/')
				if path == r.Path+"/"+k.Name && k.Lost == "" || !k.Own && path[:slash] == r.Path && config.Matches(k.Name, path[slash+1:]) {
					return refuse(FaultConfig, r.Path, "keep %q: polydir %q covers it: remove one of the two", k.Name, path)
				}
			}
		}
	}
	return nil
}
