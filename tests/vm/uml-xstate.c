/* For LD_PRELOAD with user-mode Linux before 6.13. It keeps the registers of
 * its processes in a buffer of a fixed size, and hands that to
 * PTRACE_SETREGSET. The host takes a whole XSAVE area only, which is larger on
 * processors with AMX (EFAULT otherwise). Here the area is made whole: what
 * the buffer has not got stays as it is in the process. */
#define _GNU_SOURCE
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char area[1 << 16];

static long set_xstate(long pid, struct iovec *given)
{
	struct iovec whole = {area, sizeof area};

	if (given->iov_len > sizeof area || syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &whole) < 0)
		return -1;
	if (given->iov_len >= whole.iov_len)
		return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, given);
	memcpy(area, given->iov_base, given->iov_len);
	return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...)
{
	va_list args;
	long pid, addr, data, word, result;

	va_start(args, request);
	pid = va_arg(args, int);
	addr = va_arg(args, long);
	data = va_arg(args, long);
	va_end(args);
	if (request == PTRACE_SETREGSET && addr == NT_X86_XSTATE)
		return set_xstate(pid, (struct iovec *)data);
	/* the system call stores a word, the library's function returns it */
	if (request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER) {
		result = syscall(SYS_ptrace, request, pid, addr, &word);
		return result < 0 ? result : word;
	}
	return syscall(SYS_ptrace, request, pid, addr, data);
}
