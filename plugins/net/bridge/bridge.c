/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Network driver "bridge": a bridge of the kernel's, a veth pair for each container, and rules for what goes through.
 * A bridge and its rules outlive the daemon: running containers go on with them. delete_network removes both.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"
#include "mac.h"

#define PORT_PREFIX "veth"
#define PORT_DIGITS 11 /* with the prefix all that a name can hold */

static int32_t bridge_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_net_open *open,
	struct dkd_net **ret)
{
	struct dkd_net *n = calloc(1, sizeof(*n));

	(void)open;
	if (!n)
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	n->host = host;
	pthread_mutex_init(&n->rules, NULL);
	pthread_mutex_init(&n->lock, NULL);
	*ret = n;
	return 0;
}

void net_free(struct br_net *n)
{
	if (n)
		ports_free_all(n);
	free(n);
}

static void bridge_close(struct dkd_net *d)
{
	watch_stop(d->watch);
	for (struct br_net *n = d->nets, *next; n; n = next) {
		next = n->next;
		net_free(n);
	}
	pthread_mutex_destroy(&d->lock);
	pthread_mutex_destroy(&d->rules);
	free(d);
}

static int32_t bridge_capabilities(const struct dkd_call *call, struct dkd_net *d, struct dkd_net_caps *ret)
{
	(void)call;
	(void)d;
	ret->scope = DKD_NET_SCOPE_LOCAL;
	ret->connectivity = DKD_NET_SCOPE_LOCAL;
	ret->flags = 0;
	return 0;
}

static int32_t bridge_create_endpoint(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_endpoint *ep,
	dkd_emit_pair *emit, void *to)
{
	unsigned char mac[6];
	struct br_rate rate;
	struct br_error e;
	struct br_net n;
	char text[MAC_TEXT];

	if (net_get(d, ep->network, &n) < 0)
		return net_unknown(d, call, ep->network);
	if (ep->mac && mac_parse(ep->mac, mac) < 0)
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "invalid MAC address: %.32s", ep->mac);
	if (rate_read(ep->options, ep->options_len, &rate, &e) < 0 || ep_set_sources(d, ep, &e) < 0)
		return net_say(d, call, &e);
	if (ep->mac)
		return 0;
	if (mac_make(ep->ipv4, text) < 0)
		return dkd_failf(d->host, call, DKD_ERR_INTERNAL, 0, "no random numbers for a MAC address");
	emit(to, "mac", text);
	return 0;
}

void ep_port_name(const char *endpoint, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, PORT_PREFIX "%.*s", PORT_DIGITS, endpoint);
}

static int32_t bridge_delete_endpoint(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint)
{
	struct br_error e = { 0 };

	return ep_forget(d, network, endpoint, &e) < 0 ? net_say(d, call, &e) : 0;
}

/* The port itself goes with its namespace. */
static int32_t bridge_leave(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint)
{
	struct br_error e = { 0 };
	char name[IFNAMSIZ];

	ep_port_name(endpoint, name);
	if (rate_drop(name, &e) < 0)
		return net_say(d, call, &e);
	return bridge_delete_endpoint(call, d, network, endpoint);
}

/* A bridge that somebody deleted comes back with the next container, as far as it is the driver's to make. */
static int find_bridge(struct dkd_net *d, const struct br_net *n, struct br_error *e)
{
	struct br_net *own;
	int rc;

	if (if_nametoindex(n->bridge))
		return 0;
	pthread_mutex_lock(&d->rules);
	own = *net_find(d, n->id);
	rc = own && (net_setup(d, own, 0, e) < 0 || link_attach_all(own, e) < 0) ? -1 : 0;
	for (const struct br_endpoint *ep = own ? own->endpoints : NULL; ep && rc == 0; ep = ep->next)
		rc = ep_answer_for_neighbours(own, ep, e);
	pthread_mutex_unlock(&d->rules);
	if (rc == 0)
		dkd_logf(d->host, DKD_LOG_WARN, "bridge %s was gone: it is made anew", n->bridge);
	return rc;
}

