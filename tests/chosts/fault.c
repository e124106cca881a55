/* fault list PROGRAM ARG...
 * fault WINDOW WHO CALL NTH error:ERRNO|kill|hold PROGRAM ARG...
 *
 * Runs a PAM host, lets one system call in it or in its worker fail, kills the
 * caller at it, or holds it there as if it were stopped, frozen or starved, and
 * ends as the host ends. With "hold" a step "held" is printed then; SIGUSR1 lets
 * it go on, and who kills this program ends them all. strace(1) counts occurrences per
 * process, so that it cannot fault the worker alone, and stops at every call; a
 * seccomp(2) filter stops at those of one name only. WHO is
 *   host     the PROGRAM itself
 *   worker   what it forks; the main thread, which does all the work
 *   runtime  the other threads of the worker
 *   script   what the worker forks, until it executes a program
 * and NTH counts the calls of that name by all of WHO. A call that fails is not
 * made, except close(2), which closes whatever it returns.
 *
 * Calls count in windows, which begin and end with a SIGTRAP that PROGRAM sends
 * to itself and does not get (pamhost's setting "window"), the first being 1. A
 * SIGSYS begins and ends a pause. In window 0 the calls of PROGRAM count from its
 * beginning, those of all its threads, and none of another process; with its end
 * this ends, and all that it has started. The last line of the output is a step "fault":
 * RC is how often the fault was delivered, Text is, with "list", a line
 * "WINDOW WHO CALL COUNT" for each.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "json.h"

#define CALL(name) { #name, SYS_##name }
static const struct {
	const char *name;
	long nr;
} names[] = {
	/* all architectures */
	CALL(brk), CALL(capget), CALL(chdir), CALL(chroot), CALL(clock_gettime), CALL(clock_nanosleep), CALL(clone),
	CALL(clone3), CALL(close), CALL(close_range), CALL(connect), CALL(dup), CALL(dup3), CALL(epoll_create1),
	CALL(epoll_ctl), CALL(epoll_pwait), CALL(eventfd2), CALL(execve), CALL(execveat), CALL(exit), CALL(exit_group),
	CALL(faccessat), CALL(faccessat2), CALL(fchdir), CALL(fchmod), CALL(fchmodat), CALL(fchown), CALL(fchownat),
	CALL(fcntl), CALL(fgetxattr), CALL(flock), CALL(fsconfig), CALL(fsetxattr), CALL(fsmount), CALL(fsopen),
	CALL(fstat), CALL(fstatfs), CALL(fsync), CALL(ftruncate), CALL(futex), CALL(getcwd), CALL(getdents64), CALL(getegid),
	CALL(geteuid), CALL(getgid), CALL(getpid), CALL(getppid), CALL(getrandom), CALL(getrlimit), CALL(getsockopt),
	CALL(getsockname), CALL(gettid), CALL(getuid), CALL(ioctl), CALL(kill), CALL(lseek), CALL(lsetxattr),
	CALL(madvise), CALL(membarrier), CALL(mincore), CALL(mkdirat), CALL(mmap), CALL(mount_setattr),
	CALL(move_mount), CALL(mprotect), CALL(mremap), CALL(munmap), CALL(nanosleep), CALL(newfstatat),
	CALL(open_tree), CALL(openat), CALL(openat2), CALL(name_to_handle_at), CALL(pidfd_open), CALL(pidfd_send_signal), CALL(pipe2),
	CALL(ppoll), CALL(prctl), CALL(pread64), CALL(pwrite64), CALL(prlimit64), CALL(read), CALL(readlinkat), CALL(recvfrom),
	CALL(recvmsg), CALL(renameat), CALL(renameat2), CALL(restart_syscall), CALL(rseq), CALL(rt_sigaction), CALL(rt_sigpending),
	CALL(rt_sigprocmask), CALL(rt_sigqueueinfo), CALL(rt_sigreturn), CALL(rt_sigtimedwait), CALL(sched_getaffinity),
	CALL(sched_yield), CALL(sendmmsg), CALL(sendmsg), CALL(sendto), CALL(set_robust_list), CALL(set_tid_address),
	CALL(setfsgid), CALL(setfsuid), CALL(setgroups), CALL(setns), CALL(setpriority), CALL(setresgid),
	CALL(setresuid), CALL(setrlimit), CALL(setsid), CALL(setsockopt), CALL(sigaltstack), CALL(socket),
	CALL(socketpair), CALL(statx), CALL(symlinkat), CALL(tgkill), CALL(timer_create), CALL(timer_settime),
	CALL(umask), CALL(umount2), CALL(uname), CALL(unlinkat), CALL(unshare), CALL(utimensat), CALL(wait4),
	CALL(waitid), CALL(write), CALL(writev), CALL(statfs), CALL(capset), CALL(fadvise64), CALL(getpgid), CALL(getsid),
	CALL(personality), CALL(sysinfo), CALL(getrusage), CALL(sched_setaffinity), CALL(linkat), CALL(mknodat),
	CALL(copy_file_range), CALL(getpriority), CALL(getgroups), CALL(setuid), CALL(setgid), CALL(getitimer),
	CALL(setitimer), CALL(sched_setscheduler), CALL(ioprio_set), CALL(set_mempolicy), CALL(keyctl), CALL(fdatasync), CALL(mount), CALL(pivot_root), CALL(readv), CALL(sendfile),
	/* newer than the headers may be; the same number everywhere */
	{ "statmount", 457 }, { "listmount", 458 },
