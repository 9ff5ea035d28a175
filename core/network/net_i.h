/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the network room: the facade over network drivers (net.c), the networks (controller.c), the sandboxes
 * (sandbox.c) and their files (state.c).
 */
#ifndef NETWORK_NET_I_H
#define NETWORK_NET_I_H

#include <stdint.h>

#include "base/lock.h"
#include "network/ipam.h"
#include "network/net.h"

/* A container's sandbox, as the controller keeps it and the exec-root remembers it. */
struct net_box {
	char *container;            /* its id */
	char *id;                   /* 64 hex; its first 12 name the file of the namespace */
	bool host;                  /* the host's namespace */
	struct net_endpoint *eps;
	size_t eps_len;
	struct net_box *next;
};
void net_box_free(struct net_box *b);
/* Its place on a network, by id; NULL. */
struct net_endpoint *net_box_endpoint(const struct net_box *b, const char *network_id);
DEFINE_CLEANUP(struct net_box, net_box_free)

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
/*
 * A container's way onto a network and back: the driver's half, then the interface is named and given its addresses and
 * routes. rtnl is a netlink socket of the sandbox, -1 for one that is the host's or stands already. A failing join has left
 * nothing but what goes with the namespace.
 */
int net_driver_join(struct net_driver *d, struct net_endpoint *ep, const struct net_box *b,
	const char *netns_path, int rtnl, bool restored, struct err *err);
/* Whether an endpoint's interface is still there. */
bool net_driver_stands(struct net_driver *d, const char *network_id, const char *endpoint_id);
/* Removes what belongs to none of these endpoints. */
int net_driver_sweep(struct net_driver *d, const struct strv *endpoints, struct err *err);
int net_driver_leave(struct net_driver *d, const struct net_endpoint *ep, struct err *err);

struct net_controller {
	char *data_root, *exec_root;
	struct spawner *spawner;
	struct net_drivers *drivers;
	struct lock lock;           /* LOCK_MAP: all below */
	struct network **nets;      /* snapshots */
	size_t nets_len;
	struct net_box *boxes;
	struct net_space *spaces;
	struct netd *netd;          /* or NULL */
	bool bridge;                /* there is a network "bridge"; set at start only */
	net_name_fn *name_of;
	void *name_ctx;
};

/* DATA-ROOT/network/dockerd.json: ids of the networks, so that they stay. A damaged file is put aside with a warning. */
/* True when the file was damaged and is to be written anew. */
bool net_state_read(const char *data_root, struct network ***ret, size_t *ret_len);
int net_state_write(const char *data_root, struct network *const *nets, size_t len, struct err *err);
/* EXEC-ROOT/sandboxes/CONTAINER.json; a reboot forgets them with the namespaces. */
int net_box_write(const char *exec_root, const struct net_box *b, struct err *err);
struct net_box *net_box_read(const char *exec_root, const char *container_id, struct err *err);
void net_box_unlink(const char *exec_root, const char *container_id);
/* Where a sandbox's namespace is bound. */
char *net_box_path(const char *exec_root, const struct net_box *b);

/* space.c: addresses of a network; none for one without pools. */
void net_space_open(struct net_controller *nc, const struct network *n);
void net_spaces_close(struct net_controller *nc);
/* Fills ep->ipv4; nothing on networks without addresses. Waits a little for those that linger. */
int net_address_take(struct net_controller *nc, struct net_driver *d, struct net_endpoint *ep, struct err *err);
/* Out of use; free once its interface is gone. */
void net_address_give(struct net_controller *nc, const struct net_endpoint *ep);
/* That of a sandbox that stands already. */
void net_address_hold(struct net_controller *nc, const struct net_endpoint *ep);

/* Whether containers of before this start are on it, by their sandboxes' files. */
bool net_in_use(struct net_controller *nc, const struct network *n);

struct network *net_find_name(struct net_controller *nc, const char *name);
struct network *network_new(const char *name, const char *driver);
struct network *network_ref(struct network *n);

#endif
