// Package bench measures sessions side by side: ours, those of the machine's own
// pam_namespace, and the system calls that any module must make. `make bench`
// prints the tables and writes them into docs/performance.md. As a test it makes
// one round and holds that every measured session does what it is measured for;
// how long that takes, no test asks.
package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
)

func TestMain(m *testing.M) { host.Main(m) }

const (
	roundsVariable = "POLYINST_TEST_BENCHROUNDS" // how many rounds to make: one for a test
	cellsVariable  = "POLYINST_TEST_BENCHCELLS"  // a regular expression: what to measure, of all that there is
)

const user = "alice"

func TestBench(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		rounds := 1
		if n, err := strconv.Atoi(os.Getenv(roundsVariable)); err == nil && n > 0 {
			rounds = n
		}
		furnish(h)
		serve := h.Serve()
		b := bench{h: h, serve: serve, rounds: rounds, program: h.Built("benchhost")}
		cells := plan(rounds, b.peer(), supported(h))
		if wanted, err := regexp.Compile(os.Getenv(cellsVariable)); err != nil {
			t.Fatalf("%s: %v", cellsVariable, err)
		} else {
			cells = slices.DeleteFunc(cells, func(c *cell) bool { return !wanted.MatchString(c.name()) })
		}
		b.measure(cells)
		for _, l := range h.ModuleLog() {
			if strings.Contains(l.Text, "is not joined") {
				t.Errorf("a session that was to join did not: %s", l)
			}
		}
		b.count()
		if rounds > 1 {
			fmt.Print(b.report())
		}
	}, host.Within(10*time.Minute))
}

// polydirsMax is how many polydirs there are to cover.
const polydirsMax = 16

// furnish makes the polydirs, the instance parents of all modules and the
// accounts. All lie on tmpfs, so that no disk is measured.
func furnish(h *host.Host) {
	h.Install()
	// the same module, but that it finds no ready worker
	h.WriteFile(filepath.Join(filepath.Dir(h.Module()), "pam_polyinst_forks.so"), strings.ReplaceAll(h.ReadFile(h.Module()), "/serve.sock\x00", "/serve.none\x00"))
	h.Forks() // where all stories have ready workers: these have their own
	h.AddUser(user)
	mountCgroups(h)
	h.MustRun("mount", "-t", "tmpfs", "-o", "mode=0755", "polydirs", "/srv")
	for _, module := range []string{"polyinst", "joined", "peer", "floor"} {
		h.Mkdir("/var/lib/"+module, 0o755, 0, 0)
		h.MustRun("mount", "-t", "tmpfs", "-o", "mode=0755", module, "/var/lib/"+module)
		for i := 1; i <= polydirsMax; i++ {
			h.Mkdir(fmt.Sprintf("/var/lib/%s/p%d", module, i), 0, 0, 0)
		}
	}
	for i := 1; i <= polydirsMax; i++ {
		h.Mkdir(fmt.Sprintf("/srv/p%d", i), 0o1777, 0, 0)
	}
	for _, method := range []string{"user", "tmpdir", "tmpfs"} {
		for _, n := range []int{1, 4, 16} {
			h.WriteFile(ourConfig(method, n), ours(n, method, "", ""))
			stacks(h, ourService(method, n), ourConfig(method, n))
		}
	}
	for method, more := range map[string]string{overlay: `keep_changes = false`, below: ""} {
		namespace := ""
		of := method
		if method == below {
			namespace, of = `propagation = "slave+shared"`, "user"
		}
		h.WriteFile(ourConfig(method, 4), ours(4, of, namespace, more))
		stacks(h, ourService(method, 4), ourConfig(method, 4))
	}
	h.WriteFile(ourConfig("nobody", 4), ours(4, "user", "", `only = ["root"]`))
	stacks(h, ourService("nobody", 4), ourConfig("nobody", 4))
	// its instances stay: those of the cells with new ones are removed, and a
	// namespace that shows removed ones is joined by nobody
	h.WriteFile(ourConfig("joining", 4), strings.ReplaceAll(ours(4, "user", `scope = "user"`, ""), "/var/lib/polyinst/", "/var/lib/joined/"))
	stacks(h, ourService("joining", 4), ourConfig("joining", 4))
	h.PAM("bench-none", host.Stack("session required pam_permit.so")...)
	h.PAM("bench-peer", host.Stack("session required pam_namespace.so")...)
	h.PAM("bench-peer-close", host.Stack("session required pam_namespace.so unmount_on_close")...)
	for _, method := range []string{"user", "user:noinit", "tmpdir:noinit", "tmpfs:mntopts=mode=1777,nosuid,nodev:noinit"} {
		for _, n := range []int{1, 4, 16} {
			h.WriteFile(peerConfig(method, n), peers(n, method, "root"))
		}
	}
	h.WriteFile(peerConfig("nobody", 4), peers(4, "user", "~root"))
}

// mountCgroups mounts the hierarchy that limits processors, as the init of every
// machine does early. Go's start reads mountinfo as far as that line, whatever
// GODEBUG says; on a host without one it reads all mounts, and that is what would
// be measured.
func mountCgroups(h *host.Host) {
	own := h.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(own) { // 4:cpu,cpuacct:/path
		controllers := strings.Split(strings.SplitN(line, ":", 3)[1], ",")
		if slices.Contains(controllers, "cpu") {
			h.MustRun("mount", "-t", "cgroup", "-o", "ro,"+strings.Join(controllers, ","), "cgroup", "/sys/fs/cgroup")
			return
		}
	}
	h.MustRun("mount", "-t", "cgroup2", "-o", "ro", "cgroup2", "/sys/fs/cgroup")
}

const session = "session required pam_polyinst.so"

// forks ends the names of the services whose module finds no ready worker.
const forks = "-forks"

// stacks writes the stack of a service, and the one that forks.
func stacks(h *host.Host, service, conf string) {
	h.PAM(service, host.Stack(session+" conf="+conf)...)
	h.PAM(service+forks, host.Stack("session required pam_polyinst_forks.so conf="+conf)...)
}

func ourConfig(method string, n int) string  { return fmt.Sprintf("/etc/bench/%s%d.conf", method, n) }
func ourService(method string, n int) string { return fmt.Sprintf("bench-%s%d", method, n) }

func ours(n int, method, namespace, more string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[namespace]\n%s\n", namespace)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "[[polydir]]\npath = \"/srv/p%d\"\nmethod = %q\n%s\n", i, method, more)
		if method == "tmpfs" {
			b.WriteString("tmpfs = { mode = \"1777\" }\n")
		} else {
			fmt.Fprintf(&b, "instance_prefix = \"/var/lib/polyinst/p%d/\"\n", i)
		}
		if more == "" {
			b.WriteString("except = [\"root\"]\n")
		}
	}
	return b.String()
}

func peerConfig(method string, n int) string {
	name, _, _ := strings.Cut(method, ":mntopts")
	return fmt.Sprintf("/etc/bench/peer-%s%d", name, n)
}

func peers(n int, method, users string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		prefix := fmt.Sprintf("/var/lib/peer/p%d/", i)
		if strings.HasPrefix(method, "tmpfs") {
			prefix = "tmpfs"
		}
		fmt.Fprintf(&b, "/srv/p%d %s %s %s\n", i, prefix, method, users)
	}
	return b.String()
}

// supported reports whether this build can have one namespace for all sessions of
// a user, by opening one.
func supported(h *host.Host) bool {
	t := h.PamHost("service="+ourService("joining", 4), "user="+user, "start", "open", "close", "end")
	return t.Step("open").RC == host.PAMSuccess
}
