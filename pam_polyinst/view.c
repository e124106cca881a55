/*
 * Where a thread of the host stands and what it keeps of that, who started it, and how
 * it goes from one view to another: into the session's namespace; into a copy of its
 * own, to have the view built there; out of it again.
 */
#include "edge.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

void leave_place(struct place *p)
{
	close_fd(&p->ns);
	close_fd(&p->root);
	close_fd(&p->cwd);
}

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

const char *item(const struct call *call, int which)
{
	const void *value = NULL;

	return pam_get_item(call->pamh, which, &value) == PAM_SUCCESS && value ? value : "";
}

/* Reports whether a user's process may have started the host: su has their real
 * uid, sudo and nested ones name who asks. A daemon's share of the machine is
 * the administrator's choice. */
bool user_started(const struct call *call)
{
	return getuid() != 0 || *item(call, PAM_RUSER);
}

/* Reports whether this thread has asked AppArmor for another profile from its next
 * execve(2) on. Nobody else can: whoever reads this file is told of themselves. */
bool awaits_profile(void)
{
	char first;
	int fd = open("/proc/thread-self/attr/apparmor/exec", O_RDONLY | O_CLOEXEC);
	const bool awaits = fd < 0 ? errno != ENOENT : read(fd, &first, 1) >= 0 || errno != EINVAL;

	close_fd(&fd);
	return awaits;
}

static struct place stand_here(void)
{
	return (struct place){ open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC), -1, open(".", O_PATH | O_DIRECTORY | O_CLOEXEC) };
}

/* Goes there. If a step after setns fails, the thread stands in the root directory
 * of that namespace. */
static int go_to(const struct call *call, const struct place *p)
{
	if (p->ns < 0 || unshare(CLONE_FS) < 0 || setns(p->ns, CLONE_NEWNS) < 0 ||
	    (p->root >= 0 && (fchdir(p->root) < 0 || chroot(".") < 0)))
		return -1;
	if (p->cwd < 0 || fchdir(p->cwd) < 0)
		pam_syslog(call->pamh, LOG_WARNING, "the working directory is now /: %m");
	return 0;
}

/* Goes to the working directory. The worker has been in it. If the host cannot enter
 * it all the same, the log says where it stands instead. */
static void stand(const struct call *call, const struct answer *a)
{
	if (fchdir(a->cwd) == 0)
		return;
	int error = errno;
	const char *where = fchdir(a->elsewhere) == 0 ? "an empty directory" : chdir("/") == 0 ? "/" : "it all the same";
	pam_syslog(call->pamh, LOG_WARNING, "the working directory cannot be entered, and this session stands in %s: %s", where, strerror(error));
}

/* The commit point (I-8): before setns nothing has happened to the host; after it
 * only the way to the working directory can fail. In place the host has the mount
 * namespace already, and joins the session's others. */
int join(const struct call *call, const struct answer *a)
{
	const bool needless = a->report.action == IN_PLACE && !a->report.nstypes, way_back = a->report.action == JOIN_KEEP_BACK;
	struct kept *k = kept(call, way_back);
	struct place here = NOWHERE;

	if (a->cwd < 0)
		return EMFILE; /* no descriptor was left for it: setns would lead to / */
	if (way_back)
		here = stand_here();
	if (way_back && (!k || here.ns < 0))
		pam_syslog(call->pamh, LOG_WARNING, "close: no way back to the view of before can be kept: %m");
	if (!needless && (unshare(CLONE_FS) < 0 || setns(a->pidfd, (int)a->report.nstypes) < 0)) {
		int error = errno;
		leave_place(&here);
		return error;
	}
	if (k && (here.ns >= 0 || !call->open)) {
		leave_place(&k->session);
		leave_place(&k->before);
		k->before = here;
	} else
		leave_place(&here);
	stand(call, a);
	return 0;
}

/* Gives the host a namespace in which the view is built, and notes where it was. */
int leave_to_build(struct place *before)
{
	*before = stand_here();
	before->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (unshare(CLONE_NEWNS) == 0)
		return 0;
	int error = errno;
	leave_place(before);
	return error;
}

