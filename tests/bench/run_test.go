package bench

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
)

// sample is one session.
type sample struct {
	start, open, close, end, exit time.Duration
	memory, threads               int // of the host after open: KiB, a number
	faults, switches              int // of the open: page faults, switches to another thread
}

func (s sample) whole() time.Duration { return s.start + s.open + s.close + s.end + s.exit }

type bench struct {
	h       *host.Host
	serve   *host.Ready
	rounds  int
	program string
	cells   []*cell
	costs   costs
}

// costs are what the machine takes for the elements of which all is made.
type costs struct{ call, fault, fork time.Duration }

// peer reports whether this machine has a pam_namespace.
func (b *bench) peer() bool {
	t := b.h.PamHost("service=bench-peer", "user=root", "start", "open", "end")
	return t.Step("open").RC == host.PAMSuccess
}

const cellsFile = "/etc/bench/cells"

// measure does all rounds.
func (b *bench) measure(cells []*cell) {
	b.cells = cells
	var lines strings.Builder
	for _, c := range cells {
		lines.WriteString(c.line() + "\n")
	}
	b.h.WriteFile(cellsFile, lines.String())
	seed := os.Getpid()
	if b.rounds > 1 {
		seed = int(time.Now().UnixNano() & 0x7fffffff)
	}
	r := b.h.Command(b.program, strconv.Itoa(b.rounds), strconv.Itoa(seed), cellsFile).Timeout(9 * time.Minute).Run()
	if r.Code != 0 {
		b.h.T.Fatal(r)
	}
	for line := range strings.Lines(r.Stdout) {
		b.take(line)
	}
	text := b.h.MustRun(b.program, "machine")
	if _, err := fmt.Sscan(text, (*int64)(&b.costs.call), (*int64)(&b.costs.fault), (*int64)(&b.costs.fork)); err != nil {
		b.h.T.Fatalf("benchhost: %q: %v", text, err)
	}
	for _, c := range cells {
		if len(c.samples) == 0 {
			b.h.T.Errorf("%s: no session", c.name())
		}
	}
}

// take takes one session, which must have done its job.
func (b *bench) take(line string) {
	var n, opened, closed, covered int
	var s sample
	_, err := fmt.Sscan(line, &n, &opened, &closed, &covered,
		(*int64)(&s.start), (*int64)(&s.open), (*int64)(&s.close), (*int64)(&s.end), (*int64)(&s.exit), &s.memory, &s.threads, &s.faults, &s.switches)
	if err != nil {
		b.h.T.Fatalf("benchhost: %q: %v", line, err)
	}
	c := b.cells[n]
	if opened != host.PAMSuccess || closed != host.PAMSuccess || covered != c.covered() {
		b.h.T.Fatalf("%s: open %d, close %d, %d polydirs covered", c.name(), opened, closed, covered)
	}
	if s.threads != 1 {
		b.h.T.Errorf("%s: the host has %d threads", c.name(), s.threads)
	}
	c.samples = append(c.samples, s)
}

// count counts the system calls of an open.
func (b *bench) count() {
	b.h.Need("strace")
	for i, c := range b.cells {
		if c.mounts > 0 || c.memory > 0 || c.pause > 0 || b.rounds == 1 && c.situation != base {
			continue
		}
		if c.who == us {
			c.calls = b.readyCalls(i)
			continue
		}
		log := fmt.Sprintf("/tmp/strace%d", i)
		b.h.Command("strace", "-f", "-qq", "-o", log, b.program, "trace", cellsFile, strconv.Itoa(i)).Run()
		c.calls, c.worker = calls(b.h.ReadFile(log))
		if c.calls == 0 && c.who != none {
			b.h.T.Errorf("%s: strace saw no system call", c.name())
		}
	}
}

// readyCalls counts the system calls of the main threads of the ready workers, while
// one of them opens a session; the host is traced by nobody, or would fork.
func (b *bench) readyCalls(cell int) int {
	b.h.T.Helper()
	const log = "/tmp/strace-ready"
	args := []string{"strace", "-qq", "-o", log}
	workers := b.serve.Workers()
	for _, pid := range workers {
		args = append(args, "-p", strconv.Itoa(pid))
	}
	tracer := b.h.Start(args...)
	for _, pid := range workers {
		for !strings.Contains(b.h.ReadFile(fmt.Sprintf("/proc/%d/status", pid)), "TracerPid:\t"+strconv.Itoa(tracer.Pid())) {
			time.Sleep(time.Millisecond)
		}
	}
	b.h.Command(b.program, "trace", cellsFile, strconv.Itoa(cell)).Run()
	tracer.Signal(unix.SIGINT)
	tracer.Wait()
	return untilReport(b.h.ReadFile(log))
}

// untilReport counts the calls from the connection of a host to the report, 0 where
// another worker has served it. What comes after is done beside the host, and how much
// of it is seen is chance; so is when Go wakes a thread.
func untilReport(log string) int {
	n := map[string]int{} // of each worker: a number before the line, if there are several
	for line := range strings.Lines(log) {
		call := strings.TrimLeft(line, "0123456789 ")
		who := line[:len(line)-len(call)]
		switch {
		case strings.HasPrefix(call, "accept4("):
			n[who] = 1
		case n[who] == 0, strings.HasPrefix(call, "futex("), strings.HasPrefix(call, "<..."):
		case strings.HasPrefix(call, "sendmsg(") && strings.Contains(call, `iov_base="R`):
			return n[who] + 1
		default:
			n[who]++
		}
	}
	return 0
}

// straced is a line of strace: a process and what it did.
var straced = regexp.MustCompile(`^(\d+) +([a-z_0-9]+\(|<\.\.\. )(.*)`)

// calls counts the system calls between the marks of benchhost, and those of a
// child after it has put itself in order and Go has started.
func calls(log string) (all, worker int) {
	inside, main := false, ""
	ready := map[string]bool{}
	for line := range strings.Lines(log) {
		m := straced.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		pid, call := m[1], m[2]
		if call == "write(" && strings.HasPrefix(m[3], "-1, ") {
			main = pid
			inside = strings.HasPrefix(m[3], `-1, "open"`)
			continue
		}
		if !inside || call == "<... " { // the other half of one that was counted
			continue
		}
		all++
		if pid != main {
			if ready[pid] {
				worker++
			}
			// the first thing that our own code does is to walk to a file
			ready[pid] = ready[pid] || call == "openat2("
		}
	}
	return all, worker
}
