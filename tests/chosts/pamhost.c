/* pamhost STEP...: a PAM host that does what it is told, step by step, and
 * prints one JSON object per line for each. Exit status 0 unless a step that is
 * not PAM's failed.
 *
 * Settings, before "start":
 *   service=NAME user=NAME     pam_start's arguments
 *   tty=NAME ruser=NAME rhost=NAME     items, set by "start"
 *   pass=TEXT                  the answer to every prompt
 *   silent                     pass PAM_SILENT from here on
 *   window                     SIGTRAP before and after each open and close, and
 *                              SIGSYS around what this host does meanwhile: for
 *                              fault.c, which takes them
 * PAM:
 *   start auth acct cred open close end end-silent
 *   handle:N                   go on with the Nth of eight handles (0 at first),
 *                              each of which has its own user
 * What is around them:
 *   exec:CMD                   sh -c CMD as the user, in the session
 *   root-exec:CMD              the same as root
 *   inspect:DIR...             as the user: owner and mode of each directory, and
 *                              its names after the file "mine" was made in it
 *   snapshot:NAME              the state of this process
 *   fork ... join              a child does the steps in between, the parent waits
 *                              for it and goes on after "join"; can be nested
 *   unpriv                     become the user for good, as (sd-pam) does
 *   threads:N                  N threads that wait
 *   in-thread ... join         another thread does the steps in between
 *   chroot:DIR cwd:DIR umask:OCTAL closefd:N dup2:N,M setenv:NAME=VALUE
 *   rlimit:NAME=SOFT[,HARD]    as, nofile, core, nproc, stack, cpu, fsize, data
 *   ruid:UID                   the real uid only, as in a set-user-id program
 *   dropcap:NAME               cap_sys_chroot, cap_sys_admin, ... or a number
 *   sigblock:N sigign:N        block, or ignore, a signal
 *   unsharefs                  a private fs_struct
 *   look:PATH                  "device:inode uid mode mount" of what is there
 *   names:DIR                  the names in a directory, one per line
 *   put:PATH                   make a new file, which must not exist
 *   mute                       print nothing from here on
 *   must                       end this process here if the last PAM call failed
 *   write:PATH=TEXT            into a file that is there, by one write
 *   pause                      wait for a line on standard input
 *   print:TEXT
 * Waiting for children:
 *   sigchld:MODE[,US]          handler, signalfd, sigtimedwait, ppoll, ign,
 *                              nocldwait: three children of the host's own; the
 *                              first ends and is reaped at once, the second ends
 *                              US microseconds (1000) into the next PAM call,
 *                              the third at "sigchld-check"
 *   sigchld:MODE,pending       the first one's SIGCHLD is left pending during the
 *                              next PAM call instead, the others end at the check
 *   sigchld-check              have all of them been heard of, and nobody else?
 */
#define _GNU_SOURCE
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <security/pam_appl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>

#include "json.h"

static const char *service = "pamhost", *user, *tty, *ruser, *rhost, *pass = "";
static pam_handle_t *pamh;
static int flags, last_rc;
static pid_t window_of; /* this process, where "window" was said */

static void window(int signal)
{
	if (window_of)
		kill(window_of, signal);
}

/* ---- PAM ---- */

static int converse(int n, const struct pam_message **messages, struct pam_response **answers, void *data)
{
	struct pam_response *r;

	(void)data;
	window(SIGSYS);
	r = calloc((size_t)n, sizeof *r);
	for (int i = 0; r && i < n; i++) {
		int style = messages[i]->msg_style;

		if (style == PAM_PROMPT_ECHO_OFF || style == PAM_PROMPT_ECHO_ON) {
			r[i].resp = strdup(pass);
			continue;
		}
		json_open("message");
		json_text("Style", style == PAM_ERROR_MSG ? "error" : "info");
		json_text("Text", messages[i]->msg);
		json_close();
	}
	*answers = r;
	window(SIGSYS);
	return r ? PAM_SUCCESS : PAM_BUF_ERR;
}

static void step_start(void)
{
	static const struct pam_conv conv = { converse, NULL };

	last_rc = pam_start(service, user, &conv, &pamh);
	if (last_rc == PAM_SUCCESS && tty)
		last_rc = pam_set_item(pamh, PAM_TTY, tty);
	if (last_rc == PAM_SUCCESS && ruser)
		last_rc = pam_set_item(pamh, PAM_RUSER, ruser);
	if (last_rc == PAM_SUCCESS && rhost)
		last_rc = pam_set_item(pamh, PAM_RHOST, rhost);
}

