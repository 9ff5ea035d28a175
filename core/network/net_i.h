/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the network room: the facade over network drivers (net.c), the networks (controller.c; made and removed in
 * create.c, shown in encode.c), their subnets (pools.c) and addresses (space.c), the sandboxes (sandbox.c) and files (state.c).
 */
#ifndef NETWORK_NET_I_H
#define NETWORK_NET_I_H

#include <pthread.h>
#include <stdint.h>

#include "base/lock.h"
#include "network/ipam.h"
#include "network/net.h"
#include "network/rtnl.h"

/* A run of published ports, on one address of the host; all of one box are at its gateways. */
struct net_run {
	int proto;
	char host_ip[IP_TEXT];
	char outside[IP_TEXT];           /* under rootlesskit: the address where it listens on the host, and host_ip is in here; else "" */
	bool maybe;                      /* nobody asked for its family */
	unsigned host_port, port, count; /* host_port 0: reached by the container's own address */
};

/* A container's sandbox, as the controller keeps it and the exec-root remembers it. */
struct net_box {
	char *container;            /* its id */
	char *id;                   /* 64 hex; its first 12 name the file of the namespace */
	bool host;                  /* the host's namespace */
	struct net_endpoint *eps;   /* with room for one more */
	size_t eps_len;
	struct net_run *runs;
	size_t runs_len;
	struct strv servers, search;/* of its resolver */
	bool busy;                  /* somebody changes a copy of it, which takes its place; not in the file */
	struct net_box *next;
};
void net_box_free(struct net_box *b);
DEFINE_CLEANUP(struct net_box, net_box_free)
struct net_box *net_box_new(const char *container_id, size_t endpoints);
struct net_box *net_box_copy(const struct net_box *b);
/* Its place on a network, by id; NULL. */
struct net_endpoint *net_box_endpoint(const struct net_box *b, const char *network_id);
bool net_box_has(const struct net_box *b, const char *endpoint_id);
/* Takes over what e holds. */
struct net_endpoint *net_box_add(struct net_box *b, struct net_endpoint *e);
void net_box_del(struct net_box *b, const struct net_endpoint *e);
/* Whose default route of that family it has, or NULL. */
const struct net_endpoint *net_gateway(const struct net_endpoint *eps, size_t len, bool ipv6);

/* gateway.c: the endpoint that is the daemon's own, or NULL. */
struct net_endpoint *net_box_way_out(const struct net_box *b);
/* Whether it needs one, without its place on a network (NULL: with all). */
bool net_needs_way_out(const struct net_box *b, const char *but_network_id);
/* The network of such endpoints, made when it is not there; held. */
struct network *net_hold_way_out(struct net_controller *nc, struct err *err);

/* box.c: the list. A complete sandbox goes into it; it is owned by it from then on. */
void net_box_publish(struct net_controller *nc, struct net_box *b, struct sandbox *ret);
/* Out of the list, or NULL; waits for whoever changes it. */
struct net_box *net_box_withdraw(struct net_controller *nc, const char *container_id);
/* A copy to change; nobody else does until net_box_put(), which puts it in the place of the old one, or drops it. ERR_NOT_FOUND. */
struct net_box *net_box_take(struct net_controller *nc, const char *container_id, struct err *err);
void net_box_put(struct net_controller *nc, struct net_box *b, bool changed);
/* What others see of it. */
void net_box_fill(const struct net_controller *nc, const struct net_box *b, bool endpoints, struct sandbox *ret);

/* An opened driver; lives until net_drivers_close(). */
struct net_driver;
struct net_drivers;

