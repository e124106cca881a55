/* What the C files share. Nothing of it is seen outside of the module (exports.map). */
#ifndef EDGE_H
#define EDGE_H

#define _GNU_SOURCE /* counts before any header of libc: each file includes this one first */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#include "wire.h"

#pragma GCC visibility push(hidden)

/* The Makefile's; without it no ready worker is of this build. */
#define TEXT_OF(x) #x
#define BUILD_TEXT(x) TEXT_OF(x)
#define BUILD BUILD_TEXT(POLYINST_BUILD)

/* The kernel's, which older headers of libc do not name. */
enum {
	PIDFD = 3,      /* P_PIDFD of waitid(2) */
	PEERPIDFD = 77, /* SO_PEERPIDFD, from Linux 6.5 on */
};

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

/* A worker that has been asked. */
struct asked {
	int sock;  /* the line to it; -1: nobody could be asked */
	pid_t pid; /* 0: a ready one, which is not our child */
	bool late; /* the time was up before it had reported */
	bool sends_sigchld; /* to the host at its end, which is to see none */
};

/* host.c uses all of these; each other file uses only files below it. */

/* ask.c */
struct asked ask(const struct call *call, struct request *request, bool in_place, struct answer *a);
void dismiss(const struct call *call, const struct asked *w, struct answer *a, int outcome);

/* ready.c */
int ask_ready(const struct call *call, const struct request *r, struct answer *a, const char **why);

/* worker.c; Go calls polyinstDeadline with the deadline that it gives the host */
void worker(bool open, int sock, pid_t host, struct request *request) __attribute__((noreturn));
void polyinstDeadline(unsigned ms);
int polyinstRetake(void);

/* view.c */
const char *item(const struct call *call, int which);
bool user_started(const struct call *call);
bool awaits_profile(void);
struct kept *kept(const struct call *call, bool make);
void leave_place(struct place *p);
int join(const struct call *call, const struct answer *a);
int leave_to_build(struct place *before);
void restore_view(const struct call *call, const struct place *before, const struct answer *a);
const char *away(const struct call *call);
void leave_view(const struct call *call, bool others_open);
void return_to_view(const struct call *call);

/* line.c */
void close_fd(int *fd);
int64_t now_ms(void);
bool await(int fd, int64_t deadline);
void put(struct request *r, const char *key, const char *value);
bool send_with(int sock, const void *packet, size_t n, int fd);
bool receive(const struct call *call, int sock, struct answer *a, int64_t *deadline);
void failed(struct answer *a, const char *what, int error);
void forget_answer(struct answer *a);

#pragma GCC visibility pop

/* main.go; each is called once in a worker, never in a host */
void polyinstOpen(int socket, char *request, size_t length);
void polyinstClose(int socket, char *request, size_t length);

#endif
