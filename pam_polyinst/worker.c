/*
 * The first steps of the worker, between the fork and Go: it becomes root, with
 * signals, limits, a deadline and descriptors of its own, and nothing that a
 * caller has chosen for the host (I-19).
 */
#include "edge.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <link.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What would have been the library's constructor: the start of the Go runtime.
 * The linker script init.ld moves it here, so that loading the module starts
 * nothing (I-1). Weak: a build without the script links, and then refuses. */
extern void (*const polyinst_go_init[])(int, char **, char **) __attribute__((weak, visibility("hidden")));

static char *const worker_argv_env[] = {
	"pam_polyinst", NULL,
	/* envp: no preemption signals, no descriptors of cgroups (a look at them
	 * at start, and at mountinfo as far as their mount, cannot be turned off),
	 * no look at /etc/localtime, no garbage collection in a life of milliseconds */
	"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TZ=", "GOGC=off", "GOMAXPROCS=1", "GOTRACEBACK=none",
	"GODEBUG=asyncpreemptoff=1,containermaxprocs=0,updatemaxprocs=0", NULL,
	NULL, NULL, /* an empty auxiliary vector: AT_NULL */
};

/* Ends a worker before it can answer, and says why. */
static void __attribute__((noreturn)) cannot(int sock, const char *why)
{
	char m[512];
	int n = snprintf(m, sizeof m, "%c%s", CANNOT, why);

	send(sock, m, (size_t)n, MSG_NOSIGNAL);
	_exit(1);
}

/* Sends a pidfd of the worker, by which the host polls, kills, reaps and joins. If a
 * host reaps everything, the pid may be another process's before it could open one. */
static void say_hello(int sock)
{
	const char type = HELLO;
	int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);

	if (pidfd < 0)
		cannot(sock, errno == ENOSYS ? "pidfd_open is not possible here: pam_polyinst needs Linux 5.14 or later" :
			"pidfd_open is not possible: too few descriptors (RLIMIT_NOFILE), or too little memory");
	if (!send_with(sock, &type, 1, pidfd))
		cannot(sock, "the worker cannot send its pidfd");
	close(pidfd);
}

/* Moves the socket to descriptor 3, the way back (if there is one) to 4, stdio to
 * /dev/null, and closes the rest: the host's keys and connections end here. */
static int own_descriptors(int sock, int back)
{
	int fd = fcntl(sock, F_DUPFD, 5), way = back < 0 ? -1 : fcntl(back, F_DUPFD, 5);
	if (fd < 0 || (back >= 0 && way < 0) || dup3(fd, SOCKET_FD, O_CLOEXEC) < 0 || (way >= 0 && dup3(way, BACK_FD, O_CLOEXEC) < 0))
		cannot(sock, "the worker cannot arrange its descriptors: RLIMIT_NOFILE is too low for it");
	syscall(SYS_close_range, way < 0 ? 4U : 5U, ~0U, 0U);
	syscall(SYS_close_range, 0U, 2U, 0U);
	for (fd = 0; fd < 3; fd++)
		if (open("/dev/null", O_RDWR) < 0 && open("/", O_PATH) < 0)
			cannot(SOCKET_FD, "the worker can open neither /dev/null nor /");
	return SOCKET_FD;
}

static void own_signals(void)
{
	for (int s = 1; s < _NSIG; s++)
		signal(s, SIG_DFL);
	signal(SIGXFSZ, SIG_IGN); /* RLIMIT_FSIZE: an error, not a death */
	sigaltstack(&(const stack_t){ .ss_flags = SS_DISABLE }, NULL);
	sigprocmask(SIG_SETMASK, &(const sigset_t){ 0 }, NULL);
}

/* What the worker raises for itself, as far as it may, and the least that Go
 * can live with. */
