// Package observe gathers the facts that the decision core wants: accounts,
// the configuration files, directories, the machine. It reads and changes
// nothing.
package observe

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"

	"pam_polyinst/internal/polyinst"
)

// Account asks the directory (NSS) for the account that was typed, and for his
// membership in the groups that the configuration names.
func Account(typed, service string, groups []string) (polyinst.Subject, *polyinst.Refusal) {
	u, err := user.Lookup(typed)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return polyinst.Subject{}, &polyinst.Refusal{Fault: polyinst.FaultUser, Unknown: true,
			Reason: fmt.Sprintf("the account %q does not exist", typed)}
	}
	if err != nil {
		return polyinst.Subject{}, &polyinst.Refusal{Fault: polyinst.FaultHost, Reason: lookupFailed("account", typed, err)}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return polyinst.Subject{}, &polyinst.Refusal{Fault: polyinst.FaultHost, Reason: lookupFailed("account", typed, err)}
	}
	s := polyinst.Subject{User: u.Username, Typed: typed, UID: uint32(uid), GID: uint32(gid),
		Home: u.HomeDir, Service: service}
	memberships(&s, u, groups)
	return s, nil
}

// memberships looks the groups up. What fails is noted as unknown: it refuses
// only where nothing else decides.
func memberships(s *polyinst.Subject, u *user.User, groups []string) {
	s.Groups = map[string]polyinst.Membership{}
	if len(groups) == 0 {
		return
	}
	own := map[string]bool{}
	gids, err := u.GroupIds()
	if err != nil {
		s.Problem = lookupFailed("groups of", u.Username, err)
	}
	for _, gid := range gids {
		own[gid] = true
	}
	for _, name := range groups {
		g, lookupErr := user.LookupGroup(name)
		var unknown user.UnknownGroupError
		switch {
		case errors.As(lookupErr, &unknown):
			s.Groups[name] = polyinst.NoSuchGroup
		case lookupErr != nil:
			s.Groups[name] = polyinst.Unknown
			s.Problem = lookupFailed("group", name, lookupErr)
		case err != nil:
			s.Groups[name] = polyinst.Unknown
		case own[g.Gid]:
			s.Groups[name] = polyinst.Member
		}
	}
}

func lookupFailed(what, name string, err error) string {
	return fmt.Sprintf("%s %q cannot be looked up: %v (is the directory service down?)", what, name, err)
}

// Owner resolves the owner and group of a `create`; an empty group is the
// owner's primary one.
func Owner(owner, group string) (uid, gid uint32, err error) {
	u, err := user.Lookup(owner)
	var noUser user.UnknownUserError
	if errors.As(err, &noUser) {
		return 0, 0, fmt.Errorf("owner: there is no account %q", owner)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("owner %q: %w", owner, err)
	}
	gidText := u.Gid
	if group != "" {
		g, err := user.LookupGroup(group)
		var noGroup user.UnknownGroupError
		if errors.As(err, &noGroup) {
			return 0, 0, fmt.Errorf("group: there is no group %q", group)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("group %q: %w", group, err)
		}
		gidText = g.Gid
	}
	uid64, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid64, err2 := strconv.ParseUint(gidText, 10, 32)
	return uint32(uid64), uint32(gid64), errors.Join(err1, err2)
}
