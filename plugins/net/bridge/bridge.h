/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the bridge driver: its networks (bridge.c), links by rtnetlink (link.c), the firewall by nfnetlink
 * (nft.c) and the eye on it (watch.c).
 * Nothing is remembered of endpoints: the name of an endpoint's interface follows from its id.
 */
#ifndef NET_BRIDGE_H
#define NET_BRIDGE_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include <dockerd/net.h>

#define MTU_DEFAULT 1500u
#define ERROR_SIZE 200
#define NFT_TABLE "dockerd" /* what names of tables begin with */

struct br_net {
	char id[65];
	char bridge[IFNAMSIZ];
	uint32_t mtu;
	uint32_t subnet, mask, gateway, router; /* host byte order; gateway: the bridge's own address, router: the containers' gateway, 0 for none */
	uint32_t prefix;                /* bits of mask */
	int icc, masquerade, firewall, forward, close, internal, existing; /* close: drop what forwarding would let through else */
	struct br_net *next;
};

/* What went wrong: errno, and a sentence's beginning. */
struct br_error {
	int sys;
	char what[ERROR_SIZE];
};
int br_fail(struct br_error *e, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Makes the bridge unless it is there (a net of an existing bridge: it must be), gives it its address, takes it up. */
int link_bridge(const struct br_net *n, struct br_error *e);
int link_bridge_delete(const char *bridge, struct br_error *e);
/*
 * One request to the kernel: a pair whose end here is a port of the bridge and up, and whose other end, of the same name,
 * lies in the namespace.
 */
int link_veth(const struct br_net *n, const char *name, int netns_fd, struct br_error *e);
/* Puts a port back into a bridge that was made anew; nothing for one that is not there or in place. */
int link_attach(const struct br_net *n, const char *name, struct br_error *e);
/* All of the network's, as their aliases tell. */
int link_attach_all(const struct br_net *n, struct br_error *e);
int link_delete(const char *name, struct br_error *e);
/* Calls fn for each port of the network; fn returns nonzero for those to delete. */
typedef int link_port_fn(void *ctx, const char *name);
int link_sweep(const struct br_net *n, link_port_fn *fn, void *ctx, struct br_error *e);

/* The network's table, anew in one transaction. */
int nft_write(const struct br_net *n, struct br_error *e);
int nft_delete(const char *bridge, struct br_error *e);
/* Whether it has all of its rules. */
int nft_stands(const struct br_net *n);
/* The table for all: lets this bridge through beside those that it knows, and drops the rest. */
int nft_policy_write(const char *bridge, struct br_error *e);
int nft_policy_delete(struct br_error *e);
int nft_policy_stands(void);

/*
 * A thread that calls fn, at most once a second, after rules or tables whose names begin with NFT_TABLE were deleted by whomever. NULL when
 * the kernel tells of no changes.
 */
struct watch;
struct watch *watch_start(void (*fn)(void *ctx), void *ctx);
void watch_stop(struct watch *w);

#endif
