/* Fuzzes the host's side of the conversation: the C code as it is, with libpam and
 * what would change this very process replaced, talking to a worker that says
 * what the fuzzer wants (lie.h). `make fuzz`, and tests/edge.
 *
 * With -DREPLAY it is a program that plays the files that it is given, for
 * valgrind.
 *
 * After each call the process must be as it was: descriptors, signal mask,
 * cancellation. Without a report, or without the join that it asked for, nobody
 * but root is admitted, and root only in the view of process 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>

#include "lie.h"

/* ---- what the module may not really do here ---- */

static struct lie lie;
static int64_t now = 1000;       /* ms: nobody waits */
static int result_of_setns, kept_end = -1;
static bool joined, reported, unshared;
/* where the host stands, and who has started it */
static bool elsewhere, denied_look, no_proc, users_own, asked_for;

static int fake_clock_gettime(clockid_t id, struct timespec *t)
{
	(void)id;
	t->tv_sec = now / 1000;
	t->tv_nsec = now % 1000 * 1000000;
	return 0;
}

static int fake_poll(struct pollfd *p, nfds_t n, int timeout)
{
	int ready = poll(p, n, 0);

	if (ready == 0)
		now += timeout;
	return ready;
}

/* The worker has said all before the host listens. */
static int fake_socketpair(int domain, int type, int protocol, int pair[2])
{
	if (lie.left % 61 == 60) {
		errno = EMFILE;
		return -1;
	}
	if (socketpair(domain, type, protocol, pair))
		return -1;
	enum ending end = play(&lie, pair[1]);
	reported |= end == REPORTED;
	if (end == SILENT)
		kept_end = dup(pair[1]);
	return 0;
}

/* A ready worker, which may greet as one of this build before it lies. What it says
 * without that is for nobody. */
static bool ready_there, ready_greets;
static int ready_end = -1;

static int fake_lstat(struct stat *st)
{
	*st = (struct stat){ .st_mode = S_IFSOCK | 0600 };
	return ready_there ? 0 : -1;
}

static int fake_socket(int domain, int type, int protocol)
{
	int pair[2];
	uint8_t action = lie.action;

	if (lie.left % 59 == 58 || socketpair(domain, type, protocol, pair))
		return -1;
	if (ready_greets)
		say(pair[1], "HPOLYINST_BUILD", 15, 3, 1);
	enum ending end = play(&lie, pair[1]);
	if (ready_greets)
		reported |= end == REPORTED;
	else
		lie.action = action;
	if (end != SILENT)
		shutdown(pair[1], SHUT_WR);
	ready_end = pair[1];
	return pair[0];
}

static int fake_getsockopt(int name, struct ucred *who)
{
	if (name != SO_PEERCRED) {
		errno = lie.left % 2 ? ENOPROTOOPT : ENODATA;
		return -1;
	}
	*who = (struct ucred){ .pid = 1, .uid = lie.left % 53 == 52 };
	return 0;
}

static pid_t fake_fork(void)
{
	if (lie.left % 67 == 66) {
		errno = EAGAIN;
		return -1;
	}
	return 4242;
}

static long fake_syscall(long number, ...)
{
	return number == SYS_clone || (number == SYS_clone3 && lie.left % 2) ? fake_fork() : number == SYS_clone3 ? -1 : 0;
}

static int fake_setns(int fd, int types)
{
	(void)types;
	if (fcntl(fd, F_GETFD) < 0)
		return -1; /* EBADF */
	errno = result_of_setns;
	joined = !errno;
	return errno ? -1 : 0;
}

static int fake_unshare(int what)
{
	unshared |= (what & CLONE_NEWNS) != 0;
	errno = EPERM;
	return lie.left % 71 == 70 ? -1 : 0;
}

static int fake_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
	(void)type, (void)id, (void)options;
	if (lie.left % 3 == 0) {
		errno = ECHILD;
		return -1;
	}
	if (info) {
		info->si_pid = 4242;
		info->si_code = lie.left % 3 == 1 ? CLD_EXITED : CLD_KILLED;
		info->si_status = 9;
	}
	return 0;
}

