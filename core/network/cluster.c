/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two threads: the store's tells what changed, and drivers hear of it from there; a second one brings the store in line with this host whenever
 * the store is back. Neither holds a lock over a driver call or a question to the store.
 */
#include "network/cluster.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "network/kv.h"
#include "network/mirror.h"
#include "network/netd.h"

#define FIRST_WAIT (5 * NSEC_PER_SEC)
#define NUMBERS 65536
#define CLAIM_TRIES 8
#define ADDRESS_TRIES 64
#define ADDRESS_TEXT 64

struct net_cluster {
	struct net_controller *nc;
	struct kv *kv;
	char *address;
	pthread_t thread;
	struct lock lock;      /* LOCK_LEAF: all below */
	pthread_cond_t changed;
	struct mirror mirror;
	bool telling;          /* between KV_BEGIN and KV_SYNCED */
	unsigned synced, mended; /* how often the mirror was whole, and for which of them the second thread did its work */
	bool heard, closing;   /* heard: of the store or of its absence */
	bool running;          /* there is the second thread; changed by start-up only */
};

/* The value of endpoint/ID/EP. */
struct place {
	char *host, *mac, *ipv4, *ipv6, *container;
	struct strv names;
};
JDESC_STATIC(place_desc, place,
	JFIELD(place, host, "host", J_STR, J_REQUIRED),
	JFIELD(place, mac, "mac", J_STR, 0),
	JFIELD(place, ipv4, "ipv4", J_STR, 0),
	JFIELD(place, ipv6, "ipv6", J_STR, 0),
	JFIELD(place, container, "container", J_STR, 0),
	JFIELD(place, names, "names", J_STRV, 0));

bool network_is_global(const struct network *n)
{
	return n->scope && streq(n->scope, "global");
}

/* Addresses */

static char *address_of_interface(const char *name)
{
	struct ifaddrs *all = NULL;
	char text[INET6_ADDRSTRLEN] = "";

	if (getifaddrs(&all) < 0)
		return NULL;
	for (const struct ifaddrs *i = all; i && !*text; i = i->ifa_next)
		if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && streq(i->ifa_name, name))
			inet_ntop(AF_INET, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, text, sizeof(text));
	freeifaddrs(all);
	return *text ? xstrdup(text) : NULL;
}

/* The address before a port; of an interface its first of IPv4. */
static char *read_advertise(const char *text, struct err *err)
{
	const char *colon = strrchr(text, ':');
	OWN_FREE char *host = NULL, *found = NULL;
	unsigned char raw[16];

	if (*text == '[')
		host = xstrndup(text + 1, strcspn(text + 1, "]"));
	else if (inet_pton(AF_INET6, text, raw) == 1 || !colon)
		host = xstrdup(text);
	else
		host = xstrndup(text, (size_t)(colon - text));
	if (inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1)
		return STEAL(host);
	found = address_of_interface(host);
	if (!found)
		err_set(err, ERR_INVALID, "invalid --cluster-advertise %s: it is neither an address nor an interface with one", text);
	return STEAL(found);
}

static void plain(const char *cidr, char ret[ADDRESS_TEXT])
{
	snprintf(ret, ADDRESS_TEXT, "%.*s", (int)strcspn(cidr ? cidr : "", "/"), cidr ? cidr : "");
}

/* Keys */

/* "KIND/ID/rest": the id and what is behind it. */
static bool split_key(const char *key, const char *kind, char id[ID_HEX + 1], const char **rest)
{
	size_t n = strlen(kind);

	if (strncmp(key, kind, n) != 0 || strlen(key) < n + ID_HEX)
		return false;
	memcpy(id, key + n, ID_HEX);
	id[ID_HEX] = '\0';
	*rest = key + n + ID_HEX + (key[n + ID_HEX] == '/');
	return id_is_hex64(id);
}

static void endpoint_keys(const struct net_endpoint *ep, struct strv *keys)
{
	char text[ADDRESS_TEXT];

	strv_addf(keys, "endpoint/%s/%s", ep->network_id, ep->id);
	plain(ep->ipv4, text);
	if (*text)
		strv_addf(keys, "address/%s/%s", ep->network_id, text);
	plain(ep->ipv6, text);
	if (*text)
		strv_addf(keys, "address/%s/%s", ep->network_id, text);
}

static char *place_text(const struct net_cluster *c, const struct net_endpoint *ep, const char *container)
{
	char ipv4[ADDRESS_TEXT], ipv6[ADDRESS_TEXT];
	struct place p = { c->address, ep->mac, ipv4, ipv6, (char *)container, ep->names }; /* borrowed, never cleared */
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	plain(ep->ipv4, ipv4);
	plain(ep->ipv6, ipv6);
	jw_init(&w, &b);
	jdesc_encode(&place_desc, &p, &w);
	return buf_steal(&b);
}