static const struct { int resource; rlim_t wanted, least; const char *too_low; } limits[] = {
	/* the runtime reserves about 0.8 GB, of which some 110 MB can be written to */
	{ RLIMIT_AS, RLIM_INFINITY, (rlim_t)900 << 20,
	  "the hard limit of address space (RLIMIT_AS) is too low for the worker: it needs 900 MB; raise it for this service (limits.conf, LimitAS=)" },
	{ RLIMIT_DATA, RLIM_INFINITY, (rlim_t)128 << 20,
	  "the hard limit of data (RLIMIT_DATA) is too low for the worker: it needs 128 MB; raise it for this service (limits.conf, LimitDATA=)" },
	/* finite: the programs that the worker executes have it too, and would
	 * be laid out without gaps at random (mmap_base) */
	{ RLIMIT_STACK, (rlim_t)8 << 20, (rlim_t)128 << 10,
	  "the hard limit of stack (RLIMIT_STACK) is too low for the worker: it needs 128 KB; raise it for this service (limits.conf, LimitSTACK=)" },
	{ RLIMIT_FSIZE, RLIM_INFINITY, 0, NULL },
	{ RLIMIT_NOFILE, 65536, 0, NULL }, /* below the default of fs.nr_open, above which nobody may go */
	{ RLIMIT_NPROC, RLIM_INFINITY, 0, NULL },
	{ RLIMIT_CPU, RLIM_INFINITY, 0, NULL },
	{ RLIMIT_SIGPENDING, RLIM_INFINITY, 0, NULL }, /* a timer takes one */
};

static void own_limits(int sock)
{
	struct rlimit l;

	for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
		rlim_t wanted = limits[i].wanted;
		if (getrlimit(limits[i].resource, &l) < 0 || l.rlim_cur >= wanted)
			continue;
		const struct rlimit all = { wanted, l.rlim_max < wanted ? wanted : l.rlim_max };
		if (setrlimit(limits[i].resource, &all) == 0) /* beyond the hard limit that takes CAP_SYS_RESOURCE */
			continue;
		l.rlim_cur = l.rlim_max;
		setrlimit(limits[i].resource, &l);
		if (l.rlim_cur < limits[i].least)
			cannot(sock, limits[i].too_low);
	}
	setrlimit(RLIMIT_CORE, &(const struct rlimit){ 1, 1 }); /* not 0: a core handler behind a pipe runs at 0 */
}

/* A clock of the worker's own: it dies, and lets go of all that it holds, even
 * if the host is stopped, and while it is itself stopped or frozen. */
static timer_t deadline_timer;

void polyinstDeadline(unsigned ms)
{
	const struct itimerspec at = { .it_value.tv_sec = (ms + GRACE_MS) / 1000, .it_value.tv_nsec = (ms % 1000) * 1000000L };
	timer_settime(deadline_timer, 0, &at, NULL);
}

static void own_deadline(int sock)
{
	if (timer_create(CLOCK_MONOTONIC, &(struct sigevent){ .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL }, &deadline_timer) < 0)
		cannot(sock, "the worker can have no deadline of its own: the hard limit of pending signals (RLIMIT_SIGPENDING) is too low, or memory; raise it for this service (limits.conf, LimitSIGPENDING=)");
	polyinstDeadline(DEADLINE_MS);
}

static pid_t host_of_worker;

/* How the kernel treats the worker is not for the caller to choose: su inherits
 * it all from a user's shell. What fails stays as it is: no policy of this
 * program's domain or container need permit it. Go calls it again when its
 * effective uid has been a user's, who could choose then. */
int polyinstRetake(void)
{
	cpu_set_t all;
	char adj[2];

	memset(&all, 0xff, sizeof all);
	sched_setscheduler(0, SCHED_OTHER, &(const struct sched_param){ 0 });
	setpriority(PRIO_PROCESS, 0, 0);
	sched_setaffinity(0, sizeof all, &all); /* those that the cpuset permits */
	syscall(SYS_ioprio_set, 1 /* a process */, 0, 0 /* as nice says */);
	syscall(SYS_set_mempolicy, 0 /* MPOL_DEFAULT */, NULL, 0UL);
	prctl(PR_SET_TIMERSLACK, 5000000UL); /* Go's monitor wakes less; a script gets the usual 50 us back */
	personality(PER_LINUX); /* another one may lie about the kernel's version */
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, adj, sizeof adj);
	close_fd(&fd);
	if (n == 2 && adj[0] != '-' && adj[0] != '0' && (fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)) >= 0)
		(void)!write(fd, "0", 1); /* below 0 the host is spared, and so are we */
	close_fd(&fd);
	/* a change of ids has cleared both; dumpable, so that the host may join us
	 * by pidfd (ptrace(2), access mode checking) */
	prctl(PR_SET_DUMPABLE, 1);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != host_of_worker && getppid() != 0)
		_exit(1);
	return 0; /* cgo wants a result */
}

