package config

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// maxUID is the greatest user id: the next one, (uid_t)-1, means "none".
const maxUID = 1<<32 - 2

// String is the entry as the file writes it.
func (u User) String() string {
	switch {
	case u.Kind == GroupName:
		return "@" + u.Name
	case u.Kind == UserName, u.Kind == NamePattern:
		return u.Name
	case u.Min == u.Max:
		return "uid:" + strconv.FormatUint(uint64(u.Min), 10)
	}
	return fmt.Sprintf("uid:%d-%d", u.Min, u.Max)
}

// String joins the entries with commas, as rescue= on the PAM line takes them.
func (l UserList) String() string {
	words := make([]string, len(l))
	for i, u := range l {
		words[i] = u.String()
	}
	return strings.Join(words, ",")
}

// Groups returns the names of all groups that except, only and rescue mention,
// sorted, each one once.
func (c *Config) Groups() []string {
	seen := map[string]bool{}
	groups := []string{}
	collect := func(l UserList) {
		for _, u := range l {
			if u.Kind == GroupName && !seen[u.Name] {
				seen[u.Name] = true
				groups = append(groups, u.Name)
			}
		}
	}
	collect(c.Namespace.Rescue)
	for i := range c.Polydirs {
		collect(c.Polydirs[i].Except)
		collect(c.Polydirs[i].Only)
	}
	sort.Strings(groups)
	return groups
}

// parseUser reads one entry of a list of users.
func parseUser(s string) (User, *fault) {
	if r, ok := strings.CutPrefix(s, "uid:"); ok {
		return parseRange(s, r)
	}
	if name, ok := strings.CutPrefix(s, "@"); ok {
		return User{Kind: GroupName, Name: name}, groupName(name)
	}
	if strings.Contains(s, "*") {
		return User{Kind: NamePattern, Name: s}, namePattern(s)
	}
	return User{Kind: UserName, Name: s}, userName(s)
}

// namePattern refuses a pattern that says no more than "everybody", which may be
// the rest of one.
func namePattern(s string) *fault {
	rest := strings.ReplaceAll(s, "*", "")
	if rest == "" {
		return &fault{fmt.Sprintf("%q is everybody", s), "leave the key out for everybody, or say which names, such as \"agent-*\""}
	}
	return userName(s)
}

// Matches reports whether a NamePattern is that of an account's canonical name.
func (u User) Matches(name string) bool { return Matches(u.Name, name) }

// IsPattern reports whether an entry of `keep` stands for all names that it
// matches.
func IsPattern(name string) bool { return strings.Contains(name, "*") }

// Matches reports whether the whole name is the pattern, in which each "*" stands
// for any characters, or none.
func Matches(pattern, name string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == name
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(name) < len(first)+len(last) || !strings.HasPrefix(name, first) || !strings.HasSuffix(name, last) {
		return false
	}
	name = name[len(first) : len(name)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return true
}

func parseRange(s, r string) (User, *fault) {
	low, high, isRange := strings.Cut(r, "-")
	if !isRange {
		high = low
	}
	least, errLeast := parseUID(low)
	most, errMost := parseUID(high)
	if errLeast != nil || errMost != nil {
		return User{}, faulty(fmt.Sprintf("%q is no range of user ids, want uid:MIN-MAX or uid:N", s))
	}
	if least > most {
		return User{}, &fault{fmt.Sprintf("%q begins after its end", s),
			didYouMean(fmt.Sprintf("uid:%d-%d", most, least))}
	}
	return User{Kind: UIDRange, Min: least, Max: most}, nil
}

func parseUID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n > maxUID {
		err = strconv.ErrRange
	}
	return uint32(n), err
}

func userName(s string) *fault {
	switch {
	case s == "":
		return faulty("empty user name")
	case s[0] == '~':
		return &fault{fmt.Sprintf("%q is the other module's way to turn the list around", s),
			fmt.Sprintf("write only = [%q]", s[1:])}
	case s[0] == '%':
		return &fault{fmt.Sprintf("%q is no user name", s),
			fmt.Sprintf("a group is written %q", "@"+strings.TrimLeft(s, "%"))}
	case s[0] == '+': // a group of that name may be other people
		return &fault{fmt.Sprintf("%q is no user name", s), "netgroups are not known here: name the users, or a group as \"@GROUP\""}
	case allDigits(s):
		// an account may have a number as its name, and another one that uid
		return &fault{fmt.Sprintf("%q is a number, not a user name", s),
			fmt.Sprintf("write %q for the user id; for the account of that name, uid: and its user id, which `getent passwd` shows", "uid:"+s)}
	case hasSpace(s):
		return &fault{fmt.Sprintf("user name %q holds white space", s), "write uid:N, where N is what `getent passwd` shows as the account's user id"}
	}
	return accountName("user name", s)
}

// groupName allows a space inside: directories have groups such as "domain users".
func groupName(s string) *fault {
	switch {
	case s == "":
		return faulty("empty group name")
	case allDigits(s):
		return &fault{fmt.Sprintf("%q is a number, want the name of a group", "@"+s), "`getent group` shows the names"}
	case strings.Contains(s, "*"):
		return &fault{fmt.Sprintf("%q: groups have no patterns", "@"+s), "name the groups"}
	case strings.Trim(s, " ") != s || hasSpace(strings.ReplaceAll(s, " ", "")):
		return faulty(fmt.Sprintf("group name %q holds white space", s))
	}
	return accountName("group name", s)
}

// accountName refuses what no account or group can be called.
func accountName(what, s string) *fault {
	switch {
	case hasControl(s):
		return faulty(fmt.Sprintf("%s %q holds a control character", what, s))
	case strings.Contains(strings.Trim(s, ","), ","):
		return &fault{fmt.Sprintf("%q is no %s", s, what), "write each name in quotes of its own"}
	case strings.ContainsAny(s, ":,/") || s == "." || s == "..":
		return faulty(fmt.Sprintf("%q is no %s", s, what))
	}
	return nil
}

func allDigits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// users reads a list of users.
func (v value) users() (UserList, bool) {
	elems, ok := v.list(v.bareKey() + ` = ["root", "@wheel"]`)
	list := make(UserList, 0, len(elems))
	for _, e := range elems {
		u, f := parseUser(e.raw.(string))
		if f != nil {
			e.refuse(f)
			continue
		}
		u.Pos = e.pos()
		list = append(list, u)
	}
	return list, ok
}
