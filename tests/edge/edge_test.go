// Package edge tries the C edge, pam_polyinst/*.c, with sanitizers, with
// valgrind, and with workers that lie.
package edge

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { host.Main(m) }

// built makes build/edge, once, outside of the disposable hosts.
var built = sync.OnceValue(func() error {
	if out, err := exec.Command("make", "--no-print-directory", "-s", "-C", "../..", "edge-build").CombinedOutput(); err != nil {
		return fmt.Errorf("make edge-build: %w\n%s", err, out)
	}
	return nil
})

// story is a story with what `make edge-build` builds.
func story(t *testing.T, tell func(h *host.Host)) {
	t.Helper()
	if !host.Inside() && os.Geteuid() == 0 {
		if err := built(); err != nil {
			t.Fatal(err)
		}
	}
	host.Run(t, tell)
}

func edge(h *host.Host, name string) string { return h.Source("build/edge/" + name) }

// corpus are the scripts of lies, by name.
func corpus(t *testing.T) map[string]string {
	t.Helper()
	files, _ := filepath.Glob("corpus/*")
	out := map[string]string{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = hex.EncodeToString(raw)
	}
	if len(out) < 15 {
		t.Fatalf("%d scripts", len(out))
	}
	return out
}

// The fuzzer's own finds and more of its kind, for a few seconds.
func TestHostSideIsFuzzed(t *testing.T) {
	if _, err := exec.LookPath("clang"); err != nil {
		t.Skip(host.NeedsProgram, "clang")
	}
	if err := built(); err != nil {
		t.Fatal(err)
	}
	corpus(t)
	dir := t.TempDir()
	cmd := exec.Command("../../build/edge/fuzz_host", "-seed=1", "-runs=2000", "-max_len=800", "-timeout=10", "-artifact_prefix="+dir+"/", dir, "corpus")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, tail(string(out), 60))
	}
	if !regexp.MustCompile(`Done \d{4,} runs`).Match(out) {
		t.Errorf("it did not run:\n%s", tail(string(out), 20))
	}
}

