package serve

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"pam_polyinst/internal/kernel/wire"
)

// What a worker of the tests does: the test's binary is started as one. The file that
// is handed over in the place of the socket says it.
const (
	takesHosts = "takes hosts"
	takesLong  = "takes long"
	cannot     = "cannot"
)

// TestMain is also such a worker.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != WorkerCommand {
		os.Exit(m.Run())
	}
	what := make([]byte, 100)
	n, _ := os.NewFile(listenerFD, "socket").ReadAt(what, 0)
	says := os.NewFile(newsFD, "news")
	switch string(what[:n]) {
	case cannot:
		fmt.Fprintln(os.Stderr, "it cannot begin")
		os.Exit(1)
	case takesHosts:
		_, _ = says.Write([]byte{hasBegun})
	case takesLong:
		_, _ = says.Write([]byte{hasBegun, isBusy, isBusy})
	}
	_, _ = os.NewFile(endFD, "end").Read(what) // until it is told to end
	os.Exit(0)
}

// poolOf is a pool whose workers do the same.
func poolOf(t *testing.T, workers int, what string) (*Pool, *bytes.Buffer) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/socket"
	if err := os.WriteFile(path, []byte(what), 0o600); err != nil {
		t.Fatal(err)
	}
	socket, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	log := &bytes.Buffer{}
	p := &Pool{Workers: workers, Log: log, socket: socket, program: program, news: make(chan news, 64)}
	if err := p.renew(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(p) })
	return p, log
}

// end tells all workers to end, and waits until they have.
func end(p *Pool) {
	p.retire()
	for p.running > 0 {
		p.heed(<-p.news)
	}
}

// Workers that take hosts are there in the number that is wanted; when one ends, another
// takes its place; and all of them end when they are told to.
func TestPoolIsFilled(t *testing.T) {
	p, log := poolOf(t, 3, takesHosts)
	first := p.now
	if p.running != 3 || first.free != 3 || first.busy != 0 {
		t.Errorf("%d run, %+v", p.running, first)
	}
	p.fill()
	if p.running != 3 {
		t.Errorf("%d run", p.running)
	}
	if err := p.renew(); err != nil {
		t.Fatal(err)
	}
	if p.now == first || p.running != 6 || p.now.free != 3 {
		t.Errorf("a new generation: %d run, %+v", p.running, p.now)
	}
	for range 3 { // those of the first one have been told to end, and nobody takes their places
		n := <-p.news
		if n.of != first || !n.begun || n.err != nil || n.busy {
			t.Errorf("%+v", n)
		}
		p.heed(n)
		p.fill()
	}
	if p.running != 3 || first.free != 0 || p.now.free != 3 {
		t.Errorf("%d run; the first generation: %+v, this one: %+v", p.running, first, p.now)
	}
	end(p)
	if p.fill(); p.running != 0 {
		t.Errorf("after the end: %d run", p.running)
	}
	if log.Len() > 0 {
		t.Errorf("it is said %q", log)
	}
}

// For each worker that is busy for long another one is started, which takes hosts, but no
// more than eight times as many as there are to be: nobody makes this machine start
// processes without an end (docs/DESIGN.md, "The ready worker").
func TestPoolIsBounded(t *testing.T) {
	p, _ := poolOf(t, 1, takesLong)
	for p.now.free > 0 {
		n := <-p.news
		if !n.busy {
			t.Fatalf("%+v: told to be busy once, and it has ended", n)
		}
		p.heed(n)
		p.fill()
	}
	const most = 1*besides + 1
	if p.running != most || p.now.busy != most {
		t.Errorf("%d run, %+v, want %d", p.running, p.now, most)
	}
	of := p.now
	end(p)
	if of.free != 0 || of.busy != 0 {
		t.Errorf("after the end: %+v", of)
	}
}

// Why a worker could not begin is told, in its own words.
func TestPoolTellsWhy(t *testing.T) {
	p, log := poolOf(t, 1, cannot)
	n := <-p.news
	if p.heed(n); n.begun || n.err == nil || p.running != 0 || p.now.free != 0 {
		t.Errorf("%+v, %d run, %+v", n, p.running, p.now)
	}
	if got, want := log.String(), "polyinst: a worker has ended: exit status 1: it cannot begin\n"; !strings.HasPrefix(got, want) { // with coverage Go adds a line
		t.Errorf("%q, want %q", got, want)
	}
	log.Reset()
	p.program = "/no/such/program"
	p.fill()
	p.heed(<-p.news)
	if got := log.String(); !strings.Contains(got, "/no/such/program: no such file or directory") || p.running != 0 {
		t.Errorf("%q, %d run", got, p.running)
	}
}

// A name that a user chose makes no line of the log of its own.
func TestPoolSaysOneLine(t *testing.T) {
	log := &bytes.Buffer{}
	(&Pool{Log: log}).say("%v", fmt.Errorf("open /tmp/x\n<0>all is well\x1b[2J: %w", os.ErrPermission))
	if got, want := log.String(), "polyinst: open /tmp/x?<0>all is well?[2J: permission denied\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestWorkers(t *testing.T) {
	if n := Workers(); n < 2 || n > 4 {
		t.Errorf("%d by default", n)
	}
	if err := new(Pool).Run(); err == nil || !strings.Contains(err.Error(), "does not know of which build it is") {
		t.Errorf("a program that does not know of which build it is serves: %v", err)
	}
}

// What a ready worker has is what worker.c and edge.h give a forked one: the times, and
// the environment but for the garbage collection.
func TestLikeAForkedOne(t *testing.T) {
	read := func(name string) string {
		raw, err := os.ReadFile("../../pam_polyinst/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	header := read("edge.h")
	for name, want := range map[string]int{"DEADLINE_MS": wire.FirstDeadline, "GRACE_MS": grace} {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^\t%s = %d,`, name, want)).MatchString(header) {
			t.Errorf("%s of edge.h is not %d", name, want)
		}
	}
	_, list, _ := strings.Cut(read("worker.c"), `"PATH=`)
	list, _, _ = strings.Cut(`"PATH=`+list, "NULL")
	var forked []string
	for _, m := range regexp.MustCompile(`"([^"]*)"`).FindAllStringSubmatch(list, -1) {
		switch m[1] {
		case "GOGC=off":
		case "GOMAXPROCS=1": // one more waits for what ends the worker
			forked = append(forked, "GOMAXPROCS=2")
		default:
			forked = append(forked, m[1])
		}
	}
	if got, want := strings.Join(environment, " "), strings.Join(forked, " "); got != want {
		t.Errorf("a ready worker has %s\na forked one has   %s", got, want)
	}
}
