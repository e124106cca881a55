/*
 * How a worker is asked: the host finds or forks one, listens to it until it has
 * reported or its time is up, and goes on only when it has let go (I-2, I-12, I-22).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <linux/sched.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edge.h"

enum { PIDFD = 3 }; /* P_PIDFD, which older libcs do not name */

int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
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

void failed(struct answer *a, const char *what, int error)
{
	snprintf(a->why, sizeof a->why, "%s: %s", what, strerror(error));
}

void forget_answer(struct answer *a)
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
	int fd = -1, *to = NULL;
	uint32_t ms;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	text[n] = 0;
	switch (n > 0 ? *text++ : 0) { /* 0: the end, or an empty message, which may carry a descriptor */
	case HELLO:     to = &a->pidfd; break;
	case ELSEWHERE: to = &a->elsewhere; break;
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
			to = &a->cwd;
		}
	}
	if (to && *to < 0) { /* the first one of a kind counts */
		*to = fd;
		fd = -1;
	}
	close_fd(&fd);
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
 * it held, and so has closed the line. What it still says is for nobody. */
static bool let_go(int sock)
{
	const int64_t deadline = now_ms() + GRACE_MS;
	ssize_t n = 1;
	char c;

	while (n > 0 && await(sock, deadline))
		n = recv(sock, &c, sizeof c, MSG_DONTWAIT);
	return n <= 0;
}

/* Tells the worker how the join went, waits for it, kills it if it lingers, and
 * reaps it unless it is a ready one (pid 0). One that hangs in the kernel is left
 * behind. If it said nothing, why says how it ended. Before it has sent its pidfd,
 * its pid is surely our child's. */
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

/* Clones into the top of cgroup2, where no cgroup of a user's freezes, kills or
 * counts the worker, or shares out its time (I-19). In a container the top may have
 * no processes (cgroups(7)), and that of process 1 has to do. -1: neither can be. */
static long clone_out_of_cgroup(void)
{
	static const char *const tops[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/init.scope", "/sys/fs/cgroup/unified" };
	long pid = -1;

	for (size_t i = 0; pid < 0 && i < sizeof tops / sizeof tops[0]; i++) {
		int fd = open(tops[i], O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct clone_args args = { .flags = CLONE_INTO_CGROUP, .cgroup = (unsigned)fd };
		pid = fd < 0 ? -1 : syscall(SYS_clone3, &args, sizeof args); /* EBADF: it is not cgroup2 */
		close_fd(&fd);
	}
	return pid;
}

/* A child whose end sends the host no signal, where that is possible: in a process
 * with one thread no other can hold a lock of libc, so that it may clone without
 * libc's knowledge. */
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

/* Takes the worker's SIGCHLD from the pending set, for a host that waits with
 * sigtimedwait(2) or signalfd(2). These signals do not queue: if one of the host's
 * own children has merged into it, it is put back. */
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

/* Forks a worker, listens to it and does what it says. Returns carry_out()'s error
 * number; a->why says why there is no report. */
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
	if (pid < 0) {
		failed(a, "fork", errno);
		close(pair[0]);
		close(pair[1]);
		return 0;
	}
	close(pair[1]);
	bool late = !listen_to(call, pair[0], a);
	int error = carry_out(call, a);
	dismiss(call, pair[0], pid, a, late, error);
	if (sends_sigchld && !sigismember(&pending, SIGCHLD))
		take_sigchld(pid);
	return error;
}

/* Asks a ready worker. If none answers, or the worker has to build in the host's own
 * namespace (in place), it asks a forked one. */
int ask(const struct call *call, struct request *request, bool in_place, struct answer *a)
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
