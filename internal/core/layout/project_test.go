package layout

import "testing"

// Projects are stable, differ, and stay in their range wherever they begin.
func TestProjectID(t *testing.T) {
	const alice, bob = "/var/lib/polyinst/tmp/alice", "/var/lib/polyinst/tmp/bob"
	if id := ProjectID(alice, 0); id != 1839641349 {
		t.Errorf("alice has project %d: existing instances would get another one", id)
	}
	if ProjectID(alice, 0) == ProjectID(bob, 0) || ProjectID(alice, 1) != ProjectID(alice, 0)+1 {
		t.Error("two instances, or two tries, have one project")
	}
	for try := range uint32(100) {
		for _, at := range []uint32{0, ProjectMax - ProjectMin - 50, 1<<32 - 50} {
			if id := ProjectID(bob, at+try); !IsProject(id) {
				t.Errorf("project %d is out of range", id)
			}
		}
	}
	for id, want := range map[uint32]bool{0: false, 1000: false, 1<<30 - 1: false, 1 << 30: true, 1<<31 - 1: true, 1 << 31: false, 1<<32 - 1: false} {
		if IsProject(id) != want {
			t.Errorf("IsProject(%d) is %v", id, !want)
		}
	}
}
