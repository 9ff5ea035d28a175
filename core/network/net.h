/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network controller and facade: networks by name, sandboxes, endpoints; the only caller of net drivers. Thread-safe.
 * Now: the networks "none" and "host"; user networks come as drivers arrive.
 */
#ifndef NETWORK_NET_H
#define NETWORK_NET_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "base/spawner.h"
#include "base/str.h"

struct net_controller;

struct network {
	char id[65];
	char *name, *driver, *scope;
	int64_t created;
	bool internal, attachable, ingress, enable_ipv6;
	struct strmap options, labels;
	int refs;
};

/* What a container's process lives in: network namespace and, with id maps, the user namespace that owns it. */
struct sandbox {
	char id[65];
	char *netns_path;   /* NULL: the host's */
	char *userns_path;  /* NULL: none */
	char *key;          /* SandboxKey of inspect: netns_path or "/var/run/docker/netns/default" */
};

struct net_controller *net_open(const char *data_root, const char *exec_root, struct spawner *sp, struct err *err);
void net_close(struct net_controller *nc);
/* By id, unique id prefix or name: ERR_NOT_FOUND "network X not found". Release with network_unref. */
struct network *net_find(struct net_controller *nc, const char *name, struct err *err);
size_t net_list(struct net_controller *nc, struct network ***ret);
void network_unref(struct network *n);
/* The network that a container without --network gets: "bridge" once there is one, until then "none". */
const char *net_default(const struct net_controller *nc);

/* Makes the sandbox of a container for a network mode ("none", "host", ...), runs the driver's join. */
int sandbox_create(struct net_controller *nc, const char *container_id, const char *mode, struct sandbox *ret, struct err *err);
/* Drops it by container id; missing is fine. */
int sandbox_remove(struct net_controller *nc, const char *container_id, struct sandbox *sb, struct err *err);
void sandbox_done(struct sandbox *sb);
/* After a restart: the sandbox as it stands on disk, for a running container. */
int sandbox_adopt(struct net_controller *nc, const char *container_id, const char *mode, struct sandbox *ret, struct err *err);
/* Removes what belongs to none of the containers in keep (ids). */
void net_sweep(struct net_controller *nc, const struct strv *keep);

#endif
