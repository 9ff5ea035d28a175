/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network controller and facade: networks by name, sandboxes, endpoints; the only caller of net drivers. Thread-safe.
 * There are the networks "none", "host" and, unless it is not wanted, "bridge"; users make no others yet.
 */
#ifndef NETWORK_NET_H
#define NETWORK_NET_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "base/spawner.h"
#include "base/str.h"

struct net_controller;

/* An address pool of a network. */
struct net_pool {
	char *subnet, *range, *gateway; /* range NULL: all of the subnet */
	struct strmap aux;              /* name -> address that no container gets */
};

/* A snapshot: never changes while somebody holds it. */
struct network {
	char id[65];
	char *name, *driver, *scope;
	int64_t created;
	bool internal, attachable, ingress, enable_ipv6;
	struct strmap options, labels;
	struct net_pool *pools;
	size_t pools_len;
	int refs; /* atomic */
};

/* A container on a network. Strings are owned, NULL for none. */
struct net_endpoint {
	char id[65];
	char network_id[65];
	char *network;          /* name */
	char *mac, *ipv4, *ipv6; /* addresses with prefix length */
	char *gateway4;
};
void net_endpoint_done(struct net_endpoint *e);
void net_endpoint_copy(struct net_endpoint *dst, const struct net_endpoint *src);

/* What a container's process lives in: network namespace and, with id maps, the user namespace that owns it. */
struct sandbox {
	char id[65];
	char *netns_path;   /* NULL: the host's */
	char *userns_path;  /* NULL: none */
	char *key;          /* SandboxKey of inspect: netns_path or EXEC-ROOT/netns/default */
	struct net_endpoint ep; /* all "" and NULL in a sandbox that is another container's */
};

struct net_controller *net_open(const char *data_root, const char *exec_root, struct spawner *sp, struct err *err);
void net_close(struct net_controller *nc);
/* What the daemon's options say about the default bridge. Borrowed; strings NULL or "" for none. */
struct net_bridge_config {
	const char *bridge;          /* an existing bridge, "none" for no bridge network, else docker0 is made */
	const char *bip, *fixed_cidr, *default_gateway, *host_ip;
	const struct strv *pools;    /* "base=CIDR,size=N" */
	int mtu;
	bool icc, ip_masq, ip_forward, iptables;
	bool forward_drop;           /* when ip_forward has to turn it on, the host forwards for its bridges only */
};
/* Once, before any sandbox: the network "bridge", as it was before where nothing says otherwise. */
int net_setup_bridge(struct net_controller *nc, const struct net_bridge_config *cfg, struct err *err);
/* By id, unique id prefix or name: ERR_NOT_FOUND "network X not found". Release with network_unref. */
struct network *net_find(struct net_controller *nc, const char *name, struct err *err);
size_t net_list(struct net_controller *nc, struct network ***ret);
void network_unref(struct network *n);
DEFINE_CLEANUP(struct network, network_unref)
#define OWN_NETWORK CLEANUP(network_unrefp)
void net_list_free(struct network **v, size_t len);
/* none, host, bridge, default: names that are not the users' to make or to remove. */
bool net_is_predefined(const char *name);
/* The network that a container without --network gets: "bridge" when there is one, else "none". */
const char *net_default(const struct net_controller *nc);
/* Whether the kernel forwards IPv4, without which a bridge ends at the host. */
bool net_forwarding(void);

/*
 * Who knows the names of containers, for the Containers of an inspected network: fn returns the name without "/", owned
 * by the caller, or NULL. It is called with no lock held.
 */
typedef char *net_name_fn(void *ctx, const char *container_id);
void net_set_namer(struct net_controller *nc, net_name_fn *fn, void *ctx);
/* Containers that are on a network now. */
size_t net_users(struct net_controller *nc, const struct network *n, struct strv *ret);
/* The API's Network object. containers false prints none of them. */
void net_encode(struct net_controller *nc, const struct network *n, bool containers, int api_minor, struct jw *w);

/* What a user asks a new network to be. Borrowed. */
struct net_spec {
	const char *name, *driver, *scope, *config_from;
	bool ingress, config_only;
};
/* Always refuses, with the reason, while there is no driver that users may make networks of. */
int net_create(struct net_controller *nc, const struct net_spec *spec, char ret_id[65], struct err *err);
int net_remove(struct net_controller *nc, const char *name, struct err *err);

/*
 * Makes the sandbox of a container for a network mode ("none", "host", ...): namespace, address, wire. mac: "xx:xx:xx:xx:xx:xx" it
 * shall have, NULL or "" for one of the network's choice.
 */
int sandbox_create(struct net_controller *nc, const char *container_id, const char *mode, const char *mac, struct sandbox *ret, struct err *err);
/* The sandbox of another container, for the mode "container:ID". ERR_CONFLICT when that one has none. Nothing to remove. */
int sandbox_share(struct net_controller *nc, const char *container_id, struct sandbox *ret, struct err *err);
/* Drops it by container id; missing is fine. sb is not used and may be NULL. */
int sandbox_remove(struct net_controller *nc, const char *container_id, struct sandbox *sb, struct err *err);
void sandbox_done(struct sandbox *sb);
/* After a restart: the sandbox as it stands on disk, for a running container. */
int sandbox_adopt(struct net_controller *nc, const char *container_id, const char *mode, struct sandbox *ret, struct err *err);
/*
 * Behind a failed adoption: the file of a sandbox that stands but is damaged, written anew. known: id, key, and the endpoint, as
 * the container's record has them. False when that does not help.
 */
bool sandbox_mend(struct net_controller *nc, const char *container_id, const struct sandbox *known);
/* At start: removes what belongs to none of the containers in keep (ids). */
void net_sweep(struct net_controller *nc, const struct strv *keep);

#endif