static void sigchld_release_second(void);

static bool step_pam(const char *step)
{
	if (strcmp(step, "start") == 0) {
		step_start();
	} else if (!pamh) {
		return false;
	} else if (strcmp(step, "auth") == 0) {
		last_rc = pam_authenticate(pamh, flags);
	} else if (strcmp(step, "acct") == 0) {
		last_rc = pam_acct_mgmt(pamh, flags);
	} else if (strcmp(step, "cred") == 0) {
		last_rc = pam_setcred(pamh, PAM_ESTABLISH_CRED | flags);
	} else if (strcmp(step, "open") == 0) {
		sigchld_release_second();
		window(SIGTRAP);
		last_rc = pam_open_session(pamh, flags);
		window(SIGTRAP);
	} else if (strcmp(step, "close") == 0) {
		sigchld_release_second();
		window(SIGTRAP);
		last_rc = pam_close_session(pamh, flags);
		window(SIGTRAP);
	} else if (strcmp(step, "end") == 0) {
		last_rc = pam_end(pamh, last_rc);
	} else if (strcmp(step, "end-silent") == 0) {
		last_rc = pam_end(pamh, last_rc | PAM_DATA_SILENT);
	} else {
		return false;
	}
	json_open(step);
	json_int("RC", last_rc);
	json_text("Text", pam_strerror(pamh, last_rc));
	json_close();
	if (strncmp(step, "end", 3) == 0)
		pamh = NULL;
	return true;
}

/* ---- commands and children ---- */

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static struct passwd *account(void)
{
	struct passwd *pw = user ? getpwnam(user) : NULL;

	if (!pw) {
		fprintf(stderr, "no account %s\n", user ? user : "(none)");
		exit(97);
	}
	return pw;
}

static void become_user(void)
{
	struct passwd *pw = account();

	if (initgroups(pw->pw_name, pw->pw_gid) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
	    setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid))
		die("become the user");
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void inspect(char *dirs, FILE *out)
{
	for (char *dir = strtok(dirs, " "); dir; dir = strtok(NULL, " ")) {
		struct dirent **names;
		char path[PATH_MAX];
		struct stat st = { 0 };
		int n, fd;

		if (stat(dir, &st))
			fprintf(out, "%s: %s\n", dir, strerror(errno));
		fprintf(out, "%s %u:%u %o:", dir, st.st_uid, st.st_gid, st.st_mode & 07777);
		snprintf(path, sizeof path, "%s/mine", dir);
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
		if (fd < 0)
			fprintf(out, " %s!", strerror(errno));
		close(fd);
		n = scandir(dir, &names, NULL, by_name);
		for (int i = 0; i < n; i++)
			fprintf(out, " %s", names[i]->d_name);
		fputc('\n', out);
	}
	fclose(out);
}

/* Waits for one child; true unless somebody else has reaped it. */
static bool wait_for(pid_t pid, int *status)
{
	pid_t got;

	do
		got = waitpid(pid, status, 0);
	while (got < 0 && errno == EINTR);
	return got == pid;
}

