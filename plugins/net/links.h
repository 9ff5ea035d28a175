/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interfaces by rtnetlink. Every call takes the socket of the namespace that it shall work in; NULL: one of the caller's namespace
 * is made for it.
 */
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
int link_get(struct mnl_socket *nl, const char *name, struct link *ret, struct link_error *e);

struct link_make {
	const char *name, *kind;
	const char *alias;        /* NULL: none; only for one that lies here */
	int parent;               /* index, or 0 */
	int master;               /* index of the bridge, or 0 */
	int netns_fd;             /* where it shall lie; -1: here */
	uint32_t mtu;             /* 0: the kernel's */
	const unsigned char *mac; /* 6 bytes, or NULL */
	int up;
	/* Puts what the kind wants to know into the message. Optional. */
	void (*fill)(struct nlmsghdr *h, const void *ctx);
	const void *ctx;
};
/* e->sys EEXIST: there is one of that name; EOPNOTSUPP: the kernel knows no such kind. */
int link_make(struct mnl_socket *nl, const struct link_make *m, struct link_error *e);
/* One that is not there is fine. */
int link_delete(struct mnl_socket *nl, const char *name, struct link_error *e);
int link_up(struct mnl_socket *nl, const char *name, struct link_error *e);
/* Puts it into a bridge and takes it up. */
int link_enslave(struct mnl_socket *nl, const char *name, int master, struct link_error *e);

/* Any request: begun in msg (LINK_MSG bytes), filled by the caller, sent; 0, or -1 with errno. */
#define LINK_MSG 1024
struct nlmsghdr *link_begin(char *msg, uint16_t type, uint16_t flags);
int link_talk(struct mnl_socket *nl, struct nlmsghdr *h, mnl_cb_t cb, void *ctx);
struct mnl_socket *link_socket(void);

#endif
