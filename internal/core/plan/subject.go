// Package plan is the decision core: from the configuration, a user and
// what was observed of the machine it derives a plan, or a refusal that says
// why. It is pure: no system call, no clock, no randomness; every fact about
// the machine is an argument, so that one machine tests all of them.
package plan

import (
	"fmt"
	"strconv"
	"strings"

	"pam_polyinst/internal/core/config"
)

// Membership says whether a user belongs to a group.
type Membership int

// The values of Membership.
const (
	NotMember Membership = iota
	Member
	NoSuchGroup // the directory says that there is no such group
	Unknown     // the lookup failed
)

// Subject is the user of a session, as the directory knows them.
type Subject struct {
	User    string // the account's canonical name
	Typed   string // PAM_USER, as typed
	UID     uint32
	GID     uint32
	Home    string
	Service string
	Groups  map[string]Membership // of each group that the configuration names
	Problem string                // why a membership is Unknown
}

// Vars are the values of a template's variables for this user.
func (s Subject) Vars() config.Vars {
	return config.Vars{Home: s.Home, User: s.User, UID: strconv.FormatUint(uint64(s.UID), 10)}
}

// Fault says whose a refusal is. Rescue does not cover FaultUser, and FaultAnyone
// only for uid 0: a caller could choose the view of a session by it.
type Fault int

// The values of Fault.
const (
	FaultConfig Fault = iota // the configuration
	FaultHost                // the machine: parents, kernel, privileges
	FaultUser                // the user's own instance, name, limits or label
	FaultAnyone              // what any user can bring about: full disks, quotas, no memory, slowness
)

// Refusal says why a session does not get what the configuration promises.
type Refusal struct {
	Fault   Fault
	Polydir string // empty where it belongs to none
	Reason  string // what was found and what is wanted, and the way out
	Key     string // the key of the polydir's table that is to blame; empty: path
	Unknown bool   // the account does not exist: PAM_USER_UNKNOWN
	Again   bool   // what was decided upon changed meanwhile: decide once more
	Prepare bool   // what is missing `polyinst prepare` makes
}

func (r *Refusal) Error() string {
	if r.Polydir == "" {
		return r.Reason
	}
	return fmt.Sprintf("polydir %q: %s", r.Polydir, r.Reason)
}

// blame names the key of the polydir's table that is to blame.
func (r *Refusal) blame(key string) *Refusal {
	r.Key = key
	return r
}

func refuse(fault Fault, polydir, format string, args ...any) *Refusal {
	return &Refusal{Fault: fault, Polydir: polydir, Reason: fmt.Sprintf(format, args...)}
}

// HostFault is the refusal for an error of the machine's, unless it comes from a
// limit, which whoever started the host has set, or from what anyone can bring
// about.
func HostFault(err error, limit, anyone bool) *Refusal {
	r := &Refusal{Fault: FaultHost, Reason: err.Error()}
	switch {
	case limit:
		r.Fault = FaultUser
	case anyone:
		r.Fault = FaultAnyone
	}
	return r
}

// Listed is the entry by which a list of users names the subject; empty: none does.
// absent is a group of the list that does not exist, unknown one that could not
// be looked up.
func Listed(list config.UserList, s Subject) (by, absent, unknown string) {
	for _, u := range list {
		switch u.Kind {
		case config.UserName:
			if u.Name == s.User {
				return strconv.Quote(u.Name), absent, ""
			}
		case config.NamePattern:
			if u.Matches(s.User) {
				return strconv.Quote(u.Name), absent, ""
			}
		case config.GroupName:
			switch s.Groups[u.Name] {
			case Member:
				return strconv.Quote("@" + u.Name), absent, ""
			case NoSuchGroup:
				absent = u.Name
			case Unknown:
				unknown = u.Name
			}
		case config.UIDRange:
			if u.Min <= s.UID && s.UID <= u.Max {
				return fmt.Sprintf("uid:%d-%d", u.Min, u.Max), absent, ""
			}
		}
	}
	return "", absent, unknown
}

// plainComponent says what keeps a name from being one component of a path.
func plainComponent(name string) string {
	switch {
	case name == "":
		return "is empty"
	case name == "." || name == "..":
		return "is no name for a directory"
	case strings.ContainsRune(name, '/'):
		return `contains "/"`
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return "contains a control character"
	case len(name) > 255:
		return "is longer than 255 bytes"
	}
	return ""
}