static void step_exec(const char *step, const char *command, bool as_user)
{
	static char out[1 << 16];
	size_t have = 0;
	int fds[2], status = 0;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		dup2(fds[1], 1);
		dup2(fds[1], 2);
		if (as_user)
			become_user();
		if (strcmp(step, "inspect") == 0) {
			inspect(strdup(command), fdopen(1, "w"));
			_exit(0);
		}
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		_exit(126);
	}
	close(fds[1]);
	for (;;) {
		ssize_t n = read(fds[0], out + have, sizeof out - 1 - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	close(fds[0]);
	while (have && out[have - 1] == '\n')
		have--;
	out[have] = 0;
	if (!wait_for(pid, &status))
		status = 0; /* SIG_IGN, SA_NOCLDWAIT */
	json_open(step);
	json_int("RC", exit_code(status));
	json_text("Text", out);
	json_close();
}

/* ---- SIGCHLD ---- */

enum { OWN = 3, HEARD = 256 };
static struct child {
	pid_t pid;
	int release; /* writing end of the pipe that it waits on */
	bool gone;
} children[OWN];
static const char *mode;
static int signal_fd = -1;
static bool armed, leave_pending;
static int used; /* how much of heard has led to reaping */
static volatile sig_atomic_t heard_count;
static volatile pid_t heard[HEARD];

static void heard_of(pid_t pid)
{
	if (heard_count < HEARD)
		heard[heard_count++] = pid;
}

static void on_sigchld(int n, siginfo_t *info, void *context)
{
	(void)n;
	(void)context;
	heard_of(info->si_pid);
}

static bool is(const char *wanted)
{
	return mode && strcmp(mode, wanted) == 0;
}

static void sigchld_mode(const char *wanted)
{
	struct sigaction a = { .sa_sigaction = on_sigchld, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigset_t set;

	mode = wanted;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (is("ign")) {
		a.sa_flags = 0;
		a.sa_handler = SIG_IGN;
	} else if (is("nocldwait")) {
		a.sa_flags |= SA_NOCLDWAIT;
	} else if (is("signalfd") || is("sigtimedwait")) {
		a.sa_flags = 0;
		a.sa_handler = SIG_DFL;
		sigprocmask(SIG_BLOCK, &set, NULL);
	} else if (is("ppoll")) {
		sigprocmask(SIG_BLOCK, &set, NULL);
	} else if (!is("handler")) {
		fprintf(stderr, "sigchld: unknown mode %s\n", wanted);
		exit(97);
	}
	sigaction(SIGCHLD, &a, NULL);
	if (is("signalfd") && signal_fd < 0)
		signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Does the kernel still know it, other than as a zombie? */
static bool runs(pid_t pid)
{
	siginfo_t info = { 0 };

	if (kill(pid, 0))
		return false;
	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
}

static void child_start(struct child *c, long delay_us)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		die("pipe");
	c->gone = false;
	c->release = fds[1];
	c->pid = fork();
	if (c->pid < 0)
		die("fork");
	if (c->pid == 0) {
		struct timespec t = { 0, delay_us * 1000 };
		char b;

		for (int i = 0; i < OWN; i++)
			if (&children[i] <= c)
				close(children[i].release);
		while (read(fds[0], &b, 1) < 0 && errno == EINTR)
			;
		nanosleep(&t, NULL);
		_exit(0);
	}
	close(fds[0]);
}

static void child_release(struct child *c)
{
	if (c->release >= 0)
		close(c->release);
	c->release = -1;
}

static void child_await_end(struct child *c)
{
	siginfo_t info;

	/* ECHILD where nobody may wait: then it has ended. */
	while (waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR)
		;
}


static void sigchld_release_second(void)
{
	if (armed && !leave_pending)
		child_release(&children[1]);
}

/* Waits, in the way that the host waits, until something is heard or the
 * deadline is over. */
static bool hear(long ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
	sigset_t set, open;
	int before = heard_count;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, NULL, &open);
	sigdelset(&open, SIGCHLD);
	if (is("signalfd")) {
		struct pollfd p = { signal_fd, POLLIN, 0 };
		struct signalfd_siginfo info;

		if (poll(&p, 1, (int)ms) > 0 && read(signal_fd, &info, sizeof info) == sizeof info)
			heard_of((pid_t)info.ssi_pid);
	} else if (is("sigtimedwait")) {
		siginfo_t info;

		if (sigtimedwait(&set, &info, &t) == SIGCHLD)
			heard_of(info.si_pid);
	} else if (is("ppoll")) {
		ppoll(NULL, 0, &t, &open);
	} else {
		/* A handler: block, look, wait; so nothing slips in between. */
		sigset_t old;

		sigprocmask(SIG_BLOCK, &set, &old);
		if (before == heard_count)
			ppoll(NULL, 0, &t, &open);
		sigprocmask(SIG_SETMASK, &old, NULL);
	}
	return heard_count > before;
}

static void reap(int *strangers)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);
		bool own = false;

		if (pid <= 0)
			break;
		for (int i = 0; i < OWN; i++) {
			if (children[i].pid == pid) {
				children[i].gone = true;
				own = true;
			}
		}
		*strangers += !own;
	}
	if (is("nocldwait"))
		for (int i = 0; i < OWN; i++)
			children[i].gone |= !runs(children[i].pid);
}

static int missing(int first, int last)
{
	int n = 0;

	for (int i = first; i <= last; i++)
		n += !children[i].gone;
	return n;
}

/* Reaps only after something was heard: a notification that never comes is a
 * child that is lost, as it would be in a host that waits for ever. */
