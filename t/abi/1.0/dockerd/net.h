/* SPDX-License-Identifier: MIT */
/*
 * Network drivers: what a container's network namespace is connected to.
 *
 * Changes
 *   1.0  first version.
 *
 * The daemon owns networks, addresses (IPAM) and sandboxes (network namespaces); a driver makes the wires. Order for a
 * container: create_network once, then for each container create_endpoint, join, program_ports, program_links, and back:
 * revoke_ports, leave, delete_endpoint. Interfaces that join() names are moved into the sandbox (unless in_sandbox says that they are),
 * renamed, given MAC, addresses and routes, and taken up by the daemon. Undoing something that is not there is fine.
 */
#ifndef DOCKERD_NET_H
#define DOCKERD_NET_H

#include <dockerd/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DKD_NET_MAJOR UINT32_C(1)
#define DKD_NET_MINOR UINT32_C(0)

/* The driver's own. */
struct dkd_net;

struct dkd_net_open {
	uint32_t size;
	uint32_t flags;        /* none yet */
	const char *root;      /* DATA-ROOT/network/drivers/NAME, to create when needed */
	const char *exec_root; /* for what a reboot may forget */
	const char *instance;  /* of a provider */
};

/* Scope of a driver's networks. */
#define DKD_NET_SCOPE_LOCAL  UINT32_C(0)
#define DKD_NET_SCOPE_GLOBAL UINT32_C(1)

#define DKD_NET_HOST_SANDBOX UINT32_C(1) /* containers get the host's network namespace, no sandbox of their own */
#define DKD_NET_PREDEFINED   UINT32_C(2) /* one network, made by the daemon; users make no more of it */
#define DKD_NET_NO_ENDPOINT  UINT32_C(4) /* nothing to wire: a sandbox gets its loopback only */
#define DKD_NET_NO_IPAM      UINT32_C(8) /* takes no addresses */

struct dkd_net_caps {
	uint32_t size;
	uint32_t scope;        /* DKD_NET_SCOPE_* */
	uint32_t connectivity; /* DKD_NET_SCOPE_* */
	uint32_t flags;        /* DKD_NET_* */
};

/* One address pool of a network. */
struct dkd_net_pool {
	uint32_t size;
	uint32_t flags;              /* none yet */
	const char *subnet;          /* "172.18.0.0/16", "fd00::/64" */
	const char *range;
	const char *gateway;
	const struct dkd_pair *aux;  /* name, address */
	uint32_t aux_len;
	uint32_t pad;
};

#define DKD_NET_INTERNAL UINT32_C(1) /* no way out */
#define DKD_NET_IPV4     UINT32_C(2)
#define DKD_NET_IPV6     UINT32_C(4)
#define DKD_NET_INGRESS  UINT32_C(8)
#define DKD_NET_RESTORED UINT32_C(16) /* existed before the daemon started: take over what still stands */

struct dkd_net_network {
	uint32_t size;
	uint32_t flags;                   /* DKD_NET_INTERNAL ... */
	const char *id;
	const char *name;
	/*
	 * The users', and the daemon's own, "dockerd.": firewall, firewall6 (false: no rules of that family), firewall_backend (nftables,
	 * iptables), ip_forward, forward_drop, existing, userland_proxy, publish_policy (open, host), number (to allocate_network: one that no
	 * other network of these hosts has).
	 */
	const struct dkd_pair *options;
	const struct dkd_pair *labels;
	uint32_t options_len;
	uint32_t labels_len;
	const struct dkd_net_pool *pools; /* as many bytes apart as the first one's size says */
	uint32_t pools_len;
	uint32_t pad;
};

struct dkd_net_endpoint {
	uint32_t size;
	uint32_t flags;                 /* DKD_NET_RESTORED */
	const char *network;
	const char *id;
	const char *mac;                /* NULL: the driver chooses one and emits "mac" */
	const char *ipv4;               /* with prefix length */
	const char *ipv6;
	const struct dkd_pair *options; /* the endpoint's driver-opts */
	uint32_t options_len;
	uint32_t pad;
};

struct dkd_net_join {
	uint32_t size;
	uint32_t flags;                 /* DKD_NET_RESTORED */
	const char *network;
	const char *endpoint;
	const char *container;          /* its id */
	const char *sandbox;            /* path of the network namespace; NULL: the host's */
	int32_t sandbox_fd;             /* the same, open; -1 */
	int32_t sandbox_userns_fd;      /* the user namespace that owns it; -1: the host's */
	const struct dkd_pair *options; /* the endpoint's driver-opts */
	uint32_t options_len;
	uint32_t pad;
};

struct dkd_net_route {
	const char *destination; /* with prefix length */
	const char *via;         /* NULL: the link itself */
};

/*
 * No default route leads here, also when the network has a gateway, and none elsewhere for its sake: a container on networks that are not
 * internal, without a gateway and without this, gets a place on the bridge network docker_gwbridge.
 */
#define DKD_NET_NO_GATEWAY UINT32_C(1)

/* What join() emits, once. */
struct dkd_net_joined {
	uint32_t size;
	uint32_t flags;                     /* DKD_NET_NO_GATEWAY */
	const char *interface_name;         /* as it is now; NULL: nothing to move */
	const char *interface_prefix;       /* "eth": becomes ethN in the sandbox */
	const char *interface_wanted;       /* the exact name in the sandbox; NULL: by prefix */
	const char *gateway4;
	const char *gateway6;
	const struct dkd_net_route *routes;
	uint32_t routes_len;
	uint32_t in_sandbox;                /* 1: the driver has put the interface into the sandbox already */
};
typedef int32_t dkd_emit_joined(void *to, const struct dkd_net_joined *joined);

