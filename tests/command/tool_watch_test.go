package command

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// watching starts polyinst watch; it needs Linux 6.15.
func watching(h *host.Host, args ...string) *host.Process {
	h.T.Helper()
	fd, err := unix.FanotifyInit(unix.FAN_REPORT_MNT, unix.O_RDONLY)
	if err != nil {
		r := h.Cmd("polyinst", "watch")
		host.Equal(h, "exit status where the kernel cannot", r.Code, 1)
		h.Match("it says so", r.Stderr, "^polyinst: watch: this kernel, .* Linux 6.15 does")
		h.T.Skip("needs a kernel feature: fanotify of mounts (Linux 6.15)")
	}
	_ = unix.Close(fd)
	h.Need("setpriv") // with no more rights than the unit leaves it
	_, line, _ := strings.Cut(h.ReadFile(h.Source("dist/polyinst-watch.service")), "\nCapabilityBoundingSet=")
	line, _, _ = strings.Cut(line, "\n")
	caps := "-all"
	for _, name := range strings.Fields(line) {
		caps += ",+" + strings.ToLower(strings.TrimPrefix(name, "CAP_"))
	}
	return h.Start(append([]string{"setpriv", "--no-new-privs", "--bounding-set=" + caps, "--inh-caps=-all", "polyinst", "watch"}, args...)...)
}

// told are the lines of the log that it has written.
func told(h *host.Host) []string {
	var lines []string
	for _, l := range h.Syslog() {
		if l.Tag == "polyinst" && strings.HasPrefix(l.Text, "the session of ") {
			lines = append(lines, l.Text)
		}
	}
	return lines
}

func until(h *host.Host, is func() bool) {
	h.T.Helper()
	for end := time.Now().Add(host.Patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			h.T.Fatal("it did not come to that")
		}
	}
}

// What a session loses is told as it happens, whether the session was there before
// the watch or not, and what only ends is not.
func TestWatch(t *testing.T) {
	t.Parallel()
	kit.Story(t, kit.OwnTmp+kit.TmpfsShm, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		h.AddUser("bob")
		a := h.Start("su", "alice", "-c", "echo ready; cat")
		a.Expect("ready")
		w := watching(h, "--output", "/run/watch.prom")
		numbers := func(namespaces, lost int) {
			h.T.Helper()
			want := fmt.Sprintf("polyinst_watched_namespaces %d\n", namespaces)
			until(h, func() bool {
				text := ""
				if h.Exists("/run/watch.prom") {
					text = h.ReadFile("/run/watch.prom")
				}
				return strings.Contains(text, want) && strings.Contains(text, fmt.Sprintf("polyinst_watched_polydirs_lost %d\n", lost))
			})
		}
		numbers(1, 0)
		b := h.Start("su", "bob", "-c", "echo ready; cat")
		b.Expect("ready")
		numbers(2, 0)
		in := map[string]string{}
		for _, n := range kit.List(h).Namespaces {
			in[n.User] = fmt.Sprint(n.PIDs[0])
		}

		h.MustRun("nsenter", "-t", in["alice"], "-m", "umount", "-l", "/tmp")
		said := `the session of "alice" (uid 2001, su) in mnt:[%s] no longer has "/tmp" -> ` + kit.Instance("alice")
		_, ns, _ := strings.Cut(strings.TrimSuffix(h.MustRun("readlink", "/proc/"+in["alice"]+"/ns/mnt"), "]"), "[")
		w.Expect(regexp.QuoteMeta(fmt.Sprintf(said, ns)))
		host.Equal(h, "in the log", strings.Join(told(h), "\n"), fmt.Sprintf(said, ns))
		numbers(2, 1)

		// what lies over it, and is taken off again
		h.MustRun("nsenter", "-t", in["bob"], "-m", "mount", "-t", "tmpfs", "over", "/dev/shm")
		w.Expect(`"bob" .* no longer has "/dev/shm" -> tmpfs`)
		host.Equal(h, "list agrees", kit.List(h).Namespaces[1].Polydirs[1].Covered, false)
		h.MustRun("nsenter", "-t", in["bob"], "-m", "umount", "/dev/shm")
		w.Expect(`"bob" .* again has "/dev/shm" -> tmpfs`)
		// below it, anything may be mounted
		h.MustRun("nsenter", "-t", in["bob"], "-m", "sh", "-c", "mkdir /tmp/below && mount -t tmpfs below /tmp/below")
		numbers(2, 1)

		for _, p := range []*host.Process{a, b} {
			p.CloseInput()
			p.Wait()
		}
		numbers(0, 0)
		w.Kill()
		host.Equal(h, "said in all", len(told(h)), 3)
	})
}

// A watched namespace ends as one that is not.
func TestWatchKeepsNothing(t *testing.T) {
	t.Parallel()
	kit.Story(t, kit.Tmpdir, []string{"su"}, func(h *host.Host) {
		h.AddUser("alice")
		w := watching(h, "--output", "/run/watch.prom")
		for range 3 {
			a := h.Start("su", "alice", "-c", "echo ready; cat")
			a.Expect("ready")
			until(h, func() bool {
				return h.Exists("/run/watch.prom") && strings.Contains(h.ReadFile("/run/watch.prom"), "polyinst_watched_namespaces 1\n")
			})
			a.CloseInput()
			a.Wait()
			host.Equal(h, "instances", len(kit.Settled(h, 0)), 0)
			until(h, func() bool { return strings.Contains(h.ReadFile("/run/watch.prom"), "polyinst_watched_namespaces 0\n") })
		}
		host.Equal(h, "it is alive", h.Alive(w.Pid()), true)
		w.Kill()
		host.Equal(h, "said", len(told(h)), 0)
	})
}
