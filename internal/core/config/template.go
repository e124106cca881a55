package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxPath is the greatest length of a path in bytes (PATH_MAX without its NUL).
const maxPath = 4095

// piece is a part of a template: text as it stands, or a variable.
type piece struct {
	text     string
	variable string // without the "$"; empty for text
}

// variables are those that a Template knows.
var variables = []string{"HOME", "USER", "UID"}

// pieces takes a template apart. A variable is the longest run of letters,
// digits and underscores behind the dollar sign, so that $HOMEDIR is never
// read as $HOME and "DIR".
func (t Template) pieces() ([]piece, *fault) {
	var list []piece
	rest := string(t)
	for {
		text, after, found := strings.Cut(rest, "$")
		if text != "" {
			list = append(list, piece{text: text})
		}
		if !found {
			return list, nil
		}
		if strings.HasPrefix(after, "$") {
			list = append(list, piece{text: "$"})
			rest = after[1:]
			continue
		}
		name := after[:wordLen(after)]
		if f := checkVariable(name, after); f != nil {
			return nil, f
		}
		list = append(list, piece{variable: name})
		rest = after[len(name):]
	}
}

// wordLen is the length of the variable name that s begins with.
func wordLen(s string) int {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return i
		}
	}
	return len(s)
}

func checkVariable(name, after string) *fault {
	for _, v := range variables {
		if name == v {
			return nil
		}
	}
	switch {
	case name != "":
		f := &fault{message: fmt.Sprintf("unknown variable \"$%s\", want $HOME, $USER or $UID", name)}
		if best := Nearest(name, variables); best != "" {
			f.hint = didYouMean("$" + best)
		}
		return f
	case strings.HasPrefix(after, "{"):
		return &fault{"\"${\" begins no variable", "write " + braced(after)}
	}
	return &fault{"\"$\" without a variable", "write \"$$\" for a dollar sign"}
}

// braced is what to write instead of ${NAME}.
func braced(after string) string {
	name := after[1 : 1+wordLen(after[1:])]
	for _, v := range variables {
		if name == v {
			return "$" + name
		}
	}
	return "$HOME, $USER or $UID"
}

// Varies reports whether the template is another text for each user.
func (t Template) Varies() bool { return slices.ContainsFunc(variables, t.Uses) }

// Uses reports whether the template has the variable name, which is written
// without its dollar sign.
func (t Template) Uses(name string) bool {
	list, _ := t.pieces()
	for _, p := range list {
		if p.variable == name {
			return true
		}
	}
	return false
}

// Expand replaces the variables by the values of v, and looks only at those that the
// template uses. It fails if a value would give the result another structure than the
// template has: User must be one path component other than "." and "..", UID digits,
// Home an absolute path below "/" without "." and ".." components. It also fails if the
// result is longer than a path can be.
func (t Template) Expand(v Vars) (string, error) {
	list, f := t.pieces()
	if f != nil {
		return "", errors.New(f.String())
	}
	var b strings.Builder
	for _, p := range list {
		text := p.text
		if p.variable != "" {
			var err error
			if text, err = v.value(p.variable); err != nil {
				return "", err
			}
		}
		b.WriteString(text)
	}
	if b.Len() > maxPath {
		return "", fmt.Errorf("%d bytes long after expansion, want at most %d", b.Len(), maxPath)
	}
	return b.String(), nil
}

// value is what the variable stands for, if it may stand in a path.
func (v Vars) value(variable string) (string, error) {
	switch variable {
	case "USER":
		if f := plainComponent(v.User); f != nil {
			return "", errors.New("user name: " + f.String())
		}
		return v.User, nil
	case "UID":
		if v.UID == "" || !allDigits(v.UID) {
			return "", fmt.Errorf("user id: %q is no number", v.UID)
		}
		return v.UID, nil
	}
	home := strings.TrimRight(v.Home, "/")
	if f := checkHome(v.Home, home); f != nil {
		return "", errors.New("home directory: " + f.String())
	}
	return home, nil
}

func checkHome(as, trimmed string) *fault {
	if !strings.HasPrefix(as, "/") {
		return faulty(fmt.Sprintf("%q is not absolute", as))
	}
	if trimmed == "" {
		return faulty(fmt.Sprintf("%q is the root directory", as))
	}
	return checkComponents(trimmed)
}
