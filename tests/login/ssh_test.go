package login

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// sshStory is a story with a running sshd.
func sshStory(t *testing.T, tell func(h *host.Host, s *host.Sshd)) {
	t.Helper()
	kit.Story(t, kit.OwnTmp, []string{"sshd"}, func(h *host.Host) { tell(h, h.Sshd()) })
}

func TestSSHAuthentication(t *testing.T) {
	for _, how := range []host.Auth{host.PublicKey, host.PasswordAuth, host.KeyboardInteractive} {
		t.Run(string(how), func(t *testing.T) {
			t.Parallel()
			sshStory(t, func(h *host.Host, s *host.Sshd) {
				h.AddUser("alice")
				kit.InInstance(h, "ssh", "alice", s.Client(how, "alice", kit.WhichTmp).Must())
				h.WaitLog("Accepted " + strings.Split(string(how), ",")[0])
			})
		})
	}
}

func TestSSHTerminal(t *testing.T) {
	sshStory(t, func(h *host.Host, s *host.Sshd) {
		h.AddUser("alice")
		p := s.Client(host.PublicKey, "alice", "-tt").OnPty()
		p.Expect(`\$ `)
		p.Send("tty; echo at=$(" + kit.WhichTmp + ")\n")
		p.Expect("/dev/pts/")
		kit.InInstance(h, "ssh -t", "alice", p.Expect(`at=(\d+:\d+)`)[1])
		p.Send("exit\n")
		p.Wait()
	})
}

func TestSFTPAndSCP(t *testing.T) {
	sshStory(t, func(h *host.Host, s *host.Sshd) {
		h.AddUser("alice")
		h.WriteFile("/root/letter", "dear alice\n")
		s.SFTP("alice", "put /root/letter /tmp/by-sftp").Must()
		s.SCP("/root/letter", host.Remote("alice", "/tmp/by-scp")).Must()
		for _, name := range []string{"by-sftp", "by-scp"} {
			host.Equal(h, name, h.ReadFile(kit.Instance("alice")+"/"+name), "dear alice\n")
			if h.Exists("/tmp/" + name) {
				t.Errorf("%s is in the public /tmp", name)
			}
		}
		s.SCP(host.Remote("alice", "/tmp/by-sftp"), "/root/back").Must()
		host.Equal(h, "back", h.ReadFile("/root/back"), "dear alice\n")
	})
}

// Sessions over one connection share the namespace of its monitor.
func TestSSHMultiplexed(t *testing.T) {
	sshStory(t, func(h *host.Host, s *host.Sshd) {
		h.AddUser("alice")
		master := s.Client(host.PublicKey, "alice", "-oControlMaster=yes", "-oControlPath=/run/mux", "echo ready; cat").Start()
		master.Expect("ready")
		for range 3 {
			r := s.Client(host.PublicKey, "alice", "-oControlPath=/run/mux", kit.WhichTmp).Must()
			kit.InInstance(h, "multiplexed", "alice", r)
		}
		master.CloseInput()
		host.Equal(h, "the first session", master.Wait().Code, 0)
	})
}

func TestSSHManyAtOnce(t *testing.T) {
	sshStory(t, func(h *host.Host, s *host.Sshd) {
		const users, each = 4, 5
		for u := range users {
			h.AddUser(fmt.Sprint("user", u))
		}
		var wg sync.WaitGroup
		for i := range users * each {
			wg.Go(func() {
				name := fmt.Sprint("user", i%users)
				if r := s.SSH(name, kit.WhichTmp); r.Code != 0 {
					t.Errorf("%s", r)
				} else {
					kit.InInstance(h, "ssh", name, r.Out())
				}
			})
		}
		wg.Wait()
	})
}

// The monitor, which is root and lives as long as the session, is what it was:
// one thread, no handler of another runtime.
func TestSSHMonitorIsClean(t *testing.T) {
	sshStory(t, func(h *host.Host, s *host.Sshd) {
		h.AddUser("alice")
		p := s.Client(host.PublicKey, "alice", "echo parent=$(ps -o ppid= -p $PPID); cat").Start()
		monitor := 0
		_, _ = fmt.Sscan(p.Expect(`parent= *(\d+)`)[1], &monitor)
		with := h.Snapshot(monitor)
		p.CloseInput()
		p.Wait()

		h.PAM("sshd", host.Stack("session required pam_unix.so")...) // which logs, too
		p = s.Client(host.PublicKey, "alice", "echo parent=$(ps -o ppid= -p $PPID); cat").Start()
		_, _ = fmt.Sscan(p.Expect(`parent= *(\d+)`)[1], &monitor)
		without := h.Snapshot(monitor)
		p.CloseInput()
		p.Wait()
		for _, section := range []string{"threads", "signals", "limits", "umask", "credentials"} {
			host.Equal(h, section, strings.Join(with[section], "\n"), strings.Join(without[section], "\n"))
		}
		host.Equal(h, "descriptors", len(with["fds"]), len(without["fds"]))
	})
}
