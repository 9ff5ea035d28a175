/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What becomes this host's in the cluster: networks, addresses, places of containers. */
#include <stdio.h>

#include "base/log.h"
#include "network/cluster_i.h"

#define NUMBERS 65536
#define CLAIM_TRIES 8
#define ADDRESS_TRIES 64

bool cluster_split_key(const char *key, const char *kind, char id[ID_HEX + 1], const char **rest)
{
	size_t n = strlen(kind);

	if (strncmp(key, kind, n) != 0 || strlen(key) < n + ID_HEX)
		return false;
	memcpy(id, key + n, ID_HEX);
	id[ID_HEX] = '\0';
	*rest = key + n + ID_HEX + (key[n + ID_HEX] == '/');
	return id_is_hex64(id);
}

void cluster_endpoint_keys(const struct net_endpoint *ep, struct strv *keys)
{
	char text[IP_TEXT];

	strv_addf(keys, "endpoint/%s/%s", ep->network_id, ep->id);
	cidr_plain(ep->ipv4, text);
	if (*text)
		strv_addf(keys, "address/%s/%s", ep->network_id, text);
	cidr_plain(ep->ipv6, text);
	if (*text)
		strv_addf(keys, "address/%s/%s", ep->network_id, text);
}

static char *place_text(const struct net_cluster *c, const struct net_endpoint *ep, const char *container)
{
	char ipv4[IP_TEXT], ipv6[IP_TEXT];
	struct cluster_place p = { c->address, ep->mac, ipv4, ipv6, (char *)container, ep->names }; /* borrowed, never cleared */
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	cidr_plain(ep->ipv4, ipv4);
	cidr_plain(ep->ipv6, ipv6);
	jw_init(&w, &b);
	jdesc_encode(&cluster_place_desc, &p, &w);
	return buf_steal(&b);
}
/* The lowest number that no network of the cluster has, not counting the first skip of those. */
static unsigned free_number(struct net_cluster *c, unsigned skip)
{
	char key[32];
	WITH_LOCK(&c->lock);

	for (unsigned n = 0; n < NUMBERS; n++) {
		snprintf(key, sizeof(key), "number/%u", n);
		if (!mirror_get(&c->mirror, key) && skip-- == 0)
			return n;
	}
	return NUMBERS;
}

static bool name_is_taken(struct net_cluster *c, const char *name)
{
	OWN_FREE char *key = xasprintf("name/%s", name);
	WITH_LOCK(&c->lock);

	return mirror_get(&c->mirror, key) != NULL;
}

static void claim_keys(const struct network *n, const char *number, struct strmap *pairs)
{
	OWN_FREE char *network = xasprintf("network/%s", n->id), *name = xasprintf("name/%s", n->name), *num = xasprintf("number/%s", number);
	OWN_FREE char *text = network_to_text(n);

	strmap_set(pairs, network, text);
	strmap_set(pairs, name, n->id);
	strmap_set(pairs, num, n->id);
	for (size_t i = 0; i < n->pools_len; i++) {
		OWN_FREE char *subnet = xasprintf("subnet/%s", n->pools[i].subnet);

		strmap_set(pairs, subnet, n->id);
	}
}

/* The mirror has it from now on, not only when the watch tells: cluster_mend() takes what the mirror lacks for removed. */
static void claimed(struct net_cluster *c, const struct strmap *pairs)
{
	WITH_LOCK(&c->lock);

	for (size_t i = 0; i < pairs->len; i++)
		mirror_put(&c->mirror, pairs->v[i].key, pairs->v[i].value);
}

/* 1: the number was somebody's already. */
static int claim(struct net_cluster *c, struct net_driver *d, struct network *n, unsigned try, struct err *err)
{
	OWN_STRMAP struct strmap pairs = { 0 }, before = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	unsigned number = free_number(c, try);
	char text[16];

	if (number == NUMBERS)
		return err_set(err, ERR_UNAVAILABLE, "the cluster has %d networks, which is all that it can have", NUMBERS);
	snprintf(text, sizeof(text), "%u", number);
	strmap_copy(&before, &n->options);
	if (net_driver_allocate(d, n, text, err) < 0)
		return -1;
	claim_keys(n, text, &pairs);
	if (kv_create(c->kv, &pairs, &why) == 0) {
		claimed(c, &pairs);
		return 0;
	}
	net_driver_free(d, n);
	strmap_done(&n->options);
	n->options = before;
	before = (struct strmap){ 0 };
	if (why.class == ERR_CONFLICT && !name_is_taken(c, n->name))
		return 1;
	if (why.class == ERR_CONFLICT)
		return err_set(err, ERR_CONFLICT, "network with name %s already exists", n->name);
	return err_move(err, &why);
}

int net_cluster_claim(struct net_cluster *c, struct net_driver *d, struct network *n, struct err *err)
{
	int rc = 1;

	if (!c)
		return err_set(err, ERR_UNAVAILABLE, "networks of driver %s span several hosts: they need a cluster store, which this daemon has none of (--cluster-store)",
			n->driver);
	str_set(&n->scope, "global");
	cluster_tell_self(c, d);
	for (unsigned try = 0; try < CLAIM_TRIES && rc == 1; try++)
		rc = claim(c, d, n, try, err);
	return rc == 1 ? err_set(err, ERR_CONFLICT, "another host makes a network with the same subnet") : rc;
}

