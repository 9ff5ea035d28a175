/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/flow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "netd/log.h"
#include "netd/ports.h"

#define IDLE_NS   (90 * NSEC_PER_SEC)
#define BUCKETS   4096
#define ROUNDS    32 /* datagrams at a time of one socket */

static struct flow *buckets[BUCKETS];
static struct list by_use = LIST_INIT(by_use);
static struct timer idle_timer;
static size_t count, limit = 1024;
static char datagram[65536];

size_t flow_count(void)
{
	return count;
}

void flow_set_limit(size_t n)
{
	limit = n;
}

/* Strangers choose the addresses; they do not know the seed. */
static struct flow **bucket(const struct port *p, const struct address *client)
{
	static uint64_t seed;
	const unsigned char *at = client->sa.sa_family == AF_INET6 ? client->in6.sin6_addr.s6_addr : (const void *)&client->in.sin_addr;
	size_t size = client->sa.sa_family == AF_INET6 ? 16 : 4;
	uint64_t h;

	if (!seed && getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		seed = (uint64_t)clock_mono() | 1;
	h = seed ^ (uintptr_t)p ^ ((uint64_t)address_port(client) << 32);
	for (size_t i = 0; i < size; i++)
		h = (h ^ at[i]) * UINT64_C(0x9E3779B97F4A7C15), h ^= h >> 29;
	return &buckets[h % BUCKETS];
}

void flow_end(struct flow *f)
{
	struct flow **at = bucket(f->port, &f->client);

	while (*at != f)
		at = &(*at)->next;
	*at = f->next;
	list_del(&f->of_port);
	list_del(&f->by_use);
	loop_close(&f->target);
	free(f);
	count--;
}

static void idle_due(struct timer *t)
{
	while (!list_empty(&by_use)) {
		struct flow *f = LIST_FIRST(&by_use, struct flow, by_use);

		if (f->used + IDLE_NS > loop_now()) {
			loop_timer_at(t, f->used + IDLE_NS, idle_due);
			return;
		}
		flow_end(f);
	}
}

static void touch(struct flow *f)
{
	f->used = loop_now();
	list_del(&f->by_use);
	list_add(&by_use, &f->by_use);
	if (!idle_timer.at)
		loop_timer_at(&idle_timer, f->used + IDLE_NS, idle_due);
}

/* From the address that the client knows. */
static void answer(struct flow *f, size_t size)
{
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	} control = { 0 };
	struct iovec iov = { datagram, size };
	struct msghdr msg = { .msg_name = &f->client, .msg_namelen = address_size(&f->client), .msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.space };
	struct cmsghdr *c = &control.align;

	if (f->local.sa.sa_family == AF_INET6) {
		struct in6_pktinfo info = { .ipi6_addr = f->local.in6.sin6_addr, .ipi6_ifindex = f->local.in6.sin6_scope_id };

		c->cmsg_level = IPPROTO_IPV6;
		c->cmsg_type = IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		msg.msg_controllen = CMSG_SPACE(sizeof(info));
	} else if (f->local.sa.sa_family == AF_INET) {
		struct in_pktinfo info = { .ipi_spec_dst = f->local.in.sin_addr };

		c->cmsg_level = IPPROTO_IP;
		c->cmsg_type = IP_PKTINFO;
		c->cmsg_len = CMSG_LEN(sizeof(info));
		memcpy(CMSG_DATA(c), &info, sizeof(info));
		msg.msg_controllen = CMSG_SPACE(sizeof(info));
	}
	(void)!sendmsg(f->port->src.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void target_ready(struct source *src, uint32_t events)
{
	struct flow *f = CONTAINER_OF(src, struct flow, target);

	for (int i = 0; i < ROUNDS; i++) {
		ssize_t n = recv(src->fd, datagram, sizeof(datagram), MSG_DONTWAIT);

		/* nobody listens there yet (ECONNREFUSED): the client may send again */
		if (n < 0)
			return;
		touch(f);
		answer(f, (size_t)n);
	}
}

static struct flow *flow_new(struct port *p, const struct address *client, const struct address *local, int fd)
{
	struct flow *f = calloc(1, sizeof(*f)), **at = bucket(p, client);

	if (!f)
		return NULL;
	*f = (struct flow){ .port = p, .client = *client, .local = *local, .target = { .fd = fd, .fn = target_ready }, .next = *at };
	*at = f;
	list_add(&p->flows, &f->of_port);
	list_init(&f->by_use);
	count++;
	touch(f);
	return f;
}

static struct flow *flow_find(struct port *p, const struct address *client)
{
	struct flow *f = *bucket(p, client);

	while (f && (f->port != p || !address_same(&f->client, client)))
		f = f->next;
	return f;
}

static struct flow *flow_get(struct port *p, const struct address *client, const struct address *local)
{
	struct flow *f = flow_find(p, client);
	int fd;

	if (f)
		return f;
	if (count >= limit && !list_empty(&by_use))
		flow_end(LIST_FIRST(&by_use, struct flow, by_use));
	fd = socket(p->target.sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, &p->target.sa, address_size(&p->target)) == 0)
		f = flow_new(p, client, local, fd);
	if (f && loop_watch(&f->target, EPOLLIN) == 0)
		return f;
	netd_log_seldom(LOG_WARN, "a datagram is dropped: %s", strerror(errno));
	if (f)
		flow_end(f);
	else if (fd >= 0)
		close(fd);
	return NULL;
}

/* Where the datagram was sent to. */
static struct address sent_to(struct msghdr *msg)
{
	struct address a = { .sa = { .sa_family = AF_UNSPEC } };

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			a.in = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = info.ipi_spec_dst };
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			a.in6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = info.ipi6_addr };
			if (IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr))
				a.in6.sin6_scope_id = info.ipi6_ifindex;
		}
	}
	return a;
}

void flow_ready(struct port *p)
{
	for (int i = 0; i < ROUNDS; i++) {
		union {
			struct cmsghdr align;
			char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
		} control;
		struct address client = { 0 }, local;
		struct iovec iov = { datagram, sizeof(datagram) };
		struct msghdr msg = { .msg_name = &client, .msg_namelen = sizeof(client), .msg_iov = &iov, .msg_iovlen = 1,
			.msg_control = control.space, .msg_controllen = sizeof(control.space) };
		ssize_t n = recvmsg(p->src.fd, &msg, MSG_DONTWAIT);
		struct flow *f;

		if (n < 0)
			return;
		local = sent_to(&msg);
		f = flow_get(p, &client, &local);
		if (!f)
			continue;
		touch(f);
		/* an answer to what was sent before ("refused") comes in place of this: say it again */
		if (send(f->target.fd, datagram, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED)
			(void)!send(f->target.fd, datagram, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
	}
}

void flow_prepare(int fd)
{
	const int on = 1;

	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0)
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

bool flow_adopt(struct port *p, const struct address *client, const struct address *local, int fd)
{
	return !flow_find(p, client) && flow_new(p, client, local, fd);
}

void flow_pause(struct flow *f)
{
	loop_unwatch(&f->target);
}

void flow_resume(struct flow *f)
{
	if (loop_watch(&f->target, EPOLLIN) < 0)
		flow_end(f);
}
