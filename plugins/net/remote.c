/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Network drivers that are processes of their own: Docker's plugin protocol, methods "NetworkDriver.*" (libnetwork, docs/remote.md). */
#include <stdlib.h>
#include <string.h>

#include <dockerd/net.h>

#include "docker-plugin.h"

#define GENERIC "com.docker.network.generic"
#define ENABLE_IPV4 "com.docker.network.enable_ipv4"
#define ENABLE_IPV6 "com.docker.network.enable_ipv6"
#define INTERNAL "com.docker.network.internal"
#define PORTMAP "com.docker.network.portmap"
#define DAEMON_PREFIX "dockerd."
#define NODE_DISCOVERY 1
#define CONNECTED_ROUTE 1 /* without a next hop */
#define ROUTES_MAX 64

struct dkd_net {
	DOCKER_PLUGIN_HANDLE;
	int skip_gateway;
};

static int32_t remote_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open, struct dkd_net **ret)
{
	*ret = docker_plugin_handle(host, call, open->instance, "NetworkDriver", sizeof(**ret));
	return *ret ? 0 : -1;
}

static void remote_close(struct dkd_net *n)
{
	docker_plugin_close(n->plugin);
	free(n);
}

/* 0 or -1; what the answer says does not matter. */
static int32_t tell(const struct dkd_call *call, struct dkd_net *n, const char *method, int optional, json_t *request)
{
	json_t *answer;
	int rc = docker_plugin_call(n->plugin, call, method, optional, request, &answer);

	json_decref(answer);
	return rc < 0 ? -1 : 0;
}

static int32_t remote_capabilities(const struct dkd_call *call, struct dkd_net *n, struct dkd_net_caps *ret)
{
	const char *scope, *connectivity;
	json_t *answer;

	if (docker_plugin_call(n->plugin, call, "NetworkDriver.GetCapabilities", 0, json_object(), &answer) < 0)
		return -1;
	scope = docker_plugin_text(answer, "Scope");
	connectivity = docker_plugin_text(answer, "ConnectivityScope");
	n->skip_gateway = json_is_true(docker_plugin_member(answer, "GwAllocChecker"));
	ret->scope = scope && strcmp(scope, "global") == 0 ? DKD_NET_SCOPE_GLOBAL : DKD_NET_SCOPE_LOCAL;
	ret->connectivity = connectivity && strcmp(connectivity, "global") == 0 ? DKD_NET_SCOPE_GLOBAL : ret->scope;
	ret->flags = 0;
	if (!scope || (strcmp(scope, "local") != 0 && strcmp(scope, "global") != 0)) {
		dkd_failf(n->host, call, DKD_ERR_INTERNAL, 0, "invalid capability: expecting 'local' or 'global', got %.32s", scope ? scope : "");
		json_decref(answer);
		return -1;
	}
	json_decref(answer);
	return 0;
}

/* Options of the users and of the daemon's own are one list; the plugin gets the users'. */
static json_t *generic(const struct dkd_net_network *w)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < w->options_len; i++)
		if (strncmp(w->options[i].key, DAEMON_PREFIX, strlen(DAEMON_PREFIX)) != 0)
			json_object_set_new(o, w->options[i].key, json_string(w->options[i].value ? w->options[i].value : ""));
	return o;
}

static json_t *options_of(const struct dkd_net_network *w)
{
	json_t *o = json_pack("{s:o, s:b, s:b}", GENERIC, generic(w), ENABLE_IPV4, (w->flags & DKD_NET_IPV4) != 0, ENABLE_IPV6, (w->flags & DKD_NET_IPV6) != 0);

	if (w->flags & DKD_NET_INTERNAL)
		json_object_set_new(o, INTERNAL, json_true());
	return o;
}

