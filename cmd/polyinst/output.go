package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// schema is the version of the --json output. It grows when a field changes its
// meaning or goes; new fields do not change it.
const schema = 1

// stdout is where every command writes: it remembers the first error, which is
// told once, by finish, when the command is done. It has no buffer, so that what is
// written stands in order with standard error and with what other programs write.
var stdout = &output{file: os.Stdout}

type output struct {
	file  *os.File // not embedded: nothing may be written past Write
	err   error
	quiet bool // nothing is written
}

// quietFlag is for commands whose exit status and errors say enough.
func quietFlag(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&stdout.quiet, "quiet", "q", false, "print nothing but errors and warnings")
}

func (o *output) Write(p []byte) (int, error) {
	if o.err == nil && !o.quiet {
		_, o.err = o.file.Write(p)
	}
	return len(p), nil
}

// lose notes that something which another program wrote for standard output was
// lost.
func (o *output) lose(err error) {
	if o.err == nil {
		o.err = err
	}
}

// finish closes standard output and returns why something of it was lost. A reader
// that has gone away needs no message.
func (o *output) finish() error {
	closeErr := o.file.Close()
	err := o.err
	if err == nil && !errors.Is(closeErr, os.ErrClosed) {
		err = closeErr
	}
	var path *os.PathError
	switch {
	case err == nil:
		return nil
	case dirfd.IsBrokenPipe(err):
		return errReported
	case errors.As(err, &path):
		err = path.Err
	}
	return fmt.Errorf("standard output: %w", err)
}

func printJSON(v any) error {
	out := json.NewEncoder(stdout)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(v)
}

// table is printed in columns, with a head if it has one. On a terminal it is no
// wider than that, and the head stands out.
type table struct {
	indent string
	head   []string
	rows   [][]string
	dim    map[int]bool // rows of less interest
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print() {
	for i, row := range t.layout(columns(stdout.file)) {
		for _, line := range row {
			switch {
			case !coloured(stdout.file):
			case t.head != nil && i == 0:
				line = "\x1b[1m" + line + "\x1b[0m"
			case t.dim[i-1]:
				line = "\x1b[2m" + line + "\x1b[0m"
			}
			fmt.Fprintln(stdout, line)
		}
	}
}

// columns is how wide a terminal is; 0 where there is none, or it does not say.
func columns(f *os.File) int {
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// gap is what stands between two columns, and narrowest how narrow the terminal
// makes a column.
const (
	gap       = 2
	narrowest = 10
)

// layout is the lines of each row, the head first, in no more than width columns of
// the terminal; 0: as wide as they are. The widest columns give way: what has
// several words goes on in the next line, so that no reason is cut short.
func (t *table) layout(width int) [][]string {
	rows := t.rows
	if t.head != nil {
		rows = append([][]string{t.head}, rows...)
	}
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], uniseg.StringWidth(cell))
		}
	}
	if room := width - len(t.indent) - gap*(len(widths)-1); width > 0 && !fit(widths, room) {
		return t.flowing(rows, width)
	}
	var out [][]string
	for _, row := range rows {
		cells, high := make([][]string, len(row)), 0
		for i, cell := range row {
			cells[i] = wrapped(cell, widths[i])
			high = max(high, len(cells[i]))
		}
		var lines []string
		for n := range high {
			var b strings.Builder
			b.WriteString(t.indent)
			for i := range cells {
				part := ""
				if n < len(cells[i]) {
					part = cells[i][n]
				}
				b.WriteString(part)
				b.WriteString(strings.Repeat(" ", max(0, widths[i]-uniseg.StringWidth(part))+gap))
			}
			lines = append(lines, strings.TrimRight(b.String(), " "))
		}
		out = append(out, lines)
	}
	return out
}

// flowing is the layout on a terminal that is too narrow for columns: each row is a
// text of its own.
func (t *table) flowing(rows [][]string, width int) [][]string {
	const hanging = "  "
	var out [][]string
	for _, row := range rows {
		var lines []string
		for i, line := range wrapped(strings.Join(row, " "), max(narrowest, width-len(t.indent+hanging))) {
			if i > 0 {
				line = hanging + line
			}
			lines = append(lines, t.indent+line)
		}
		out = append(out, lines)
	}
	return out
}

// wrapped is a cell in lines of that width. What is one word, as a path, is cut; of
// several words each has its column, and one that is wider than that is broken.
func wrapped(cell string, width int) []string {
	words := strings.Fields(cell)
	if uniseg.StringWidth(cell) <= width || len(words) < 2 {
		return []string{cut(cell, width)}
	}
	var out []string
	line := ""
	for _, word := range words {
		if line != "" && uniseg.StringWidth(line+" "+word) <= width {
			line += " " + word
			continue
		}
		if line != "" {
			out = append(out, line)
		}
		line = ""
		for g := uniseg.NewGraphemes(word); g.Next(); {
			if line != "" && uniseg.StringWidth(line+g.Str()) > width {
				out, line = append(out, line), ""
			}
			line += g.Str()
		}
	}
	return append(out, line)
}

// fit takes from the widest until all fit; false: none can give more.
func fit(widths []int, width int) bool {
	for {
		sum, widest := 0, 0
		for i, w := range widths {
			sum += w
			if w >= widths[widest] {
				widest = i
			}
		}
		if sum <= width || widths[widest] <= narrowest {
			return sum <= width
		}
		widths[widest]--
	}
}

// cut shortens a cell: of a path the end is what tells it from others.
func cut(cell string, width int) string {
	if uniseg.StringWidth(cell) <= width {
		return cell
	}
	clusters := []string{}
	for g := uniseg.NewGraphemes(cell); g.Next(); {
		clusters = append(clusters, g.Str())
	}
	keep, end := "", strings.HasPrefix(cell, "/")
	if end {
		slices.Reverse(clusters)
	}
	for _, c := range clusters {
		if uniseg.StringWidth(keep+c)+1 > width {
			break
		}
		if end {
			keep = c + keep
		} else {
			keep += c
		}
	}
	if end {
		return "…" + keep
	}
	return keep + "…"
}

// coloured reports whether to use colour: on a terminal that has it, unless the
// user does not want any (https://no-color.org).
func coloured(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// plain is a name or path for a table: as it is, or quoted where it could
// play with the terminal.
func plain(s string) string {
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// printable is a text with what could play with the terminal, or make a line of its own,
// written as in Go's strings.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return b.String()
}

// bytesText is a size for people.
func bytesText(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10)
	}
	f, unit := float64(n), 0
	for f >= 1024 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	if f < 10 {
		return fmt.Sprintf("%.1f%c", f, "KMGTP"[unit-1])
	}
	return fmt.Sprintf("%.0f%c", f, "KMGTP"[unit-1])
}

// ageText is a duration for people, in its largest unit.
func ageText(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

// needUID0 refuses a command that could only tell half of the truth.
func needUID0(what string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%s needs root", what)
	}
	return nil
}

// needRoot is needUID0 for a command that enters a namespace.
func needRoot(what string) error {
	caps, err := mntns.OwnCapabilities()
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 || !caps.SysAdmin || !caps.SysChroot {
		return fmt.Errorf("%s needs root, with CAP_SYS_ADMIN and CAP_SYS_CHROOT", what)
	}
	return nil
}
