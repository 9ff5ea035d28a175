/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Networks of users come and go. A new one is in the list, with its subnet and on the disk, before its driver makes it: what a
 * crash in between leaves is a network that the next start makes whole. One that goes is undone by its driver before the list
 * forgets it: after a crash in between the next start makes it again, and nothing is left that nobody knows.
 */
#include <stdio.h>

#include "base/id.h"
#include "base/log.h"
#include "network/announce.h"
#include "network/cluster.h"

#define NAME_MAX_BYTES 1024
#define POOLS_MAX 64
#define OVERLAPS "invalid pool request: Pool overlaps with other one on this address space"

static bool blank(const char *s)
{
	return !s || s[strspn(s, " \t\r\n\v\f")] == '\0';
}

/* No control characters: names go into files, answers and log lines. */
static bool printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			return false;
	return true;
}

static int check_name(const char *name, struct err *err)
{
	if (blank(name))
		return err_set(err, ERR_INVALID, "invalid name: %s", name ? name : "");
	if (strlen(name) > NAME_MAX_BYTES || !str_is_utf8(name, strlen(name)) || !printable(name))
		return err_set(err, ERR_INVALID, "invalid name: at most %d bytes, none of them a control character", NAME_MAX_BYTES);
	if (net_is_predefined(name))
		return err_set(err, ERR_FORBIDDEN, "operation is not permitted on predefined %s network ", name);
	return 0;
}

static size_t map_len(const struct strmap *m)
{
	return m ? m->len : 0;
}

static int check_spec(const struct net_spec *s, struct err *err)
{
	bool from = !str_empty(s->config_from);

	if (s->config_only && (s->internal || s->attachable || s->ingress || (!str_empty(s->scope) && !streq(s->scope, "local"))))
		return err_set(err, ERR_FORBIDDEN, "configuration network can only contain network specific fields. Network operator fields like "
			"[ ingress | internal | attachable | scope ] are not supported.");
	if (s->config_only && from)
		return err_set(err, ERR_FORBIDDEN, "a configuration network cannot depend on another configuration network");
	if (from && map_len(s->options))
		return err_set(err, ERR_FORBIDDEN, "network driver options are not supported if the network depends on a configuration network");
	if (from && (s->pools_len || map_len(s->labels) || map_len(s->ipam_options) || s->enable_ipv4 >= 0 || s->enable_ipv6 > 0))
		return err_set(err, ERR_FORBIDDEN, "user specified configurations are not supported if the network depends on a configuration network");
	if (s->ingress)
		return err_set(err, ERR_FORBIDDEN, "Ingress network can only be global scope network");
	if (s->scope && streq(s->scope, "swarm"))
		return err_set(err, ERR_FORBIDDEN, "cannot create a swarm scoped network when swarm is not active");
	if (!str_empty(s->scope) && !streq(s->scope, "local") && !streq(s->scope, "global"))
		return err_set(err, ERR_INVALID, "invalid scope: %s", s->scope);
	if (s->pools_len > POOLS_MAX)
		return err_set(err, ERR_INVALID, "a network has at most %d subnets", POOLS_MAX);
	return 0;
}

/* -1: the option says nothing. */
static int option_bool(const struct strmap *options, const char *key, int *ret, struct err *err)
{
	const char *v = options ? strmap_get(options, key) : NULL;
	bool on;

	if (!v || *ret >= 0)
		return 0;
	if (!str_bool(v, &on))
		return err_set(err, ERR_INVALID, "invalid value for option %s: \"%s\" is neither true nor false", key, v);
	*ret = on;
	return 0;
}

static int families(const struct net_spec *s, struct network *n, struct err *err)
{
	int ipv4 = s->enable_ipv4, ipv6 = s->enable_ipv6;

	if (option_bool(&n->options, "com.docker.network.enable_ipv4", &ipv4, err) < 0 ||
	    option_bool(&n->options, "com.docker.network.enable_ipv6", &ipv6, err) < 0)
		return -1;
	n->enable_ipv4 = ipv4 != 0;
	n->enable_ipv6 = ipv6 > 0;
	return n->enable_ipv4 || n->enable_ipv6 ? 0 : err_set(err, ERR_INVALID, "IPv4 or IPv6 must be enabled");
}

