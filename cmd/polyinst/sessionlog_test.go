package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pam_polyinst/cmd/polyinst/internal/modulelog"
)

// fakeJournal has a program of its own for journalctl.
func fakeJournal(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "journalctl"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// A journal that somebody fills, or that does not come to an end, is read within a bound;
// what was read counts, and it is known how far back that goes.
func TestFloodedJournal(t *testing.T) {
	const (
		refusal = `echo '{"__REALTIME_TIMESTAMP":"2000000000000000","MESSAGE":"pam_polyinst(su:session): session refused for \"carol\": r"}'` + "\n"
		flood   = `yes '{"__REALTIME_TIMESTAMP":"1900000000000000","MESSAGE":"of somebody else"}' | head -c 20000000`
		little  = `echo '{"__REALTIME_TIMESTAMP":"1900000000000000","MESSAGE":"of somebody else"}'` + "\n"
	)
	long := bound{1 << 40, time.Hour}
	for name, c := range map[string]struct {
		script string
		most   bound
		cut    bool
		last   int64
	}{
		"more than is read":        {refusal + flood, bound{1 << 20, time.Hour}, true, 1_900_000_000},
		"longer than is waited":    {refusal + little + "exec sleep 10", bound{1 << 40, 100 * time.Millisecond}, true, 0},
		"as much as there is":      {refusal + little, long, false, 1_900_000_000},
		"as much as is wanted":     {refusal + refusal + flood, long, false, 2_000_000_000},
		"nothing, and without end": {"exec sleep 10", bound{1 << 40, time.Millisecond}, true, 0},
	} {
		fakeJournal(t, c.script)
		var got []string
		read, err := journal(time.Unix(1, 0), true, c.most, func(e modulelog.Entry) bool {
			got = append(got, e.User)
			return len(got) < 2
		})
		if err != nil || read.cut != c.cut || c.last != 0 && read.last.Unix() != c.last {
			t.Errorf("%s: %+v, %v", name, read, err)
		}
		if c.last != 0 && (!read.any || !slices.Contains(got, "carol")) {
			t.Errorf("%s: %q", name, got)
		}
	}
	fakeJournal(t, "exec sleep 10")
	if at := journalBegins(bound{1 << 40, time.Millisecond}); time.Since(at) > time.Minute {
		t.Errorf("a journal that says nothing begins at %s", at)
	}
	fakeJournal(t, "exit 3")
	if read, err := journal(time.Unix(1, 0), true, long, nil); err == nil || read.cut {
		t.Errorf("a journal that cannot be read: %+v, %v", read, err)
	}
}

// Where a file is longer than what is read of it, the rest of a line, which somebody may
// have written so that it begins with a time, does not say how far back that goes.
func TestLogFileIsCut(t *testing.T) {
	const forged = "2001-01-01T00:00:00Z x su: pam_polyinst(su:session): session refused for \"bob\": forged"
	last := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339) + " x su: pam_polyinst(su:session): session refused for \"alice\": true\n"
	text := "2000-01-01T00:00:00Z x su: " + forged + "\n"
	text += strings.Repeat("x", logTail-len(forged)-1-len(last)-1) + "\n" + last
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	begin, cut, err := logFile(path, time.Unix(1, 0), true, func(e modulelog.Entry) bool { got = append(got, e.User); return true })
	if err != nil || !cut || time.Since(begin) > time.Hour || !slices.Equal(got, []string{"alice"}) {
		t.Errorf("%v, %v, %v, %v", begin, cut, err, got)
	}
}

// It is said how far back a log was read, where that is less than was asked for.
func TestReach(t *testing.T) {
	asked := time.Unix(1_000_000, 0)
	for name, c := range map[string]struct {
		log  logSource
		want *reach
	}{
		"all":            {logSource{"x", asked, false}, nil},
		"all, and cut":   {logSource{"x", asked, true}, nil},
		"there is none":  {logSource{"", asked.Add(time.Hour), false}, nil},
		"it is shorter":  {logSource{"x", asked.Add(time.Hour), false}, &reach{asked.Add(time.Hour), false}},
		"it is too long": {logSource{"x", asked.Add(time.Hour), true}, &reach{asked.Add(time.Hour), true}},
	} {
		got := c.log.reach(asked)
		if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for cut, want := range map[bool][2]string{
		false: {", when x begins\n", ", says x, which begins at "},
		true:  {", and x, which goes further back, is not read there\n", ", says x, of which no more was read than since "},
	} {
		d := diagnosis{User: "a", Service: "su", Log: "x", reach: &reach{asked, cut}, x: &explanation{PAM: &pamLine{}, Outcome: outcomeStays}}
		if got := printed(t, d.print); !strings.HasPrefix(got, "last: no refusal since ") || !strings.Contains(got, want[0]) {
			t.Errorf("doctor: %q", got)
		}
		s := machineState{LastHour: hourState{From: "x", reach: &reach{asked, cut}}}
		if got := printed(t, func() {
			s.printHour(func(_, format string, args ...any) { _, _ = stdout.Write([]byte(fmt.Sprintf(format, args...))) })
		}); !strings.Contains(got, want[1]) {
			t.Errorf("status: %q", got)
		}
	}
}