struct net_drivers *net_drivers_new(const char *data_root, const char *exec_root);
void net_drivers_close(struct net_drivers *ds);
/* Opens it once. name as Docker has it ("null" is the driver none). ERR_NOT_FOUND "plugin \"X\" not found". */
struct net_driver *net_driver_get(struct net_drivers *ds, const char *name, struct err *err);
/* Containers on its networks have the host's namespace. */
bool net_driver_host_sandbox(const struct net_driver *d);
/* One network, which the daemon makes. */
bool net_driver_predefined(const struct net_driver *d);
/* extra: options that users do not see. */
int net_driver_create(struct net_driver *d, const struct network *n, const struct strmap *extra, bool restored, struct err *err);
int net_driver_delete(struct net_driver *d, const char *network_id, struct err *err);
/* Its networks are a cluster's (cluster.h). */
bool net_driver_is_global(const struct net_driver *d);
/* What all hosts need to know of a new network goes into its options. number: its own in the cluster. */
int net_driver_allocate(struct net_driver *d, struct network *n, const char *number, struct err *err);
/* What it allocated is free again, for all hosts: the network is gone, or never came. What fails is in the log. */
void net_driver_free(struct net_driver *d, const struct network *n);
/* Something came or went. data: keys and values in turn, then NULL; a value may be NULL. */
int net_driver_discover(struct net_driver *d, bool came, const char *type, const char *const *data, struct err *err);
/* It has no use for addresses. */
bool net_driver_no_ipam(const struct net_driver *d);
/* The keys of its networks' options; false when it does not say. */
bool net_driver_known_options(struct net_driver *d, struct strv *ret);
/* No gateway address is to be set aside for such a network. */
bool net_driver_skip_gateway(struct net_driver *d, const struct network *n);
/* What a driver made for an endpoint, and wants done with it in the sandbox. Strings NULL for none. */
struct net_joined {
	char *interface;        /* as it is called now; NULL: there is none */
	char *prefix, *wanted;  /* of its name in the sandbox, or all of it */
	char *gateway4, *gateway6;
	struct strmap routes;   /* destination -> via, "" for the link itself */
	bool in_sandbox;        /* it is there already */
	bool closed;            /* the driver wants no way out, by whatever network */
};
void net_joined_done(struct net_joined *j);
/* The driver's half of a container's way onto a network; undone when it fails. */
int net_driver_join(struct net_driver *d, struct net_endpoint *ep, const char *container_id, const char *netns_path, int netns_fd, bool restored,
	struct net_joined *ret, struct err *err);
/*
 * What is published at an endpoint, in place of what was before. localhost: the driver is to lead from the host's own
 * addresses, too. False in *ret_done: it publishes nothing.
 */
int net_driver_publish(struct net_driver *d, const struct net_endpoint *ep, const struct net_run *runs, size_t len, bool restored, bool localhost,
	bool *ret_done, struct err *err);
int net_driver_revoke(struct net_driver *d, const struct net_endpoint *ep, struct err *err);
/* ports: host_ip is the address of the other end; each of these is a link of its own. */
struct net_link { const char *to; const struct net_run *ports; size_t ports_len; };
int net_driver_links(struct net_driver *d, const struct net_endpoint *ep, const struct net_link *links, size_t len, struct err *err);
/* Whether an endpoint's interface is still there. */
bool net_driver_stands(struct net_driver *d, const char *network_id, const char *endpoint_id);
/* Removes what belongs to none of these endpoints. */
int net_driver_sweep(struct net_driver *d, const struct strv *endpoints, struct err *err);
int net_driver_leave(struct net_driver *d, const struct net_endpoint *ep, struct err *err);

/* A network, and what is being done with it. */
struct net_entry {
	struct network *n; /* a snapshot; replaced, never changed */
	enum { NET_UP, NET_CREATING, NET_REMOVING } state;
	unsigned held;     /* containers on their way to it or off it */
	bool broken;       /* the driver could not take it over; it tries again when a container wants it */
	bool mending;      /* which it does just now */
	bool untold;       /* broken, for its address driver could not hear what it had */
};

/* Subnets for networks that do not say which. */
struct net_base {
	struct cidr base;
	unsigned bits; /* of each subnet */
};

struct net_cluster;

struct net_controller {
	char *data_root, *exec_root;
	struct spawner *spawner;
	struct net_drivers *drivers;
	struct netd *netd;          /* or NULL; set at start only */
	struct kit *kit;            /* or NULL; set at start only */
	struct net_cluster *cluster; /* or NULL; by net_cluster_of(), for it may come late */
	bool bridge;                /* there is a network "bridge"; set at start only */
	bool userland_proxy;        /* set at start only */
	struct announcer *announcer;
	struct driver_once *ipams;  /* address drivers */
	struct strmap default_options; /* "DRIVER/OPTION"; set at start only */
	struct strmap extra;        /* options that drivers get and users do not see; set at start only */
	struct net_base *bases;     /* set at start only */
	size_t bases_len;
	struct strv adopted;        /* ids of networks that were taken over from Docker's database; set at start only */
	struct net_box *found;      /* sandboxes of before this start; until net_sweep(), start-up's thread only */
	struct lock lock;           /* LOCK_MAP: all below */
	pthread_cond_t changed;
	struct net_entry **nets;
	size_t nets_len;
	struct net_box *boxes;
	struct net_space *spaces;
	uint64_t change, saved;     /* of the list of networks */
	bool saving;
	size_t removals;            /* of interfaces, under way */
	net_name_fn *name_of;
	void *name_ctx;
	net_asked_fn *asked;
	void *asked_ctx;
};

