/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network controller and facade: networks by name, sandboxes with their endpoints, addresses, published ports; the only
 * caller of net drivers. Thread-safe. There are the networks "none", "host" and, unless it is not wanted, "bridge", and the users'.
 */
#ifndef NETWORK_NET_H
#define NETWORK_NET_H

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "base/spawner.h"
#include "base/str.h"

/* Docker's text for a container in a user namespace that asks for the host's network. */
#define NET_HOST_REFUSED "cannot share the host's network namespace when user namespaces are enabled"

struct net_controller;
struct netd; /* netd.h */

/* An address pool of a network; the family follows from the subnet's text. */
struct net_pool {
	char *subnet, *range, *gateway; /* range NULL: all of the subnet */
	struct strmap aux;              /* name -> address that no container gets */
	char *id;                       /* what its address driver calls it; NULL with the daemon's own */
};

/* A snapshot: never changes while somebody holds it. */
struct network {
	char id[65];
	char *name, *driver, *scope;
	char *ipam_driver;              /* "default", "null", or a driver's name */
	struct strmap ipam_options;
	char *config_from;              /* name of the network that its configuration is from, or NULL */
	int64_t created;
	bool internal, attachable, ingress, config_only, enable_ipv4, enable_ipv6;
	struct strmap options, labels;
	struct net_pool *pools;
	size_t pools_len;
	int refs; /* atomic */
};

/* A container on a network. Strings are owned, NULL for none. */
struct net_endpoint {
	char id[65];
	char network_id[65];
	char *network;           /* name */
	char *mac, *ipv4, *ipv6; /* addresses with prefix length */
	char *gateway4, *gateway6;
	char *interface;         /* in the sandbox: "eth0" */
	struct strv names;       /* what the embedded DNS answers with this address: container name, short id, aliases */
	struct strmap links;     /* alias -> name on this network, known to this sandbox only */
	struct strv link_local;
	struct strmap options;   /* driver-opts */
	int64_t priority;        /* gw-priority; the greatest leads the default route, at a tie the first by network name */
	bool static_address;     /* was asked for */
	bool way_out;            /* the daemon's own: it leads out a container whose networks do not */
	bool leads_nowhere;      /* the network has no gateway for containers, and could do with one: see gateway.c */
};
void net_endpoint_done(struct net_endpoint *e);
void net_endpoint_copy(struct net_endpoint *dst, const struct net_endpoint *src);

/* What a container's process lives in: network namespace and, with id maps, the user namespace that owns it. */
struct sandbox {
	char id[65];
	char *netns_path;         /* NULL: the host's */
	char *userns_path;        /* NULL: none. Its user's to set, and gone with it */
	char *key;                /* SandboxKey of inspect: netns_path or EXEC-ROOT/netns/default */
	struct net_endpoint *eps; /* in the order of joining; none in a sandbox that is another container's */
	size_t eps_len;
	bool resolver;            /* 127.0.0.11 answers in it: one of its networks is a user's (not bridge, host or none) */
	bool leads_out;           /* it has a default route, be it by an endpoint that is the daemon's own and not among eps */
};
/* By the network's id or name; NULL when it is not on it. */
const struct net_endpoint *sandbox_endpoint(const struct sandbox *sb, const char *network);
/* Whose default route it has, or NULL. */
const struct net_endpoint *sandbox_gateway(const struct sandbox *sb, bool ipv6);

struct net_controller *net_open(const char *data_root, const char *exec_root, struct spawner *sp, struct err *err);
void net_close(struct net_controller *nc);
/*
 * Tells Docker's own database what there is, for the engine that has the data-root next. Before requests run, or behind the last.
 * What fails is in the log.
 */
