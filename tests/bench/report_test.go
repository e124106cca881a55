package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"pam_polyinst/internal/kernel/mntns"
)

// spread is the middle of the samples, and what the middle half of them spans.
type spread struct{ low, median, high time.Duration }

func of(c *cell, what func(sample) time.Duration) spread {
	var all []time.Duration
	for _, s := range c.samples {
		all = append(all, what(s))
	}
	slices.Sort(all)
	at := func(percent int) time.Duration { return all[(len(all)-1)*percent/100] }
	return spread{at(25), at(50), at(75)}
}

func opening(s sample) time.Duration { return s.open }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Nanoseconds())/1e6) }

func (s spread) String() string {
	return fmt.Sprintf("%s (%s-%s)", ms(s.median), ms(s.low), ms(s.high))
}

func (b *bench) find(who string, s situation) *cell {
	for _, c := range b.cells {
		if c.who == who && c.situation == s {
			return c
		}
	}
	return nil
}

// ratio is that of the medians, "-" where one of the two was not measured.
func (b *bench) ratio(s, against situation, who string, what func(sample) time.Duration) string {
	r, ok := b.quotient(s, against, who, what)
	if !ok {
		return "-"
	}
	return fmt.Sprintf("%.2f", r)
}

func (b *bench) quotient(s, against situation, who string, what func(sample) time.Duration) (float64, bool) {
	ours, theirs := b.find(us, s), b.find(who, against)
	if ours == nil || theirs == nil {
		return 0, false
	}
	return float64(of(ours, what).median) / float64(of(theirs, what).median), true
}

// Where the generated parts of the pages begin and end.
const (
	tablesBegin = "<!-- make bench: tables -->"
	goalsBegin  = "<!-- make bench: goals -->"
	costsBegin  = "<!-- make bench: costs -->"
	partEnd     = "<!-- make bench: end -->"
)

func (b *bench) report() string {
	var out strings.Builder
	out.WriteString(costsBegin + "\n")
	b.costsTable(&out)
	out.WriteString(partEnd + "\n" + goalsBegin + "\n")
	b.goals(&out)
	out.WriteString(partEnd + "\n" + tablesBegin + "\n")
	fmt.Fprintf(&out, "%s, %d rounds, Linux %s, %s. Milliseconds: the median, and in brackets what the middle half of the sessions took.\n\n",
		time.Now().Format("2006-01-02"), b.rounds, mntns.Kernel(), processor())
	fmt.Fprintf(&out, "On this machine a system call takes %.2f µs, a page fault %.2f µs, a fork with the end of the child %.0f µs.\n\n",
		micro(b.costs.call), micro(b.costs.fault), micro(b.costs.fork))
	b.openTable(&out)
	b.wholeTable(&out)
	b.stepsTable(&out)
	b.callsTable(&out)
	b.hostTable(&out)
	out.WriteString(partEnd + "\n")
	return out.String()
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	n, model := 0, "unknown processor"
	for line := range strings.Lines(string(text)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			n, model = n+1, strings.TrimSpace(value)
		}
	}
	return fmt.Sprintf("%d processors %s", n, model)
}

type goal struct {
	text         string
	limit        float64
	s            situation
	who          string
	what         func(sample) time.Duration
	againstOther *situation
}

