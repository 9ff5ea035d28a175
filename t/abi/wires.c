/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network driver for tests: counts what is called. It fails where its option "fail" says. */
#include <string.h>

#include <dockerd/net.h>

static const struct dkd_host *the_host;
static int endpoints, joined;

static int fails(const char *where)
{
	const char *fail = the_host->option(the_host, "fail");

	return fail && strcmp(fail, where) == 0;
}

static int32_t wires_open(const struct dkd_call *call, const struct dkd_host *host,
	const struct dkd_net_open *open, struct dkd_net **ret)
{
	(void)call;
	(void)open;
	(void)ret;
	the_host = host;
	return 0;
}

static int32_t wires_capabilities(const struct dkd_call *call, struct dkd_net *n, struct dkd_net_caps *ret)
{
	(void)call;
	(void)n;
	ret->flags = DKD_NET_HOST_SANDBOX; /* no root is needed */
	return 0;
}

static int32_t wires_create(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_endpoint *e,
	dkd_emit_pair *emit, void *to)
{
	(void)n;
	if (fails("create"))
		return the_host->fail(the_host, call, DKD_ERR_NO_SPACE, 0, "no wires left");
	endpoints++;
	emit(to, "mac", "02:42:00:00:00:01");
	emit(to, "ipv4", e->flags & DKD_NET_RESTORED ? "10.0.0.9/24" : "10.0.0.1/24");
	return 0;
}

static int32_t wires_delete(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint)
{
	(void)call;
	(void)n;
	(void)network;
	(void)endpoint;
	endpoints--;
	return 0;
}

static int32_t wires_join(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_join *join,
	dkd_emit_joined *emit, void *to)
{
	struct dkd_net_joined j = { .size = sizeof(j), .interface_name = "veth0" };

	(void)n;
	(void)join;
	if (fails("join"))
		return the_host->fail(the_host, call, DKD_ERR_UNAVAILABLE, 0, "a wire broke");
	joined++;
	if (fails("move"))
		return emit(to, &j);
	return 0;
}

static int32_t wires_leave(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint)
{
	char text[80];

	(void)n;
	(void)network;
	(void)endpoint;
	joined--;
	if (!fails("leave"))
		return 0;
	snprintf(text, sizeof(text), "%d joined, %d endpoints", joined, endpoints - 1);
	return the_host->fail(the_host, call, DKD_ERR_INTERNAL, 0, text);
}

static const struct dkd_net_ops ops = {
	.open = wires_open, .capabilities = wires_capabilities, .create_endpoint = wires_create, .delete_endpoint = wires_delete,
	.join = wires_join, .leave = wires_leave,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_NET, .abi_major = DKD_NET_MAJOR, .abi_minor = DKD_NET_MINOR, .ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL, .name = "wires", .version = "1", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
