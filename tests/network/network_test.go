package network

import (
	"strings"
	"sync"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// Instances on a network filesystem, here sshfs: refused, and with
// allow_network_fs used. It can neither rename without replacing, as NFS cannot,
// nor lock for others than this machine.
func TestNetworkFS(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		name := map[bool]string{false: "refused", true: "allowed"}[allowed]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := kit.OwnTmp
			if allowed {
				config += "allow_network_fs = true\n"
			}
			kit.Story(t, config, []string{"su"}, func(h *host.Host) {
				h.Need("sshfs")
				h.AddUser("alice")
				h.AddUser("bob")
				h.Sshd()
				h.Mkdir("/srv/remote", 0o755, 0, 0)
				h.MustRun("sshfs", "-o", "allow_other,default_permissions,IdentityFile=/etc/ssh/story/client,UserKnownHostsFile=/etc/ssh/story/known_hosts",
					"root@127.0.0.1:/srv/remote", host.Parents)
				h.Prepare(kit.Instance(""))
				h.Match("the filesystem", h.MustRun("stat", "-f", "-c", "%T", kit.Instance("")), "fuse")
				if !allowed {
					host.Equal(h, "alice is admitted", kit.Admitted(h, "alice"), false)
					h.WaitLog("lies on fuse: instances on a network filesystem need allow_network_fs = true")
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

				// what a clone of this machine has made, which has its machine id and
				// another boot, lives for all that can be known here
				h.Config(config + tmpdirBeside)
				h.Prepare("/var/lib/polyinst/run")
				p := h.Start("su", "alice", "-c", "echo ready; cat")
				p.Expect("ready")
				own := ""
				for _, n := range h.Names("/srv/remote/run") {
					if strings.HasPrefix(n, ".tmpdir.") {
						own = n
					}
				}
				f := strings.Split(own, ".")
				f[3] = "00000000"
				clone := strings.Join(f, ".")
				for _, dir := range []string{"/srv/remote/run/", "/srv/remote/run/.lock/"} {
					h.Mkdir(dir+clone, 0o700, 0, 0)
				}
				h.Match("it says why", h.MustRun("polyinst", "gc"), "kept .*"+clone+": another boot made it")
				h.MustRun("polyinst", "gc", "--older-than", "1d")
				host.Equal(h, "it is there", h.Exists("/srv/remote/run/"+clone), true)
				h.MustRun("touch", "-d", "40 days ago", "/var/lib/polyinst/run/.lock/"+clone)
				h.MustRun("polyinst", "gc", "--older-than", "30d")
				h.MustRun("ls", "/var/lib/polyinst/run/.lock") // sshfs looks again
				host.Equal(h, "it is there when it is old", h.Exists("/srv/remote/run/"+clone), false)
				host.Equal(h, "the live one is there", h.Exists("/srv/remote/run/"+own), true)
				p.CloseInput()
				p.Wait()
			})
		})
	}
}

// tmpdirBeside is a second polydir.
const tmpdirBeside = `
[[polydir]]
path             = "/var/tmp"
instance_prefix  = "/var/lib/polyinst/run/"
method           = "tmpdir"
allow_network_fs = true
except           = ["root"]
`
