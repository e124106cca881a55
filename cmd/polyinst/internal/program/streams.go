package program

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"golang.org/x/term"
)

// Streams are what a program of another account has for standard input, output
// and error. Nothing that this process was given is among them: who holds a
// descriptor of root's terminal reads what root types there long after the
// program's end (pidfd_getfd(2)), or types there themselves (TIOCSTI). Where root
// has a terminal for input and output, the program gets a new one of its own,
// otherwise pipes; what passes is copied from one to the other.
type Streams struct {
	theirs [3]*os.File // the program's
	flows  []*flow
	pty    *Pty  // nil: pipes
	lost   error // why something for our standard output was not written
}

// Lost is why something that the program has written for our standard output was not
// written there; nil: all was.
func (s *Streams) Lost() error { return s.lost }

// flow is one direction of the copying.
type flow struct {
	from, to int
	output   bool   // from the program to us
	pending  []byte // read and not written yet
	ended    bool
}

// most is how much is copied at a time: a pipe that poll(2) calls writable takes
// so much at once (pipe(7), PIPE_BUF).
const most = 4096

// NewStreams makes what the program will have. It is called before the view is
// another, which may have another /dev. Without interactive the program reads
// nothing and has no terminal.
func NewStreams(interactive bool) (*Streams, error) {
	s := &Streams{}
	err := s.open(interactive)
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Streams) open(interactive bool) error {
	if interactive && term.IsTerminal(0) && term.IsTerminal(1) {
		pty, err := OpenPty()
		if err != nil {
			return err
		}
		s.pty = &pty
		if err := pty.LikeOwn(0); err != nil {
			return fmt.Errorf("new terminal: %w", err)
		}
		s.theirs[0], s.theirs[1] = pty.Slave, pty.Slave
		s.flows = append(s.flows, &flow{from: 0, to: pty.Master}, &flow{from: pty.Master, to: 1, output: true})
		if term.IsTerminal(2) {
			s.theirs[2] = pty.Slave
		}
	}
	for fd := range s.theirs {
		if s.theirs[fd] != nil {
			continue
		}
		if err := s.pipe(fd, interactive); err != nil {
			return err
		}
	}
	return nil
}

// pipe gives the program a pipe for a stream.
func (s *Streams) pipe(fd int, interactive bool) error {
	if fd == 0 && !interactive {
		null, err := os.Open(os.DevNull)
		s.theirs[0] = null
		return err
	}
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	theirs, ours := ends[1], ends[0]
	f := &flow{from: ours, to: fd, output: true}
	if fd == 0 {
		theirs, ours = ours, theirs
		f = &flow{from: 0, to: ours}
	}
	s.theirs[fd] = os.NewFile(uintptr(theirs), "pipe")
	s.flows = append(s.flows, f)
	return unix.SetNonblock(ours, true)
}

// Close closes what the program got, and our ends of it: whoever still holds a
// terminal from here is hung up.
func (s *Streams) Close() {
	s.closeTheirs()
	if s.pty != nil {
		_ = unix.Close(s.pty.Master)
	}
	for _, f := range s.flows {
		if f.ours() > 2 && (s.pty == nil || f.ours() != s.pty.Master) && !f.ended {
			_ = unix.Close(f.ours())
		}
	}
	s.flows, s.pty = nil, nil
}

func (s *Streams) closeTheirs() {
	for i, f := range s.theirs {
		if f != nil {
			_ = f.Close() // the second close of the slave is an error and nothing else
		}
		s.theirs[i] = nil
	}
}

// ours is our end of a pipe or terminal of the program's.
func (f *flow) ours() int {
	if f.output {
		return f.from
	}
	return f.to
}

// end stops a direction. Of a pipe the program is told so.
func (s *Streams) end(f *flow) {
	if f.ended {
		return
	}
	f.ended = true
	if s.pty == nil || f.ours() != s.pty.Master {
		_ = unix.Close(f.ours())
	}
}

