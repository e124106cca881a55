package pamstack

import (
	"slices"
	"strings"

	"pam_polyinst/internal/core/config"
)

// Unit is a unit of systemd that opens a PAM session for what it starts
// (systemd.exec(5)).
type Unit struct {
	Service    string // PAMName=
	User       string // whose session it is
	PrivateTmp bool   // its /tmp and /var/tmp are directories that systemd makes there
	Dynamic    bool   // DynamicUser=, which implies that
}

// privateDir is a directory that systemd makes for PrivateTmp=: the boot, the
// unit and six random characters follow.
const privateDir = "systemd-private-0123456789abcdef0123456789abcdef-x.service-abcdef"

// Read takes over what a file of the unit says; an empty value takes an earlier
// one back.
func (u *Unit) Read(text string) {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "PAMName":
			u.Service = value
		case "User":
			u.User = value
		case "PrivateTmp": // "disconnected" is a tmpfs, which needs nothing of the public directory
			u.PrivateTmp = yes(value)
		case "DynamicUser":
			u.Dynamic = yes(value)
		}
	}
}

// yes reports whether systemd takes the word for true (systemd.syntax(7)).
func yes(word string) bool {
	return slices.Contains([]string{"1", "yes", "y", "true", "t", "on"}, strings.ToLower(word))
}

// exempt reports whether the polydir is not for the unit's user, as far as the
// names in the configuration say.
func (u Unit) exempt(p *config.Polydir) bool {
	user := u.User
	if user == "" {
		user = "root"
	}
	named := func(e config.User) bool {
		return e.Kind == config.UserName && e.Name == user || e.Kind == config.NamePattern && e.Matches(user) ||
			e.Kind == config.UIDRange && e.Min == 0 && user == "root"
	}
	if slices.ContainsFunc(p.Except, named) {
		return true
	}
	others := func(e config.User) bool { return e.Kind == config.GroupName || e.Kind == config.UIDRange }
	return len(p.Only) > 0 && !slices.ContainsFunc(p.Only, named) && !slices.ContainsFunc(p.Only, others)
}
