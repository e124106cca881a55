// Command pam_polyinst is the PAM module. It is built as a C shared library
// (`make build`); module.c is what a host process runs, and calls the two
// functions here in its worker, where alone the Go runtime is started.
package main

/*
#cgo CFLAGS: -std=gnu11 -Wall -Wextra -Werror -fstack-protector-strong
#cgo LDFLAGS: -lpam
#include <stddef.h>
*/
import "C"

import (
	"strconv"
	"unsafe"

	"pam_polyinst/internal/hostconn"
	"pam_polyinst/internal/mntns"
	"pam_polyinst/internal/session"
)

// polyinstOpen answers open_session in the worker.
//
//export polyinstOpen
func polyinstOpen(socket C.int, request *C.char, length C.size_t) {
	answer(session.Open, socket, request, length)
}

// polyinstClose answers close_session in the worker.
//
//export polyinstClose
func polyinstClose(socket C.int, request *C.char, length C.size_t) {
	answer(session.Close, socket, request, length)
}

// answer runs on the worker's main thread: namespaces belong to threads, and a
// pidfd of the worker stands for this one.
func answer(f func(session.Request, session.Host), socket C.int, request *C.char, length C.size_t) {
	raw := unsafe.Slice((*byte)(unsafe.Pointer(request)), int(length))
	f(parse(hostconn.ParseRequest(raw)), hostconn.New(int(socket)))
}

func parse(fields map[string][]string) session.Request {
	first := func(key string) string {
		if v := fields[key]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	pid, _ := strconv.Atoi(first("pid"))
	tid, _ := strconv.Atoi(first("tid"))
	held, _ := strconv.Atoi(first("held"))
	ns, _ := strconv.ParseUint(first("ns"), 10, 64)
	uid, _ := strconv.ParseUint(first("ruid"), 10, 32)
	return session.Request{
		User: first("user"), Service: first("service"), TTY: first("tty"),
		RUser: first("ruser"), RHost: first("rhost"),
		Silent: first("silent") == "1", InPlace: first("inplace") == "1", Back: first("back") == "1",
		HostNS: mntns.ID(ns), HostPID: pid, HostThread: tid, Held: held, HeldUser: first("helduser"), HostUID: uint32(uid), Args: fields["arg"],
	}
}

func main() {}
