/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packets between network namespaces, for tests of network drivers; the namespaces are ip's, /run/netns/NAME. */
#ifndef T_NETNS_H
#define T_NETNS_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/str.h"

__attribute__((format(printf, 1, 2), unused)) static int run(const char *fmt, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	return system(command);
}

/* A socket of another namespace: made by a thread that goes there and ends. */
struct far { const char *sandbox; int family, fd; };
static void *make_far(void *arg)
{
	struct far *f = arg;
	OWN_FREE char *path = xasprintf("/run/netns/%s", f->sandbox);
	OWN_FD int ns = open(path, O_RDONLY | O_CLOEXEC);

	f->fd = setns(ns, CLONE_NEWNET) == 0 ? socket(f->family, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
	return NULL;
}
static int far_socket(const char *sandbox, int family)
{
	struct far f = { sandbox, family, -1 };
	pthread_t t;

	pthread_create(&t, NULL, make_far, &f);
	pthread_join(t, NULL);
	return f.fd;
}

/* Whether a packet from one sandbox arrives in the other, at that address of its own, within tries times 100 ms. */
__attribute__((unused)) static bool packet_try(const char *from, const char *to, const char *to_address, int tries)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(7777) };
	struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(7777) };
	bool v6 = inet_pton(AF_INET, to_address, &a.sin_addr) != 1 && inet_pton(AF_INET6, to_address, &a6.sin6_addr) == 1;
	const struct sockaddr *sa = v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a;
	socklen_t size = v6 ? sizeof(a6) : sizeof(a);
	struct timeval wait = { 0, 100000 };
	OWN_FD int in = far_socket(to, v6 ? AF_INET6 : AF_INET), out = far_socket(from, v6 ? AF_INET6 : AF_INET);
	char c = 0;

	if (bind(in, sa, size) < 0)
		return false;
	setsockopt(in, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	for (int i = 0; i < tries; i++)
		if (sendto(out, "x", 1, 0, sa, size) != 1)
			usleep(100000);
		else if (recv(in, &c, 1, 0) == 1)
			return c == 'x';
	return false;
}
#define packet(from, to, address) packet_try(from, to, address, 200)
#define no_packet(from, to, address) (!packet_try(from, to, address, 8))

#endif
