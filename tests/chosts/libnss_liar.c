// libnss_liar.so.2 is a source for nsswitch.conf(5) that answers what
// /run/nss-liar tells it, a line each; where that is silent, NOTFOUND:
//
//	user NAME UID GID HOME
//	group NAME GID
//	member USER GID
//	say FUNCTION STATUS ERRNO    FUNCTION: getpwnam getpwuid getgrnam initgroups
//	                             STATUS: a value of enum nss_status
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <nss.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// words are those of one line.
struct words { char w[5][200]; };

static int next(FILE *f, struct words *x)
{
	char line[1000];
	if (!fgets(line, sizeof line, f))
		return 0;
	memset(x, 0, sizeof *x);
	sscanf(line, "%199s %199s %199s %199s %199s", x->w[0], x->w[1], x->w[2], x->w[3], x->w[4]);
	return 1;
}

// lies reports whether the answer of this function is known: the file says which,
// or cannot be read.
static int lies(const char *function, enum nss_status *status, int *err)
{
	FILE *f = fopen("/run/nss-liar", "re");
	struct words x;
	int found = 0;
	if (!f) {
		*status = NSS_STATUS_UNAVAIL;
		*err = errno;
		return 1;
	}
	while (!found && next(f, &x))
		if (!strcmp(x.w[0], "say") && !strcmp(x.w[1], function)) {
			*status = atoi(x.w[2]);
			*err = atoi(x.w[3]);
			found = 1;
		}
	fclose(f);
	return found;
}

// find looks for the line of a kind whose word at is value.
static enum nss_status find(const char *kind, int at, const char *value, struct words *x, int *err)
{
	FILE *f = fopen("/run/nss-liar", "re");
	int found = 0;
	*err = errno;
	if (!f)
		return NSS_STATUS_UNAVAIL;
	while (!found && next(f, x))
		found = !strcmp(x->w[0], kind) && !strcmp(x->w[at], value);
	fclose(f);
	*err = ENOENT;
	return found ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND;
}

static enum nss_status user(int at, const char *value, struct passwd *p, char *buf, size_t size, int *err)
{
	struct words x;
	enum nss_status status = find("user", at, value, &x, err);
	if (status != NSS_STATUS_SUCCESS)
		return status;
	size_t name = strlen(x.w[1]) + 1, home = strlen(x.w[4]) + 1;
	if (size < name + home) {
		*err = ERANGE;
		return NSS_STATUS_TRYAGAIN;
	}
	p->pw_name = memcpy(buf, x.w[1], name);
	p->pw_dir = memcpy(buf + name, x.w[4], home);
	p->pw_passwd = p->pw_gecos = "";
	p->pw_shell = "/bin/sh";
	p->pw_uid = (uid_t)atol(x.w[2]);
	p->pw_gid = (gid_t)atol(x.w[3]);
	return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_liar_getpwnam_r(const char *name, struct passwd *p, char *buf, size_t size, int *err)
{
	enum nss_status status;
	return lies("getpwnam", &status, err) ? status : user(1, name, p, buf, size, err);
}

enum nss_status _nss_liar_getpwuid_r(uid_t uid, struct passwd *p, char *buf, size_t size, int *err)
{
	enum nss_status status;
	char text[20];
	snprintf(text, sizeof text, "%u", uid);
	return lies("getpwuid", &status, err) ? status : user(2, text, p, buf, size, err);
}

static enum nss_status group(int at, const char *value, struct group *g, char *buf, size_t size, int *err)
{
	static char *nobody[] = {NULL};
	struct words x;
	enum nss_status status = find("group", at, value, &x, err);
	if (status != NSS_STATUS_SUCCESS)
		return status;
	size_t name = strlen(x.w[1]) + 1;
	if (size < name) {
		*err = ERANGE;
		return NSS_STATUS_TRYAGAIN;
	}
	g->gr_name = memcpy(buf, x.w[1], name);
	g->gr_passwd = "";
	g->gr_gid = (gid_t)atol(x.w[2]);
	g->gr_mem = nobody;
	return NSS_STATUS_SUCCESS;
}

enum nss_status _nss_liar_getgrnam_r(const char *name, struct group *g, char *buf, size_t size, int *err)
{
	enum nss_status status;
	return lies("getgrnam", &status, err) ? status : group(1, name, g, buf, size, err);
}

enum nss_status _nss_liar_getgrgid_r(gid_t gid, struct group *g, char *buf, size_t size, int *err)
{
	char text[20];
	snprintf(text, sizeof text, "%u", gid);
	return group(2, text, g, buf, size, err);
}

enum nss_status _nss_liar_initgroups_dyn(const char *name, gid_t gid, long *n, long *size, gid_t **groups, long limit, int *err)
{
	enum nss_status status;
	(void)gid, (void)limit;
	if (lies("initgroups", &status, err))
		return status;
	FILE *f = fopen("/run/nss-liar", "re");
	struct words x;
	if (!f) {
		*err = errno;
		return NSS_STATUS_UNAVAIL;
	}
	status = NSS_STATUS_NOTFOUND;
	while (next(f, &x)) {
		if (strcmp(x.w[0], "member") || strcmp(x.w[1], name))
			continue;
		if (*n == *size) {
			gid_t *more = realloc(*groups, sizeof **groups * (size_t)(*size *= 2));
			if (!more)
				return NSS_STATUS_TRYAGAIN;
			*groups = more;
		}
		(*groups)[(*n)++] = (gid_t)atol(x.w[2]);
		status = NSS_STATUS_SUCCESS;
	}
	fclose(f);
	return status;
}
