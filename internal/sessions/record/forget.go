package record

import (
	"math/rand/v2"
	"slices"

	"pam_polyinst/internal/kernel/mntns"
)

// Forget removes a record that List gave.
func (s Store) Forget(n Named) error {
	if n.Unique || n.Ever != 0 || n.Dead {
		return s.RemoveNamed(n.Name)
	}
	// another namespace may get the number, and write its record, just now: what
	// was moved aside is what it was
	aside := deadPrefix + n.Name
	if err := s.dir.Rename(n.Name, aside); err != nil {
		return ignoreNotExist(err)
	}
	now, err := s.read(aside)
	if err != nil || now == nil {
		return err
	}
	if now.Opened != n.Opened || now.HostPID != n.HostPID {
		return s.dir.Rename(aside, n.Name)
	}
	return s.RemoveNamed(aside)
}

// ForgetEnded removes records of namespaces that have ended, if the kernel can be
// asked that (Linux 6.11), and says how many. It looks at no more than that
// many, from anywhere, so that who opens a session pays for what others
// have left, and never for more. Those by which gc finds tmpdirs whose parent the
// configuration does not name any more go only in need: such a tmpdir then stays.
func (s Store) ForgetEnded(atMost int, need bool) (removed int) {
	for _, name := range s.some(atMost) {
		if mntns.Lives(everOf(name)) != mntns.Ended {
			continue
		}
		// its tmpdirs are not looked for here, in what may be a user's home
		if r, err := s.read(name); !need && (err != nil || r != nil && len(r.Tmpdirs()) > 0 && !r.Emptied) {
			continue
		}
		if s.RemoveNamed(name) == nil {
			removed++
		}
	}
	return removed
}

// Ended reads the records of namespaces that have ended, as the kernel says.
func (s Store) Ended(f func(Record)) error {
	names, err := s.dir.Names()
	for _, name := range names {
		if mntns.Lives(everOf(name)) != mntns.Ended {
			continue
		}
		if r, err := s.read(name); err == nil && r != nil {
			f(*r)
		}
	}
	return err
}

// InNeed is how many records are looked at where there is no room for another one.
const InNeed = 10000

// anyEnded reports whether ForgetEnded would remove any in need.
func (s Store) anyEnded() bool {
	return slices.ContainsFunc(s.some(InNeed), func(name string) bool { return mntns.Lives(everOf(name)) == mntns.Ended })
}

// some are the names of no more records than that many, from anywhere, whose
// namespaces the kernel can be asked about.
func (s Store) some(atMost int) []string {
	names, err := s.dir.Names()
	if err != nil {
		return nil
	}
	names = slices.DeleteFunc(names, func(n string) bool { return everOf(n) == 0 })
	if len(names) > atMost {
		from := rand.IntN(len(names))
		names = slices.Concat(names[from:], names[:from])[:atMost]
	}
	return names
}

// Tidy removes what writers left that died in the middle.
func (s Store) Tidy() error { return s.dir.RemoveUnfinished() }

// Remove forgets the record of a namespace; none there is no error.
func (s Store) Remove(i mntns.Identity) error { return s.RemoveNamed(fileName(i)) }

// RemoveNamed forgets the record that List called so.
func (s Store) RemoveNamed(name string) error { return ignoreNotExist(s.dir.Unlink(name)) }
