package plan

import (
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/internal/core/config"
)

func contextRule(t *testing.T, keys string) Rule {
	return Rule{Config: &parse(t, tmpContext+keys).Polydirs[0], Path: "/tmp", Parent: "/p"}
}

// The names of instances under AppArmor and Smack: one component, whatever the
// profile or label is.
func TestNamesUnderOtherModules(t *testing.T) {
	for _, c := range []struct {
		module  Module
		session string
		keys    string
		want    string
	}{
		{AppArmor, "/usr/sbin/sshd", "", "apparmor:%2Fusr%2Fsbin%2Fsshd_alice"},
		{AppArmor, "/usr/sbin/sshd", "shared = true", "apparmor:%2Fusr%2Fsbin%2Fsshd"},
		{AppArmor, "/usr/sbin/sshd", `instance_name = "$UID"`, "apparmor:%2Fusr%2Fsbin%2Fsshd_1001"},
		{AppArmor, "/usr/sbin/sshd//alice", "", "apparmor:%2Fusr%2Fsbin%2Fsshd%2F%2Falice_alice"},
		{AppArmor, "poly-strict//&:ns:b", "", "apparmor:poly-strict%2F%2F%26%3Ans%3Ab_alice"},
		{AppArmor, "name with space", "", "apparmor:name%20with%20space_alice"},
		{AppArmor, "my_profile", "", "apparmor:my%5Fprofile_alice"},
		{AppArmor, "100%", "", "apparmor:100%25_alice"},
		{AppArmor, "\xffé\n", "", "apparmor:%FF%C3%A9%0A_alice"},
		{AppArmor, ".", "", "apparmor:._alice"},
		{AppArmor, "..", "shared = true", "apparmor:.."},
		{AppArmor, ".tmpdir.x", "shared = true", "apparmor:.tmpdir.x"},
		{Smack, "Secret", "", "smack:Secret_alice"},
		{Smack, "Secret", "shared = true", "smack:Secret"},
		{Smack, "_", "", "smack:%5F_alice"},
		{Smack, "*", "", "smack:%2A_alice"},
		// nobody's context: as method user does
		{AppArmor, "", `without_context = "user"`, "alice"},
		{AppArmor, "", "without_context = \"user\"\nshared = true", "alice"},
	} {
		names, r := InstanceNames(contextRule(t, c.keys), alice, under(c.module, c.session, ""))
		if r != nil || fmt.Sprint(names) != "{"+c.want+" []}" {
			t.Errorf("%s %q %s: %v, want %s (%v)", c.module, c.session, c.keys, names, c.want, r)
		}
	}
}

// Two contexts, or a context and a user, never share a name.
func TestNamesTellContextsApart(t *testing.T) {
	seen := map[string]string{}
	note := func(who, name string) {
		if other, ok := seen[name]; ok {
			t.Errorf("%s and %s: both %q", other, who, name)
		}
		seen[name] = who
	}
	sessions := []string{"a", "a_b", "a_", "_", "%", "%5F", "%5f", "a%5Fb", "/", "//", "%2F", "A", " ", "a ", ":", "apparmor:a"}
	for _, module := range []Module{AppArmor, Smack} {
		for _, session := range sessions {
			for _, user := range []string{"b", "b_c", "_b", "c", "5F_b"} {
				s := alice
				s.User, s.Typed = user, user
				names, r := InstanceNames(contextRule(t, ""), s, under(module, session, ""))
				if r != nil {
					t.Fatal(r)
				}
				note(fmt.Sprintf("%s %q of %s", module, session, user), names.Own)
			}
			names, _ := InstanceNames(contextRule(t, "shared = true"), alice, under(module, session, ""))
			note(fmt.Sprintf("%s %q, shared", module, session), names.Own)
		}
	}
	// nor has a user such a name
	s := alice
	s.User, s.Typed = "smack:Secret", "smack:Secret"
	for _, m := range []Machine{machine, under(AppArmor, "", "")} {
		_, r := InstanceNames(contextRule(t, `without_context = "user"`), s, m)
		if r == nil || r.Fault != FaultUser || !strings.Contains(r.Reason, `contains ":"`) {
			t.Error(r)
		}
	}
}

func TestLongNamesUnderOtherModules(t *testing.T) {
	long := "/opt/" + strings.Repeat("x", 300)
	names, r := InstanceNames(contextRule(t, ""), alice, under(AppArmor, long, ""))
	if r != nil || len(names.Own) != nameMax || !strings.HasPrefix(names.Own, "apparmor:%2Fopt%2Fxxx") {
		t.Error(names, r)
	}
	other, _ := InstanceNames(contextRule(t, ""), alice, under(AppArmor, long+"y", ""))
	if other.Own == names.Own {
		t.Error("two profiles, one name:", names.Own)
	}
	hashed, _ := InstanceNames(contextRule(t, "hash_names = true"), alice, under(AppArmor, "web", ""))
	if len(hashed.Own) != 32 {
		t.Error(hashed)
	}
}

func TestSmackLabelInName(t *testing.T) {
	for _, label := range []string{"Secret", "_", "*", "^", "a_b", "%", "~ok", "@web", "a%5Fb"} {
		name, r := InstanceNames(contextRule(t, ""), alice, under(Smack, label, ""))
		if got, cut := SmackLabelInName(name.Own); r != nil || got != label || cut {
			t.Errorf("%q: %q from %q, cut %v", label, got, name.Own, cut)
		}
	}
	long, _ := InstanceNames(contextRule(t, ""), alice, under(Smack, strings.Repeat("L", 255), ""))
	for name, cut := range map[string]bool{"alice": false, "apparmor:web_alice": false, long.Own: true, "smack:%2": true, "smack:%": true, "smack:%zz_a": true} {
		if label, got := SmackLabelInName(name); got != cut || !cut && label != "" {
			t.Errorf("%s: %q, cut %v", name, label, got)
		}
	}
}

func TestByContext(t *testing.T) {
	for _, c := range []struct {
		method config.Method
		m      Machine
		want   bool
	}{
		{config.MethodContext, machine, false},
		{config.MethodContext, under(NoModule, "left over", ""), false},
		{config.MethodContext, selinux("", "none yet"), true},
		{config.MethodLevel, selinux(session, ""), true},
		{config.MethodContext, under(Smack, "_", ""), true},
		{config.MethodLevel, under(Smack, "_", ""), false},
		{config.MethodContext, under(AppArmor, "web", ""), true},
		{config.MethodContext, under(AppArmor, "", ""), false},
		{config.MethodContext, under(AppArmor, "", "not to be read"), true},
		{config.MethodUser, under(AppArmor, "web", ""), false},
	} {
		if got := ByContext(Rule{Config: &config.Polydir{Method: c.method}}, c.m); got != c.want {
			t.Errorf("%s under %+v: %v", c.method, c.m.Security, got)
		}
	}
}
