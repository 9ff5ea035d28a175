/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interfaces of the host by rtnetlink, for the drivers that hang containers on one: each call on a socket of its own. */
#ifndef NET_LINKS_H
#define NET_LINKS_H

#include <libmnl/libmnl.h>
#include <net/if.h>
#include <stdint.h>

#define LINK_ALIAS 80

/* What went wrong: errno or 0, and a sentence's beginning. */
struct link_error {
	int sys;
	char what[256];
};
int link_fail(struct link_error *e, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

struct link {
	int index, up;
	uint32_t flags;
	char name[IFNAMSIZ], kind[16], alias[LINK_ALIAS];
};
/* 0 with index 0 when there is none. */
int link_get(const char *name, struct link *ret, struct link_error *e);

struct link_make {
	const char *name, *kind;
	const char *alias;        /* NULL: none */
	int parent;               /* index, or 0 */
	int netns_fd;             /* where it shall lie; -1: here */
	uint32_t mtu;             /* 0: the kernel's */
	const unsigned char *mac; /* 6 bytes, or NULL */
	int up;
	/* Puts what the kind wants to know into the message. Optional. */
	void (*fill)(struct nlmsghdr *h, const void *ctx);
	const void *ctx;
};
/* e->sys EEXIST: there is one of that name; EOPNOTSUPP: the kernel knows no such kind. */
int link_make(const struct link_make *m, struct link_error *e);
/* One that is not there is fine. */
int link_delete(const char *name, struct link_error *e);
int link_up(const char *name, struct link_error *e);

#endif
