/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The other half of docker.c: networks made here go into Docker's database, and those that were removed here out of it, so that the
 * engine that has the data-root next finds them: bridges, macvlan, ipvlan and configurations. What Docker 20.10 cannot have stays out.
 */
#include "base/bolt.h"
#include "base/log.h"
#include "network/cidr.h"
#include "network/net_i.h"

struct sharing {
	struct net_controller *nc;
	struct strv removed, there; /* ids */
	struct bolt_pairs pairs;
};

static void sharing_done(struct sharing *s)
{
	strv_done(&s->removed);
	strv_done(&s->there);
	bolt_pairs_done(&s->pairs);
}

/* Subnets of one family that another engine can have: at most so many, and each with a gateway. */
static bool can_share_pools(const struct network *n, bool ipv6, bool wanted, size_t most)
{
	size_t count = 0;

	for (size_t i = 0; i < n->pools_len; i++)
		if ((strchr(n->pools[i].subnet, ':') != NULL) == ipv6) {
			count++;
			if (str_empty(n->pools[i].gateway))
				return false;
		}
	return wanted ? count > 0 && count <= most : count == 0;
}

/* Whether the other engine can have such a network. */
static bool can_share(const struct network *n)
{
	size_t most = streq(n->driver, "bridge") ? 1 : SIZE_MAX;

	if (!streq(n->scope, "local") || n->ingress || net_is_predefined(n->name))
		return false;
	if (n->config_only)
		return true;
	return net_docker_has_driver(n) && streq(n->ipam_driver, "default") && n->enable_ipv4 && can_share_pools(n, false, true, most) &&
	       can_share_pools(n, true, n->enable_ipv6, most);
}

static void put_config(struct jw *w, const struct net_pool *p)
{
	jw_obj(w);
	jw_kstr(w, "PreferredPool", p->subnet);
	jw_kstr(w, "SubPool", p->range);
	jw_kstr(w, "Gateway", p->gateway);
	jw_kstrmap(w, "AuxAddresses", &p->aux);
	jw_obj_end(w);
}

static void put_info(struct jw *w, const struct net_pool *p)
{
	OWN_FREE char *gateway = net_docker_address(p->gateway, p->subnet);
	OWN_FREE char *id = xasprintf("LocalDefault/%s%s%s", p->subnet, p->range ? "/" : "", p->range ? p->range : "");
	OWN_BUF struct buf text = { 0 };
	struct jw data;

	jw_init(&data, &text);
	jw_obj(&data);
	jw_kstr(&data, "AddressSpace", "LocalDefault");
	if (p->aux.len) {
		jw_kobj(&data, "AuxAddresses");
		for (size_t i = 0; i < p->aux.len; i++) {
			OWN_FREE char *address = net_docker_address(p->aux.v[i].value, p->subnet);

			jw_kstr(&data, p->aux.v[i].key, address);
		}
		jw_obj_end(&data);
	}
	jw_kstr(&data, "Gateway", gateway);
	jw_kstr(&data, "Pool", p->subnet);
	jw_obj_end(&data);
	jw_obj(w);
	jw_kstr(w, "IPAMData", text.data);
	jw_kstr(w, "PoolID", id);
	jw_obj_end(w);
}

/* A list of JSON within a string; none where the network has no subnet of the family. */
static void put_pools(struct jw *w, const struct network *n, const char *key, bool ipv6, void (*put)(struct jw *w, const struct net_pool *p))
{
	OWN_BUF struct buf text = { 0 };
	struct jw list;
	bool any = false;

	jw_init(&list, &text);
	jw_arr(&list);
	for (size_t i = 0; i < n->pools_len; i++)
		if ((strchr(n->pools[i].subnet, ':') != NULL) == ipv6) {
			put(&list, &n->pools[i]);
			any = true;
		}
	jw_arr_end(&list);
	if (any)
		jw_kstr(w, key, text.data);
}

static void put_map(struct jw *w, const char *key, const struct strmap *m)
{
	if (m->len)
		jw_kstrmap(w, key, m);
	else
		jw_kraw(w, key, "{}");
}

static void put_network(struct jw *w, const struct network *n)
{
	jw_obj(w);
	jw_kstr(w, "addrSpace", n->config_only ? "" : "LocalDefault");
	jw_kbool(w, "attachable", n->attachable);
	jw_kstr(w, "configFrom", n->config_from);
	jw_kbool(w, "configOnly", n->config_only);
	jw_ktime(w, "created", n->created);
	jw_kbool(w, "enableIPv6", n->enable_ipv6);
	jw_kobj(w, "generic");
	jw_kbool(w, "com.docker.network.enable_ipv6", n->enable_ipv6);
	put_map(w, "com.docker.network.generic", &n->options);
	if (n->internal)
		jw_kbool(w, "com.docker.network.internal", true);
	jw_obj_end(w);
	jw_kstr(w, "id", n->id);
	jw_kbool(w, "inDelete", false);
	jw_kbool(w, "ingress", false);
	jw_kbool(w, "internal", n->internal);
	put_map(w, "ipamOptions", &n->ipam_options);
	jw_kstr(w, "ipamType", n->ipam_driver);
	put_pools(w, n, "ipamV4Config", false, put_config);
	if (!n->config_only)
		put_pools(w, n, "ipamV4Info", false, put_info);
	put_pools(w, n, "ipamV6Config", true, put_config);
	if (!n->config_only)
		put_pools(w, n, "ipamV6Info", true, put_info);
	put_map(w, "labels", &n->labels);
	jw_kstr(w, "loadBalancerIP", "");
	jw_kstr(w, "loadBalancerMode", "NAT");
	jw_kstr(w, "name", n->name);
	jw_kstr(w, "networkType", n->config_only ? "null" : n->driver);
	jw_kbool(w, "persist", true);
	jw_kbool(w, "postIPv6", false);
	jw_kstr(w, "scope", "local");
	jw_obj_end(w);
}

