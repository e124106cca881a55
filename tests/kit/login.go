package kit

import (
	"testing"

	"pam_polyinst/tests/host"
)

// HostStory is a story with C hosts of our own, in the service "pamhost", and a
// user alice.
func HostStory(t *testing.T, tell func(h *host.Host)) {
	t.Helper()
	Story(t, OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		tell(h)
	})
}

// Steps is a session of alice's with these steps in it.
func Steps(steps ...string) []string {
	return append([]string{"user=alice", "start", "acct"}, steps...)
}
