/* liar [-r UID] MOUNTPOINT ENTRY...: a filesystem (FUSE) of a user's own, which
 * says of its files whatever suits its user. It is mounted as users do that,
 * through fusermount3; with -r by mount(2), as root does it, as UID's.
 *
 *   d:PATH:UID:MODE    a directory that is said to be UID's with MODE (octal)
 *   l:PATH:UID:TARGET  a symbolic link that is said to be UID's
 *   stat:BLOCKED       statfs fails with EACCES, as under SELinux
 *
 * A user's mount has a type and a name that look like the options of one of root's, to
 * who takes any white space for the end of a field of mountinfo.
 *
 * The root directory is root's with mode 0755, unless "d:/:UID:MODE" says else.
 * What is made in it afterwards is said to be whose it is. One line on standard
 * output per request that changes something or asks for a name, with the uid
 * that asked; "mounted" at first. After SIGUSR1 it answers nothing more, and says
 * "silent" once a request waits. It ends with its standard input: the mount is
 * dead then, and there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct node {
	unsigned parent, uid, mode;
	char name[256], target[256];
	int gone;
};

static struct node nodes[4096];
static unsigned count = 2; /* the root is 1 */
static int fuse, blocked;
static volatile sig_atomic_t silent;

static void be_silent(int signal)
{
	(void)signal;
	silent = 1;
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static unsigned find(unsigned parent, const char *name)
{
	for (unsigned i = 2; i < count; i++)
		if (!nodes[i].gone && nodes[i].parent == parent && !strcmp(nodes[i].name, name))
			return i;
	return 0;
}

static unsigned add(unsigned parent, const char *name, unsigned uid, unsigned mode)
{
	if (count == sizeof nodes / sizeof *nodes)
		return 0;
	nodes[count].parent = parent;
	nodes[count].uid = uid;
	nodes[count].mode = mode;
	snprintf(nodes[count].name, sizeof nodes[count].name, "%s", name);
	return count++;
}

static void entry(char *spec)
{
	char *kind = strsep(&spec, ":"), *path = strsep(&spec, ":"), *uid = strsep(&spec, ":"), *name;
	unsigned at = 1;

	if (!strcmp(kind, "stat")) {
		blocked = 1;
		return;
	}
	if (!path || !uid || !spec) {
		fprintf(stderr, "liar: not an entry: %s\n", kind);
		exit(2);
	}
	if (!strcmp(path, "/")) {
		nodes[1].uid = (unsigned)atoi(uid);
		nodes[1].mode = S_IFDIR | (unsigned)strtoul(spec, NULL, 8);
		return;
	}
	while ((name = strsep(&path, "/")) && path)
		at = find(at, name);
	if (*kind == 'd') {
		add(at, name, (unsigned)atoi(uid), S_IFDIR | (unsigned)strtoul(spec, NULL, 8));
		return;
	}
	at = add(at, name, (unsigned)atoi(uid), S_IFLNK | 0777);
	snprintf(nodes[at].target, sizeof nodes[at].target, "%s", spec);
}

/* mount_as_user has fusermount3 mount, and send the descriptor. */
static int mount_as_user(const char *point)
{
	int pair[2], fd = -1;
	char byte, name[16], control[CMSG_SPACE(sizeof fd)];
	struct iovec io = { &byte, 1 };
	struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	struct cmsghdr *c;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		die("socketpair");
	if (!(child = fork())) {
		close(pair[0]);
		snprintf(name, sizeof name, "%d", pair[1]);
		setenv("_FUSE_COMMFD", name, 1);
		execlp("fusermount3", "fusermount3", "-o", "allow_other,subtype=ext4\fx\fuser_id=0\f,fsname=/dev/root\fuser_id=0", "--", point, (char *)NULL);
		_exit(127);
	}
	close(pair[1]);
	if (recvmsg(pair[0], &message, 0) <= 0) {
		fprintf(stderr, "liar: fusermount3 sent no descriptor\n");
		exit(1);
	}
	for (c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
		if (c->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(c), sizeof fd);
	waitpid(child, NULL, 0);
	return fd;
}

static int mount_as_root(const char *point, const char *uid)
{
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/fuse");
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%s,group_id=%s,allow_other", fd, uid, uid);
	if (mount("liar", point, "fuse.liar", MS_NOSUID | MS_NODEV, options))
		die("mount");
	return fd;
}

static void answer(const struct fuse_in_header *in, int error, const void *body, size_t size)
{
	struct fuse_out_header out = { .error = -error, .unique = in->unique };
	char buf[8192];

	if (error)
		size = 0;
	out.len = (unsigned)(sizeof out + size);
	memcpy(buf, &out, sizeof out);
	if (size)
		memcpy(buf + sizeof out, body, size);
	if (write(fuse, buf, out.len) < 0 && errno != ENOENT)
		die("answer");
}

static struct fuse_attr attributes(unsigned id)
{
	struct fuse_attr a = { .ino = id, .mode = nodes[id].mode, .uid = nodes[id].uid, .gid = nodes[id].uid, .nlink = 2 };

	return a;
}

static void answer_entry(const struct fuse_in_header *in, unsigned id)
{
	struct fuse_entry_out out = { .nodeid = id };

	if (!id) {
		answer(in, ENOENT, NULL, 0);
		return;
	}
	out.attr = attributes(id);
	answer(in, 0, &out, sizeof out);
}

static void answer_attributes(const struct fuse_in_header *in, unsigned id)
{
	struct fuse_attr_out out = { .attr = attributes(id) };

	answer(in, 0, &out, sizeof out);
}

static void tell(const struct fuse_in_header *in, const char *what, const char *name)
{
	printf("%s %s uid=%u\n", what, name, in->uid);
	fflush(stdout);
}

static void make(const struct fuse_in_header *in, const struct fuse_mkdir_in *arg)
{
	const char *name = (const char *)(arg + 1);

	tell(in, "mkdir", name);
	answer_entry(in, add((unsigned)in->nodeid, name, in->uid, S_IFDIR | (arg->mode & 07777)));
}

static void set_attributes(const struct fuse_in_header *in, const struct fuse_setattr_in *arg)
{
	struct node *n = &nodes[in->nodeid];

	tell(in, arg->valid & FATTR_UID ? "chown" : "chmod", n->name);
	if (arg->valid & FATTR_UID)
		n->uid = arg->uid;
	if (arg->valid & FATTR_MODE)
		n->mode = (n->mode & S_IFMT) | (arg->mode & 07777);
	answer_attributes(in, (unsigned)in->nodeid);
}

static void list(const struct fuse_in_header *in, const struct fuse_read_in *arg)
{
	char buf[4096];
	size_t used = 0;

	for (unsigned i = 2 + (unsigned)arg->offset; i < count; i++) {
		size_t length = strlen(nodes[i].name), size = FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
		struct fuse_dirent d = { .ino = i, .off = i - 1, .namelen = (unsigned)length, .type = nodes[i].mode >> 12 };

		if (nodes[i].gone || nodes[i].parent != in->nodeid)
			continue;
		if (used + size > sizeof buf || used + size > arg->size)
			break;
		memset(buf + used, 0, size);
		memcpy(buf + used, &d, FUSE_NAME_OFFSET);
		memcpy(buf + used + FUSE_NAME_OFFSET, nodes[i].name, length);
		used += size;
	}
	answer(in, 0, buf, used);
}

static void serve(const struct fuse_in_header *in, void *arg)
{
	struct fuse_init_out init = { .major = 7, .minor = 31, .max_readahead = 4096, .max_write = 4096 };
	struct fuse_statfs_out fs = { .st = { .bsize = 4096, .namelen = 255 } };
	struct fuse_open_out opened = { .fh = 1 };
	unsigned id = (unsigned)in->nodeid, child;

	switch (in->opcode) {
	case FUSE_INIT:
		answer(in, 0, &init, sizeof init);
		return;
	case FUSE_LOOKUP:
		tell(in, "lookup", arg);
		answer_entry(in, find(id, arg));
		return;
	case FUSE_GETATTR:
		answer_attributes(in, id);
		return;
	case FUSE_SETATTR:
		set_attributes(in, arg);
		return;
	case FUSE_READLINK:
		tell(in, "readlink", nodes[id].name);
		answer(in, 0, nodes[id].target, strlen(nodes[id].target));
		return;
	case FUSE_MKDIR:
		make(in, arg);
		return;
	case FUSE_RMDIR:
	case FUSE_UNLINK:
		child = find(id, arg);
		nodes[child].gone = 1;
		answer(in, child ? 0 : ENOENT, NULL, 0);
		return;
	case FUSE_OPENDIR:
		answer(in, 0, &opened, sizeof opened);
		return;
	case FUSE_READDIR:
		list(in, arg);
		return;
	case FUSE_STATFS:
		answer(in, blocked ? EACCES : 0, &fs, sizeof fs);
		return;
	case FUSE_RELEASEDIR:
		answer(in, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	}
	answer(in, ENOSYS, NULL, 0);
}

int main(int argc, char **argv)
{
	static char buf[1 << 16] __attribute__((aligned(8)));
	struct sigaction action = { .sa_handler = be_silent };
	const char *root = NULL, *point;
	struct pollfd wait[2];
	ssize_t n;

	if (argc > 2 && !strcmp(argv[1], "-r")) {
		root = argv[2];
		argv += 2;
		argc -= 2;
	}
	if (argc < 2) {
		fprintf(stderr, "usage: liar [-r UID] MOUNTPOINT ENTRY...\n");
		return 2;
	}
	sigaction(SIGUSR1, &action, NULL);
	point = argv[1];
	nodes[1].mode = S_IFDIR | 0755;
	for (int i = 2; i < argc; i++)
		entry(argv[i]);
	fuse = root ? mount_as_root(point, root) : mount_as_user(point);
	if (fuse < 0)
		return 1;
	puts("mounted");
	fflush(stdout);
	wait[0] = (struct pollfd){ .fd = fuse, .events = POLLIN };
	wait[1] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	for (;;) {
		if (poll(wait, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			die("poll");
		}
		if (wait[1].revents)
			return 0; /* the kernel answers ENOTCONN from now on */
		if (!wait[0].revents)
			continue;
		n = read(fuse, buf, sizeof buf);
		if (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT))
			continue;
		if (n < 0)
			return 0; /* it was unmounted */
		if (silent) {
			puts("silent");
			fflush(stdout);
			wait[0].fd = -1; /* what follows waits as well */
			continue;
		}
		serve((void *)buf, buf + sizeof(struct fuse_in_header));
	}
}
