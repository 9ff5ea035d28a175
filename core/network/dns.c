/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The embedded DNS: which names a sandbox has on its users' networks, told to dockerd-netd, which answers. */
#include "base/log.h"
#include "network/net_i.h"
#include "network/netd.h"

bool net_has_names(const struct net_endpoint *ep)
{
	return ep->network && !ep->way_out && !net_is_predefined(ep->network);
}

bool net_box_named(const struct net_box *b)
{
	for (size_t i = 0; i < b->eps_len; i++)
		if (net_has_names(&b->eps[i]))
			return true;
	return false;
}

/* A name is looked for first where the default route is, and so on. */
static int by_rank(const void *a, const void *b)
{
	const struct net_endpoint *x = *(const struct net_endpoint *const *)a, *y = *(const struct net_endpoint *const *)b;

	if (x->priority != y->priority)
		return x->priority > y->priority ? -1 : 1;
	return strcmp(x->network, y->network);
}

static void net_fill(struct net_controller *nc, const struct net_endpoint *ep, struct netd_net *ret)
{
	struct network *n = net_find(nc, ep->network_id, NULL);

	*ret = (struct netd_net){
		.id = ep->network_id, .name = ep->network, .ipv4 = cidr_plain_dup(ep->ipv4), .ipv6 = cidr_plain_dup(ep->ipv6), .names = &ep->names,
		.internal = n && n->internal,
	};
	network_unref(n);
}

int net_dns_feed(struct net_controller *nc, const struct net_box *b, struct err *err)
{
	OWN_FREE const struct net_endpoint **v = xcalloc(b->eps_len + 1, sizeof(*v));
	OWN_FREE struct netd_net *nets = xcalloc(b->eps_len + 1, sizeof(*nets));
	OWN_FREE char *path = b->host ? NULL : net_box_path(nc->exec_root, b);
	OWN_STRMAP struct strmap links = { 0 };
	struct netd_sandbox sb = { .id = b->container, .netns_path = path, .nets = nets, .links = &links, .servers = &b->servers, .search = &b->search };
	int rc;

	if (!nc->netd)
		return 0;
	for (size_t i = 0; i < b->eps_len; i++)
		if (net_has_names(&b->eps[i]))
			v[sb.nets_len++] = &b->eps[i];
	if (!sb.nets_len)
		return 0;
	qsort(v, sb.nets_len, sizeof(*v), by_rank);
	for (size_t i = 0; i < sb.nets_len; i++) {
		net_fill(nc, v[i], &nets[i]);
		for (size_t j = 0; j < v[i]->links.len; j++)
			if (!strmap_get(&links, v[i]->links.v[j].key))
				strmap_set(&links, v[i]->links.v[j].key, v[i]->links.v[j].value);
	}
	rc = netd_sandbox(nc->netd, &sb, err);
	for (size_t i = 0; i < sb.nets_len; i++) {
		free((void *)nets[i].ipv4);
		free((void *)nets[i].ipv6);
	}
	return rc;
}

void net_dns_drop(struct net_controller *nc, const struct net_box *b)
{
	OWN_ERR struct err err = ERR_INIT;

	if (nc->netd && net_box_named(b) && netd_sandbox_drop(nc->netd, b->container, &err) < 0)
		log_warn("%s", err_text(&err));
}

static bool replace_name(struct strv *names, const char *from, const char *to)
{
	bool found = false;

	for (size_t i = 0; i < names->len; i++) {
		if (!streq(names->v[i], from))
			continue;
		str_set(&names->v[i], to);
		found = true;
	}
	return found;
}

static bool replace_target(struct strmap *links, const char *from, const char *to)
{
	bool found = false;

	for (size_t i = 0; i < links->len; i++) {
		if (!streq(links->v[i].value, from))
			continue;
		str_set(&links->v[i].value, to);
		found = true;
	}
	return found;
}

static bool rename_in(struct net_box *b, bool own, const char *from, const char *to)
{
	bool changed = false;

	for (size_t i = 0; i < b->eps_len; i++) {
		changed |= own && replace_name(&b->eps[i].names, from, to);
		changed |= replace_target(&b->eps[i].links, from, to);
	}
	return changed;
}

/* Containers whose sandboxes speak of that name. */
static void concerned(struct net_controller *nc, const char *container_id, const char *name, struct strv *ret)
{
	WITH_LOCK(&nc->lock);

	for (const struct net_box *b = nc->boxes; b; b = b->next) {
		bool found = streq(b->container, container_id);

		for (size_t i = 0; i < b->eps_len && !found; i++)
			for (size_t j = 0; j < b->eps[i].links.len && !found; j++)
				found = streq(b->eps[i].links.v[j].value, name);
		if (found)
			strv_add(ret, b->container);
	}
}

int sandbox_rename(struct net_controller *nc, const char *container_id, const char *from, const char *to)
{
	OWN_ERR struct err first = ERR_INIT;
	OWN_STRV struct strv ids = { 0 };

	concerned(nc, container_id, from, &ids);
	for (size_t i = 0; i < ids.len; i++) {
		struct net_box *b = net_box_take(nc, ids.v[i], NULL);
		struct err *e = first.msg ? NULL : &first;
		bool changed;

		if (!b)
			continue;
		changed = rename_in(b, streq(ids.v[i], container_id), from, to);
		if (changed && net_box_write(nc->exec_root, b, e) == 0)
			net_dns_feed(nc, b, e);
		net_box_put(nc, b, changed);
	}
	if (first.msg)
		log_warn("container %.12s: its names: %s", container_id, err_text(&first));
	return first.msg ? -1 : 0;
}
