// Package serve has workers ready before a session opens: processes in which Go
// runs already, each of which holds the conversation of a forked worker with one host
// after the other. A host that is not served forks, so that nothing depends on this.
package serve

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"pam_polyinst/internal/kernel/lsm"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/peer"
	"pam_polyinst/internal/kernel/self"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/promise"
	"pam_polyinst/internal/session"
)

// The descriptors that a worker is started with.
const (
	listenerFD = 3
	endFD      = 4 // a pipe: its other end is closed when the worker is to end
	newsFD     = 5 // a pipe: the worker writes to it what it says
	endsFD     = 6 // the service is told by it of namespaces that have ended
)

// What a worker says to the pool.
const (
	hasBegun = 'b'
	isBusy   = 'l' // its conversation takes long
)

// most is how many conversations a worker holds before another one replaces it.
const most = 256

// patience is how many milliseconds a host that was greeted may take to ask.
const patience = 100

// grace is how long the worker outlives what the host was told, in milliseconds:
// GRACE_MS of edge.h.
const grace = 1_000

// long is from when on a conversation takes long, in milliseconds: its host, or
// another session that it waits for, is stopped or slow, or its user has left very much
// to look at. Another worker is started then, so that nobody can take all of them, and
// this one is ahead of nobody's programs any more, and ends after it.
const long = 100

type worker struct {
	news  *os.File
	ends  mountfd.Ends
	busy  atomic.Bool
	door  peer.Door
	watch *self.Watch
	base  *self.Base
	own   peer.Own
}

// Work serves one host after the other until it is told to end, has served its
// share, or is not as it was any more; why it ends is an error only then. The
// caller has locked the main goroutine to its thread when the program started.
func Work() error {
	w, err := begin()
	if err != nil {
		return err
	}
	for n := 0; n < most && !w.busy.Load(); n++ {
		host, more, err := w.door.Next()
		if err != nil || !more {
			return err
		}
		if err := w.serve(host); err != nil {
			return err
		}
	}
	return nil
}

func begin() (*worker, error) {
	if wire.Build == "" {
		return nil, errors.New("this polyinst does not know of which build it is")
	}
	listener, err := peer.Inherited(listenerFD)
	if err != nil {
		return nil, err
	}
	w := &worker{news: os.NewFile(newsFD, "news"), ends: mountfd.InheritedEnds(endsFD)}
	if w.door, err = peer.NewDoor(listener, endFD); err != nil {
		return nil, err
	}
	if w.watch, err = self.NewWatch(w.takesLong); err != nil {
		return nil, err
	}
	// once through what each session goes through: the first host finds it warm, and
	// what a directory service keeps open is there when it is noted
	_, _ = promise.Ask(promise.Question{User: "root", Service: "polyinst", Host: lsm.Own(), Context: observe.CurrentContext})
	_, _ = observe.Machine(false) // random numbers are the first thing for which Go has a timer, and its descriptors
	if w.own, err = peer.NewOwn(); err != nil {
		return nil, err
	}
	if w.base, err = self.Note(); err == nil {
		_, err = w.news.Write([]byte{hasBegun})
	}
	return w, err
}

func (w *worker) takesLong() {
	if !w.busy.Swap(true) {
		_ = w.base.Unhurried() // a user may have chosen how much there is to do
		_, _ = w.news.Write([]byte{isBusy})
	}
}

// serve holds one conversation. An error says that this process is not as it was
// before, or cannot be sure; it ends then, and another one replaces it.
func (w *worker) serve(host *peer.Host) error {
	defer host.Close()
	host.Told = w.ends
	var later []func()
	entered, ended := w.converse(host, &later)
	if entered {
		if err := w.base.Return(); err != nil {
			return fmt.Errorf("there is no way back: %w", err)
		}
	}
	host.Close() // the host waits for this: nothing is held for it any more
	for _, f := range later {
		f()
	}
	err := errors.Join(w.watch.Long(0), w.watch.Within(0), ended)
	changed := w.base.Changed()
	if !w.busy.Load() { // by now: else it is not as it was, and ends
		err = errors.Join(err, changed)
	}
	if err != nil {
		return fmt.Errorf("after process %d: %w", host.PID(), err)
	}
	return nil
}

// converse reports whether this process has left its place; ended is why it cannot
// go on. A host that is rejected is told why, and forks.
func (w *worker) converse(h *peer.Host, later *[]func()) (entered bool, ended error) {
	conn := wire.New(h.FD())
	if err := h.Greet(wire.Hello, wire.Build); err != nil {
		return false, nil // it is nobody to talk to, or has gone
	}
	raw, err := h.Question(patience)
	if err != nil {
		return false, nil
	}
	request, err := wire.ParseRequest(raw)
	if err == nil && request.Build != wire.Build {
		err = errors.New("the ready worker is of another build")
	}
	if err == nil {
		err = h.Judge(peer.Claim{PID: request.HostPID, TID: request.HostThread, RealUID: request.HostUID, NS: request.HostNS, Exec: request.Exec}, w.own)
	}
	if err == nil && request.InPlace {
		err = errors.New("the host has unshared itself")
	}
	if err == nil && request.Back != (h.BackFD() >= 0) {
		err = errors.New("the way back is missing")
	}
	if err != nil {
		conn.Why(err.Error())
		return false, nil
	}
	// from here on this process ends with the host, and with its time
	line := &line{Conn: conn, w: w, host: h, later: later}
	if err := errors.Join(w.watch.Within(wire.FirstDeadline+grace), w.watch.Long(long), w.watch.For(h.FD(), h.Process())); err != nil {
		return false, err
	}
	if err = h.Enter(); err == nil {
		if path := w.base.OtherSources(); path != "" {
			err = fmt.Errorf("%s is another one than this worker began with", path)
			ended = err
		}
	}
	if err != nil {
		w.watch.No(h.FD(), h.Process())
		conn.Why(err.Error())
		return true, ended
	}
	request.BackFD = h.BackFD()
	if request.Open {
		session.Open(request, line, h)
	} else { // it removes what the user has left, however much that is
		line.err = errors.Join(line.err, w.base.Unhurried())
		session.Close(request, line, h)
		line.Retake()
	}
	line.settle()
	return true, line.err
}

// line is the line to the host.
type line struct {
	wire.Conn
	w       *worker
	host    *peer.Host
	later   *[]func()
	settled bool
	err     error
}

// Later has something done when the host has gone on.
func (l *line) Later(f func()) { *l.later = append(*l.later, f) }

// Deadline holds for this process too.
func (l *line) Deadline(ms uint32) {
	l.err = errors.Join(l.err, l.w.watch.Within(ms+grace))
	l.Conn.Deadline(ms)
}

// Retake puts this process in order again.
func (l *line) Retake() {
	l.err = errors.Join(l.err, l.w.base.Retake())
	if l.w.busy.Load() {
		l.err = errors.Join(l.err, l.w.base.Unhurried())
	}
}

// settle lets this process outlive the host from now on: the host may have its answer
// and end.
func (l *line) settle() {
	if !l.settled {
		l.settled = true
		l.w.watch.No(l.host.FD(), l.host.Process())
	}
}

// Report sends the answer.
func (l *line) Report(r wire.Report) error {
	l.settle()
	return l.Conn.Report(r)
}