/* DATA-ROOT/network/dockerd.json: ids of the networks, so that they stay. A damaged file is put aside with a warning. */
/* True when the file was damaged and is to be written anew. */
bool net_state_read(const char *data_root, struct network ***ret, size_t *ret_len, struct strv *ret_adopted);
/* One of them as it stands there. */
char *network_to_text(const struct network *n);
struct network *network_from_text(const char *text, struct err *err);
int net_state_write(const char *data_root, struct network *const *nets, size_t len, const struct strv *adopted, struct err *err);
/*
 * Takes over, once each, the networks that only Docker's database in the data-root knows, and lets go of those taken over that it has
 * no more. Before the predefined ones are made, whose ids it gives. True when something changed.
 */
bool net_docker_adopt(struct net_controller *nc);
/* DATA-ROOT/network/files/local-kv.db. Each value stands behind a counter. */
#define NET_DOCKER_BUCKET  "libnetwork"
#define NET_DOCKER_KEYS    "docker/network/v1.0/"
#define NET_DOCKER_COUNTER 8
#define NET_DOCKER_MAX     (256u << 20)
char *net_docker_path(const char *data_root);
int net_docker_folder(const char *data_root, struct err *err);
/* Docker's drivers: whether it has the network's; under which folder of the keys that keeps it, and as what. */
bool net_docker_has_driver(const struct network *n);
const char *net_docker_driver_folder(const struct network *n);
void net_docker_put_driver(struct jw *w, const struct network *n);
/* "10.1.0.1/16": an address with the length of its subnet; the caller's. */
char *net_docker_address(const char *address, const char *subnet);
/* EXEC-ROOT/sandboxes/CONTAINER.json; a reboot forgets them with the namespaces. */
int net_box_write(const char *exec_root, const struct net_box *b, struct err *err);
struct net_box *net_box_read(const char *exec_root, const char *container_id, struct err *err);
void net_box_unlink(const char *exec_root, const char *container_id);
/* Where a sandbox's namespace is bound. */
char *net_box_path(const char *exec_root, const struct net_box *b);

/* Of all sandboxes that have one. */
struct net_box *net_boxes_read(const char *exec_root);
void net_boxes_free(struct net_box *b);

/* controller.c. Adds an entry; false when the name is taken. Under nc->lock. */
struct net_entry *net_entry_find(struct net_controller *nc, const char *id);
struct net_entry *net_entry_named(struct net_controller *nc, const char *name);
struct net_entry *net_entry_add(struct net_controller *nc, struct network *n);
void net_entry_drop(struct net_controller *nc, const char *id);
/* Writes the list, also for others who wait for the same; when it returns the caller's change is with the disk. */
int net_save(struct net_controller *nc, struct err *err);
/*
 * The network, by id or name, for a container that comes or goes: nobody removes it before net_let_go(). A driver that could
 * not take it over at start tries again.
 */
struct network *net_hold(struct net_controller *nc, const char *name, struct err *err);
void net_let_go(struct net_controller *nc, struct network *n);
/* adopt.c. The driver has the network again, and hears of those who stood on it meanwhile, but of those who are about to change. */
void net_adopt_late(struct net_controller *nc, struct net_driver *d, const struct network *n);
/* How many endpoints are on it; under nc->lock. */
size_t net_endpoints_on(const struct net_controller *nc, const char *network_id);

/* pools.c. "base=CIDR,size=N"; none: Docker's bases. */
int net_pools_set(struct net_controller *nc, const struct strv *pools, struct err *err);
/* What the host has, for net_pool_choose(); no lock is held. Without it nothing is known to be taken. */
struct net_host { struct rtnl_net *v; size_t len; };
void net_host_read(const char *except, struct net_host *ret);
void net_host_done(struct net_host *h);
/* A subnet that no other network has and that the host has no use for. Under nc->lock. */
int net_pool_choose(struct net_controller *nc, const struct net_host *host, bool ipv6, struct cidr *ret, struct err *err);
bool net_pool_free(const struct net_host *host, const struct cidr *c);
/* Whether a network other than that one has addresses of it. Under nc->lock. */
bool net_pool_overlaps(const struct net_controller *nc, const char *but, const struct cidr *c);
/* What is wrong with the pools that a user wants. */
int net_pools_validate(const struct net_pool *pools, size_t len, bool ipv4, bool ipv6, struct err *err);
void net_pools_copy(struct network *n, const struct net_pool *pools, size_t len);
/* IPv4 before IPv6, else as they were given: Docker's order, while its CLI sends them in any. */
void net_pools_sort(struct network *n);
/* Is it of a family that the network has? */
bool net_pool_used(const struct network *n, const struct net_pool *p);

