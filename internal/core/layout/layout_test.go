package layout

import (
	"strings"
	"testing"
)

const random = "0123456789abcdef01234567" // as plan.Machine.Random is

// An entry that is being made tells whose it is, and no user's name is taken for one.
func TestTemporary(t *testing.T) {
	for entry, want := range map[string]string{
		".new.alice." + random:                  "alice",
		".new.alice." + random + "0a":           "alice", // several polydirs in one session
		".new.a.b." + random:                    "a.b",
		".new.alice":                            "alice", // of version 0.1
		".new.a.b":                              "a.b",
		".new.alice." + random[1:]:              "alice." + random[1:], // too short to be ours
		".new.alice." + random + "X":            "alice." + random + "X",
		".new.tmp-.tmpdir.m.b." + random:        "tmp-.tmpdir.m.b",
		".new." + random:                        random,
		".new.." + random:                       "." + random,
		".new.":                                 "",
		".new.alice." + strings.ToUpper(random): "alice." + strings.ToUpper(random),
	} {
		if got, ok := OfTemporary(entry); !ok || got != want {
			t.Errorf("%s: %q, %v, want %q", entry, got, ok, want)
		}
	}
	for _, entry := range []string{"alice", ".new", "new.alice", ".tmpdir.x", ".lock", "x.new.alice", ""} {
		if got, ok := OfTemporary(entry); ok || got != entry {
			t.Errorf("%q is one that %q has begun", entry, got)
		}
	}
	if got, want := ProjectClaim(4294967295), ".lock.project.4294967295"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	for _, name := range []string{Temporary("x", random), TmpdirPrefix, LockDir, ProjectClaim(1)} {
		reserved := false
		for _, begin := range Reserved {
			reserved = reserved || strings.HasPrefix(name, begin)
		}
		if !reserved {
			t.Errorf("a user may be called %q", name)
		}
	}
}

// Whatever an instance is called, its temporary name tells that, and is nobody else's.
func FuzzTemporary(f *testing.F) {
	f.Add("alice")
	f.Add("a." + random)
	f.Add("")
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" {
			return // no instance is called so
		}
		if got, ok := OfTemporary(Temporary(name, random)); !ok || got != name {
			t.Errorf("%q: %q, %v", name, got, ok)
		}
	})
}
