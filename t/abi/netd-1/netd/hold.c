/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"

#define BACKLOG       4096
#define RANGE_FILE    "/proc/sys/net/ipv4/ip_local_port_range"

#ifndef SO_DETACH_FILTER
#define SO_DETACH_FILTER 27
#endif

int hold_bind(int proto, const struct address *a)
{
	const int on = 1;
	OWN_FD int fd = socket(a->sa.sa_family, (proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, proto);

	if (fd < 0)
		return proto == IPPROTO_SCTP && (errno == EPROTONOSUPPORT || errno == ESOCKTNOSUPPORT) ? HOLD_RECORD_ONLY : -1;
	if (a->sa.sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -1;
	/* connections that are still being closed are not in the way; listening finds out about sockets that are bound the same way */
	if (proto != IPPROTO_UDP && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -1;
	if (bind(fd, &a->sa, address_size(a)) < 0 || (proto != IPPROTO_UDP && listen(fd, BACKLOG) < 0))
		return -1;
	return STEAL_FD(fd);
}

/* A datagram that nobody will read is not kept. */
static int deaf(int fd, bool yes)
{
	struct sock_filter none[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	struct sock_fprog program = { 1, none };
	int zero = 0;

	if (yes)
		return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	if (setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &zero, sizeof(zero)) < 0 && errno != ENOENT)
		return -1;
	return 0;
}

int hold_listen(int fd, int proto, bool serve)
{
	const int on = 1, off = 0;

	if (proto == IPPROTO_UDP)
		return deaf(fd, !serve);
	if (serve)
		return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ? -1 : listen(fd, BACKLOG);
	/* this ends the listening, not the binding, which then no other socket may share, whatever options it has */
	if (shutdown(fd, SHUT_RD) < 0 && errno != ENOTCONN)
		return -1;
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off));
}

void hold_local_range(unsigned *ret_begin, unsigned *ret_end)
{
	char text[64];
	OWN_FD int fd = open(RANGE_FILE, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	if (sscanf(text, "%u %u", ret_begin, ret_end) == 2 && *ret_begin && *ret_begin <= *ret_end && *ret_end <= 65535)
		return;
	*ret_begin = 49153;
	*ret_end = 65535;
}
