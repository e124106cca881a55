package namespaces

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// named is ownTmp with the network namespace that each user has by a name.
const named = "[namespace]\nnetwork = \"netns:net-$USER\"\n" + kit.OwnTmp

// network makes a network namespace, with a loopback device that works.
func network(h *host.Host, name string) {
	h.T.Helper()
	h.Need("ip")
	h.MustRun("ip", "netns", "add", name)
	h.MustRun("ip", "-n", name, "link", "set", "lo", "up")
}

// serve is a shell command that answers on a port of the loopback device, when it has
// said that it listens.
func serve(port, answer string) string {
	return `perl -MIO::Socket::INET -e '$|=1; $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1:` + port + `", Listen => 5) or die "bind: $!\n"; print "listens\n"; while ($c = $s->accept) { print $c "` + answer + `\n"; close $c }'`
}

// ask is one that says who answers there.
func ask(port string) string {
	return `perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new("127.0.0.1:` + port + `") or die "connect: $!\n"; print <$s>'`
}

// Two users bind one port, each in the network that has their name; the host does
// not see either of them, nor they each other.
func TestNamedNetwork(t *testing.T) {
	kit.Story(t, named, []string{"su"}, func(h *host.Host) {
		h.Need("perl")
		for _, u := range []string{"alice", "bob"} {
			h.AddUser(u)
			network(h, "net-"+u)
		}
		var servers []*host.Process
		for _, u := range []string{"alice", "bob"} {
			p := h.Start("su", u, "-c", serve("8080", "from "+u))
			p.Expect("listens")
			servers = append(servers, p)
		}
		for _, u := range []string{"alice", "bob"} {
			host.Equal(h, u+"'s port", h.MustRun("su", u, "-c", ask("8080")), "from "+u)
			host.Equal(h, u+"'s by ip netns", h.MustRun("ip", "netns", "exec", "net-"+u, "sh", "-c", ask("8080")), "from "+u)
		}
		h.Match("the host's port", h.Cmd("sh", "-c", ask("8080")).String(), "connect: Connection refused")
		host.Equal(h, "root's network", h.MustRun("su", "root", "-c", "readlink /proc/self/ns/net"), h.Sh("readlink /proc/1/ns/net"))
		kit.InInstance(h, "su", "alice", h.MustRun("su", "alice", "-c", kit.WhichTmp))
		h.Match("explain", h.MustRun("polyinst", "explain", "alice"), `enter the network namespace "net-alice"`)
		for _, p := range servers {
			p.KillHard()
		}
	})
}

// Where a name leads to no network namespace of root's, the session is refused, by
// explain and check as well, and nothing of the host has changed; root gets in.
func TestNamedNetworkIsRefused(t *testing.T) {
	const at = "/run/netns/net-alice"
	for name, c := range map[string]struct{ make, says string }{
		"absent":       {"rm " + at, at + " does not exist: `ip netns add net-alice` makes it"},
		"no directory": {"rm -r /run/netns", at + " does not exist: `ip netns add net-alice` makes it"},
		"a file":       {"echo hello >" + at, at + ": is no namespace"},
		"a fifo":       {"rm " + at + "; mkfifo " + at, at + ": is no namespace"},
		"a link":       {"ip netns add other; rm " + at + "; ln -s other " + at, at + ": is no namespace"},
		"another kind": {"mount --bind /proc/self/ns/uts " + at, at + ": is a namespace of another kind"},
		"the host's":   {"mount --bind /proc/1/ns/net " + at, at + ": is the network of process 1"},
		"a user's": {"setpriv --reuid alice --clear-groups unshare -Urn sh -c 'echo >/run/ready; exec cat' </run/hold >/dev/null 2>&1 & exec 3>/run/hold; read line </run/ready; " +
			"for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = cat ] && mount --bind $p/ns/net " + at + "; done; exec 3>&-", at + ": belongs to another user namespace"},
		"another's directory": {"chown alice /run/netns", "/run/netns: owned by uid"},
		"open to others":      {"chmod 777 /run/netns", "/run/netns: mode 0777"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, named, []string{"su", "pamhost"}, func(h *host.Host) {
				h.Need("setpriv", "unshare")
				h.AddUser("alice")
				h.Sh("mkdir -m 755 -p /run/netns; touch " + at + "; mkfifo -m 666 /run/ready /run/hold")
				h.Sh(c.make)
				tr := h.PamHost(kit.Steps("snapshot:before", "open", "snapshot:after", "end")...)
				tr.RC("open", host.PAMRefused)
				h.Unchanged("the refusal", tr.Snapshot("before"), tr.Snapshot("after"))
				h.WaitLog(`network = "netns:net-\$USER": .*` + c.says)
				h.Match("explain", h.Cmd("polyinst", "explain", "alice").String(), c.says)
				h.Match("check", h.Cmd("polyinst", "check").String(), "namespace.conf:2:1: error: for alice: namespace: .*"+c.says)
				h.MustRun("su", "root", "-c", "true")
			})
		})
	}
}

