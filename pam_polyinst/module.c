/*
 * The C edge of pam_polyinst: everything that runs in the host process (sshd,
 * su, login ...), and the first steps of the worker that it forks.
 *
 * It carries a question to the worker and carries out the answer. It decides
 * nothing: there is no configuration here, no name of a directory and no name
 * of a user, but for the one rule that root is not locked out by a worker that
 * cannot answer at all. docs/DESIGN.md numbers the invariants cited here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <grp.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* The Go side (main.go). Each is called once in a worker, never in a host. */
extern void polyinstOpen(int socket, char *request, size_t length);
extern void polyinstClose(int socket, char *request, size_t length);

/*
 * What would have been the library's constructor: the start of the Go runtime.
 * The linker script init.ld moves it here, so that loading the module starts
 * nothing (I-1). Weak: a build without the script links, and then refuses.
 */
extern void (*const polyinst_go_init[])(int, char **, char **)
	__attribute__((weak, visibility("hidden")));

enum {
	DEADLINE_MS = 30000,  /* one whole call, until the worker sets another */
	GRACE_MS = 1000,      /* what a killed worker gets to be gone */
	MESSAGE_MAX = 8192,   /* one message of the worker */
	MOUNTS_MAX = 64,      /* mounts that one worker attaches in place */
};

/* One message of the worker; the first byte says which (hostconn.go). CANNOT
 * comes from here: the worker says why Go will not answer. */
enum { HELLO = 'H', DEADLINE = 'D', LOGLINE = 'L', TELL = 'U', MOUNTED = 'M', COUNTS = 'N', QUIET = 'Q', REPORT = 'R', CANNOT = 'X' };

/* What a report asks of the host. */
enum { STAY = '-', JOIN = 'J', JOIN_KEEP_BACK = 'K', IN_PLACE = 'V', RETRY_IN_PLACE = 'P' };

/* PAM data, all that is kept between the calls: the namespace to return to at
 * close, where the PAM line asks for that; and that there is nothing to do at
 * close, where the worker said so. */
static const char BACK[] = "pam_polyinst_back", AT_CLOSE[] = "pam_polyinst_at_close";
static char QUIET_CLOSE[] = "nothing", LOUD_CLOSE[] = "a worker"; /* values of AT_CLOSE */

/* The fixed part of a report; the text of the log line follows. */
struct report {
	uint8_t type;
	uint8_t action;
	uint8_t code;     /* a PAM return code */
	uint8_t priority; /* of the log line; there is none if no text follows */
	uint32_t nstypes; /* CLONE_NEW* flags of the join */
};

struct call {
	pam_handle_t *pamh;
	int flags;
	int argc;
	const char **argv;
	bool open; /* open_session, else close_session */
};

struct answer {
	bool hello;    /* the worker lives and pidfd stands for it */
	bool counts;   /* the session is to be counted as open */
	bool reported; /* report and text are its answer */
	bool quiet;    /* nothing will have to be done at close */
	struct report report;
	char text[MESSAGE_MAX];
	char tell[MESSAGE_MAX];
	char why[MESSAGE_MAX]; /* why there is no answer, where the worker said so */
	int pidfd;
	int cwd;
	int mounts[MOUNTS_MAX]; /* attached in place, so far as is known */
	int mounted;
};

/* The host's view, to go back to when building in place was refused. */
struct view {
	int ns, root, cwd;
};

static int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- the worker, before the Go runtime starts -------------------------- */

static char *const worker_argv_env[] = {
	"pam_polyinst", NULL,
	/* envp: no preemption signals, no descriptors of cgroups (a look at
	 * them at start, and at mountinfo as far as their mount, cannot be
	 * turned off), none at /etc/localtime, no garbage collection in a
	 * process that lives for milliseconds */
	"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=", "GOGC=off",
	"GOMAXPROCS=1", "GOTRACEBACK=none",
	"GODEBUG=asyncpreemptoff=1,containermaxprocs=0,updatemaxprocs=0", NULL,
	/* an empty auxiliary vector: AT_NULL */
	NULL, NULL,
};

