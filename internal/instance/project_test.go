package instance

import (
	"io/fs"
	"testing"

	"pam_polyinst/internal/core/layout"
)

// A project is one instance's, also where one session stands between its claim and
// its note, and the other sessions of the same instance take the one that is noted.
func TestProjectsAreClaimedOnce(t *testing.T) {
	claimed := map[uint32]bool{}
	choose := func(path string, mine, noted *uint32) uint32 {
		t.Helper()
		id, err := chooseProject(projects{
			path:   path,
			mine:   func() (uint32, error) { return *mine, nil },
			unused: func(uint32) (bool, error) { return true, nil },
			claim: func(id uint32) error {
				if claimed[id] {
					return &fs.PathError{Op: "mkdir", Path: "x", Err: fs.ErrExist}
				}
				claimed[id] = true
				return nil
			},
			note: func(id uint32) error { *noted = id; return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	var first, second, lost uint32
	a := choose("/p/alice", &first, &lost) // stopped before its note
	b := choose("/p/alice", &second, &second)
	if a == b || a != layout.ProjectID("/p/alice", 0) || second != b {
		t.Errorf("%d and %d", a, b)
	}
	if c := choose("/p/alice", &second, &second); c != b {
		t.Errorf("an instance has projects %d and %d", b, c)
	}
}
