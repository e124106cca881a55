// Package observe gathers the facts that the decision core wants: accounts,
// the configuration files, directories, the machine. It reads and changes
// nothing.
package observe

import (
	"errors"
	"fmt"
	"os/user"
	"strconv"

	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/kernel/nss"
)

// Account asks the directory (NSS) for the account that was typed, and for its
// membership in the groups that the configuration names.
func Account(typed, service string, groups []string) (plan.Subject, *plan.Refusal) {
	u, err := nss.User(typed)
	if nss.IsUnknown(err) {
		return plan.Subject{}, &plan.Refusal{Fault: plan.FaultUser, Unknown: true,
			Reason: fmt.Sprintf("the account %q does not exist", typed)}
	}
	if err != nil {
		return plan.Subject{}, &plan.Refusal{Fault: plan.FaultHost, Reason: lookupFailed("account", typed, err)}
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return plan.Subject{}, &plan.Refusal{Fault: plan.FaultHost, Reason: lookupFailed("account", typed, err)}
	}
	s := plan.Subject{User: u.Username, Typed: typed, UID: uint32(uid), GID: uint32(gid),
		Home: u.HomeDir, Service: service}
	memberships(&s, u, groups)
	return s, nil
}

// memberships looks the groups up. It notes a lookup that fails as unknown, which
// refuses the session only if nothing else decides. That the user is not in a group is
// known only if every source of memberships has answered (I-13).
func memberships(s *plan.Subject, u *user.User, groups []string) {
	s.Groups = map[string]plan.Membership{}
	if len(groups) == 0 {
		return
	}
	own, err := nss.Memberships(u)
	if err != nil {
		s.Problem = lookupFailed("groups of", u.Username, err)
	}
	for _, name := range groups {
		g, lookupErr := nss.Group(name)
		switch {
		case nss.IsUnknown(lookupErr):
			s.Groups[name] = plan.NoSuchGroup
		case lookupErr != nil:
			s.Groups[name] = plan.Unknown
			s.Problem = lookupFailed("group", name, lookupErr)
		case own[g.Gid]:
			s.Groups[name] = plan.Member
		case err != nil:
			s.Groups[name] = plan.Unknown
		}
	}
}

func lookupFailed(what, name string, err error) string {
	return fmt.Sprintf("%s %q cannot be looked up: %v (is the directory service down?)", what, name, err)
}

// Owner resolves the owner and group of a `create`; an empty group is the
// owner's primary one.
func Owner(owner, group string) (uid, gid uint32, err error) {
	u, err := nss.User(owner)
	if nss.IsUnknown(err) {
		return 0, 0, fmt.Errorf("owner: there is no account %q", owner)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("owner %q: %w", owner, err)
	}
	gidText := u.Gid
	if group != "" {
		g, err := nss.Group(group)
		if nss.IsUnknown(err) {
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