/* Ends a worker that cannot come to answering, and says why. */
static void __attribute__((noreturn)) cannot(int sock, const char *why)
{
	char m[512];
	int n = snprintf(m, sizeof m, "%c%s", CANNOT, why);
	send(sock, m, (size_t)n, MSG_NOSIGNAL);
	_exit(1);
}

/* Sends a pidfd of the worker: what the host polls, kills, reaps and joins
 * by. The worker opens its own, since a host that reaps everything could
 * have its pid reused before the host looks. */
static void say_hello(int sock)
{
	char type = HELLO;
	struct iovec iov = { &type, 1 };
	union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.space, .msg_controllen = sizeof control.space };
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (pidfd < 0)
		cannot(sock, errno == ENOSYS ? "pidfd_open is not possible here: pam_polyinst needs Linux 5.14 or later" :
			"pidfd_open is not possible: too few descriptors (RLIMIT_NOFILE), or too little memory");
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &pidfd, sizeof pidfd);
	if (sendmsg(sock, &msg, MSG_NOSIGNAL) < 0)
		cannot(sock, "the worker cannot send its pidfd");
	close(pidfd);
}

/* Moves the socket to descriptor 3, the way back (if there is one) to 4, stdio
 * to /dev/null, and closes the rest: whatever the host had open (keys,
 * connections) ends here. */
static int own_descriptors(int sock, int back)
{
	int fd = fcntl(sock, F_DUPFD, 5), way = back < 0 ? -1 : fcntl(back, F_DUPFD, 5);
	if (fd < 0 || (back >= 0 && way < 0) || dup3(fd, 3, O_CLOEXEC) < 0 || (way >= 0 && dup3(way, 4, O_CLOEXEC) < 0))
		cannot(sock, "the worker cannot arrange its descriptors: RLIMIT_NOFILE is too low for it");
	syscall(SYS_close_range, way < 0 ? 4U : 5U, ~0U, 0U);
	for (fd = 0; fd < 3; fd++)
		close(fd);
	for (fd = 0; fd < 3; fd++)
		if (open("/dev/null", O_RDWR) < 0 && open("/", O_PATH) < 0)
			cannot(3, "the worker can open neither /dev/null nor /");
	return 3;
}

static void own_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	stack_t none = { .ss_flags = SS_DISABLE };
	sigset_t empty;

	for (int s = 1; s < _NSIG; s++)
		sigaction(s, &dfl, NULL);
	signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE: an error, not a death */
	sigaltstack(&none, NULL);
	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
}

/* What the worker raises for itself, as far as it may, and the least that Go
 * can live with. */
static const struct { int resource; rlim_t wanted, least; const char *too_low; } limits[] = {
	{ RLIMIT_AS, RLIM_INFINITY, (rlim_t)900 << 20, /* the runtime reserves about 0.8 GB */
	  "the hard limit of address space (RLIMIT_AS) is too low for the worker: "
	  "it needs 900 MB; raise it for this service (limits.conf, LimitAS=)" },
	{ RLIMIT_DATA, RLIM_INFINITY, (rlim_t)128 << 20, /* ... of which some 110 MB can be written to */
	  "the hard limit of data (RLIMIT_DATA) is too low for the worker: "
	  "it needs 128 MB; raise it for this service (limits.conf, LimitDATA=)" },
	/* finite: the programs that the worker executes have it too, and would
	 * be laid out without gaps at random (mmap_base) */
	{ RLIMIT_STACK, (rlim_t)8 << 20, (rlim_t)128 << 10,
	  "the hard limit of stack (RLIMIT_STACK) is too low for the worker: "
	  "it needs 128 KB; raise it for this service (limits.conf, LimitSTACK=)" },
	{ RLIMIT_FSIZE, RLIM_INFINITY, 0, NULL },
	{ RLIMIT_NOFILE, RLIM_INFINITY, 0, NULL },
	{ RLIMIT_NPROC, RLIM_INFINITY, 0, NULL },
	{ RLIMIT_CPU, RLIM_INFINITY, 0, NULL },
};

