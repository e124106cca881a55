package selinux

import (
	"slices"
	"strings"
	"testing"
)

func TestPolicyType(t *testing.T) {
	for file, want := range map[string]string{
		"":                                       "targeted",
		"SELINUX=enforcing\n":                    "targeted",
		"SELINUX=enforcing\nSELINUXTYPE=mls\n":   "mls",
		"SELINUXTYPE=mls":                        "mls",
		"  selinuxtype= default \r\n":            "default",
		"# SELINUXTYPE=mls\nSELINUXTYPE=minimum": "minimum",
		"SELINUXTYPE=mls\nSELINUXTYPE=default\n": "default",
		"SELINUXTYPE=mls\nSELINUXTYPE=\n":        "mls",
		"SELINUXTYPE = mls\n":                    "targeted", // libselinux wants no space there
	} {
		if got := PolicyType([]byte(file)); got != want {
			t.Errorf("%q: %q, want %q", file, got, want)
		}
	}
}

const seusers = `# who is who
root:root:s0-s15:c0.c1023
%staff:staff_u:s0-s2
%wheel:sysadm_u:s0
  bob:staff_u:s2-s2   # a remark
__default__:user_u:s0-s0
alice:staff_u
__default__:guest_u:s0
%staff:late_u:s0
carol:
%empty:
dave:user_u:
no line
`

func TestSEUser(t *testing.T) {
	for _, c := range []struct {
		user   string
		groups []string
		want   string
		err    string
	}{
		{"root", nil, "root s0-s15:c0.c1023", ""},
		{"bob", nil, "staff_u s2-s2", ""},
		{"alice", []string{"staff"}, "staff_u ", ""}, // the user's line counts though it comes later
		{"erin", nil, "user_u s0-s0", ""},
		{"erin", []string{"users", "wheel"}, "sysadm_u s0", ""},
		{"erin", []string{"wheel", "staff"}, "staff_u s0-s2", ""}, // the first line, not the first group
		{"staff", nil, "user_u s0-s0", ""},
		{"carol", nil, "", `seusers line 10: no SELinux user for "carol"`},
		{"erin", []string{"empty"}, "", `seusers line 11: no SELinux user for "%empty"`},
		{"dave", nil, "", `seusers line 12: the level for "dave" is empty`},
	} {
		seuser, level, err := SEUser([]byte(seusers), c.user, c.groups)
		switch {
		case c.err != "":
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: %v, want %s", c.user, err, c.err)
			}
		case err != nil || seuser+" "+level != c.want:
			t.Errorf("%s %v: %s %s %v, want %s", c.user, c.groups, seuser, level, err, c.want)
		}
	}
}

func TestNobodyIsGuessed(t *testing.T) {
	for _, file := range []string{"", "# nothing\n", "root:root:s0\n%wheel:staff_u\n", "alice\n", "alice :user_u\n"} {
		seuser, _, err := SEUser([]byte(file), "alice", nil)
		if err == nil || err.Error() != `seusers has a line neither for "alice" nor for __default__` {
			t.Errorf("%q: %s, %v", file, seuser, err)
		}
	}
}

func TestSEUserGroups(t *testing.T) {
	if got := SEUserGroups([]byte(seusers)); !slices.Equal(got, []string{"staff", "wheel", "empty"}) {
		t.Error(got)
	}
}

const (
	staffContexts = `system_r:local_login_t:s0	staff_r:staff_t:s0 sysadm_r:sysadm_t:s0
system_r:sshd_t:s0		staff_r:staff_t:s0 sysadm_r:sysadm_t:s0
system_r:xdm_t:s0
`
	defaultContexts = `#system_r:crond_t:s0 guest_r:guest_t:s0
system_r:crond_t:s0	user_r:cronjob_t:s0 odd user_r:user_t:s0

system_r:sshd_t:s0	user_r:user_t:s0 staff_r:staff_t:s0 unconfined_r:unconfined_t:s0
system_r:sshd_t:s0	late_r:late_t:s0
system_r:xdm_t		user_r:user_t
`
)