/* What drivers hear */

static void tell_self(struct net_cluster *c, struct net_driver *d)
{
	const char *const data[] = { "address", c->address, "self", "true", NULL };
	OWN_ERR struct err err = ERR_INIT;

	if (net_driver_discover(d, true, "node", data, &err) < 0)
		log_warn("%s", err_text(&err));
}

static struct network *network_by_id(struct net_controller *nc, const char *id)
{
	struct net_entry *e;
	WITH_LOCK(&nc->lock);

	e = net_entry_find(nc, id);
	return e ? network_ref(e->n) : NULL;
}

/* A container of another host, for those here who ask for its names. */
static void tell_names(struct net_cluster *c, const struct network *n, const char *ep, const struct place *p)
{
	struct netd_net net = { .id = n->id, .name = n->name, .ipv4 = p->ipv4, .ipv6 = p->ipv6, .names = &p->names, .internal = n->internal };
	OWN_FREE char *id = xasprintf("far-%s", ep);
	struct netd_sandbox sb = { .id = id, .nets = &net, .nets_len = 1 };
	OWN_ERR struct err err = ERR_INIT;

	if (c->nc->netd && netd_sandbox(c->nc->netd, &sb, &err) < 0)
		log_warn("names of a container on another host: %s", err_text(&err));
}

static void forget_names(struct net_cluster *c, const char *ep)
{
	OWN_FREE char *id = xasprintf("far-%s", ep);

	if (c->nc->netd)
		netd_sandbox_drop(c->nc->netd, id, NULL);
}

static void endpoint_came(struct net_cluster *c, const char *network, const char *ep, const char *value)
{
	OWN_NETWORK struct network *n = network_by_id(c->nc, network);
	OWN_ERR struct err err = ERR_INIT;
	struct net_driver *d;
	struct place p = { 0 };

	if (!n || jdesc_parse(&place_desc, value, strlen(value), &p, &err) < 0) {
		if (n)
			log_warn("the cluster store's entry of endpoint %.12s: %s", ep, err_text(&err));
	} else if (!streq(p.host, c->address)) {
		const char *const data[] = { "network", network, "endpoint", ep, "host", p.host, "mac", p.mac, "ipv4", p.ipv4, "ipv6", p.ipv6, NULL };

		d = net_driver_get(c->nc->drivers, n->driver, &err);
		if (!d || net_driver_discover(d, true, "endpoint", data, &err) < 0)
			log_warn("a container of host %s on network %s: %s", p.host, n->name, err_text(&err));
		tell_names(c, n, ep, &p);
	}
	jdesc_clear(&place_desc, &p);
}

static void endpoint_went(struct net_cluster *c, const char *network, const char *ep)
{
	OWN_NETWORK struct network *n = network_by_id(c->nc, network);
	const char *const data[] = { "network", network, "endpoint", ep, NULL };
	OWN_ERR struct err err = ERR_INIT;
	struct net_driver *d = n ? net_driver_get(c->nc->drivers, n->driver, &err) : NULL;

	if (d && net_driver_discover(d, false, "endpoint", data, &err) < 0)
		log_warn("%s", err_text(&err));
	forget_names(c, ep);
}

/* All that is known of a network which is new here. */
static void network_whole(struct net_cluster *c, const char *id)
{
	OWN_FREE char *addresses = xasprintf("address/%s/", id), *endpoints = xasprintf("endpoint/%s/", id);
	OWN_STRMAP struct strmap v = { 0 }, w = { 0 };

	lock_take(&c->lock);
	mirror_list(&c->mirror, addresses, &v);
	mirror_list(&c->mirror, endpoints, &w);
	lock_drop(&c->lock);
	for (size_t i = 0; i < v.len; i++)
		net_address_hold_far(c->nc, id, v.v[i].value, v.v[i].key + strlen(addresses));
	for (size_t i = 0; i < w.len; i++)
		endpoint_came(c, id, w.v[i].key + strlen(endpoints), w.v[i].value);
}