static ssize_t fake_readlink(const char *path, char *link, size_t size)
{
	bool first = strncmp(path, "/proc/1/", 8) == 0;

	if (first && denied_look) {
		errno = EACCES;
		return -1;
	}
	return snprintf(link, size, "mnt:[%d]", first && elsewhere);
}

static int fake_statfs(struct statfs *fs)
{
	fs->f_type = no_proc ? TMPFS_MAGIC : PROC_SUPER_MAGIC;
	return 0;
}

static int fake_statx(struct statx *s)
{
	memset(s, 0, sizeof *s);
	return 0;
}

static uid_t fake_getuid(void) { return users_own ? 1000 : 0; }
static int fake_nothing(void) { return 0; }
static int fake_kill(pid_t pid, int signal) { (void)pid, (void)signal; return 0; }
static int fake_fchdir(int fd) { return fcntl(fd, F_GETFD) < 0 ? -1 : 0; }
static int fake_umount2(const char *path, int flags) { (void)flags; return access(path, F_OK); }

#define clock_gettime fake_clock_gettime
#define poll(p, n, t) fake_poll(p, n, t)
#define socketpair(d, t, p, s) fake_socketpair(d, t, p, s)
#define fork fake_fork
#define syscall(...) fake_syscall(__VA_ARGS__)
#define setns(fd, types) fake_setns(fd, types)
#define unshare fake_unshare
#define waitid fake_waitid
#define kill(pid, signal) fake_kill(pid, signal)
#define fchdir fake_fchdir
#define chdir(path) fake_nothing()
#define chroot(path) fake_nothing()
#define umount2 fake_umount2
#define readlink fake_readlink
#define statfs(path, fs) fake_statfs(fs)
#define statx(dir, path, flags, mask, s) fake_statx(s)
#define getuid fake_getuid
#define lstat(path, st) fake_lstat(st)
#define socket(d, t, p) fake_socket(d, t, p)
#define connect(fd, to, size) ((void)(to), lie.left % 47 == 46 ? -1 : 0)
#define getsockopt(fd, level, name, value, size) ((void)(size), fake_getsockopt(name, value))
#include "../../../pam_polyinst/host.c"
#include "../../../pam_polyinst/ask.c"
#include "../../../pam_polyinst/ready.c"
#include "../../../pam_polyinst/view.c"
#include "../../../pam_polyinst/line.c"
#include "../../../pam_polyinst/worker.c"
#undef poll
#undef socketpair
#undef syscall

void polyinstOpen(int sock, char *request, size_t length) { (void)sock, (void)request, (void)length; }
void polyinstClose(int sock, char *request, size_t length) { (void)sock, (void)request, (void)length; }

/* ---- libpam ---- */

static char handle; /* stands for libpam's */
#define PAMH ((pam_handle_t *)&handle)
static const char *user;
static void *data;
static void (*data_cleanup)(pam_handle_t *, void *, int);
static bool no_data;

int pam_get_item(const pam_handle_t *pamh, int type, const void **item)
{
	(void)pamh;
	*item = type == PAM_USER ? user : type == PAM_SERVICE ? "fuzz" : type == PAM_RUSER && asked_for ? "alice" : NULL;
	return PAM_SUCCESS;
}

int pam_set_data(pam_handle_t *pamh, const char *name, void *value, void (*cleanup)(pam_handle_t *, void *, int))
{
	(void)name;
	if (no_data)
		return PAM_BUF_ERR;
	if (data_cleanup)
		data_cleanup(pamh, data, 0);
	data = value;
	data_cleanup = cleanup;
	return PAM_SUCCESS;
}

int pam_get_data(const pam_handle_t *pamh, const char *name, const void **value)
{
	(void)pamh, (void)name;
	*value = data;
	return data ? PAM_SUCCESS : PAM_NO_MODULE_DATA;
}

static void demand(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "DEMAND: %s\n", what);
	abort();
}

/* What is logged is read to its end. */
static void swallow(const char *format, va_list ap)
{
	char *text = NULL;

	if (vasprintf(&text, format, ap) >= 0)
		free(text);
}

