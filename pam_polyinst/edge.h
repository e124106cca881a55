/* What the C files share. Nothing of it is seen outside of the module (exports.map). */
#ifndef EDGE_H
#define EDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#include "wire.h"

#pragma GCC visibility push(hidden)

enum {
	DEADLINE_MS = 30000, /* one whole call, until the worker sets another */
	HELLO_MS = 200,      /* until a ready worker answers, or the host forks, at the most; */
	HELLO_TRIES = 5,     /* and in so many tries, of which each takes this */
	HELLO_TRY_MS = 10,   /* where the machine has time, and longer where it has not */
	GRACE_MS = 1000,     /* what a killed worker gets to be gone; how long it outlives its deadline */
};

/* Where a thread stands: its mount namespace, and the working directory there;
 * the root directory only where building in place may have to be undone. */
struct place {
	int ns, root, cwd;
};

#define NOWHERE ((struct place){ -1, -1, -1 })

/* All that is kept between the calls, as PAM data. */
struct kept {
	bool closes; /* the stack has a line "close" */
	bool opened; /* and a line that has opened a session */
	bool asks;   /* a worker, at close */
	struct place before;  /* to go to at close, where the PAM line asks for that */
	struct place session; /* to come back to, between a line "close" and the line that opened the session */
};

struct call {
	pam_handle_t *pamh;
	int flags;
	int argc;
	const char **argv;
	bool open;        /* open_session, else close_session */
	bool judged;      /* away() was asked, before the host left its view; */
	const char *away; /* and said this */
};

/* The question: strings "key=value", each with its NUL. */
struct request {
	int back; /* the descriptor of the way back, -1 if none is kept */
	size_t length; /* where it does not fit: all of text */
	char text[REQUEST_MAX];
};

struct answer {
	bool reported; /* report is the answer, and text the line for the log */
	struct report report;
	const char *text;
	const char *against; /* why the host rejects a report of STAY_HOME */
	int pidfd; /* of the worker, from its first message on */
	int cwd;
	int elsewhere; /* an empty directory, where cwd cannot be entered */
	int mounts[MOUNTS_MAX]; /* attached in place, so far as is known */
	int mounted;
	/* of these only why[0] and tell[0] are cleared: to touch a page can be dear */
	char why[MESSAGE_MAX]; /* why there is no answer, or none that may stand */
	char tell[MESSAGE_MAX];
	char message[MESSAGE_MAX]; /* that came last; a report ends the conversation */
};

/* host.c */
int held_here(void);
struct kept *kept(const struct call *call, bool make);
bool user_started(const struct call *call);
void put(struct request *r, const char *key, const char *value);
int carry_out(const struct call *call, struct answer *a);

/* ask.c */
int64_t now_ms(void);
bool await(int fd, int64_t deadline);
bool receive(const struct call *call, int sock, struct answer *a, int64_t *deadline);
void failed(struct answer *a, const char *what, int error);
void forget_answer(struct answer *a);
int ask(const struct call *call, struct request *request, bool in_place, struct answer *a);

/* ready.c */
bool send_with(int sock, const void *packet, size_t n, int fd);
int ask_ready(const struct call *call, const struct request *r, struct answer *a, const char **why);

/* view.c */
void close_fd(int *fd);
void leave_place(struct place *p);
int join(const struct call *call, const struct answer *a);
int leave_to_build(struct place *before);
void restore_view(const struct call *call, const struct place *before, const struct answer *a);
const char *away(const struct call *call);
void leave_view(const struct call *call);
void return_to_view(const struct call *call);

/* worker.c; Go calls polyinstDeadline with the deadline that it gives the host */
void worker(bool open, int sock, pid_t host, struct request *request) __attribute__((noreturn));
void polyinstDeadline(unsigned ms);
int polyinstRetake(void);

#pragma GCC visibility pop

#endif
