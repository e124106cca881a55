/* The way to a ready worker (`polyinst serve`), which holds the same conversation as
 * a forked one. If anything is not as it must be, the host forks. */
#include "edge.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Reports whether only root can have put the socket there: it and all above it are root's
 * alone to write, which no link is, by its mode. *why stays if there is no socket. */
static bool way_is_roots(const char **why)
{
	static const char *const way[] = { READY_SOCKET, "/run/polyinst", "/run", "/" };
	struct stat st;

	for (size_t i = 0; i < sizeof way / sizeof way[0]; i++)
		if (lstat(way[i], &st) < 0)
			return false;
		else if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
			return *why = "others than root may write to the socket, or above it", false;
	return true;
}

/* Waits for a worker to greet. On a busy machine this thread is late at the end of
 * each try, and so is the worker: the host waits as much longer for it. */
static bool greets(int sock)
{
	const int64_t last = now_ms() + HELLO_MS;

	for (int try = 0; try < HELLO_TRIES && now_ms() < last; try++)
		if (await(sock, now_ms() + HELLO_TRY_MS))
			return true;
	return false;
}

/* Asks a ready worker, and returns the socket. -1: there is none, and *why says why, unless
 * this machine has none at all. The host waits for HELLO_MS at most, and not at all if the
 * queue is full. The listener must be root in this user namespace and pid namespace: another
 * root has another number here, or none. A worker whose kernel has no pidfd of who has
 * connected is asked when it has greeted, and has opened one. */
int ask_ready(const struct call *call, const struct request *r, struct answer *a, const char **why)
{
	const struct sockaddr_un to = { AF_UNIX, READY_SOCKET };
	struct ucred who = { 0 };
	socklen_t size = sizeof who;
	int64_t deadline;
	int sock = way_is_roots(why) ? socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;

	if (sock < 0)
		return -1;
	const bool first = getsockopt(sock, SOL_SOCKET, PEERPIDFD, &who, &size) < 0 && errno != ENOPROTOOPT; /* nobody is there yet */
	if (connect(sock, (const struct sockaddr *)&to, sizeof to) < 0)
		*why = "no ready worker listens, or too many wait for them";
	else if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || who.pid == 0 || who.uid != 0)
		*why = "who listens for ready workers is not root here";
	else if (first && !send_with(sock, r->text, r->length, r->back))
		*why = "the ready worker has ended";
	else if (!greets(sock))
		*why = "no ready worker was free in time";
	else if (!receive(call, sock, a, &deadline) || a->message[0] != HELLO || a->pidfd < 0)
		*why = a->why[0] ? a->why : "the ready worker has ended";
	else if (strcmp(a->message + 1, BUILD) != 0)
		*why = "the ready worker is of another build";
	else if (!first && !send_with(sock, r->text, r->length, r->back))
		*why = "the ready worker has ended";
	else
		return sock;
	close(sock);
	return -1;
}
