// Package selinux answers from what SELinux keeps in files: which SELinux user
// an account is, in which context its session begins, how a file is labelled. A
// context is a value in it: user:role:type[:range].
// It is pure: the contents of the files come in, and it never looks at the
// system. What the policy makes of an answer only the kernel can say.
//
// The files, and the functions of libselinux that read them in other programs:
//
//	/etc/selinux/config                  PolicyType      selinux_getpolicytype(3)
//	/etc/selinux/TYPE/seusers            SEUser          getseuserbyname(3)
//	  .../contexts/users/SEUSER          DefaultContext  get_default_context_with_level(3)
//	  .../contexts/default_contexts
//	  .../contexts/files/file_contexts   FileContext     selabel_lookup(3)
//	    and .homedirs, .local, .subs_dist, .subs beside it
//
// seusers and default_contexts must be there. All others may be absent, and are
// then given as nil.
package selinux

import (
	"fmt"
	"slices"
	"strings"
)

// isSpace tells what separates words in all of these files: isspace(3), never a
// character beyond ASCII.
func isSpace(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }

// firstWord is the line up to the first space in it.
func firstWord(line string) string {
	if i := strings.IndexFunc(line, isSpace); i >= 0 {
		return line[:i]
	}
	return line
}

// blank reports whether a line without its leading space says nothing.
func blank(line string) bool { return line == "" || line[0] == '#' }

const (
	typeKey     = "SELINUXTYPE="
	defaultType = "targeted"
)

// PolicyType is the name of the policy, and of its directory in /etc/selinux.
// The last line that names one counts; where none does, "targeted" is meant.
func PolicyType(configFile []byte) string {
	name := defaultType
	for line := range strings.Lines(string(configFile)) {
		line = strings.TrimFunc(line, isSpace)
		if len(line) > len(typeKey) && strings.EqualFold(line[:len(typeKey)], typeKey) {
			name = strings.TrimLeftFunc(line[len(typeKey):], isSpace)
		}
	}
	return name
}

const (
	groupMark   = "%"
	defaultUser = "__default__"
)

type seuserLine struct {
	number int
	name   string // of the user, with groupMark of a group, or defaultUser
	rest   string
}

func seuserLines(seusers []byte) []seuserLine {
	var out []seuserLine
	number := 0
	for line := range strings.Lines(string(seusers)) {
		number++
		line = strings.TrimLeftFunc(line, isSpace)
		if blank(line) {
			continue
		}
		if name, rest, ok := strings.Cut(line, ":"); ok {
			out = append(out, seuserLine{number, name, firstWord(rest)})
		}
	}
	return out
}

func (l seuserLine) answer() (seuser, level string, err error) {
	seuser, level, leveled := strings.Cut(l.rest, ":")
	switch {
	case seuser == "":
		return "", "", fmt.Errorf("seusers line %d: no SELinux user for %q", l.number, l.name)
	case leveled && level == "":
		return "", "", fmt.Errorf("seusers line %d: the level for %q is empty", l.number, l.name)
	}
	return seuser, level, nil
}

// SEUser is the SELinux user of an account, and the range with which its sessions
// begin, empty if the line has none. The line for the account counts; without one, the
// first line for one of its groups; without that, the line __default__.
//
// If no line applies, getseuserbyname(3) takes the account's own name, and it skips a
// line that is not complete. Here both are errors.
func SEUser(seusers []byte, linuxUser string, groups []string) (seuser, level string, err error) {
	var group, fallback *seuserLine
	for _, l := range seuserLines(seusers) {
		name, isGroup := strings.CutPrefix(l.name, groupMark)
		switch {
		case l.name == linuxUser:
			return l.answer()
		case group == nil && isGroup && slices.Contains(groups, name):
			group = &l
		case fallback == nil && l.name == defaultUser:
			fallback = &l
		}
	}
	switch {
	case group != nil:
		return group.answer()
	case fallback != nil:
		return fallback.answer()
	}
	return "", "", fmt.Errorf("seusers has a line neither for %q nor for %s", linuxUser, defaultUser)
}

// SEUserGroups are the groups that have a line in seusers: those whose members
// SEUser needs to know.
func SEUserGroups(seusers []byte) []string {
	var groups []string
	for _, l := range seuserLines(seusers) {
		if name, ok := strings.CutPrefix(l.name, groupMark); ok && !slices.Contains(groups, name) {
			groups = append(groups, name)
		}
	}
	return groups
}