static void own_limits(int sock)
{
	struct rlimit l;

	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		rlim_t wanted = limits[i].wanted;
		if (getrlimit(limits[i].resource, &l) < 0 || l.rlim_cur >= wanted)
			continue;
		const struct rlimit all = { wanted, l.rlim_max < wanted ? wanted : l.rlim_max };
		if (setrlimit(limits[i].resource, &all) == 0) /* beyond the hard limit that takes CAP_SYS_RESOURCE */
			continue;
		l.rlim_cur = l.rlim_max;
		setrlimit(limits[i].resource, &l);
		if (l.rlim_cur < limits[i].least)
			cannot(sock, limits[i].too_low);
	}
	/* 1, not 0: a core handler behind a pipe runs at 0 */
	l.rlim_cur = l.rlim_max = 1;
	setrlimit(RLIMIT_CORE, &l);
}

/* A clock of the worker's own: it dies even if the host is stopped. */
static void own_deadline(void)
{
	struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL };
	struct itimerspec at = { .it_value.tv_sec = 630 };
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &ev, &timer) == 0)
		timer_settime(timer, 0, &at, NULL);
}

static void __attribute__((noreturn))
worker(const struct call *call, int sock, int back, pid_t host, char *request, size_t length)
{
	own_signals();
	setsid(); /* off the terminal: ^Z there must not stop us (7-decisions) */
	own_limits(sock);
	sock = own_descriptors(sock, back);
	umask(077);
	setgroups(0, NULL); /* the host's groups are nobody's here */
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		cannot(sock, "the host process is not root: a session can only be given a namespace by root");
	/* after the change of ids, which clears both; dumpable, so that the
	 * host may join us by pidfd (ptrace(2), access mode checking) */
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pid_t parent = getppid();
	if (parent != host && parent != 0)
		_exit(1);
	own_deadline();
	say_hello(sock);

	if (!polyinst_go_init[0])
		cannot(sock, "this pam_polyinst.so was built without its linker script: use `make build`");
	environ = (char **)worker_argv_env + 2;
	polyinst_go_init[0](1, (char **)worker_argv_env, environ);
	(call->open ? polyinstOpen : polyinstClose)(sock, request, length);
	_exit(0);
}

/* ---- the host ----------------------------------------------------------- */

/* How many sessions this thread has open in views of ours, and whose. A forked
 * child has none open. The worker judges what that means. */
static __thread struct { pid_t pid; int open; char *user; } held;

static const char *user_of(const struct call *call)
{
	const void *user = NULL;
	return pam_get_item(call->pamh, PAM_USER, &user) == PAM_SUCCESS && user ? user : "";
}

static void count_opened(const struct call *call)
{
	char *user = strdup(user_of(call));

	if (!user)
		return; /* not counted: as if it had been closed */
	free(held.user);
	held.open = held.pid == getpid() ? held.open + 1 : 1;
	held.pid = getpid();
	held.user = user;
}

static void count_closed(const struct call *call)
{
	if (held.pid == getpid() && held.open > 0 && strcmp(held.user, user_of(call)) == 0)
		held.open--;
}

