/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the driver's functions share. */
#ifndef NET_BRIDGE_INSIDE_H
#define NET_BRIDGE_INSIDE_H

#include <pthread.h>

#include "bridge.h"

struct dkd_net {
	const struct dkd_host *host;
	pthread_mutex_t rules; /* changes of networks, of their endpoints and rules: taken before lock */
	pthread_mutex_t lock;  /* nets */
	struct br_net *nets;
	struct watch *watch;   /* under rules, as what follows */
	int told_of_firewalld;
	int closed[FAMILIES];  /* what is for all networks is needed */
};

/* beside.c. What keeps the network's rules from being of use; what its owner has to know. Under rules. */
int beside_check(const struct br_net *n, struct br_error *e);
void beside_tell(struct dkd_net *d, const struct br_net *n, int restored);

/* network.c */
int32_t net_say(const struct dkd_net *d, const struct dkd_call *call, const struct br_error *e);
int32_t net_unknown(const struct dkd_net *d, const struct dkd_call *call, const char *id);
/* Where the network's pointer lies, or would; under lock or rules. */
struct br_net **net_find(struct dkd_net *d, const char *id);
/* A copy, since the network may go at any time; its endpoints are not for reading. -1: there is none. */
int net_get(struct dkd_net *d, const char *id, struct br_net *ret);
void net_free(struct br_net *n);
/* Bridge, forwarding, rules. Under rules. */
int net_setup(struct dkd_net *d, const struct br_net *n, int adopt, struct br_error *e);
int32_t bridge_create_network(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w);
int32_t bridge_delete_network(const struct dkd_call *call, struct dkd_net *d, const char *network);
int32_t bridge_skip_gateway(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w);

/* publish.c */
void ep_port_name(const char *endpoint, char ret[IFNAMSIZ]); /* bridge.c */
int ep_set_sources(struct dkd_net *d, const struct dkd_net_endpoint *ep, struct br_error *e);
/* All rules that the endpoint has of its own go. */
int ep_forget(struct dkd_net *d, const char *network, const char *endpoint, struct br_error *e);
/* Under rules. */
int ep_answer_for_neighbours(const struct br_net *n, const struct br_endpoint *ep, struct br_error *e);
int32_t bridge_program_ports(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_publish *p);
int32_t bridge_revoke_ports(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint);
int32_t bridge_program_links(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint,
	const struct dkd_net_link *links, uint32_t links_len);

#endif
