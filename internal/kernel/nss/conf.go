package nss

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// confFile is nsswitch.conf(5), which libc reads too.
const confFile = "/etc/nsswitch.conf"

// source is one source of a database, and after which of its answers nobody
// further is asked.
type source struct {
	name string
	ends map[Status]bool
}

// written reports whether nsswitch.conf says by itself where a database is. One
// that is empty or half written does not, and libc takes its defaults.
func written(database string) bool {
	text, err := read(confFile)
	_, found := lineOf(string(text), database)
	return err == nil && found
}

// sources are those of a database, in their order.
func sources(database string) ([]source, error) {
	text, err := read(confFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return parse(string(text), database)
}

// parse reads one database of nsswitch.conf(5). One that it does not name has
// the source files alone, and initgroups those of group: with one difference,
// that the list goes on behind a source which answered (getgrouplist(3)).
func parse(text, database string) ([]source, error) {
	for _, name := range []string{database, "group"} {
		if name != database && database != "initgroups" {
			break
		}
		line, found := lineOf(text, name)
		if !found {
			continue
		}
		list, err := parseLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", confFile, name, err)
		}
		if name != database {
			for _, s := range list {
				delete(s.ends, Success)
			}
		}
		return list, nil
	}
	return []source{{"files", map[Status]bool{Success: database != "initgroups"}}}, nil
}

// lineOf is what stands behind a database's name; the last line counts, as it
// does for libc.
func lineOf(text, database string) (line string, found bool) {
	for l := range strings.Lines(text) {
		l, _, _ = strings.Cut(l, "#")
		name, rest, ok := strings.Cut(l, ":")
		if ok && strings.TrimSpace(name) == database {
			line, found = strings.TrimSpace(rest), true
		}
	}
	return line, found
}

var statuses = map[string]Status{"SUCCESS": Success, "NOTFOUND": NotFound, "UNAVAIL": Unavailable, "TRYAGAIN": TryAgain}

func parseLine(line string) ([]source, error) {
	var list []source
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] != '[' {
			end := strings.IndexAny(line, " \t[")
			if end < 0 {
				end = len(line)
			}
			list = append(list, source{line[:end], map[Status]bool{Success: true}})
			line = line[end:]
			continue
		}
		actions, rest, closed := strings.Cut(line[1:], "]")
		if !closed || len(list) == 0 {
			return nil, fmt.Errorf("%q is no list of sources", line)
		}
		for _, action := range strings.Fields(actions) {
			if err := list[len(list)-1].action(action); err != nil {
				return nil, err
			}
		}
		line = rest
	}
	return list, nil
}

// action reads one [STATUS=action] or [!STATUS=action].
func (s source) action(text string) error {
	status, action, _ := strings.Cut(text, "=")
	status, not := strings.CutPrefix(status, "!")
	which, ok := statuses[strings.ToUpper(status)]
	ends := false
	switch strings.ToLower(action) {
	case "return":
		ends = true
	case "continue", "merge":
	default:
		ok = false
	}
	if !ok {
		return fmt.Errorf("%q is no action", "["+text+"]")
	}
	for _, each := range statuses {
		if (each == which) != not {
			s.ends[each] = ends
		}
	}
	return nil
}

// Status is what a source says of a question: enum nss_status.
type Status int

// The values of Status, as <nss.h> has them.
const (
	TryAgain    Status = -2
	Unavailable Status = -1
	NotFound    Status = 0
	Success     Status = 1
)

func (s Status) String() string {
	for name, status := range statuses {
		if s == status {
			return name
		}
	}
	return fmt.Sprintf("status %d", int(s))
}

// Answer is what one source said.
type Answer struct {
	Source string
	Status Status
	Errno  syscall.Errno // as the source left it; it need not mean anything
	// Absent: the source's module is not installed, or has no function for
	// this question, or its service has no configuration, which libc takes for
	// UNAVAIL.
	Absent bool
	Why    string // why it cannot be asked, where that is no answer of its own
}

// String is the answer in words for a message.
func (a Answer) String() string {
	switch {
	case a.Why != "":
		return fmt.Sprintf("source %q of %s cannot be asked: %s", a.Source, confFile, a.Why)
	case a.Errno != 0:
		return fmt.Sprintf("source %q of %s answers %v (%v)", a.Source, confFile, a.Status, a.Errno)
	}
	return fmt.Sprintf("source %q of %s answers %v", a.Source, confFile, a.Status)
}

// settled corrects answers by which a source means something else. systemd's
// says UNAVAIL with ESRCH where nobody keeps such an entry.
func (a Answer) settled() Answer {
	if a.Source == "systemd" && a.Status == Unavailable && a.Errno == syscall.ESRCH {
		a.Status = NotFound
	}
	return a
}