func TestDefaultContext(t *testing.T) {
	const sshd = "system_u:system_r:sshd_t:s0-s15:c0.c1023"
	all := []string{""}
	for _, c := range []struct {
		name, seuser, from, level string
		has                       []string // what is in the contexts that the policy has
		want                      string
	}{
		{"the user's file first", "staff_u", sshd, "s0", all, "staff_u:staff_r:staff_t:s0"},
		{"another user has none", "user_u", sshd, "s0", all, "user_u:user_r:user_t:s0"},
		{"the level is the caller's", "staff_u", sshd, "s2-s4:c1,c3", all, "staff_u:staff_r:staff_t:s2-s4:c1,c3"},
		{"else that of the starting program", "staff_u", sshd, "", all, "staff_u:staff_r:staff_t:s0-s15:c0.c1023"},
		{"else that of the file", "staff_u", "system_u:system_r:sshd_t", "", all, "staff_u:staff_r:staff_t:s0"},
		{"else none", "user_u", "system_u:system_r:xdm_t", "", all, "user_u:user_r:user_t"},
		{"the next that is valid", "staff_u", sshd, "s0", []string{":sysadm_t:"}, "staff_u:sysadm_r:sysadm_t:s0"},
		{"then the other file", "staff_u", sshd, "s0", []string{":unconfined_t:"}, "staff_u:unconfined_r:unconfined_t:s0"},
		{"a line with nothing is none", "staff_u", "u:system_r:xdm_t:s0", "s0", all, "staff_u:user_r:user_t:s0"},
		{"what is no context is passed over", "user_u", "u:system_r:crond_t:s0", "s0", []string{":user_t:"}, "user_u:user_r:user_t:s0"},
		{"only the first line counts", "user_u", sshd, "s0", []string{":late_t:"},
			"error: contexts/users/user_u and contexts/default_contexts offer sessions that system_r:sshd_t starts only contexts that the policy does not have: " +
				"user_u:user_r:user_t:s0, user_u:staff_r:staff_t:s0, user_u:unconfined_r:unconfined_t:s0"},
		{"no failsafe", "staff_u", "system_u:system_r:cupsd_t:s0", "s0", all,
			"error: contexts/users/staff_u and contexts/default_contexts offer no context to sessions that system_r:cupsd_t starts: neither has a line that begins with it"},
		{"role and type, not one of them", "staff_u", "staff_u:staff_r:sshd_t:s0", "s0", all,
			"error: contexts/users/staff_u and contexts/default_contexts offer no context to sessions that staff_r:sshd_t starts: neither has a line that begins with it"},
		{"from nothing", "staff_u", "kernel", "s0", all, `error: "kernel" is no security context`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var users []byte
			if c.seuser == "staff_u" {
				users = []byte(staffContexts)
			}
			got, err := DefaultContext(users, []byte(defaultContexts), c.seuser, c.from, c.level, func(ctx string) bool {
				return slices.ContainsFunc(c.has, func(part string) bool { return strings.Contains(ctx, part) })
			})
			if err != nil {
				got = "error: " + err.Error()
			}
			if got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}

func FuzzAccounts(f *testing.F) {
	f.Add(seusers, staffContexts, defaultContexts, "alice", "system_u:system_r:sshd_t:s0", "s0")
	f.Add("SELINUXTYPE=mls\n%x:y:z", ":: :", "a:b c:d:e", "x", "u:a:b", "")
	f.Fuzz(func(t *testing.T, seusers, users, defaults, user, from, level string) {
		PolicyType([]byte(seusers))
		seuser, _, err := SEUser([]byte(seusers), user, SEUserGroups([]byte(seusers)))
		if (seuser == "") != (err != nil) || strings.ContainsFunc(seuser, isSpace) {
			t.Errorf("SELinux user %q, %v", seuser, err)
		}
		asked := []string{}
		ctx, err := DefaultContext([]byte(users), []byte(defaults), "u", from, level, func(ctx string) bool {
			asked = append(asked, ctx)
			return len(asked) > 2
		})
		if err == nil && (len(asked) != 3 || ctx != asked[2]) {
			t.Errorf("%q, though the policy has another of %q", ctx, asked)
		}
	})
}
