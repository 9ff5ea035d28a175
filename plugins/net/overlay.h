/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the overlay driver: networks and what is known of other hosts (overlay.c), and the wires of one network on this host
 * (overlay-fabric.c): a namespace of its own with a bridge and a VXLAN interface, so that neither the host's firewall nor its names of
 * interfaces have to do with it. The VXLAN learns nothing: who is where is told, by the store's word, and it answers for the
 * neighbours that it knows.
 */
#ifndef NET_OVERLAY_H
#define NET_OVERLAY_H

#include <pthread.h>

#include <dockerd/net.h>

#include "links.h"

#define HOST_TEXT 46

/* An address of a host, or of a container. family AF_INET, AF_INET6, or 0 for none. */
struct ov_address {
	int family;
	unsigned char raw[16];
};
/* A prefix length behind it is passed over. 0 or -1; NULL and "" are none. */
int ov_address_parse(const char *text, struct ov_address *ret);
uint32_t ov_address_size(const struct ov_address *a);
int ov_address_same(const struct ov_address *a, const struct ov_address *b);

/* A container of another host. */
struct ov_peer {
	char endpoint[65];
	unsigned char mac[6];
	struct ov_address host, ipv4, ipv6;
	struct ov_peer *next;
};

/* One of this host. */
struct ov_member {
	char endpoint[65];
	struct ov_member *next;
};

struct ov_net {
	char id[65];
	uint32_t vni, mtu;
	struct ov_peer *peers;
	struct ov_member *members;
	/* The fabric; nl NULL: there is none, for nobody here is on the network. */
	struct mnl_socket *nl;     /* inside its namespace */
	int netns_fd;
	int vxlan;                 /* index there */
	struct ov_net *next;
};

/* Makes what is missing. local: this host's address for the others. */
int fabric_open(struct ov_net *n, const char *exec_root, const struct ov_address *local, struct link_error *e);
/* Takes it all away, the namespace with it. */
void fabric_close(struct ov_net *n, const char *exec_root);
/* Forgets the descriptors and leaves everything in place. */
void fabric_forget(struct ov_net *n);
/* A pair between the fabric's bridge and the sandbox, of this name at both ends. */
int fabric_wire(const struct ov_net *n, const char *name, int sandbox_fd, struct link_error *e);
/* Tells the fabric where a container is, and that it is there no more. */
int fabric_peer(const struct ov_net *n, const struct ov_peer *p, int add, struct link_error *e);
/* Whether multicasts and broadcasts go to that host. */
int fabric_flood(const struct ov_net *n, const struct ov_address *host, int add, struct link_error *e);
/* Removes fabrics of earlier daemons for which keep says 0. */
void fabric_sweep(const char *exec_root, int (*keep)(void *ctx, const char *id12), void *ctx);

#endif
