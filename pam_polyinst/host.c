/*
 * What the login program (sshd, su, login ...) runs: the two functions that PAM
 * calls, the question to the worker and what is done with the answer.
 *
 * It decides nothing: there is no configuration here, no name of a directory and
 * no name of a user, but for the one rule that root is not locked out by a worker
 * that cannot answer at all. docs/DESIGN.md numbers the invariants cited here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <linux/sched.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <security/pam_ext.h>

#include "edge.h"

enum { PIDFD = 3 }; /* P_PIDFD, which older libcs do not name */

/* How many sessions this thread has open in views of ours, and whose. A forked
 * child has none open. The worker judges what that means. */
static __thread struct { pid_t pid; int open; char *user; } held;

static const char KEPT[] = "pam_polyinst"; /* the name of PAM data */

static void forget(pam_handle_t *pamh __attribute__((unused)), void *data, int status __attribute__((unused)))
{
	struct kept *k = data;

	leave_place(&k->before);
	leave_place(&k->session);
	free(k);
}

/* What is kept; NULL where nothing is, or nothing can be. */
struct kept *kept(const struct call *call, bool make)
{
	const void *data = NULL;

	if (pam_get_data(call->pamh, KEPT, &data) == PAM_SUCCESS && data)
		return (struct kept *)data;
	struct kept *k = make ? malloc(sizeof *k) : NULL;
	if (k)
		*k = (struct kept){ .before = NOWHERE, .session = NOWHERE };
	if (k && pam_set_data(call->pamh, KEPT, k, forget) == PAM_SUCCESS)
		return k;
	free(k);
	return NULL;
}

int held_here(void)
{
	return held.pid == getpid() ? held.open : 0;
}

static const char *item(const struct call *call, int which)
{
	const void *value = NULL;

	return pam_get_item(call->pamh, which, &value) == PAM_SUCCESS && value ? value : "";
}

static void count_opened(const struct call *call)
{
	char *user = strdup(item(call, PAM_USER));

	if (!user)
		return; /* not counted: as if it had been closed */
	free(held.user);
	held.open = held_here() + 1;
	held.pid = getpid();
	held.user = user;
}

/* What does not fit makes it full, and no question. */
static void put(struct request *r, const char *key, const char *value)
{
	const size_t k = strlen(key), v = strlen(value) + 1, room = sizeof r->text - r->length;

	if (k + v <= room)
		memcpy(mempcpy(r->text + r->length, key, k), value, v);
	r->length += k + v <= room ? k + v : room;
}

/* Without stdio, which touches pages that a login would not. */
static void put_number(struct request *r, const char *key, unsigned long n)
{
	char digits[24], *p = digits + sizeof digits - 1;

	for (*p = 0; *p == 0 || n > 0; n /= 10)
		*--p = (char)('0' + n % 10);
	put(r, key, p);
}

/* The question but for its end, which says why no ready worker has served. */
static void make_request(struct request *r, const struct call *call, bool in_place)
{
	const struct kept *k = kept(call, false);
	const int open = held_here();
	char ns[64] = "";

	r->back = k && !call->open ? k->before.ns : -1;
	r->length = 0;
	(void)!readlink("/proc/thread-self/ns/mnt", ns, sizeof ns - 1);
	put(r, "user=", item(call, PAM_USER));
	put(r, "service=", item(call, PAM_SERVICE));
	put(r, "tty=", item(call, PAM_TTY));
	put(r, "ruser=", item(call, PAM_RUSER));
	put(r, "rhost=", item(call, PAM_RHOST));
	put_number(r, "open=", call->open);
	put_number(r, "silent=", (call->flags & PAM_SILENT) != 0);
	put(r, "ns=", ns);
	put_number(r, "inplace=", in_place);
	put_number(r, "back=", r->back >= 0);
	put_number(r, "closes=", k && k->closes);
	put_number(r, "pid=", (unsigned long)getpid());
	put_number(r, "tid=", (unsigned long)gettid());
	put_number(r, "ruid=", getuid());
	put_number(r, "held=", (unsigned long)open);
	put(r, "helduser=", open ? held.user : "");
	for (int i = 0; i < call->argc; i++)
		put(r, "arg=", call->argv[i]);
}

/* Reports whether a user's process may have started the host: su has their real
 * uid, sudo and nested ones name who asks. A daemon's share of the machine is
 * the administrator's choice. */
bool user_started(const struct call *call)
{
	return getuid() != 0 || *item(call, PAM_RUSER);
}

/* Clones into the top of cgroup2, where no cgroup of a user's can freeze the
 * worker, kill it, count it or share out its time; in a container into that of
 * process 1, since the top may have no processes there (cgroups(7)). -1 where
 * neither can be done: the worker is then born beside the host. */