func (b *bench) goals(out *strings.Builder) {
	with := func(change func(*situation)) situation {
		s := base
		change(&s)
		return s
	}
	n := func(n int) situation { return with(func(s *situation) { s.polydirs = n }) }
	mounts := with(func(s *situation) { s.mounts = 10000 })
	joining := mounts
	joining.joining = true
	memory := func(mb int) situation { return with(func(s *situation) { s.memory = mb }) }
	nothing := with(func(s *situation) { s.method = nobody })
	tmpdir := with(func(s *situation) { s.method = "tmpdir" })
	closing := func(s sample) time.Duration { return s.close }
	goals := []goal{
		{"1 polydir, against pam_namespace with `noinit`", 1, n(1), noinit, opening, nil},
		{"4 polydirs, `noinit`", 1, n(4), noinit, opening, nil},
		{"16 polydirs, `noinit`", 1, n(16), noinit, opening, nil},
		{"1 polydir, as shipped", 0.2, n(1), shipped, opening, nil},
		{"4 polydirs, as shipped", 0.07, n(4), shipped, opening, nil},
		{"16 polydirs, as shipped", 0.05, n(16), shipped, opening, nil},
		{"nothing applies to the user", 1, nothing, shipped, opening, nil},
		{"10,000 host mounts, `noinit`", 0.5, mounts, noinit, opening, nil},
		{"10,000 host mounts, joining the user's other session", 0.05, joining, noinit, opening, &mounts},
		{"a host of 500 MB, `noinit`", 1, memory(500), noinit, opening, nil},
		{"a host of 500 MB, as shipped", 0.02, memory(500), shipped, opening, nil},
		{"a whole session, from start to exit, `noinit`", 1, n(4), noinit, sample.whole, nil},
		{"a whole session, as shipped", 0.2, n(4), shipped, sample.whole, nil},
		{"close of 4 tmpdir instances, against its `unmount_on_close`", 0.1, tmpdir, noinit, closing, nil},
	}
	out.WriteString("| open_session, as a ratio to pam_namespace in the same run | goal | measured | |\n|---|---|---|---|\n")
	for _, g := range goals {
		against := g.s
		if g.againstOther != nil {
			against = *g.againstOther
		}
		b.goal(out, g.text, g.limit, func() (float64, bool) { return b.quotient(g.s, against, g.who, g.what) })
	}
	b.goal(out, "each further polydir, `noinit`", 1, func() (float64, bool) {
		ours, ok := b.slope(us)
		theirs, ok2 := b.slope(noinit)
		return ours / theirs, ok && ok2
	})
	b.goal(out, "the host's memory of its own after open", 1, func() (float64, bool) {
		ours, theirs := b.find(us, base), b.find(noinit, base)
		if ours == nil || theirs == nil {
			return 0, false
		}
		return float64(middle(ours, ownMemory)) / float64(middle(theirs, ownMemory)), true
	})
	out.WriteString("\n")
}

func (b *bench) goal(out *strings.Builder, text string, limit float64, measured func() (float64, bool)) {
	r, ok := measured()
	verdict := "met"
	switch {
	case !ok:
		fmt.Fprintf(out, "| %s | %.2g | - | not measured |\n", text, limit)
		return
	case r > limit:
		verdict = "**not met**"
	}
	fmt.Fprintf(out, "| %s | %.2g | %.2f | %s |\n", text, limit, r, verdict)
}

// slope is what each further polydir costs, in nanoseconds.
func (b *bench) slope(who string) (float64, bool) {
	few, many := base, base
	few.polydirs, many.polydirs = 4, 16
	f, m := b.find(who, few), b.find(who, many)
	if f == nil || m == nil {
		return 0, false
	}
	return float64(of(m, opening).median-of(f, opening).median) / 12, true
}

// situations are those in which we were measured, in order.
func (b *bench) situations() []situation {
	var out []situation
	for _, c := range b.cells {
		if !slices.Contains(out, c.situation) {
			out = append(out, c.situation)
		}
	}
	return out
}

func (b *bench) table(out *strings.Builder, title string, what func(sample) time.Duration) {
	columns := []string{us, forked, shipped, noinit, floor}
	fmt.Fprintf(out, "### %s\n\n| | %s | ratio to shipped | to noinit | to the floor |\n|---|", title, strings.Join(columns, " | "))
	out.WriteString(strings.Repeat("---|", len(columns)+3) + "\n")
	for _, s := range b.situations() {
		fmt.Fprintf(out, "| %v ", s)
		for _, who := range columns {
			if c := b.find(who, s); c != nil {
				fmt.Fprintf(out, "| %v ", of(c, what))
			} else {
				out.WriteString("| ")
			}
		}
		fmt.Fprintf(out, "| %s | %s | %s |\n", b.ratio(s, s, shipped, what), b.ratio(s, s, noinit, what), b.ratio(s, s, floor, what))
	}
	out.WriteString("\n")
}

