package plan

import (
	"slices"

	"pam_polyinst/internal/core/config"
)

// Rescue says who is admitted, without private directories, in spite of a
// refusal that the configuration or the machine is at fault for.
type Rescue struct {
	Lists    []RescueList
	Broken   bool // the configuration: uid 0 is admitted, whatever the lists say
	Required bool // the PAM line has require=: nobody but uid 0 is admitted
}

// RescueList is one list of users, with where it stands.
type RescueList struct {
	Users config.UserList
	Where string
}

// RescueOf is the rescue from what is no fault of the configuration c.
func RescueOf(c *config.Config, args config.Args) Rescue {
	return rescueOf(false, c.Namespace.Rescue, "rescue in [namespace]", args)
}

// RescueOfBroken is the rescue from a broken configuration. own is the list of its
// [namespace] table, nil if that table is at fault. accepted is the list of the last
// accepted configuration of this main file, nil if there is none.
func RescueOfBroken(own, accepted *config.UserList, args config.Args) Rescue {
	switch {
	case own != nil:
		return rescueOf(true, *own, "rescue in [namespace]", args)
	case accepted != nil:
		return rescueOf(true, *accepted, "rescue in the last good configuration", args)
	}
	return rescueOf(true, nil, "", args)
}

func rescueOf(broken bool, list config.UserList, where string, args config.Args) Rescue {
	r := Rescue{Broken: broken, Required: args.HasRequire}
	for _, l := range []RescueList{{list, where}, {args.Rescue, "rescue= on the PAM line"}} {
		if len(l.Users) > 0 {
			r.Lists = append(r.Lists, l)
		}
	}
	return r
}

// Groups are the groups that the lists name.
func (x Rescue) Groups() []string {
	var all config.UserList
	for _, l := range x.Lists {
		all = append(all, l.Users...)
	}
	return (&config.Config{Namespace: config.Namespace{Rescue: all}}).Groups()
}

// Names reports whether one of the lists names the user. Who cannot be looked
// up is not named.
func (x Rescue) Names(who Subject) bool {
	return slices.ContainsFunc(x.Lists, func(l RescueList) bool {
		by, _, _ := Listed(l.Users, who)
		return by != ""
	})
}

// Admits reports whether the user is admitted in spite of the refusal. A user is never
// admitted if it is their own fault. byContext says that a polydir of the user's is,
// or may be, by level or context: while the security module carries its denials out,
// that separates levels, and nobody but root does without it.
func (x Rescue) Admits(r *Refusal, who Subject, byContext bool, sec Security) bool {
	switch {
	case r.Fault == FaultUser || r.Unknown:
		return false
	case r.Fault == FaultAnyone && who.UID != 0:
		return false
	case who.UID == 0:
		return x.Broken || x.Names(who)
	case x.rootAlone(byContext, sec):
		return false
	}
	return x.Names(who)
}

// Who names those whom Admits admits, in the words of the lists, each with the position
// of its list; root needs no list. byContext and sec are as for Admits.
func (x Rescue) Who(byContext bool, sec Security) []RescueList {
	var out []RescueList
	if x.Broken {
		out = append(out, RescueList{Users: config.UserList{{Kind: config.UserName, Name: "root"}}})
	}
	for _, l := range x.Lists {
		var users config.UserList
		for _, u := range l.Users {
			isRoot := u.Kind == config.UserName && u.Name == "root" || u.Kind == config.UIDRange && u.Max == 0
			if isRoot && !x.Broken || !isRoot && !x.rootAlone(byContext, sec) {
				users = append(users, u)
			}
		}
		if len(users) > 0 {
			out = append(out, RescueList{users, l.Where})
		}
	}
	return out
}

// rootAlone reports whether nobody but uid 0 is admitted.
func (x Rescue) rootAlone(byContext bool, sec Security) bool {
	return x.Required || sec.Enforcing && byContext
}