void net_share(struct net_controller *nc);
/* What the daemon's options say about the default bridge. Borrowed; strings NULL or "" for none. */
struct net_bridge_config {
	const char *bridge;          /* an existing bridge, "none" for no bridge network, else docker0 is made */
	const char *bip, *fixed_cidr, *default_gateway, *host_ip;
	const char *bip6, *fixed_cidr_v6, *default_gateway_v6;
	const char *firewall_backend; /* "nftables", "iptables" */
	const char *accept_fwmark;    /* "MARK/MASK": what carries it is let in */
	const char *publish_policy;   /* "open", "host" */
	const struct strv *pools;    /* "base=CIDR,size=N" */
	const struct strmap *default_options; /* "DRIVER/OPTION" -> value: of users' networks that do not say otherwise; NULL for none */
	int mtu;
	bool icc, ip_masq, ip_forward, iptables, ip6tables;
	bool ipv6;                   /* the bridge has addresses of both families */
	bool direct_routing;         /* containers' own addresses are reached on published ports */
	bool userland_proxy;         /* connections that the kernel does not lead to published ports are handed on */
	bool forward_drop;           /* when ip_forward has to turn it on, the host forwards for its bridges only */
};
/* Once, before any sandbox: the network "bridge", as it was before where nothing says otherwise. */
int net_setup_bridge(struct net_controller *nc, const struct net_bridge_config *cfg, struct err *err);
/* By id, unique id prefix or name: ERR_NOT_FOUND "network X not found". Release with network_unref. */
struct network *net_find(struct net_controller *nc, const char *name, struct err *err);
size_t net_list(struct net_controller *nc, struct network ***ret);
struct network *network_ref(struct network *n);
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
/*
 * Who knows which addresses of a network containers ask for when they start, those among them that do not run: nobody gets one of these
 * without asking for it, as long as there are others. fn adds plain addresses; it is called with no lock held.
 */
typedef void net_asked_fn(void *ctx, const struct network *n, struct strv *ret);
void net_set_asked(struct net_controller *nc, net_asked_fn *fn, void *ctx);
/* Containers that are on a network now. */
size_t net_users(struct net_controller *nc, const struct network *n, struct strv *ret);
/* The API's Network object. containers false prints none of them. */
void net_encode(struct net_controller *nc, const struct network *n, bool containers, int api_minor, struct jw *w);

/* What a user asks a new network to be. Borrowed. */
struct net_spec {
	const char *name, *driver, *scope, *config_from, *ipam_driver;
	bool internal, attachable, ingress, config_only;
	bool plain;                   /* the daemon's own: its default options are not for this one */
	int enable_ipv4, enable_ipv6; /* -1: not said */
	const struct strmap *options, *labels, *ipam_options;
	const struct net_pool *pools;
	size_t pools_len;
};
/* warnings: what is not as it was asked for, and is made all the same; may be NULL. */
int net_create(struct net_controller *nc, const struct net_spec *spec, char ret_id[65], struct strv *warnings, struct err *err);
int net_remove(struct net_controller *nc, const char *name, struct err *err);
/* Removes the users' networks that nobody uses and that pass (NULL: all), with no lock held. names: what went. */
typedef bool net_pass_fn(void *ctx, struct network *n);
int net_prune(struct net_controller *nc, net_pass_fn *pass, void *ctx, struct strv *names, struct err *err);
/* Before any sandbox: who answers DNS in sandboxes and holds published ports. Without one, neither is done. */
void net_set_netd(struct net_controller *nc, struct netd *netd);
/* The rootlesskit that the daemon is in; kept by reference. */
struct kit;
void net_set_kit(struct net_controller *nc, struct kit *kit);
struct kit *net_kit(const struct net_controller *nc);

/* What the daemon's options say about a cluster (cluster.h). Borrowed. */
struct net_cluster_config {
	const char *store;              /* "etcd://host:port,.../path" */
	const char *advertise;          /* "10.0.0.1:2376", "eth0:2376", or without a port */
	const char *program;            /* path of dockerd-kv */
	const char *ca, *cert, *key;    /* PEM files of the store's TLS; NULL or "" for none */
	int ttl;                        /* s: of this daemon's entry among the nodes */
	bool late;                      /* the daemon is up, and its sandboxes adopted: nothing is waited for */
};
/* Once. After net_restore(), before any sandbox is adopted, or late. Waits a little for the store, and goes on without it. */
int net_set_cluster(struct net_controller *nc, const struct net_cluster_config *cfg, struct err *err);

