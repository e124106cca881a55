// Package faults lets every system call of a login fail, one at a time, and
// looks at what becomes of the host, of the session and of the next login.
package faults

import (
	"fmt"
	"maps"
	"math/rand"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pam_polyinst/tests/host"
)

func TestMain(m *testing.M) { host.Main(m) }

// sweep is a setup in its host.
type sweep struct {
	*setup
	h              *host.Host
	pamhost, fault string        // programs
	outer          *host.Process // the session that is kept open
	enters         int           // its pid, where the host stands in it
	held           int           // its pid

	calls  []call
	normal *login // without a fault
	left   string // names after it and gc
	mounts string // of the host's view

	row      row
	findings map[string]int // at what a refusal could not say why, and how often
}

// call is one system call as the fault-free login makes it.
type call struct {
	window int // 1 open, 2 close
	who    string
	name   string
	count  int
}

// fault is one thing that goes wrong.
type fault struct {
	call
	nth   int
	errno unix.Errno // 0: SIGKILL
}

func (f fault) String() string {
	what := "SIGKILL"
	if f.errno != 0 {
		what = unix.ErrnoName(f.errno)
	}
	return fmt.Sprintf("%s: %s: %s #%d of %d: %s", [...]string{"", "open", "close"}[f.window], f.who, f.name, f.nth, f.count, what)
}

func (f fault) args() []string {
	action := "kill"
	if f.errno != 0 {
		action = fmt.Sprintf("error:%d", int(f.errno))
	}
	return []string{fmt.Sprint(f.window), f.who, f.name, fmt.Sprint(f.nth), action}
}

// row counts the outcomes of a setup's faults.
type row struct {
	calls, faults, unreached, opened, rescued, refused, unsaid, libpam, killed, harm int
}

// newSweep makes the host of a setup, and a login without a fault in it, whose
// calls are listed where that is asked for.
func newSweep(h *host.Host, s setup, list bool) (*sweep, error) {
	w := &sweep{setup: &s, h: h, findings: map[string]int{}}
	s.install(h)
	w.pamhost, w.fault = h.Built("pamhost"), h.Built("fault")
	w.keepOpen()
	var err error
	if s.again {
		if _, err = w.run(); err != nil {
			return nil, err
		}
	}
	if err := w.fresh(); err != nil {
		return nil, err
	}
	var prefix []string
	if list {
		prefix = []string{w.fault, "list"}
	}
	if w.normal, err = w.run(prefix...); err != nil {
		return nil, err
	}
	if !w.normal.opened() || w.normal.code != 0 {
		return nil, fmt.Errorf("a login without a fault:\n%s\n%s", w.normal.text, w.normal.logText())
	}
	if err := w.gc(); err != nil {
		return nil, err
	}
	w.left, w.mounts = w.names(), h.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(w.normal.steps["fault"].Text) {
		var c call
		if _, err := fmt.Sscan(line, &c.window, &c.who, &c.name, &c.count); err != nil {
			return nil, err
		}
		if c.window == 0 {
			return nil, fmt.Errorf("a system call that fault.c does not know: number %s", c.name)
		}
		w.calls = append(w.calls, c)
		w.row.calls += c.count
	}
	return w, nil
}

// keepOpen opens the session that the setup wants to be open.
func (w *sweep) keepOpen() {
	who := w.inside + w.beside
	if who == "" {
		return
	}
	w.outer = w.h.Start(w.pamhost, "service=outer", "user="+who, "start", "acct", "open", "pause", "close", "end")
	w.outer.Expect(`"open".*\n`)
	if w.held = w.outer.Pid(); w.inside != "" {
		w.enters = w.held
	}
}