/* The gateway with the prefix length of its subnet, as the protocol has it. */
static json_t *one_pool(const struct dkd_net_pool *p)
{
	const char *bits = p->subnet ? strchr(p->subnet, '/') : NULL;
	char gateway[80] = "";

	if (p->gateway && *p->gateway)
		snprintf(gateway, sizeof(gateway), "%.50s%.8s", p->gateway, strchr(p->gateway, '/') || !bits ? "" : bits);
	return json_pack("{s:s, s:s, s:s, s:o}", "AddressSpace", "LocalDefault", "Pool", p->subnet ? p->subnet : "", "Gateway", gateway, "AuxAddresses",
		docker_plugin_pairs(p->aux, p->aux_len));
}

static json_t *pools_of(const struct dkd_net_network *w, int v6)
{
	const struct dkd_net_pool *p = w->pools;
	json_t *a = json_array();

	for (uint32_t i = 0; i < w->pools_len; i++, p = (const void *)((const char *)p + w->pools->size))
		if ((p->subnet && strchr(p->subnet, ':') != NULL) == v6)
			json_array_append_new(a, one_pool(p));
	return a;
}

static json_t *network_request(const struct dkd_net_network *w, json_t *options)
{
	return json_pack("{s:s, s:o, s:o, s:o}", "NetworkID", w->id, "Options", options, "IPv4Data", pools_of(w, 0), "IPv6Data", pools_of(w, 1));
}

/* One that stood before the daemon started is the plugin's to know. */
static int32_t remote_create_network(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_network *w)
{
	if (w->flags & DKD_NET_RESTORED)
		return 0;
	return tell(call, n, "NetworkDriver.CreateNetwork", 0, network_request(w, options_of(w)));
}

static int32_t remote_delete_network(const struct dkd_call *call, struct dkd_net *n, const char *network)
{
	return tell(call, n, "NetworkDriver.DeleteNetwork", 0, json_pack("{s:s}", "NetworkID", network));
}

static int emit_new(const struct dkd_call *call, struct dkd_net *n, const json_t *interface, const char *key, const char *name, const char *given,
	dkd_emit_pair *emit, void *to)
{
	const char *value = docker_plugin_text(interface, key);

	if (!value)
		return 0;
	if (given && strcmp(given, value) != 0)
		return dkd_failf(n->host, call, DKD_ERR_INTERNAL, 0, "remote: plugin %s returned an endpoint with %s %.64s, which was %.64s already",
			docker_plugin_name(n->plugin), key, value, given);
	if (!given)
		emit(to, name, value);
	return 0;
}

static int32_t remote_create_endpoint(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_endpoint *ep, dkd_emit_pair *emit, void *to)
{
	const char *ipv4 = ep->ipv4 ? ep->ipv4 : "", *ipv6 = ep->ipv6 ? ep->ipv6 : "", *mac = ep->mac ? ep->mac : "";
	const json_t *interface;
	json_t *answer;
	int rc;

	if (ep->flags & DKD_NET_RESTORED)
		return 0;
	rc = docker_plugin_call(n->plugin, call, "NetworkDriver.CreateEndpoint", 0, json_pack("{s:s, s:s, s:o, s:{s:s, s:s, s:s}}", "NetworkID", ep->network,
		"EndpointID", ep->id, "Options", docker_plugin_pairs(ep->options, ep->options_len), "Interface", "Address", ipv4, "AddressIPv6", ipv6,
		"MacAddress", mac), &answer);
	if (rc < 0)
		return -1;
	interface = docker_plugin_member(answer, "Interface");
	rc = emit_new(call, n, interface, "MacAddress", "mac", ep->mac, emit, to) < 0 || emit_new(call, n, interface, "Address", "ipv4", ep->ipv4, emit, to) < 0 ||
		emit_new(call, n, interface, "AddressIPv6", "ipv6", ep->ipv6, emit, to) < 0 ? -1 : 0;
	json_decref(answer);
	return rc;
}

static json_t *ids(const char *network, const char *endpoint)
{
	return json_pack("{s:s, s:s}", "NetworkID", network, "EndpointID", endpoint);
}

