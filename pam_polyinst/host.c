/*
 * What libpam calls in the login program (sshd, su, login ...): the two functions of
 * a session, the question to the worker, and what is done with its answer.
 *
 * The worker decides. C judges only where no Go has run yet, or none can answer:
 * user_started() says where a worker is born, way_is_roots() and ask_ready() which
 * one is trusted, no_answer() that a dead one does not lock root out.
 * docs/DESIGN.md numbers the invariants cited here.
 */
#include "edge.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* How many sessions this thread has open in views of ours, and whose; a forked
 * child has none. The worker judges what that means. */
static __thread struct { pid_t pid; int open; char *user; } held;

static int held_here(void)
{
	return held.pid == getpid() ? held.open : 0;
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

/* Without stdio, which touches pages that a login would not. */
static void put_number(struct request *r, const char *key, unsigned long n)
{
	char digits[24], *p = digits + sizeof digits - 1;

	for (*p = 0; *p == 0 || n > 0; n /= 10)
		*--p = (char)('0' + n % 10);
	put(r, key, p);
}

/* The question, but for its end: ask() says there why no ready worker has served. */
static void make_request(struct request *r, const struct call *call, bool in_place)
{
	const struct kept *k = kept(call, false);
	const int open = held_here();
	char ns[64] = "";

	r->back = k && !call->open ? k->before.ns : -1;
	r->length = 0;
	(void)!readlink("/proc/thread-self/ns/mnt", ns, sizeof ns - 1);
	put(r, "build=", BUILD);
	const struct { const char *key; int item; } items[] = {
		{ "user=", PAM_USER }, { "service=", PAM_SERVICE }, { "tty=", PAM_TTY }, { "ruser=", PAM_RUSER }, { "rhost=", PAM_RHOST } };
	for (size_t i = 0; i < sizeof items / sizeof items[0]; i++)
		put(r, items[i].key, item(call, items[i].item));
	const struct { const char *key; unsigned long n; } numbers[] = { { "open=", call->open }, { "silent=", (call->flags & PAM_SILENT) != 0 },
		{ "inplace=", in_place }, { "back=", r->back >= 0 }, { "closes=", k && k->closes }, { "exec=", awaits_profile() },
		{ "pid=", (unsigned long)getpid() }, { "tid=", (unsigned long)gettid() }, { "ruid=", getuid() }, { "held=", (unsigned long)open } };
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
		put_number(r, numbers[i].key, numbers[i].n);
	put(r, "ns=", ns);
	put(r, "helduser=", open ? held.user : "");
	for (int i = 0; i < call->argc; i++)
		put(r, "arg=", call->argv[i]);
}

static int refused(const struct call *call, const char *why, const char *against)
{
	pam_syslog(call->pamh, LOG_ERR, "session refused: %s%s%s", why,
		against ? "; and no exception is made: " : "", against ? against : "");
	if (!(call->flags & PAM_SILENT))
		pam_error(call->pamh, "pam_polyinst: this session was refused; the system log says why");
	return PAM_PERM_DENIED; /* with PAM_SESSION_ERR, sudo would go on */
}

/* The last resort, told in pam_polyinst(8): without any answer (no memory for a
 * worker, a crash) root is admitted, to the view of process 1. In another view, or
 * if a user has started the host, that user could choose what root sees, by killing
 * or starving the worker. */
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

/* Does what the report asks. Returns an error number if it cannot be done. */
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

/* Says what is to be said, and returns what the PAM call returns. */
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
		k->asks = k->asks || !(a->report.priority & SKIP_CLOSE);
	}
	if (a->text[0])
		pam_syslog(call->pamh, a->report.priority & LOG_PRIMASK, "%s", a->text);
	if (a->tell[0] && !(call->flags & PAM_SILENT))
		pam_error(call->pamh, "%s", a->tell);
	return result;
}

/* One conversation with one worker. *retry: it has made nothing, and asks to be
 * called again, to build in place. */
static int converse(const struct call *call, bool in_place, bool *retry)
{
	struct answer a; /* not cleared: see edge.h */
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
		const struct asked w = ask(call, &request, in_place, &a);
		error = carry_out(call, &a);
		dismiss(call, &w, &a, error);
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
		leave_view(&call, held_here() > 1);
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