static int collect(int first, int last, int *strangers)
{
	if (is("ign")) {
		/* No notification exists; the children must still come to an end. */
		for (int i = first; i <= last; i++) {
			child_await_end(&children[i]);
			children[i].gone = !runs(children[i].pid);
		}
		return missing(first, last);
	}
	for (int rounds = 0; missing(first, last) && rounds < 50; rounds++) {
		if (heard_count == used && !hear(2000))
			break;
		used = heard_count;
		reap(strangers);
	}
	return missing(first, last);
}

static bool is_own(pid_t pid)
{
	for (int i = 0; i < OWN; i++)
		if (children[i].pid == pid)
			return true;
	return false;
}

static int strangers, lost;

static void step_sigchld(const char *value)
{
	char *wanted = strdup(value);
	char *option = strchr(wanted, ',');
	long delay_us = 1000;

	if (option)
		*option++ = 0;
	leave_pending = option && strcmp(option, "pending") == 0;
	if (option && !leave_pending)
		delay_us = atol(option);
	heard_count = used = strangers = lost = 0;
	sigchld_mode(wanted);
	for (int i = 0; i < OWN; i++)
		children[i].release = -1;
	for (int i = 0; i < OWN; i++)
		child_start(&children[i], i == 1 ? delay_us : 0);
	child_release(&children[0]);
	child_await_end(&children[0]);
	if (!leave_pending)
		lost = collect(0, 0, &strangers);
	armed = true;
}

/* One after the other, so that no child's notification stands in for another's. */
static void step_sigchld_check(void)
{
	for (int i = leave_pending ? 0 : 1; i < OWN; i++) {
		child_release(&children[i]);
		lost += collect(i, i, &strangers);
	}
	while (!is("ign") && hear(20)) /* stragglers that nobody should send */
		reap(&strangers);
	for (int i = 0; i < heard_count; i++)
		strangers += !is_own(heard[i]);
	armed = false;
	json_open("sigchld-check");
	json_text("Text", mode);
	json_int("Own", OWN - lost);
	json_int("Strangers", strangers);
	json_int("Lost", lost);
	json_close();
}

/* ---- surroundings ---- */

static void *wait_for_ever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void step_threads(int n)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, old;

	/* They take no signals: those are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1 << 16);
	while (n-- > 0) {
		errno = pthread_create(&thread, &attr, wait_for_ever, NULL);
		if (errno)
			die("pthread_create");
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void step_rlimit(const char *text)
{
	static const struct {
		const char *name;
		int resource;
	} known[] = {
		{ "as", RLIMIT_AS }, { "nofile", RLIMIT_NOFILE }, { "core", RLIMIT_CORE }, { "nproc", RLIMIT_NPROC },
		{ "stack", RLIMIT_STACK }, { "cpu", RLIMIT_CPU }, { "fsize", RLIMIT_FSIZE }, { "data", RLIMIT_DATA },
	};
	const char *value = strchr(text, '=');

	for (size_t i = 0; value && i < sizeof known / sizeof *known; i++) {
		struct rlimit r;
		char *end;

		if (strncmp(text, known[i].name, (size_t)(value - text)) != 0 || known[i].name[value - text])
			continue;
		getrlimit(known[i].resource, &r);
		r.rlim_cur = strtoull(value + 1, &end, 0);
		if (*end == ',')
			r.rlim_max = strtoull(end + 1, NULL, 0);
		if (setrlimit(known[i].resource, &r))
			die("setrlimit");
		return;
	}
	fprintf(stderr, "rlimit: %s?\n", text);
	exit(97);
}

static void step_dropcap(const char *name)
{
	static const char *const names[] = {
		[CAP_CHOWN] = "cap_chown", [CAP_DAC_OVERRIDE] = "cap_dac_override",
		[CAP_DAC_READ_SEARCH] = "cap_dac_read_search", [CAP_FOWNER] = "cap_fowner", [CAP_KILL] = "cap_kill",
		[CAP_SETGID] = "cap_setgid", [CAP_SETUID] = "cap_setuid", [CAP_SYS_CHROOT] = "cap_sys_chroot",
		[CAP_SYS_PTRACE] = "cap_sys_ptrace", [CAP_SYS_ADMIN] = "cap_sys_admin", [CAP_MKNOD] = "cap_mknod",
		[CAP_SYS_RESOURCE] = "cap_sys_resource", [CAP_AUDIT_WRITE] = "cap_audit_write",
	};
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2];
	int cap = atoi(name);

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i] && strcmp(names[i], name) == 0)
			cap = (int)i;
	if (prctl(PR_CAPBSET_DROP, cap))
		die("drop from the bounding set");
	if (syscall(SYS_capget, &header, data))
		die("capget");
	data[cap / 32].effective &= ~(1u << cap % 32);
	data[cap / 32].permitted &= ~(1u << cap % 32);
	data[cap / 32].inheritable &= ~(1u << cap % 32);
	if (syscall(SYS_capset, &header, data))
		die("capset");
}

static void step_signal(const char *name, int number)
{
	sigset_t set;

	if (strcmp(name, "sigign") == 0) {
		signal(number, SIG_IGN);
		return;
	}
	sigemptyset(&set);
	sigaddset(&set, number);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/* What this process sees at a path, without a command, links followed. */
