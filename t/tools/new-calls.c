/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * System calls for a program under a valgrind that does not know them. As a library to preload (-shared): openat2 is handed
 * to this same file as a program (-DSERVER), which makes it and passes the descriptor back (OPENAT2_SOCKET names the socket);
 * pidfd_send_signal becomes kill.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

struct request { struct open_how how; int cwd; char path[PATH_MAX]; };

static int send_with_fd(int sock, const void *data, size_t size, int fd)
{
	union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec iov = { (void *)data, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (fd >= 0) {
		m.msg_control = control.space;
		m.msg_controllen = sizeof(control.space);
		control.h = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.h), &fd, sizeof(fd));
	}
	return sendmsg(sock, &m, MSG_NOSIGNAL) == (ssize_t)size ? 0 : -1;
}

static int recv_with_fd(int sock, void *data, size_t size, int *ret_fd)
{
	union { struct cmsghdr h; char space[CMSG_SPACE(sizeof(int))]; } control = { 0 };
	struct iovec iov = { data, size };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof(control.space) };
	struct cmsghdr *c;

	*ret_fd = -1;
	if (recvmsg(sock, &m, MSG_CMSG_CLOEXEC) != (ssize_t)size)
		return -1;
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(c), sizeof(*ret_fd));
	return 0;
}

static int socket_at(struct sockaddr_un *a)
{
	const char *path = getenv("OPENAT2_SOCKET");

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!path || strlen(path) >= sizeof(a->sun_path))
		return -1;
	strcpy(a->sun_path, path);
	return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
}

#ifdef SERVER
int main(void)
{
	static struct request r;
	struct sockaddr_un a;
	int s = socket_at(&a);

	if (s < 0 || bind(s, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(s, 64) < 0)
		return 1;
	for (;;) {
		int c = accept(s, NULL, NULL), dir, fd, answer;

		if (c < 0)
			continue;
		if (recv_with_fd(c, &r, sizeof(r), &dir) == 0) {
			fd = (int)syscall(SYS_openat2, r.cwd ? AT_FDCWD : dir, r.path, &r.how, sizeof(r.how));
			answer = fd < 0 ? errno : 0;
			send_with_fd(c, &answer, sizeof(answer), fd);
			if (fd >= 0)
				close(fd);
		}
		if (dir >= 0)
			close(dir);
		close(c);
	}
}
#else
static long open_elsewhere(int dir, const char *path, const struct open_how *how)
{
	struct request *r = calloc(1, sizeof(*r));
	struct sockaddr_un a;
	int s = socket_at(&a), fd = -1, answer = ENOSYS;

	if (r && s >= 0 && strlen(path) < sizeof(r->path) && connect(s, (struct sockaddr *)&a, sizeof(a)) == 0) {
		r->how = *how;
		r->cwd = dir == AT_FDCWD;
		strcpy(r->path, path);
		if (send_with_fd(s, r, sizeof(*r), r->cwd ? -1 : dir) < 0 || recv_with_fd(s, &answer, sizeof(answer), &fd) < 0)
			answer = ENOSYS;
	}
	if (s >= 0)
		close(s);
	free(r);
	errno = answer;
	return answer ? -1 : fd;
}

static long signal_elsewhere(int pidfd, int sig)
{
	char path[64], line[128];
	int pid = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "Pid:", 4) == 0)
			pid = atoi(line + 4);
	if (f)
		fclose(f);
	if (pid > 0)
		return kill(pid, sig);
	errno = ESRCH;
	return -1;
}

/* In the C library's place: everything else goes to the kernel. */
long syscall(long n, ...)
{
	va_list ap;
	long v[6], rc;

	va_start(ap, n);
	for (int i = 0; i < 6; i++)
		v[i] = va_arg(ap, long);
	va_end(ap);
	if (n == SYS_openat2)
		return open_elsewhere((int)v[0], (const char *)v[1], (const struct open_how *)v[2]);
	if (n == SYS_pidfd_send_signal)
		return signal_elsewhere((int)v[0], (int)v[1]);
	register long r10 __asm__("r10") = v[3], r8 __asm__("r8") = v[4], r9 __asm__("r9") = v[5];
	__asm__ volatile("syscall" : "=a"(rc) : "a"(n), "D"(v[0]), "S"(v[1]), "d"(v[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	if (rc < 0 && rc > -4096) {
		errno = (int)-rc;
		return -1;
	}
	return rc;
}
#endif
