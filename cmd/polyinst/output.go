package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

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

// table is printed with a head. On a terminal it is no wider than that, and the
// head stands out.
type table struct {
	head []string
	rows [][]string
	dim  map[int]bool // rows of less interest
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) print() {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{t.head}, t.rows...) {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
	width := terminal.Width(os.Stdout.Fd())
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		line = cut(strings.TrimRight(line, " "), width)
		switch {
		case !coloured(os.Stdout):
		case i == 0:
			line = "\x1b[1m" + line + "\x1b[0m"
		case t.dim[i-1]:
			line = "\x1b[2m" + line + "\x1b[0m"
		}
		fmt.Println(line)
	}
}

// cut shortens a line to a terminal's width; 0: as it is.
func cut(line string, width int) string {
	if width < 20 || utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:width-1]) + "…"
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

// counter shows on a terminal's standard error how far long work is; elsewhere
// it is silent.
type counter struct {
	what  string
	n     int
	shown time.Time
	on    bool
}

func newCounter(what string) *counter {
	return &counter{what: what, shown: time.Now(), on: terminal.Is(os.Stderr.Fd())}
}

// step counts one more; what takes less than a moment is never shown.
func (c *counter) step() {
	c.n++
	if !c.on || c.n%256 != 0 || time.Since(c.shown) < 200*time.Millisecond {
		return
	}
	c.shown = time.Now()
	fmt.Fprintf(os.Stderr, "\r%s: %d\x1b[K", c.what, c.n)
}

func (c *counter) done() {
	if c.on {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
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
