package faults

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"pam_polyinst/tests/host"
)

// A login that is held at one of its calls, as if it were stopped or starved
// there, holds up nobody else: another user's session opens, and root's and gc as
// well. The same holds where all of it is frozen behind the call. That it ends by
// itself is shown by TestWorkerEndsByItsOwnClock and TestFrozenWorkerEndsByItsOwnClock.

// holdable are the setups, by their names, that are held: every path of an open
// is in one of them.
var holdable = []string{"methods, first login", "methods, again", "create, skel", "init", "keep", "nested, replace",
	"scope = user, joined", "private ipc, uts, network", "in place"}

// briefHolds is how many calls of a setup are tried in the short form.
const briefHolds = 3

// others is how long a login of another user, or gc, may take meanwhile. What is
// held has a deadline of a minute, so that it does not end before; another user's
// login has one of 4 s, and is refused then if it waits for what is held.
const others = 10 * time.Second

// TestEveryHold holds the worker, its init script or the host at each call of an
// open (with POLYINST_TEST_FAULTS), or at some.
func TestEveryHold(t *testing.T) {
	for _, name := range holdable {
		for _, s := range setups {
			if s.name == name {
				t.Run(name+"/held", func(t *testing.T) {
					host.Run(t, func(h *host.Host) { holdSetup(h, s, nil) }, host.Within(2*time.Hour))
				})
				t.Run(name+"/frozen", func(t *testing.T) {
					host.Run(t, func(h *host.Host) { holdSetup(h, s, h.Cgroup()) }, host.Within(2*time.Hour))
				})
			}
		}
	}
}

// holdSetup holds the logins of a setup; where there is a cgroup, they are frozen
// in it.
func holdSetup(h *host.Host, s setup, ice *host.Cgroup) {
	w, err := newSweep(h, s, true)
	if err != nil {
		h.T.Fatal(err)
	}
	conf := h.ReadFile(host.ConfigFile)
	h.WriteFile("/etc/security/polyinst/others.conf", conf, 0o644)
	h.PAM("others", host.Stack("session required pam_polyinst.so conf=/etc/security/polyinst/others.conf")...)
	h.Config(strings.Replace(conf, `timeout = "4s"`, `timeout = "60s"`, 1))
	var all []fault
	for _, c := range w.calls {
		if c.window != 1 || c.who == "runtime" {
			continue
		}
		for nth := 1; nth <= c.count; nth++ {
			all = append(all, fault{call: c, nth: nth})
		}
	}
	red := 0
	for i, f := range heldAt(all) {
		wrong, err := w.hold(f, ice)
		if err != nil {
			h.T.Fatalf("%v: %v", f, err)
		}
		for _, what := range wrong {
			red++
			h.T.Errorf("%d: %s", i, what)
		}
	}
	if red > 0 {
		h.T.Logf("%s: %d calls held, %d findings", s.name, len(heldAt(all)), red)
	}
}

// heldAt are the calls at which a login is held: in the short form some of those
// between which something of use to others can be held.
func heldAt(all []fault) []fault {
	if full {
		return chosenOf(all)
	}
	var out []fault
	for _, f := range all {
		if f.who == "worker" && regexp.MustCompile(`^(renameat2?|fsync|flock|mkdirat|sendmsg|move_mount|unshare)$`).MatchString(f.name) {
			out = append(out, f)
		}
	}
	step := max(1, len(out)/briefHolds)
	var some []fault
	for i := step - 1; i < len(out); i += step {
		some = append(some, out[i])
	}
	return some
}

// chosenOf is the part of them that POLYINST_TEST_FAULTS names.
func chosenOf(all []fault) []fault {
	part, of := 1, 1
	n, _ := fmt.Sscanf(os.Getenv(fullEnv), "%d/%d", &part, &of)
	var out []fault
	for i, f := range all {
		if n == 2 && i%of != part-1 || n != 2 && os.Getenv(fullEnv) != "all" && !strings.Contains(f.String(), os.Getenv(fullEnv)) {
			continue
		}
		out = append(out, f)
	}
	return out
}

