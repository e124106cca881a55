/* benchhost ROUNDS SEED CELLS: measures PAM sessions, and what any module at
 * least has to do. CELLS is a file with one cell per line, its fields separated
 * by one blank:
 *
 *   KIND SERVICE USER POLYDIRS MOUNTS MEMORY CONF FRESH HOLD EVERY PAUSE
 *
 *   KIND      pam: pam_start ... pam_end of SERVICE; floor: the system calls of
 *             any module; shape: those in a child that the host joins; join: a
 *             setns
 *   POLYDIRS  /srv/p1 ... /srv/pN must be covered by an open
 *   MOUNTS    of the namespace in which the host runs
 *   MEMORY    MB that the host has touched
 *   CONF      file mounted over /etc/security/namespace.conf, or "-"
 *   FRESH     directory whose subdirectories p1 ... pN lose their entry USER, and
 *             the lock of that, before each open; or "-"
 *   HOLD      1: another session of the same cell is open all the time
 *   EVERY     the cell runs in every EVERYth round
 *   PAUSE     milliseconds of rest before each session
 *
 * Each round visits the cells in a new random order. Each session runs in a
 * process of its own, forked from one that has the cell's mounts. One line per
 * session: the cell's number, PAM's two return values, how many polydirs were
 * covered; nanoseconds of start (which loads the modules), open, close, end and
 * exit; of the process after the open KiB of memory of its own (smaps_rollup:
 * Anonymous) and threads; and of the open, with all children, page faults and
 * switches to other threads.
 *
 * benchhost machine: nanoseconds of a system call, of a page fault, and of a
 * fork with the end of the child.
 *
 * benchhost trace CELLS NUMBER: one session of one cell without a fork, with
 * write(-1, "open") and so on before each step, to be run by strace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MS_REC
#define MS_REC 16384UL
#define MS_PRIVATE (1UL << 18)
#define MS_SLAVE (1UL << 19)
#define MS_SHARED (1UL << 20)
#define MS_BIND 4096UL
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
extern int mount(const char *, const char *, const char *, unsigned long, const void *);

enum { CELLS_MAX = 200, STEPS = 5, DIRS_MAX = 64 };

struct cell {
	char kind[16], service[64], user[64], conf[256], fresh[256];
	int polydirs, mounts, memory, hold, every, pause;
	int zygote; /* its socket */
};

struct sample {
	int cell, opened, closed, covered;
	int64_t ns[STEPS];
	long private_kib, threads, faults, switches;
};

static struct cell cells[CELLS_MAX];
static int ncells;
static bool tracing;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "benchhost: %s: %s\n", what, strerror(errno));
	exit(99);
}

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void read_cells(const char *path)
{
	FILE *f = fopen(path, "re");
	struct cell *c;

	if (!f)
		die(path);
	for (c = cells; ncells < CELLS_MAX && fscanf(f, "%15s %63s %63s %d %d %d %255s %255s %d %d %d",
			c->kind, c->service, c->user, &c->polydirs, &c->mounts, &c->memory,
			c->conf, c->fresh, &c->hold, &c->every, &c->pause) == 11; c++)
		ncells++;
	if (!feof(f))
		die("cells: not understood");
	fclose(f);
}

/* ---- the floor: what any module has to do -------------------------------- */

