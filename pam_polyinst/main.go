// Command pam_polyinst is the PAM module. It is built as a C shared library
// (`make build`); host.c is what a host process runs. worker.c calls the two
// functions here in its worker, where alone the Go runtime is started.
package main

/*
#cgo CFLAGS: -std=gnu11 -Wall -Wextra -Werror -fstack-protector-strong
#cgo LDFLAGS: -lpam
#include <stddef.h>
void polyinstDeadline(unsigned ms);
int polyinstRetake(void);
*/
import "C"

import (
	"fmt"
	"unsafe"

	"pam_polyinst/internal/kernel/wire"
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
// pidfd of the worker stands for this one. A question that is not understood
// gets no answer, and the host says why (I-12).
func answer(f func(wire.Request, session.Host, session.AboutHost), socket C.int, request *C.char, length C.size_t) {
	conn := wire.New(int(socket))
	r, err := wire.ParseRequest(unsafe.Slice((*byte)(unsafe.Pointer(request)), int(length)))
	if err != nil {
		conn.Why(fmt.Sprintf("the question for the worker: %v", err))
		return
	}
	r.BackFD = wire.BackFD
	f(r, host{conn}, session.Inherited{Why: r.Ready})
}

// host is the line to the host, with a deadline that holds for the worker too,
// should the host be stopped.
type host struct{ wire.Conn }

func (h host) Deadline(ms uint32) {
	C.polyinstDeadline(C.uint(ms))
	h.Conn.Deadline(ms)
}

func (h host) Later(f func()) { f() }

func (h host) Retake() { _ = C.polyinstRetake() }

func main() {}
