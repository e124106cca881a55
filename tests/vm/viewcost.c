/* viewcost MOUNTS PATH...: makes so many mounts below /run/many, and measures what a session's namespace costs the kernel, made in two ways: by a
 * copy of all mounts (unshare(2), which is what the module does), and by
 * open_tree(2) with OPEN_TREE_NAMESPACE of the root's mount alone, in which the mounts
 * at the paths are then put. Prints medians in microseconds, each with the time that
 * the kernel takes to let go of it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CLONE_TREE = 1, NAMESPACE_TREE = 2, CLOEXEC_TREE = O_CLOEXEC, FROM_FD = 4, ROUNDS = 15 };

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void must(int ok, const char *what)
{
	if (!ok) {
		printf("%s: %s\n", what, strerror(errno));
		fflush(stdout);
		_exit(1);
	}
}

static void chosen(int n, char **paths)
{
	int trees[256];
	int ns = (int)syscall(SYS_open_tree, AT_FDCWD, "/", NAMESPACE_TREE | CLOEXEC_TREE);

	must(ns >= 0, "open_tree(OPEN_TREE_NAMESPACE)");
	for (int i = 0; i < n; i++)
		must((trees[i] = (int)syscall(SYS_open_tree, AT_FDCWD, paths[i], CLONE_TREE | CLOEXEC_TREE)) >= 0, paths[i]);
	must(setns(ns, CLONE_NEWNS) == 0, "setns");
	for (int i = 0; i < n; i++)
		must(syscall(SYS_move_mount, trees[i], "", AT_FDCWD, paths[i], FROM_FD) == 0, paths[i]);
}

static int by_time(const void *a, const void *b)
{
	return *(const double *)a > *(const double *)b ? 1 : -1;
}

/* Without n and paths: by a copy of all. */
static double median(int n, char **paths)
{
	double took[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		int line[2];
		double begun, made = 0;
		must(pipe(line) == 0, "pipe");
		pid_t child = fork();
		if (child == 0) {
			begun = now();
			if (paths)
				chosen(n, paths);
			else
				must(unshare(CLONE_NEWNS) == 0, "unshare");
			made = now() - begun;
			_exit(write(line[1], &made, sizeof made) != sizeof made);
		}
		close(line[1]);
		must(read(line[0], &made, sizeof made) == sizeof made, "the child has failed");
		begun = now();
		waitpid(child, NULL, 0);
		took[i] = made + (now() - begun);
		close(line[0]);
	}
	qsort(took, ROUNDS, sizeof *took, by_time);
	return took[ROUNDS / 2];
}

int main(int argc, char **argv)
{
	char path[64];

	must(argc > 1, "no arguments");
	for (int i = 0; i < atoi(argv[1]); i++) {
		snprintf(path, sizeof path, "/run/many/%d.%d", getpid(), i);
		must(mkdir(path, 0755) == 0 && mount("none", path, "tmpfs", 0, "size=4k") == 0, path);
	}
	double all = median(0, NULL), some = median(argc - 2, argv + 2);

	printf("all %.0f chosen %.0f ratio %.2f\n", all, some, some / all);
	return 0;
}