// joinAgain opens that session anew, where a fault had others not join it: they
// have a namespace of their own since.
func (w *sweep) joinAgain() error {
	w.outer.Send("\n")
	w.outer.Wait()
	w.keepOpen()
	l, err := w.run()
	if err != nil {
		return err
	}
	if !l.says("of the user's other sessions") {
		return fmt.Errorf("not joined, without a fault:\n%s\n%s", l.text, l.logText())
	}
	if err := w.gc(); err != nil {
		return err
	}
	w.left = w.names()
	return nil
}

func (w *sweep) gc() error {
	if out, err := exec.Command("/usr/local/sbin/polyinst", "gc").CombinedOutput(); err != nil {
		return fmt.Errorf("polyinst gc: %w\n%s", err, out)
	}
	return nil
}

// faults are all that can go wrong: the first, the middle and the last of each
// call, with each error that it can give, and with SIGKILL.
func (w *sweep) faults() ([]fault, error) {
	var all []fault
	for _, c := range w.calls {
		if c.who == "runtime" && !w.runtime {
			continue
		}
		errnos, known := plausible[c.name]
		if !known {
			return nil, fmt.Errorf("%s: which errors can it give? (errnos_test.go)", c.name)
		}
		for _, nth := range slices.Compact([]int{1, (c.count + 1) / 2, c.count}) {
			for _, e := range errnos {
				all = append(all, fault{c, nth, e})
			}
			all = append(all, fault{c, nth, 0})
		}
	}
	return all, nil
}

// try lets one thing go wrong and judges.
func (w *sweep) try(f fault, gc bool) error {
	w.row.faults++
	if err := w.fresh(); err != nil {
		return err
	}
	before := tmpdirs(w.names()) // with those of hosts that were killed
	got, err := w.run(append([]string{w.fault}, f.args()...)...)
	if err != nil {
		return err
	}
	wrong := w.judge(f, got)
	if now := tmpdirs(w.names()); f.who == "host" && f.errno != 0 && !got.opened() && now > before && !got.says("did not answer in time") { // it was killed then
		wrong = append(wrong, "the worker did not undo: a tmpdir instance is left")
	}
	if w.beside != "" && got.says(" is not joined: ") {
		if err := w.joinAgain(); err != nil {
			return err
		}
	}
	next, err := w.run()
	if err != nil {
		return err
	}
	wrong = append(wrong, w.judgeNext(next)...)
	if gc {
		if err := w.gc(); err != nil {
			wrong = append(wrong, err.Error())
		}
		left := w.names()
		if f.errno == unix.EXDEV {
			left = strings.Replace(left, "\n"+anotherEmpty, "", 1)
		}
		if left != w.left {
			wrong = append(wrong, "after gc there is "+difference(w.left, left))
		}
	}
	if mounts := w.h.ReadFile("/proc/self/mountinfo"); mounts != w.mounts {
		wrong = append(wrong, "the host's mounts: "+difference(w.mounts, mounts))
	}
	for _, s := range w.strangers() {
		wrong = append(wrong, "a process is left: "+s)
	}
	if len(wrong) > 0 {
		w.row.harm++
		fmt.Printf("HARM %s: %v:\n    %s\n%s%s--- next\n%s%s\n", w.name, f, strings.Join(wrong, "\n  "), brief(got), got.logText(), brief(next), next.logText())
	}
	return nil
}

func tmpdirs(names string) int {
	return strings.Count(names, "/.tmpdir.") - strings.Count(names, "/.lock/.tmpdir.")
}

// brief is what a login printed, without the snapshots.
func brief(l *login) string {
	var b strings.Builder
	for line := range strings.Lines(l.text) {
		if !strings.Contains(line, `"State"`) {
			b.WriteString("    " + line)
		}
	}
	return b.String()
}

// difference is the lines that only one of two texts has.
func difference(before, after string) string {
	a, b := strings.Split(before, "\n"), strings.Split(after, "\n")
	var out []string
	for _, l := range a {
		if !slices.Contains(b, l) {
			out = append(out, "-"+l)
		}
	}
	for _, l := range b {
		if !slices.Contains(a, l) {
			out = append(out, "+"+l)
		}
	}
	if len(out) == 0 {
		return "another order"
	}
	return strings.Join(out, " ; ")
}