static void step_look(const char *step, const char *path)
{
	char text[128] = "";
	struct statx x;
	struct stat st;
	int rc = 0;

	if (stat(path, &st) || statx(AT_FDCWD, path, 0, STATX_MNT_ID, &x))
		rc = errno;
	else
		snprintf(text, sizeof text, "%llu:%llu %u %o %llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
			 st.st_uid, st.st_mode & 07777, (unsigned long long)x.stx_mnt_id);
	json_open(step);
	json_int("RC", rc);
	json_text("Text", rc ? strerror(rc) : text);
	json_close();
}

static void step_names(const char *step, const char *path)
{
	static char text[1 << 16];
	size_t have = 0;
	DIR *d = opendir(path);
	struct dirent *e;

	text[0] = 0;
	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && have + strlen(e->d_name) + 2 < sizeof text)
			have += (size_t)sprintf(text + have, "%s%s", have ? "\n" : "", e->d_name);
	json_open(step);
	json_int("RC", d ? 0 : errno);
	json_text("Text", text);
	json_close();
	if (d)
		closedir(d);
}

static void step_put(const char *step, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644), rc = fd < 0 ? errno : 0;

	if (!rc && write(fd, path, strlen(path)) < 0)
		rc = errno;
	if (fd >= 0)
		close(fd);
	json_open(step);
	json_int("RC", rc);
	json_text("Text", rc ? strerror(rc) : path);
	json_close();
}

static bool setting(const char *step)
{
	static const struct {
		const char *prefix;
		const char **value;
	} known[] = {
		{ "service=", &service }, { "user=", &user }, { "tty=", &tty },
		{ "ruser=", &ruser }, { "rhost=", &rhost }, { "pass=", &pass },
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
		size_t n = strlen(known[i].prefix);

		if (strncmp(step, known[i].prefix, n) == 0) {
			*known[i].value = step + n;
			return true;
		}
	}
	if (strcmp(step, "window") == 0) {
		window_of = getpid();
		return true;
	}
	if (strcmp(step, "silent") == 0) {
		flags |= PAM_SILENT;
		return true;
	}
	return false;
}

/* ---- several sessions ---- */

static void step_handle(unsigned int n)
{
	static struct { pam_handle_t *pamh; const char *user; } handles[8];
	static unsigned int now;

	if (n >= sizeof handles / sizeof *handles)
		die("handle");
	handles[now].pamh = pamh;
	handles[now].user = user;
	now = n;
	pamh = handles[now].pamh;
	user = handles[now].user;
}

static void step_write(const char *value)
{
	char path[256];
	const char *text = strchr(value, '=');
	size_t n = text ? (size_t)(text - value) : sizeof path;
	int fd;

	if (n >= sizeof path)
		die(value);
	memcpy(path, value, n);
	path[n] = '\0';
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text + 1, strlen(text + 1)) < 0)
		die(value);
	close(fd);
}

