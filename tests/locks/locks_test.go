package locks

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// within gives a whole call so much time, so that a wait that should not be there
// fails the story, and does not last.
func within(config, seconds string) string {
	return "[namespace]\ntimeout = \"" + seconds + "s\"\n" + config
}

// stoppedAt is a host that opens a session for alice, of which the process that
// makes a system call for the nth time has stopped right behind it; nil where
// nobody makes it so often. Who has started it may be anybody: sudo lets users do
// that for others.
func stoppedAt(h *host.Host, call string, nth int) (release func()) {
	h.T.Helper()
	args := []string{"strace", "-f", "-qq", "-o", "/dev/stdout", "-e", "trace=" + call,
		"-e", fmt.Sprintf("inject=%s:signal=SIGSTOP:when=%d", call, nth), h.Built("pamhost")}
	p := h.Start(append(args, kit.Steps("open", "print:opened", "close", "end")...)...)
	found := p.Expect(`(\d+) +--- stopped by SIGSTOP|"Step":"print"`)
	if found[1] == "" {
		p.Wait()
		return nil
	}
	stopHost(h, found[1])
	worker, err := strconv.Atoi(h.Sh("awk '/^Tgid/ { print $2 }' /proc/" + found[1] + "/status"))
	if err != nil {
		h.T.Fatal(err)
	}
	gone, err := unix.PidfdOpen(worker, 0)
	if err != nil {
		h.T.Fatal(err)
	}
	return func() {
		defer unix.Close(gone)
		_ = unix.Kill(worker, unix.SIGKILL)
		p.Kill()
		// then it has let go of its locks
		if n, err := unix.Poll([]unix.PollFd{{Fd: int32(gone), Events: unix.POLLIN}}, int(host.Patience.Milliseconds())); n != 1 {
			h.T.Fatalf("the worker does not end: %v", err)
		}
	}
}

// stopHost stops the host of a worker, so that it does not end that one when the
// time is up.
func stopHost(h *host.Host, worker string) string {
	h.T.Helper()
	pid := h.Sh("awk '/^PPid/ { print $2 }' /proc/" + worker + "/status")
	h.MustRun("kill", "-STOP", pid)
	return pid
}

// stopsItself is the part of an init script that stops the worker which runs it,
// the first time, and its host.
const stopsItself = `mkdir /run/first || exit 0
host=$(awk '/^PPid/ { print $2 }' /proc/$PPID/status)
kill -STOP $host $PPID
echo $host $PPID > /run/in`

// othersGoOn fails the story where a session, gc or one of root's tools does not
// come to its end.
func othersGoOn(h *host.Host, what string) {
	h.T.Helper()
	r := h.Su("alice", kit.WhichTmp)
	if r.Code != 0 {
		h.T.Errorf("%s: another session is refused: %s", what, r)
	} else {
		kit.InInstance(h, what, "alice", r.Out())
	}
	for _, tool := range []string{"gc", "prepare", "list", "metrics"} {
		if r := h.Cmd("polyinst", tool); r.Code != 0 {
			h.T.Errorf("%s: %s", what, r)
		}
	}
}

// A session that is being opened is stopped at each point at which something is
// made, marked or given its name: no other one waits for it, nor does gc.
func TestNobodyWaitsForAStoppedSession(t *testing.T) {
	for call, times := range map[string]int{
		"mkdirat": 4, "fchown,fchownat": 3, "fchmod,fchmodat": 3, "renameat2": 3, "flock": 1,
		"open_tree": 1, "mount_setattr": 1, "unshare": 1, "move_mount": 1,
	} {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			kit.Story(t, within(kit.OwnTmp, "3"), []string{"pamhost", "su"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				reached := 0
				for nth := 1; nth <= times; nth++ {
					release := stoppedAt(h, call, nth)
					if release == nil {
						break
					}
					reached++
					othersGoOn(h, fmt.Sprintf("%s, %d", call, nth))
					release()
					h.MustRun("polyinst", "gc")
					if left := kit.Instances(h); len(left) != 1 {
						t.Errorf("%s, %d: gc left %v", call, nth, left)
					}
					host.Equal(h, fmt.Sprintf("%s, %d: locks", call, nth), strings.Join(h.Names(kit.TmpParent+"/.lock"), " "), "alice")
					h.MustRun("rm", "-r", kit.Instance("alice"), kit.TmpParent+"/.lock")
				}
				if reached == 0 {
					t.Error("nobody makes this call")
				}
			})
		})
	}
}

