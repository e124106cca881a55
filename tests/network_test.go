package tests

import (
	"strings"
	"sync"
	"testing"

	"pam_polyinst/tests/host"
)

// Instances on a network filesystem, here sshfs: refused, and with
// allow_network_fs used. It can neither rename without replacing, as NFS cannot,
// nor lock for others than this machine.
func TestNetworkFS(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		name := map[bool]string{false: "refused", true: "allowed"}[allowed]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := ownTmp
			if allowed {
				config += "allow_network_fs = true\n"
			}
			story(t, config, []string{"su"}, func(h *host.Host) {
				h.Need("sshfs")
				h.AddUser("alice")
				h.AddUser("bob")
				h.Sshd()
				h.Mkdir("/srv/remote", 0o755, 0, 0)
				h.MustRun("sshfs", "-o", "allow_other,default_permissions,IdentityFile=/etc/ssh/story/client,UserKnownHostsFile=/etc/ssh/story/known_hosts",
					"root@127.0.0.1:/srv/remote", host.Parents)
				h.Prepare(instance(""))
				h.Match("the filesystem", h.MustRun("stat", "-f", "-c", "%T", instance("")), "fuse")
				if !allowed {
					host.Equal(h, "alice is admitted", admitted(h, "alice"), false)
					h.WaitLog("lies on FUSE: instances on a network filesystem need allow_network_fs = true")
					return
				}
				// first sessions at once, then one that finds what they made
				var done sync.WaitGroup
				for range 4 {
					done.Add(1)
					go func() {
						defer done.Done()
						h.Su("alice", "touch /tmp/$$")
					}()
				}
				done.Wait()
				h.Su("alice", "echo hers >/tmp/letter")
				host.Equal(h, "her file", h.Su("alice", "cat /tmp/letter").Out(), "hers")
				host.Equal(h, "bob's view", h.Su("bob", "ls -A /tmp").Out(), "")
				host.Equal(h, "on the server", h.ReadFile("/srv/remote/tmp/alice/letter"), "hers\n")
				host.Equal(h, "files of all sessions", len(h.Names("/srv/remote/tmp/alice")), 5)
				if n := strings.Join(h.Names("/srv/remote/tmp"), " "); n != ".lock alice bob" {
					t.Errorf("the parent holds %s", n)
				}
				h.MustRun("polyinst", "gc")
			})
		})
	}
}
