package plan

import (
	"testing"

	"pam_polyinst/internal/core/layout"
)

func TestTemporaryNames(t *testing.T) {
	const random = "0123456789abcdef0123456701"
	for _, name := range []string{"alice", "a.b", "x." + random, ".tmpdir.cafe.cafe." + random, "0123456789abcdef0123456789abcdef"} {
		for _, entry := range []string{layout.Temporary(name, random), layout.Temporary(name, random) + "0"} {
			if got, ok := layout.OfTemporary(entry); !ok || got != name {
				t.Errorf("%s is of %q, %v", entry, got, ok)
			}
		}
	}
	for entry, want := range map[string]string{
		".new.alice":                 "alice", // of version 0.1
		".new.alice.beef":            "alice.beef",
		".new.alice." + random + "g": "alice." + random + "g",
		".new." + random:             random,
		".new.." + random:            "." + random, // no instance is called nothing
		".new.alice." + random[:24]:  "alice",
		".new.alice." + random[:23]:  "alice." + random[:23],
	} {
		if got, ok := layout.OfTemporary(entry); !ok || got != want {
			t.Errorf("%s is of %q, %v", entry, got, ok)
		}
	}
	for _, entry := range []string{"alice", "alice." + random, ".lock", ".tmpdir.cafe.cafe." + random} {
		if got, ok := layout.OfTemporary(entry); ok || got != entry {
			t.Errorf("%s is of %q, %v", entry, got, ok)
		}
	}
	if got := layout.ProjectClaim(1 << 30); got != ".lock.project.1073741824" {
		t.Errorf("claim %q", got)
	}
}