// judge says what is wrong with a login that met a fault.
func (w *sweep) judge(f fault, l *login) []string {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if l.late {
		bad("it hangs")
		return wrong
	}
	delivered := l.steps["fault"].RC
	if f.who == "host" && f.errno == 0 && delivered > 0 {
		w.row.killed++
		if l.code != 128+int(unix.SIGKILL) {
			bad("the host was to be killed, and ended with %d", l.code)
		}
		return wrong
	}
	if delivered == 0 {
		w.row.unreached++
	}
	if l.code != 0 {
		bad("the host ended with %d", l.code)
		return wrong
	}
	before, open, closed := l.steps["snapshot:before"].State, l.steps["snapshot:open"].State, l.steps["snapshot:closed"].State
	rc := l.steps["open"].RC
	normalOpen := w.normal.steps["snapshot:open"].State
	switch {
	case l.says(ofAudit):
		w.row.libpam++
		return wrong
	case rc == host.PAMSuccess && w.inside != "" && (l.says("rescue: ") || len(w.covered) == 0 && l.says("the view that it is in")):
		bad("%s is let into %s's view", w.user, w.inside)
	case rc == host.PAMSuccess && w.rescues && l.says("rescue: ") && (f.errno == 0 || slices.Contains(anyones, f.errno)):
		bad("rescued from what any user can bring about")
	case rc == host.PAMSuccess && (w.user == "root" || w.rescues) && l.says("rescue: "):
		w.row.rescued++
		if diff := w.allowed(f, false, before.Diff(open)); len(diff) > 0 {
			bad("a rescue changed the host: %v", diff)
		}
	case rc == host.PAMSuccess && (l.says("stays in the view that it is in") || len(w.covered) == 0 && l.says("built on the view that it is in")):
		w.row.rescued++ // somebody for whom nothing applies, and who is told
		if diff := w.allowed(f, false, before.Diff(open)); len(diff) > 0 {
			bad("the host changed: %v", diff)
		}
	case rc == host.PAMSuccess:
		if delivered > 0 {
			w.row.opened++
		}
		got, want := w.told(l, view(open)), w.told(l, view(normalOpen))
		if l.says("built on the view that it is in") { // the outer session's mounts are below, and that is told
			got, want = w.own(got), w.own(want)
		}
		if got != want {
			bad("a success without the view: %s", difference(want, got))
		}
		if got, want := w.told(l, l.steps["inspect"].Text), w.told(l, w.normal.steps["inspect"].Text); got != want {
			bad("the user sees %s", difference(want, got))
		}
		if diff := w.allowed(f, true, before.Diff(open, host.View...)); len(diff) > 0 {
			bad("open changed the host: %v", diff)
		}
		if rc := l.steps["close"].RC; rc != host.PAMSuccess {
			bad("close returned %d", rc)
		}
	case rc == host.PAMRefused, rc == host.PAMUserUnknown && f.who == "worker" && l.says("does not exist"):
		// The second is libc's answer: where NSS cannot read a source it asks
		// the next one, and that one does not know the account.
		w.sentence(f, l, bad)
		except := []string{}
		if w.inPlace {
			except = []string{"mountinfo", "cwd", "root"}
			for _, s := range []host.Snapshot{before, open} {
				s["ns"] = slices.DeleteFunc(s["ns"], func(l string) bool { return strings.HasPrefix(l, "mnt ") })
			}
			if v, was := places(open), places(before); v != was {
				bad("a refusal in place changed the view: %s", difference(was, v))
			}
		}
		if diff := w.allowed(f, false, before.Diff(open, except...)); len(diff) > 0 {
			bad("a refusal changed the host: %v", diff)
		}
	default:
		bad("open returned %d", rc)
	}
	if diff := w.allowed(f, rc == host.PAMSuccess, open.Diff(closed, host.View...)); len(diff) > 0 {
		bad("close changed the host: %v", diff)
	}
	return wrong
}

