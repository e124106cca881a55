// Package nss asks for accounts and groups, and knows what an answer is worth.
//
// libc tells "there is none" and "nobody could be asked" apart no longer: a
// source that answers UNAVAIL or TRYAGAIN comes out as "not found" with most
// errnos, and getgrouplist(3) hides all failures. So what libc finds is taken as
// it is, and where it finds nothing each source of nsswitch.conf(5) is asked by
// itself, by the functions of its module that libc calls.
package nss

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"
)

// ask asks the sources of a database in turn, until the action of one ends that.
// With all, each one is asked whatever the others say, and only where it is
// written which there are.
func ask(database string, all bool, question func(module) Answer) ([]Answer, error) {
	list, err := sources(database)
	if err != nil {
		return nil, err
	}
	if all && (len(list) == 0 || !written(database)) {
		return nil, fmt.Errorf("%s names no source of %s", confFile, database)
	}
	var answers []Answer
	for _, s := range list {
		a := question(load(s.name))
		if a.Source == "sss" && a.Status == Unavailable && !a.Absent && sssIdle() {
			a.Absent, a.Why = true, "sssd has no configuration"
		}
		answers = append(answers, a)
		// libc takes what an absent module says for UNAVAIL
		if s.ends[a.Status] && !all {
			break
		}
	}
	return answers, nil
}

// found reports whether a source knows the entry. That none does is believed
// only where each says so itself. A source that is Absent has
// nothing to say in a login: it cannot be down, and a configuration that names it
// must not keep everybody out. Where data hangs on the answer, strict does not
// take it for an answer either.
func found(answers []Answer, err error, strict bool) (bool, error) {
	if err != nil {
		return false, err
	}
	for _, a := range answers {
		if a.Status == Success {
			return true, nil
		}
	}
	for _, a := range answers {
		if a.Status != NotFound && (strict || !a.Absent) {
			return false, errors.New(a.String())
		}
	}
	return false, nil
}

// lookup asks libc and, where it finds nothing, the sources.
func lookup[E any](libc func() (E, error), unknown func(error) bool, sources func() ([]Answer, error)) (E, error) {
	e, err := libc()
	if err == nil {
		return e, nil
	}
	answers, askErr := sources()
	there, askErr := found(answers, askErr, false)
	if askErr != nil {
		return e, askErr // which says more than libc
	}
	if !there || !unknown(err) {
		return e, err
	}
	// it has come into being meanwhile, or the source can be asked again
	if e, err = libc(); unknown(err) {
		return e, fmt.Errorf("libc does not find it, and a source of %s does (is an old answer in the cache of nscd?)", confFile)
	}
	return e, err
}

// IsUnknown reports whether an error says that there is no such account or group,
// which is more than that none was found.
func IsUnknown(err error) bool {
	var name user.UnknownUserError
	var id user.UnknownUserIdError
	var group user.UnknownGroupError
	return errors.As(err, &name) || errors.As(err, &id) || errors.As(err, &group)
}

// User is the account of a name. That there is none is an error IsUnknown.
func User(name string) (*user.User, error) {
	return lookup(func() (*user.User, error) { return user.Lookup(name) }, IsUnknown, func() ([]Answer, error) {
		return ask("passwd", false, func(m module) Answer { return m.byName("getpwnam_r", name) })
	})
}

// UserID is the account of a user id. That there is none is an error IsUnknown.
func UserID(uid uint32) (*user.User, error) {
	return lookup(func() (*user.User, error) { return user.LookupId(strconv.FormatUint(uint64(uid), 10)) }, IsUnknown, func() ([]Answer, error) {
		return ask("passwd", false, func(m module) Answer { return m.byID("getpwuid_r", uid) })
	})
}

// Group is the group of a name. That there is none is an error IsUnknown.
func Group(name string) (*user.Group, error) {
	return lookup(func() (*user.Group, error) { return user.LookupGroup(name) }, IsUnknown, func() ([]Answer, error) {
		return ask("group", false, func(m module) Answer { return m.byName("getgrnam_r", name) })
	})
}

// Memberships are the ids of the groups that a user is known to be in, as
// decimal numbers. An error says that they may be in others as well.
func Memberships(u *user.User) (map[string]bool, error) {
	own := map[string]bool{u.Gid: true}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return own, err
	}
	// its failures show in what the sources say
	gids, libcErr := u.GroupIds()
	for _, g := range gids {
		own[g] = true
	}
	answers, err := ask("initgroups", false, func(m module) Answer {
		gids, a := m.groupsOf(u.Username, uint32(gid))
		for _, g := range gids {
			own[strconv.FormatUint(uint64(g), 10)] = true
		}
		return a
	})
	if err != nil {
		return own, err
	}
	for _, a := range answers {
		if a.Status != Success && a.Status != NotFound && !a.Absent {
			return own, errors.New(a.String())
		}
	}
	if len(answers) == 0 {
		return own, libcErr
	}
	return own, nil
}

// Absent are the sources of accounts and groups whose module is not installed, or
// whose service has no configuration: in a login they count as if they were not in
// nsswitch.conf.
func Absent() []string {
	var names []string
	seen := map[string]bool{}
	for _, database := range []string{"passwd", "group", "initgroups"} {
		list, _ := sources(database) // what is wrong with it, a lookup says
		for _, s := range list {
			m := load(s.name)
			if absent := m.absent && s.name != "files" || s.name == "sss" && sssIdle(); absent && !seen[s.name] {
				seen[s.name] = true
				names = append(names, s.name)
			}
		}
	}
	return names
}

// GoneUID reports whether every source says that there is no account with the
// uid. An error says that one could not be asked. All are asked, also those that
// libc does not come to: data may hang on the answer.
func GoneUID(uid uint32) (bool, error) {
	_, libcErr := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if libcErr == nil {
		return false, nil
	}
	answers, err := ask("passwd", true, func(m module) Answer { return m.byID("getpwuid_r", uid) })
	return gone(answers, err, libcErr)
}

// gone reports whether all sources say that there is none, and libc too.
func gone(answers []Answer, err, libcErr error) (bool, error) {
	there, err := found(answers, err, true)
	if err == nil && !there && !IsUnknown(libcErr) {
		err = libcErr
	}
	return !there && err == nil, err
}

// GoneName is GoneUID for an account's name.
func GoneName(name string) (bool, error) {
	_, libcErr := user.Lookup(name)
	if libcErr == nil {
		return false, nil
	}
	answers, err := ask("passwd", true, func(m module) Answer { return m.byName("getpwnam_r", name) })
	return gone(answers, err, libcErr)
}
