/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the cluster: opening it and what the store tells (cluster.c), what follows from that here (cluster-tell.c), bringing the store in line (cluster-mend.c), claims (cluster-claim.c). */
#ifndef NETWORK_CLUSTER_I_H
#define NETWORK_CLUSTER_I_H

#include "base/id.h"
#include "network/cluster.h"
#include "network/kv.h"
#include "network/mirror.h"

#define CLUSTER_FAR (IP_TEXT + 8) /* what cluster_far_name() needs */

struct net_cluster {
	struct net_controller *nc;
	struct kv *kv;
	char *address;
	pthread_t thread;
	struct lock lock;      /* LOCK_LEAF: all below */
	pthread_cond_t changed;
	struct mirror mirror;
	bool telling;          /* between KV_BEGIN and KV_SYNCED */
	unsigned synced, mended; /* how often the mirror was whole, and for which of them the second thread did its work */
	bool heard, closing;   /* heard: of the store or of its absence */
	struct strv mine;      /* ids of endpoints of this host, also of those on their way */
	bool running;          /* there is the second thread; changed by start-up only */
};

/* The value of endpoint/ID/EP. */
struct cluster_place {
	char *host, *mac, *ipv4, *ipv6, *container;
	struct strv names;
};
extern const struct jdesc cluster_place_desc;

/* "KIND/ID/rest": the id and what is behind it. */
bool cluster_split_key(const char *key, const char *kind, char id[ID_HEX + 1], const char **rest);
/* The endpoint's own key, then those of its addresses. */
void cluster_endpoint_keys(const struct net_endpoint *ep, struct strv *keys);
/* What an address is held by when all that is known is that another host has it. */
void cluster_far_name(const char *address, char ret[CLUSTER_FAR]);
struct network *cluster_network(struct net_controller *nc, const char *id);

/* cluster-tell.c. A key came, or got another value; it went. No lock is held. */
void cluster_came(struct net_cluster *c, const char *key, const char *value);
void cluster_went(struct net_cluster *c, const char *key, const char *value);
/* A network that the store has no more: it goes here too, unless somebody is on it. */
void cluster_network_went(struct net_cluster *c, const char *id);
/* All that the mirror has of a network, told again. */
void cluster_tell_network(struct net_cluster *c, const char *id);
/* This host's address, to a driver. */
void cluster_tell_self(struct net_cluster *c, struct net_driver *d);

/* cluster-mend.c */
void cluster_mend(struct net_cluster *c);
/* Who is where on every network of the cluster, told again. */
void cluster_tell_all(struct net_cluster *c);

#endif