// The same behind each system call of a worker, of which there are some hundreds:
// POLYINST_TEST_POINTS=1 tries them all, another number each so manieth. The
// worker and its host are stopped there, and another time they are frozen.
func TestStoppedAtEveryPoint(t *testing.T) {
	every := kit.Setting("POINTS", 41)
	const hosts = 4
	for i := range hosts {
		for _, frozen := range []bool{false, true} {
			name := map[bool]string{false: "stopped", true: "frozen"}[frozen]
			t.Run(fmt.Sprintf("%s/%d", name, i), func(t *testing.T) {
				t.Parallel()
				host.Run(t, func(h *host.Host) {
					kit.Install(h, within(kit.OwnTmp, "3"))
					for _, s := range []string{"pamhost", "su"} {
						h.PAM(s, host.Stack(kit.Session)...)
					}
					h.Need("strace")
					h.AddUser("alice")
					var ice *host.Cgroup
					if frozen {
						ice = h.Cgroup()
					}
					all := callsOfAWorker(h)
					tried := 0
					for n := i * every; n < len(all); n += hosts * every {
						if heldBehind(h, all[n], name, ice) {
							tried++
						}
					}
					t.Logf("%d of %d points", tried, len(all))
				}, host.Within(time.Hour))
			})
		}
	}
}