// anyones are the errors that any user can bring about.
var anyones = []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.ENOMEM, unix.ENOBUFS, unix.EMFILE, unix.ENFILE, unix.EAGAIN, unix.EFBIG, unix.EUSERS}

// told takes what was kept out of a view, or of what the user sees, where a warning
// says that the session does not get it.
func (w *sweep) told(l *login, text string) string {
	if w.kept == "" || !l.says(`keep: left out: "`+w.kept) {
		return text
	}
	lines := slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.Contains(line, "/"+w.kept+" ") })
	return strings.ReplaceAll(strings.Join(lines, "\n"), " "+w.kept, "")
}

// own are the mounts of the user's own instances.
func (w *sweep) own(view string) string {
	return strings.Join(slices.Compact(slices.DeleteFunc(strings.Split(view, "\n"), func(line string) bool {
		return !strings.Contains(line, host.Parents+"/") && !strings.Contains(line, "tmpfs polyinst") ||
			strings.Contains(line, "/"+w.inside+" ")
	})), "\n")
}

// allowed leaves out of a process's changes the descriptors that
// unmount_on_close keeps from a successful open to close, of the namespace and of
// the working directory, and the socket to the log, which
// libc connects anew when it cannot send.
func (w *sweep) allowed(f fault, opened bool, diff []string) []string {
	return slices.DeleteFunc(diff, func(line string) bool {
		return strings.HasPrefix(line, "fds ") && (opened && w.pam == "unmount_on_close" && (strings.Contains(line, "-> mnt:[") || strings.Contains(line, "-> /home ")) ||
			f.who == "host" && slices.Contains(ofSyslog, f.name) && strings.Contains(line, "-> socket:["))
	})
}

// ofSyslog are calls of the host without which no line can reach the log.
var ofSyslog = []string{"sendto", "socket", "connect"}

// sentence counts a refusal by what the log says of it.
func (w *sweep) sentence(f fault, l *login, bad func(string, ...any)) {
	var why []string
	for _, line := range l.log {
		if line.Severity <= 3 {
			why = append(why, line.Text)
		}
	}
	text := strings.Join(why, "; ")
	switch {
	case len(why) == 0 && f.who == "host" && slices.Contains(ofSyslog, f.name):
		w.row.refused++
	case len(why) == 0:
		bad("refused, and nothing in the log")
	case strings.Contains(text, "ended without an answer"), strings.Contains(text, "did not answer in time"):
		w.row.unsaid++
		w.findings[fmt.Sprintf("%s: %s", f.who, f.kind())]++
	default:
		w.row.refused++
	}
}

// kind is a short word for what went wrong.
func (f fault) kind() string {
	if f.errno == 0 {
		return "SIGKILL"
	}
	return f.name + ": " + unix.ErrnoName(f.errno)
}

// judgeNext says what is wrong with the login after it.
func (w *sweep) judgeNext(l *login) []string {
	if !l.opened() || l.code != 0 {
		return []string{fmt.Sprintf("the next login: open %d, exit status %d", l.steps["open"].RC, l.code)}
	}
	var wrong []string
	if v, want := view(l.steps["snapshot:open"].State), view(w.normal.steps["snapshot:open"].State); v != want {
		wrong = append(wrong, "the next login's view: "+difference(want, v))
	}
	if got, want := l.steps["inspect"].Text, w.normal.steps["inspect"].Text; got != want {
		wrong = append(wrong, "the next login's user sees "+difference(want, got))
	}
	return wrong
}

// In the environment: "all", "2/10" for the second tenth, or a part of the text
// of some faults, such as "host: clone".
const fullEnv = "POLYINST_TEST_FAULTS"

// full runs all faults, or that part of them, instead of a sample.
var full = os.Getenv(fullEnv) != ""

