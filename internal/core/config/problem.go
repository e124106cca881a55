package config

import (
	"strconv"
	"strings"
)

// String is FILE:LINE:COL, or FILE alone for a file as a whole.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Col)
}

// Problem is one reason why a configuration is refused.
type Problem struct {
	Pos     Position
	Polydir string // the path of the polydir that it belongs to, as the file writes it; may be empty
	Message string // a fact: what was found and what is wanted
	Hint    string // what to write instead; may be empty
}

// Error is FILE:LINE:COL: polydir "PATH": message, hint.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Pos.String())
	b.WriteString(": ")
	if p.Polydir != "" {
		b.WriteString("polydir " + strconv.Quote(p.Polydir) + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(", " + p.Hint)
	}
	return b.String()
}

// String is the same as Error.
func (p Problem) String() string { return p.Error() }

// Problems are all problems of a configuration, in the order of its files and,
// within a file, of their positions.
type Problems []Problem

// Error has one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// fault is what is wrong with a value, before it is known where the value
// stands. The same checks serve the files and the PAM line, which has no
// positions.
type fault struct {
	message string
	hint    string
}

func faulty(message string) *fault { return &fault{message: message} }

func (f *fault) String() string {
	if f.hint == "" {
		return f.message
	}
	return f.message + ", " + f.hint
}
