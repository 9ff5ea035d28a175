/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel's interfaces, addresses and routes by rtnetlink: on the host, and through a socket that lives in a sandbox. */
#ifndef NETWORK_RTNL_H
#define NETWORK_RTNL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "network/ipam.h"

/* Moves an interface of the host into a namespace, with its name. */
int rtnl_move(const char *name, int netns_fd, struct err *err);

struct rtnl_route {
	const char *destination, *via; /* via NULL: the link itself */
};
/* What an interface in a sandbox becomes. Strings NULL for none. */
struct rtnl_wire {
	const char *from, *to;       /* names */
	const char *mac, *ipv4, *gateway4;
	const struct rtnl_route *routes;
	size_t routes_len;
};
/* sock: a NETLINK_ROUTE socket made in the sandbox's namespace. */
int rtnl_wire(int sock, const struct rtnl_wire *w, struct err *err);

/*
 * What the host's routes and addresses take, for choosing a subnet that is free. Left out: default routes, also those cut
 * in two or four as VPNs have them, and what belongs to the interface except.
 */
int rtnl_taken(const char *except, struct cidr4 **ret, size_t *ret_len, struct err *err);
/* The first IPv4 address of an interface; ERR_NOT_FOUND when it has none or is not there. */
int rtnl_address(const char *name, struct cidr4 *ret, struct err *err);

#endif
