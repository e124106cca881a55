package close

import (
	"cmp"
	"fmt"
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// noWorker takes from the host what a worker needs, so that the log says it when
// one is asked.
const (
	noWorker    = "rlimit:as=300000000,300000000"
	asked       = "RLIMIT_AS"
	noResources = "dropcap:cap_sys_resource" // the worker could raise the limit
)

// At close no worker is started where there is nothing to do, and one is where
// there can be.
func TestCloseAsksOnlyWhereItMust(t *testing.T) {
	for _, c := range []struct {
		name, config, line, user string
		steps                    []string
		asks                     bool
	}{
		{name: "nothing applies", config: kit.OwnTmp, user: "root", steps: []string{"open"}},
		{name: "nothing applies, opened twice", config: kit.OwnTmp, user: "root", steps: []string{"open", "open"}},
		{name: "nothing applies, unmount_on_close", config: kit.OwnTmp, user: "root", line: " unmount_on_close", steps: []string{"open"}, asks: true},
		{name: "persistent instances", config: kit.OwnTmp, steps: []string{"open"}},
		{name: "persistent instances, in place", config: kit.OwnTmp, steps: []string{"dropcap:cap_sys_chroot", "open"}},
		{name: "tmpdir, in place", config: kit.Tmpdir, steps: []string{"dropcap:cap_sys_chroot", "open"}, asks: true},
		{name: "tmpdir", config: kit.Tmpdir, steps: []string{"open"}, asks: true},
		{name: "tmpdir, opened twice", config: kit.Tmpdir, steps: []string{"open", "open"}, asks: true},
		{name: "tmpdir by the first of two lines", config: kit.OwnTmp, line: " conf=/etc/security/other/namespace.conf\n" + kit.Session, steps: []string{"open"}, asks: true},
		{name: "tmpdir, shared with others", config: kit.PerUser(kit.Tmpdir), steps: []string{"open"}, asks: true},
		{name: "unmount_on_close", config: kit.OwnTmp, line: " unmount_on_close", steps: []string{"open"}, asks: true},
		{name: "not opened here", config: kit.OwnTmp, asks: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, c.config, nil, func(h *host.Host) {
				h.Forks() // what tells that a worker was asked is a limit of the host's
				h.PAM("pamhost", host.Stack(kit.Session+c.line)...)
				h.AddUser("alice")
				h.WriteFile("/etc/security/other/namespace.conf", strings.ReplaceAll(kit.Tmpdir, `"/tmp"`, `"/var/tmp"`))
				steps := append([]string{"user=" + cmp.Or(c.user, "alice"), "start", noResources}, c.steps...)
				tr := h.PamHost(append(steps, noWorker, "close", "end")...)
				tr.RC("close", host.PAMSuccess)
				if told := strings.Contains(fmt.Sprint(h.ModuleLog()), asked); told != c.asks {
					t.Errorf("a worker was asked at close: %v, want %v", told, c.asks)
				}
			})
		})
	}
}
