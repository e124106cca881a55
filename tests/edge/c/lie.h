/* What a worker that lies or dies says to its host: a script of bytes, which is
 * played on the worker's socket. It is the input of the fuzzer (fuzz_host.c) and
 * the "lie=" of liar.c, so that what one finds the other can show.
 *
 * A message of the script is
 *   byte 0   what: HDLUMRX by number, then the payload as it is, nothing at all,
 *            silence for ever, the end of the worker, a message that is too long
 *   byte 1   how many descriptors come with it, and of which kind
 *   byte 2   the length of the payload, which follows
 * A conversation ends with a report, silence, the end, or the script.
 */
#ifndef LIE_H
#define LIE_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MOST_FDS = 8, TYPES = 7, RAW = TYPES, EMPTY, SILENCE, END, TOO_LONG, WHATS };
enum ending { REPORTED, SILENT, ENDED };

struct lie {
	const uint8_t *at;
	size_t left;
	uint8_t action; /* of the report, once it was said */
};

static inline uint8_t next_byte(struct lie *lie)
{
	if (!lie->left)
		return 0;
	lie->left--;
	return *lie->at++;
}

/* A descriptor of some kind; where it is polled, it is ready, never ready, or
 * at its end. */
static inline int some_descriptor(int kind)
{
	int pair[2];

	switch (kind) {
	case 0:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 1:
		return open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	case 2:
		return open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	case 3: /* never ready */
#ifdef REPLAY /* not every valgrind knows pidfds */
		return eventfd(0, EFD_CLOEXEC);
#endif
		return (int)syscall(SYS_pidfd_open, getpid(), 0);
	case 4: /* the other end is gone */
		if (pipe2(pair, O_CLOEXEC))
			return -1;
		close(pair[1]);
		return pair[0];
	default: /* a socket: it could be sent, and sent to */
		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			return -1;
		close(pair[1]);
		return pair[0];
	}
}

static inline void say(int sock, const void *text, size_t length, int kind, int count)
{
	struct iovec iov = { (void *)(uintptr_t)text, length };
	union { struct cmsghdr align; char space[CMSG_SPACE(MOST_FDS * sizeof(int))]; } control;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[MOST_FDS], n = 0;

	for (int i = 0; i < count; i++)
		if ((fds[n] = some_descriptor(kind)) >= 0)
			n++;
	if (n > 0) {
		memset(&control, 0, sizeof control);
		msg.msg_control = control.space;
		msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, (size_t)n * sizeof(int));
	}
	sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n > 0)
		close(fds[--n]);
}

/* Plays one conversation. */
static inline enum ending play(struct lie *lie, int sock)
{
	static uint8_t text[16384];

	while (lie->left) {
		int what = next_byte(lie) % WHATS, descriptors = next_byte(lie);
		size_t length = next_byte(lie), at = 0;

		if (what == SILENCE)
			return SILENT;
		if (what == END)
			return ENDED;
		if (what < TYPES)
			text[at++] = (uint8_t)"HDLUMRX"[what];
		if (length > lie->left)
			length = lie->left;
		memcpy(text + at, lie->at, length);
		lie->at += length;
		lie->left -= length;
		at += length;
		if (what == EMPTY)
			at = 0;
		if (what == TOO_LONG) {
			memset(text + at, 'A', sizeof text - at);
			at = sizeof text;
		}
		say(sock, text, at, descriptors / MOST_FDS % 6, descriptors % MOST_FDS);
		if (what == 5 && at >= 8) {
			lie->action = text[1];
			return REPORTED;
		}
	}
	return ENDED;
}

#endif