/* What the daemon's options say about networks of a driver, as far as the user says nothing. */
static void add_default_options(const struct net_controller *nc, const char *driver, struct strmap *options)
{
	size_t len = strlen(driver);

	for (size_t i = 0; i < nc->default_options.len; i++) {
		const struct strmap_entry *p = &nc->default_options.v[i];

		if (str_has_prefix(p->key, driver) && p->key[len] == '/' && !strmap_get(options, p->key + len + 1))
			strmap_set(options, p->key + len + 1, p->value);
	}
}

/* The snapshot that a user asks for, as far as he says. */
static struct network *from_spec(const struct net_controller *nc, const struct net_spec *s, struct err *err)
{
	const char *driver = str_empty(s->driver) ? "bridge" : s->driver;
	CLEANUP(network_unrefp) struct network *n = network_new(s->name, s->config_only ? "null" : driver);

	n->internal = s->internal;
	n->attachable = s->attachable;
	n->config_only = s->config_only;
	if (!str_empty(s->ipam_driver))
		str_set(&n->ipam_driver, s->ipam_driver);
	if (s->ipam_options && s->ipam_options->set)
		strmap_copy(&n->ipam_options, s->ipam_options);
	if (s->options)
		strmap_copy(&n->options, s->options);
	if (s->labels)
		strmap_copy(&n->labels, s->labels);
	if (!s->plain && str_empty(s->config_from))
		add_default_options(nc, driver, &n->options);
	n->options.set = n->labels.set = true;
	strmap_sort(&n->options);
	if (announcer_check(&n->options, err) < 0 || families(s, n, err) < 0 || net_pools_validate(s->pools, s->pools_len, n->enable_ipv4, n->enable_ipv6, err) < 0)
		return NULL;
	net_pools_copy(n, s->pools, s->pools_len);
	net_pools_sort(n);
	return STEAL(n);
}

/* What a network that only holds a configuration says. */
static int take_config(struct net_controller *nc, struct network *n, const char *name, struct err *err)
{
	OWN_NETWORK struct network *from = net_find_name(nc, name);

	if (!from || !from->config_only)
		return err_set(err, ERR_NOT_FOUND, "configuration network \"%s\" does not exist", name);
	str_set(&n->config_from, from->name);
	str_set(&n->ipam_driver, from->ipam_driver);
	strmap_done(&n->ipam_options);
	strmap_copy(&n->ipam_options, &from->ipam_options);
	strmap_done(&n->options);
	strmap_copy(&n->options, &from->options);
	n->options.set = true;
	for (size_t i = 0; i < from->labels.len; i++)
		if (!strmap_get(&n->labels, from->labels.v[i].key))
			strmap_set(&n->labels, from->labels.v[i].key, from->labels.v[i].value);
	n->enable_ipv4 = from->enable_ipv4;
	n->enable_ipv6 = from->enable_ipv6;
	free(n->pools);
	net_pools_copy(n, from->pools, from->pools_len);
	return 0;
}

static bool has_family(const struct network *n, bool ipv6)
{
	struct cidr c;

	for (size_t i = 0; i < n->pools_len; i++)
		if (cidr_parse(n->pools[i].subnet, &c) && c.address.v6 == ipv6)
			return true;
	return false;
}

/* A subnet for each family that has none. Under nc->lock. */
static int add_pools(struct net_controller *nc, const struct net_host *host, struct network *n, struct err *err)
{
	const bool wanted[] = { n->enable_ipv4, n->enable_ipv6 };
	char text[CIDR_TEXT];
	struct cidr c;

	for (int v6 = 0; v6 <= 1; v6++) {
		if (!wanted[v6] || has_family(n, v6))
			continue;
		if (net_pool_choose(nc, host, v6, &c, err) < 0)
			return -1;
		cidr_text(&c, text);
		n->pools = xrealloc(n->pools, (n->pools_len + 1) * sizeof(*n->pools));
		n->pools[n->pools_len++] = (struct net_pool){ .subnet = xstrdup(text) };
	}
	return 0;
}

static int add_gateways(struct network *n, struct err *err)
{
	char text[CIDR_TEXT];

	for (size_t i = 0; i < n->pools_len; i++) {
		if (!str_empty(n->pools[i].gateway) || !net_pool_used(n, &n->pools[i]))
			continue;
		if (net_gateway_choose(&n->pools[i], text, err) < 0)
			return -1;
		str_set(&n->pools[i].gateway, text);
	}
	return 0;
}

