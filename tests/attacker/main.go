// Command attacker is a user without privileges who does what they can, again and
// again, until their input ends:
//
//	attacker MOVE[:ARG[,ARG...]]...
//
// All moves run at once. At the end it prints one JSON object per line for each:
// how often it tried, how often the kernel let it, and what it got that nobody
// should get. moves.go lists the moves.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// outcome is what a move prints at the end.
type outcome struct {
	Move     string
	Tried    int64
	Done     int64
	Breaches []string
}

// move is one kind of attack under way.
type move struct {
	name string
	args []string
	stop chan struct{}

	tried, done atomic.Int64
	mu          sync.Mutex
	breaches    []string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "in-own-userns" {
		inOwnUserns(os.Args[2:])
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "encrypt" {
		encrypt(os.Args[2])
		return
	}
	stop := make(chan struct{})
	var all []*move
	var running sync.WaitGroup
	for _, arg := range os.Args[1:] {
		name, rest, _ := strings.Cut(arg, ":")
		m := &move{name: name, stop: stop}
		if rest != "" {
			m.args = strings.Split(rest, ",")
		}
		round, known := moves[name]
		if !known {
			fmt.Fprintln(os.Stderr, "attacker: no such move:", name)
			os.Exit(2)
		}
		all = append(all, m)
		running.Go(func() {
			for !m.over() {
				round(m)
				m.breathe()
			}
		})
	}
	fmt.Println("attacking")
	_, _ = io.Copy(io.Discard, os.Stdin)
	close(stop)
	running.Wait()
	for _, m := range all {
		text, _ := json.Marshal(outcome{m.name, m.tried.Load(), m.done.Load(), m.breaches})
		fmt.Printf("%s\n", text)
	}
}

func (m *move) over() bool {
	select {
	case <-m.stop:
		return true
	default:
		return false
	}
}

// breathe leaves the processors to the victims for a moment of random length, so
// that every interleaving comes up.
func (m *move) breathe() {
	longest := 2000
	if m.name == "swap" || m.name == "churn" {
		longest = 200
	}
	time.Sleep(time.Duration(rand.IntN(longest)) * time.Microsecond)
}

// try counts an attempt; it passes on whether the kernel let it happen.
func (m *move) try(err error) bool {
	m.tried.Add(1)
	if err == nil {
		m.done.Add(1)
	}
	return err == nil
}

// breach notes what should never have been possible, the first hundred times.
func (m *move) breach(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.breaches) < 100 {
		m.breaches = append(m.breaches, fmt.Sprintf(format, args...))
	}
}
