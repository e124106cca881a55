package gc

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/observe"
)

// Accounts that may vanish at once before somebody has to say that it is so: a
// directory that has lost its entries says "there is none" as well.
const (
	vanishMost = 10 // more are too many
	vanishHalf = 3  // so are more than these, if they are more than half of all
)

// account is what the directory says of the account that a persistent instance
// was made for. At most one of the three is set.
type account struct {
	orphan string // why nobody can use the instance any more
	// reused: there is none of that name, and another one has the uid. Whether
	// the account was renamed or the uid given to somebody else, nobody can tell.
	reused string
	other  string // why the instance is not of use to the account as it is
	aside  bool   // an orphan because somebody said so, and no sign of lost accounts
}

const hidden = "a source of /etc/nsswitch.conf has its account, which libc does not come to"

// accounts remembers what the directory said.
type accounts struct {
	uids  map[uint32]bool // there is none
	names map[string]bool
}

func (a *accounts) goneUID(uid uint32) (bool, error) {
	gone, known := a.uids[uid]
	if known {
		return gone, nil
	}
	gone, err := nss.GoneUID(uid)
	if err != nil {
		return false, fmt.Errorf("whether there is an account with uid %d: %w", uid, err)
	}
	if a.uids == nil {
		a.uids = map[uint32]bool{}
	}
	a.uids[uid] = gone
	return gone, nil
}

// anyName is the first of the names that is an account's.
func (a *accounts) anyName(names []string) (string, error) {
	for _, name := range names {
		gone, known := a.names[name]
		if !known {
			var err error
			if gone, err = nss.GoneName(name); err != nil {
				return "", fmt.Errorf("whether there is an account %q: %w", name, err)
			}
			if a.names == nil {
				a.names = map[string]bool{}
			}
			a.names[name] = gone
		}
		if !gone {
			return name, nil
		}
	}
	return "", nil
}

// judge says what has become of the account for which an instance was made.
// An error says that the directory, or a part of it, cannot be asked. name is
// the instance's, without the prefix, and path where it is, for the advice.
func (a *accounts) judge(path, name string, uid uint32) (account, error) {
	gone, err := a.goneUID(uid)
	if err != nil {
		return account{}, err
	}
	names := []string{name}
	if strings.ContainsRune(name, ':') {
		// by context: that may have a "_", and so may a user's name
		for rest, more := name, true; more; {
			if _, rest, more = strings.Cut(rest, "_"); more {
				names = append(names, rest)
			}
		}
	}
	now := ""
	if !gone {
		u, err := nss.UserID(uid)
		if nss.IsUnknown(err) {
			return account{other: hidden}, nil
		}
		if err != nil {
			return account{}, err
		}
		now = u.Username
	}
	for _, n := range names {
		if n == now || n == strconv.FormatUint(uint64(uid), 10) && !gone {
			return account{}, nil
		}
	}
	if plan.Hashed(name) {
		if !gone {
			return account{}, nil
		}
		return account{other: fmt.Sprintf("there is no account with uid %d, but the name is a hash, and whether it is of an account that has another uid now cannot be told", uid)}, nil
	}
	called, err := a.anyName(names)
	switch {
	case err != nil:
		return account{}, err
	case called == "" && isAside(name, uid):
		return account{orphan: "`polyinst prepare --aside` has put it there", aside: true}, nil
	case called != "":
		return a.namesake(path, called, uid)
	case gone:
		return account{orphan: fmt.Sprintf("there is no account with uid %d any more, and none of this name", uid)}, nil
	}
	return account{reused: fmt.Sprintf("there is no account of this name any more, and uid %d is %q: `polyinst rename %s %s` if that is the same person", uid, now, shellword.Quote(names[len(names)-1]), shellword.Quote(now))}, nil
}

