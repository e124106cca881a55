/*
 * The line between host and worker: what goes out, what comes in, and waiting for it.
 */
#include "edge.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Waits until fd is readable or the deadline has passed. */
bool await(int fd, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int n;

	do {
		int64_t left = deadline - now_ms();
		n = poll(&p, 1, left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left);
	} while (n < 0 && errno == EINTR);
	return n > 0;
}

/* What does not fit makes the request full, and nobody is asked. */
void put(struct request *r, const char *key, const char *value)
{
	const size_t k = strlen(key), v = strlen(value) + 1, room = sizeof r->text - r->length;

	if (k + v <= room)
		memcpy(mempcpy(r->text + r->length, key, k), value, v);
	r->length += k + v <= room ? k + v : room;
}

/* Sends a packet, with a descriptor unless that is -1. */
bool send_with(int sock, const void *packet, size_t n, int fd)
{
	struct iovec iov = { (void *)packet, n };
	union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.space, .msg_controllen = fd < 0 ? 0 : sizeof control.space };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	if (c) {
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fd) };
		memcpy(CMSG_DATA(c), &fd, sizeof fd);
	}
	return sendmsg(sock, &msg, MSG_NOSIGNAL) >= 0;
}

/* Receives one message; false at the end of the conversation. */
bool receive(const struct call *call, int sock, struct answer *a, int64_t *deadline)
{
	char *text = a->message;
	struct iovec iov = { text, sizeof a->message - 1 };
	union { struct cmsghdr align; char space[CMSG_SPACE(sizeof(int))]; } control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1,
		/* room for one descriptor, and not for the padding: further ones are dropped */
		.msg_control = control.space, .msg_controllen = CMSG_LEN(sizeof(int)) };
	ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	int fd = -1, *to = NULL;
	uint32_t ms;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
		memcpy(&fd, CMSG_DATA(c), sizeof fd);
	text[n] = 0;
	switch (n > 0 ? *text++ : 0) { /* 0: the end, or an empty message, which may carry a descriptor */
	case HELLO:     to = &a->pidfd; break;
	case ELSEWHERE: to = &a->elsewhere; break;
	case TELL:      memcpy(a->tell, text, (size_t)n); break;
	case CANNOT:    memcpy(a->why, text, (size_t)n); break;
	case LOGLINE:
		if (n > 2)
			pam_syslog(call->pamh, text[0] & LOG_PRIMASK, "%s", text + 1);
		break;
	case DEADLINE:
		if ((size_t)n > sizeof ms) {
			memcpy(&ms, text, sizeof ms);
			*deadline = now_ms() + ms;
		}
		break;
	case MOUNTED:
		if (a->mounted < MOUNTS_MAX && fd >= 0) {
			a->mounts[a->mounted++] = fd;
			fd = -1;
		}
		break;
	case REPORT:
		if ((size_t)n >= sizeof a->report) {
			memcpy(&a->report, a->message, sizeof a->report);
			a->text = a->message + sizeof a->report;
			a->reported = true;
			to = &a->cwd;
		}
	}
	if (to && *to < 0) { /* the first one of a kind counts */
		*to = fd;
		fd = -1;
	}
	close_fd(&fd);
	return n > 0;
}

void failed(struct answer *a, const char *what, int error)
{
	snprintf(a->why, sizeof a->why, "%s: %s", what, strerror(error));
}

void forget_answer(struct answer *a)
{
	close_fd(&a->pidfd);
	close_fd(&a->cwd);
	close_fd(&a->elsewhere);
	while (a->mounted > 0)
		close(a->mounts[--a->mounted]);
	memset(a, 0, offsetof(struct answer, why) + 1);
	a->tell[0] = 0;
	a->text = "";
	a->pidfd = a->cwd = a->elsewhere = -1;
}
