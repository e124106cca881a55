package kit

import (
	"fmt"
	"path/filepath"
	"time"

	"pam_polyinst/tests/host"
)

// RecordFile is where the record of a namespace lies.
func RecordFile(h *host.Host, namespace uint64) string {
	h.T.Helper()
	found, err := filepath.Glob(fmt.Sprintf("/run/polyinst/mnt.%d.*", namespace))
	if err != nil || len(found) != 1 {
		h.T.Fatalf("records of mnt:[%d]: %v %v", namespace, found, err)
	}
	return found[0]
}

// Tmpdir gives every session a /tmp that is gone after it.
const Tmpdir = `
[[polydir]]
path            = "/tmp"
instance_prefix = "/var/lib/polyinst/tmp/"
method          = "tmpdir"
except          = ["root"]
`

// Instances are the names in the instance parent, without the locks.
func Instances(h *host.Host) []string {
	h.T.Helper()
	var names []string
	for _, n := range h.Names(TmpParent) {
		if n != ".lock" {
			names = append(names, n)
		}
	}
	return names
}

// Settled is instances, of which so many are to be left. Ready workers' service removes
// them when a view has ended, and tells nobody, so that is waited for.
func Settled(h *host.Host, want int) []string {
	h.T.Helper()
	deadline := time.Now().Add(host.Patience)
	for host.ServesAll() && len(Instances(h)) != want && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	return Instances(h)
}
