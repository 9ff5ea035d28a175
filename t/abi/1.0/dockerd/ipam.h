/* SPDX-License-Identifier: MIT */
/*
 * Address drivers (IPAM): who gives networks their subnets and containers their addresses, in the place of the daemon's own.
 *
 * Changes
 *   1.0  first version.
 *
 * Order: request_pool for each address family of a network, request_address for its gateway and for each container, and back:
 * release_address, release_pool. After a restart of the daemon no pool and no address is asked for again, unless the driver
 * says DKD_IPAM_REPLAY. Releasing what is not there is fine.
 */
#ifndef DOCKERD_IPAM_H
#define DOCKERD_IPAM_H

#include <dockerd/driver.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DKD_IPAM_MAJOR UINT32_C(1)
#define DKD_IPAM_MINOR UINT32_C(0)

/* The driver's own. */
struct dkd_ipam;

struct dkd_ipam_open {
	uint32_t size;
	uint32_t flags;       /* none yet */
	const char *root;     /* DATA-ROOT/network/ipam/NAME, to create when needed */
	const char *instance; /* of a provider */
};

#define DKD_IPAM_NEEDS_MAC UINT32_C(1) /* request_address gets the endpoint's MAC address among its options */
#define DKD_IPAM_REPLAY    UINT32_C(2) /* pools and addresses are requested again after a restart */

struct dkd_ipam_caps {
	uint32_t size;
	uint32_t flags;           /* DKD_IPAM_* */
};

#define DKD_IPAM_IPV6 UINT32_C(1)

struct dkd_ipam_pool_wish {
	uint32_t size;
	uint32_t flags;                 /* DKD_IPAM_IPV6 */
	const char *space;              /* one of the driver's address spaces */
	const char *pool;               /* the subnet wanted; NULL: any */
	const char *range;              /* a part of it that addresses come from; NULL: all */
	const struct dkd_pair *options;
	uint32_t options_len;
	uint32_t pad;
};

/* What request_pool emits, once. */
struct dkd_ipam_pool {
	uint32_t size;
	uint32_t data_len;
	const char *id;                 /* the driver's name for it */
	const char *subnet;             /* with prefix length */
	const struct dkd_pair *data;    /* "com.docker.network.gateway": the gateway, with prefix length */
};
typedef int32_t dkd_emit_pool(void *to, const struct dkd_ipam_pool *pool);

struct dkd_ipam_ops {
	/* Optional. root NULL: on this machine in general. DKD_PROBE_* */
	int32_t (*probe)(const struct dkd_call *call, const struct dkd_host *host, const char *root);
	int32_t (*open)(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_ipam_open *open, struct dkd_ipam **ret);
	/* Optional. */
	void (*close)(struct dkd_ipam *i);

	int32_t (*capabilities)(const struct dkd_call *call, struct dkd_ipam *i, struct dkd_ipam_caps *ret);
	/* Emits "local" and "global", each with the address space of that scope. */
	int32_t (*address_spaces)(const struct dkd_call *call, struct dkd_ipam *i, dkd_emit_pair *emit, void *to);
	int32_t (*request_pool)(const struct dkd_call *call, struct dkd_ipam *i, const struct dkd_ipam_pool_wish *wish, dkd_emit_pool *emit, void *to);
	int32_t (*release_pool)(const struct dkd_call *call, struct dkd_ipam *i, const char *pool);
	/*
	 * address: the one wanted, NULL for any. Options: "RequestAddressType" = "com.docker.network.gateway" for a gateway,
	 * "com.docker.network.endpoint.macaddress". Emits the address, with prefix length.
	 */
	int32_t (*request_address)(const struct dkd_call *call, struct dkd_ipam *i, const char *pool, const char *address,
		const struct dkd_pair *options, uint32_t options_len, dkd_emit *emit, void *to);
	int32_t (*release_address)(const struct dkd_call *call, struct dkd_ipam *i, const char *pool, const char *address);
};

#ifdef __cplusplus
}
#endif

#endif
