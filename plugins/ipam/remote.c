/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Address drivers that are processes of their own: Docker's plugin protocol, methods "IpamDriver.*" (libnetwork, docs/ipam.md). */
#include <stdlib.h>
#include <string.h>

#include <dockerd/ipam.h>

#include "docker-plugin.h"

#define DATA_MAX 32

struct dkd_ipam {
	DOCKER_PLUGIN_HANDLE;
};

static int32_t remote_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_ipam_open *open, struct dkd_ipam **ret)
{
	*ret = docker_plugin_handle(host, call, open->instance, "IpamDriver", sizeof(**ret));
	return *ret ? 0 : -1;
}

static void remote_close(struct dkd_ipam *i)
{
	docker_plugin_close(i->plugin);
	free(i);
}

/* The method is newer than the protocol: one that does not know it wants neither. */
static int32_t remote_capabilities(const struct dkd_call *call, struct dkd_ipam *i, struct dkd_ipam_caps *ret)
{
	json_t *answer;
	int rc = docker_plugin_call(i->plugin, call, "IpamDriver.GetCapabilities", 1, json_object(), &answer);

	ret->flags = (json_is_true(docker_plugin_member(answer, "RequiresMACAddress")) ? DKD_IPAM_NEEDS_MAC : 0) |
		(json_is_true(docker_plugin_member(answer, "RequiresRequestReplay")) ? DKD_IPAM_REPLAY : 0);
	json_decref(answer);
	return rc < 0 ? -1 : 0;
}

static int32_t remote_spaces(const struct dkd_call *call, struct dkd_ipam *i, dkd_emit_pair *emit, void *to)
{
	const char *local, *global;
	json_t *answer;

	if (docker_plugin_call(i->plugin, call, "IpamDriver.GetDefaultAddressSpaces", 0, json_object(), &answer) < 0)
		return -1;
	local = docker_plugin_text(answer, "LocalDefaultAddressSpace");
	global = docker_plugin_text(answer, "GlobalDefaultAddressSpace");
	emit(to, "local", local ? local : "");
	emit(to, "global", global ? global : "");
	json_decref(answer);
	return 0;
}

static int32_t remote_request_pool(const struct dkd_call *call, struct dkd_ipam *i, const struct dkd_ipam_pool_wish *wish, dkd_emit_pool *emit, void *to)
{
	struct dkd_pair data[DATA_MAX];
	struct dkd_ipam_pool pool = { .size = sizeof(pool), .data = data };
	json_t *answer, *value;
	const char *key;
	int rc = 0;

	if (docker_plugin_call(i->plugin, call, "IpamDriver.RequestPool", 0, json_pack("{s:s, s:s, s:s, s:o, s:b}", "AddressSpace", wish->space ? wish->space : "",
	    "Pool", wish->pool ? wish->pool : "", "SubPool", wish->range ? wish->range : "", "Options", docker_plugin_pairs(wish->options, wish->options_len),
	    "V6", (wish->flags & DKD_IPAM_IPV6) != 0), &answer) < 0)
		return -1;
	pool.id = docker_plugin_text(answer, "PoolID");
	pool.subnet = docker_plugin_text(answer, "Pool");
	json_object_foreach(docker_plugin_member(answer, "Data"), key, value)
		if (json_is_string(value) && pool.data_len < DATA_MAX)
			data[pool.data_len++] = (struct dkd_pair){ key, json_string_value(value) };
	if (pool.id && pool.subnet)
		emit(to, &pool);
	else
		rc = dkd_failf(i->host, call, DKD_ERR_INTERNAL, 0, "remote: plugin %s gives no pool", docker_plugin_name(i->plugin));
	json_decref(answer);
	return rc;
}

static int32_t tell(const struct dkd_call *call, struct dkd_ipam *i, const char *method, json_t *request)
{
	json_t *answer;
	int rc = docker_plugin_call(i->plugin, call, method, 0, request, &answer);

	json_decref(answer);
	return rc < 0 ? -1 : 0;
}

static int32_t remote_release_pool(const struct dkd_call *call, struct dkd_ipam *i, const char *pool)
{
	return tell(call, i, "IpamDriver.ReleasePool", json_pack("{s:s}", "PoolID", pool));
}

static int32_t remote_request_address(const struct dkd_call *call, struct dkd_ipam *i, const char *pool, const char *address, const struct dkd_pair *options,
	uint32_t options_len, dkd_emit *emit, void *to)
{
	const char *given;
	json_t *answer;
	int rc = 0;

	if (docker_plugin_call(i->plugin, call, "IpamDriver.RequestAddress", 0, json_pack("{s:s, s:s, s:o}", "PoolID", pool, "Address", address ? address : "",
	    "Options", docker_plugin_pairs(options, options_len)), &answer) < 0)
		return -1;
	given = docker_plugin_text(answer, "Address");
	if (given)
		emit(to, given);
	else
		rc = dkd_failf(i->host, call, DKD_ERR_UNAVAILABLE, 0, "remote: plugin %s gives no address", docker_plugin_name(i->plugin));
	json_decref(answer);
	return rc;
}

static int32_t remote_release_address(const struct dkd_call *call, struct dkd_ipam *i, const char *pool, const char *address)
{
	return tell(call, i, "IpamDriver.ReleaseAddress", json_pack("{s:s, s:s}", "PoolID", pool, "Address", address));
}

static const struct dkd_ipam_ops ops = {
	.open = remote_open,
	.close = remote_close,
	.capabilities = remote_capabilities,
	.address_spaces = remote_spaces,
	.request_pool = remote_request_pool,
	.release_pool = remote_release_pool,
	.request_address = remote_request_address,
	.release_address = remote_release_address,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_IPAM,
	.abi_major = DKD_IPAM_MAJOR,
	.abi_minor = DKD_IPAM_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "remote",
	.version = "1.0",
	.ops = &ops,
	.provider = &docker_plugin_provider,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
