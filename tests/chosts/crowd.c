/* crowd MODE COUNT USER...: many sessions, one after the other, each in a child
 * of its own, for the users in turn.
 *
 *   live       each session stays until all are open
 *   sequence   each is closed before the next one
 *   none       children that open nothing, for comparison
 *
 * Before the sessions of "live" and "none" are closed, one after the other, it
 * prints "full" and waits for a line. At the end it prints one line of numbers:
 *
 *   opened N failed N first US median US last US closed US US kernel KB user KB
 *
 * first and last are the medians of the first and the last ten opens; the same of
 * the closes: the first are those with all others still there. kernel is
 * what the kernel's memory grew by while they lived, user the memory of the
 * children themselves (PSS), both of all together.
 */
#define _GNU_SOURCE
#include <security/pam_appl.h>
#include <sys/wait.h>
#include <time.h>

#include "json.h"

struct result {
	int rc;
	long us;
};

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int converse(int n, const struct pam_message **m, struct pam_response **r, void *data)
{
	(void)m;
	(void)data;
	*r = calloc((size_t)n, sizeof **r);
	return *r ? PAM_SUCCESS : PAM_BUF_ERR;
}

static long sum(const char *path, const char *const *keys)
{
	FILE *f = fopen(path, "re");
	char text[256];
	long total = 0, kb;

	while (f && fgets(text, sizeof text, f))
		for (int i = 0; keys[i]; i++)
			if (strncmp(text, keys[i], strlen(keys[i])) == 0 && sscanf(text + strlen(keys[i]), " %ld", &kb) == 1)
				total += kb;
	if (f)
		fclose(f);
	return total;
}

static long kernel_kb(void)
{
	static const char *const keys[] = { "SUnreclaim:", "KernelStack:", "PageTables:", "Percpu:", NULL };

	return sum("/proc/meminfo", keys);
}

static long user_kb(const pid_t *pids, int n)
{
	static const char *const keys[] = { "Pss:", NULL };
	long total = 0;
	char path[64];

	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pids[i]);
		total += sum(path, keys);
	}
	return total;
}

static void session(const char *mode, const char *user, int report, int release)
{
	static const struct pam_conv conv = { converse, NULL };
	struct result r = { 0, 0 };
	pam_handle_t *pamh = NULL;
	char c;

	if (strcmp(mode, "none") != 0) {
		if (pam_start("pamhost", user, &conv, &pamh) != PAM_SUCCESS)
			_exit(1);
		r.us = now_us();
		r.rc = pam_open_session(pamh, 0);
		r.us = now_us() - r.us;
	}
	if (write(report, &r, sizeof r) != sizeof r)
		_exit(1);
	if (strcmp(mode, "sequence") != 0)
		while (read(release, &c, 1) < 0 && errno == EINTR)
			;
	if (pamh && r.rc == PAM_SUCCESS) {
		r.us = now_us();
		r.rc = pam_close_session(pamh, 0);
		r.us = now_us() - r.us;
	}
	if (write(report, &r, sizeof r) != sizeof r)
		_exit(1);
	_exit(r.rc != PAM_SUCCESS);
}

static int compare(const void *a, const void *b)
{
	long x = *(const long *)a, y = *(const long *)b;

	return (x > y) - (x < y);
}

static long median(const long *from, int n)
{
	long *copy = calloc((size_t)n, sizeof *copy), m;

	if (!copy)
		die("calloc");
	memcpy(copy, from, (size_t)n * sizeof *copy);
	qsort(copy, (size_t)n, sizeof *copy, compare);
	m = copy[n / 2];
	free(copy);
	return m;
}

int main(int argc, char **argv)
{
	int count = argc > 3 ? atoi(argv[2]) : 0, report[2], release[2], failed = 0, status;
	bool sequence = count > 0 && strcmp(argv[1], "sequence") == 0;
	pid_t *pids = calloc((size_t)count + 1, sizeof *pids);
	long *us = calloc((size_t)count + 1, sizeof *us), *closed = calloc((size_t)count + 1, sizeof *closed), kernel = 0, user = 0;
	char c;

	if (count < 10 || !pids || !us || !closed || pipe2(report, O_CLOEXEC) || pipe2(release, O_CLOEXEC)) {
		fprintf(stderr, "usage: crowd live|sequence|none COUNT USER..., from 10 on\n");
		return 2;
	}
	kernel = kernel_kb();
	for (int i = 0; i < count; i++) {
		struct result r;

		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (pids[i] == 0) {
			close(release[1]);
			session(argv[1], argv[3 + i % (argc - 3)], report[1], release[0]);
		}
		if (read(report[0], &r, sizeof r) != sizeof r)
			die("read");
		failed += r.rc != PAM_SUCCESS;
		us[i] = r.us;
		if (sequence && read(report[0], &r, sizeof r) != sizeof r)
			die("read");
		closed[i] = r.us;
		if (sequence && (waitpid(pids[i], &status, 0) != pids[i] || status))
			failed += r.rc == PAM_SUCCESS;
	}
	if (!sequence) {
		kernel = kernel_kb() - kernel;
		user = user_kb(pids, count);
		printf("full\n");
		fflush(stdout);
		while (read(0, &c, 1) == 1 && c != '\n')
			;
		for (int i = 0; i < count; i++) {
			struct result r;

			if (write(release[1], "x", 1) != 1 || read(report[0], &r, sizeof r) != sizeof r)
				die("close");
			closed[i] = r.us;
		}
		for (int i = 0; i < count; i++)
			if (waitpid(pids[i], &status, 0) != pids[i] || status)
				failed++;
	}
	printf("opened %d failed %d first %ld median %ld last %ld closed %ld %ld kernel %ld user %ld\n", count, failed,
	       median(us, 10), median(us, count), median(us + count - 10, 10), median(closed, 10), median(closed + count - 10, 10), sequence ? 0 : kernel, user);
	return failed != 0;
}
