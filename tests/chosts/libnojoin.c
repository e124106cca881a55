/* To be loaded before libc (LD_PRELOAD): a program that may join no namespace. A tracer
 * could not bring that about, because a host that is traced has no ready worker. */
#include <errno.h>

int setns(int fd, int types)
{
	(void)fd, (void)types;
	errno = EPERM;
	return -1;
}