static int32_t remote_delete_endpoint(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint)
{
	return tell(call, n, "NetworkDriver.DeleteEndpoint", 0, ids(network, endpoint));
}

struct info_to { dkd_emit_pair *emit; void *to; };

/* The word "interface" is the daemon's: it would keep the address. */
static int32_t emit_info(void *ctx, const char *key, const char *value)
{
	const struct info_to *i = ctx;

	return strcmp(key, "interface") == 0 ? 0 : i->emit(i->to, key, value);
}

static int32_t remote_oper_info(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint, dkd_emit_pair *emit, void *to)
{
	struct info_to filter = { emit, to };
	json_t *answer;

	if (docker_plugin_call(n->plugin, call, "NetworkDriver.EndpointOperInfo", 0, ids(network, endpoint), &answer) < 0)
		return -1;
	docker_plugin_emit(docker_plugin_member(answer, "Value"), emit_info, &filter);
	json_decref(answer);
	return 0;
}

static uint32_t read_routes(const json_t *answer, struct dkd_net_route routes[ROUTES_MAX])
{
	uint32_t len = 0;
	json_t *r;
	size_t i;

	json_array_foreach(docker_plugin_member(answer, "StaticRoutes"), i, r) {
		const char *destination = docker_plugin_text(r, "Destination");

		if (destination && len < ROUTES_MAX)
			routes[len++] = (struct dkd_net_route){ destination,
				json_integer_value(docker_plugin_member(r, "RouteType")) == CONNECTED_ROUTE ? NULL : docker_plugin_text(r, "NextHop") };
	}
	return len;
}

static int32_t remote_join(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_join *j, dkd_emit_joined *emit, void *to)
{
	struct dkd_net_route routes[ROUTES_MAX];
	struct dkd_net_joined done = { .size = sizeof(done), .routes = routes };
	const json_t *interface;
	json_t *answer;

	if (j->flags & DKD_NET_RESTORED)
		return 0;
	if (docker_plugin_call(n->plugin, call, "NetworkDriver.Join", 0, json_pack("{s:s, s:s, s:s, s:o}", "NetworkID", j->network, "EndpointID", j->endpoint,
	    "SandboxKey", j->sandbox ? j->sandbox : "", "Options", docker_plugin_pairs(j->options, j->options_len)), &answer) < 0)
		return -1;
	interface = docker_plugin_member(answer, "InterfaceName");
	done.interface_name = docker_plugin_text(interface, "SrcName");
	done.interface_prefix = docker_plugin_text(interface, "DstPrefix");
	done.interface_wanted = docker_plugin_text(interface, "DstName");
	done.gateway4 = docker_plugin_text(answer, "Gateway");
	done.gateway6 = docker_plugin_text(answer, "GatewayIPv6");
	done.routes_len = read_routes(answer, routes);
	if (json_is_true(docker_plugin_member(answer, "DisableGatewayService")) && !done.gateway4 && !done.gateway6)
		done.flags = DKD_NET_NO_GATEWAY;
	emit(to, &done);
	json_decref(answer);
	return 0;
}

static int32_t remote_leave(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint)
{
	return tell(call, n, "NetworkDriver.Leave", 0, ids(network, endpoint));
}

static json_t *portmap(const struct dkd_net_publish *w)
{
	const struct dkd_net_port *p = w->ports;
	json_t *a = json_array();

	for (uint32_t i = 0; i < w->ports_len; i++, p = (const void *)((const char *)p + w->ports->size))
		for (uint32_t k = 0; k < p->count; k++) {
			int host = p->host_port ? (int)(p->host_port + k) : 0;

			json_array_append_new(a, json_pack("{s:i, s:s, s:i, s:s, s:i, s:i}", "Proto", (int)p->proto, "IP", "", "Port", (int)(p->port + k),
				"HostIP", p->host_ip ? p->host_ip : "", "HostPort", host, "HostPortEnd", host));
		}
	return a;
}