/* The question, as strings "key=value" each with its NUL. */
static char *make_request(const struct call *call, bool in_place, int back, size_t *length)
{
	static const struct { const char *key; int item; } items[] = {
		{ "user", PAM_USER }, { "service", PAM_SERVICE }, { "tty", PAM_TTY },
		{ "ruser", PAM_RUSER }, { "rhost", PAM_RHOST },
	};
	char *request = NULL, ns[32] = "";
	FILE *f = open_memstream(&request, length);

	if (!f)
		return NULL;
	for (size_t i = 0; i < sizeof items / sizeof items[0]; i++) {
		const void *value = NULL;
		if (pam_get_item(call->pamh, items[i].item, &value) == PAM_SUCCESS && value)
			fprintf(f, "%s=%s%c", items[i].key, (const char *)value, 0);
	}
	fprintf(f, "silent=%d%c", (call->flags & PAM_SILENT) != 0, 0);
	if (readlink("/proc/self/ns/mnt", ns, sizeof ns - 1) > 5) /* mnt:[INODE] */
		fprintf(f, "ns=%lu%c", strtoul(ns + 5, NULL, 10), 0);
	fprintf(f, "inplace=%d%c", in_place, 0);
	fprintf(f, "back=%d%c", back >= 0, 0);
	fprintf(f, "pid=%ld%c", (long)getpid(), 0);
	fprintf(f, "tid=%ld%c", (long)syscall(SYS_gettid), 0);
	fprintf(f, "ruid=%lu%c", (unsigned long)getuid(), 0);
	if (held.pid == getpid() && held.open > 0)
		fprintf(f, "held=%d%chelduser=%s%c", held.open, 0, held.user, 0);
	for (int i = 0; i < call->argc; i++)
		fprintf(f, "arg=%s%c", call->argv[i], 0);
	bool failed = ferror(f);
	if (fclose(f) != 0 || failed) {
		free(request);
		return NULL;
	}
	return request;
}

/* A child whose end sends the host no signal, where that is possible: a
 * process with one thread may clone without libc's knowledge, because no
 * other thread can hold a lock of libc. */
static pid_t fork_worker(bool *sends_sigchld)
{
	*sends_sigchld = !__libc_single_threaded;
	return *sends_sigchld ? fork() : (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

/* Takes the SIGCHLD of a forked worker from the pending set, so that a host
 * that waits with sigtimedwait(2) or signalfd(2) sees no stranger's. Standard
 * signals do not queue: one of the host's own may have merged into it, and is
 * then put back. */
static void take_sigchld(pid_t worker_pid)
{
	const struct timespec at_once = { 0, 0 };
	siginfo_t got, other = { 0 };
	sigset_t chld;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	if (sigtimedwait(&chld, &got, &at_once) != SIGCHLD)
		return;
	if (got.si_pid == worker_pid) {
		if (waitid(P_ALL, 0, &other, WEXITED | WSTOPPED | WCONTINUED | WNOHANG | WNOWAIT) < 0 ||
		    other.si_pid == 0)
			return;
		got = other;
		got.si_signo = SIGCHLD;
	}
	syscall(SYS_rt_sigqueueinfo, getpid(), SIGCHLD, &got);
}

/* Receives one message; false at the end of the conversation. */
static bool receive(const struct call *call, int sock, struct answer *a, int64_t *deadline)
{
	char buf[MESSAGE_MAX];
	struct iovec iov = { buf, sizeof buf - 1 };
	union { struct cmsghdr align; char space[CMSG_SPACE(4 * sizeof(int))]; } control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.space, .msg_controllen = sizeof control.space };
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = -1;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
			close_fd(&fd); /* one per message; a further one is not ours to keep */
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
		}
	}
	if (n == 0) { /* the end, or an empty message, which may carry descriptors */
		close_fd(&fd);
		return false;
	}
	buf[n] = 0;
	switch (buf[0]) {
	case HELLO:
		if (!a->hello && fd >= 0) {
			a->hello = true;
			a->pidfd = fd;
			fd = -1;
		}
		break;
	case DEADLINE: {
		uint32_t ms;
		if ((size_t)n >= 1 + sizeof ms) {
			memcpy(&ms, buf + 1, sizeof ms);
			*deadline = now_ms() + ms;
		}
		break;
	}
	case LOGLINE:
		if (n > 2)
			pam_syslog(call->pamh, buf[1] & LOG_PRIMASK, "%s", buf + 2);
		break;
	case TELL:
		memcpy(a->tell, buf + 1, (size_t)n);
		break;
	case MOUNTED:
		if (fd >= 0 && a->mounted < MOUNTS_MAX) {
			a->mounts[a->mounted++] = fd;
			fd = -1;
		}
		break;
	case COUNTS:
		a->counts = true;
		break;
	case QUIET:
		a->quiet = true;
		break;
	case CANNOT:
		memcpy(a->why, buf + 1, (size_t)n);
		break;
	case REPORT:
		if ((size_t)n >= sizeof a->report && !a->reported) {
			memcpy(&a->report, buf, sizeof a->report);
			memcpy(a->text, buf + sizeof a->report, (size_t)n - sizeof a->report + 1);
			a->reported = true;
			a->cwd = fd;
			fd = -1;
		}
		break;
	}
	close_fd(&fd);
	return true;
}