/* where: the folder among the database's keys. */
static void add(struct sharing *s, const char *where, const struct network *n, void (*put)(struct jw *w, const struct network *n))
{
	OWN_FREE char *key = xasprintf(NET_DOCKER_KEYS "%s/%s/", where, n->id);
	static const char counter[NET_DOCKER_COUNTER] = { 1 };
	OWN_BUF struct buf value = { 0 };
	struct jw w;

	buf_add(&value, counter, sizeof(counter));
	jw_init(&w, &value);
	put(&w, n);
	bolt_pairs_add(&s->pairs, key, strlen(key), value.data, value.size);
}

static void put_count(struct jw *w, const struct network *n)
{
	(void)n;
	jw_raw(w, "{\"Count\":0}");
}

static void add_network(struct sharing *s, const struct network *n)
{
	add(s, "network", n, put_network);
	add(s, "endpoint_count", n, put_count);
	if (!n->config_only)
		add(s, net_docker_driver_folder(n), n, net_docker_put_driver);
	strv_add(&s->there, n->id);
}

/* What is of a network that was removed here goes, all else stays as it is. */
static int keep(void *ctx, const char *key, size_t key_size, const char *value, size_t value_size, struct err *err)
{
	static const char networks[] = NET_DOCKER_KEYS "network/";
	struct sharing *s = ctx;

	(void)err;
	for (size_t i = 0; i < s->removed.len; i++)
		if (memmem(key, key_size, s->removed.v[i], strlen(s->removed.v[i])))
			return 0;
	if (key_size > sizeof(networks) && memcmp(key, networks, sizeof(networks) - 1) == 0)
		strv_take(&s->there, xstrndup(key + sizeof(networks) - 1, key_size - sizeof(networks)));
	bolt_pairs_add(&s->pairs, key, key_size, value, value_size);
	return 0;
}

static int share(struct sharing *s, struct strv *ret_adopted, struct err *err)
{
	struct net_controller *nc = s->nc;
	OWN_FREE char *path = net_docker_path(nc->data_root);
	bool fresh;

	for (size_t i = 0; i < nc->adopted.len; i++)
		if (!net_entry_find(nc, nc->adopted.v[i]))
			strv_add(&s->removed, nc->adopted.v[i]);
	fresh = bolt_each_in(path, NET_DOCKER_MAX, NET_DOCKER_BUCKET, keep, s, err) < 0;
	if (fresh && err->class != ERR_NOT_FOUND)
		return -1;
	err_done(err);
	for (size_t i = 0; i < nc->nets_len; i++) {
		const struct network *n = nc->nets[i]->n;
		bool known = strv_contains(&s->there, n->id);

		if (nc->nets[i]->state == NET_UP && !known && can_share(n))
			add_network(s, n);
		if (strv_contains(&s->there, n->id) && !net_is_predefined(n->name))
			strv_add(ret_adopted, n->id);
	}
	if (!fresh)
		return bolt_update(path, NET_DOCKER_MAX, NET_DOCKER_BUCKET, &s->pairs, err);
	if (!s->pairs.len)
		return 0;
	return net_docker_folder(nc->data_root, err) < 0 ? -1 : bolt_make(path, NET_DOCKER_BUCKET, &s->pairs, err);
}

static bool same(const struct strv *a, const struct strv *b)
{
	for (size_t i = 0; i < a->len; i++)
		if (!strv_contains(b, a->v[i]))
			return false;
	return a->len == b->len;
}

/* Docker's database first: one that is only noted as shared would be taken for removed there. */
void net_share(struct net_controller *nc)
{
	CLEANUP(sharing_done) struct sharing s = { .nc = nc };
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv adopted = { 0 };

	if (share(&s, &adopted, &err) < 0) {
		log_warn("another engine will not see networks made or removed here: %s", err_text(&err));
		return;
	}
	if (same(&adopted, &nc->adopted))
		return;
	strv_done(&nc->adopted);
	nc->adopted = adopted;
	adopted = (struct strv){ 0 };
	if (net_save(nc, &err) < 0)
		log_warn("%s", err_text(&err));
}
