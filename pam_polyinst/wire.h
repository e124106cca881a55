/* What the worker and the host say to each other: all of it for C. It is
 * internal/kernel/wire in Go, whose test compares the two. Both ends are one build,
 * so that there is no version. docs/DESIGN.md says what each message means. */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>

#define READY_SOCKET "/run/polyinst/serve.sock" /* of the ready workers */

enum {
	REQUEST_MAX = 8192, /* the whole question */
	MESSAGE_MAX = 4096, /* one message of the worker; what is longer is cut */
	MOUNTS_MAX = 64,    /* mounts that one worker attaches in place */
	SOCKET_FD = 3,      /* of a worker: the line to its host, */
	BACK_FD = 4,        /* and the way back, where the host kept one */
};

/* One message of the worker; the first byte says which. CANNOT comes from C,
 * where the worker says why Go will not answer, and from Go, before a report that
 * the host may have to reject (STAY_HOME). */
enum {
	HELLO = 'H',
	DEADLINE = 'D',
	LOGLINE = 'L',
	TELL = 'U',
	MOUNTED = 'M',
	ELSEWHERE = 'E',
	REPORT = 'R',
	CANNOT = 'X',
};

/* What a report asks of the host. */
enum {
	STAY = '-',
	STAY_HOME = '1',
	JOIN = 'J',
	JOIN_KEEP_BACK = 'K',
	IN_PLACE = 'V',
	RETRY_IN_PLACE = 'P',
};

/* The flags of a report, beside the priority (LOG_PRIMASK). */
enum {
	COUNTS = 8, /* the session is to be counted as open */
	SKIP_CLOSE = 16, /* nothing will have to be done at close: the host asks no worker */
	GOES_ON = 32, /* nothing depends on when the worker has let go: the host does not wait */
};

/* The fixed part of a report; the text of the log line follows. */
struct report {
	uint8_t type;
	uint8_t action;
	uint8_t code;     /* a PAM return code */
	uint8_t priority; /* of the log line, which there is if text follows; and flags */
	uint32_t nstypes; /* CLONE_NEW* flags of the join */
};

#endif
