/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bringing the store in line with this host, whenever it is back. */
#include "base/log.h"
#include "network/cluster_i.h"

/* Endpoints of this host on networks of the cluster, and whose containers they are. */
static size_t local_endpoints(struct net_controller *nc, struct net_endpoint **ret, struct strv *containers)
{
	struct net_endpoint *v = NULL;
	struct net_entry *e;
	size_t len = 0;
	WITH_LOCK(&nc->lock);

	for (const struct net_box *b = nc->boxes; b; b = b->next)
		for (size_t i = 0; i < b->eps_len; i++) {
			e = net_entry_find(nc, b->eps[i].network_id);
			if (!e || !network_is_global(e->n))
				continue;
			v = xrealloc(v, (len + 1) * sizeof(*v));
			net_endpoint_copy(&v[len++], &b->eps[i]);
			strv_add(containers, b->container);
		}
	*ret = v;
	return len;
}

static bool is_mine(struct net_cluster *c, const char *id)
{
	WITH_LOCK(&c->lock);
	return strv_contains(&c->mine, id);
}

/* Entries of this host whose containers are gone. */
static void collect_stale(struct net_cluster *c, struct strv *keys)
{
	OWN_STRMAP struct strmap endpoints = { 0 }, addresses = { 0 };
	OWN_STRV struct strv dead = { 0 };

	lock_take(&c->lock);
	mirror_list(&c->mirror, "endpoint/", &endpoints);
	mirror_list(&c->mirror, "address/", &addresses);
	lock_drop(&c->lock);
	for (size_t i = 0; i < endpoints.len; i++) {
		struct cluster_place p = { 0 };
		char id[ID_HEX + 1];
		const char *ep;

		if (cluster_split_key(endpoints.v[i].key, "endpoint/", id, &ep) && jdesc_parse(&cluster_place_desc, endpoints.v[i].value, strlen(endpoints.v[i].value), &p, NULL) == 0 &&
		    streq(p.host, c->address) && !is_mine(c, ep)) {
			strv_add(keys, endpoints.v[i].key);
			strv_add(&dead, ep);
		}
		jdesc_clear(&cluster_place_desc, &p);
	}
	for (size_t i = 0; i < addresses.len; i++)
		if (strv_contains(&dead, addresses.v[i].value))
			strv_add(keys, addresses.v[i].key);
}

/* A network that the store has lost, with containers of this host on it, is entered anew. */
static void enter_again(struct net_cluster *c, const struct network *n)
{
	OWN_FREE char *key = xasprintf("network/%s", n->id), *text = NULL, *name = NULL;
	OWN_STRMAP struct strmap pairs = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	bool there;

	lock_take(&c->lock);
	there = mirror_get(&c->mirror, key) != NULL;
	lock_drop(&c->lock);
	if (there)
		return;
	text = network_to_text(n);
	name = xasprintf("name/%s", n->name);
	strmap_set(&pairs, key, text);
	strmap_set(&pairs, name, n->id);
	if (kv_create(c->kv, &pairs, &err) < 0 && err.class != ERR_CONFLICT)
		log_warn("network %s in the cluster store: %s", n->name, err_text(&err));
}

/* Networks that others removed while this host could not hear it, or did not run. */
static void drop_lost(struct net_cluster *c)
{
	struct network **v;
	size_t len = net_list(c->nc, &v);

	for (size_t i = 0; i < len; i++) {
		OWN_FREE char *key = xasprintf("network/%s", v[i]->id);
		bool there;

		lock_take(&c->lock);
		there = mirror_get(&c->mirror, key) != NULL;
		lock_drop(&c->lock);
		if (!there && kv_is_up(c->kv))
			cluster_network_went(c, v[i]->id);
	}
	net_list_free(v, len);
}

/* dockerd-netd was told, when the sandboxes were adopted, to forget whom it does not know. */
void cluster_tell_all(struct net_cluster *c)
{
	struct network **v;
	size_t len = net_list(c->nc, &v);

	for (size_t i = 0; i < len; i++)
		if (network_is_global(v[i]))
			cluster_tell_network(c, v[i]->id);
	net_list_free(v, len);
}

void cluster_mend(struct net_cluster *c)
{
	OWN_STRV struct strv containers = { 0 }, stale = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct net_endpoint *v;
	size_t len = local_endpoints(c->nc, &v, &containers);

	for (size_t i = 0; i < len; i++) {
		OWN_NETWORK struct network *n = cluster_network(c->nc, v[i].network_id);

		if (n)
			enter_again(c, n);
		net_cluster_take(c, &v[i], NULL);
		net_cluster_arrived(c, &v[i], containers.v[i]);
	}
	collect_stale(c, &stale);
	if (stale.len && kv_delete(c->kv, &stale, &err) < 0)
		log_warn("%s", err_text(&err));
	drop_lost(c);
	for (size_t i = 0; i < len; i++)
		net_endpoint_done(&v[i]);
	free(v);
}
