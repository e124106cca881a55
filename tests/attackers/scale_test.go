package attackers

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// crowd is what tests/chosts/crowd.c measures: microseconds and KiB.
type crowd struct{ Opened, Failed, First, Median, Last, FirstClose, LastClose, Kernel, User int }

// Very many sessions, at once and one after another, on a host with few mounts
// and with many: all are opened, all are closed, nothing is left. What they take
// is reported, not judged: `make scale` prints the table with real numbers.
func TestScale(t *testing.T) {
	scopes := strings.Fields(os.Getenv("POLYINST_TEST_SCOPES"))
	if len(scopes) == 0 {
		scopes = []string{"session"}
	}
	for _, scope := range scopes {
		for _, mounts := range []int{25, kit.Setting("MOUNTS", 300)} {
			t.Run(fmt.Sprintf("scope %s, %d mounts", scope, mounts), func(t *testing.T) {
				host.Run(t, func(h *host.Host) {
					live := kit.Setting("LIVE", 20)
					if mounts > 25 {
						// each mount of the host is one more in every namespace
						live = min(live, kit.Setting("LIVE_MANY", 20))
					}
					scale(h, scope, mounts, live, kit.Setting("SEQUENCE", 30))
				}, host.Within(time.Hour))
			})
		}
	}
}

func scale(h *host.Host, scope string, mounts, live, sequence int) {
	h.T.Helper()
	kit.Install(h, "[namespace]\nscope = \""+scope+"\"\n"+soakConfig)
	h.Mkdir("/srv/shm", 0o1777, 0, 0)
	h.PAM("pamhost", host.Stack(kit.Session)...)
	var users []string
	for i := range 8 {
		users = append(users, h.AddUser(fmt.Sprintf("user%d", i)).Name)
	}
	fill(h, mounts)
	h.T.Logf("| %-7s | %6s | %-8s | %8s | %8s | %9s | %8s | %9s | %10s | %11s | %9s | %9s | %9s |", "scope", "mounts", "sessions", "number", "first ms", "median ms", "last ms", "1st close", "last close",
		"kernel KiB", "user KiB", "list ms", "gc ms")
	row := func(what string, c crowd, kernel, user, list, gc string) {
		ms := func(us int) string { return fmt.Sprintf("%.2f", float64(us)/1000) }
		h.T.Logf("| %-7s | %6d | %-8s | %8d | %8s | %9s | %8s | %9s | %10s | %11s | %9s | %9s | %9s |", scope, mounts, what, c.Opened, ms(c.First), ms(c.Median), ms(c.Last),
			ms(c.FirstClose), ms(c.LastClose), kernel, user, list, gc)
	}
	each := func(kb, less, n int) string { return fmt.Sprintf("%.1f", float64(kb-less)/float64(n)) }
	none, _, _ := measure(h, "none", live, users)
	all, list, gc := measure(h, "live", live, users)
	row("at once", all, each(all.Kernel, none.Kernel, live), each(all.User, none.User, live), list, gc)
	one, _, _ := measure(h, "sequence", sequence, users)
	row("in turn", one, "", "", "", "")

	h.MustRun("polyinst", "gc")
	host.Equal(h, "left in /run/polyinst", len(kit.Records(h)), 0)
	host.Equal(h, "left of the locks", len(h.Names(host.Parents+"/var-tmp/.lock")), 0)
	host.Equal(h, "instances", len(h.Names(kit.TmpParent)), 1+len(users))
	host.Equal(h, "tmpdirs", len(h.Names(host.Parents+"/var-tmp")), 1)
	if left := kit.StillRunning("crowd"); len(left) > 0 {
		h.T.Errorf("processes left behind: %v", left)
	}
}

// fill mounts until the host has as many mounts as it should, each of a peer group
// of its own, as filesystems are: with thousands of peers in one, the kernel takes
// their square to write mountinfo.
func fill(h *host.Host, mounts int) {
	h.T.Helper()
	have := strings.Count(h.ReadFile("/proc/self/mountinfo"), "\n") + 1
	h.Mkdir("/mnt/m", 0o755, 0, 0)
	mount := func(source, at, kind string, flags uintptr) {
		if err := unix.Mount(source, at, kind, flags, ""); err != nil {
			h.T.Fatalf("mount %s: %v", at, err)
		}
	}
	mount("m", "/mnt/m", "tmpfs", 0)
	mount("", "/mnt/m", "", unix.MS_PRIVATE)
	for i := have; i < mounts; i++ {
		at := fmt.Sprintf("/mnt/m/%d", i)
		h.Mkdir(at, 0o755, 0, 0)
		mount(at, at, "", unix.MS_BIND)
	}
	mount("", "/mnt/m", "", unix.MS_SHARED|unix.MS_REC)
}

// measure runs a crowd; while it is full, the administrator's command is timed.
func measure(h *host.Host, mode string, n int, users []string) (c crowd, list, gc string) {
	h.T.Helper()
	p := h.Command(append([]string{h.Built("crowd"), mode, strconv.Itoa(n)}, users...)...).Start()
	timed := func(args ...string) string {
		start := time.Now()
		h.Command(args...).Timeout(10 * time.Minute).Must()
		return fmt.Sprintf("%.0f", float64(time.Since(start).Microseconds())/1000)
	}
	if mode != "sequence" {
		p.ExpectWithin(50*time.Minute, "full")
		if mode == "live" {
			list, gc = timed("sh", "-c", "polyinst list >/dev/null"), timed("polyinst", "gc")
		}
		p.Send("\n")
	}
	text := p.ExpectWithin(50*time.Minute, `opened \d+ failed \d+ first .*user \d+`)[0]
	if _, err := fmt.Sscanf(text, "opened %d failed %d first %d median %d last %d closed %d %d kernel %d user %d",
		&c.Opened, &c.Failed, &c.First, &c.Median, &c.Last, &c.FirstClose, &c.LastClose, &c.Kernel, &c.User); err != nil {
		h.T.Fatalf("%q: %v", text, err)
	}
	host.Equal(h, mode+": sessions that failed", c.Failed, 0)
	return c, list, gc
}
