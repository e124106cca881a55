package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const cgroups = "/sys/fs/cgroup"

// Cgroup is a cgroup of the story's own, below the top of cgroup2, which the host
// then sees in /sys/fs/cgroup.
type Cgroup struct {
	h   *Host
	Dir string
	top *os.File // Dir, open
}

// Cgroup makes one, which is delegated (cgroups(7)) to the owner if one is named:
// the owner makes cgroups below it, and moves and freezes what is in them. Where
// there is no cgroup2 the story is skipped.
func (h *Host) Cgroup(owner ...User) *Cgroup {
	h.T.Helper()
	if _, err := os.Stat(cgroups + "/cgroup.procs"); err != nil {
		if r := h.Cmd("mount", "-t", "cgroup2", "none", cgroups); r.Code != 0 {
			h.T.Skip("needs a kernel feature: cgroup2")
		}
	}
	dir, err := os.MkdirTemp(cgroups, "pam_polyinst-test-") // unlike any other host's: the machine is theirs too
	h.check(err)
	h.check(os.Chmod(dir, 0o755))
	top, err := os.Open(dir)
	h.check(err)
	c := &Cgroup{h, dir, top}
	for _, u := range owner {
		for _, name := range []string{"", "/cgroup.procs", "/cgroup.subtree_control", "/cgroup.threads"} {
			h.check(os.Chown(dir+name, u.UID, u.GID))
		}
	}
	h.T.Cleanup(func() {
		_ = c.write("cgroup.kill", "1")
		c.await("cgroup.events", "populated 0")
		h.Sh("find " + dir + " -depth -type d -exec rmdir {} +")
		_ = top.Close()
	})
	return c
}

// Freeze takes processes into it, freezes all that is in it, and waits until that
// is so. A process that has ended meanwhile counts as frozen.
func (c *Cgroup) Freeze(pids ...int) {
	c.h.T.Helper()
	for _, pid := range pids {
		if err := c.write("cgroup.procs", strconv.Itoa(pid)); err != nil && c.h.Alive(pid) {
			c.h.T.Fatalf("process %d into %s: %v\n%s", pid, c.Dir, err, c.h.Processes())
		}
	}
	c.h.check(c.write("cgroup.freeze", "1"))
	c.await("cgroup.events", "frozen 1")
}

// Thaw lets all that is in it go on.
func (c *Cgroup) Thaw() {
	c.h.T.Helper()
	c.h.check(c.write("cgroup.freeze", "0"))
}

func (c *Cgroup) write(name, text string) error {
	return os.WriteFile(c.Dir+"/"+name, []byte(text), 0)
}

// await waits until a file of the cgroup has a line. The kernel tells when the
// file changes (cgroups(7)).
func (c *Cgroup) await(name, line string) {
	c.h.T.Helper()
	f, err := os.Open(c.Dir + "/" + name)
	c.h.check(err)
	defer f.Close()
	text := make([]byte, 256)
	for end := time.Now().Add(Patience); ; {
		n, err := f.ReadAt(text, 0)
		if n == 0 {
			c.h.check(err)
		}
		if strings.Contains("\n"+string(text[:n]), "\n"+line+"\n") {
			return
		}
		left := time.Until(end)
		if left <= 0 {
			c.h.T.Fatalf("%s: no %q within %v, but %q\n%s", f.Name(), line, Patience, text[:n], c.h.Processes())
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}, int(left.Milliseconds())+1)
	}
}

// Descendants are the processes that a process has made, and those that these
// have, as far as their parents live.
func (h *Host) Descendants(pid int) []int {
	var all []int
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for field := range strings.FieldsSeq(string(children)) {
		if child, err := strconv.Atoi(field); err == nil {
			all = append(append(all, child), h.Descendants(child)...)
		}
	}
	return all
}