/* One of another host, or of this one before it started. */
static void network_came(struct net_cluster *c, const char *id, const char *value)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_NETWORK struct network *n = NULL, *known = network_by_id(c->nc, id);
	struct net_driver *d;
	bool good;

	if (known) {
		network_whole(c, id);
		return;
	}
	n = network_from_text(value, &err);
	if (!n || !streq(n->id, id) || !network_is_global(n)) {
		log_warn("the cluster store's entry of network %.12s cannot be used: %s", id, err.msg ? err_text(&err) : "it is another one's");
		return;
	}
	d = net_driver_get(c->nc->drivers, n->driver, &err);
	if (!d) {
		log_warn("network %s of the cluster: %s", n->name, err_text(&err));
		return;
	}
	lock_take(&c->nc->lock);
	good = !net_entry_named(c->nc, n->name);
	if (good)
		net_entry_add(c->nc, network_ref(n))->state = NET_CREATING;
	lock_drop(&c->nc->lock);
	if (!good) {
		log_warn("network %s of the cluster is not seen here: there is a local network of that name", n->name);
		return;
	}
	tell_self(c, d);
	good = net_space_open(c->nc, n, &err) == 0 && net_driver_create(d, n, &c->nc->extra, false, &err) == 0;
	lock_take(&c->nc->lock);
	struct net_entry *e = net_entry_find(c->nc, id);

	if (e) {
		e->state = NET_UP;
		e->broken = !good;
	}
	lock_drop(&c->nc->lock);
	if (!good)
		log_warn("network %s of the cluster: %s", n->name, err_text(&err));
	network_whole(c, id);
	if (net_save(c->nc, &err) < 0)
		log_warn("%s", err_text(&err));
}

/* Whoever is on it here stays on it: the network goes with the last of them, at the next start. */
static void network_went(struct net_cluster *c, const char *id)
{
	OWN_NETWORK struct network *n = network_by_id(c->nc, id);
	OWN_ERR struct err err = ERR_INIT;
	struct net_driver *d;
	struct net_entry *e;
	bool used, kept;

	if (!n || !network_is_global(n))
		return;
	lock_take(&c->nc->lock);
	e = net_entry_find(c->nc, id);
	used = !e || e->held || net_endpoints_on(c->nc, id) || e->state != NET_UP;
	kept = e && e->state == NET_UP && used;
	if (e && !used)
		e->state = NET_REMOVING;
	lock_drop(&c->nc->lock);
	if (used) {
		if (kept)
			log_warn("network %s is gone from the cluster store, and containers of this host are on it: it stays here", n->name);
		return;
	}
	d = net_driver_get(c->nc->drivers, n->driver, &err);
	if (d && net_driver_delete(d, id, &err) < 0)
		log_warn("network %s: %s", n->name, err_text(&err));
	lock_take(&c->nc->lock);
	net_entry_drop(c->nc, id);
	lock_drop(&c->nc->lock);
	net_space_drop(c->nc, id);
	net_save(c->nc, NULL);
}

/* What net_cluster_address() found taken by somebody else is held under a name of its own. */
static void far_name(const char *address, char ret[ADDRESS_TEXT + 8])
{
	snprintf(ret, ADDRESS_TEXT + 8, "far-%s", address);
}

static void address_went(struct net_cluster *c, const char *network, const char *owner, const char *address)
{
	char far[ADDRESS_TEXT + 8];

	far_name(address, far);
	net_address_drop_far(c->nc, network, owner, address);
	net_address_drop_far(c->nc, network, far, address);
}

static void came(struct net_cluster *c, const char *key, const char *value)
{
	char id[ID_HEX + 1];
	const char *rest;

	if (split_key(key, "network/", id, &rest))
		network_came(c, id, value);
	else if (split_key(key, "address/", id, &rest))
		net_address_hold_far(c->nc, id, value, rest);
	else if (split_key(key, "endpoint/", id, &rest))
		endpoint_came(c, id, rest, value);
}

static void went(struct net_cluster *c, const char *key, const char *value)
{
	char id[ID_HEX + 1];
	const char *rest;

	if (split_key(key, "network/", id, &rest))
		network_went(c, id);
	else if (split_key(key, "address/", id, &rest))
		address_went(c, id, value, rest);
	else if (split_key(key, "endpoint/", id, &rest))
		endpoint_went(c, id, rest);
}

/* The mirror is whole: networks first, what is on them comes with them. */
static void on_synced(struct net_cluster *c)
{
	OWN_STRMAP struct strmap gone = { 0 }, networks = { 0 };

	lock_take(&c->lock);
	mirror_end(&c->mirror, &gone);
	mirror_list(&c->mirror, "network/", &networks);
	c->telling = false;
	lock_drop(&c->lock);
	for (size_t i = 0; i < gone.len; i++)
		went(c, gone.v[i].key, gone.v[i].value);
	for (size_t i = 0; i < networks.len; i++)
		came(c, networks.v[i].key, networks.v[i].value);
	log_info("cluster store: %zu networks", networks.len);
	lock_take(&c->lock);
	c->synced++;
	c->heard = true;
	pthread_cond_broadcast(&c->changed);
	lock_drop(&c->lock);
}

