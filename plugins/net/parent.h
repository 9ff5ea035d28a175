/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What macvlan and ipvlan have in common: networks that lie on one interface of the host, the parent. A parent that is not there is
 * made: NAME.ID as a VLAN of the interface NAME, and none at all as a dummy that leads nowhere. What the driver made it knows again by the
 * alias of the interface and takes away with the last network on it.
 */
#ifndef NET_PARENT_H
#define NET_PARENT_H

#include <pthread.h>

#include <dockerd/net.h>

#include "links.h"

/* A word of an option and the kernel's number for it. */
struct parent_word {
	const char *word;
	uint32_t number;
};

struct parent_kind {
	const char *name;                  /* of the driver and of the kernel's kind of interface */
	const char *dummy;                 /* prefix of its dummies' names */
	const char *mode_key, *flag_key;   /* options; flag_key NULL: there is none */
	const struct parent_word *modes, *flags; /* the first is the default; ends with NULL */
	const char *exclusive;             /* the mode in which a parent has one network only; NULL: none */
};

struct parent_net {
	char id[65];
	char parent[IFNAMSIZ];
	uint32_t mode, flag;               /* the kernel's numbers */
	uint32_t mtu;                      /* 0: the parent's */
	int internal, exclusive, ipv4, ipv6;
	char gateway4[16], gateway6[46];   /* "" for none */
	struct parent_net *next;
};

struct dkd_net {
	const struct dkd_host *host;
	const struct parent_kind *kind;
	pthread_mutex_t lock;              /* nets, and the making and deleting of parents */
	struct parent_net *nets;
};

int32_t parent_open(const struct parent_kind *kind, const struct dkd_call *call, const struct dkd_host *host, struct dkd_net **ret);
void parent_close(struct dkd_net *d);
int32_t parent_capabilities(const struct dkd_call *call, struct dkd_net *d, struct dkd_net_caps *ret);
int32_t parent_known_options(const struct dkd_call *call, struct dkd_net *d, dkd_emit_pair *emit, void *to);
int32_t parent_create_network(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w);
int32_t parent_delete_network(const struct dkd_call *call, struct dkd_net *d, const char *network);
/* A copy of a network; -1 with the reason told. */
int parent_find(const struct dkd_call *call, struct dkd_net *d, const char *network, struct parent_net *ret);
/* Makes the container's interface in its namespace, and its name there until the daemon gives it another. fill as in struct link_make. */
int32_t parent_attach(const struct dkd_call *call, struct dkd_net *d, const struct parent_net *n, const struct dkd_net_join *j,
	void (*fill)(struct nlmsghdr *h, const void *ctx), char ret_name[IFNAMSIZ]);
int32_t parent_say(const struct dkd_net *d, const struct dkd_call *call, uint32_t err_class, const struct link_error *e);

#endif
