package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"pam_polyinst/internal/kernel/mntns"
)

// Request is what the host asks: the items of its PAM transaction, the
// arguments of the PAM line, and where it stands.
type Request struct {
	Build                            string // of the host's module: Build of a worker that may answer
	User, Service, TTY, RUser, RHost string
	Open                             bool // else the session is to be closed
	Silent                           bool
	InPlace                          bool     // the host has unshared itself: build in its namespace
	Back                             bool     // at close: the host kept a way back
	BackFD                           int      // its descriptor; no part of the text
	Ready                            string   // why no ready worker has served; empty: there is none on this machine, or it is the one asked
	Closes                           bool     // the stack has a line "close", which leads the host out of the view
	Exec                             bool     // AppArmor has another profile for the host's next execve, or the host may not ask
	HostNS                           mntns.ID // the host's namespace before it unshared itself; 0: the host cannot read it
	HostPID                          int
	HostThread                       int    // its thread that asks
	Held                             int    // sessions that this thread has open in a view of ours, without this one
	HeldUser                         string // whose they are
	HostUID                          uint32 // the host's real uid
	Args                             []string
}

// ParseRequest reads the host's question: strings "key=value", each with its
// NUL, every key once and "arg" as often as there are arguments. Both ends are
// one build, so that an error is a fault of ours: a question that is not
// understood is not answered (I-13).
func ParseRequest(raw []byte) (Request, error) {
	var r Request
	keys := r.keys()
	text, ended := strings.CutSuffix(string(raw), "\x00")
	if !ended {
		return Request{}, errors.New("it has no end")
	}
	for field := range strings.SplitSeq(text, "\x00") {
		key, value, ok := strings.Cut(field, "=")
		if !ok {
			return Request{}, fmt.Errorf("%q is not of the form key=value", field)
		}
		if key == "arg" {
			r.Args = append(r.Args, value)
			continue
		}
		read, ok := keys[key]
		if !ok {
			return Request{}, fmt.Errorf("%q is unknown, or there twice", key)
		}
		if !read(value) {
			return Request{}, fmt.Errorf("%s: %q is malformed", key, value)
		}
		delete(keys, key)
	}
	for key := range keys {
		return Request{}, fmt.Errorf("%q is missing", key)
	}
	if r.InPlace && r.HostNS == 0 {
		return Request{}, errors.New("ns: the host cannot read which namespace it was in")
	}
	return r, nil
}

// keys are the keys that every question has, each with what reads its value
// into r, and reports whether the value is well formed.
func (r *Request) keys() map[string]func(string) bool {
	text := func(to *string) func(string) bool {
		return func(value string) bool { *to = value; return true }
	}
	flag := func(to *bool) func(string) bool {
		return func(value string) bool { *to = value == "1"; return *to || value == "0" }
	}
	count := func(to *int, least uint64) func(string) bool {
		return func(value string) bool {
			n, ok := number(value, math.MaxInt32)
			*to = int(n)
			return ok && n >= least
		}
	}
	return map[string]func(string) bool{
		"build": text(&r.Build), "user": text(&r.User), "service": text(&r.Service), "tty": text(&r.TTY), "ruser": text(&r.RUser), "rhost": text(&r.RHost),
		"open": flag(&r.Open), "silent": flag(&r.Silent), "inplace": flag(&r.InPlace), "back": flag(&r.Back), "closes": flag(&r.Closes), "exec": flag(&r.Exec),
		"pid": count(&r.HostPID, 1), "tid": count(&r.HostThread, 1), "held": count(&r.Held, 0), "helduser": text(&r.HeldUser), "ready": text(&r.Ready),
		"ruid": func(value string) bool {
			n, ok := number(value, math.MaxUint32)
			r.HostUID = uint32(n)
			return ok
		},
		"ns": func(value string) bool { // the link's text (namespaces(7)), or nothing
			if value == "" {
				return true
			}
			inode, begun := strings.CutPrefix(value, "mnt:[")
			inode, ended := strings.CutSuffix(inode, "]")
			n, ok := number(inode, math.MaxUint64)
			r.HostNS = mntns.ID(n)
			return begun && ended && ok && n > 0
		},
	}
}

// number reads a number as printf(3) writes it: no sign, no leading zero.
func number(text string, most uint64) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && n <= most && strconv.FormatUint(n, 10) == text
}