static void on_put(struct net_cluster *c, const char *key, const char *value)
{
	bool news;

	lock_take(&c->lock);
	news = mirror_put(&c->mirror, key, value) && !c->telling;
	lock_drop(&c->lock);
	if (news)
		came(c, key, value);
}

static void on_delete(struct net_cluster *c, const char *key)
{
	OWN_FREE char *value = NULL;

	lock_take(&c->lock);
	value = mirror_delete(&c->mirror, key);
	lock_drop(&c->lock);
	if (value)
		went(c, key, value);
}

static void on_event(void *ctx, enum kv_event event, const char *key, const char *value)
{
	struct net_cluster *c = ctx;

	if (event == KV_PUT) {
		on_put(c, key, value);
	} else if (event == KV_DELETE) {
		on_delete(c, key);
	} else if (event == KV_SYNCED) {
		on_synced(c);
	} else if (event == KV_BEGIN) {
		WITH_LOCK(&c->lock);
		mirror_begin(&c->mirror);
		c->telling = true;
	} else {
		log_warn("the cluster store is out of reach: %s; containers run on, and networks of the cluster stay as they are", value);
		WITH_LOCK(&c->lock);
		c->heard = true;
		pthread_cond_broadcast(&c->changed);
	}
}

/* Bringing the store in line */

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

static bool has_endpoint(const struct net_endpoint *v, size_t len, const char *id)
{
	for (size_t i = 0; i < len; i++)
		if (streq(v[i].id, id))
			return true;
	return false;
}

