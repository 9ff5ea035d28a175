/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests to rtnetlink: begun, filled by libmnl's functions, done. */
#ifndef NET_BRIDGE_TALK_H
#define NET_BRIDGE_TALK_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "bridge.h"

#define LIST_TRIES 20 /* of a list that changes while it is read */
#define MSG_SIZE 2048
#define ALIAS "dockerd:" /* and the network's id: whose an interface is */
#define ALIAS_SIZE (sizeof(ALIAS) + 64)

/* A request under way. */
struct talk {
	struct mnl_socket *nl;
	struct nlmsghdr *h;
	char msg[MSG_SIZE];
};
int talk_open(struct talk *t, struct br_error *e);
void talk_close(struct talk *t);
void talk_begin(struct talk *t, uint16_t type, uint16_t flags);
struct ifinfomsg *talk_link(struct talk *t, uint16_t type, uint16_t flags);
/* Sends it and takes all of the answer; 0, or -1 with errno: EINTR means a list to ask for again. */
int talk_do(struct talk *t, mnl_cb_t cb, void *ctx);

struct link {
	int index, master, up;
	char name[IFNAMSIZ], kind[16], alias[ALIAS_SIZE];
};
void link_read(const struct nlmsghdr *h, struct link *ret);
/* 0 with index 0 when there is none. */
int link_get(struct talk *t, const char *name, struct link *ret, struct br_error *e);
/* alias: NULL for none. */
int link_take_up(struct talk *t, const char *name, const char *alias, struct br_error *e);
void link_alias(const char *network, char ret[ALIAS_SIZE]);

#endif