/* Plugins of the first days know no such method. */
static int32_t remote_program_ports(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_publish *w)
{
	json_t *request = ids(w->network, w->endpoint);

	json_object_set_new(request, "Options", json_pack("{s:o}", PORTMAP, portmap(w)));
	return tell(call, n, "NetworkDriver.ProgramExternalConnectivity", 1, request);
}

static int32_t remote_revoke_ports(const struct dkd_call *call, struct dkd_net *n, const char *network, const char *endpoint)
{
	return tell(call, n, "NetworkDriver.RevokeExternalConnectivity", 1, ids(network, endpoint));
}

static int32_t remote_allocate(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_network *w, dkd_emit_pair *emit, void *to)
{
	json_t *answer, *value;
	const char *key;
	int rc = docker_plugin_call(n->plugin, call, "NetworkDriver.AllocateNetwork", 1, network_request(w, generic(w)), &answer);

	json_object_foreach(docker_plugin_member(answer, "Options"), key, value)
		if (json_is_string(value))
			emit(to, key, json_string_value(value));
	json_decref(answer);
	return rc < 0 ? -1 : 0;
}

static int32_t remote_free(const struct dkd_call *call, struct dkd_net *n, const char *network)
{
	return tell(call, n, "NetworkDriver.FreeNetwork", 1, json_pack("{s:s}", "NetworkID", network));
}

static int32_t remote_skip_gateway(const struct dkd_call *call, struct dkd_net *n, const struct dkd_net_network *w)
{
	json_t *answer;
	int rc, skip;

	if (!n->skip_gateway)
		return 0;
	rc = docker_plugin_call(n->plugin, call, "NetworkDriver.GwAllocCheck", 1, json_pack("{s:o}", "Options", options_of(w)), &answer);
	skip = rc == 0 && json_is_true(docker_plugin_member(answer, w->flags & DKD_NET_IPV6 && !(w->flags & DKD_NET_IPV4) ? "SkipIPv6" : "SkipIPv4"));
	json_decref(answer);
	return rc < 0 ? -1 : skip;
}

static int32_t discover(const struct dkd_call *call, struct dkd_net *n, const char *method, const char *type, const struct dkd_pair *data, uint32_t len)
{
	const char *address = "", *self = "";

	if (strcmp(type, "node") != 0)
		return 0;
	for (uint32_t i = 0; i < len; i++) {
		address = strcmp(data[i].key, "address") == 0 ? data[i].value : address;
		self = strcmp(data[i].key, "self") == 0 ? data[i].value : self;
	}
	return tell(call, n, method, 1, json_pack("{s:i, s:{s:s, s:s, s:b}}", "DiscoveryType", NODE_DISCOVERY, "DiscoveryData", "Address", address, "BindAddress",
		address, "Self", strcmp(self, "true") == 0));
}

static int32_t remote_discover_new(const struct dkd_call *call, struct dkd_net *n, const char *type, const struct dkd_pair *data, uint32_t len)
{
	return discover(call, n, "NetworkDriver.DiscoverNew", type, data, len);
}

static int32_t remote_discover_delete(const struct dkd_call *call, struct dkd_net *n, const char *type, const struct dkd_pair *data, uint32_t len)
{
	return discover(call, n, "NetworkDriver.DiscoverDelete", type, data, len);
}

static const struct dkd_net_ops ops = {
	.open = remote_open,
	.close = remote_close,
	.capabilities = remote_capabilities,
	.create_network = remote_create_network,
	.delete_network = remote_delete_network,
	.create_endpoint = remote_create_endpoint,
	.delete_endpoint = remote_delete_endpoint,
	.oper_info = remote_oper_info,
	.join = remote_join,
	.leave = remote_leave,
	.program_ports = remote_program_ports,
	.revoke_ports = remote_revoke_ports,
	.allocate_network = remote_allocate,
	.free_network = remote_free,
	.skip_gateway = remote_skip_gateway,
	.discover_new = remote_discover_new,
	.discover_delete = remote_discover_delete,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
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
