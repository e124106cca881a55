package main

import (
	"fmt"
	"slices"
	"strconv"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/kernel/nss"
)

// checkLists looks up what the lists of users name. An error is what makes a
// rule mean another thing than it says.
func checkLists(c *config.Config) []remark {
	var out []remark
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		out = append(out, checkList(p, p.Except, exempts)...)
		out = append(out, checkList(p, p.Only, admits)...)
	}
	return append(out, checkList(nil, c.Namespace.Rescue, rescues)...)
}

// use is what a list is for.
type use struct {
	gone    pamstack.Level // of a group that is not there
	without string         // what that means
	group   string         // what the entry of a group does to its members
}

var (
	exempts = use{pamstack.Warning, "nobody is exempt by it", "exempts all of its members"}
	admits  = use{pamstack.Error, "the polydir then applies to everybody but root and the rescue list", "makes the polydir apply to all of its members"}
	rescues = use{pamstack.Warning, "nobody is rescued by it", "rescues all of its members"}
)

func checkList(p *config.Polydir, list config.UserList, of use) []remark {
	var out []remark
	say := func(pos config.Position, level pamstack.Level, format string, args ...any) {
		r := at(pos, level, format, args...)
		if p != nil {
			r.Message = "polydir " + strconv.Quote(string(p.Path)) + ": " + r.Message
		}
		out = append(out, r)
	}
	for _, u := range list {
		switch u.Kind {
		case config.GroupName:
			_, err := nss.Group(u.Name)
			if nss.IsUnknown(err) {
				say(u.Pos, of.gone, "there is no group %q: %s%s", u.Name, of.without, meant(u.Name, groups(), ""))
			} else if err != nil {
				say(u.Pos, pamstack.Error, "the group %q cannot be looked up, and then every session is refused: %v", u.Name, err)
				out[len(out)-1].passing = true
			}
		case config.NamePattern:
			if !slices.ContainsFunc(accounts(), u.Matches) {
				say(u.Pos, pamstack.Warning, "no account that `getent passwd` lists has a name like %q", u.Name)
			}
		case config.UserName:
			if _, err := nss.User(u.Name); nss.IsUnknown(err) {
				say(u.Pos, pamstack.Warning, "there is no account %q%s", u.Name, groupMeant(u.Name, of))
			}
		}
	}
	return out
}

// groupMeant is a hint for the name of an account that does not exist: perhaps a
// group has it. It says what the group would do, and does not propose it: pam_namespace's
// example exempts the account adm, and on Debian the group adm are administrators.
func groupMeant(name string, of use) string {
	if _, err := nss.Group(name); err == nil {
		return fmt.Sprintf(", but a group of that name: %q %s", "@"+name, of.group)
	}
	return meant(name, accounts(), "")
}