static bool surroundings(const char *name, const char *value)
{
	int a, b;
	char c;

	if (strcmp(name, "chroot") == 0) {
		if (chroot(value) || chdir("/"))
			die(value);
	} else if (strcmp(name, "cwd") == 0) {
		if (chdir(value))
			die(value);
	} else if (strcmp(name, "umask") == 0) {
		umask((mode_t)strtoul(value, NULL, 8));
	} else if (strcmp(name, "closefd") == 0) {
		close(atoi(value));
	} else if (strcmp(name, "dup2") == 0 && sscanf(value, "%d,%d", &a, &b) == 2) {
		dup2(a, b);
	} else if (strcmp(name, "setenv") == 0) {
		putenv(strdup(value));
	} else if (strcmp(name, "rlimit") == 0) {
		step_rlimit(value);
	} else if (strcmp(name, "ruid") == 0) {
		if (setresuid((uid_t)atoi(value), (uid_t)-1, (uid_t)-1))
			die("setresuid");
	} else if (strcmp(name, "dropcap") == 0) {
		step_dropcap(value);
	} else if (strcmp(name, "sigblock") == 0 || strcmp(name, "sigign") == 0) {
		step_signal(name, atoi(value));
	} else if (strcmp(name, "threads") == 0) {
		step_threads(atoi(value));
	} else if (strcmp(name, "unsharefs") == 0) {
		if (unshare(CLONE_FS))
			die("unshare");
	} else if (strcmp(name, "handle") == 0) {
		step_handle((unsigned int)atoi(value));
	} else if (strcmp(name, "write") == 0) {
		step_write(value);
	} else if (strcmp(name, "unpriv") == 0) {
		become_user();
	} else if (strcmp(name, "pause") == 0) {
		while (read(0, &c, 1) == 1 && c != '\n')
			;
	} else {
		return false;
	}
	return true;
}

/* ---- the script ---- */

static char **run(char **step);

/* The step after the "join" that belongs to this block. */
static char **after_join(char **step)
{
	int depth = 1;

	for (; *step; step++) {
		depth += strcmp(*step, "fork") == 0 || strcmp(*step, "in-thread") == 0;
		depth -= strcmp(*step, "join") == 0;
		if (depth == 0)
			return step + 1;
	}
	fprintf(stderr, "no join\n");
	exit(97);
}

static char **block_fork(char **step)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		run(step);
		_exit(0); /* as systemd and sshd do: no atexit, no destructors */
	}
	if (!wait_for(pid, &status))
		status = 0;
	json_open("join");
	json_int("RC", exit_code(status));
	json_close();
	if (status)
		exit(96);
	return after_join(step);
}

static void *thread_steps(void *step)
{
	run(step);
	return NULL;
}

static char **block_thread(char **step)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, thread_steps, step);
	if (errno)
		die("pthread_create");
	pthread_join(thread, NULL);
	return after_join(step);
}

static void one(char *step)
{
	char name[32];
	char *value = strchr(step, ':');

	if (strcmp(step, "sigchld-check") == 0) {
		step_sigchld_check();
		return;
	}
	if (setting(step) || step_pam(step))
		return;
	if (strncmp(step, "snapshot:", 9) == 0) {
		snapshot(step);
		return;
	}
	snprintf(name, sizeof name, "%.*s", value ? (int)(value - step) : 31, step);
	value = value ? value + 1 : "";
	if (strcmp(name, "exec") == 0 || strcmp(name, "root-exec") == 0 || strcmp(name, "inspect") == 0) {
		step_exec(name, value, name[0] != 'r');
		return;
	}
	if (strcmp(name, "look") == 0) {
		step_look(name, value);
		return;
	}
	if (strcmp(name, "mute") == 0) {
		json_mute = true;
		return;
	}
	if (strcmp(name, "must") == 0) {
		if (last_rc != PAM_SUCCESS)
			_exit(0);
		return;
	}
	if (strcmp(name, "names") == 0) {
		step_names(name, value);
		return;
	}
	if (strcmp(name, "put") == 0) {
		step_put(name, value);
		return;
	}
	if (strcmp(name, "sigchld") == 0)
		step_sigchld(value);
	else if (strcmp(name, "print") != 0 && !surroundings(name, value)) {
		fprintf(stderr, "unknown step, or not now: %s\n", step);
		exit(97);
	}
	json_open(name);
	json_text("Text", value);
	json_close();
}

/* Runs the steps up to the end or to the "join" of this block. */
static char **run(char **step)
{
	while (*step && strcmp(*step, "join") != 0) {
		if (strcmp(*step, "fork") == 0)
			step = block_fork(step + 1);
		else if (strcmp(*step, "in-thread") == 0)
			step = block_thread(step + 1);
		else
			one(*step++);
	}
	return step;
}

int main(int argc, char **argv)
{
	(void)argc;
	/* Opened now, so that a module's first message leaves no new descriptor. */
	openlog("pamhost", LOG_PID | LOG_NDELAY, LOG_AUTHPRIV);
	run(argv + 1);
	return 0;
}