#ifdef SYS_open
	/* x86-64's older ones */
	CALL(access), CALL(arch_prctl), CALL(chmod), CALL(chown), CALL(dup2), CALL(epoll_wait), CALL(fork),
	CALL(mkdir), CALL(open), CALL(pipe), CALL(poll), CALL(readlink), CALL(rename), CALL(rmdir), CALL(select),
	CALL(stat), CALL(lstat), CALL(unlink), CALL(vfork),
#endif
};
enum { NAMES = sizeof names / sizeof *names, TASKS = 256, WINDOWS = 8 };

enum who { HOST, WORKER, RUNTIME, SCRIPT, WHOS, NOBODY };
static const char *const whos[WHOS] = { "host", "worker", "runtime", "script" };

static struct task {
	pid_t pid;
	enum who who;
	int error; /* what the close(2) that it is in returns */
} tasks[TASKS];

static long counts[WINDOWS][WHOS][NAMES];
static long unknown = -1; /* a call that has no name above */
static bool counting, paused;
static int window; /* the number of the one that is, or was last, open */
static enum who target_who;
static int target_window = -1, target_call = -1, target_error;
static bool target_holds;
static long target_nth, delivered;
static pid_t host, held;

static long trace(int request, pid_t pid, long address, long data)
{
	long r = ptrace((enum __ptrace_request)request, pid, address, data);

	/* ESRCH: it was killed meanwhile, and its end is on the way */
	if (r < 0 && errno != ESRCH)
		die("ptrace");
	return r;
}

static struct task *task_of(pid_t pid)
{
	struct task *free_one = NULL;

	for (int i = 0; i < TASKS; i++) {
		if (tasks[i].pid == pid)
			return &tasks[i];
		if (!tasks[i].pid && !free_one)
			free_one = &tasks[i];
	}
	if (!free_one) {
		fprintf(stderr, "fault: more than %d tasks\n", TASKS);
		exit(97);
	}
	/* a stop of a new task can come before the event of its parent */
	*free_one = (struct task){ .pid = pid, .who = NOBODY };
	return free_one;
}

/* Sets what the call that the task is in returns; before it was made, it is not
 * made. */
static void set_result(pid_t pid, long value, bool made)
{
#if defined __x86_64__
	if (!made)
		trace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), -1);
	trace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), value);