/* Name and subnets become the network's, which is in the list from then on; nobody sees it yet. */
static int enter(struct net_controller *nc, const struct net_host *host, struct network *n, bool pools, bool gateways, struct err *err)
{
	const struct net_entry *from;
	struct cidr c;
	WITH_LOCK(&nc->lock);

	if (net_entry_named(nc, n->name))
		return err_set(err, ERR_CONFLICT, "network with name %s already exists", n->name);
	from = n->config_from ? net_entry_named(nc, n->config_from) : NULL;
	if (n->config_from && (!from || from->state == NET_REMOVING)) /* it went since take_config() */
		return err_set(err, ERR_NOT_FOUND, "configuration network \"%s\" does not exist", n->config_from);
	for (size_t i = 0; i < n->pools_len && !n->config_only && !net_ipam_is_external(n); i++)
		if (net_pool_used(n, &n->pools[i]) && cidr_parse(n->pools[i].subnet, &c) && net_pool_overlaps(nc, n->id, &c))
			return err_set(err, ERR_FORBIDDEN, OVERLAPS);
	if ((pools && add_pools(nc, host, n, err) < 0) || (gateways && add_gateways(n, err) < 0))
		return -1;
	net_entry_add(nc, network_ref(n))->state = NET_CREATING;
	return 0;
}

static void forget(struct net_controller *nc, const char *id)
{
	WITH_LOCK(&nc->lock);
	net_entry_drop(nc, id);
	pthread_cond_broadcast(&nc->changed);
}

/* The entry's network in the shape that it has now, seen by all. */
static void show(struct net_controller *nc, const struct network *n)
{
	struct net_entry *e;
	WITH_LOCK(&nc->lock);

	e = net_entry_find(nc, n->id);
	if (e)
		e->state = NET_UP;
	pthread_cond_broadcast(&nc->changed);
}

static int make(struct net_controller *nc, struct net_driver *d, struct network *n, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;

	if (net_space_open(nc, n, &why) == 0 && net_save(nc, &why) == 0 && (n->config_only || net_driver_create(d, n, &nc->extra, false, &why) == 0)) {
		show(nc, n);
		return 0;
	}
	if (network_is_global(n) && net_cluster_release(net_cluster_of(nc), n, NULL) == 0)
		net_driver_free(d, n);
	net_space_drop(nc, n->id);
	forget(nc, n->id);
	net_save(nc, NULL);
	return err_move(err, &why);
}

static int create(struct net_controller *nc, struct net_driver *d, struct network *n, struct err *err)
{
	bool wanted = !n->config_only && !streq(n->ipam_driver, "null") && !net_driver_no_ipam(d);
	bool external = wanted && net_ipam_is_external(n), ipam = wanted && !external;
	bool gateways = wanted && !net_driver_skip_gateway(d, n);
	struct net_host host = { 0 };
	int rc;

	if (!n->config_only && streq(n->ipam_driver, "null") && n->pools_len)
		return err_set(err, ERR_INVALID, "ipam driver null gives no addresses: no subnet can be set");
	if (ipam && ((n->enable_ipv4 && !has_family(n, false)) || (n->enable_ipv6 && !has_family(n, true))))
		net_host_read(NULL, &host);
	if (external && net_ipam_request(nc, n, gateways, err) < 0)
		return -1;
	rc = enter(nc, &host, n, ipam, gateways && ipam, err);
	net_host_done(&host);
	if (rc == 0 && d && net_driver_is_global(d) && (rc = net_cluster_claim(net_cluster_of(nc), d, n, err)) < 0)
		forget(nc, n->id);
	if (rc == 0)
		rc = make(nc, d, n, err);
	if (rc < 0 && external)
		net_ipam_release(nc, n);
	return rc;
}