// namesake judges an instance whose name is an account's.
func (a *accounts) namesake(path, name string, uid uint32) (account, error) {
	u, err := nss.User(name)
	if nss.IsUnknown(err) {
		return account{other: hidden}, nil
	}
	if err != nil {
		return account{}, fmt.Errorf("account %q: %w", name, err)
	}
	if u.Uid == strconv.FormatUint(uint64(uid), 10) {
		return account{}, nil // another name of the same account
	}
	return account{other: fmt.Sprintf("it was made for uid %d, and %q has uid %s: `polyinst prepare --repair %s --from-uid %d` if that is the same person, else `polyinst prepare --aside %s`", uid, name, u.Uid, shellword.Quote(path), uid, shellword.Quote(path))}, nil
}

// found is an orphan as it was when it was judged.
type found struct {
	why    string
	uid    uint32
	opened int64
}

// findOrphans looks for persistent instances whose account is gone. Where a part
// of the directory cannot be asked, nothing is judged at all: who vanished with
// it looks like who was removed.
func (c *collection) findOrphans(parents []Parent) (map[string]found, error) {
	all, uids := map[string]found{}, map[uint32]bool{}
	gone := map[uint32]bool{}
	for _, p := range parents {
		err := eachRecorded(p, func(path, name string, lock instance.State) error {
			uids[lock.UID] = true
			account, err := c.accounts.judge(path, name, lock.UID)
			if err != nil {
				return fmt.Errorf("no instance is taken for an orphan: %w", err)
			}
			why := account.orphan
			if c.Reused && account.reused != "" {
				why = account.reused
			}
			age := c.now.Sub(lock.LastOpen)
			switch {
			case why == "" && account.orphan+account.reused+account.other != "":
				c.once(path, account.reused+account.other)
			case why == "":
			case age < c.OrphanedFor:
				c.once(path, fmt.Sprintf("%s, but it was opened %s ago: --orphaned-for", why, days(age)))
			default:
				if !account.aside {
					gone[lock.UID] = true
				}
				all[path] = found{why, lock.UID, lock.LastOpen.Unix()}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if n := len(gone); !c.Many && tooMany(n, len(uids)) {
		err := fmt.Errorf("the accounts of %d of %d users are gone, with %d instances: look whether the directory still has its entries; --yes says that it is so", n, len(uids), len(all))
		if !c.DryRun {
			all = nil
		}
		return all, err
	}
	return all, nil
}

// tooMany reports whether more accounts have vanished, of all, than are removed.
func tooMany(gone, of int) bool { return gone > vanishMost || gone > vanishHalf && 2*gone > of }

func days(age time.Duration) string {
	if n := int(age.Hours() / 24); n != 1 {
		return fmt.Sprintf("%d days", n)
	}
	return "1 day"
}

// eachRecorded tells of the finished instances of a parent that are one account's,
// until tell has an error. A parent that cannot be looked at has none: it may be a
// user's doing, and is told by the collection itself.
func eachRecorded(p Parent, tell func(path, name string, lock instance.State) error) error {
	way, err := observe.OpenParent(p.Path) // judged before it is read
	if err != nil || !way.Dir.IsOpen() {
		return nil
	}
	defer way.Close()
	names, err := way.Dir.Names()
	if err != nil {
		return nil
	}
	for _, entry := range names {
		name, ours := strings.CutPrefix(entry, p.Prefix)
		if !ours || strings.HasPrefix(entry, ".") || strings.HasPrefix(name, layout.TmpdirPrefix) {
			continue
		}
		lock, ok := lockState(way.Dir, entry)
		if !ok || lock.Mode != instance.OfOne {
			continue
		}
		if err := tell(p.Path+"/"+entry, name, lock); err != nil {
			return err
		}
	}
	return nil
}

// orphan says why an instance is one, as long as nobody has opened it since it
// was judged.
func (c *collection) orphan(parent dirfd.Dir, name string) string {
	f, ok := c.orphans[parent.Path()+"/"+name]
	if !ok {
		return ""
	}
	lock, ok := lockState(parent, name)
	if !ok || lock.Mode != instance.OfOne || lock.UID != f.uid || lock.LastOpen.Unix() != f.opened {
		return ""
	}
	return f.why
}
