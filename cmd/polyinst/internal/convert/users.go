package convert

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// readUsers reads the fourth field: names of users, and nothing else, who are
// exempt, or, behind a "~", for whom alone the line is.
func (t *table) readUsers(field string) {
	key := "except"
	if strings.HasPrefix(field, "~") {
		key, field = "only", field[1:]
	}
	u := &userList{t: t, key: key}
	for _, name := range strings.Split(field, ",") {
		u.add(name)
	}
	if len(u.list) > 0 {
		t.set(key, tomlList(u.list))
	}
	if key == "except" {
		t.except = u.list
		return
	}
	if t.only = u.list; len(u.list) == 0 {
		t.refuse(`behind the "~" is nobody whom pam_namespace would find, so that its line applies to nobody: write whom the polydir is for, or leave the line out`)
		t.only = []string{}
	}
}

// userList is an except or only list in the making.
type userList struct {
	t    *table
	key  string
	list []string
}

func (u *userList) put(entry string) {
	if !slices.Contains(u.list, entry) {
		u.list = append(u.list, entry)
	}
}

// add adds the account that pam_namespace finds under the name. It compares uids,
// we compare canonical names.
func (u *userList) add(name string) {
	account, answer := u.t.c.facts.account(name)
	switch {
	case answer == Present:
		u.addAccount(name, account)
	case !isUserName(name):
		u.drop(name)
	default:
		if answer == Absent {
			u.t.remark(u.key, "there is no account %s now: pam_namespace ignores the name until there is one, and so do we", quote(name))
		}
		u.put(name)
	}
}

func (u *userList) addAccount(name string, a Account) {
	if a.Name != name {
		u.t.remark(u.key, "%s is the account %s, whose canonical name we compare", quote(name), quote(a.Name))
	}
	for _, n := range append([]string{a.Name}, a.Aliases...) {
		if !isUserName(n) {
			u.t.remark(u.key, "the user name %s cannot be written in our language: its uid stands for it", quote(n))
			n = fmt.Sprintf("uid:%d", a.UID)
		}
		u.put(n)
	}
	if len(a.Aliases) > 0 {
		u.t.remark(u.key, "%s have the uid of %s, by which pam_namespace compares: they are listed too", quote(strings.Join(a.Aliases, ",")), quote(a.Name))
	}
}

// drop leaves out what no account is called: to pam_namespace it is a user name like
// any other, which it does not find.
func (u *userList) drop(name string) {
	switch {
	case name == "":
		u.t.remark(u.key, "an empty name, which matches nobody, is left out")
	case name[0] == '@':
		u.t.remark(u.key, "%s is no group to pam_namespace but a user name that nobody has, so it is left out; if the group is meant, add it here", quote(name))
	case strings.Trim(name, "0123456789") == "":
		u.t.remark(u.key, "%s is no uid to pam_namespace but a user name that nobody has, so it is left out; if the uid is meant, add \"uid:%s\"", quote(name), name)
	default:
		u.t.remark(u.key, "%s is a user name to pam_namespace that nobody has, so it is left out", quote(name))
	}
}

// isUserName reports whether our language has the name in a list of users.
func isUserName(s string) bool {
	switch {
	case s == "" || s == "." || s == "..":
		return false
	case strings.ContainsRune("@~%+", rune(s[0])), strings.Trim(s, "0123456789") == "":
		return false
	case strings.ContainsAny(s, ":,/*"): // "*" makes it a pattern
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}
