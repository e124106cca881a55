/*
 * How a worker is asked: the host forks one, unless a ready one answers (ready.c),
 * listens until it has reported or its time is up, and goes on only when it has let go
 * (I-2, I-12, I-22).
 */
#include "edge.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <linux/sched.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* A child whose end sends the host no signal. In a process with one thread no other
 * can hold a lock of libc, so that it may clone without libc's knowledge. */
static pid_t clone_worker(const struct call *call)
{
	const long pid = user_started(call) ? clone_out_of_cgroup() : -1;

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

/* Forks a worker. */
static struct asked ask_forked(const struct call *call, struct request *request, struct answer *a)
{
	struct asked w = { .sock = -1 };
	const bool one_thread = __libc_single_threaded;
	const pid_t host = getpid();
	sigset_t pending;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		failed(a, "socketpair", errno);
		return w;
	}
	sigpending(&pending);
	w.sends_sigchld = !one_thread && !sigismember(&pending, SIGCHLD);
	w.pid = one_thread ? clone_worker(call) : fork();
	if (w.pid == 0)
		worker(call->open, pair[1], host, request);
	if (w.pid > 0)
		w.sock = pair[0];
	else {
		failed(a, "fork", errno);
		close(pair[0]);
	}
	close(pair[1]);
	return w;
}

/* Asks a ready worker and listens to it. If none answers, or the worker has to build in
 * the host's own namespace (in place), it asks a forked one. Without a report a->why
 * says why there is none. */
struct asked ask(const struct call *call, struct request *request, bool in_place, struct answer *a)
{
	struct asked w = { .sock = -1 };
	const size_t length = request->length;
	const char *why = "";

	put(request, "ready=", why);
	if (!in_place && request->length < sizeof request->text && (w.sock = ask_ready(call, request, a, &why)) >= 0) {
		w.late = !listen_to(call, w.sock, a);
		if (a->reported || w.late)
			return w;
		close_fd(&w.sock);
		why = a->why[0] ? a->why : "the ready worker ended without an answer";
	}
	request->length = length;
	put(request, "ready=", why);
	forget_answer(a);
	if (request->length < sizeof request->text)
		w = ask_forked(call, request, a);
	else
		failed(a, "the question for the worker", E2BIG);
	w.late = w.sock >= 0 && !listen_to(call, w.sock, a);
	return w;
}

/* Tells the worker how the join went, waits for it if that matters, kills it if it lingers, and
 * reaps it unless it is a ready one. One that hangs in the kernel is left behind. If it said
 * nothing, a->why says how it ended. Until its pidfd has come, its pid is our child's. */
void dismiss(const struct call *call, const struct asked *w, struct answer *a, int outcome)
{
	const bool waits = outcome || !a->reported || a->report.code != PAM_SUCCESS || !(a->report.priority & GOES_ON);
	siginfo_t end = { 0 };
	bool hangs = false;

	if (w->sock < 0)
		return;
	if (a->reported) /* else the end of the socket tells it to undo */
		send(w->sock, &outcome, sizeof outcome, MSG_NOSIGNAL | MSG_DONTWAIT);
	bool gone = w->pid == 0 && !w->late && (!waits || let_go(w->sock));
	close(w->sock);
	if (w->late && a->pidfd < 0 && w->pid > 0)
		kill(w->pid, SIGKILL);
	if (a->pidfd >= 0 && !gone && (w->late || w->pid == 0 || !await(a->pidfd, now_ms() + GRACE_MS))) {
		syscall(SYS_pidfd_send_signal, a->pidfd, SIGKILL, NULL, 0);
		hangs = !await(a->pidfd, now_ms() + 2 * GRACE_MS);
	}
	if (hangs)
		pam_syslog(call->pamh, LOG_ERR, "worker %ld hangs in the kernel and is left behind", (long)w->pid);
	/* ECHILD is no error: a host may reap everything it sees */
	else if (w->pid && waitid(a->pidfd >= 0 ? (idtype_t)PIDFD : P_PID, (id_t)(a->pidfd >= 0 ? a->pidfd : w->pid), &end, WEXITED | __WALL) == 0 &&
	    !a->reported && !w->late && !a->why[0] && end.si_pid)
		snprintf(a->why, sizeof a->why, "the worker ended without an answer (%s %d)",
			end.si_code == CLD_EXITED ? "exit status" : "signal", end.si_status);
	if (!a->reported && !a->why[0])
		strcpy(a->why, w->late ? "the worker did not answer in time" : "the worker ended without an answer");
	if (w->sends_sigchld)
		take_sigchld(w->pid);
}
