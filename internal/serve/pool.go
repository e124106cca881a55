package serve

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"time"

	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/kernel/mountfd"
	"pam_polyinst/internal/kernel/peer"
	"pam_polyinst/internal/kernel/self"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/sessions/record"
)

// environment is that of a worker, like a forked one's (worker.c): nothing of whoever
// has started the service. A worker lives long, so that its garbage is collected.
var environment = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=", "GOMAXPROCS=2", "GOTRACEBACK=none",
	"GODEBUG=asyncpreemptoff=1,containermaxprocs=0,updatemaxprocs=0"}

// WorkerCommand is the word by which the command becomes a worker.
const WorkerCommand = "serve-worker"

// queuePerWorker is how many hosts may wait for each worker: what it serves in the
// time that they wait for (HELLO_TRIES of edge.h).
const queuePerWorker = 8

// besides is how many workers, for each of those that there are to be, may be busy
// for long besides.
const besides = 8

// pause is how long it is waited before a worker that could not begin is started
// again.
const pause = time.Second

// Workers is how many there are by default: two to four, by the processors.
func Workers() int { return min(max(runtime.NumCPU(), 2), 4) }

// Pool is the service: it has the socket, and starts workers.
type Pool struct {
	Workers    int
	Foreground bool // it makes and removes the socket itself
	Log        io.Writer

	socket  *os.File
	ends    *os.File
	program string
	now     *generation
	running int // workers of all generations
	news    chan news
}

// generation are workers that were started by one and the same program, and are told
// to end together: end is closed then.
type generation struct {
	end, read  *os.File
	free, busy int // those that take hosts, and those that have had one for long
}

// news is that a worker has ended, or is busy.
type news struct {
	of    *generation
	busy  bool // it goes on, and takes no other host
	was   bool // it has ended, and was busy
	begun bool // it had taken hosts
	err   error
	said  string
}

// May says why no worker may serve where this process is.
func May() error { return self.MayServe() }

// Run serves until it is told to end, and returns when the last conversation is
// over.
func (p *Pool) Run() error {
	if err := p.open(); err != nil {
		return err
	}
	if p.Foreground {
		defer peer.Remove(wire.ReadySocket)
	}
	stop, renew := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(stop, peer.Stops...)
	signal.Notify(renew, peer.Renews...)
	p.news = make(chan news, 64)
	go p.tidy()
	if err := p.renew(); err != nil {
		return err
	}
	var again <-chan time.Time
	for p.running > 0 || again != nil {
		select {
		case <-stop:
			again, renew = nil, nil // nobody is started any more
			p.retire()              // those in a conversation finish it
		case <-renew:
			if err := p.renew(); err != nil {
				return err
			}
		case <-again:
			again = nil
			p.fill()
		case n := <-p.news:
			p.heed(n)
			switch {
			case n.err != nil && !n.begun && p.now != nil:
				again = time.After(pause)
			case again == nil:
				p.fill()
			}
		}
	}
	return nil
}

// retire tells the present generation to end.
func (p *Pool) retire() {
	if p.now != nil {
		_, _ = p.now.end.Close(), p.now.read.Close()
	}
	p.now = nil
}

// renew begins a generation.
func (p *Pool) renew() error {
	read, end, err := os.Pipe()
	if err != nil {
		return err
	}
	p.retire()
	p.now = &generation{end: end, read: read}
	p.fill()
	return nil
}

// fill starts workers of the present generation until there are enough that take
// hosts.
func (p *Pool) fill() {
	for p.now != nil && p.now.free < p.Workers && p.now.busy <= p.Workers*besides {
		p.start(p.now)
	}
}

func (p *Pool) heed(n news) {
	switch {
	case n.busy:
		n.of.free--
		n.of.busy++
		return
	case n.was:
		n.of.busy--
	default:
		n.of.free--
	}
	p.running--
	if n.err != nil {
		p.say("a worker has ended: %v: %s", n.err, strings.TrimSpace(n.said))
	}
}

