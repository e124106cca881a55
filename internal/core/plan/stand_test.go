package plan

import (
	"fmt"
	"testing"
)

func TestStands(t *testing.T) {
	covers := []Covered{{"/tmp", "/i/tmp/alice"}, {"/tmp/in", "/i/in/alice"}, {"/dev/shm", ""}}
	for _, c := range []struct {
		name string
		left Left
		want string
	}{
		{"the root directory", Left{Path: "/"}, "[{/ true}]"},
		{"the root directory, of root", Left{Path: "/", Covers: covers}, "[{/ true}]"},
		{"elsewhere", Left{Path: "/usr/share", UID: 1, Covers: covers}, "[{/usr/share false}]"},
		{"beside a polydir", Left{Path: "/tmpx", Covers: covers}, "[{/tmpx false}]"},
		{"below a polydir", Left{Path: "/tmp/build", UID: 1, Covers: covers}, "[{/tmp/build false}]"},
		{"below a polydir, root", Left{Path: "/tmp/build", Covers: covers}, "[{/tmp/build false} {/i/tmp/alice/build false}]"},
		{"below the inner one", Left{Path: "/tmp/in/x", Covers: covers}, "[{/tmp/in/x false} {/i/in/alice/x false}]"},
		{"below a tmpfs", Left{Path: "/dev/shm/x", Covers: covers}, "[{/dev/shm/x false}]"},
		{"the polydir, covered anew", Left{Path: "/tmp", UID: 1, Covers: covers, Own: []string{"/tmp"}}, "[{/tmp true}]"},
		{"the polydir, covered anew for root", Left{Path: "/tmp", Covers: covers, Own: []string{"/tmp"}}, "[{/tmp true}]"},
		{"the polydir, covered first", Left{Path: "/tmp", UID: 1, Own: []string{"/tmp"}}, "[{/tmp true}]"},
		// the public one is full of strangers' names
		{"the polydir, public", Left{Path: "/tmp", UID: 1, Covers: covers}, "[{/tmp false}]"},
		{"the polydir, public, root", Left{Path: "/tmp", Covers: covers}, "[{/tmp false} {/i/tmp/alice false}]"},
		{"an instance by its host path", Left{Path: "/i/tmp/alice/build", UID: 1, Parents: []string{"/i/tmp"}}, "[]"},
		{"an instance by its host path, root", Left{Path: "/i/tmp/alice/build", Parents: []string{"/i/tmp"}}, "[{/i/tmp/alice/build false}]"},
		{"beside an instance parent", Left{Path: "/i/tmpx", UID: 1, Parents: []string{"/i/tmp"}}, "[{/i/tmpx false}]"},
	} {
		if got := fmt.Sprint(c.left.Stands()); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