// give makes the streams the command's.
func (s *Streams) give(uid int, attr *syscall.SysProcAttr) error {
	attr.Setsid = true // nothing of root's session, and so of its terminal by /dev/tty
	if s.pty == nil {
		return nil
	}
	attr.Setctty, attr.Ctty = true, 0
	// as login(1) does: many programs open their terminal by its name
	return s.pty.Slave.Chown(uid, -1)
}

// caught are the signals that would end this process, or say that its terminal
// has another size, from here on.
func caught() chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGWINCH)
	return signals
}

// copy copies until the process ends and its output is written. Signals that
// would end this process go to the program instead, so that the session is
// closed and the terminal as before in any case.
func (s *Streams) copy(pid, pidfd int, signals chan os.Signal) error {
	s.closeTheirs()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.pass(signals, pid)
	}()
	defer func() {
		signal.Stop(signals)
		close(signals)
		<-done // no signal to a number that may be another's by now
	}()
	for {
		ended, err := s.round(pidfd)
		if err != nil {
			return err
		}
		if ended {
			s.drain()
			return nil
		}
	}
}

// pass hands signals on to the program's process group. One that ignores the
// first request to end gets no second one.
func (s *Streams) pass(signals <-chan os.Signal, pid int) {
	asked := false
	for got := range signals {
		if got == unix.SIGWINCH {
			if s.pty != nil {
				_ = s.pty.Resize(0)
			}
			continue
		}
		number := got.(syscall.Signal)
		if number == unix.SIGTERM || number == unix.SIGHUP {
			if asked {
				number = unix.SIGKILL
			}
			asked = true
		}
		_ = unix.Kill(-pid, number)
	}
}

// round waits until something can be copied, and does so once.
func (s *Streams) round(pidfd int) (ended bool, err error) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	var asked []*flow
	for _, f := range s.flows {
		switch {
		case f.ended:
			continue
		case len(f.pending) > 0:
			fds = append(fds, unix.PollFd{Fd: int32(f.to), Events: unix.POLLOUT})
		default:
			fds = append(fds, unix.PollFd{Fd: int32(f.from), Events: unix.POLLIN})
		}
		asked = append(asked, f)
	}
	if _, err := unix.Poll(fds, -1); err != nil {
		if errors.Is(err, unix.EINTR) {
			return false, nil
		}
		return false, fmt.Errorf("poll: %w", err)
	}
	for i, f := range asked {
		switch {
		case fds[i+1].Revents == 0:
		case len(f.pending) > 0:
			s.write(f)
		default:
			s.read(f)
		}
	}
	return fds[0].Revents != 0, nil
}

// read reads what there is; false: nothing.
func (s *Streams) read(f *flow) bool {
	buf := make([]byte, most)
	n, err := unix.Read(f.from, buf)
	switch {
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		return false
	case err != nil || n == 0: // EIO: nobody has the terminal open any more
		s.end(f)
		return false
	}
	f.pending = buf[:n]
	return true
}

func (s *Streams) write(f *flow) {
	n, err := unix.Write(f.to, f.pending)
	switch {
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
	case err != nil:
		if f.output && f.to == 1 && s.lost == nil {
			s.lost = err
		}
		s.end(f)
		f.pending = nil
	default:
		f.pending = f.pending[n:]
	}
}

// lastWords is how much output is taken when the program has ended: what a pipe
// can hold. Others that it has left behind may write for ever.
const lastWords = 1 << 20

// drain writes what the program has put out before its end.
func (s *Streams) drain() {
	for _, f := range s.flows {
		for total := 0; f.output && !f.ended && total < lastWords; total += len(f.pending) {
			for len(f.pending) > 0 && !f.ended {
				// our output may be one that does not block
				_, _ = unix.Poll([]unix.PollFd{{Fd: int32(f.to), Events: unix.POLLOUT}}, -1)
				s.write(f)
			}
			if f.ended || !s.read(f) {
				break
			}
		}
	}
}
