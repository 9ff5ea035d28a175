/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's interfaces, addresses and routes by rtnetlink: on the host, and through a socket that lives in a sandbox. */
#ifndef NETWORK_RTNL_H
#define NETWORK_RTNL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "network/cidr.h"

/* Moves an interface of the host into a namespace, with its name. */
int rtnl_move(const char *name, int netns_fd, struct err *err);

/*
 * In a sandbox: sock is a NETLINK_ROUTE socket made in its namespace, index an interface there. Strings NULL for none.
 */
int rtnl_index(int sock, const char *name, int *ret, struct err *err);
/* Name, MAC address and up, in one. */
int rtnl_link(int sock, int index, const char *name, const char *mac, struct err *err);
/* With prefix length, or alone; that it is there already is fine. */
int rtnl_add_address(int sock, int index, const char *address, struct err *err);
/* via NULL: the link itself. */
int rtnl_add_route(int sock, int index, const char *destination, const char *via, struct err *err);
/* Puts the default route of a family in the place of the one that is there; packets find a route all the time. */
int rtnl_set_default(int sock, int index, const char *via, struct err *err);
/* Missing is fine. */
int rtnl_del_default(int sock, bool ipv6, struct err *err);
/* Deletes an interface; one that cannot be deleted is moved to the namespace of netns_fd. Missing is fine. */
int rtnl_del_link(int sock, const char *name, int netns_fd, struct err *err);
/*
 * The same for who does not wait for all of it: the kernel frees an interface a grace period after it is gone. sock hears of
 * interfaces, some thread starts the deletion (on a copy of the descriptor: the call returns when all is over), and the interface is
 * gone when rtnl_await_gone() says so. -1 with errno.
 */
int rtnl_hear_links(int sock, bool yes);
int rtnl_start_del_link(int sock, int index);
int rtnl_await_gone(int sock, int index, int timeout_ms);

/* A piece of what the host's routes and addresses take. */
struct rtnl_net {
	struct cidr net;
	bool routed;                 /* by a gateway: nobody there is a neighbour */
};
/*
 * All of it, for choosing a subnet that is free. Left out: default routes, also those cut in parts as VPNs have them, and
 * what belongs to the interface except.
 */
int rtnl_taken(const char *except, struct rtnl_net **ret, size_t *ret_len, struct err *err);
/* The first address of an interface of that family, in IPv6 none of the link's own; ERR_NOT_FOUND when it has none or is not there. */
int rtnl_address(const char *name, bool ipv6, struct cidr *ret, struct err *err);

#endif
