package host

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// Node is a further machine beside the host, as a node of a cluster is: it has
// a name, an address, processes, and /run, /tmp, /var/tmp, /var/spool,
// /var/lib/polyinst and /dev/shm of its own; /etc, /home and the programs it
// has in common with the host and the other nodes. Its syslog is the host's.
type Node struct {
	h       *Host
	Name    string
	Address string // the host is at HeadAddress
	init    *Process
}

// HeadAddress is the host's own address on the network of the nodes.
const HeadAddress = "10.77.0.1"

const bridge = "nodes"

// nodeInit makes the node's own places and then reaps orphans, as bash does
// while it waits for its input to end; with it the node ends.
const nodeInit = `
set -e
mount --make-rslave /
mount -t proc proc /proc
for d in /run /var/lib/polyinst /var/spool; do mount -t tmpfs -o mode=755 tmpfs $d; done
for d in /tmp /var/tmp /dev/shm; do mount -t tmpfs -o mode=1777 tmpfs $d; done
mkdir -m 755 /run/sshd
mount --make-rshared /
hostname "$1"
ip link set lo up
echo ready
read -r _
`

// Node starts a node with this name.
func (h *Host) Node(name string) *Node {
	h.T.Helper()
	h.Need("ip", "nsenter", "unshare")
	if h.nodes == 0 {
		h.Sh("ip link add " + bridge + " type bridge; ip addr add " + HeadAddress + "/24 dev " + bridge + "; ip link set " + bridge + " up")
		h.appendLine("/etc/hosts", HeadAddress+" head")
	}
	h.nodes++
	n := &Node{h: h, Name: name, Address: fmt.Sprintf("10.77.0.%d", 10+h.nodes)}
	h.appendLine("/etc/hosts", n.Address+" "+name)
	n.init = h.Start("unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child",
		"bash", "-c", nodeInit, "init", name)
	n.init.Expect("ready")
	link := fmt.Sprintf("node%d", h.nodes)
	h.Sh(fmt.Sprintf(`ip link add %[1]s type veth peer name eth0 netns %[2]d
ip link set %[1]s master %[3]s up`, link, n.pid(), bridge))
	n.MustRun("ip", "addr", "add", n.Address+"/24", "dev", "eth0")
	n.MustRun("ip", "link", "set", "eth0", "up")
	return n
}

// T is the test that the node's story belongs to.
func (n *Node) T() *testing.T { return n.h.T }

// pid is that of the node's first process, as the host sees it.
func (n *Node) pid() int {
	n.h.T.Helper()
	outer := strconv.Itoa(n.init.Pid()) // unshare, whose one child it is
	pid, err := strconv.Atoi(strings.TrimSpace(n.h.ReadFile("/proc/" + outer + "/task/" + outer + "/children")))
	n.h.check(err)
	return pid
}

// Command prepares a command on the node. It runs as root, without a login.
func (n *Node) Command(args ...string) *Command {
	n.h.T.Helper()
	enter := []string{"nsenter", "-t", strconv.Itoa(n.pid()), "-m", "-u", "-i", "-n", "-p", "--"}
	return n.h.Command(append(enter, args...)...)
}

// Cmd runs a command as root on the node.
func (n *Node) Cmd(args ...string) Result { n.h.T.Helper(); return n.Command(args...).Run() }

// MustRun runs a command on the node as root, which must succeed, and returns
// its output.
func (n *Node) MustRun(args ...string) string { n.h.T.Helper(); return n.Command(args...).Must() }

// Sh runs a shell script as root on the node; it must succeed.
func (n *Node) Sh(script string) string { n.h.T.Helper(); return n.MustRun("sh", "-ec", script) }

// Sshd starts OpenSSH's server on the node.
func (n *Node) Sshd(config ...string) *Sshd {
	n.h.T.Helper()
	return n.h.sshd(n.Command, n.Address, config)
}