#elif defined __aarch64__
	int none = -1;
	struct user_regs_struct regs;
	struct iovec number = { &none, sizeof none }, all = { &regs, sizeof regs };

	if (!made)
		trace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, (long)&number);
	if (trace(PTRACE_GETREGSET, pid, NT_PRSTATUS, (long)&all) < 0)
		return;
	regs.regs[0] = (unsigned long)value;
	trace(PTRACE_SETREGSET, pid, NT_PRSTATUS, (long)&all);
#else
#error "how is a system call skipped on this architecture?"
#endif
}

static int call_named(long nr)
{
	for (int i = 0; i < NAMES; i++)
		if (names[i].nr == nr)
			return i;
	unknown = nr;
	return -1;
}

/* The task is about to make a call; says how it goes on, -1: not yet. */
static int at_call(struct task *t)
{
	struct __ptrace_syscall_info info;

	if (!counting || paused || t->who == NOBODY || trace(PTRACE_GET_SYSCALL_INFO, t->pid, sizeof info, (long)&info) < 0)
		return PTRACE_CONT;
	long nr = (long)info.seccomp.nr;
	if (t->who == HOST && nr == SYS_kill && (info.seccomp.args[1] == SIGTRAP || info.seccomp.args[1] == SIGSYS))
		return PTRACE_CONT; /* the end of it */
	int call = call_named(nr);
	if (call < 0)
		return PTRACE_CONT;
	if (++counts[window][t->who][call] != target_nth || window != target_window || t->who != target_who || call != target_call)
		return PTRACE_CONT;
	delivered++;
	if (target_holds) {
		held = t->pid;
		json_open("held");
		json_int("RC", held);
		json_close();
		fflush(stdout);
		return -1;
	}
	if (!target_error) {
		kill(t->pid, SIGKILL);
	} else if (nr == SYS_close) {
		t->error = target_error;
		return PTRACE_SYSCALL;
	} else {
		set_result(t->pid, -target_error, false);
	}
	return PTRACE_CONT;
}

/* A task has made another one, whose first stop may have come already. */
static void at_birth(const struct task *parent)
{
	unsigned long pid = 0;
	char path[64];

	if (trace(PTRACE_GETEVENTMSG, parent->pid, 0, (long)&pid) < 0)
		return;
	struct task *t = task_of((pid_t)pid);
	snprintf(path, sizeof path, "/proc/%d/task/%d", parent->pid, (int)pid);
	if (parent->who == HOST && target_window == 0)
		t->who = access(path, F_OK) == 0 ? HOST : NOBODY;
	else if (parent->who == HOST)
		t->who = counting && !paused ? WORKER : NOBODY;
	else if (parent->who == NOBODY || parent->who == SCRIPT)
		t->who = parent->who;
	else
		t->who = access(path, F_OK) == 0 ? RUNTIME : SCRIPT;
}

static void at_stop(struct task *t, int status)
{
	int signal = WSTOPSIG(status), on = PTRACE_CONT;

	switch (status >> 16) {
	case PTRACE_EVENT_SECCOMP:
		if ((on = at_call(t)) < 0)
			return;
		signal = 0;
		break;
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
	case PTRACE_EVENT_CLONE:
		at_birth(t);
		signal = 0;
		break;
	case PTRACE_EVENT_EXEC:
		if (t->who != HOST)
			t->who = NOBODY;
		signal = 0;
		break;
	case PTRACE_EVENT_STOP:
		if (signal != SIGTRAP) {
			trace(PTRACE_LISTEN, t->pid, 0, 0); /* stopped by a signal: stays so */
			return;
		}
		signal = 0;
		break;
	default:
		if (signal == (SIGTRAP | 0x80)) { /* the end of a close(2) */
			set_result(t->pid, -t->error, true);
			signal = 0;
		} else if (signal == SIGTRAP && t->pid == host) {
			counting = !counting;
			if (counting && ++window == WINDOWS) {
				fprintf(stderr, "fault: more than %d windows\n", WINDOWS - 1);
				exit(97);
			}
			signal = 0;
		} else if (signal == SIGSYS && t->pid == host) {
			paused = !paused;
			signal = 0;
		}
	}
	trace(on, t->pid, 0, signal);
}