/* Options that nobody reads, a slip of the pen perhaps. */
static void warn_of_options(struct net_driver *d, const struct network *n, struct strv *warnings)
{
	static const char *const own[] = { "com.docker.network.enable_ipv4", "com.docker.network.enable_ipv6", "com.docker.network.container_iface_prefix",
		"com.docker.network.advertise_addr_nmsgs", "com.docker.network.advertise_addr_ms" };
	OWN_STRV struct strv known = { 0 };

	if (!warnings || !d || !net_driver_known_options(d, &known))
		return;
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		strv_add(&known, own[i]);
	for (size_t i = 0; i < n->options.len; i++)
		if (!strv_contains(&known, n->options.v[i].key))
			strv_addf(warnings, "the option %.128s is unknown to the network driver %s: it has no effect", n->options.v[i].key, n->driver);
}

int net_create(struct net_controller *nc, const struct net_spec *spec, char ret_id[65], struct strv *warnings, struct err *err)
{
	OWN_NETWORK struct network *n = NULL;
	struct net_driver *d = NULL;

	ret_id[0] = '\0';
	if (check_name(spec->name, err) < 0 || check_spec(spec, err) < 0 || !(n = from_spec(nc, spec, err)) ||
	    (!str_empty(spec->config_from) && take_config(nc, n, spec->config_from, err) < 0))
		return -1;
	if (streq(n->driver, "overlay") && !net_cluster_of(nc))
		return err_set(err, ERR_UNAVAILABLE, "This node is not a swarm manager. Use \"docker swarm init\" "
			"or \"docker swarm join\" to connect this node to swarm and try again.");
	if (!n->config_only && !(d = net_driver_get(nc->drivers, n->driver, err)))
		return -1;
	if (d && net_driver_predefined(d))
		return err_set(err, ERR_FORBIDDEN, "only one instance of \"%s\" network is allowed", n->driver);
	if (create(nc, d, n, err) < 0)
		return -1;
	warn_of_options(d, n, warnings);
	memcpy(ret_id, n->id, sizeof(n->id));
	return 0;
}

/* Who is on it, as Docker lists them. Called with no lock held. */
static void describe_users(struct net_controller *nc, const struct network *n, struct buf *b)
{
	OWN_STRV struct strv ids = { 0 }, eps = { 0 }, ours = { 0 };
	net_name_fn *name_of;
	void *ctx;

	lock_take(&nc->lock);
	name_of = nc->name_of;
	ctx = nc->name_ctx;
	for (const struct net_box *x = nc->boxes; x; x = x->next) {
		const struct net_endpoint *ep = net_box_endpoint(x, n->id);

		if (!ep)
			continue;
		strv_add(&ids, x->container);
		strv_addf(&eps, "%.12s", ep->id);
		strv_add(&ours, ep->way_out ? "gateway_" : "");
	}
	lock_drop(&nc->lock);
	for (size_t i = 0; i < ids.len; i++) {
		OWN_FREE char *name = *ours.v[i] ? xasprintf("%s%.12s", ours.v[i], ids.v[i]) : name_of ? name_of(ctx, ids.v[i]) : NULL;

		buf_addf(b, "%sname:\"%s\" id:\"%s\"", i ? ", " : " (", name ? name : "", eps.v[i]);
	}
	if (ids.len)
		buf_addc(b, ')');
	buf_addc(b, '\0');
}

/* Takes it for removal: nobody comes to it from then on. ERR_FORBIDDEN and busy when somebody is on it. */
static int seize(struct net_controller *nc, const struct network *n, bool *ret_busy, struct err *err)
{
	struct net_entry *e;
	WITH_LOCK(&nc->lock);

	*ret_busy = false;
	e = net_entry_find(nc, n->id);
	if (!e || e->state == NET_REMOVING)
		return err_set(err, ERR_NOT_FOUND, "network %s not found", n->name);
	*ret_busy = e->held || net_endpoints_on(nc, n->id);
	if (*ret_busy)
		return -1;
	for (size_t i = 0; i < nc->nets_len && n->config_only; i++)
		if (nc->nets[i]->n->config_from && streq(nc->nets[i]->n->config_from, n->name))
			return err_set(err, ERR_FORBIDDEN, "error while removing network: configuration network \"%s\" is in use", n->name);
	e->state = NET_REMOVING;
	return 0;
}

