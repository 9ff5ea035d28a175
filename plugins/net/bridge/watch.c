/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The eye on the firewall: "nft flush ruleset", or a firewall that starts anew with one, takes the networks' rules as well. */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "batch.h"

#define MESSAGE_SIZE 8192
#define STACK_SIZE 65536
#define SETTLE_MS 50  /* one flush is many messages */
#define PAUSE_MS 1000 /* somebody who keeps on deleting gets tired less than we do */

struct watch {
	pthread_t thread;
	struct mnl_socket *nl;
	int stop;
	atomic_int iptables; /* its tables, too */
	void (*fn)(void *ctx);
	void *ctx;
	char buf[MESSAGE_SIZE];
};

static int is_watched(const struct watch *w, const char *table)
{
	if (strncmp(table, NFT_TABLE, strlen(NFT_TABLE)) == 0)
		return 1;
	return w->iptables && (strcmp(table, "filter") == 0 || strcmp(table, "nat") == 0 || strcmp(table, "raw") == 0);
}

/* Tables, chains, rules, sets and elements have the table's name as their first attribute. */
static int is_loss(const struct watch *w, const struct nlmsghdr *h)
{
	const struct nlattr *a;
	uint32_t type = h->nlmsg_type & 0xff;

	if (h->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES || batch_is_own(h) ||
	    (type != NFT_MSG_DELTABLE && type != NFT_MSG_DELCHAIN && type != NFT_MSG_DELRULE && type != NFT_MSG_DELSET &&
	     type != NFT_MSG_DELSETELEM))
		return 0;
	mnl_attr_for_each(a, h, sizeof(struct nfgenmsg))
		if (mnl_attr_get_type(a) == NFTA_TABLE_NAME && mnl_attr_validate(a, MNL_TYPE_NUL_STRING) == 0)
			return is_watched(w, mnl_attr_get_str(a));
	return 0;
}

/* Takes one datagram: 1 when it tells of a loss, or when some were lost themselves; 0; -1 when there will be no more. */
static int take(struct watch *w)
{
	ssize_t n = mnl_socket_recvfrom(w->nl, w->buf, sizeof(w->buf));
	int left = (int)n;

	if (n < 0)
		return errno == ENOBUFS || errno == ENOSPC ? 1 : errno == EINTR || errno == EAGAIN ? 0 : -1;
	for (const struct nlmsghdr *h = (void *)w->buf; mnl_nlmsg_ok(h, left); h = mnl_nlmsg_next(h, &left))
		if (is_loss(w, h))
			return 1;
	return 0;
}

/* 1: to stop; 0: messages, or so many milliseconds have passed. */
static int stopped(const struct watch *w, int fd, int timeout)
{
	struct pollfd p[2] = { { .fd = w->stop, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	poll(p, 2, timeout);
	return p[0].revents != 0;
}

static void *run(void *ctx)
{
	struct watch *w = ctx;
	int lost = 0;

	while (lost >= 0 && !stopped(w, mnl_socket_get_fd(w->nl), -1)) {
		lost = take(w);
		if (lost <= 0)
			continue;
		if (stopped(w, -1, SETTLE_MS))
			break;
		w->fn(w->ctx);
		if (stopped(w, -1, PAUSE_MS))
			break;
	}
	return NULL;
}

static int start_thread(struct watch *w)
{
	sigset_t all, before;
	pthread_attr_t attr;
	int rc;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, &attr, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return rc;
}

static void done(struct watch *w)
{
	if (w->nl)
		mnl_socket_close(w->nl);
	if (w->stop >= 0)
		close(w->stop);
	free(w);
}

struct watch *watch_start(void (*fn)(void *ctx), void *ctx)
{
	struct watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->fn = fn;
	w->ctx = ctx;
	w->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (w->stop < 0 || !w->nl || mnl_socket_bind(w->nl, 1u << (NFNLGRP_NFTABLES - 1), MNL_SOCKET_AUTOPID) < 0 ||
	    start_thread(w) != 0) {
		done(w);
		return NULL;
	}
	return w;
}

void watch_iptables(struct watch *w)
{
	w->iptables = 1;
}

void watch_stop(struct watch *w)
{
	if (!w)
		return;
	eventfd_write(w->stop, 1);
	pthread_join(w->thread, NULL);
	done(w);
}
