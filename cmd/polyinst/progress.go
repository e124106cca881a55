package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"golang.org/x/term"
)

// patience is after what time work is long enough for a bar.
const patience = 300 * time.Millisecond

// progress shows on a terminal's standard error how far long work is: a bar over
// the instances, and the entries that were seen in them so far. Elsewhere, and
// where the work takes less than a moment, it is silent.
type progress struct {
	what    string
	total   int // instances
	done    int
	entries int

	out   io.Writer // nil: silent
	width int
	now   func() time.Time
	start time.Time
	drawn time.Time
	bar   *progressbar.ProgressBar // nil: not shown yet
}

func newProgress(what string, total int) *progress {
	p := &progress{what: what, total: total, now: time.Now, start: time.Now()}
	if term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("TERM") != "dumb" {
		p.out, p.width = os.Stderr, columns(os.Stderr)
	}
	return p
}

// entry counts a file or directory of the instance that is worked on.
func (p *progress) entry() {
	if p.entries++; p.entries%64 == 0 {
		p.draw()
	}
}

// instance counts one that is done.
func (p *progress) instance() {
	p.done++
	p.draw()
}

// draw shows the bar, if the work has taken long enough, and not at each step.
func (p *progress) draw() {
	now := p.now()
	if p.out == nil || now.Sub(p.start) < patience || now.Sub(p.drawn) < patience/3 {
		return
	}
	p.drawn = now
	if p.bar == nil {
		p.bar = progressbar.NewOptions(p.total, progressbar.OptionSetWriter(p.out), progressbar.OptionShowCount(),
			progressbar.OptionSetWidth(min(max(p.width-60, 5), 30)), progressbar.OptionSetPredictTime(false),
			progressbar.OptionShowElapsedTimeOnFinish(), progressbar.OptionSetElapsedTime(false),
			progressbar.OptionSetTheme(progressbar.ThemeASCII))
	}
	p.bar.Describe(fmt.Sprintf("%s (%s)", p.what, number(p.entries, "entry")))
	_ = p.bar.Set(p.done)
}

// hide makes room for a line of output; the bar comes back with the next step.
func (p *progress) hide() {
	if p.bar != nil {
		_ = p.bar.Clear()
		p.bar = nil
	}
}