static void build(const struct cell *c)
{
	struct mount_attr slave = { .propagation = MS_SLAVE };
	struct mount_attr safe = { .attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, .propagation = MS_PRIVATE };
	char path[64];

	if (unshare(CLONE_NEWNS) < 0)
		die("unshare");
	if (syscall(SYS_mount_setattr, AT_FDCWD, "/", AT_RECURSIVE, &slave, sizeof slave) < 0)
		die("mount_setattr");
	for (int i = 1; i <= c->polydirs; i++) {
		snprintf(path, sizeof path, "/srv/p%d", i);
		int polydir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		snprintf(path, sizeof path, "/var/lib/floor/p%d", i);
		int instance = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		int tree = (int)syscall(SYS_open_tree, instance, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
		if (polydir < 0 || tree < 0 ||
		    syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &safe, sizeof safe) < 0 ||
		    syscall(SYS_move_mount, tree, "", polydir, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
			die("floor");
		close(tree);
		close(instance);
		close(polydir);
	}
}

/* The same in a child, whose namespace the host joins. */
static void build_aside(const struct cell *c)
{
	int pair[2];
	char byte = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid_t pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
	if (pid == 0) {
		build(c);
		if (write(pair[1], &byte, 1) != 1 || read(pair[1], &byte, 1) != 1)
			_exit(1);
		_exit(0);
	}
	close(pair[1]);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (read(pair[0], &byte, 1) != 1 || unshare(CLONE_FS) < 0 || setns(pidfd, CLONE_NEWNS) < 0 ||
	    write(pair[0], &byte, 1) != 1 || waitpid(pid, NULL, __WALL) != pid)
		die("shape");
	close(pidfd);
	close(pair[0]);
}

static int prepared_ns = -1;

static void prepare_join(const struct cell *c)
{
	int pair[2];
	char byte;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0)
		die("socketpair");
	pid_t pid = fork();
	if (pid == 0) {
		close(pair[0]);
		build(c);
		if (write(pair[1], "", 1) != 1 || read(pair[1], &byte, 1) < 0)
			_exit(1);
		_exit(0);
	}
	close(pair[1]);
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/mnt", pid);
	if (read(pair[0], &byte, 1) != 1 || (prepared_ns = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		die("prepare a namespace");
	close(pair[0]);
	waitpid(pid, NULL, 0);
}

/* ---- one session --------------------------------------------------------- */

static int converse(int n, const struct pam_message **m, struct pam_response **r, void *data)
{
	(void)n, (void)m, (void)data;
	*r = NULL;
	return PAM_CONV_ERR;
}

static void mark(const char *step)
{
	if (tracing && write(-1, step, strlen(step)) < 0 && errno != EBADF)
		die(step);
}

static int64_t step(const char *name, int64_t since, int64_t *took)
{
	int64_t t = now();
	if (took)
		*took = t - since;
	mark(name);
	return now();
}

static void look(const struct cell *c, struct stat *dirs)
{
	char path[64];

	for (int i = 0; i < c->polydirs; i++) {
		snprintf(path, sizeof path, "/srv/p%d", i + 1);
		if (stat(path, &dirs[i]) < 0)
			die(path);
	}
}

static long number_in(const char *file, const char *key)
{
	char text[256];
	long n = -1;
	FILE *f = fopen(file, "re");

	while (f && fgets(text, sizeof text, f))
		if (strncmp(text, key, strlen(key)) == 0)
			n = strtol(text + strlen(key), NULL, 10);
	if (f)
		fclose(f);
	return n;
}

/* Page faults and context switches of this process and the children it reaped. */
static void costs(long *faults, long *switches)
{
	struct rusage self, children;

	getrusage(RUSAGE_SELF, &self);
	getrusage(RUSAGE_CHILDREN, &children);
	*faults = self.ru_minflt + children.ru_minflt;
	*switches = self.ru_nvcsw + self.ru_nivcsw + children.ru_nvcsw + children.ru_nivcsw;
}

static void session(const struct cell *c, struct sample *s)
{
	static const struct pam_conv conv = { converse, NULL };
	struct stat before[DIRS_MAX], after[DIRS_MAX];
	pam_handle_t *pamh = NULL;
	bool pam = strcmp(c->kind, "pam") == 0;
	long faults, switches;

	look(c, before);
	long private = number_in("/proc/self/smaps_rollup", "Anonymous:");
	int64_t t = step("start", 0, NULL);
	if (pam && pam_start(c->service, c->user, &conv, &pamh) != PAM_SUCCESS)
		die("pam_start");
	step("", t, &s->ns[0]);
	costs(&faults, &switches);
	t = step("open", 0, NULL);
	if (pam)
		s->opened = pam_open_session(pamh, 0);
	else if (strcmp(c->kind, "floor") == 0)
		build(c);
	else if (strcmp(c->kind, "shape") == 0)
		build_aside(c);
	else if (unshare(CLONE_FS) < 0 || setns(prepared_ns, CLONE_NEWNS) < 0)
		die("join");
	step("look", t, &s->ns[1]);
	costs(&s->faults, &s->switches);
	s->faults -= faults;
	s->switches -= switches;
	look(c, after);
	for (int i = 0; i < c->polydirs; i++)
		s->covered += before[i].st_ino != after[i].st_ino || before[i].st_dev != after[i].st_dev;
	s->private_kib = number_in("/proc/self/smaps_rollup", "Anonymous:") - private;
	s->threads = number_in("/proc/self/status", "Threads:");
	t = step("close", 0, NULL);
	if (pam)
		s->closed = pam_close_session(pamh, 0);
	t = step("end", t, &s->ns[2]);
	if (pam)
		pam_end(pamh, PAM_SUCCESS);
	t = step("exit", t, &s->ns[3]);
	s->ns[4] = now(); /* the one who reaps takes it from there */
}

/* ---- the processes with the cell's mounts -------------------------------- */

static void make_mounts(const struct cell *c)
{
	char path[64];

	/* cut off from the other cells, and shared in itself as systemd leaves it */
	if (unshare(CLONE_NEWNS) < 0 || mount("", "/", "", MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("", "/", "", MS_REC | MS_SHARED, NULL) < 0)
		die("a namespace for the cell");
	if (strcmp(c->conf, "-") != 0 && mount(c->conf, "/etc/security/namespace.conf", "", MS_BIND, NULL) < 0)
		die(c->conf);
	if (c->mounts > 0 && mount("mounts", "/mnt", "tmpfs", 0, NULL) < 0)
		die("/mnt");
	for (int i = 0; i < c->mounts; i++) {
		snprintf(path, sizeof path, "/mnt/%d", i);
		if (mkdir(path, 0755) < 0 || mount("/mnt/0", path, "", MS_BIND, NULL) < 0)
			die(path);
	}
}

static void forget_instances(const struct cell *c)
{
	char path[512];

	if (strcmp(c->fresh, "-") == 0)
		return;
	for (int i = 1; i <= c->polydirs; i++) {
		snprintf(path, sizeof path, "%s/p%d/%s", c->fresh, i, c->user);
		if (rmdir(path) < 0 && errno != ENOENT)
			die(path);
		snprintf(path, sizeof path, "%s/p%d/.lock/%s", c->fresh, i, c->user);
		if (rmdir(path) < 0 && errno != ENOENT)
			die(path);
	}
}

static void touch_memory(const struct cell *c)
{
	size_t size = (size_t)c->memory << 20;

	if (size == 0)
		return;
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		die("memory");
	madvise(m, size, MADV_NOHUGEPAGE); /* as the many small blocks of a real program */
	if (madvise(m, size, MADV_POPULATE_WRITE) < 0)
		die("populate");
}

static void one(const struct cell *c, struct sample *s)
{
	int fds[2];

	forget_instances(c);
	if (c->pause > 0)
		usleep((useconds_t)c->pause * 1000);
	if (pipe2(fds, O_CLOEXEC) < 0)
		die("pipe");
	pid_t pid = fork();
	if (pid == 0) {
		touch_memory(c);
		session(c, s);
		if (write(fds[1], s, sizeof *s) != sizeof *s)
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	int status;
	ssize_t n = read(fds[0], s, sizeof *s);
	close(fds[0]);
	if (waitpid(pid, &status, 0) != pid || status != 0 || n != sizeof *s) {
		fprintf(stderr, "benchhost: a session of %s ended with status %#x\n", c->service, status);
		exit(99);
	}
	s->ns[4] = now() - s->ns[4];
}

static void hold(const struct cell *c)
{
	int fds[2];
	char byte;
	struct sample s = { 0 };
	static const struct pam_conv conv = { converse, NULL };
	pam_handle_t *pamh;

	if (pipe(fds) < 0)
		die("pipe");
	if (fork() == 0) {
		if (pam_start(c->service, c->user, &conv, &pamh) != PAM_SUCCESS ||
		    pam_open_session(pamh, 0) != PAM_SUCCESS || write(fds[1], &s, 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) != 1)
		die("hold a session");
	close(fds[0]);
}

static void prepare(const struct cell *c)
{
	make_mounts(c);
	if (strcmp(c->kind, "join") == 0)
		prepare_join(c);
	if (c->hold)
		hold(c);
}

static bool alike(const struct cell *a, const struct cell *b)
{
	return a->mounts == b->mounts && !a->hold && !b->hold && strcmp(a->conf, b->conf) == 0 &&
		strcmp(a->kind, "join") != 0 && strcmp(b->kind, "join") != 0;
}

/* A process that waits for the numbers of cells and does a session of each. */
static int zygote(const struct cell *c)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid_t pid = fork();
	if (pid < 0)
		die("fork");
	if (pid > 0) {
		close(pair[1]);
		return pair[0];
	}
	close(pair[0]);
	setpgid(0, 0);
	prepare(c);
	struct sample s = { 0 };
	while (read(pair[1], &s.cell, sizeof s.cell) == sizeof s.cell) {
		int cell = s.cell;
		memset(&s, 0, sizeof s);
		s.cell = cell;
		one(&cells[cell], &s);
		if (write(pair[1], &s, sizeof s) != sizeof s)
			break;
	}
	kill(0, SIGTERM); /* whoever holds a session */
	_exit(0);
}

static void start_zygotes(void)
{
	for (int i = 0; i < ncells; i++) {
		cells[i].zygote = -1;
		for (int j = 0; j < i && cells[i].zygote < 0; j++)
			if (alike(&cells[i], &cells[j]))
				cells[i].zygote = cells[j].zygote;
		if (cells[i].zygote < 0)
			cells[i].zygote = zygote(&cells[i]);
	}
}

static void round_of(int number)
{
	int order[CELLS_MAX];

	for (int i = 0; i < ncells; i++)
		order[i] = i;
	for (int i = ncells - 1; i > 0; i--) {
		int j = (int)(random() % (i + 1)), t = order[i];
		order[i] = order[j], order[j] = t;
	}
	for (int i = 0; i < ncells; i++) {
		const struct cell *c = &cells[order[i]];
		struct sample s;

		if (number % c->every != 0)
			continue;
		if (write(c->zygote, &order[i], sizeof order[i]) < 0 || read(c->zygote, &s, sizeof s) != sizeof s)
			exit(99); /* it has said why */
		printf("%d %d %d %d", s.cell, s.opened, s.closed, s.covered);
		for (int k = 0; k < STEPS; k++)
			printf(" %lld", (long long)s.ns[k]);
		printf(" %ld %ld %ld %ld\n", s.private_kib, s.threads, s.faults, s.switches);
	}
}

static void machine(void)
{
	enum { CALLS = 20000, PAGES = 2000, FORKS = 50 };
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int64_t t[4];

	t[0] = now();
	for (int i = 0; i < CALLS; i++)
		syscall(SYS_getppid);
	t[1] = now();
	char *m = mmap(NULL, PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		die("mmap");
	madvise(m, PAGES * page, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < PAGES; i++)
		m[i * page] = 1;
	t[2] = now();
	munmap(m, PAGES * page);
	int64_t before = now();
	for (int i = 0; i < FORKS; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	t[3] = now() - before;
	printf("%lld %lld %lld\n", (long long)(t[1] - t[0]) / CALLS, (long long)(t[2] - t[1]) / PAGES, (long long)t[3] / FORKS);
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "machine") == 0) {
		machine();
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "trace") == 0) {
		struct sample s = { 0 };
		read_cells(argv[2]);
		tracing = true;
		struct cell *c = &cells[atoi(argv[3])];
		setpgid(0, 0);
		prepare(c);
		forget_instances(c);
		session(c, &s);
		kill(0, SIGTERM); /* whoever holds a session, and this process */
		return 1;
	}
	if (argc != 4)
		return 2;
	read_cells(argv[3]);
	srandom((unsigned)atoi(argv[2]));
	start_zygotes();
	for (int i = 0; i < atoi(argv[1]); i++)
		round_of(i);
	return 0;
}