static long clone_out_of_cgroup(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/init.scope", "/sys/fs/cgroup/unified" };
	long pid = -1;

	for (size_t i = 0; pid < 0 && i < sizeof places / sizeof places[0]; i++) {
		int fd = open(places[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct clone_args args = { .flags = CLONE_INTO_CGROUP, .cgroup = (unsigned)fd };
		if (fd < 0)
			continue;
		pid = syscall(SYS_clone3, &args, sizeof args); /* EBADF: it is not cgroup2 */
		close(fd);
	}
	return pid;
}

/* A child whose end sends the host no signal, where that is possible: a
 * process with one thread may clone without libc's knowledge, because no
 * other thread can hold a lock of libc. */
static pid_t fork_worker(const struct call *call, bool *sends_sigchld)
{
	long pid = -1;

	*sends_sigchld = !__libc_single_threaded;
	if (*sends_sigchld)
		return fork();
	if (user_started(call))
		pid = clone_out_of_cgroup();
	return pid < 0 ? (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL) : (pid_t)pid;
}

/* Takes the SIGCHLD of a forked worker from the pending set, so that a host
 * that waits with sigtimedwait(2) or signalfd(2) sees no stranger's. Standard
 * signals do not queue: one of the host's own may have merged into it, and is
 * then put back. */
static void take_sigchld(pid_t worker_pid)
{
	const struct timespec at_once = { 0, 0 };
	siginfo_t got;
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (sigtimedwait(&chld, &got, &at_once) != SIGCHLD)
		return;
	if (got.si_pid == worker_pid) {
		memset(&got, 0, sizeof got);
		if (waitid(P_ALL, 0, &got, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT) < 0 || got.si_pid == 0)
			return;
	}
	syscall(SYS_rt_sigqueueinfo, getpid(), SIGCHLD, &got);
}

static void take(int *fd, int *to)
{
	if (*to < 0) {
		*to = *fd;
		*fd = -1;
	}
}

int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Receives one message; false at the end of the conversation. */
bool receive(const struct call *call, int sock, struct answer *a, int64_t *deadline)
{
	char *text = a->message;
	struct iovec iov = { text, sizeof a->message - 1 };
	union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		/* room for one descriptor, and not for the padding: further ones are dropped */
		.msg_control = control.space, .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = -1;
	uint32_t ms;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	text[n] = 0;
	switch (n > 0 ? *text++ : 0) { /* 0: the end, or an empty message, which may carry a descriptor */
	case HELLO:     take(&fd, &a->pidfd); break;
	case ELSEWHERE: take(&fd, &a->elsewhere); break;
	case TELL:      memcpy(a->tell, text, (size_t)n); break;
	case CANNOT:    memcpy(a->why, text, (size_t)n); break;
	case LOGLINE:
		if (n > 2)
			pam_syslog(call->pamh, text[0] & LOG_PRIMASK, "%s", text + 1);
		break;
	case DEADLINE:
		if ((size_t)n > sizeof ms) {
			memcpy(&ms, text, sizeof ms);
			*deadline = now_ms() + ms;
		}
		break;
	case MOUNTED:
		if (a->mounted < MOUNTS_MAX && fd >= 0) {
			a->mounts[a->mounted++] = fd;
			fd = -1;
		}
		break;
	case REPORT:
		if ((size_t)n >= sizeof a->report) {
			memcpy(&a->report, a->message, sizeof a->report);
			a->text = a->message + sizeof a->report;
			a->reported = true;
			take(&fd, &a->cwd);
		}
	}
	close_fd(&fd);
	return n > 0;
}

/* Waits until fd is readable or the deadline has passed. */
bool await(int fd, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do {
		int64_t left = deadline - now_ms();
		n = poll(&p, 1, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

/* Listens until the worker has reported, gone silent, or the time is up. */
static bool listen_to(const struct call *call, int sock, struct answer *a)
{
	int64_t deadline = now_ms() + DEADLINE_MS;
	bool in_time;

	while ((in_time = await(sock, deadline)) && receive(call, sock, a, &deadline) && !a->reported)
		;
	return in_time;
}

/* Reports whether a ready worker, which goes on to others, has let go of all that
 * it held: it closes the line then. What it still says is for nobody. */
static bool let_go(int sock)
{
	const int64_t deadline = now_ms() + GRACE_MS;
	ssize_t n = 1;
	char c;

	while (n > 0 && await(sock, deadline))
		n = recv(sock, &c, sizeof c, MSG_DONTWAIT);
	return n <= 0;
}

/* Sees the worker off: told how the join went, waited for, killed if it
 * lingers, and reaped unless it is a ready one (pid 0). A worker in uninterruptible
 * sleep is left behind. Where it said nothing, how it ended is why there is no
 * answer. Without a pidfd it has not been anything but our child yet. */
static void dismiss(const struct call *call, int sock, pid_t pid, struct answer *a, bool late, int outcome)
{
	siginfo_t end = { 0 };

	if (a->reported) /* else the end of the socket tells it to undo */
		send(sock, &outcome, sizeof outcome, MSG_NOSIGNAL | MSG_DONTWAIT);
	bool gone = pid == 0 && !late && let_go(sock);
	close(sock);
	if (late && a->pidfd < 0)
		kill(pid, SIGKILL);
	if (a->pidfd >= 0 && !gone && (late || pid == 0 || !await(a->pidfd, now_ms() + GRACE_MS))) {
		syscall(SYS_pidfd_send_signal, a->pidfd, SIGKILL, NULL, 0);
		if (!await(a->pidfd, now_ms() + 2 * GRACE_MS)) {
			pam_syslog(call->pamh, LOG_ERR, "worker %ld hangs in the kernel and is left behind", (long)pid);
			return;
		}
	}
	/* ECHILD is no error: a host may reap everything it sees */
	if (pid && waitid(a->pidfd >= 0 ? (idtype_t)PIDFD : P_PID, (id_t)(a->pidfd >= 0 ? a->pidfd : pid), &end, WEXITED | __WALL) == 0 &&
	    !a->reported && !late && !a->why[0] && end.si_pid)
		snprintf(a->why, sizeof a->why, "the worker ended without an answer (%s %d)",
			end.si_code == CLD_EXITED ? "exit status" : "signal", end.si_status);
	if (!a->reported && !a->why[0])
		strcpy(a->why, late ? "the worker did not answer in time" : "the worker ended without an answer");
}

static int refused(const struct call *call, const char *why, const char *against)
{
	pam_syslog(call->pamh, LOG_ERR, "session refused: %s%s%s", why,
		against ? "; and no exception is made: " : "", against ? against : "");
	if (!(call->flags & PAM_SILENT))
		pam_error(call->pamh, "pam_polyinst: this session was refused; the system log says why");
	return PAM_PERM_DENIED; /* with PAM_SESSION_ERR, sudo would go on */
}

/* Root with no answer at all (no memory for a worker, a crash) is admitted to
 * the view of process 1: the rule of last resort, told in pam_polyinst(8). In
 * another view, or where a user has started the host, it would be theirs to
 * choose what root sees, by killing or starving the worker. */
static int no_answer(const struct call *call, const char *why)
{
	const char *against = NULL;

	if (!call->open) {
		pam_syslog(call->pamh, LOG_WARNING, "close: %s; `polyinst gc` removes what is left", why);
		return PAM_SUCCESS;
	}
	if (strcmp(item(call, PAM_USER), "root") == 0) {
		against = getuid() != 0 ? "a user has started this program (its real uid is not 0): log in as root" : away(call);
		if (!against) {
			pam_syslog(call->pamh, LOG_ALERT, "rescue: root is admitted WITHOUT private directories: %s", why);
			return PAM_SUCCESS;
		}
	}
	return refused(call, why, against);
}

static void failed(struct answer *a, const char *what, int error)
{
	snprintf(a->why, sizeof a->why, "%s: %s", what, strerror(error));
}

/* Does what the report asks; an error number says that it cannot be done. */
static int carry_out(const struct call *call, struct answer *a)
{
	if (!a->reported || a->report.code != PAM_SUCCESS)
		return 0;
	switch (a->report.action) {
	case STAY:
	case RETRY_IN_PLACE:
		return 0;
	case STAY_HOME:
		a->against = away(call);
		return a->against ? EPERM : 0;
	case JOIN:
	case JOIN_KEEP_BACK:
	case IN_PLACE:
		return join(call, a);
	}
	return EBADMSG;
}

/* What the PAM call returns, and what is said on the way. */
static int conclude(const struct call *call, struct answer *a, int error)
{
	const int result = a->report.code;
	const bool opened = call->open && result == PAM_SUCCESS && a->report.action != RETRY_IN_PLACE;

	if (!a->reported)
		return no_answer(call, a->why);
	if (a->against)
		return refused(call, a->why, a->against);
	if (error) {
		failed(a, "the session's namespace cannot be joined (setns)", error);
		return no_answer(call, a->why);
	}
	if (opened && (a->report.priority & COUNTS))
		count_opened(call);
	struct kept *k = opened ? kept(call, true) : NULL;
	if (k) { /* where a stack has our line twice, one of them is enough */
		k->opened = true;
		k->asks = k->asks || !(a->report.priority & QUIET);
	}
	if (a->text[0])
		pam_syslog(call->pamh, a->report.priority & LOG_PRIMASK, "%s", a->text);
	if (a->tell[0] && !(call->flags & PAM_SILENT))
		pam_error(call->pamh, "%s", a->tell);
	return result;
}

static void forget_answer(struct answer *a)
{
	close_fd(&a->pidfd);
	close_fd(&a->cwd);
	close_fd(&a->elsewhere);
	while (a->mounted > 0)
		close(a->mounts[--a->mounted]);
	memset(a, 0, offsetof(struct answer, why) + 1);
	a->tell[0] = 0;
	a->text = "";
	a->pidfd = a->cwd = a->elsewhere = -1;
}

/* Has a worker forked, listens to it and does what it says. An error number is
 * that of what the report asks; why there is none says a->why. */
static int ask_forked(const struct call *call, struct request *request, struct answer *a)
{
	const pid_t host = getpid();
	sigset_t pending;
	bool sends_sigchld;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		failed(a, "socketpair", errno);
		return 0;
	}
	sigpending(&pending);
	pid_t pid = fork_worker(call, &sends_sigchld);
	if (pid == 0)
		worker(call->open, pair[1], host, request);
	if (pid < 0)
		failed(a, "fork", errno);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return 0;
	}
	bool late = !listen_to(call, pair[0], a);
	int error = carry_out(call, a);
	dismiss(call, pair[0], pid, a, late, error);
	if (sends_sigchld && !sigismember(&pending, SIGCHLD))
		take_sigchld(pid);
	return error;
}

/* Asks a ready worker, and where that did not answer, or must be where the host is
 * (in place), one of its own. */
static int ask(const struct call *call, struct request *request, bool in_place, struct answer *a)
{
	const size_t length = request->length;
	const char *why = "";
	int sock = -1;

	put(request, "ready=", why);
	if (!in_place && request->length < sizeof request->text && (sock = ask_ready(call, request, a, &why)) >= 0) {
		bool late = !listen_to(call, sock, a);
		int error = carry_out(call, a);
		if (a->reported || late) {
			dismiss(call, sock, 0, a, late, error);
			return error;
		}
		close(sock);
		why = a->why[0] ? a->why : "the ready worker ended without an answer";
	}
	request->length = length;
	put(request, "ready=", why);
	forget_answer(a);
	if (request->length < sizeof request->text)
		return ask_forked(call, request, a);
	failed(a, "the question for the worker", E2BIG);
	return 0;
}

/* One conversation with one worker. Reports in *retry whether the worker, having
 * made nothing, asks for the other way. */
static int converse(const struct call *call, bool in_place, bool *retry)
{
	struct answer a; /* not cleared: see there */
	struct request request;
	struct place before = NOWHERE;
	sigset_t all, old;
	int error = a.mounted = 0;

	a.pidfd = a.cwd = a.elsewhere = -1;
	forget_answer(&a);
	make_request(&request, call, in_place);
	if (in_place && (error = leave_to_build(&before)))
		failed(&a, "unshare (it takes CAP_SYS_ADMIN; under SELinux the boolean allow_polyinstantiation, under AppArmor a rule of the profile)", error);
	else {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		error = ask(call, &request, in_place, &a);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	int result = conclude(call, &a, error);
	*retry = a.reported && !error && a.report.action == RETRY_IN_PLACE;
	if (in_place && (error || !a.reported || a.report.action != IN_PLACE || result != PAM_SUCCESS))
		restore_view(call, &before, &a);
	leave_place(&before);
	forget_answer(&a);
	return result;
}

static int answer(struct call *call)
{
	bool retry;
	int cancel;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	int result = converse(call, false, &retry);
	if (retry) {
		call->away = away(call);
		call->judged = true;
		result = converse(call, true, &retry);
	}
	pthread_setcancelstate(cancel, NULL);
	return result;
}

static bool is_close_line(const struct call *call)
{
	for (int i = 0; i < call->argc; i++)
		if (strcmp(call->argv[i], "close") == 0)
			return true;
	return false;
}

int pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct call call = { .pamh = pamh, .flags = flags, .argc = argc, .argv = argv, .open = true };

	if (is_close_line(&call)) {
		struct kept *k = kept(&call, true);
		if (k)
			k->closes = true;
		return PAM_IGNORE;
	}
	return answer(&call);
}

int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct call call = { .pamh = pamh, .flags = flags, .argc = argc, .argv = argv };

	/* systemd closes in a child that has given up root: there is nothing
	 * it could do, and what is left `polyinst gc` removes */
	if (geteuid() != 0)
		return PAM_SUCCESS;
	if (is_close_line(&call)) {
		leave_view(&call);
		return PAM_IGNORE;
	}
	return_to_view(&call);
	if (held_here() > 0 && strcmp(held.user, item(&call, PAM_USER)) == 0)
		held.open--;
	const struct kept *k = kept(&call, false);
	if (k && k->opened && !k->asks)
		return PAM_SUCCESS;
	return answer(&call);
}
