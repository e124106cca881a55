package plan

import (
	"testing"

	"pam_polyinst/internal/core/config"
)

// Each row is a way that a session went before there was Choose.
func TestChoose(t *testing.T) {
	shm := "[[polydir]]\npath = \"/dev/shm\"\nmethod = \"tmpfs\"\n"
	home := "[[polydir]]\npath = \"/srv/x\"\nmethod = \"tmpfs\"\n"
	exempt := tmpUser + "except = [\"alice\"]\n"
	byService := tmpUser + "services = [\"login\"]\n"
	in := func(change func(*Outer)) *Outer {
		a := &Outer{User: "bob", UID: 2002, Digest: "another", Intact: true, Polydirs: []string{"/tmp"}}
		if change != nil {
			change(a)
		}
		return a
	}
	bobs := in(nil)
	own := in(func(a *Outer) { a.User, a.UID = alice.User, alice.UID })
	very := in(func(a *Outer) { a.User, a.UID, a.Digest = alice.User, alice.UID, "wanted" })
	undone := in(func(a *Outer) { a.User, a.UID, a.Digest, a.Intact = alice.User, alice.UID, "wanted", false })
	apart := in(func(a *Outer) { a.Apart = "it is another one" })
	ownApart := in(func(a *Outer) { a.User, a.UID, a.Apart = alice.User, alice.UID, "it is another one" })
	broken := in(func(a *Outer) { a.Broken = refuse(FaultHost, "", "the host's view: no memory") })
	old := refuse(FaultHost, "", "the kernel is too old")
	noAdmin := refuse(FaultHost, "", "the host lacks CAP_SYS_ADMIN")
	const (
		builtOn  = "; warns: nested session: built on the view that it is in: "
		notBuilt = "the outermost session was not built from the view of process 1, or that cannot be told: it is another one"
		mayNot   = "this program may not join the host's view (CAP_SYS_CHROOT, or a chroot)"
		inBobs   = `polydir "/tmp": nested session: "alice" would be in the instance of "bob", the user of the session around it: `
		wayOut   = `; log in by another way, or say nested = "keep" if that is wanted`
	)
	for _, c := range []struct {
		name, conf string
		nested     config.Nested
		scope      config.Scope
		at         Place
		want       string
	}{
		{"plain", tmpUser, "replace", "", Place{Joins: true}, "builds session"},
		{"plain, shared", tmpUser, "replace", "user", Place{Joins: true}, "builds session"},
		{"exempt", exempt, "replace", "", Place{Joins: true}, "stays session"},
		{"exempt, in place", exempt, "replace", "", Place{InPlace: true}, "stays session"},
		{"exempt, of a host without a right", exempt, "replace", "", Place{Host: noAdmin}, "stays session"},
		{"exempt, on an old kernel", exempt, "replace", "", Place{Kernel: old, Joins: true}, "stays session"},
		{"old kernel", tmpUser, "replace", "", Place{Kernel: old, Host: noAdmin}, "refused: the kernel is too old"},
		{"without CAP_SYS_ADMIN", tmpUser, "replace", "", Place{Host: noAdmin}, "refused: the host lacks CAP_SYS_ADMIN"},
		{"without CAP_SYS_CHROOT", tmpUser, "replace", "", Place{}, "in place session"},
		{"without CAP_SYS_CHROOT, shared", tmpUser, "replace", "user", Place{}, "refused: scope = \"user\" wants a program that may join a namespace, and this one may not (CAP_SYS_CHROOT, a chroot, or SELinux without the policy module in dist/selinux)"},
		{"in place", tmpUser, "replace", "", Place{InPlace: true}, "builds session"},
		{"in place, in another session", tmpUser, "replace", "", Place{InPlace: true, Outer: bobs}, "builds session"},
		{"in place, in a view of its own", tmpUser, "replace", "", Place{InPlace: true, Outer: very}, "builds session"},

		{"in its view", tmpUser, "replace", "", Place{Joins: true, Outer: very}, "same session"},
		{"in its view, keep", tmpUser, "keep", "", Place{Joins: true, Outer: very}, "same session"},
		{"in its view, escape", tmpUser, "escape", "", Place{Joins: true, Outer: very}, "same session"},
		{"in its view, of a host without a right", tmpUser, "replace", "", Place{Host: noAdmin, Outer: very}, "same session"},
		{"in its view, which was taken apart", tmpUser, "replace", "", Place{Joins: true, Outer: undone}, "builds host"},
		{"in a view of other rules", tmpUser, "replace", "", Place{Joins: true, Outer: own}, "builds host"},

		{"in another's", tmpUser, "replace", "", Place{Joins: true, Outer: bobs}, "builds host"},
		{"in another's, keep", tmpUser, "keep", "", Place{Joins: true, Outer: bobs}, "builds session"},
		{"in another's, escape", tmpUser, "escape", "", Place{Joins: true, Outer: bobs}, "host host"},
		{"in another's, exempt", exempt, "replace", "", Place{Joins: true, Outer: bobs}, "host host"},
		{"in another's, exempt, keep", exempt, "keep", "", Place{Joins: true, Outer: bobs}, "stays session"},
		{"in another's, exempt, escape", exempt, "escape", "", Place{Joins: true, Outer: bobs}, "host host"},
		{"in another's, another service", byService, "replace", "", Place{Joins: true, Outer: bobs}, "stays session"},
		{"in another's, another service, escape", byService, "escape", "", Place{Joins: true, Outer: bobs}, "host host"},
		{"in another's, exempt, without a right", exempt, "replace", "", Place{Host: noAdmin, Outer: bobs}, "refused: the host lacks CAP_SYS_ADMIN"},

		{"outer one from elsewhere", tmpUser, "replace", "", Place{Joins: true, Outer: apart}, "builds session" + builtOn + notBuilt},
		{"outer one from elsewhere, exempt", exempt, "replace", "", Place{Joins: true, Outer: apart}, "refused: " + inBobs + notBuilt + wayOut},
		{"outer one from elsewhere, exempt, one's own", exempt, "replace", "", Place{Joins: true, Outer: ownApart}, "stays session" + builtOn + notBuilt},
		{"outer one from elsewhere, another polydir", home, "replace", "", Place{Joins: true, Outer: apart}, "refused: " + inBobs + notBuilt + wayOut},
		{"outer one from elsewhere, more polydirs", tmpUser + shm, "replace", "", Place{Joins: true, Outer: apart}, "builds session" + builtOn + notBuilt},
		{"outer one from elsewhere, keep", tmpUser, "keep", "", Place{Joins: true, Outer: apart}, "builds session"},
		{"outer one from elsewhere, escape", tmpUser, "escape", "", Place{Joins: true, Outer: apart}, "builds session" + builtOn + notBuilt},
		{"host's view broken", tmpUser, "replace", "", Place{Joins: true, Outer: broken}, "refused: the host's view: no memory"},
		{"host's view broken, keep", tmpUser, "keep", "", Place{Joins: true, Outer: broken}, "builds session"},
		{"host's view broken, exempt", exempt, "replace", "", Place{Joins: true, Outer: broken}, "refused: the host's view: no memory"},

		{"in another's, without CAP_SYS_CHROOT", tmpUser, "replace", "", Place{Outer: bobs}, "in place session" + builtOn + mayNot},
		{"in another's, without CAP_SYS_CHROOT, another polydir", home, "replace", "", Place{Outer: bobs}, "refused: " + inBobs + mayNot + wayOut},
		{"in another's, without CAP_SYS_CHROOT, exempt", exempt, "replace", "", Place{Outer: bobs}, "refused: " + inBobs + mayNot + wayOut},
		{"in another's, without CAP_SYS_CHROOT, keep", tmpUser, "keep", "", Place{Outer: bobs}, "in place session"},
		{"in another's, without CAP_SYS_CHROOT, escape", tmpUser, "escape", "", Place{Outer: bobs}, "refused: nested = \"escape\" wants the host's view, and this program may not join it (CAP_SYS_CHROOT, a chroot, or SELinux without the policy module in dist/selinux)"},
	} {
		s, r := Select(parse(t, c.conf), alice)
		if r != nil {
			t.Fatal(r)
		}
		route, r := Choose(Wanted{Selection: s, Who: alice, Digest: "wanted", Nested: c.nested, Scope: c.scope}, c.at)
		got := string(route.Way) + " " + string(route.Base)
		switch {
		case r != nil:
			got = "refused: " + r.Error()
		case route.Warning != "":
			got += "; warns: " + route.Warning
		}
		if got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
}

// Whom require= covers may not be led out of all views of ours.
func TestChooseRequired(t *testing.T) {
	s, r := Select(parse(t, tmpUser), alice)
	if r != nil {
		t.Fatal(r)
	}
	w := Wanted{Selection: s, Who: alice, Nested: config.NestedEscape, Require: []config.Template{"/tmp"}}
	if _, r := Choose(w, Place{Joins: true, Outer: &Outer{User: "bob", UID: 2002}}); r == nil || r.Fault != FaultConfig {
		t.Errorf("led to the host's view: %v", r)
	}
	if _, r := Choose(w, Place{Joins: true}); r != nil {
		t.Errorf("refused outside: %v", r)
	}
}