/* Waits until fd is readable or the deadline has passed. */
static bool await(int fd, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	for (;;) {
		int64_t left = deadline - now_ms();
		int n = poll(&p, 1, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);
		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

/* Listens until the worker has reported, gone silent, or the time is up. */
static bool listen_to(const struct call *call, int sock, struct answer *a)
{
	int64_t deadline = now_ms() + DEADLINE_MS;

	while (!a->reported) {
		if (!await(sock, deadline))
			return false;
		if (!receive(call, sock, a, &deadline))
			return true;
	}
	return true;
}

static void close_back(pam_handle_t *pamh __attribute__((unused)), void *data, int status __attribute__((unused)))
{
	close((int)(intptr_t)data - 1);
}

/* The descriptor of the way back, -1 if none is kept. */
static int way_back(const struct call *call)
{
	const void *data = NULL;

	if (call->open || pam_get_data(call->pamh, BACK, &data) != PAM_SUCCESS || !data)
		return -1;
	return (int)(intptr_t)data - 1;
}

/* The commit point (I-8): before setns nothing has happened to the host;
 * after it nothing can fail but the way to the working directory. */
static int join(const struct call *call, const struct answer *a)
{
	bool keep = a->report.action == JOIN_KEEP_BACK;
	int back = keep ? open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC) : -1;

	if (keep && back < 0)
		pam_syslog(call->pamh, LOG_WARNING, "unmount_on_close: no way back can be kept: %m");
	if (unshare(CLONE_FS) < 0 || setns(a->pidfd, (int)a->report.nstypes) < 0) {
		int error = errno;
		close_fd(&back);
		return error;
	}
	if (back >= 0 && pam_set_data(call->pamh, BACK, (void *)(intptr_t)(back + 1), close_back) != PAM_SUCCESS)
		close_fd(&back);
	if (!call->open)
		pam_set_data(call->pamh, BACK, NULL, NULL);
	if (fchdir(a->cwd) < 0)
		pam_syslog(call->pamh, LOG_WARNING, "the working directory is now /: %m");
	return 0;
}

/* In place the mount namespace is the host's already; what else the session has
 * of its own, it joins. */
static int join_in_place(const struct answer *a)
{
	if (a->report.nstypes && setns(a->pidfd, (int)a->report.nstypes) < 0)
		return errno;
	if (a->cwd < 0 || fchdir(a->cwd) < 0)
		(void)!chdir("/");
	return 0;
}

static void save_view(struct view *v)
{
	v->ns = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	v->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	v->cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Takes off what a worker that died has left, and goes back to the saved view,
 * if that is permitted. If not, the host keeps a copy that looks like it (I-9). */
static void restore_view(const struct view *v, const struct answer *a)
{
	char path[32];

	for (int i = a->mounted - 1; i >= 0; i--) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", a->mounts[i]);
		umount2(path, MNT_DETACH); /* EINVAL: it was not attached, or is off already */
	}
	if (v->ns < 0 || v->root < 0 || setns(v->ns, CLONE_NEWNS) < 0)
		return;
	if (fchdir(v->root) < 0 || chroot(".") < 0)
		return;
	if (v->cwd < 0 || fchdir(v->cwd) < 0)
		(void)!chdir("/");
}

/* Why there is no answer, by how the worker ended; nothing if that was reaped
 * by somebody else. */
static void note_end(struct answer *a, const siginfo_t *end)
{
	if (!a->why[0] && end->si_pid)
		snprintf(a->why, sizeof a->why, "the worker ended without an answer (%s %d)",
			end->si_code == CLD_EXITED ? "exit status" : "signal", end->si_status);
}

/* Sees the worker off: told how the join went, waited for, killed if it
 * lingers, reaped. A worker in uninterruptible sleep is left behind. */
static void dismiss(const struct call *call, int *sock, pid_t pid, struct answer *a, bool late, int outcome)
{
	siginfo_t end = { 0 };

	if (late && a->hello)
		syscall(SYS_pidfd_send_signal, a->pidfd, SIGKILL, NULL, 0);
	else if (a->reported) /* else the end of the socket tells it to undo */
		send(*sock, &outcome, sizeof outcome, MSG_NOSIGNAL | MSG_DONTWAIT);
	close_fd(sock);
	if (a->hello) {
		if (!await(a->pidfd, now_ms() + GRACE_MS)) {
			syscall(SYS_pidfd_send_signal, a->pidfd, SIGKILL, NULL, 0);
			if (!await(a->pidfd, now_ms() + GRACE_MS)) {
				pam_syslog(call->pamh, LOG_ERR, "worker %ld hangs in the kernel and is left behind", (long)pid);
				return;
			}
		}
		/* ECHILD is no error: a host may reap everything it sees */
		if (waitid((idtype_t)P_PIDFD, (id_t)a->pidfd, &end, WEXITED | __WALL) == 0 && !late)
			note_end(a, &end);
		return;
	}
	/* it died at its birth, before it could be anything but our child */
	if (late)
		kill(pid, SIGKILL);
	if (waitid(P_PID, (id_t)pid, &end, WEXITED | __WALL) == 0 && !late)
		note_end(a, &end);
}

/* Root with no answer at all (no memory for a worker, a crash) is admitted to
 * the host's view: the rule of last resort, told in pam_polyinst(8). */
static int no_answer(const struct call *call, const char *why, int error)
{
	const char *colon = error ? ": " : "", *strerr = error ? strerror(error) : "";

	if (!call->open) {
		pam_syslog(call->pamh, LOG_WARNING, "close: %s%s%s; `polyinst gc` removes what is left", why, colon, strerr);
		return PAM_SUCCESS;
	}
	if (strcmp(user_of(call), "root") == 0) {
		pam_syslog(call->pamh, LOG_ALERT, "rescue: root is admitted WITHOUT private directories: %s%s%s", why, colon, strerr);
		return PAM_SUCCESS;
	}
	pam_syslog(call->pamh, LOG_ERR, "session refused: %s%s%s", why, colon, strerr);
	if (!(call->flags & PAM_SILENT))
		pam_error(call->pamh, "pam_polyinst: this session was refused; the system log says why");
	return PAM_SESSION_ERR;
}

/* Keeps what the worker said of close. Where a stack has our line twice, close
 * asks if either of them has something to do. */
static void keep_quiet(const struct call *call, bool quiet)
{
	const void *now = NULL;

	if (pam_get_data(call->pamh, AT_CLOSE, &now) == PAM_SUCCESS && now == LOUD_CLOSE)
		return;
	if (pam_set_data(call->pamh, AT_CLOSE, quiet ? QUIET_CLOSE : LOUD_CLOSE, NULL) != PAM_SUCCESS && now)
		pam_set_data(call->pamh, AT_CLOSE, NULL, NULL);
}

/* One conversation with one worker. *retry is set when the worker, having made
 * nothing, asks for the other way. */
static int converse(const struct call *call, bool in_place, bool *retry)
{
	struct answer *a = calloc(1, sizeof *a);
	struct view view = { -1, -1, -1 };
	int pair[2], error = 0, result;
	sigset_t all, old, pending;
	bool sends_sigchld, had_sigchld, in_time;
	size_t length;
	int back = way_back(call);
	char *request = make_request(call, in_place, back, &length);

	if (!a || !request) {
		free(a), free(request);
		return no_answer(call, "out of memory", 0);
	}
	a->pidfd = a->cwd = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) {
		result = no_answer(call, "socketpair", errno);
		goto out;
	}
	if (in_place) {
		save_view(&view);
		if (unshare(CLONE_NEWNS) < 0) {
			result = no_answer(call, "unshare (it takes CAP_SYS_ADMIN; under SELinux the boolean allow_polyinstantiation, under AppArmor a rule of the profile)", errno);
			close(pair[0]);
			close(pair[1]);
			goto out;
		}
	}
	pid_t host = getpid();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	sigpending(&pending);
	had_sigchld = sigismember(&pending, SIGCHLD);
	pid_t pid = fork_worker(&sends_sigchld);
	if (pid == 0)
		worker(call, pair[1], back, host, request, length);
	error = errno;
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		result = no_answer(call, "fork", error);
		goto undo;
	}
	in_time = listen_to(call, pair[0], a);
	error = 0;
	if (a->reported && a->report.code == PAM_SUCCESS) {
		if (a->report.action == JOIN || a->report.action == JOIN_KEEP_BACK)
			error = join(call, a);
		else if (a->report.action == IN_PLACE)
			error = join_in_place(a);
	}
	dismiss(call, &pair[0], pid, a, !a->reported && !in_time, error);
	if (sends_sigchld && !had_sigchld)
		take_sigchld(pid);
	pthread_sigmask(SIG_SETMASK, &old, NULL);

	if (!a->reported) {
		result = no_answer(call, a->why[0] ? a->why : in_time ? "the worker ended without an answer" :
			"the worker did not answer in time", 0);
		goto undo;
	}
	if (error) {
		result = no_answer(call, "the session's namespace cannot be joined (setns)", error);
		goto undo;
	}
	*retry = a->report.action == RETRY_IN_PLACE;
	result = a->report.code;
	if (call->open && result == PAM_SUCCESS && a->counts)
		count_opened(call);
	if (call->open && result == PAM_SUCCESS && !*retry)
		keep_quiet(call, a->quiet);
	if (a->text[0])
		pam_syslog(call->pamh, a->report.priority & LOG_PRIMASK, "%s", a->text);
	if (a->tell[0] && !(call->flags & PAM_SILENT))
		pam_error(call->pamh, "%s", a->tell);