const (
	sample = 6        // faults of a setup in the short form
	seed   = 20261126 // which ones
	hosts  = 2        // that share the faults of one setup in the full form
)

// chosen are the faults that one of several hosts tries.
func chosen(all []fault, host int) []fault {
	if !full {
		r := rand.New(rand.NewSource(seed))
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all[:min(sample, len(all))]
	}
	part, of, text := 1, 1, ""
	if n, _ := fmt.Sscanf(os.Getenv(fullEnv), "%d/%d", &part, &of); n < 2 && os.Getenv(fullEnv) != "all" {
		text = os.Getenv(fullEnv)
	}
	var out []fault
	for i, f := range all {
		if i%of == part-1 && i/of%hosts == host && strings.Contains(f.String(), text) {
			out = append(out, f)
		}
	}
	return out
}

// TestEveryFault is `make faults`; without POLYINST_TEST_FAULTS it takes a sample.
func TestEveryFault(t *testing.T) {
	var said buffer
	t.Run("of", func(t *testing.T) {
		for _, s := range setups {
			for i := range hosts {
				if i > 0 && !full {
					break
				}
				t.Run(fmt.Sprintf("%s/%d", s.name, i), func(t *testing.T) {
					t.Parallel()
					host.Run(t, func(h *host.Host) { sweepSetup(h, s, i) },
						host.Within(time.Hour), host.Tee(&said))
				})
			}
		}
	})
	if !host.Inside() {
		t.Log(table(said.String()))
	}
}

func sweepSetup(h *host.Host, s setup, host int) {
	w, err := newSweep(h, s, true)
	if err != nil {
		h.T.Fatal(err)
	}
	all, err := w.faults()
	if err != nil {
		h.T.Fatal(err)
	}
	all = chosen(all, host)
	for i, f := range all {
		if err := w.try(f, i%20 == 0 || i == len(all)-1); err != nil {
			h.T.Fatalf("%v: %v", f, err)
		}
	}
	r := w.row
	fmt.Printf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", s.name,
		r.calls, r.faults, r.unreached, r.opened, r.rescued, r.refused, r.unsaid, r.libpam, r.killed, r.harm)
	for _, k := range slices.Sorted(maps.Keys(w.findings)) {
		fmt.Printf("unsaid: %s = %d\n", k, w.findings[k])
	}
	if r.harm > 0 {
		h.T.Errorf("%d of %d faults did harm", r.harm, r.faults)
	}
}

// table is the rows of all setups, added up, and what refused without a sentence.
func table(said string) string {
	sums, unsaid := map[string][]int{}, map[string]int{}
	for line := range strings.Lines(said) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "| "); ok {
			cells := strings.Split(strings.TrimSuffix(rest, " |"), " | ")
			sum := sums[cells[0]]
			for i, cell := range cells[1:] {
				n, _ := strconv.Atoi(cell)
				if i == len(sum) {
					sum = append(sum, 0)
				}
				if sum[i] += n; i == 0 {
					sum[i] = n // what a login calls is in each
				}
			}
			sums[cells[0]] = sum
		}
		if rest, ok := strings.CutPrefix(line, "unsaid: "); ok {
			what, n, _ := strings.Cut(rest, " = ")
			count, _ := strconv.Atoi(n)
			unsaid[what] += count
		}
	}
	text := "\n| setup | calls | faults | not reached | opened | stayed, told | refused, says why | refused, cannot say | libpam's | host killed | harm |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n"
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		text += "| " + name + " | " + strings.Trim(strings.ReplaceAll(fmt.Sprint(sums[name]), " ", " | "), "[]") + " |\n"
	}
	for _, what := range slices.Sorted(maps.Keys(unsaid)) {
		text += fmt.Sprintf("cannot say: %s: %d\n", what, unsaid[what])
	}
	return text
}

// buffer takes what several stories print at once.
type buffer struct {
	mu sync.Mutex
	strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Builder.Write(p)
}