/* Has this process, and all that it makes, stop at the target's calls. */
static void filter(void)
{
	bool all = target_call < 0;
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, all ? 0 : (unsigned)names[target_call].nr, 0, all ? 0 : 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };

	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		die("seccomp");
}

static void release(int signal)
{
	(void)signal;
	ptrace(PTRACE_CONT, held, 0, 0);
}

static int follow(void)
{
	int status, code = 99;
	pid_t pid;

	while ((pid = waitpid(-1, &status, __WALL)) > 0) {
		struct task *t = task_of(pid);

		if (WIFSTOPPED(status)) {
			at_stop(t, status);
			continue;
		}
		t->pid = 0;
		if (pid == host) {
			code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
			/* what it has started has ended, and let go, before this ends */
			for (int i = 0; target_window == 0 && i < TASKS; i++)
				if (tasks[i].pid)
					kill(tasks[i].pid, SIGKILL);
		}
	}
	return code;
}

static void tell(bool list)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		die("open_memstream");
	for (int n = 1; list && n <= window; n++)
		for (int w = 0; w < WHOS; w++)
			for (int i = 0; i < NAMES; i++)
				if (counts[n][w][i])
					fprintf(f, "%d %s %s %ld\n", n, whos[w], names[i].name, counts[n][w][i]);
	if (unknown >= 0)
		fprintf(f, "0 unknown %ld 1\n", unknown);
	fclose(f);
	json_open("fault");
	json_int("RC", delivered);
	json_text("Text", text);
	json_close();
	free(text);
}

static void parse(char **argv)
{
	const char *action = argv[5];

	target_window = atoi(argv[1]);
	counting = target_window == 0;
	for (target_who = HOST; target_who < WHOS && strcmp(whos[target_who], argv[2]); target_who++)
		;
	for (int i = 0; i < NAMES; i++)
		if (strcmp(names[i].name, argv[3]) == 0)
			target_call = i;
	target_nth = atol(argv[4]);
	target_holds = strcmp(action, "hold") == 0;
	if (strncmp(action, "error:", 6) == 0)
		target_error = atoi(action + 6);
	if (target_who == WHOS || target_call < 0 || target_nth < 1 || (!target_error && !target_holds && strcmp(action, "kill"))) {
		fprintf(stderr, "fault: %s %s %s %s %s?\n", argv[1], argv[2], argv[3], argv[4], action);
		exit(97);
	}
}

int main(int argc, char **argv)
{
	bool list = argc > 2 && strcmp(argv[1], "list") == 0;
	int go[2], code;
	char b = 0;

	if (!list && argc < 7) {
		fprintf(stderr, "fault list|WINDOW WHO CALL NTH error:ERRNO|kill|hold PROGRAM ARG...\n");
		return 97;
	}
	if (!list)
		parse(argv);
	if (pipe2(go, O_CLOEXEC))
		die("pipe");
	host = fork();
	if (host < 0)
		die("fork");
	if (host == 0) {
		char **program = argv + (list ? 2 : 6);

		if (read(go[0], &b, 1) != 1)
			_exit(97);
		filter();
		execv(program[0], program);
		die(program[0]);
	}
	const struct sigaction on_usr1 = { .sa_handler = release, .sa_flags = SA_RESTART };
	sigaction(SIGUSR1, &on_usr1, NULL);
	*task_of(host) = (struct task){ .pid = host, .who = HOST };
	trace(PTRACE_SEIZE, host, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL | PTRACE_O_TRACESECCOMP |
		PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
	if (write(go[1], &b, 1) != 1)
		die("write");
	close(go[0]);
	close(go[1]);
	code = follow();
	tell(list);
	return code;
}