// heldBehind stops, or freezes, a worker and its host behind a call, or the host
// where that makes the call as well, and looks whether others go on. It reports
// whether it was the worker.
func heldBehind(h *host.Host, at, how string, ice *host.Cgroup) bool {
	h.T.Helper()
	call, nth, _ := strings.Cut(at, " ")
	h.MustRun("rm", "-rf", kit.Instance("alice"), kit.TmpParent+"/.lock")
	p, tracer := tracedSession(h, "-e", "inject="+call+":signal=SIGSTOP:when="+nth)
	stopped := tracer.Expect(`(\d+) +--- stopped by SIGSTOP|"Step\\":\\"print`)[1]
	held := []int{}
	if pid, err := strconv.Atoi(stopped); err == nil {
		held = append(held, pid)
		if pid != p.Pid() { // else there may be a worker, which is stopped later
			stopHost(h, stopped)
			held = append(held, p.Pid())
		}
	}
	if ice != nil {
		ice.Freeze(held...)
		tracer.Kill() // who is traced would stop once more
		for _, pid := range held {
			h.Sh(fmt.Sprintf("kill -CONT %d; while grep -q '^State:[[:space:]]*[Tt]' /proc/%d/status; do :; done", pid, pid))
		}
	}
	if len(held) > 0 {
		othersGoOn(h, fmt.Sprintf("%s behind call %s, the %sth time, the host %v", how, call, nth, held[0] == p.Pid()))
	}
	if ice != nil {
		for _, pid := range held {
			// strace tells of threads, and the cgroup of processes
			_, leader, _ := strings.Cut(h.Cmd("grep", "^Tgid:", fmt.Sprintf("/proc/%d/status", pid)).Stdout, ":")
			if leader = strings.TrimSpace(leader); h.Alive(pid) && leader != "" && !slices.Contains(strings.Fields(h.ReadFile(ice.Dir+"/cgroup.procs")), leader) {
				h.T.Errorf("process %d is not frozen", pid)
			}
		}
	}
	for _, pid := range held {
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	p.Kill()
	tracer.Kill()
	if ice != nil {
		ice.Thaw()
	}
	h.MustRun("polyinst", "gc")
	return len(held) == 2
}

// A user who stops the worker of their own su can be late: it stops when it is root's,
// and can neither be killed nor let go on by them. It ends with its host, and with its
// deadline, which is set by then: else a user could leave as many as they like of
// root's processes, which no limit of theirs counts.
func TestStoppedWhenItBecomesRoots(t *testing.T) {
	kit.Story(t, kit.OwnTmp, []string{"pamhost"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		h.Forks()
		p, tracer := tracedSession(h, "-e", "inject=setresuid:signal=SIGSTOP:when=1", "-e", "trace=timer_settime,setresuid")
		worker, err := strconv.Atoi(tracer.Expect(`(\d+) +--- stopped by SIGSTOP`)[1])
		tracer.Kill()
		if err != nil || !h.Alive(worker) || worker == p.Pid() {
			t.Fatalf("the worker %d of the host %d was to be stopped", worker, p.Pid())
		}
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^%d +timer_settime\(`, worker)).MatchString(tracer.Wait().Stdout) {
			t.Error("it is stopped without a deadline")
		}
		p.Signal(unix.SIGKILL)
		p.Wait()
		if left := kit.StillRunning("pamhost"); len(left) > 0 {
			t.Errorf("its host is gone, and it stays: %v\n%s", left, h.Processes())
		}
	})
}

// tracedSession is a host that opens a session for alice, with strace attached.
func tracedSession(h *host.Host, options ...string) (p, tracer *host.Process) {
	h.T.Helper()
	p = h.PamHostCommand(kit.Steps("pause", "open", "print:opened", "close", "end")...).Start()
	p.Expect(`"Step":"acct"`)
	tracer = h.Start(append([]string{"strace", "-f", "-o", "/dev/stdout", "-p", strconv.Itoa(p.Pid())}, options...)...)
	tracer.Expect("attached")
	p.Send("\n")
	return p, tracer
}

// callsOfAWorker are the system calls that a worker makes, each with how often it was
// made by then.
func callsOfAWorker(h *host.Host) []string {
	h.T.Helper()
	p, tracer := tracedSession(h)
	p.Wait()
	trace := tracer.Wait().Stdout
	worker := regexp.MustCompile(`(\d+) +setsid\(`).FindStringSubmatch(trace)[1]
	counts := map[string]int{}
	var all []string
	locked := false // the directory of the records, which is the records' affair
	for _, call := range regexp.MustCompile(`(?m)^`+worker+` +(([a-z0-9_]+)\(.*)`).FindAllStringSubmatch(trace, -1) {
		counts[call[2]]++
		if strings.HasPrefix(call[2], "flock") && strings.Contains(call[1], "LOCK_EX") && !strings.Contains(call[1], "LOCK_NB") {
			locked = true
		}
		// of rt_sigaction Go's start is full, and what is newer than strace it cannot stop
		if !locked && call[2] != "rt_sigaction" && !strings.HasPrefix(call[2], "syscall_") {
			all = append(all, fmt.Sprintf("%s %d", call[2], counts[call[2]]))
		}
		if call[2] == "renameat" {
			locked = false
		}
	}
	return all
}

// A session that was stopped before it gave its lock or its instance the name finds,
// when it goes on, what another session has made meanwhile, and does not miss what
// gc has removed.
func TestStoppedSessionTakesTheWinners(t *testing.T) {
	for nth, making := range map[int]string{3: `^$`, 4: `^\.new\.alice\.[0-9a-f]+$`} {
		t.Run(strconv.Itoa(nth), func(t *testing.T) {
			t.Parallel()
			kit.Story(t, within(kit.OwnTmp, "20"), []string{"pamhost", "su"}, func(h *host.Host) {
				h.Need("strace")
				h.AddUser("alice")
				args := []string{"strace", "-f", "-qq", "-o", "/dev/stdout", "-e", "trace=mkdirat",
					"-e", fmt.Sprintf("inject=mkdirat:signal=SIGSTOP:when=%d", nth), h.Built("pamhost")}
				p := h.Start(append(args, kit.Steps("open", "exec:"+kit.WhichTmp, "close", "end")...)...)
				worker := p.Expect(`(\d+) +--- stopped by SIGSTOP`)[1]
				stopped := stopHost(h, worker)
				h.Match("instances", strings.Join(kit.Instances(h), " "), making)
				h.Match("locks", strings.Join(h.Names(kit.TmpParent+"/.lock"), " "), `^(\.new\.)?alice`)
				h.MustRun("polyinst", "gc")
				h.MustRun("su", "alice", "-c", "touch /tmp/mine")
				h.MustRun("kill", "-CONT", worker, stopped)
				seen := p.Expect(`"Step":"exec".*"Text":"(\d+:\d+)`)[1]
				kit.InInstance(h, "the one that was stopped", "alice", seen)
				host.Equal(h, "the host", p.Wait().Code, 0)
				host.Equal(h, "instances", strings.Join(kit.Instances(h), " "), "alice")
				host.Equal(h, "locks", strings.Join(h.Names(kit.TmpParent+"/.lock"), " "), "alice")
				host.Equal(h, "what is in it", strings.Join(h.Names(kit.Instance("alice")), " "), "mine")
			})
		})
	}
}

// The init script of a session that does not come to its end, because its worker is
// stopped, keeps no other session out: it is waited for a while.
func TestNobodyWaitsForAStoppedInit(t *testing.T) {
	kit.Story(t, within(kit.WithInit(`init_when = "always"`, `init_timeout = "2s"`), "4"), []string{"su", "pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		kit.InitScript(h, "exit 0")
		h.MustRun("su", "alice", "-c", "true")
		h.Fifo("/run/in")
		kit.InitScript(h, stopsItself)
		p := h.PamHostCommand(kit.Steps("open", "close", "end")...).Start()
		pids := strings.Fields(h.ReadFifo("/run/in"))
		othersGoOn(h, "init")
		h.WaitLog(`polydir "/tmp": init: the script of another session for the same instance does not come to an end, and was not waited for`)
		h.MustRun("kill", "-KILL", pids[1])
		h.MustRun("kill", "-CONT", pids[0])
		p.Wait()
	})
}

// A first session that is stopped while its script runs is the user's own affair; the
// next one says what it waited for, before the host gives up, and rescue does not
// apply.
func TestStoppedFirstInit(t *testing.T) {
	config := strings.Replace(within(kit.WithInit(`init_timeout = "2s"`), "3"), "[namespace]\n", "[namespace]\nrescue = [\"alice\"]\n", 1)
	kit.Story(t, config, []string{"su", "pamhost"}, func(h *host.Host) {
		h.AddUser("alice")
		h.Fifo("/run/in")
		kit.InitScript(h, stopsItself)
		p := h.PamHostCommand(kit.Steps("open", "close", "end")...).Start()
		pids := strings.Fields(h.ReadFifo("/run/in"))
		host.Equal(h, "admitted", kit.Admitted(h, "alice"), false)
		h.WaitLog(`instance "/var/lib/polyinst/tmp/alice": it is held for too long by another session that is being opened`)
		h.MustRun("polyinst", "gc")
		h.MustRun("kill", "-KILL", pids[1])
		h.MustRun("kill", "-CONT", pids[0])
		p.Wait()
		kit.SeesOwnTmp(h, "alice", true)
	})
}

// A host that does not read, because it is stopped, has a worker that has much to
// say: it says it when nothing is held any more, of no polydir.
func TestNobodyWaitsForAStoppedHost(t *testing.T) {
	for _, when := range []string{"new", "always"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			one := kit.WithInit(`init_when = "` + when + `"`)
			kit.Story(t, within(one+strings.ReplaceAll(one, "/tmp", "/mnt"), "4"), []string{"su", "pamhost"}, func(h *host.Host) {
				h.AddUser("alice")
				h.Fifo("/run/in")
				kit.InitScript(h, `mkdir /run/first || exit 0
host=$(awk '/^PPid/ { print $2 }' /proc/$PPID/status)
kill -STOP $host
i=0; while [ $i -lt 100 ]; do printf '%0999d\n' $i; i=$((i+1)); done
echo $host $PPID > /run/in`)
				p := h.PamHostCommand(kit.Steps("open", "close", "end")...).Start()
				pids := strings.Fields(h.ReadFifo("/run/in"))
				othersGoOn(h, "a host that is stopped")
				h.MustRun("kill", "-CONT", pids[0])
				host.Equal(h, "the host", p.Wait().Code, 0)
				h.WaitLog(`init: 0+99$`)
			})
		})
	}
}

// With scope "user" a session that is stopped while it builds the namespace has the
// user's turn: others wait for a while, and then get one of their own.
func TestNobodyWaitsForAStoppedTurn(t *testing.T) {
	kit.Story(t, within("scope = \"user\"\n"+kit.OwnTmp, "4"), []string{"pamhost", "su"}, func(h *host.Host) {
		h.Need("strace")
		h.AddUser("alice")
		release := stoppedAt(h, "move_mount", 1)
		othersGoOn(h, "move_mount")
		h.WaitLog(`scope = "user": another session of the user is being opened or closed, and does not come to an end: this session gets a namespace of its own`)
		release()
		h.MustRun("su", "alice", "-c", "true")
	})
}
