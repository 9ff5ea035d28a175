/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two threads: the store's tells what changed, and drivers hear of it from there; a second one brings the store in line with this host whenever
 * the store is back. Neither holds a lock over a driver call or a question to the store.
 */
#include "network/cluster_i.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"

#define FIRST_WAIT (5 * NSEC_PER_SEC)

bool network_is_global(const struct network *n)
{
	return n->scope && streq(n->scope, "global");
}

struct net_cluster *net_cluster_of(const struct net_controller *nc)
{
	return __atomic_load_n(&nc->cluster, __ATOMIC_ACQUIRE);
}

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
		cluster_went(c, gone.v[i].key, gone.v[i].value);
	for (size_t i = 0; i < networks.len; i++)
		cluster_came(c, networks.v[i].key, networks.v[i].value);
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
		cluster_came(c, key, value);
}

static void on_delete(struct net_cluster *c, const char *key)
{
	OWN_FREE char *value = NULL;

	lock_take(&c->lock);
	value = mirror_delete(&c->mirror, key);
	lock_drop(&c->lock);
	if (value)
		cluster_went(c, key, value);
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
static void *run(void *arg)
{
	struct net_cluster *c = arg;

	cluster_tell_all(c);
	for (;;) {
		lock_take(&c->lock);
		while (!c->closing && c->mended == c->synced)
			lock_wait(&c->lock, &c->changed, -1);
		c->mended = c->synced;
		bool closing = c->closing;

		lock_drop(&c->lock);
		if (closing)
			return NULL;
		cluster_mend(c);
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
			cluster_tell_self(c, d);
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
	while (!cfg->late && !c->heard && clock_mono() < until)
		lock_wait(&c->lock, &c->changed, until - clock_mono());
	c->mended = c->synced; /* who is here is not known yet: the sandboxes come first */
	lock_drop(&c->lock);
	__atomic_store_n(&nc->cluster, c, __ATOMIC_RELEASE);
	return cfg->late ? net_cluster_begin(c, err) : 0;
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
	strv_done(&c->mine);
	lock_done(&c->lock);
	pthread_cond_destroy(&c->changed);
	free(c->address);
	free(c);
}