func tail(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// A real host with a worker that says each of the lies: it lives, its process is
// as before, and nobody but root is admitted without a report.
func TestLyingWorker(t *testing.T) {
	story(t, func(h *host.Host) {
		h.Sh("cp " + edge(h, "pam_liar-asan.so") + " " + filepath.Dir(h.Module()) + "/pam_liar.so")
		h.AddUser("alice")
		for name, script := range corpus(t) {
			if len(script) > 1600 {
				continue // a PAM line has its limits
			}
			h.PAM("pamhost", host.Stack("session required pam_liar.so lie="+script)...)
			for _, user := range []string{"alice", "root"} {
				h.ForgetLog()
				r := h.Command(edge(h, "pamhost-asan"), "user="+user, "start", "acct", "snapshot:before", "open", "snapshot:after", "close", "end").Env(sanitizers...)
				tr := r.Trace()
				clean(h, name, tr.Stderr)
				diff := tr.Snapshot("before").Diff(tr.Snapshot("after"), host.View...)
				if slices.ContainsFunc(diff, func(l string) bool {
					return !strings.Contains(l, "-> mnt:[") && !strings.Contains(l, "-> / fl=10200000")
				}) {
					t.Errorf("%s: the host changed: %v", name, diff)
				}
				if rc := tr.Step("open").RC; rc == host.PAMSuccess && user == "alice" && !strings.Contains(script, "5") {
					t.Errorf("%s: alice is admitted without a report", name)
				}
			}
		}
	})
}

// A report of "stay, if that is the view of process 1", and root without any
// report, are rejected elsewhere.
func TestLiarElsewhere(t *testing.T) {
	story(t, func(h *host.Host) {
		h.Sh("cp " + edge(h, "pam_liar-asan.so") + " " + filepath.Dir(h.Module()) + "/pam_liar.so")
		h.AddUser("alice")
		scripts := corpus(t)
		for script, user := range map[string]string{"stay-home": "alice", "root-dies": "root"} {
			h.PAM("pamhost", host.Stack("session required pam_liar.so lie="+scripts[script])...)
			steps := []string{edge(h, "pamhost-asan"), "user=" + user, "start", "acct", "open", "end"}
			h.Command(steps...).Env(sanitizers...).Trace().RC("open", host.PAMSuccess)
			h.Command(append([]string{"unshare", "-m"}, steps...)...).Env(sanitizers...).Trace().RC("open", host.PAMRefused)
			h.WaitLog("session refused: .*and no exception is made: this program does not stand in the view of process 1")
			h.ForgetLog()
		}
	})
}

// sanitizers make a finding the end of the process. Leaks are valgrind's.
var sanitizers = []string{"ASAN_OPTIONS=abort_on_error=1:detect_leaks=0", "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1"}

func clean(h *host.Host, what, said string) {
	h.T.Helper()
	if regexp.MustCompile(`Sanitizer|runtime error`).MatchString(said) {
		h.T.Errorf("%s:\n%s", what, said)
	}
}

func install(h *host.Host) {
	h.Install()
	h.Config(kit.OwnTmp)
	h.Prepare("/var/lib/polyinst/tmp")
	h.AddUser("alice")
}

func script(steps ...string) []string {
	return append([]string{"user=alice", "start", "acct"}, steps...)
}

// hosts are the ways in which a host can use the module.
var hosts = map[string][]string{
	"plain":           script("open", "exec:true", "close", "end"),
	"twice":           script("open", "open", "close", "end"),
	"refused":         script("dropcap:cap_sys_admin", "open", "close", "end"),
	"in place":        script("dropcap:cap_sys_chroot", "open", "close", "end"),
	"threads":         script("threads:3", "open", "close", "end"),
	"in a thread":     script("in-thread", "open", "close", "join", "end"),
	"forks":           script("fork", "open", "close", "end", "join", "open", "fork", "unpriv", "close", "end", "join", "end"),
	"no descriptors":  script("rlimit:nofile=5", "open", "end"),
	"few descriptors": script("rlimit:nofile=12,12", "open", "end"),
	"no files":        script("rlimit:fsize=0,0", "open", "end"),
	"sigtimedwait":    script("sigchld:sigtimedwait", "open", "sigchld-check", "close", "end"),
	"unknown user":    {"user=nobody-here", "start", "open", "end"},
	"odd user":        {"user=a\nb\x1b[m%s%n", "start", "open", "end"},
}

// The module's C code with AddressSanitizer and UndefinedBehaviorSanitizer, and
// its Go code as it is, in hosts of our own.
func TestSanitized(t *testing.T) {
	story(t, func(h *host.Host) {
		install(h)
		h.Sh("cp " + edge(h, "pam_polyinst-asan.so") + " " + h.Module())
		for _, arg := range []string{"", " debug unmount_on_close"} {
			h.PAM("pamhost", host.Stack("session required pam_polyinst.so"+arg)...)
			for name, steps := range hosts {
				if name == "threads" {
					// a worker is forked while the host's other threads may still be
					// starting: a lock that the sanitizer itself holds then stays
					// locked in the worker. TestHostWithThreads has the real thing.
					continue
				}
				tr := h.Command(append([]string{edge(h, "pamhost-asan")}, steps...)...).Env(sanitizers...).Trace()
				clean(h, name, tr.Stderr)
			}
		}
	})
}

// The host's side under valgrind, with all lies: nothing that was never written
// is read, and nothing leaks.
func TestValgrind(t *testing.T) {
	if _, err := exec.LookPath("valgrind"); err != nil {
		t.Skip(host.NeedsProgram, "valgrind")
	}
	if err := built(); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob("corpus/*")
	cmd := exec.Command("valgrind", append([]string{"-q", "--leak-check=full", "--show-leak-kinds=all", "--errors-for-leak-kinds=all",
		"--error-exitcode=9", "../../build/edge/replay_host"}, files...)...)
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("played %d\n", len(files)); err != nil || string(out) != want {
		t.Errorf("%v\n%s", err, out)
	}
}

// A real host under valgrind. Its worker runs there too, but is not judged:
// that is Go's runtime, if the valgrind knows pidfd_open(2) at all.
func TestValgrindHost(t *testing.T) {
	story(t, func(h *host.Host) {
		h.Need("valgrind")
		install(h)
		h.PAM("pamhost", host.Stack("session required pam_polyinst.so")...)
		tr := h.Command(append([]string{"valgrind", "-q", "--leak-check=full", "--errors-for-leak-kinds=definite",
			"--show-leak-kinds=definite", "--log-file=/run/vg.%p", h.Built("pamhost")}, script("open", "close", "end")...)...).Trace()
		if said := h.ReadFile(fmt.Sprintf("/run/vg.%d", tr.Step("open").Pid)); said != "" {
			t.Error(said)
		}
		if tr.Step("open").RC != host.PAMSuccess {
			h.WaitLog("pidfd_open is not possible here")
		}
	})
}