/* One that is there already is put back into its bridge at most: it stands as long as its namespace. */
static int wire(struct dkd_net *d, const struct br_net *n, const struct dkd_net_join *j, const char *name, struct br_error *e)
{
	struct br_error ignored;
	struct br_rate rate;

	if (j->flags & DKD_NET_RESTORED)
		return link_attach(n, name, e);
	if (j->sandbox_fd < 0)
		return br_refuse(e, DKD_ERR_INVALID, "a bridge network needs a network namespace");
	if (rate_read(j->options, j->options_len, &rate, e) < 0 || find_bridge(d, n, e) < 0 ||
	    link_veth(n, name, j->sandbox_fd, e) < 0)
		return -1;
	if (!rate.in && !rate.out)
		return 0;
	if (rate_set(n, name, &rate, e) == 0)
		return 0;
	rate_drop(name, &ignored);
	link_delete(name, &ignored);
	return -1;
}

/* The pair's far end keeps the port's name: the daemon renames it and gives it addresses, MAC and routes. */
static int32_t bridge_join(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_join *j,
	dkd_emit_joined *emit, void *to)
{
	struct dkd_net_joined done = { .size = sizeof(done), .in_sandbox = 1 };
	char name[IFNAMSIZ], gateway[FAMILIES][48];
	struct br_error e = { 0 };
	struct br_net n;

	if (net_get(d, j->network, &n) < 0)
		return net_unknown(d, call, j->network);
	ep_port_name(j->endpoint, name);
	if (wire(d, &n, j, name, &e) < 0)
		return net_say(d, call, &e);
	if (j->flags & DKD_NET_RESTORED)
		return 0;
	done.interface_name = name;
	done.interface_prefix = n.prefix;
	if (n.internal) {
		done.flags = DKD_NET_NO_GATEWAY;
	} else {
		done.gateway4 = n.f[V4].on ? ip_text(&n.f[V4].router, gateway[V4]) : NULL;
		done.gateway6 = n.f[V6].on ? ip_text(&n.f[V6].router, gateway[V6]) : NULL;
	}
	emit(to, &done);
	return 0;
}

/* "interface" while the endpoint's port stands: the kernel takes it down some time after its namespace. */
static int32_t bridge_oper_info(const struct dkd_call *call, struct dkd_net *d, const char *network, const char *endpoint,
	dkd_emit_pair *emit, void *to)
{
	char name[IFNAMSIZ];

	(void)call;
	(void)d;
	(void)network;
	ep_port_name(endpoint, name);
	if (if_nametoindex(name))
		emit(to, "interface", name);
	return 0;
}

struct owners {
	const char *const *endpoints;
	uint32_t len;
};

static int is_nobodys(void *ctx, const char *name)
{
	const struct owners *o = ctx;
	char owned[IFNAMSIZ];

	if (strncmp(name, PORT_PREFIX, strlen(PORT_PREFIX)) != 0 || strlen(name) != strlen(PORT_PREFIX) + PORT_DIGITS ||
	    strspn(name + strlen(PORT_PREFIX), "0123456789abcdef") != PORT_DIGITS)
		return 0;
	for (uint32_t i = 0; i < o->len; i++) {
		ep_port_name(o->endpoints[i], owned);
		if (strcmp(name, owned) == 0)
			return 0;
	}
	return 1;
}

/* Also the ports that an earlier daemon published for endpoints that are no more. */
static int32_t bridge_sweep(const struct dkd_call *call, struct dkd_net *d, const char *const *endpoints, uint32_t endpoints_len)
{
	struct owners owners = { endpoints, endpoints_len };
	struct br_error e = { 0 };
	int rc;

	pthread_mutex_lock(&d->rules);
	rc = link_sweep(d->nets, is_nobodys, &owners, &e);
	for (const struct br_net *n = d->nets; n; n = n->next)
		if (br_has_rules(n) && !fw_stands(n) && fw_write(n, &e) < 0)
			rc = -1;
	pthread_mutex_unlock(&d->rules);
	return rc < 0 ? net_say(d, call, &e) : 0;
}

static const struct dkd_net_ops ops = {
	.open = bridge_open,
	.close = bridge_close,
	.capabilities = bridge_capabilities,
	.create_network = bridge_create_network,
	.delete_network = bridge_delete_network,
	.create_endpoint = bridge_create_endpoint,
	.delete_endpoint = bridge_delete_endpoint,
	.oper_info = bridge_oper_info,
	.join = bridge_join,
	.leave = bridge_leave,
	.program_ports = bridge_program_ports,
	.revoke_ports = bridge_revoke_ports,
	.skip_gateway = bridge_skip_gateway,
	.known_options = bridge_known_options,
	.sweep = bridge_sweep,
	.program_links = bridge_program_links,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_NET,
	.abi_major = DKD_NET_MAJOR,
	.abi_minor = DKD_NET_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "bridge",
	.version = "1.0",
	.ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