func (p *Pool) open() error {
	var err error
	if wire.Build == "" {
		return errors.New("this polyinst does not know of which build it is, and no module would take it for its own")
	}
	if err := May(); err != nil {
		return err
	}
	listener, kept, there, err := peer.Activation()
	ends := mountfd.InheritedEnds(kept)
	if kept < 0 {
		var err error
		if ends, err = mountfd.NewEnds(); err != nil {
			return err
		}
		if err := peer.Store(ends.FD()); err != nil {
			p.say("tmpdirs of sessions that are open at the next restart wait for gc: %v", err)
		}
	}
	p.ends = os.NewFile(uintptr(ends.FD()), "ends")
	switch {
	case p.Foreground:
		// the directory is root's, as it is for the records
		store, err := record.Open()
		if err != nil {
			return err
		}
		store.Close()
		if listener, err = peer.Listen(wire.ReadySocket, p.Workers*queuePerWorker); err != nil {
			return err
		}
	case err != nil:
		return err
	case !there:
		return errors.New("no socket was handed over: `systemctl start polyinst.socket` starts this, or say --foreground")
	}
	p.socket = os.NewFile(uintptr(listener.FD()), wire.ReadySocket)
	p.program, err = os.Executable()
	return err
}

// again is after how many milliseconds it is looked once more for what has ended: the
// kernel lets go of a namespace after its mounts, and whether another one shows an
// instance cannot be told at each moment.
var again = []int{20, 200, 2_000, 20_000}

// restShare is how many times as long as it has looked it rests then, so that no user
// has it look all the time.
const restShare = 10

// tidy removes the tmpdir instances of namespaces that have ended, whenever some have,
// and those that ended while nobody was told.
func (p *Pool) tidy() {
	runtime.LockOSThread()
	if err := self.Unhurried(); err != nil { // users choose how much there is to remove
		p.say("%v", err)
	}
	ends := mountfd.InheritedEnds(int(p.ends.Fd()))
	var tidying gc.Tidying
	for n := 0; ; n++ {
		looked, more, errs := tidying.Ended()
		for _, err := range errs {
			p.say("tmpdir instances wait for gc: %v", err)
		}
		time.Sleep(restShare * looked)
		wait := -1
		switch {
		case more:
			wait, n = 0, -1
		case n < len(again):
			wait = again[n]
		}
		some, err := ends.Wait(wait)
		if err != nil {
			p.say("tmpdir instances wait for gc: %v", err)
			return
		}
		if some {
			n = -1
		}
	}
}

// say writes one line, whatever names of a user's are in it.
func (p *Pool) say(format string, args ...any) {
	fmt.Fprintf(p.Log, "polyinst: %s\n", wire.Clip(fmt.Sprintf(format, args...)))
}

// start starts a worker. It is the program that the path has now: after an upgrade
// the new one.
func (p *Pool) start(of *generation) {
	p.running++
	of.free++
	var said strings.Builder
	cmd := exec.Command(p.program, WorkerCommand)
	cmd.Env, cmd.Dir, cmd.Stderr = environment, "/", &said
	cmd.SysProcAttr = peer.Apart()
	read, write, err := os.Pipe()
	if err == nil {
		cmd.ExtraFiles = []*os.File{p.socket, of.read, write, p.ends}
		err = peer.Lately(cmd.Start)
		_ = write.Close()
	}
	go func() {
		n := news{of: of}
		if err == nil {
			var says [1]byte
			for {
				if got, _ := read.Read(says[:]); got == 0 { // it has ended
					break
				}
				n.begun = true
				if says[0] == isBusy && !n.was {
					n.was = true
					p.news <- news{of: of, busy: true}
				}
			}
			err = cmd.Wait()
		}
		_ = read.Close()
		n.err, n.said = err, said.String()
		p.news <- n
	}()
}
