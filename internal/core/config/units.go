package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

func commas(words []string) string { return strings.Join(words, ", ") }

// parseMode reads octal permission bits such as "1777" or "0700".
func parseMode(s string) (uint32, *fault) {
	digits := strings.TrimPrefix(s, "0o")
	if len(digits) != len(s) {
		return 0, &fault{fmt.Sprintf("%q is no octal mode", s), fmt.Sprintf("write %q", "0"+digits)}
	}
	mode, err := strconv.ParseUint(s, 8, 32)
	if err != nil || len(s) < 3 || strings.ContainsAny(s, "+_") {
		return 0, faulty(fmt.Sprintf("%q is no mode, want three or four octal digits such as \"1777\"", s))
	}
	if len(s) > 5 || mode > 0o7777 {
		return 0, faulty(fmt.Sprintf("%q is out of range, want at most \"7777\"", s))
	}
	return uint32(mode), nil
}

// parseSize reads a number of bytes: digits and at most one of K, M, G, T, P,
// in either case, each 1024 times the one before.
func parseSize(s string) (uint64, *fault) {
	digits := strings.TrimRight(s, "KMGTPkmgtp")
	unit := s[len(digits):]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || len(unit) > 1 {
		return 0, noSize(s)
	}
	shift := uint(0)
	if unit != "" {
		shift = 10 * uint(1+strings.Index("KMGTP", strings.ToUpper(unit)))
	}
	if n > math.MaxInt64>>shift {
		return 0, faulty(fmt.Sprintf("%q is out of range", s))
	}
	return n << shift, nil
}

func noSize(s string) *fault {
	f := faulty(fmt.Sprintf("%q is no size, want a number with K, M, G, T or nothing behind it", s))
	trimmed := strings.ReplaceAll(s, " ", "")
	for _, tail := range []string{"iB", "ib", "IB", "B", "b"} {
		trimmed = strings.TrimSuffix(trimmed, tail)
	}
	if trimmed == s {
		return f
	}
	if _, again := parseSize(trimmed); again == nil {
		f.hint = didYouMean(trimmed)
	}
	return f
}

// parsePercent reads "50%"; ok is false where s is no percentage at all.
func parsePercent(s string) (pct uint32, ok bool, f *fault) {
	digits, found := strings.CutSuffix(s, "%")
	if !found {
		return 0, false, nil
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n < 1 || n > 100 {
		return 0, true, faulty(fmt.Sprintf("%q is no share of the memory, want \"1%%\" to \"100%%\"", s))
	}
	return uint32(n), true, nil
}

// parseDuration reads a duration such as "10s" or "2m", from least to most.
func parseDuration(s string, least, most time.Duration) (time.Duration, *fault) {
	d, err := time.ParseDuration(s)
	if err != nil {
		f := faulty(fmt.Sprintf("%q is no duration, want a number with ms, s or m behind it", s))
		if _, err := strconv.ParseUint(s, 10, 32); err == nil {
			f.hint = didYouMean(s + "s")
		}
		return 0, f
	}
	if d <= 0 {
		return 0, faulty(fmt.Sprintf("%q is not more than 0", s))
	}
	if d < least {
		return 0, faulty(fmt.Sprintf("%q is too short, want at least %q", s, short(least)))
	}
	if d > most {
		return 0, faulty(fmt.Sprintf("%q is too long, want at most %q", s, short(most)))
	}
	return d, nil
}

// short writes 10m0s as 10m.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	return s
}

// hasControl reports whether s holds a control character; NUL and line ends are such.
func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

func hasSpace(s string) bool { return strings.ContainsFunc(s, unicode.IsSpace) }

// plainName checks that s is one path component without white space.
func plainName(s string) *fault {
	if f := plainComponent(s); f != nil {
		return f
	}
	if hasSpace(s) {
		return faulty(fmt.Sprintf("%q holds white space", s))
	}
	return nil
}

// plainComponent checks that s is the name of one directory entry.
func plainComponent(s string) *fault {
	switch {
	case s == "":
		return faulty("empty name")
	case s == "." || s == "..":
		return faulty(fmt.Sprintf("%q is no name", s))
	case strings.Contains(s, "/"):
		return faulty(fmt.Sprintf("%q holds a \"/\", want one path component", s))
	case hasControl(s):
		return faulty(fmt.Sprintf("%q holds a control character", s))
	case len(s) > 255:
		return faulty(fmt.Sprintf("%d bytes long, want at most 255", len(s)))
	}
	return nil
}

// keptName is one component, or a pattern of such: "*" is the one character that
// stands for others.
func keptName(s string) *fault {
	if strings.Contains(s, "$") {
		return ownEntry(s)
	}
	if IsPattern(s) && strings.Trim(s, "*.") == "" {
		return &fault{fmt.Sprintf("%q is every directory of root's", s), "say which names, such as \"systemd-private-*\""}
	}
	return plainComponent(s)
}

// OwnEntry reports whether an entry of keep is the session user's: one with a
// variable. Others are root's.
func OwnEntry(name string) bool {
	return Template(name).Varies()
}

// ownEntry checks an entry of keep with variables: a path below the polydir, or
// one that begins with $HOME, which may lie below it.
func ownEntry(s string) *fault {
	list, f := Template(s).pieces()
	switch {
	case f != nil:
		return f
	case IsPattern(s):
		return &fault{fmt.Sprintf("%q has a \"*\" and a variable", s), "write one of the two"}
	case strings.HasPrefix(s, "/"):
		return &fault{fmt.Sprintf("%q is absolute, want a path below the polydir", s), "such as \"$USER\" or \"$HOME\""}
	}
	for _, p := range list[1:] {
		if p.variable == "HOME" {
			return faulty(fmt.Sprintf("$HOME inside %q, want it at the beginning", s))
		}
	}
	if !OwnEntry(s) && strings.Contains(s, "/") {
		return plainComponent(s)
	}
	return written(checkComponents("/" + s))
}