/* The driver's half; the entry is gone then, but the disk still has it. */
static int undo(struct net_controller *nc, const struct network *n, struct err *err)
{
	struct net_driver *d = n->config_only ? NULL : net_driver_get(nc->drivers, n->driver, err);

	if ((!d && !n->config_only) || (network_is_global(n) && net_cluster_release(net_cluster_of(nc), n, err) < 0) ||
	    (d && net_driver_delete(d, n->id, err) < 0)) {
		show(nc, n);
		return -1;
	}
	if (d && network_is_global(n))
		net_driver_free(d, n);
	forget(nc, n->id);
	return 0;
}

/* Writes the list without them. When the disk keeps them, so does the daemon. */
static int settle(struct net_controller *nc, struct network *const *v, size_t len, struct err *err)
{
	if (net_save(nc, err) == 0) {
		for (size_t i = 0; i < len; i++) {
			net_space_drop(nc, v[i]->id);
			if (net_ipam_is_external(v[i]))
				net_ipam_release(nc, v[i]);
		}
		return 0;
	}
	lock_take(&nc->lock);
	for (size_t i = 0; i < len; i++)
		net_entry_add(nc, network_ref(v[i]))->broken = !v[i]->config_only;
	lock_drop(&nc->lock);
	return -1;
}

static int remove_one(struct net_controller *nc, struct network *n, bool *ret_busy, struct err *err)
{
	if (seize(nc, n, ret_busy, err) < 0 || undo(nc, n, err) < 0)
		return -1;
	return settle(nc, &n, 1, err);
}

int net_remove(struct net_controller *nc, const char *name, struct err *err)
{
	OWN_NETWORK struct network *n = net_find(nc, name, err);
	OWN_BUF struct buf users = { 0 };
	bool busy;

	if (!n)
		return -1;
	if (net_is_predefined(n->name))
		return err_set(err, ERR_FORBIDDEN, "%s is a pre-defined network and cannot be removed", n->name);
	if (remove_one(nc, n, &busy, err) == 0)
		return 0;
	if (!busy)
		return -1;
	describe_users(nc, n, &users);
	return err_set(err, ERR_FORBIDDEN, "error while removing network: network %s id %s has active endpoints%s", n->name, n->id, users.data);
}

int net_prune(struct net_controller *nc, net_pass_fn *pass, void *ctx, struct strv *names, struct err *err)
{
	struct network **v;
	size_t len = net_list(nc, &v), gone = 0;
	bool busy = false;
	int rc = 0;

	names->set = true;
	for (size_t i = 0; i < len; i++) {
		OWN_ERR struct err why = ERR_INIT;

		if (net_is_predefined(v[i]->name) || (pass && !pass(ctx, v[i])))
			continue;
		if (seize(nc, v[i], &busy, &why) == 0 && undo(nc, v[i], &why) == 0) {
			struct network *n = v[i];

			v[i] = v[gone];
			v[gone++] = n;
		} else if (!busy && why.class != ERR_NOT_FOUND) {
			log_warn("network prune: network %s: %s", v[i]->name, err_text(&why));
		}
	}
	/* one list for all of them */
	if (gone && (rc = settle(nc, v, gone, err)) == 0)
		for (size_t i = 0; i < gone; i++)
			strv_add(names, v[i]->name);
	net_list_free(v, len);
	return rc;
}

void net_restore(struct net_controller *nc)
{
	struct network **v;
	size_t len = net_list(nc, &v);

	for (size_t i = 0; i < len; i++) {
		struct network *n = v[i];
		OWN_ERR struct err err = ERR_INIT;
		struct net_driver *d;
		bool told = !net_ipam_is_external(n);
		struct net_entry *e;

		if (net_is_predefined(n->name) || n->config_only)
			continue;
		/* first of all, so that nobody gets an address that a running container has */
		if (net_space_open(nc, n, &err) == 0 && (!net_ipam_is_external(n) || (told = net_ipam_restore(nc, n, true, &err) == 0)) && (d = net_driver_get(nc->drivers, n->driver, &err)) &&
		    net_driver_create(d, n, &nc->extra, true, &err) == 0)
			continue;
		log_warn("network %s (%.12s): %s", n->name, n->id, err_text(&err));
		lock_take(&nc->lock);
		e = net_entry_find(nc, n->id);
		if (e)
			e->broken = true, e->untold = !told;
		lock_drop(&nc->lock);
	}
	net_list_free(v, len);
}