// hold holds one login, or freezes it behind the call, and says what it has held up.
func (w *sweep) hold(f fault, ice *host.Cgroup) (wrong []string, err error) {
	if err := w.fresh(); err != nil {
		return nil, err
	}
	args := f.args()
	args[len(args)-1] = "hold"
	words := []string{}
	if w.enters > 0 {
		words = []string{"nsenter", "-m", "-t", fmt.Sprint(w.enters)}
	}
	words = append(append(append(append(words, w.fault), args...), w.pamhost), w.steps()...)
	p := w.h.Command(words...).Start()
	got := p.Expect(`\{"Step":"(held|fault)".*\n`)
	how := "held"
	if ice != nil {
		how = "frozen"
	}
	what := strings.Replace(f.String(), "SIGKILL", how, 1)
	if got[1] == "held" {
		var step host.Step
		if err := json.Unmarshal([]byte(strings.TrimSpace(got[0])), &step); err != nil {
			return nil, err
		}
		if ice != nil {
			ice.Freeze(w.h.Descendants(p.Pid())...)
			p.Signal(syscall.SIGUSR1)
			for stateOf(step.RC) == 't' {
				runtime.Gosched()
			}
		}
		locks := locksOf(step.RC)
		bad := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("%s: %s; it holds %v", what, fmt.Sprintf(format, args...), locks))
		}
		other := "bob"
		if w.user == "bob" {
			other = "carol"
		}
		out, err := within(w.pamhost, "service=others", "user="+other, "start", "acct", "open", "close", "end")
		if err != nil || !strings.Contains(out, `"Step":"open"`) || strings.Contains(out, `"RC":14`) {
			bad("%s is kept out (%v): %s", other, err, refusals(w.log()))
		}
		if out, err := within("/usr/local/sbin/polyinst", "gc"); err != nil {
			bad("gc: %v: %s", err, out)
		}
		if w.user != "root" { // a login of root's for whom nothing applies
			if out, err := within(w.pamhost, "service=others", "user=root", "start", "acct", "open", "close", "end"); err != nil || strings.Contains(out, `"RC":14`) {
				bad("root is kept out (%v)", err)
			}
		}
	}
	p.Signal(syscall.SIGKILL) // ends all that it traces
	p.Wait()
	if ice != nil {
		ice.Thaw()
	}
	next, err := w.run()
	if err != nil {
		return nil, err
	}
	for _, n := range w.judgeNext(next) {
		wrong = append(wrong, what+": "+n)
	}
	return wrong, nil
}

// stateOf is the state of a process (proc_pid_stat(5)), 0 where there is none.
func stateOf(pid int) byte {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if _, rest, ok := strings.Cut(string(text), ") "); ok {
		return rest[0]
	}
	return 0
}

// within runs a program that must not take long.
func within(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env, cmd.Dir = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return "", err
	}
	killer := time.AfterFunc(others, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	err := cmd.Wait()
	if !killer.Stop() {
		err = fmt.Errorf("it did not end within %s", others)
	}
	return out.String(), err
}

// refusals are why sessions were refused.
func refusals(log []host.Line) string {
	var out []string
	for _, l := range log {
		if l.Severity <= 3 {
			out = append(out, l.Text)
		}
	}
	return strings.Join(out, "; ")
}

// locksOf are the paths of the exclusive flocks that a process holds (proc_pid_fdinfo(5)).
func locksOf(pid int) []string {
	var out []string
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", pid))
	for _, f := range files {
		info, _ := os.ReadFile(f)
		if strings.Contains(string(info), "FLOCK") && strings.Contains(string(info), "WRITE") {
			path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", pid, filepath.Base(f)))
			out = append(out, path)
		}
	}
	return out
}
