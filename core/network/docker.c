/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks that Docker made in this data-root. */
#include "base/bolt.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "network/cidr.h"
#include "network/net_i.h"

#define KEY_PREFIX   NET_DOCKER_KEYS "network/"
#define POOLS_MAX    64

struct taking { struct network **v; size_t len; };

static const char *text_of(const json_t *js, const char *key)
{
	const char *s = json_string_value(json_object_get(js, key));

	return str_empty(s) ? NULL : s;
}

/* A member that is JSON within a string. */
static json_t *nested(const json_t *js, const char *key)
{
	const char *s = json_string_value(json_object_get(js, key));

	return s ? json_read(s, strlen(s), NULL) : NULL;
}

/* As configured, and as it then was: what is not configured was chosen. */
static bool take_pool(const json_t *config, const json_t *info, struct net_pool *ret)
{
	OWN_JSON json_t *data = nested(info, "IPAMData");
	const char *pool = text_of(data, "Pool"), *gateway = text_of(data, "Gateway");
	struct cidr c;

	pool = pool ? pool : text_of(config, "PreferredPool");
	gateway = gateway ? gateway : text_of(config, "Gateway");
	if (!pool || !cidr_parse(pool, &c))
		return false;
	ret->subnet = xstrdup(pool);
	ret->range = xstrdup(text_of(config, "SubPool"));
	ret->gateway = cidr_plain_dup(gateway);
	json_strings(json_object_get(config, "AuxAddresses"), &ret->aux);
	return true;
}

static void take_pools(struct network *n, const json_t *js, const char *configs, const char *infos)
{
	OWN_JSON json_t *config = nested(js, configs), *info = nested(js, infos);
	size_t len = json_array_size(config) > json_array_size(info) ? json_array_size(config) : json_array_size(info);

	for (size_t i = 0; i < len && n->pools_len < POOLS_MAX; i++) {
		struct net_pool p = { 0 };

		if (!take_pool(json_array_get(config, i), json_array_get(info, i), &p))
			continue;
		n->pools = xrealloc(n->pools, (n->pools_len + 1) * sizeof(*n->pools));
		n->pools[n->pools_len++] = p;
	}
}

static struct network *from_json(const json_t *js)
{
	const char *name = text_of(js, "name"), *id = text_of(js, "id"), *driver = text_of(js, "networkType");
	const char *created = text_of(js, "created");
	const json_t *generic = json_object_get(js, "generic"), *ipv4 = json_object_get(js, "enableIPv4");
	struct network *n;

	if (!name || !id || !id_is_hex64(id) || !driver)
		return NULL;
	n = network_new(name, driver);
	memcpy(n->id, id, sizeof(n->id));
	if (text_of(js, "scope"))
		str_set(&n->scope, text_of(js, "scope"));
	if (text_of(js, "ipamType"))
		str_set(&n->ipam_driver, text_of(js, "ipamType"));
	if (text_of(js, "configFrom"))
		str_set(&n->config_from, text_of(js, "configFrom"));
	if (created && !clock_parse_rfc3339(created, &n->created))
		n->created = clock_now();
	n->internal = json_is_true(json_object_get(js, "internal"));
	n->attachable = json_is_true(json_object_get(js, "attachable"));
	n->ingress = json_is_true(json_object_get(js, "ingress"));
	n->config_only = json_is_true(json_object_get(js, "configOnly"));
	n->enable_ipv4 = !json_is_false(ipv4);
	n->enable_ipv6 = json_is_true(json_object_get(js, "enableIPv6"));
	json_strings(json_object_get(generic, "com.docker.network.generic"), &n->options);
	json_strings(json_object_get(js, "labels"), &n->labels);
	json_strings(json_object_get(js, "ipamOptions"), &n->ipam_options);
	take_pools(n, js, "ipamV4Config", "ipamV4Info");
	take_pools(n, js, "ipamV6Config", "ipamV6Info");
	return n;
}

