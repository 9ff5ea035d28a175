/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Networks that several hosts share. The store (kv.h) has the word about them; each daemon keeps a mirror of it, tells its drivers who is
 * where, and adds what is its own:
 *   network/ID          the network, in the shape of the local list
 *   name/NAME           ID, so that a name is given once
 *   number/N            ID: a number of the network's own in the cluster
 *   subnet/CIDR         ID
 *   address/ID/ADDRESS  the endpoint that has it
 *   endpoint/ID/EP      {"host","mac","ipv4","ipv6","container","names"}: a container on it
 *   node/ADDRESS        a daemon that is there now (leased)
 * While the store is out of reach everything that runs runs on, and nothing shared is made or given up; what went away meanwhile is given up when
 * the store is back.
 */
#ifndef NETWORK_CLUSTER_H
#define NETWORK_CLUSTER_H

#include "network/net_i.h"

struct net_cluster;

/* The controller's, or NULL: there is none yet. Once there is one it stays. */
struct net_cluster *net_cluster_of(const struct net_controller *nc);
/* All sandboxes that stand are adopted: from now on the store is kept in line with them. */
int net_cluster_begin(struct net_cluster *c, struct err *err);
void net_cluster_close(struct net_cluster *c);

bool network_is_global(const struct network *n);
/*
 * A new network becomes the cluster's: its driver is asked for the options that all hosts need, and name, number and subnets are its. ERR_CONFLICT when
 * somebody else was first. c NULL: ERR_UNAVAILABLE.
 */
int net_cluster_claim(struct net_cluster *c, struct net_driver *d, struct network *n, struct err *err);
/* It is removed everywhere. ERR_FORBIDDEN while another host has containers on it. */
int net_cluster_release(struct net_cluster *c, const struct network *n, struct err *err);
/* net_address_take(), for networks of both kinds. */
int net_cluster_address(struct net_controller *nc, struct net_driver *d, const struct network *n, struct net_endpoint *ep, const char *want4,
	const char *want6, struct err *err);
/* The addresses of an endpoint become its own in the cluster. ERR_CONFLICT: another host has one of them. */
int net_cluster_take(struct net_cluster *c, const struct net_endpoint *ep, struct err *err);
/* A container of this host is on the network, or is there no more; when the store does not hear it now it will later. */
void net_cluster_arrived(struct net_cluster *c, const struct net_endpoint *ep, const char *container);
void net_cluster_left(struct net_cluster *c, const struct net_endpoint *ep);

#endif
