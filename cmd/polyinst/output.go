package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/terminal"
)

// schema is the version of the --json output. It grows when a field changes its
// meaning or goes; new fields do not change it.
const schema = 1

func printJSON(v any) error {
	out := json.NewEncoder(os.Stdout)
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
	for i, line := range t.lines(terminal.Width(os.Stdout.Fd())) {
		switch {
		case !coloured(os.Stdout):
		case t.head != nil && i == 0:
			line = "\x1b[1m" + line + "\x1b[0m"
		case t.dim[i-1]:
			line = "\x1b[2m" + line + "\x1b[0m"
		}
		fmt.Println(line)
	}
}

// gap is what stands between two columns, and narrowest how narrow the terminal
// makes a column.
const (
	gap       = 2
	narrowest = 8
)

// lines are the rows, the head first, in no more than width columns of the
// terminal; 0: as wide as they are. The widest columns give way.
func (t *table) lines(width int) []string {
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
	if width > 0 {
		fit(widths, width-len(t.indent)-gap*(len(widths)-1))
	}
	var out []string
	for _, row := range rows {
		var b strings.Builder
		b.WriteString(t.indent)
		for i, cell := range row {
			cell = cut(cell, widths[i])
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", widths[i]-uniseg.StringWidth(cell)+gap))
		}
		line := strings.TrimRight(b.String(), " ")
		if width > 0 {
			line = cut(line, max(width, narrowest)) // too narrow even so
		}
		out = append(out, line)
	}
	return out
}

// fit takes from the widest until all fit, or none can give more.
func fit(widths []int, width int) {
	for {
		sum, widest := 0, 0
		for i, w := range widths {
			sum += w
			if w >= widths[widest] {
				widest = i
			}
		}
		if sum <= width || widths[widest] <= narrowest {
			return
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

// coloured tells whether to use colour: on a terminal that has it, unless the
// user does not want any (https://no-color.org).
func coloured(f *os.File) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && terminal.Is(f.Fd())
}

// plain is a name or path for a table: as it is, or quoted where it could
// play with the terminal.
func plain(s string) string {
	if s == "" || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
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