/* The relocations of Go's data and its constant tables, by init.ld. If the dynamic
 * loader applied them, each host would have 350 KiB of its own, and never run Go. */
extern const ElfW(Rela) polyinst_go_rela[] __attribute__((weak, visibility("hidden")));
extern const ElfW(Rela) polyinst_go_rela_end[] __attribute__((weak, visibility("hidden")));
extern const char polyinst_go_relro[] __attribute__((weak, visibility("hidden")));
extern const char polyinst_go_relro_end[] __attribute__((weak, visibility("hidden")));
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
static const ElfW(Rela) none __attribute__((section(".polyinst_go_rela"), used, aligned(8)));

#if defined __x86_64__
enum { RELATIVE = R_X86_64_RELATIVE };
#elif defined __aarch64__
enum { RELATIVE = R_AARCH64_RELATIVE };
#else
#error "RELATIVE: what are relative relocations called on this architecture? (elf.h)"
#endif

static void relocate_go(int sock)
{
	const uintptr_t base = (uintptr_t)__ehdr_start;
	const uintptr_t from = (uintptr_t)polyinst_go_relro & -(uintptr_t)sysconf(_SC_PAGESIZE);
	const size_t size = (uintptr_t)polyinst_go_relro_end - from;

	if (mprotect((void *)from, size, PROT_READ | PROT_WRITE) < 0)
		cannot(sock, "Go's tables cannot be written to (mprotect)");
	for (const ElfW(Rela) *r = polyinst_go_rela; r < polyinst_go_rela_end; r++) {
		if (ELF64_R_TYPE(r->r_info) != RELATIVE)
			cannot(sock, "this pam_polyinst.so was built by a linker that does not know its linker script");
		*(uintptr_t *)(base + r->r_offset) = base + (uintptr_t)r->r_addend; /* once more would be no harm */
	}
	mprotect((void *)from, size, PROT_READ); /* as the dynamic loader had it (RELRO) */
}

void worker(bool open, int sock, pid_t host, struct request *request)
{
	/* while the real id is a user's, they can kill or stop us, and nothing is held.
	 * A stop can take effect when we are root's: the end is arranged before. */
	own_limits(sock);
	own_deadline(sock);
	setgroups(0, NULL); /* the host's groups are nobody's here */
	if (setresgid(0, 0, 0) < 0 || (prctl(PR_SET_PDEATHSIG, SIGKILL), setresuid(0, 0, 0)) < 0)
		cannot(sock, "the host process is not root: a session can only be given a namespace by root");
	setsid(); /* off the terminal: ^Z there must not stop us, nor one that is pending */
	own_signals();
	host_of_worker = host;
	polyinstRetake();
	sock = own_descriptors(sock, request->back);
	umask(077);
	say_hello(sock);

	if (!polyinst_go_init[0])
		cannot(sock, "this pam_polyinst.so was built without its linker script: use `make build`");
	relocate_go(sock);
	/* else libc takes 128 MB of addresses for each thread, and under a low
	 * RLIMIT_AS none are left for the next one's stack: Go then aborts */
	mallopt(M_ARENA_MAX, 1);
	environ = (char **)worker_argv_env + 2;
	polyinst_go_init[0](1, (char **)worker_argv_env, environ);
	(open ? polyinstOpen : polyinstClose)(sock, request->text, request->length);
	_exit(0);
}
