package bench

import (
	"strings"
	"testing"

	"pam_polyinst/tests/host"
)

// What a ready worker asks of the kernel for one session, and for each further polydir,
// where pam_namespace makes 32 calls: ceilings, which docs/performance.md explains.
const (
	mostCalls        = 340 // with 4 polydirs
	mostCallsFurther = 32
)

// TestCalls: a session by a ready worker asks no more than it did. Unlike the time that
// this takes, the number does not depend on what else the machine does.
func TestCalls(t *testing.T) {
	host.Run(t, func(h *host.Host) {
		h.Need("strace")
		furnish(h)
		serve := h.Serve("--workers", "1")
		b := bench{h: h, serve: serve, rounds: 1, program: h.Built("benchhost")}
		var cells []*cell
		var lines strings.Builder
		for _, n := range []int{4, 16} {
			c := &cell{who: us, situation: situation{method: "user", polydirs: n}, every: 1}
			cells = append(cells, c)
			lines.WriteString(c.line() + "\n")
		}
		h.WriteFile(cellsFile, lines.String())
		counts := map[int]int{}
		for i, c := range cells {
			h.Command(b.program, "trace", cellsFile, string(rune('0'+i))).Run() // its instances are there then
			// the fewest: a worker that is slow is helped by another, and Go's own calls vary
			for tries := 0; tries < 20 && (tries < 3 || counts[c.polydirs] == 0); tries++ {
				h.WaitReady()
				for len(serve.Workers()) != 1 {
					h.WaitReady()
				}
				if n := b.readyCalls(i); n > 0 && (counts[c.polydirs] == 0 || n < counts[c.polydirs]) {
					counts[c.polydirs] = n
				}
			}
		}
		further := float64(counts[16]-counts[4]) / 12
		t.Logf("%d calls with 4 polydirs, %.1f for each further one", counts[4], further)
		if counts[4] < 200 || counts[4] > mostCalls || further < 8 || further > mostCallsFurther {
			t.Errorf("%d calls with 4 polydirs, %.1f for each further one; want at most %d and %d", counts[4], further, mostCalls, mostCallsFurther)
		}
	})
}
