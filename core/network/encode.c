/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A network as the API shows it. */
#include "network/net_i.h"

/* One container of Containers. */
struct attached {
	char *container, *name;
	struct net_endpoint ep;
};

static int by_container(const void *a, const void *b)
{
	return strcmp(((const struct attached *)a)->container, ((const struct attached *)b)->container);
}

/* Copies, so that the names can be asked for with no lock held. */
static size_t collect(struct net_controller *nc, const struct network *n, struct attached **ret)
{
	struct attached *v = NULL;
	net_name_fn *name_of;
	void *ctx;
	size_t len = 0;

	lock_take(&nc->lock);
	name_of = nc->name_of;
	ctx = nc->name_ctx;
	for (const struct net_box *b = nc->boxes; b; b = b->next) {
		const struct net_endpoint *ep = net_box_endpoint(b, n->id);

		if (!ep)
			continue;
		v = xrealloc(v, (len + 1) * sizeof(*v));
		v[len] = (struct attached){ .container = xstrdup(b->container) };
		net_endpoint_copy(&v[len++].ep, ep);
	}
	lock_drop(&nc->lock);
	for (size_t i = 0; i < len; i++) {
		if (v[i].ep.way_out)
			v[i].name = xasprintf("gateway_%.12s", v[i].container);
		else
			v[i].name = name_of ? name_of(ctx, v[i].container) : NULL;
	}
	if (len)
		qsort(v, len, sizeof(*v), by_container);
	*ret = v;
	return len;
}

static void encode_containers(struct net_controller *nc, const struct network *n, struct jw *w)
{
	struct attached *v;
	size_t len = collect(nc, n, &v);

	for (size_t i = 0; i < len; i++) {
		jw_kobj(w, v[i].container);
		jw_kstr(w, "Name", v[i].name);
		jw_kstr(w, "EndpointID", v[i].ep.id);
		jw_kstr(w, "MacAddress", v[i].ep.mac);
		jw_kstr(w, "IPv4Address", v[i].ep.ipv4);
		jw_kstr(w, "IPv6Address", v[i].ep.ipv6);
		jw_obj_end(w);
		net_endpoint_done(&v[i].ep);
		free(v[i].container);
		free(v[i].name);
	}
	free(v);
}

static void encode_ipam(const struct network *n, struct jw *w)
{
	jw_kobj(w, "IPAM");
	jw_kstr(w, "Driver", n->ipam_driver);
	jw_kstrmap(w, "Options", &n->ipam_options);
	jw_karr(w, "Config");
	for (size_t i = 0; i < n->pools_len; i++) {
		jw_obj(w);
		jw_kstr(w, "Subnet", n->pools[i].subnet);
		if (!str_empty(n->pools[i].range))
			jw_kstr(w, "IPRange", n->pools[i].range);
		if (!str_empty(n->pools[i].gateway))
			jw_kstr(w, "Gateway", n->pools[i].gateway);
		if (n->pools[i].aux.len)
			jw_kstrmap(w, "AuxiliaryAddresses", &n->pools[i].aux);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	jw_obj_end(w);
}

static void encode_figures(void *ctx, const char *subnet, uint64_t used, uint64_t left)
{
	struct jw *w = ctx;

	jw_kobj(w, subnet);
	jw_key(w, "IPsInUse");
	jw_uint(w, used);
	jw_key(w, "DynamicIPsAvailable");
	jw_uint(w, left);
	jw_obj_end(w);
}

static void encode_status(struct net_controller *nc, const struct network *n, struct jw *w)
{
	jw_kobj(w, "Status");
	jw_kobj(w, "IPAM");
	jw_kobj(w, "Subnets");
	net_figures(nc, n, encode_figures, w);
	jw_obj_end(w);
	jw_obj_end(w);
	jw_obj_end(w);
}

void net_encode(struct net_controller *nc, const struct network *n, bool containers, int api_minor, struct jw *w)
{
	jw_obj(w);
	jw_kstr(w, "Name", n->name);
	jw_kstr(w, "Id", n->id);
	jw_ktime(w, "Created", n->created);
	jw_kstr(w, "Scope", n->scope);
	jw_kstr(w, "Driver", n->driver);
	if (api_minor >= 48)
		jw_kbool(w, "EnableIPv4", n->enable_ipv4);
	jw_kbool(w, "EnableIPv6", n->enable_ipv6);
	encode_ipam(n, w);
	jw_kbool(w, "Internal", n->internal);
	jw_kbool(w, "Attachable", n->attachable);
	jw_kbool(w, "Ingress", n->ingress);
	jw_kobj(w, "ConfigFrom");
	jw_kstr(w, "Network", n->config_from);
	jw_obj_end(w);
	jw_kbool(w, "ConfigOnly", n->config_only);
	/* the items of a list have none since 1.52 */
	if (containers || api_minor < 52) {
		jw_kobj(w, "Containers");
		if (containers)
			encode_containers(nc, n, w);
		jw_obj_end(w);
	}
	jw_kstrmap(w, "Options", &n->options);
	jw_kstrmap(w, "Labels", &n->labels);
	if (containers && api_minor >= 52)
		encode_status(nc, n, w);
	jw_obj_end(w);
}