/* What one endpoint shall be. Borrowed, NULL or empty for none. */
struct net_wish {
	const char *network;         /* id or name; "" and "default" are the default one */
	const char *ipv4, *ipv6;     /* wanted: plain addresses */
	const char *mac;             /* "xx:xx:xx:xx:xx:xx" */
	const struct strv *link_local;
	const struct strv *names;    /* container name, short id, aliases: for the DNS of this network */
	const struct strmap *links;  /* alias -> name on this network: known to this sandbox only */
	const struct strmap *options;
	int64_t priority;
};
/* What the sandbox's resolver does with names that are nobody's. Borrowed. */
struct net_resolv {
	const struct strv *servers;  /* "1.2.3.4"; asked from inside the sandbox, "host:1.2.3.4" from the host's namespace */
	const struct strv *search;   /* domains */
};

/*
 * Makes the sandbox of a container: namespace, and for each wish address and wire; all or nothing. A network of the host's
 * namespace, or none, is the only one of its sandbox. userns: the user namespace that is to own the sandbox's, -1: the host's. resolv
 * NULL: none.
 */
int sandbox_create(struct net_controller *nc, const char *container_id, int userns, const struct net_wish *wishes, size_t len,
	const struct net_resolv *resolv, struct sandbox *ret, struct err *err);
/* One network more, or one less, for a sandbox that stands. io is filled anew. At most one call for a container at a time. */
int sandbox_connect(struct net_controller *nc, const char *container_id, const struct net_wish *wish, struct sandbox *io, struct err *err);
int sandbox_disconnect(struct net_controller *nc, const char *container_id, const char *network, struct sandbox *io, struct err *err);
/* Another name for the container: in the names of all of its endpoints, and in the links that others have to it. */
int sandbox_rename(struct net_controller *nc, const char *container_id, const char *from, const char *to);

/* A published port of a container. */
struct net_port {
	int proto;                             /* IPPROTO_TCP, _UDP, _SCTP */
	char *host_ip;                         /* "" any */
	unsigned host_port, host_port_end;     /* 0, 0: any free one */
	unsigned port;                         /* of the container */
};
/*
 * All at once or none; replaces what was published before (of equal ones nothing changes). They are bound at the endpoint
 * that leads the default route. ret: one for each host address that is bound: "0.0.0.0" and "::" are two. They follow the
 * default route when that moves, and are taken up again by sandbox_adopt().
 */
int sandbox_publish(struct net_controller *nc, const char *container_id, const struct net_port *ports, size_t len,
	struct net_port **ret, size_t *ret_len, struct err *err);
void net_ports_free(struct net_port *v, size_t len);
/* Default bridge with icc=false: whom this container is linked to, it may talk with. They replace those of before; said again after an adoption. */
struct net_linked {
	const char *address;                   /* of the other, without prefix length */
	const struct strv *exposed;            /* "80/tcp" */
};
int sandbox_links(struct net_controller *nc, const char *container_id, const struct net_linked *to, size_t len, struct err *err);
/* The sandbox of another container, for the mode "container:ID". ERR_CONFLICT when that one has none. Nothing to remove. */
int sandbox_share(struct net_controller *nc, const char *container_id, struct sandbox *ret, struct err *err);
/* Drops it by container id; missing is fine. sb is not used and may be NULL. */
int sandbox_remove(struct net_controller *nc, const char *container_id, struct sandbox *sb, struct err *err);
void sandbox_done(struct sandbox *sb);
/* After a restart: the sandbox as it stands on disk, for a running container. */
int sandbox_adopt(struct net_controller *nc, const char *container_id, const char *mode, struct sandbox *ret, struct err *err);
/*
 * Behind a failed adoption: the file of a sandbox that stands but is damaged, written anew. known: id, key, and the endpoints, as
 * the container's record has them. False when that does not help.
 */
bool sandbox_mend(struct net_controller *nc, const char *container_id, const struct sandbox *known);
/* The parts of an address pool as the configuration spells it, "base=CIDR,size=N"; whether they are good is not looked at. False: it is none. */
#define NET_POOL_BASE 47
bool net_pool_read(const char *text, char ret_base[NET_POOL_BASE], int *ret_size);
/* At start: removes what belongs to none of the containers in keep (ids). */
void net_sweep(struct net_controller *nc, const struct strv *keep);

#endif
