/* One JSON object per line on standard output, and snapshots of this process. */
#ifndef JSON_H
#define JSON_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

extern char **environ;

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(99);
}

/* A line is collected in memory and written at once: processes share stdout. */
static FILE *line;
static char *line_text;
static size_t line_size;
static bool line_empty;

static inline void json_string(const char *s)
{
	fputc('"', line);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			fprintf(line, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			fprintf(line, "\\u%04x", c);
		else
			fputc(c, line);
	}
	fputc('"', line);
}

static inline void json_key(const char *key)
{
	if (!line_empty)
		fputc(',', line);
	line_empty = false;
	json_string(key);
	fputc(':', line);
}

static inline void json_int(const char *key, long value)
{
	json_key(key);
	fprintf(line, "%ld", value);
}

static inline void json_text(const char *key, const char *value)
{
	json_key(key);
	json_string(value ? value : "");
}

static inline void json_open(const char *step)
{
	line = open_memstream(&line_text, &line_size);
	if (!line)
		die("open_memstream");
	line_empty = true;
	fputc('{', line);
	json_text("Step", step);
	json_int("Pid", getpid());
}

static bool json_mute; /* there is no standard output any more */

static inline void json_close(void)
{
	const char *p;
	size_t left;

	fputs("}\n", line);
	fclose(line);
	for (p = line_text, left = json_mute ? 0 : line_size; left > 0;) {
		ssize_t n = write(STDOUT_FILENO, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			exit(98);
		p += n;
		left -= (size_t)n;
	}
	free(line_text);
}

/* A section of the snapshot: a list of strings. */
static bool list_empty;

static inline void list_open(const char *name)
{
	json_key(name);
	fputc('[', line);
	list_empty = true;
}

__attribute__((format(printf, 1, 2))) static inline void list_add(const char *format, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&text, format, ap) < 0)
		die("vasprintf");
	va_end(ap);
	if (!list_empty)
		fputc(',', line);
	list_empty = false;
	json_string(text);
	free(text);
}

static inline void list_close(void)
{
	fputc(']', line);
}

static inline void list_file(const char *name, const char *path, const char *const *prefixes)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	list_open(name);
	while (f && getline(&text, &size, f) > 0) {
		text[strcspn(text, "\n")] = 0;
		for (int i = 0; !prefixes || prefixes[i]; i++) {
			if (prefixes && strncmp(text, prefixes[i], strlen(prefixes[i])) != 0)
				continue;
			list_add("%s", text);
			break;
		}
	}
	list_close();
	free(text);
	if (f)
		fclose(f);
}

/* Links of a directory of /proc/self; the descriptor used to read it is left out. */
static inline void list_links(const char *name, const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	list_open(name);
	while (d && (e = readdir(d))) {
		char target[PATH_MAX], own[32];
		ssize_t n;

		snprintf(own, sizeof own, "%d", dirfd(d));
		if (e->d_name[0] == '.' || strcmp(e->d_name, own) == 0)
			continue;
		n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);
		if (n < 0)
			continue;
		target[n] = 0;
		if (strcmp(name, "fds") == 0) {
			int fd = atoi(e->d_name);

			list_add("%s -> %s fl=%o fd=%d", e->d_name, target, fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
		} else {
			list_add("%s -> %s", e->d_name, target);
		}
	}
	list_close();
	if (d)
		closedir(d);
}

static inline void list_place(const char *name, const char *path)
{
	char target[PATH_MAX] = "";
	struct stat st;
	ssize_t n = readlink(path, target, sizeof target - 1);

	list_open(name);
	if (n > 0 && stat(path, &st) == 0)
		list_add("%.*s %lu:%lu", (int)n, target, (unsigned long)st.st_dev, (unsigned long)st.st_ino);
	list_close();
}

/* What the kernel knows of a signal's action; libc's own signals too. */
struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	uint64_t mask;
};

static inline void list_signals(void)
{
	sigset_t set;
	uint64_t bits = 0;

	list_open("sigactions");
	for (int n = 1; n <= 64; n++) {
		struct kernel_sigaction a = { 0 };

		if (syscall(SYS_rt_sigaction, n, NULL, &a, sizeof a.mask) == 0 && (a.handler || a.flags))
			list_add("%d handler=%p flags=%lx mask=%llx", n, a.handler, a.flags, (unsigned long long)a.mask);
	}
	list_close();
	list_open("mask");
	syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &bits, sizeof bits);
	list_add("%016llx", (unsigned long long)bits);
	list_close();
	list_open("pending");
	if (sigpending(&set) == 0)
		for (int n = 1; n <= 64; n++)
			if (sigismember(&set, n) == 1)
				list_add("%d", n);
	list_close();
}

static inline void list_limits(void)
{
	list_open("limits");
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		struct rlimit r;

		if (getrlimit(i, &r) == 0)
			list_add("%d %llx %llx", i, (unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_max);
	}
	list_close();
}

static inline void list_rest(void)
{
	static const char *const credentials[] = { "Uid:", "Gid:", "Groups:", "Cap", "NoNewPrivs:", "Seccomp:", NULL };
	static const char *const threads[] = { "Threads:", NULL };
	char name[17] = "";
	int deathsig = -1;
	mode_t mask = umask(0);

	umask(mask);
	list_open("umask");
	list_add("%04o", mask);
	list_close();
	list_open("environ");
	for (char **e = environ; e && *e; e++)
		list_add("%s", *e);
	list_close();
	list_file("credentials", "/proc/self/status", credentials);
	list_file("threads", "/proc/self/status", threads);
	list_open("attributes");
	prctl(PR_GET_NAME, name);
	prctl(PR_GET_PDEATHSIG, &deathsig);
	list_add("name %s", name);
	list_add("dumpable %d", prctl(PR_GET_DUMPABLE));
	list_add("deathsig %d", deathsig);
	list_add("securebits %x", prctl(PR_GET_SECUREBITS));
	list_add("subreaper %d", ({ int v = -1; prctl(PR_GET_CHILD_SUBREAPER, &v); v; }));
	list_add("session %d group %d", getsid(0), getpgrp());
	list_add("priority %d", getpriority(PRIO_PROCESS, 0));
	list_close();
	list_open("timers");
	for (int i = 0; i < 3; i++) {
		struct itimerval t;

		if (getitimer(i, &t) == 0)
			list_add("%d %d", i, t.it_value.tv_sec || t.it_value.tv_usec);
	}
	list_close();
}

static inline long vm_size(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char text[256];
	long kib = -1;

	while (f && fgets(text, sizeof text, f))
		if (sscanf(text, "VmSize: %ld", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static inline void snapshot(const char *step)
{
	json_open(step);
	json_int("VMSize", vm_size());
	json_key("State");
	fputc('{', line);
	line_empty = true;
	list_links("fds", "/proc/self/fd");
	list_links("ns", "/proc/thread-self/ns");
	list_file("mountinfo", "/proc/thread-self/mountinfo", NULL);
	list_place("cwd", "/proc/thread-self/cwd");
	list_place("root", "/proc/thread-self/root");
	list_signals();
	list_limits();
	list_rest();
	fputc('}', line);
	json_close();
}

#endif
