// Package hostconn is the worker's line to the host process: the messages that
// module.c understands, each one packet of a SOCK_SEQPACKET socket.
//
// It is one of the kernel packages, which alone make system calls.
package hostconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/mntns"
)

// textMax keeps a message below MESSAGE_MAX of module.c.
const textMax = 4000

// Priority is the priority of a log line, as syslog(3) numbers them.
type Priority byte

// The priorities in use.
const (
	Alert   Priority = 1
	Err     Priority = 3
	Warning Priority = 4
	Info    Priority = 6
	Debug   Priority = 7
)

// Code is a PAM return code (pam(3)).
type Code byte

// The codes in use.
const (
	Success     Code = 0
	UserUnknown Code = 10
	SessionErr  Code = 14
)

// Action is what a report asks of the host.
type Action byte

// The values of Action.
const (
	Stay         Action = '-' // change nothing
	Join         Action = 'J' // join the worker's namespaces
	JoinKeepBack Action = 'K' // the same, and keep a descriptor of the way back until close
	InPlace      Action = 'V' // the view stands in the host's own new namespace
	RetryInPlace Action = 'P' // nothing was made: call again, built in place
)

// Conn is the socket to the host.
type Conn struct{ fd int }

// New makes a Conn of the descriptor that the worker was started with.
func New(fd int) Conn { return Conn{fd} }

func (c Conn) send(packet, control []byte) error {
	for {
		if err := unix.Sendmsg(c.fd, packet, control, nil, unix.MSG_NOSIGNAL); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Log sends a line for the system log.
func (c Conn) Log(p Priority, text string) {
	_ = c.send(append([]byte{'L', byte(p)}, clip(text)...), nil)
}

// Tell sends a line for the user; the last one counts.
func (c Conn) Tell(text string) {
	_ = c.send(append([]byte{'U'}, clip(text)...), nil)
}

// Deadline sets when the host gives up, in milliseconds from now.
func (c Conn) Deadline(ms uint32) {
	_ = c.send(binary.NativeEndian.AppendUint32([]byte{'D'}, ms), nil)
}

// Counts says that the session stands in a view of ours, so that the host counts
// it as open.
func (c Conn) Counts() { _ = c.send([]byte{'N'}, nil) }

// QuietClose says that nothing will have to be done when the session closes, so
// that the host need not ask.
func (c Conn) QuietClose() { _ = c.send([]byte{'Q'}, nil) }

// Mounted hands a mount to the host, which detaches it should this process end
// without an answer.
func (c Conn) Mounted(m dirfd.Dir) {
	_ = c.send([]byte{'M'}, unix.UnixRights(m.FD()))
}

// MountsMax is how many mounts the host takes.
const MountsMax = 64

// Report is the answer to the host's question.
type Report struct {
	Action   Action
	Code     Code
	NSTypes  mntns.Kinds // what to join
	Priority Priority
	Text     string    // a log line; empty: none
	Cwd      dirfd.Dir // the working directory in the new view
}

// Report sends the answer. For a join and InPlace it returns only when the host
// has said how that went: nil if it stands in the new view, or may do so. An
// error is returned only where it does not, because what was made is undone then.
func (c Conn) Report(r Report) error {
	packet := []byte{'R', byte(r.Action), byte(r.Code), byte(r.Priority)}
	packet = binary.NativeEndian.AppendUint32(packet, uint32(r.NSTypes))
	packet = append(packet, clip(r.Text)...)
	var control []byte
	if r.Cwd.IsOpen() {
		control = unix.UnixRights(r.Cwd.FD())
	}
	if err := c.send(packet, control); err != nil {
		return fmt.Errorf("the host does not listen: %w", err)
	}
	if r.Action == Stay || r.Action == RetryInPlace {
		return nil
	}
	var word [4]byte
	for {
		n, err := unix.Read(c.fd, word[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECONNRESET):
			return fmt.Errorf("the host did not read the answer: %w", err)
		case err != nil, n < len(word):
			// it may have joined before it ended, or could not say that it did;
			// what nobody uses is removed by gc
			return nil
		}
		if errno := unix.Errno(binary.NativeEndian.Uint32(word[:])); errno != 0 {
			return fmt.Errorf("the host cannot join: %w", errno)
		}
		return nil
	}
}

// BackFD is the descriptor of the way back in a worker that was given one.
const BackFD = 4

// clip makes one line of a text: control characters, which could forge a line
// of the log, become "?".
func clip(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || 0x80 <= r && r < 0xa0 || r == 0x2028 || r == 0x2029 {
			return '?'
		}
		return r
	}, text)
	if len(text) > textMax {
		text = text[:textMax] + " (cut)"
	}
	return text
}

// ParseRequest splits the host's question: strings "key=value", each with its
// NUL. Keys may repeat.
func ParseRequest(raw []byte) map[string][]string {
	out := map[string][]string{}
	for field := range strings.SplitSeq(string(raw), "\x00") {
		if key, value, ok := strings.Cut(field, "="); ok {
			out[key] = append(out[key], value)
		}
	}
	return out
}