/* space.c: addresses of a network; none for one without pools. Fails when its gateways and auxiliary addresses do. */
int net_space_open(struct net_controller *nc, const struct network *n, struct err *err);
bool net_space_stands(struct net_controller *nc, const char *network_id);
void net_space_drop(struct net_controller *nc, const char *network_id);
void net_spaces_close(struct net_controller *nc);
/* The address that a pool without a gateway gets as such. */
int net_gateway_choose(const struct net_pool *p, char ret[CIDR_TEXT], struct err *err);
/* Fills ep->ipv4 and ipv6; nothing on networks without addresses. want: plain ones, NULL or "" for any. Waits a little for those that linger. */
int net_address_take(struct net_controller *nc, struct net_driver *d, struct net_endpoint *ep, const char *want4, const char *want6,
	struct err *err);
/* Out of use; free once its interface is gone. */
void net_address_give(struct net_controller *nc, const struct net_endpoint *ep);
/* At once: there never was an interface. */
void net_address_drop(struct net_controller *nc, const struct net_endpoint *ep);
/* One that somebody of another host has, and has no more; plain. */
void net_address_hold_far(struct net_controller *nc, const char *network_id, const char *owner, const char *address);
void net_address_drop_far(struct net_controller *nc, const char *network_id, const char *owner, const char *address);
/* That of a sandbox that stands already. */
void net_address_hold(struct net_controller *nc, const struct net_endpoint *ep);
/* The figures of each subnet in use; called with no lock held. */
typedef void net_figures_fn(void *ctx, const char *subnet, uint64_t used, uint64_t left);
void net_figures(struct net_controller *nc, const struct network *n, net_figures_fn *fn, void *ctx);

/* net-ipam.c. Networks whose addresses are not the daemon's to give. */
struct driver_once *net_ipams_new(struct net_controller *nc);
void net_ipams_free(struct driver_once *ipams);
bool net_ipam_is_external(const struct network *n);
/* Subnets, gateways and auxiliary addresses for a network that nobody else sees yet. */
int net_ipam_request(struct net_controller *nc, struct network *n, bool gateways, struct err *err);
void net_ipam_release(struct net_controller *nc, const struct network *n);
int net_ipam_take(struct net_controller *nc, const struct network *n, struct net_endpoint *ep, const char *want4, const char *want6, struct err *err);
void net_ipam_give(struct net_controller *nc, const struct network *n, const struct net_endpoint *ep);
/* A driver that forgets hears again what the network has: at start with what nc->found holds, later with what sandboxes do. */
int net_ipam_restore(struct net_controller *nc, const struct network *n, bool starting, struct err *err);

/* wire.c: the sandbox's half. rtnl is a netlink socket of the sandbox; what fails has left nothing but what goes with the interface. */
int net_wire(struct net_controller *nc, struct net_box *b, struct net_endpoint *ep, const struct net_joined *j, int netns_fd, int rtnl, struct err *err);
/* The default routes, by the endpoints that b has. */
int net_wire_gateways(const struct net_box *b, int rtnl, struct err *err);
void net_unwire(const struct net_endpoint *ep, int rtnl);
/* The same, which returns when it is gone from the sandbox, while the kernel still takes it down. */
void net_unwire_soon(struct net_controller *nc, const struct net_endpoint *ep, int rtnl);
void net_removals_wait(struct net_controller *nc);
/* Options of an endpoint that this room reads itself. */
int net_endpoint_check(const struct strmap *options, struct err *err);

/* ports.c */
bool net_published_at(const struct net_box *b, const struct net_endpoint *ep);
/* Publishes b's runs again, after a restart or as its gateways changed. */
int net_ports_again(struct net_controller *nc, struct net_box *b, bool restored, struct err *err);
void net_ports_revoke_at(struct net_controller *nc, const struct net_endpoint *ep, struct err *err);
void net_ports_revoke(struct net_controller *nc, const struct net_box *b, struct err *err);

/* dns.c: tells the resolver what the sandbox is; nothing for one without networks of users. */
bool net_has_names(const struct net_endpoint *ep);
bool net_box_named(const struct net_box *b);
int net_dns_feed(struct net_controller *nc, const struct net_box *b, struct err *err);
void net_dns_drop(struct net_controller *nc, const struct net_box *b);

/* Whether containers of before this start are on it, by their sandboxes' files. */
bool net_in_use(struct net_controller *nc, const struct network *n);
/* The users' networks, for their drivers, at start. */
void net_restore(struct net_controller *nc);

struct network *net_find_name(struct net_controller *nc, const char *name);
struct network *network_new(const char *name, const char *driver);

#endif
