package session

import (
	"testing"

	"pam_polyinst/internal/kernel/mntns"
)

// Sessions share only what is built from the same namespace, not from one that has its
// number by now. Where mount ids are used again the number has to do.
func TestViewKey(t *testing.T) {
	base := mntns.Identity{NS: 7, Root: 70, Unique: true, Ever: 700}
	key := viewKey("digest", "bob", base)
	for what, other := range map[string]mntns.Identity{
		"number":   {NS: 8, Root: 70, Unique: true, Ever: 700},
		"its root": {NS: 7, Root: 71, Unique: true, Ever: 700},
		"id":       {NS: 7, Root: 70, Unique: true, Ever: 701},
	} {
		if viewKey("digest", "bob", other) == key {
			t.Errorf("another %s is the same view", what)
		}
	}
	if viewKey("other", "bob", base) == key || viewKey("digest", "alice", base) == key {
		t.Error("another digest, or user, is the same view")
	}
	if viewKey("digest", "bob", mntns.Identity{NS: 7, Root: 1}) != viewKey("digest", "bob", mntns.Identity{NS: 7, Root: 2}) {
		t.Error("a mount id that is used again tells views apart")
	}
}