void pam_syslog(const pam_handle_t *pamh, int priority, const char *format, ...)
{
	va_list ap;

	(void)pamh, (void)priority;
	if (strncmp(format, "session refused: %s", 19) == 0) {
		va_start(ap, format);
		demand(*va_arg(ap, const char *) || reported, "no refusal without a reason");
		va_end(ap);
	}
	va_start(ap, format);
	swallow(format, ap);
	va_end(ap);
}

int pam_prompt(pam_handle_t *pamh, int style, char **response, const char *format, ...)
{
	va_list ap;

	(void)pamh, (void)style, (void)response;
	va_start(ap, format);
	swallow(format, ap);
	va_end(ap);
	return PAM_SUCCESS;
}

/* ---- the fuzzer ---- */

static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 64; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
	static const char *const users[] = { "alice", "root", "", NULL };
	const char *args[] = { "debug", "unmount_on_close" };
	sigset_t before = { 0 }, after = { 0 };
	int cancel, have = descriptors();

	lie = (struct lie){ input, size, 0 };
	uint8_t how = next_byte(&lie), more = next_byte(&lie);
	user = users[how & 3];
	int flags = how & 4 ? PAM_SILENT : 0;
	result_of_setns = how & 8 ? EPERM : 0;
	no_data = how & 16;
	joined = reported = unshared = false;
	elsewhere = more & 2, users_own = more & 4, denied_look = more & 8, asked_for = more & 16, no_proc = more & 32;
	ready_there = more & 64, ready_greets = more & 128;
	bool home = !no_proc && (denied_look ? !users_own && !asked_for : !elsewhere);
	data = NULL;
	data_cleanup = NULL;
	struct call call = { .pamh = PAMH, .flags = flags, .argc = 2, .argv = args, .open = !(how & 32) };
	struct kept *k = more & 1 ? kept(&call, true) : NULL;
	if (k)
		k->before = (struct place){ open("/dev/null", O_RDONLY | O_CLOEXEC), -1, open("/", O_PATH | O_CLOEXEC) };
	pthread_sigmask(SIG_SETMASK, NULL, &before);

	/* pam_sm_close_session does nothing unless the host is root */
	int rc = answer(&call);

	pthread_sigmask(SIG_SETMASK, NULL, &after);
	demand(memcmp(&before, &after, sizeof before) == 0, "the signal mask is as before");
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel);
	demand(cancel == PTHREAD_CANCEL_ENABLE, "cancellation is as before");
	bool root = user && strcmp(user, "root") == 0;
	if (rc == PAM_SUCCESS && call.open && !root)
		demand(reported, "no success without a report");
	if (rc == PAM_SUCCESS && call.open && root)
		demand(reported || (home && !users_own), "no success of root's without a report but in the view of process 1");
	if (rc == PAM_SUCCESS && call.open && lie.action == STAY_HOME)
		demand(home, "no success in another view where a report asks for that of process 1");
	if (rc == PAM_SUCCESS && call.open && !root)
		demand(lie.action && strchr("-1JKVP", lie.action), "no success for an action that there is not");
	demand(rc >= 0 && rc < 256, "a code of PAM");
	if (data_cleanup)
		data_cleanup(PAMH, data, 0); /* pam_end */
	if (kept_end >= 0) {
		int word;
		demand(reported || recv(kept_end, &word, sizeof word, MSG_DONTWAIT) <= 0, "no worker is told of a join that it did not ask for");
		close(kept_end);
	}
	kept_end = -1;
	if (ready_end >= 0)
		close(ready_end);
	ready_end = -1;
	demand(descriptors() == have, "no descriptor is left");
	return 0;
}

#ifdef REPLAY
int main(int argc, char **argv)
{
	static uint8_t input[1 << 16];

	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "re");
		demand(f != NULL, argv[i]);
		size_t size = fread(input, 1, sizeof input, f);
		fclose(f);
		uint8_t *copy = malloc(size + 1); /* of that size, so that its end is known */
		demand(copy != NULL, "memory");
		memcpy(copy, input, size);
		LLVMFuzzerTestOneInput(copy, size);
		free(copy);
	}
	printf("played %d\n", argc - 1);
	return 0;
}
#endif