static bool others_on(struct net_cluster *c, const struct network *n)
{
	OWN_FREE char *prefix = xasprintf("endpoint/%s/", n->id);
	OWN_STRMAP struct strmap v = { 0 };
	bool found = false;

	lock_take(&c->lock);
	mirror_list(&c->mirror, prefix, &v);
	lock_drop(&c->lock);
	for (size_t i = 0; i < v.len && !found; i++) {
		struct cluster_place p = { 0 };

		found = jdesc_parse(&cluster_place_desc, v.v[i].value, strlen(v.v[i].value), &p, NULL) == 0 && !streq(p.host, c->address);
		jdesc_clear(&cluster_place_desc, &p);
	}
	return found;
}

int net_cluster_release(struct net_cluster *c, const struct network *n, struct err *err)
{
	OWN_STRMAP struct strmap v = { 0 };
	OWN_STRV struct strv keys = { 0 };
	OWN_FREE char *addresses = xasprintf("address/%s/", n->id);

	if (!c)
		return err_set(err, ERR_UNAVAILABLE, "network %s belongs to a cluster, and this daemon has no cluster store (--cluster-store)", n->name);
	if (others_on(c, n))
		return err_set(err, ERR_FORBIDDEN, "error while removing network: network %s id %s has active endpoints on other hosts", n->name, n->id);
	strv_addf(&keys, "network/%s", n->id);
	strv_addf(&keys, "name/%s", n->name);
	for (size_t i = 0; i < n->pools_len; i++)
		strv_addf(&keys, "subnet/%s", n->pools[i].subnet);
	lock_take(&c->lock);
	mirror_list(&c->mirror, "number/", &v);
	for (size_t i = 0; i < v.len; i++)
		if (streq(v.v[i].value, n->id))
			strv_add(&keys, v.v[i].key);
	strmap_done(&v);
	v = (struct strmap){ 0 };
	mirror_list(&c->mirror, addresses, &v);
	lock_drop(&c->lock);
	for (size_t i = 0; i < v.len; i++)
		strv_add(&keys, v.v[i].key);
	return kv_delete(c->kv, &keys, err);
}

int net_cluster_take(struct net_cluster *c, const struct net_endpoint *ep, struct err *err)
{
	OWN_STRMAP struct strmap pairs = { 0 };
	OWN_STRV struct strv keys = { 0 };
	bool all = true;

	if (!c)
		return err_set(err, ERR_UNAVAILABLE, "network %s belongs to a cluster, and this daemon has no cluster store (--cluster-store)", ep->network);
	cluster_endpoint_keys(ep, &keys);
	lock_take(&c->lock);
	for (size_t i = 1; i < keys.len; i++) {
		const char *owner = mirror_get(&c->mirror, keys.v[i]);

		all &= owner && streq(owner, ep->id);
		strmap_set(&pairs, keys.v[i], ep->id);
	}
	lock_drop(&c->lock);
	return all ? 0 : kv_create(c->kv, &pairs, err);
}

int net_cluster_address(struct net_controller *nc, struct net_driver *d, const struct network *n, struct net_endpoint *ep, const char *want4,
	const char *want6, struct err *err)
{
	char text[IP_TEXT], far[CLUSTER_FAR];

	for (int try = 0; try < ADDRESS_TRIES; try++) {
		OWN_ERR struct err why = ERR_INIT;

		if (net_address_take(nc, d, ep, want4, want6, err) < 0)
			return -1;
		if (!network_is_global(n) || net_cluster_take(net_cluster_of(nc), ep, &why) == 0)
			return 0;
		net_address_drop(nc, ep);
		if (why.class != ERR_CONFLICT)
			return err_move(err, &why);
		if (!str_empty(want4) || !str_empty(want6))
			return err_set(err, ERR_FORBIDDEN, "Address already in use");
		for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
			cidr_plain(ipv6 ? ep->ipv6 : ep->ipv4, text);
			cluster_far_name(text, far);
			if (*text)
				net_address_hold_far(nc, n->id, far, text);
		}
	}
	return err_set(err, ERR_UNAVAILABLE, "no address of network %s could be had: other hosts were faster each time", n->name);
}

void net_cluster_arrived(struct net_cluster *c, const struct net_endpoint *ep, const char *container)
{
	OWN_FREE char *key = xasprintf("endpoint/%s/%s", ep->network_id, ep->id), *text = NULL;
	OWN_ERR struct err err = ERR_INIT;
	bool same;

	if (!c)
		return;
	text = place_text(c, ep, container);
	lock_take(&c->lock);
	if (!strv_contains(&c->mine, ep->id))
		strv_add(&c->mine, ep->id);
	same = mirror_get(&c->mirror, key) && streq(mirror_get(&c->mirror, key), text);
	lock_drop(&c->lock);
	if (!same && kv_put(c->kv, key, text, false, &err) < 0)
		log_warn("other hosts do not hear yet of container %.12s on network %s: %s", container, ep->network, err_text(&err));
}

void net_cluster_left(struct net_cluster *c, const struct net_endpoint *ep)
{
	OWN_STRV struct strv keys = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (!c)
		return;
	cluster_endpoint_keys(ep, &keys);
	lock_take(&c->lock);
	strv_del(&c->mine, ep->id);
	lock_drop(&c->lock);
	if (kv_delete(c->kv, &keys, &err) < 0)
		log_warn("other hosts do not hear yet that a container left network %s: %s", ep->network, err_text(&err));
}
