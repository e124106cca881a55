package main

import (
	"bufio"
	"bytes"
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

// logSource is which log was read, and from when on: a log is rotated, and anybody who
// writes much to it makes that sooner, so that it may begin later than was asked for.
type logSource struct {
	name  string // empty: there is none that can be read here
	since time.Time
}

// begins says from when on the log was read, if that is not the time that was asked for.
func (l logSource) begins(asked time.Time) (at time.Time, later bool) {
	const tick = time.Second // of a log file's times
	return l.since, l.since.After(asked.Add(tick))
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
		begin := journalBegins()
		any, err := journal(since, refusedOnly, more)
		if err == nil {
			found = logSource{"the journal", latest(begin)}
		}
		if any {
			return found
		}
	}
	// where the journal has nothing at all, it may be that nothing is written to it
	for _, path := range logFiles {
		if absent(path) {
			continue
		}
		if begin, err := logFile(path, since, refusedOnly, more); err == nil {
			return logSource{path, latest(begin)}
		}
	}
	return found
}

// journalBegins is the time of the journal's first entry; now where there is none.
func journalBegins() time.Time {
	cmd := exec.Command("journalctl", "--quiet", "--no-pager", "--system", "--output=json", "--output-fields=MESSAGE")
	out, err := cmd.StdoutPipe()
	if err != nil || cmd.Start() != nil {
		return time.Now()
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	at, known := time.Time{}, false
	for !known && lines.Scan() {
		at, known = modulelog.JournalTime(lines.Bytes())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if !known {
		return time.Now()
	}
	return at
}

// journal reads the journal backwards; any: it has something of that time, be it of
// the module or not.
func journal(since time.Time, refusedOnly bool, more func(modulelog.Entry) bool) (any bool, err error) {
	const authpriv = "SYSLOG_FACILITY=10"
	args := []string{"--quiet", "--no-pager", "--reverse", "--output=json", "--output-fields=MESSAGE", fmt.Sprintf("--since=@%d", since.Unix()), authpriv}
	if refusedOnly {
		args = append(args, "PRIORITY=1", "PRIORITY=3") // an alert: a rescue; an error: a refusal
	}
	cmd := exec.Command("journalctl", args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, err
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	stopped := false
	for !stopped && lines.Scan() {
		any = true
		e, ok := modulelog.Journal(lines.Bytes())
		stopped = ok && wanted(e, since, refusedOnly) && !more(e)
	}
	if stopped || lines.Err() != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return any, lines.Err()
	}
	return any, cmd.Wait()
}

func wanted(e modulelog.Entry, since time.Time, refusedOnly bool) bool {
	return !e.At.Before(since) && (!refusedOnly || e.Kind != modulelog.Opened)
}

// logFile reads the end of a file backwards. It returns the time of the first line that
// it has read, now where it has read none.
func logFile(path string, since time.Time, refusedOnly bool, more func(modulelog.Entry) bool) (begin time.Time, err error) {
	f, err := os.Open(path)
	if err != nil {
		return begin, err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = f.Seek(max(0, size-logTail), io.SeekStart)
	}
	if err != nil {
		return begin, err
	}
	text, err := io.ReadAll(io.LimitReader(f, logTail))
	if err != nil {
		return begin, err
	}
	now := time.Now()
	begin = now
	for line := range bytes.Lines(text) { // the first may be the rest of one
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
			return begin, nil
		}
	}
	return begin, nil
}
