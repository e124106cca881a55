package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/observe"
)

// remark is one thing that check has to say; its fields are the schema of
// check --json.
type remark struct {
	File    string         `json:"file"`
	Line    int            `json:"line"` // 0: the file as a whole
	Column  int            `json:"column"`
	Level   pamstack.Level `json:"level"`
	Message string         `json:"message"`

	passing  bool   // it may be over soon: it is no mistake of the file
	prepares bool   // prepare mends it
	service  string // whose stack it is about; empty: of none alone
	passed   bool   // that stack may leave our line out
}

// String is FILE:LINE:COL: level: message, as a part of another message: an error
// has no word for its level.
func (r remark) String() string {
	level := ""
	if r.Level != pamstack.Error {
		level = string(r.Level) + ": "
	}
	return r.position() + ": " + level + printable(r.Message)
}

func (r remark) position() string {
	return config.Position{File: r.File, Line: r.Line, Col: r.Column}.String()
}

// tell prints a remark on standard error, in one line; on a terminal its level has
// a colour.
func (r remark) tell() {
	level := string(r.Level) + ":"
	if colour := levelColours[r.Level]; colour != "" && coloured(os.Stderr) {
		level = colour + level + "\x1b[0m"
	}
	fmt.Fprintf(os.Stderr, "%s: %s %s\n", r.position(), level, printable(r.Message))
}

var levelColours = map[pamstack.Level]string{pamstack.Error: "\x1b[1;31m", pamstack.Warning: "\x1b[1;33m"}

// counted says how many remarks there are of each level that has any; empty: none.
func counted(remarks []remark) string {
	var out []string
	for _, level := range []pamstack.Level{pamstack.Error, pamstack.Warning, pamstack.Note} {
		n := 0
		for _, r := range remarks {
			if r.Level == level {
				n++
			}
		}
		if n > 0 {
			out = append(out, number(n, string(level)))
		}
	}
	return strings.Join(out, ", ")
}

// tellProblems prints what is wrong in the files of a configuration.
func tellProblems(problems config.Problems) {
	for _, p := range problems {
		problemRemark(p).tell()
	}
}

func problemRemark(p config.Problem) remark {
	plain := p
	plain.Pos = config.Position{}
	return at(p.Pos, pamstack.Error, "%s", plain.Error()[len(": "):])
}

func at(p config.Position, level pamstack.Level, format string, args ...any) remark {
	return remark{File: p.File, Line: p.Line, Column: p.Col, Level: level, Message: fmt.Sprintf(format, args...)}
}

// fileRemarks are what is wrong in the files themselves.
func fileRemarks(c *config.Config, files observe.Files, problems config.Problems) []remark {
	var out []remark
	for _, p := range problems {
		out = append(out, problemRemark(p))
	}
	if len(problems) == 0 {
		if r := plan.Clash(c); r != nil {
			out = append(out, at(config.Position{File: files.Main.Name}, pamstack.Error, "%v", r))
		}
	}
	return out
}

// unread tells of files beside the configuration that nobody reads.
func unread(conf string) []remark {
	var out []remark
	for _, f := range observe.Unread(conf) {
		out = append(out, at(config.Position{File: f[0]}, pamstack.Warning, "it is not read, and nobody gets its polydirs: %s", f[1]))
	}
	return out
}

// faulty reports whether one of the remarks is an error.
func faulty(remarks []remark) bool { return hasError(remarks, func(remark) bool { return true }) }

func hasError(remarks []remark, is func(remark) bool) bool {
	return slices.ContainsFunc(remarks, func(r remark) bool { return r.Level == pamstack.Error && is(r) })
}

// number is a count with its noun, in the plural where it is not one.
func number(n int, what string) string {
	switch stem, y := strings.CutSuffix(what, "y"); {
	case n == 1:
	case y:
		what = stem + "ies"
	case strings.HasSuffix(what, "s"):
		what += "es"
	default:
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
