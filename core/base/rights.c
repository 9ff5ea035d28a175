/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/rights.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

union control {
	struct cmsghdr head;
	char room[CMSG_SPACE(RIGHTS_MAX * sizeof(int))];
};

ssize_t rights_send(int sock, struct iovec *iov, size_t n, const int *fds, size_t nfds, int flags)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n };
	union control control;
	ssize_t sent;

	BUG_ON(nfds > RIGHTS_MAX);
	if (nfds) {
		memset(&control, 0, CMSG_SPACE(nfds * sizeof(int)));
		control.head = (struct cmsghdr){ .cmsg_len = CMSG_LEN(nfds * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
		memcpy(CMSG_DATA(&control.head), fds, nfds * sizeof(int));
		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	}
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL | flags);
	while (sent < 0 && errno == EINTR);
	return sent;
}

ssize_t rights_recv(int sock, struct iovec *iov, size_t n, int *fds, size_t *nfds, int flags)
{
	union control control;
	/* no padding behind the last one, in which the kernel would place another */
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = n, .msg_control = &control, .msg_controllen = CMSG_LEN(*nfds * sizeof(int)) };
	struct cmsghdr *c;
	ssize_t got;

	BUG_ON(*nfds > RIGHTS_MAX);
	*nfds = 0;
	do
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | flags);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -1;
	/* one at most: a message carries one, and bytes of two messages with descriptors are not received together */
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		*nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), *nfds * sizeof(int));
	}
	if (msg.msg_flags & MSG_CTRUNC) {
		while (*nfds)
			close(fds[--*nfds]);
		errno = EPROTO;
		return -1;
	}
	return got;
}