static int take(void *ctx, const char *key, size_t key_size, const char *value, size_t size, struct err *err)
{
	struct taking *t = ctx;
	OWN_ERR struct err why = ERR_INIT;
	OWN_JSON json_t *js = NULL;
	struct network *n;

	(void)err;
	/* the folder itself is a key, too */
	if (key_size <= strlen(KEY_PREFIX) || memcmp(key, KEY_PREFIX, strlen(KEY_PREFIX)) != 0 || size <= NET_DOCKER_COUNTER)
		return 0;
	js = json_read(value + NET_DOCKER_COUNTER, size - NET_DOCKER_COUNTER, &why);
	/* one that was being removed goes without a word, as there */
	if (json_is_true(json_object_get(js, "inDelete")))
		return 0;
	n = from_json(js);
	if (!n) {
		log_warn("a network of Docker's database is passed over: %s", js ? "it has no name, id or driver" : err_text(&why));
		return 0;
	}
	t->v = xrealloc(t->v, (t->len + 1) * sizeof(*t->v));
	t->v[t->len++] = n;
	return 0;
}

char *net_docker_path(const char *data_root)
{
	return xasprintf("%s/network/files/local-kv.db", data_root);
}

int net_docker_folder(const char *data_root, struct err *err)
{
	OWN_FREE char *dir = xasprintf("%s/network/files", data_root);

	return fs_mkdir(dir, 0750, err);
}

/* False: it was not read to its end, and what it lacks says nothing. */
static bool read_all(const char *data_root, struct taking *ret)
{
	OWN_FREE char *path = net_docker_path(data_root);
	OWN_ERR struct err err = ERR_INIT;

	if (bolt_each_in(path, NET_DOCKER_MAX, NET_DOCKER_BUCKET, take, ret, &err) == 0)
		return true;
	if (err.class != ERR_NOT_FOUND)
		log_warn("Docker's networks are not seen: %s", err_text(&err));
	return false;
}

static bool has_id(struct network *const *v, size_t len, const char *id)
{
	for (size_t i = 0; i < len; i++)
		if (streq(v[i]->id, id))
			return true;
	return false;
}

/* What was taken over and is there no more was removed by the other engine. */
static bool drop_removed(struct net_controller *nc, const struct taking *t)
{
	OWN_STRV struct strv kept = { 0 };
	bool changed = false;

	for (size_t i = 0; i < nc->adopted.len; i++) {
		if (has_id(t->v, t->len, nc->adopted.v[i])) {
			strv_add(&kept, nc->adopted.v[i]);
			continue;
		}
		log_info("network %.12s was removed by another engine", nc->adopted.v[i]);
		net_entry_drop(nc, nc->adopted.v[i]);
		changed = true;
	}
	strv_done(&nc->adopted);
	nc->adopted = kept;
	kept = (struct strv){ 0 };
	return changed;
}

/* Of the predefined ones the id alone: what they are is this daemon's configuration. */
static struct network *bare(const struct network *n)
{
	struct network *ret = network_new(n->name, n->driver);

	memcpy(ret->id, n->id, sizeof(ret->id));
	ret->created = n->created;
	return ret;
}

static bool adopt(struct net_controller *nc, struct network *n)
{
	if (strv_contains(&nc->adopted, n->id) || !streq(n->scope, "local"))
		return false;
	/* made here, and shared before the end of that daemon */
	if (!net_is_predefined(n->name) && net_entry_find(nc, n->id)) {
		strv_add(&nc->adopted, n->id);
		return true;
	}
	if (net_entry_named(nc, n->name)) {
		if (!net_is_predefined(n->name))
			log_warn("network %.12s of Docker's is not seen: there is another one named %s", n->id, n->name);
		return false;
	}
	if (net_is_predefined(n->name)) {
		net_entry_add(nc, bare(n));
		return true;
	}
	net_entry_add(nc, network_ref(n));
	strv_add(&nc->adopted, n->id);
	log_info("network %s comes from Docker's database", n->name);
	return true;
}

bool net_docker_adopt(struct net_controller *nc)
{
	struct taking t = { 0 };
	bool changed = false;

	if (read_all(nc->data_root, &t)) {
		changed = drop_removed(nc, &t);
		for (size_t i = 0; i < t.len; i++)
			changed = adopt(nc, t.v[i]) || changed;
	}
	for (size_t i = 0; i < t.len; i++)
		network_unref(t.v[i]);
	free(t.v);
	return changed;
}
