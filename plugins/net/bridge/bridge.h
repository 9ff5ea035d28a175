/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the bridge driver: its functions (bridge.c, network.c, publish.c), what a network is by its options (options.c),
 * what its endpoints publish (ports.c), links by rtnetlink (link.c, port.c, shaping.c), switches of the kernel (sysctl.c),
 * the firewall by nfnetlink (firewall.c over nft.c and iptables.c; conntrack.c) and the eye on it (watch.c). Of endpoints
 * only what has rules is remembered; the name of an endpoint's interface follows from its id.
 */
#ifndef NET_BRIDGE_H
#define NET_BRIDGE_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#include <dockerd/net.h>

#define MTU_DEFAULT 1500u
#define ERROR_SIZE 256
#define NFT_TABLE "dockerd" /* what names of tables begin with */
#define TRUSTED_MAX 16

/* What went wrong: errno, and a sentence's beginning; class 0: DKD_ERR_INTERNAL with errno, DKD_ERR_INVALID without. */
struct br_error {
	int sys;
	uint32_t class;
	char what[ERROR_SIZE];
};
int br_fail(struct br_error *e, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int br_refuse(struct br_error *e, uint32_t class, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* An address in network byte order. len: 0 for none, 4, 16. */
struct ip {
	uint8_t len;
	uint8_t b[16];
};
struct cidr {
	struct ip ip;
	uint32_t bits;
};
/* Whether the text is one; with prefix or without. */
int ip_parse(const char *text, struct ip *ret);
int cidr_parse(const char *text, struct cidr *ret);
/* Bits behind the prefix are taken away. */
struct cidr cidr_network(const struct cidr *c);
int ip_equal(const struct ip *a, const struct ip *b);
int ip_is_any(const struct ip *a);
int ip_is_loopback(const struct ip *a);
const char *ip_text(const struct ip *a, char ret[48]); /* NULL for none */

/* How the world reaches containers. */
enum mode {
	MODE_NAT,             /* published ports only, at the host's addresses */
	MODE_NAT_UNPROTECTED, /* the same, and every port by routing */
	MODE_ROUTED,          /* published ports by routing, no NAT */
	MODE_ISOLATED,        /* not even the host has an address */
};

enum { V4, V6, FAMILIES };

/* A network in one family of addresses. */
struct br_family {
	int on, firewall;
	enum mode mode;
	struct cidr subnet;
	struct ip gateway; /* the bridge's own; none with inhibit_ipv4 */
	struct ip router;  /* the containers' gateway */
	struct ip source;  /* what leaves has this address; none: that of the way out */
};

enum backend { BACKEND_NFTABLES, BACKEND_IPTABLES };

struct br_endpoint; /* ports.c; those that have rules */

struct br_net {
	char id[65];
	char bridge[IFNAMSIZ];
	char prefix[IFNAMSIZ]; /* of interfaces in containers */
	uint32_t mtu;
	struct br_family f[FAMILIES];
	enum backend backend;
	char trusted[TRUSTED_MAX][IFNAMSIZ];
	size_t trusted_len;
	uint32_t mark, mark_mask; /* what carries it is accepted; mask 0: none does */
	int icc, masquerade, forward, internal;
	int close;     /* drop what forwarding would let through else */
	int existing;  /* the bridge is somebody else's: must be there, stays, keeps its other addresses */
	int borrowed;  /* it was there before the network: stays, keeps its other addresses */
	int default_bridge;
	int localhost; /* the kernel leads from the host's loopback addresses to published ports */
	int direct;    /* published ports are reached by containers' addresses, too */
	int host_policy; /* published ports are the proxy's, behind the host's own rules for what comes in; those of the mark are not */
	struct br_endpoint *endpoints; /* under the driver's rules lock */
	struct br_net *next;
};
int br_has_rules(const struct br_net *n); /* in any family */

/* options.c: all that the daemon says about a network. */
int options_read(const struct dkd_net_network *w, struct br_net *ret, struct br_error *e);
/* Whether it needs no gateway in any of its families. */
int options_isolated(const struct dkd_net_network *w);
int32_t bridge_known_options(const struct dkd_call *call, struct dkd_net *d, dkd_emit_pair *emit, void *to);

/* Ports of the host that lead to as many of a container. */
struct br_port {
	uint32_t proto;
	struct ip host; /* none: every address, of the family below */
	uint8_t family; /* V4, V6 */
	uint16_t host_port, port;
	uint32_t count;
};
struct br_link {
	uint8_t family;
	struct ip from, to;
	uint32_t proto;
	uint16_t port;
	uint32_t count;
};
struct br_endpoint {
	char id[65];
	struct ip address[FAMILIES];
	struct ip source[FAMILIES]; /* what leaves it has this address */
	struct br_port *ports;
	size_t ports_len;
	struct br_link *links;
	size_t links_len;
	struct br_endpoint *next;
};
/* Copies of what the daemon says. */
int ports_read(const struct dkd_net_publish *p, struct br_endpoint *ret, struct br_error *e);
int ports_read_links(const struct dkd_net_link *links, uint32_t len, struct br_endpoint *ret, struct br_error *e);
struct br_endpoint *ports_find(const struct br_net *n, const char *id);
/* In place of the one of its id; with nothing in it, none. Takes what is inside. */
int ports_replace(struct br_net *n, struct br_endpoint *ep);
int ports_copy(const struct br_endpoint *from, struct br_endpoint *ret); /* an empty one for NULL */
void ports_done(struct br_endpoint *ep);
void ports_free_all(struct br_net *n);

/*
 * conntrack.c: talks by datagrams that ports of before led, or that those of after would lead. A kernel that tells of no talks
 * keeps them.
 */
void ct_forget(const struct br_endpoint *before, const struct br_endpoint *after);

/* Makes the bridge unless it is there (a net of an existing bridge: it must be), gives it its addresses, takes it up. */
int link_bridge(const struct br_net *n, struct br_error *e);
/* Whether an interface of the bridge's name is there that no network of this driver made. */
int link_is_foreign(const char *bridge, const char *id);
int link_delete(const char *name, struct br_error *e);
/*
 * One request to the kernel: a pair whose end here is a port of the bridge and up, and whose other end, of the same name,
 * lies in the namespace.
 */
int link_veth(const struct br_net *n, const char *name, int netns_fd, struct br_error *e);
/* Puts a port back into a bridge that was made anew; nothing for one that is not there or in place. */
int link_attach(const struct br_net *n, const char *name, struct br_error *e);
/*
 * A port that must reach itself by the host: where bridges hand their packets to the firewall, those that it turns back do not
 * leave the bridge. Nothing for one that is in no bridge.
 */
int link_hairpin(const char *name, struct br_error *e);
/* All of the network's, as their aliases tell. */
int link_attach_all(const struct br_net *n, struct br_error *e);
/*
 * Calls fn for each port of these networks (up to the list's end), also for those of which only what shaped them is left; fn returns nonzero
 * for those to delete.
 */
typedef int link_port_fn(void *ctx, const char *name);
int link_sweep(const struct br_net *nets, link_port_fn *fn, void *ctx, struct br_error *e);
/* An address of a sibling that answers for it at the bridge: neighbours ask the host for it. */
int link_proxy_neighbour(const char *bridge, const struct ip *address, struct br_error *e);

/* /proc/sys/net/ipv4|ipv6/conf|neigh/NAME/KEY. Nothing is written over what it is already; no such switch is fine. */
int sysctl_conf(int family, const char *name, const char *key, const char *value, struct br_error *e);
int sysctl_neigh(int family, const char *name, const char *key, const char *value, struct br_error *e);
int sysctl_bridges_filter(void); /* whether bridges hand their packets to the firewall */
int sysctl_forwards(int family, struct br_error *e); /* 1, 0, -1 */
int sysctl_forward(int family, struct br_error *e);  /* turns it on */

/* Bits per second, by the endpoint's options; 0: as fast as it goes. */
struct br_rate {
	uint64_t in, out; /* as the container sees it */
};
int rate_read(const struct dkd_pair *options, uint32_t len, struct br_rate *ret, struct br_error *e);
int rate_set(const struct br_net *n, const char *port, const struct br_rate *rate, struct br_error *e);
/* What beside the port itself was made for it. */
int rate_drop(const char *port, struct br_error *e);
/* The port that an interface of a rate's is for, or NULL. */
int rate_port(const char *name, char ret[IFNAMSIZ]);

/* firewall.c: nftables or iptables, as the network says. All of it, anew in one transaction. */
int fw_write(const struct br_net *n, struct br_error *e);
/* What an earlier daemon wrote is in use: its ports stay until endpoints are told of, and fw_write() comes to an end of it. */
int fw_adopt(const struct br_net *n, struct br_error *e);
int fw_delete(const struct br_net *n, struct br_error *e);
/* What an earlier daemon may have written by the other backend. */
void fw_delete_other(const struct br_net *n);
/* Whether all of it is there. */
int fw_stands(const struct br_net *n);
/* One endpoint's, before and after; the network has neither or either. */
int fw_change(const struct br_net *n, const struct br_endpoint *before, const struct br_endpoint *after, struct br_error *e);
/* What is for all networks: lets this bridge through beside those that it knows, and drops the rest. */
int fw_policy_write(const struct br_net *n, int family, struct br_error *e);
int fw_policy_delete(const struct br_net *n, int family, struct br_error *e);
int fw_policy_stands(const struct br_net *n, int family);

/*
 * A thread that calls fn, at most once a second, after rules, sets or tables of ours were deleted by somebody else. NULL when
 * the kernel tells of no changes.
 */
struct watch;
struct watch *watch_start(void (*fn)(void *ctx), void *ctx);
/* The tables of iptables, too, from now on. */
void watch_iptables(struct watch *w);
void watch_stop(struct watch *w);

#endif
