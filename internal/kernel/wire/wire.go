// Package wire is the worker's line to the host process: the messages that
// wire.h lists, each one packet of a SOCK_SEQPACKET socket, and the host's
// question.
//
// It is one of the kernel packages, which alone make system calls.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/mntns"
)

// Build names the sources and paths that this program was built of; the module has
// the same, if both are of one `make build`. Empty: it was built in another way.
var Build string

// ReadySocket is where the ready workers listen.
const ReadySocket = "/run/polyinst/serve.sock"

// FirstDeadline is that of a conversation until the worker has set another, in
// milliseconds: DEADLINE_MS of edge.h.
const FirstDeadline = 30_000

// Hello is the type of the first message, by which a ready worker greets.
const Hello = hello

// textMax keeps a message below MESSAGE_MAX of wire.h.
const textMax = 4000

// The messages of the worker: the first byte of a packet.
const (
	hello     = 'H' // sent before Go starts
	deadline  = 'D'
	logLine   = 'L'
	tell      = 'U'
	mounted   = 'M'
	elsewhere = 'E'
	report    = 'R'
	cannot    = 'X'
)

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
	// Refused is PAM_PERM_DENIED, as of pam_limits: after PAM_SESSION_ERR sudo(8)
	// runs the command all the same, in the view that it is in.
	Refused Code = 6
)

// Action is what a report asks of the host.
type Action byte

// The values of Action.
const (
	Stay         Action = '-' // change nothing
	StayHome     Action = '1' // change nothing, and succeed only in the view of process 1
	Join         Action = 'J' // join the worker's namespaces
	JoinKeepBack Action = 'K' // the same, and keep a descriptor of the way back until close
	InPlace      Action = 'V' // the view stands in the host's own new namespace
	RetryInPlace Action = 'P' // nothing was made: call again, built in place
)

// Conn is the socket to the host.
type Conn struct{ fd int }

// New makes a Conn of the descriptor that the worker was started with.
func New(fd int) Conn { return Conn{fd} }

func (c Conn) send(packet, control []byte) error { return c.sendFlags(packet, control, 0) }

func (c Conn) sendFlags(packet, control []byte, flags int) error {
	for {
		if err := unix.Sendmsg(c.fd, packet, control, nil, unix.MSG_NOSIGNAL|flags); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Log sends a line for the system log.
func (c Conn) Log(p Priority, text string) {
	_ = c.send(append([]byte{logLine, byte(p)}, Clip(text)...), nil)
}

// Tell sends a line for the user; the last one counts.
func (c Conn) Tell(text string) {
	_ = c.send(append([]byte{tell}, Clip(text)...), nil)
}

// Deadline sets when the host gives up, in milliseconds from now.
func (c Conn) Deadline(ms uint32) {
	_ = c.send(binary.NativeEndian.AppendUint32([]byte{deadline}, ms), nil)
}

// Elsewhere hands over the directory in which the host is to stand should it not
// be able to enter its working directory.
func (c Conn) Elsewhere(d dirfd.Dir) {
	_ = c.send([]byte{elsewhere}, unix.UnixRights(d.FD()))
}

// Why says why there will be no session with private directories; it is logged
// where the host rejects a report of StayHome.
func (c Conn) Why(text string) { _ = c.send(append([]byte{cannot}, Clip(text)...), nil) }

// Mounted hands a mount to the host, which detaches it should this process end
// without an answer. It does not wait for a host that does not read: somebody
// may have stopped it, and locks are held.
func (c Conn) Mounted(m dirfd.Dir) error {
	if err := c.sendFlags([]byte{mounted}, unix.UnixRights(m.FD()), unix.MSG_DONTWAIT); err != nil {
		return fmt.Errorf("the host does not listen: %w", err)
	}
	return nil
}

// MountsMax is how many mounts the host takes.
const MountsMax = 64

// Report is the answer to the host's question.
type Report struct {
	Action    Action
	Code      Code
	NSTypes   mntns.Kinds // what to join
	Priority  Priority
	Counts    bool      // the session stands in a view of ours: the host counts it as open
	SkipClose bool      // nothing will have to be done when it closes, so that the host need not ask
	GoesOn    bool      // nothing depends on when this process has let go, so that the host need not wait
	Text      string    // a log line; empty: none
	Cwd       dirfd.Dir // the working directory in the new view
}

// packet is the report as wire.h has it, and the text.
func (r Report) packet() []byte {
	packet := []byte{report, byte(r.Action), byte(r.Code), byte(r.Priority) | bit(r.Counts, counts) | bit(r.SkipClose, skipClose) | bit(r.GoesOn, goesOn)}
	packet = binary.NativeEndian.AppendUint32(packet, uint32(r.NSTypes))
	return append(packet, Clip(r.Text)...)
}

// The flags of a report, beside the priority.
const (
	counts    = 8
	skipClose = 16
	goesOn    = 32
)

func bit(set bool, of byte) byte {
	if set {
		return of
	}
	return 0
}

// Report sends the answer. Where the host has something to do or to look at, it
// returns only when the host has said how that went. An error says that the host
// does not stand in the new view: what was made is undone then. nil: it does, or that
// is not known.
func (c Conn) Report(r Report) error {
	var control []byte
	if r.Cwd.IsOpen() {
		control = unix.UnixRights(r.Cwd.FD())
	}
	if err := c.send(r.packet(), control); err != nil {
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

// Clip makes one line of a text: control characters, which could forge a line
// of the log, become "?".
func Clip(text string) string {
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