/* Entries of this host whose containers are gone. */
static void collect_stale(struct net_cluster *c, const struct net_endpoint *v, size_t len, struct strv *keys)
{
	OWN_STRMAP struct strmap endpoints = { 0 }, addresses = { 0 };
	OWN_STRV struct strv dead = { 0 };

	lock_take(&c->lock);
	mirror_list(&c->mirror, "endpoint/", &endpoints);
	mirror_list(&c->mirror, "address/", &addresses);
	lock_drop(&c->lock);
	for (size_t i = 0; i < endpoints.len; i++) {
		struct place p = { 0 };
		char id[ID_HEX + 1];
		const char *ep;

		if (split_key(endpoints.v[i].key, "endpoint/", id, &ep) && jdesc_parse(&place_desc, endpoints.v[i].value, strlen(endpoints.v[i].value), &p, NULL) == 0 &&
		    streq(p.host, c->address) && !has_endpoint(v, len, ep)) {
			strv_add(keys, endpoints.v[i].key);
			strv_add(&dead, ep);
		}
		jdesc_clear(&place_desc, &p);
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

/* dockerd-netd was told, when the sandboxes were adopted, to forget whom it does not know. */
static void tell_again(struct net_cluster *c)
{
	struct network **v;
	size_t len = net_list(c->nc, &v);

	for (size_t i = 0; i < len; i++)
		if (network_is_global(v[i]))
			network_whole(c, v[i]->id);
	net_list_free(v, len);
}

static void mend(struct net_cluster *c)
{
	OWN_STRV struct strv containers = { 0 }, stale = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct net_endpoint *v;
	size_t len = local_endpoints(c->nc, &v, &containers);

	for (size_t i = 0; i < len; i++) {
		OWN_NETWORK struct network *n = network_by_id(c->nc, v[i].network_id);

		if (n)
			enter_again(c, n);
		net_cluster_take(c, &v[i], NULL);
		net_cluster_arrived(c, &v[i], containers.v[i]);
	}
	collect_stale(c, v, len, &stale);
	if (stale.len && kv_delete(c->kv, &stale, &err) < 0)
		log_warn("%s", err_text(&err));
	for (size_t i = 0; i < len; i++)
		net_endpoint_done(&v[i]);
	free(v);
}

static void *run(void *arg)
{
	struct net_cluster *c = arg;

	tell_again(c);
	for (;;) {
		lock_take(&c->lock);
		while (!c->closing && c->mended == c->synced)
			lock_wait(&c->lock, &c->changed, -1);
		c->mended = c->synced;
		bool closing = c->closing;

		lock_drop(&c->lock);
		if (closing)
			return NULL;
		mend(c);
	}
}

/* Opening */

static int open_kv(struct net_cluster *c, const struct net_cluster_config *cfg, struct err *err)
{
	OWN_STRV struct strv endpoints = { 0 };
	OWN_FREE char *path = NULL, *prefix = NULL, *node = NULL;
	struct kv_config kc = { .program = cfg->program, .endpoints = &endpoints, .ttl = cfg->ttl, .ca = cfg->ca, .cert = cfg->cert, .key = cfg->key };
	OWN_ERR struct err ignored = ERR_INIT;

	if (kv_parse_url(cfg->store, !str_empty(cfg->ca) || !str_empty(cfg->cert), &endpoints, &path, err) < 0)
		return -1;
	prefix = xasprintf("%sdockerd/", path);
	kc.prefix = prefix;
	c->kv = kv_open(&kc, c->nc->spawner, on_event, c, err);
	if (!c->kv)
		return -1;
	node = xasprintf("node/%s", c->address);
	kv_put(c->kv, node, c->address, true, &ignored);
	return 0;
}

/* Networks of the cluster that the last run knew of are there before the store is. */
static void tell_drivers(struct net_cluster *c)
{
	struct network **v;
	size_t len = net_list(c->nc, &v);

	for (size_t i = 0; i < len; i++) {
		struct net_driver *d = network_is_global(v[i]) ? net_driver_get(c->nc->drivers, v[i]->driver, NULL) : NULL;

		if (d)
			tell_self(c, d);
	}
	net_list_free(v, len);
}

int net_set_cluster(struct net_controller *nc, const struct net_cluster_config *cfg, struct err *err)
{
	struct net_cluster *c = xcalloc(1, sizeof(*c));
	int64_t until = clock_mono() + FIRST_WAIT;

	c->nc = nc;
	lock_init(&c->lock, LOCK_LEAF);
	lock_cond_init(&c->changed);
	c->address = read_advertise(cfg->advertise, err);
	if (!c->address || open_kv(c, cfg, err) < 0) {
		net_cluster_close(c);
		return err_wrap(err, "cluster store");
	}
	tell_drivers(c);
	lock_take(&c->lock);
	while (!c->heard && clock_mono() < until)
		lock_wait(&c->lock, &c->changed, until - clock_mono());
	c->mended = c->synced; /* who is here is not known yet: the sandboxes come first */
	lock_drop(&c->lock);
	nc->cluster = c;
	return 0;
}

int net_cluster_begin(struct net_cluster *c, struct err *err)
{
	lock_take(&c->lock);
	c->mended = c->synced ? c->synced - 1 : 0; /* nothing can be mended before the store is there */
	lock_drop(&c->lock);
	if (pthread_create(&c->thread, NULL, run, c) != 0)
		return err_set(err, ERR_INTERNAL, "start the cluster's thread");
	c->running = true;
	return 0;
}

void net_cluster_close(struct net_cluster *c)
{
	if (!c)
		return;
	lock_take(&c->lock);
	c->closing = true;
	pthread_cond_broadcast(&c->changed);
	lock_drop(&c->lock);
	if (c->running)
		pthread_join(c->thread, NULL);
	kv_close(c->kv);
	mirror_done(&c->mirror);
	lock_done(&c->lock);
	pthread_cond_destroy(&c->changed);
	free(c->address);
	free(c);
}

/* Claims */

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
	if (kv_create(c->kv, &pairs, &why) == 0)
		return 0;
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
	tell_self(c, d);
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
		struct place p = { 0 };

		found = jdesc_parse(&place_desc, v.v[i].value, strlen(v.v[i].value), &p, NULL) == 0 && !streq(p.host, c->address);
		jdesc_clear(&place_desc, &p);
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
	endpoint_keys(ep, &keys);
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
	char text[ADDRESS_TEXT], far[ADDRESS_TEXT + 8];

	for (int try = 0; try < ADDRESS_TRIES; try++) {
		OWN_ERR struct err why = ERR_INIT;

		if (net_address_take(nc, d, ep, want4, want6, err) < 0)
			return -1;
		if (!network_is_global(n) || net_cluster_take(nc->cluster, ep, &why) == 0)
			return 0;
		net_address_drop(nc, ep);
		if (why.class != ERR_CONFLICT)
			return err_move(err, &why);
		if (!str_empty(want4) || !str_empty(want6))
			return err_set(err, ERR_FORBIDDEN, "Address already in use");
		for (int ipv6 = 0; ipv6 <= 1; ipv6++) {
			plain(ipv6 ? ep->ipv6 : ep->ipv4, text);
			far_name(text, far);
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
	endpoint_keys(ep, &keys);
	if (kv_delete(c->kv, &keys, &err) < 0)
		log_warn("other hosts do not hear yet that a container left network %s: %s", ep->network, err_text(&err));
}