/* Takes off the mounts that a dead worker has left, and goes back to where the host
 * was. If that is not permitted, the host keeps a copy that looks the same (I-9). */
void restore_view(const struct call *call, const struct place *before, const struct answer *a)
{
	char path[32];

	for (int i = a->mounted - 1; i >= 0; i--) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", a->mounts[i]);
		umount2(path, MNT_DETACH); /* EINVAL: it was not attached, or is off already */
	}
	if (before->root >= 0)
		go_to(call, before);
}

/* The line "close" stands at the top of a stack, as pam_selinux's does. At close the
 * modules between it and the line that opened the session clean up in the view in
 * which they opened; those behind that line do so in the session's view again. */
void leave_view(const struct call *call, bool others_open)
{
	struct kept *k = kept(call, false);

	if (!k || !k->opened)
		pam_syslog(call->pamh, LOG_WARNING, "close: this stack has a line \"close\", and no line of the module that opens sessions");
	if (!k || k->before.ns < 0 || k->session.ns >= 0 || others_open) /* these would be out of their view, too */
		return;
	k->session = stand_here();
	if (k->session.ns < 0 || go_to(call, &k->before) < 0) {
		pam_syslog(call->pamh, LOG_WARNING, "close: the modules before this one close in the session's view: %m");
		leave_place(&k->session);
	}
}

void return_to_view(const struct call *call)
{
	struct kept *k = kept(call, false);

	if (!k || k->session.ns < 0)
		return;
	if (go_to(call, &k->session) < 0)
		pam_syslog(call->pamh, LOG_WARNING, "close: the session's view cannot be entered again: %m; `polyinst gc` removes what is left");
	leave_place(&k->session);
}

/* Says why this program does not stand in the view of process 1: it has another
 * namespace (namespaces(7)) or root directory. NULL: it stands there. Any other view
 * may be one that a user chose: nobody gets in there without an answer, or by rescue.
 * What cannot be read speaks against it, except in a program that no user has
 * started: its domain or capabilities may deny it the look at process 1. */
const char *away(const struct call *call)
{
	static const char *const kinds[] = { "mnt", "ipc", "uts", "net" };
	const bool may_be_denied = !user_started(call);
	struct statfs fs = { 0 };
	struct statx here, there;

	if (call->judged)
		return call->away;
	/* by path: a descriptor more may be too many */
	if (statfs("/proc", &fs) < 0 && errno == EACCES && may_be_denied)
		return NULL;
	if (fs.f_type != PROC_SUPER_MAGIC)
		return "whether this program stands in the view of process 1 cannot be told: /proc is not mounted";
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
		char path[32], own[64] = "", first[64] = "";
		snprintf(path, sizeof path, "/proc/thread-self/ns/%s", kinds[i]);
		ssize_t n = readlink(path, own, sizeof own - 1);
		if (n < 0 && errno == ENOENT && i > 0)
			continue; /* this kernel has none of that kind */
		snprintf(path, sizeof path, "/proc/1/ns/%s", kinds[i]);
		ssize_t m = readlink(path, first, sizeof first - 1);
		if (n >= 0 && m < 0 && errno == EACCES && may_be_denied)
			return NULL;
		if (n < 0 || m < 0)
			return "whether this program stands in the view of process 1 cannot be told: reading /proc/1/ns was refused "
				"(CAP_SYS_PTRACE, or SELinux without the policy module in dist/selinux)";
		if (strcmp(own, first) != 0)
			return "this program does not stand in the view of process 1";
	}
	if (statx(AT_FDCWD, "/", 0, STATX_MNT_ID, &here) < 0 || statx(AT_FDCWD, "/proc/1/root", 0, STATX_MNT_ID, &there) < 0 ||
	    here.stx_mnt_id != there.stx_mnt_id || here.stx_ino != there.stx_ino)
		return "this program does not have the root directory of process 1";
	return NULL;
}
