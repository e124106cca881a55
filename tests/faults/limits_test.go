package faults

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
)

// ladder is a resource limit that is lowered step by step in the host.
type ladder struct {
	name   string
	steps  []string // of the host, before the limit
	values []uint64 // 0 first
}

func doubling(from, to uint64) []uint64 {
	out := []uint64{0}
	for v := from; v <= to; v *= 2 {
		out = append(out, v)
	}
	return out
}

var ladders = []ladder{
	{name: "as", values: append(doubling(1<<20, 1<<32), 48<<20, 900<<20, 1000<<20)},
	{name: "data", values: doubling(1<<12, 1<<31)},
	{name: "stack", values: doubling(1<<12, 1<<26)},
	{name: "fsize", values: doubling(1, 1<<20)},
	{name: "nofile", values: append(doubling(1, 1<<10), 3, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 20, 24, 28)},
	{name: "nproc", values: doubling(1, 64), steps: []string{"ruid:2001"}},
	{name: "cpu", values: []uint64{1}},
}

// TestLimits lowers each limit, for the host alone (soft: the worker raises its
// own) and for both (hard). The host never dies, and a refusal says why.
func TestLimits(t *testing.T) {
	var said buffer
	t.Run("of", func(t *testing.T) {
		for _, l := range ladders {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				host.Run(t, func(h *host.Host) { climb(h, l) }, host.Within(10*time.Minute), host.Tee(&said))
			})
		}
	})
	if !host.Inside() {
		t.Log("\n| limit | | opened with | refused with | saying |\n|---|---|---|---|---|\n" + rows(said.String()))
	}
}

// rows are the lines of tables in what stories have printed.
func rows(said string) string {
	var out []string
	for line := range strings.Lines(said) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| ") {
			out = append(out, line)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func climb(h *host.Host, l ladder) {
	s := setup{toml: methods, parents: methodParents, covered: methodPaths, steps: l.steps}
	w, err := newSweep(h, s, false)
	if err != nil {
		h.T.Fatal(err)
	}
	slices.Sort(l.values)
	if !full { // every fourth step
		some := []uint64{}
		for i := 0; i < len(l.values); i += 4 {
			some = append(some, l.values[i])
		}
		l.values = some
	}
	for _, kind := range []string{"soft", "hard"} {
		opened, refused, why := []string{}, []string{}, map[string]bool{}
		for _, v := range l.values {
			limit := fmt.Sprintf("rlimit:%s=%d", l.name, v)
			if kind == "hard" {
				limit += fmt.Sprintf(",%d", v)
			}
			if err := w.fresh(); err != nil {
				h.T.Fatal(err)
			}
			w.setup.steps = append(slices.Clone(l.steps), limit)
			got, err := w.briefly()
			if err != nil {
				h.T.Fatal(err)
			}
			w.setup.steps = l.steps
			what := fmt.Sprintf("%s limit %s", kind, limit)
			switch rc := got.steps["open"].RC; {
			case got.late || got.code != 0:
				h.T.Errorf("%s: the host ended with %d:\n%s%s", what, got.code, got.text, got.logText())
			case rc == host.PAMSuccess:
				opened = append(opened, size(v))
			case rc == host.PAMRefused, got.says(ofAudit):
				refused = append(refused, size(v))
				why[reason(got)] = true
			default:
				h.T.Errorf("%s: open returned %d:\n%s", what, rc, got.logText())
			}
			next, err := w.run()
			if err != nil {
				h.T.Fatal(err)
			}
			for _, wrong := range w.judgeNext(next) {
				h.T.Errorf("%s: %s\n%s", what, wrong, next.logText())
			}
		}
		var saying []string
		for s := range why {
			if s == "" || strings.Contains(s, "without an answer") || strings.Contains(s, "in time") {
				h.T.Errorf("%s limit of %s: a refusal that does not say why: %q", kind, l.name, s)
			}
			if len(why) > 4 { // at this or that path
				s = s[strings.LastIndex(s, ": ")+1:]
			}
			saying = append(saying, strings.TrimSpace(s))
		}
		slices.Sort(saying)
		saying = slices.Compact(saying)
		fmt.Printf("| %s | %s | %s | %s | %s |\n", l.name, kind, span(opened), span(refused), strings.Join(saying, "<br>"))
	}
}

// briefly is a login of a host that may not be able to do much itself.
func (w *sweep) briefly() (*login, error) {
	steps := append([]string{w.pamhost, "user=" + w.user, "start", "acct"}, w.setup.steps...)
	return w.exec(append(steps, "open", "close", "end"))
}

var volatile = regexp.MustCompile(`\.tmpdir\.[0-9a-f.]+|mnt\.\d+`)

// reason is what the log says of a refusal.
func reason(l *login) string {
	var why []string
	for _, line := range l.log {
		if line.Severity <= 3 && !strings.HasPrefix(line.Text, ofAudit) {
			_, text, _ := strings.Cut(line.Text, "refused")
			text = strings.TrimPrefix(text, ` for "alice"`)
			why = append(why, strings.TrimPrefix(volatile.ReplaceAllString(text, "NAME"), ": "))
		}
	}
	return strings.Join(why, "; ")
}

func size(v uint64) string {
	switch {
	case v >= 1<<30 && v%(1<<30) == 0:
		return fmt.Sprintf("%dG", v>>30)
	case v >= 1<<20 && v%(1<<20) == 0:
		return fmt.Sprintf("%dM", v>>20)
	case v >= 1<<10 && v%(1<<10) == 0:
		return fmt.Sprintf("%dK", v>>10)
	}
	return fmt.Sprint(v)
}

func span(values []string) string {
	switch len(values) {
	case 0:
		return "none"
	case 1, 2, 3:
		return strings.Join(values, ", ")
	}
	return values[0] + " ... " + values[len(values)-1]
}
