// Package modulelog reads what the module has written to the system log. It is
// pure: the text is an argument.
//
// Users can write to the system log as well, in any words. What is read here is for
// people to look at; nothing may be decided or run by it.
package modulelog

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Kind is what became of a session.
type Kind string

// The values of Kind.
const (
	Opened  Kind = "opened"
	Refused Kind = "refused"
	Rescued Kind = "rescued" // refused, and admitted all the same
)

// Entry is one line of the module's about a session.
type Entry struct {
	At      time.Time
	Service string
	User    string // empty: the line names nobody
	Kind    Kind
	Reason  string // empty: the session was opened
}

// message reads the text of a line, without what the log puts before it.
func message(text string) (Entry, bool) {
	rest, ok := strings.CutPrefix(text, "pam_polyinst(")
	if !ok {
		return Entry{}, false
	}
	service, rest, ok := strings.Cut(rest, ":session): ")
	if !ok || strings.ContainsAny(service, "() ") {
		return Entry{}, false
	}
	e := Entry{Service: service}
	for _, begin := range []struct {
		text string
		kind Kind
	}{
		{"session opened for ", Opened},
		{"session refused for ", Refused},
		{"session refused: ", Refused},
		{"rescue: root is admitted WITHOUT private directories: ", Rescued},
		{"rescue: ", Rescued},
	} {
		after, ok := strings.CutPrefix(rest, begin.text)
		if !ok {
			continue
		}
		e.Kind = begin.kind
		switch {
		case strings.Contains(begin.text, " root "):
			e.User, e.Reason = "root", after
			return e, true
		case strings.HasSuffix(begin.text, "refused: "):
			e.Reason = after
			return e, true
		}
		name, err := strconv.QuotedPrefix(after)
		if err != nil {
			return Entry{}, false
		}
		e.User, _ = strconv.Unquote(name)
		if e.Kind != Opened {
			_, e.Reason, ok = strings.Cut(after[len(name):], ": ")
		}
		return e, ok
	}
	return Entry{}, false
}

// Line reads a line of a log file (auth.log, secure). now is for the year, which the
// older form of a time lacks.
func Line(line string, now time.Time) (Entry, bool) {
	i := strings.Index(line, ": pam_polyinst(")
	if i < 0 {
		return Entry{}, false
	}
	e, ok := message(line[i+2:])
	if !ok {
		return e, false
	}
	e.At, ok = timeOf(line[:i], now)
	return e, ok
}

// LineTime is the time of any line of a log file.
func LineTime(line string, now time.Time) (time.Time, bool) { return timeOf(line, now) }

// timeOf reads the time at the beginning of a line: RFC 3339, or "Jan _2 15:04:05" of
// the local time, whose latest occurrence it is.
func timeOf(head string, now time.Time) (time.Time, bool) {
	word, _, _ := strings.Cut(head, " ")
	if at, err := time.Parse(time.RFC3339, word); err == nil {
		return at, true
	}
	if len(head) < len(time.Stamp) {
		return time.Time{}, false
	}
	at, err := time.ParseInLocation(time.Stamp, head[:len(time.Stamp)], now.Location())
	if err != nil {
		return time.Time{}, false
	}
	at = at.AddDate(now.Year(), 0, 0) // of the year 0, which has a 29th of February
	const ahead = 24 * time.Hour      // of a clock that was put back
	if at.After(now.Add(ahead)) {
		at = at.AddDate(-1, 0, 0)
	}
	return at, true
}

// JournalTime is the time of any line of journalctl's output "json".
func JournalTime(line []byte) (time.Time, bool) {
	var j struct {
		Time string `json:"__REALTIME_TIMESTAMP"` // microseconds
	}
	if json.Unmarshal(line, &j) != nil {
		return time.Time{}, false
	}
	us, err := strconv.ParseInt(j.Time, 10, 64)
	return time.UnixMicro(us), err == nil
}

// Journal reads a line of journalctl's output "json". A message with bytes that are
// no text is a list of numbers there.
func Journal(line []byte) (Entry, bool) {
	var j struct {
		Message json.RawMessage `json:"MESSAGE"`
	}
	if json.Unmarshal(line, &j) != nil {
		return Entry{}, false
	}
	var text string
	if json.Unmarshal(j.Message, &text) != nil {
		var raw []uint16
		if json.Unmarshal(j.Message, &raw) != nil {
			return Entry{}, false
		}
		var b strings.Builder
		for _, c := range raw {
			b.WriteByte(byte(c))
		}
		text = b.String()
	}
	e, ok := message(text)
	if !ok {
		return e, false
	}
	e.At, ok = JournalTime(line)
	return e, ok
}

// Subject is what a refusal is about, in one of few words.
type Subject string

// The values of Subject.
const (
	Configuration Subject = "configuration" // the files, and the PAM line
	Account       Subject = "account"       // it, or its groups
	Parent        Subject = "parent"        // an instance parent, or its filesystem
	Instance      Subject = "instance"
	Script        Subject = "script" // an init script, or skel
	Polydir       Subject = "polydir"
	Worker        Subject = "worker" // no worker answered
	Other         Subject = "other"  // the kernel, the host, and what this version does not know
)

// Subjects are all of them.
var Subjects = []Subject{Configuration, Account, Parent, Instance, Script, Polydir, Worker, Other}

// About is what a reason is about, by how it begins (pam_polyinst(8), DIAGNOSTICS).
func About(reason string) Subject {
	for _, inner := range []struct {
		begin   string
		subject Subject
	}{
		{"PAM line: ", Configuration}, {"there is no configuration", Configuration}, {"trust /", Configuration},
		{"the account ", Account}, {"account \"", Account}, {"groups of \"", Account}, {"group \"", Account}, {"the user name \"", Account},
		{"nsswitch.conf names ", Account}, {"user name: ", Account}, {"user id: ", Account}, {"home directory: ", Account},
		{"the worker ", Worker}, {"the question for the worker", Worker}, {"socketpair: ", Worker}, {"fork: ", Worker}, {"pidfd_open ", Worker},
		{"the hard limit of ", Worker}, {"the host process is not root", Worker}, {"this pam_polyinst.so was built ", Worker},
	} {
		if strings.HasPrefix(reason, inner.begin) {
			return inner.subject
		}
	}
	if strings.HasPrefix(reason, "/") && filePosition.MatchString(reason) {
		return Configuration
	}
	rest, ok := strings.CutPrefix(reason, "polydir ")
	if !ok {
		return Other
	}
	name, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return Other
	}
	rest = strings.TrimPrefix(rest[len(name):], ": ")
	switch rest = strings.TrimPrefix(rest, "quota: "); {
	case strings.HasPrefix(rest, "require= on the PAM line"):
		return Configuration
	case strings.HasPrefix(rest, "instance parent "):
		return Parent
	case strings.HasPrefix(rest, "instance "):
		return Instance
	case strings.HasPrefix(rest, "init script "), strings.HasPrefix(rest, "copy "):
		return Script
	}
	return Polydir
}

// filePosition is FILE:LINE:COLUMN, which a problem of a configuration begins with.
var filePosition = regexp.MustCompile(`^/[^:]*:\d+:\d+: `)