undo:
	if (in_place && (error || !(a->reported && a->report.action == IN_PLACE && result == PAM_SUCCESS)))
		restore_view(&view, a);
out:
	close_fd(&view.ns);
	close_fd(&view.root);
	close_fd(&view.cwd);
	close_fd(&a->pidfd);
	close_fd(&a->cwd);
	while (a->mounted > 0)
		close(a->mounts[--a->mounted]);
	free(a), free(request);
	return result;
}

static int answer(const struct call *call)
{
	bool retry = false;
	int cancel, result;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	result = converse(call, false, &retry);
	if (retry)
		result = converse(call, true, &retry);
	pthread_setcancelstate(cancel, NULL);
	return result;
}

int pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct call call = { pamh, flags, argc, argv, true };
	return answer(&call);
}

int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	struct call call = { pamh, flags, argc, argv, false };
	const void *at_close = NULL;

	/* systemd closes in a child that has given up root: there is nothing
	 * it could do, and what is left `polyinst gc` removes */
	if (geteuid() != 0)
		return PAM_SUCCESS;
	count_closed(&call);
	if (pam_get_data(pamh, AT_CLOSE, &at_close) == PAM_SUCCESS && at_close == QUIET_CLOSE)
		return PAM_SUCCESS;
	return answer(&call);
}