// A nested session of another user's is in that one's network, an exempt one in the
// host's; at close the host returns to its own; in place and joined it is the same.
func TestNamedNetworkNested(t *testing.T) {
	kit.Story(t, strings.Replace(named, "[namespace]\n", "[namespace]\nscope = \"user\"\n", 1), []string{"su", "runuser"}, func(h *host.Host) {
		for _, u := range []string{"alice", "bob"} {
			h.AddUser(u)
			network(h, "net-"+u)
		}
		net := "readlink /proc/self/ns/net"
		of := func(name string) string {
			return h.MustRun("ip", "netns", "exec", name, "readlink", "/proc/self/ns/net")
		}
		first := h.Start("su", "alice", "-c", "echo ready; cat")
		first.Expect("ready")
		out := strings.Split(kit.InASession(h, net+"; runuser bob -c '"+net+"'; runuser root -c '"+net+"'; runuser alice -c '"+net+"'"), "\n")
		host.Equal(h, "the networks", strings.Join(out, " "), strings.Join([]string{of("net-alice"), of("net-bob"), h.Sh(net), of("net-alice")}, " "))
		first.CloseInput()
		first.Wait()
	})
}

func TestNamedNetworkOfOtherHosts(t *testing.T) {
	for name, step := range map[string]string{"unmount_on_close": "umask:022", "in place": "dropcap:cap_sys_chroot"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, named, nil, func(h *host.Host) {
				h.PAM("pamhost", host.Stack(kit.Session+" unmount_on_close")...)
				h.AddUser("alice")
				network(h, "net-alice")
				net := "root-exec:readlink /proc/self/ns/net"
				tr := h.PamHost(kit.Steps(step, net, "open", net, "close", net, "end")...)
				tr.RC("open", host.PAMSuccess)
				seen := tr.All("root-exec")
				host.Equal(h, "in the session", strings.TrimSpace(seen[1].Text), h.MustRun("ip", "netns", "exec", "net-alice", "readlink", "/proc/self/ns/net"))
				if name != "in place" {
					host.Equal(h, "after close", seen[2].Text, seen[0].Text)
				}
			})
		})
	}
}

// A kernel, or a filter, that says yes to setns(2) and does nothing is found out.
func TestNamedNetworkThatLies(t *testing.T) {
	kit.Story(t, named, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		network(h, "net-alice")
		// the first call is the worker's look at its place
		args := []string{"strace", "-f", "-qq", "-o", "/run/trace", "-e", "inject=setns:retval=0:when=2", h.Built("pamhost")}
		tr := h.Command(append(args, kit.Steps("open", "exec:"+kit.WhichTmp, "end")...)...).Trace()
		tr.RC("open", host.PAMRefused)
		kit.InPublic(h, "the refusal", tr.Step("exec").Text)
		h.WaitLog(`setns said that it entered the network namespace`)
	})
}

// What the manual page says of sshd, /sys and DNS: the connection stays, what sshd
// forwards goes out of the session's network; /sys shows the host's devices, and the
// files of /etc/netns are not looked at.
func TestNamedNetworkOfSSH(t *testing.T) {
	kit.Story(t, named, []string{"sshd"}, func(h *host.Host) {
		h.Need("perl")
		h.AddUser("alice")
		network(h, "net-alice")
		h.MustRun("ip", "-n", "net-alice", "link", "add", "inner", "type", "bridge")
		h.WriteFile("/etc/netns/net-alice/resolv.conf", "nameserver 192.0.2.1\n")
		inner := h.Start("ip", "netns", "exec", "net-alice", "sh", "-c", serve("8080", "inner"))
		inner.Expect("listens")
		outer := h.Start("sh", "-c", serve("8080", "outer"))
		outer.Expect("listens")
		s := h.Sshd()
		host.Equal(h, "what sshd connects to", strings.TrimSpace(s.Client(host.PublicKey, "alice", "-W127.0.0.1:8080").Must()), "inner")
		see := s.Client(host.PublicKey, "alice", "ls /proc/net/dev_snmp6 /sys/class/net | tr '\\n' ' '; cat /etc/resolv.conf | grep -c 192.0.2.1 || :").Must()
		h.Match("devices", see, `/proc/net/dev_snmp6: inner lo +/sys/class/net: lo +0`)
		inner.KillHard()
		outer.KillHard()
	})
}
