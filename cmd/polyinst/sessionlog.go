package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"pam_polyinst/cmd/polyinst/internal/modulelog"
)

// logFiles are where distributions keep what login programs log, if the journal does
// not have it.
var logFiles = []string{"/var/log/auth.log", "/var/log/secure", "/var/log/messages"}

// logTail is how much of the end of a log file is read.
const logTail = 16 << 20

// bound is how much of the journal is read, and for how long: anybody writes to it, and
// nobody waits for that.
type bound struct {
	bytes int64 // as journalctl prints it
	time  time.Duration
}

var journalBound = bound{64 << 20, 10 * time.Second}

// logSource is which log was read, and from when on: a log is rotated, and anybody who
// writes much to it makes that sooner, so that it may begin later than was asked for.
type logSource struct {
	name  string // empty: there is none that can be read here
	since time.Time
	cut   bool // it goes further back, and was not read there
}

// reach says from when on the log was read, if that is not the time that was asked for.
func (l logSource) reach(asked time.Time) *reach {
	const tick = time.Second // of a log file's times
	if l.name == "" || !l.since.After(asked.Add(tick)) {
		return nil
	}
	return &reach{l.since, l.cut}
}

// reach is how far back a log was read, where that is less than was asked for.
type reach struct {
	at  time.Time
	cut bool // the log goes further back
}

// sessionLog hands on what the module has logged of sessions since a time, the
// newest first, for as long as more is wanted.
func sessionLog(since time.Time, refusedOnly bool, more func(modulelog.Entry) bool) (found logSource) {
	latest := func(begin time.Time) time.Time {
		if begin.After(since) {
			return begin
		}
		return since
	}
	if _, err := exec.LookPath("journalctl"); err == nil && (!absent("/run/log/journal") || !absent("/var/log/journal")) {
		begin := journalBegins(journalBound)
		read, err := journal(since, refusedOnly, journalBound, more)
		if read.cut {
			begin = read.last
		}
		if err == nil {
			found = logSource{"the journal", latest(begin), read.cut}
		}
		if read.any {
			return found
		}
	}
	// where the journal has nothing at all, it may be that nothing is written to it
	for _, path := range logFiles {
		if absent(path) {
			continue
		}
		if begin, cut, err := logFile(path, since, refusedOnly, more); err == nil {
			return logSource{path, latest(begin), cut}
		}
	}
	return found
}

// journalBegins is the time of the journal's first entry; now where there is none.
func journalBegins(most bound) time.Time {
	at, known := time.Time{}, false
	_, _ = journalctl(most, func(line []byte) bool {
		at, known = modulelog.JournalTime(line)
		return !known
	}, "--system", "--output=json", "--output-fields=MESSAGE")
	if !known {
		return time.Now()
	}
	return at
}

// journalRead is what was read of the journal.
type journalRead struct {
	any  bool      // it has something of that time, be it of the module or not
	last time.Time // of the oldest line that was read; now where there is none
	cut  bool      // the bound was met
}

// journal reads the journal backwards.
func journal(since time.Time, refusedOnly bool, most bound, more func(modulelog.Entry) bool) (read journalRead, err error) {
	const authpriv = "SYSLOG_FACILITY=10"
	args := []string{"--reverse", "--output=json", "--output-fields=MESSAGE", fmt.Sprintf("--since=@%d", since.Unix()), authpriv}
	if refusedOnly {
		args = append(args, "PRIORITY=1", "PRIORITY=3") // an alert: a rescue; an error: a refusal
	}
	read.last = time.Now()
	read.cut, err = journalctl(most, func(line []byte) bool {
		read.any = true
		if at, ok := modulelog.JournalTime(line); ok {
			read.last = at
		}
		e, ok := modulelog.Journal(line)
		return !ok || !wanted(e, since, refusedOnly) || more(e)
	}, args...)
	return read, err
}

// journalctl hands on what journalctl(1) prints, a line at a time, for as long as more is
// wanted and the bound is not met; cut: it was.
func journalctl(most bound, more func(line []byte) bool, args ...string) (cut bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), most.time)
	defer cancel()
	cmd := exec.CommandContext(ctx, "journalctl", append([]string{"--quiet", "--no-pager"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	left := &io.LimitedReader{R: out, N: most.bytes}
	lines := bufio.NewScanner(left)
	lines.Buffer(nil, 1<<20)
	stopped := false
	for !stopped && lines.Scan() {
		stopped = !more(lines.Bytes())
	}
	cut = !stopped && (left.N <= 0 || ctx.Err() != nil)
	if stopped || cut || lines.Err() != nil {
		cancel()
		_ = cmd.Wait()
		if cut {
			return true, nil
		}
		return false, lines.Err()
	}
	return false, cmd.Wait()
}

func wanted(e modulelog.Entry, since time.Time, refusedOnly bool) bool {
	return !e.At.Before(since) && (!refusedOnly || e.Kind != modulelog.Opened)
}

// logFile reads the end of a file backwards. It returns the time of the first line that
// it has read, now where it has read none; cut: the file has more before that.
func logFile(path string, since time.Time, refusedOnly bool, more func(modulelog.Entry) bool) (begin time.Time, cut bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return begin, false, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(max(0, size-logTail), io.SeekStart)
	}
	if err != nil {
		return begin, false, err
	}
	text, err := io.ReadAll(io.LimitReader(f, logTail))
	if err != nil {
		return begin, false, err
	}
	now := time.Now()
	begin = now
	if size > logTail {
		_, text, _ = bytes.Cut(text, []byte("\n")) // the rest of a line is anybody's text
	}
	for line := range bytes.Lines(text) {
		if at, ok := modulelog.LineTime(string(line), now); ok {
			begin = at
			break
		}
	}
	for len(text) > 0 {
		i := bytes.LastIndexByte(bytes.TrimSuffix(text, []byte("\n")), '\n') + 1
		line := strings.TrimSuffix(string(text[i:]), "\n")
		text = text[:i]
		if e, ok := modulelog.Line(line, now); ok && wanted(e, since, refusedOnly) && !more(e) {
			break
		}
	}
	return begin, size > logTail, nil
}