// costsTable is the README's: what a login waits for.
func (b *bench) costsTable(out *strings.Builder) {
	fmt.Fprintf(out, "| a login waits, in milliseconds | %s | %s | %s | %s, as shipped |\n|---|---|---|---|---|\n", us, forked, noinit, shipped)
	nothing := base
	nothing.method = nobody
	one, many := base, base
	one.polydirs, many.polydirs = 1, 16
	for _, row := range []struct {
		text string
		s    situation
	}{{"1 polydir", one}, {"4 polydirs", base}, {"16 polydirs", many}, {"nothing applies to the user", nothing}} {
		fmt.Fprintf(out, "| %s ", row.text)
		for _, who := range []string{us, forked, noinit, shipped} {
			if c := b.find(who, row.s); c != nil {
				fmt.Fprintf(out, "| %.1f ", float64(of(c, opening).median.Microseconds())/1000)
			} else {
				out.WriteString("| ")
			}
		}
		out.WriteString("|\n")
	}
	out.WriteString("\n")
}

func (b *bench) openTable(out *strings.Builder) { b.table(out, "open_session", opening) }

func (b *bench) wholeTable(out *strings.Builder) {
	b.table(out, "A whole session: start, open, close, end, exit", sample.whole)
}

func (b *bench) stepsTable(out *strings.Builder) {
	out.WriteString("### The steps, 4 polydirs\n\n| | start | open | close | end | exit |\n|---|---|---|---|---|---|\n")
	steps := []func(sample) time.Duration{
		func(s sample) time.Duration { return s.start }, opening,
		func(s sample) time.Duration { return s.close },
		func(s sample) time.Duration { return s.end },
		func(s sample) time.Duration { return s.exit },
	}
	tmpdir := base
	tmpdir.method = "tmpdir"
	for _, s := range []situation{base, tmpdir} {
		for _, who := range []string{us, forked, shipped, noinit, floor, shape, none} {
			c := b.find(who, s)
			if c == nil {
				continue
			}
			fmt.Fprintf(out, "| %s, %s ", who, s.method)
			for _, step := range steps {
				fmt.Fprintf(out, "| %v ", of(c, step))
			}
			out.WriteString("|\n")
		}
	}
	out.WriteString("\n")
}

func (b *bench) callsTable(out *strings.Builder) {
	out.WriteString("### System calls of open_session\n\n")
	out.WriteString("| | 1 polydir | 4 | 16 | each further polydir |\n|---|---|---|---|---|\n")
	count := func(who string, n int, of func(*cell) int) int {
		s := base
		s.polydirs = n
		if c := b.find(who, s); c != nil {
			return of(c)
		}
		return 0
	}
	row := func(title, who string, of func(*cell) int) {
		one, four, sixteen := count(who, 1, of), count(who, 4, of), count(who, 16, of)
		fmt.Fprintf(out, "| %s | %d | %d | %d | %.1f |\n", title, one, four, sixteen, float64(sixteen-four)/12)
	}
	all := func(c *cell) int { return c.calls }
	row("polyinst: the ready worker alone", us, all)
	for _, who := range []string{forked, shipped, noinit, floor, shape} {
		row(who, who, all)
	}
	row("of polyinst, forked: the worker, once Go is up", forked, func(c *cell) int { return c.worker })
	out.WriteString("\n")
}

// middle is the median of a number.
func middle(c *cell, what func(sample) int) int {
	var all []int
	for _, s := range c.samples {
		all = append(all, what(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func ownMemory(s sample) int { return s.memory }

func (b *bench) hostTable(out *strings.Builder) {
	out.WriteString("### What an open does to the host process, and with whom\n\nWhat a ready worker does is not counted.\n\n")
	out.WriteString("| | memory of its own, KiB | threads | page faults, all processes | switches between threads |\n|---|---|---|---|---|\n")
	for _, who := range []string{us, forked, shipped, noinit, floor, shape, none} {
		if c := b.find(who, base); c != nil {
			fmt.Fprintf(out, "| %s | %+d | %d | %d | %d |\n", who, middle(c, ownMemory), middle(c, func(s sample) int { return s.threads }),
				middle(c, func(s sample) int { return s.faults }), middle(c, func(s sample) int { return s.switches }))
		}
	}
	out.WriteString("\n")
}
