package host

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Patience is how long the harness waits for an event before the story fails.
const Patience = 10 * time.Second

// Line is one message to syslog.
type Line struct {
	Severity int    // 3 error, 4 warning, 5 notice, 6 info, 7 debug
	Facility int    // 10 authpriv
	Tag      string // the program
	Text     string // "pam_polyinst(su:session): ..." in a module's message
}

// String is the line as a log file would show it.
func (l Line) String() string { return fmt.Sprintf("<%d> %s: %s", l.Severity, l.Tag, l.Text) }

// syslog is the host's log service, in this process.
type syslog struct {
	mu      sync.Mutex
	changed *sync.Cond
	lines   []Line
	begun   []Line // all lines, also those that the story has forgotten
	flushes int    // markers that came back
	sent    int    // markers sent
}

const flushMark = "polyinst-tests-flush"

func listenSyslog() (*syslog, error) {
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "/dev/log", Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod("/dev/log", 0o666); err != nil {
		return nil, err
	}
	s := &syslog{}
	s.changed = sync.NewCond(&s.mu)
	go s.collect(conn)
	return s, nil
}

func (s *syslog) collect(conn *net.UnixConn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		text := string(buffer[:n])
		s.mu.Lock()
		if text == flushMark {
			s.flushes++
		} else {
			l := parseLine(text)
			s.begun = append(s.begun, l)
			if l.Tag != agreeTag { // which no story knows of
				s.lines = append(s.lines, l)
			}
		}
		s.changed.Broadcast()
		s.mu.Unlock()
	}
}

// What syslog(3) sends: "<86>Nov 23 20:00:00 su[23]: text".
var sent = regexp.MustCompile(`(?s)^<(\d+)>(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d )?([^:\[]*)(?:\[\d+\])?: ?(.*)$`)

func parseLine(raw string) Line {
	raw = strings.TrimRight(raw, "\n\x00")
	m := sent.FindStringSubmatch(raw)
	if m == nil {
		return Line{Severity: -1, Text: raw}
	}
	priority := 0
	_, _ = fmt.Sscan(m[1], &priority)
	return Line{Severity: priority & 7, Facility: priority >> 3, Tag: m[2], Text: m[3]}
}

// all returns the messages that were sent before the call.
func (s *syslog) all() []Line {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent++
	// The socket keeps the order: when the mark is back, so is all before it.
	if conn, err := net.Dial("unixgram", "/dev/log"); err == nil {
		_, err = conn.Write([]byte(flushMark))
		_ = conn.Close()
		for mark := s.sent; err == nil && s.flushes < mark; {
			s.changed.Wait()
		}
	}
	return append([]Line(nil), s.lines...)
}

// whole is all that was sent, also what the story has forgotten.
func (s *syslog) whole() []Line {
	_ = s.all()
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Line(nil), s.begun...)
}

func (s *syslog) text() string {
	var b strings.Builder
	for _, l := range s.all() {
		b.WriteString(l.String() + "\n")
	}
	return b.String()
}

// wait returns the first message from index on that matches.
func (s *syslog) wait(from int, pattern *regexp.Regexp, patience time.Duration) (Line, bool) {
	late := false
	timer := time.AfterFunc(patience, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.changed.Broadcast()
	})
	defer timer.Stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := from; ; {
		for ; i < len(s.lines); i++ {
			if pattern.MatchString(s.lines[i].String()) {
				return s.lines[i], true
			}
		}
		if late {
			return Line{}, false
		}
		s.changed.Wait()
	}
}

// Syslog is everything that was logged before the call.
func (h *Host) Syslog() []Line { return h.syslog.all() }

// ModuleLog is what the module logged: its lines, in order.
func (h *Host) ModuleLog() []Line {
	var found []Line
	for _, l := range h.Syslog() {
		if strings.HasPrefix(l.Text, "pam_polyinst(") {
			found = append(found, l)
		}
	}
	return found
}

// ForgetLog empties the log, so that a story looks at its next step only.
func (h *Host) ForgetLog() {
	h.note("--- syslog so far\n%s", h.syslog.text())
	h.syslog.mu.Lock()
	defer h.syslog.mu.Unlock()
	h.syslog.lines = nil
}

// WaitLog waits for a message that matches, which may have come already. It is
// compared with "<severity> tag: text".
func (h *Host) WaitLog(pattern string) Line {
	h.T.Helper()
	l, ok := h.syslog.wait(0, regexp.MustCompile(pattern), Patience)
	if !ok {
		h.T.Fatalf("nothing that matches %q was logged within %v", pattern, Patience)
	}
	return l
}