#define DKD_NET_TCP  UINT32_C(6)
#define DKD_NET_UDP  UINT32_C(17)
#define DKD_NET_SCTP UINT32_C(132)

/*
 * count ports of the host, from host_port on, that lead to as many of the container, from port on. The daemon has reserved
 * them on the host, so that no other process can take them.
 */
struct dkd_net_port {
	uint32_t size;
	uint32_t proto;         /* DKD_NET_TCP ... */
	const char *host_ip;    /* "0.0.0.0" and "::" are every address of the family; an address of one family is that family's only */
	uint32_t host_port;     /* 0: none is published; the container's port may be reached by its own address (routed networks) */
	uint32_t port;          /* inside the container */
	uint32_t count;         /* 1 and more */
	uint32_t flags;         /* none yet */
};

#define DKD_NET_LOCALHOST UINT32_C(32) /* no proxy listens on the host's own loopback addresses: the kernel shall lead from there, too */

/* All ports of an endpoint: they replace those of an earlier call. */
struct dkd_net_publish {
	uint32_t size;
	uint32_t flags;                   /* DKD_NET_RESTORED, DKD_NET_LOCALHOST */
	const char *network;
	const char *endpoint;
	const char *ipv4;                 /* the endpoint's, with prefix length; NULL for none */
	const char *ipv6;
	const struct dkd_net_port *ports; /* as many bytes apart as the first one's size says */
	uint32_t ports_len;               /* 0: none */
	uint32_t pad;
};

/* Where containers of a network may not talk with each other, one that another is linked to: from reaches the ports of to, and its answers come back. */
struct dkd_net_link {
	uint32_t size;
	uint32_t pad;
	const char *from;                 /* addresses without prefix length */
	const char *to;
	const struct dkd_net_port *ports; /* proto, port and count; as many bytes apart as the first one's size says */
	uint32_t ports_len;
	uint32_t pad2;
};

struct dkd_net_ops {
	/* Optional. root NULL: on this machine in general. DKD_PROBE_* */
	int32_t (*probe)(const struct dkd_call *call, const struct dkd_host *host, const char *root);
	int32_t (*open)(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open, struct dkd_net **ret);
	/* Optional. */
	void (*close)(struct dkd_net *n);

	int32_t (*capabilities)(const struct dkd_call *call, struct dkd_net *n, struct dkd_net_caps *ret);

	/* All below are optional; without one there is nothing to do for it. */
	int32_t (*create_network)(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_network *network);
	int32_t (*delete_network)(const struct dkd_call *call, struct dkd_net *n, const char *network);
	/* Emits what it chose: "mac", "ipv4", "ipv6". */
	int32_t (*create_endpoint)(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_endpoint *endpoint, dkd_emit_pair *emit, void *to);
	int32_t (*delete_endpoint)(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint);
	/* Facts about an endpoint. "interface", as long as one of it stands on the host: its address is not given out again before. */
	int32_t (*oper_info)(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint, dkd_emit_pair *emit, void *to);
	int32_t (*join)(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_join *join, dkd_emit_joined *emit, void *to);
	int32_t (*leave)(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint);
	/* Publishes all ports of an endpoint in one go, or none. */
	int32_t (*program_ports)(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_publish *publish);
	int32_t (*revoke_ports)(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint);
	/* Drivers of several hosts: what every host of a network must agree on; emits options that go with the network. */
	int32_t (*allocate_network)(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_network *network, dkd_emit_pair *emit, void *to);
	int32_t (*free_network)(const struct dkd_call *call, struct dkd_net *n, const char *network);
	/* 1 when the daemon need not reserve a gateway address for a network of these options, 0 when it must. */
	int32_t (*skip_gateway)(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_network *network);
	/*
	 * Something came or went elsewhere. Type "node": a host, this one before the first join; "address", "self" ("true"). Type "endpoint": a
	 * container of another host; "network", "endpoint", "mac", "ipv4", "ipv6", "host". Others may be added.
	 */
	int32_t (*discover_new)(const struct dkd_call *call, struct dkd_net *n, const char *type, const struct dkd_pair *data, uint32_t data_len);
	int32_t (*discover_delete)(const struct dkd_call *call, struct dkd_net *n, const char *type, const struct dkd_pair *data, uint32_t data_len);
	/* After a crash: removes whatever of the driver's belongs to none of these endpoints. */
	int32_t (*sweep)(const struct dkd_call *call, struct dkd_net *n, const char *const *endpoints, uint32_t endpoints_len);
	/* The links of an endpoint, in place of those of an earlier call; they lie as many bytes apart as the first one's size says. They go with leave. */
	int32_t (*program_links)(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint,
		const struct dkd_net_link *links, uint32_t links_len);
	/* Emits the keys of the options that networks of it have, besides those of the daemon: a user is told of others. Without it none is unknown. */
	int32_t (*known_options)(const struct dkd_call *call, struct dkd_net *n, dkd_emit_pair *emit, void *to);
};

#ifdef __cplusplus
}
#endif

#endif
