/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parent.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>

#define ALIAS "dockerd:" /* and the driver: the daemon's to delete */
#define VLAN_MIN 1
#define VLAN_MAX 4094
#define MTU_MAX 65535ul

int32_t parent_say(const struct dkd_net *d, const struct dkd_call *call, uint32_t err_class, const struct link_error *e)
{
	return dkd_failf(d->host, call, err_class, e->sys, "%s%s%s", e->what, e->sys ? ": " : "", e->sys ? strerror(e->sys) : "");
}

int32_t parent_open(const struct parent_kind *kind, const struct dkd_call *call, const struct dkd_host *host, struct dkd_net **ret)
{
	struct dkd_net *d = calloc(1, sizeof(*d));

	if (!d)
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	d->host = host;
	d->kind = kind;
	pthread_mutex_init(&d->lock, NULL);
	*ret = d;
	return 0;
}

void parent_close(struct dkd_net *d)
{
	for (struct parent_net *n = d->nets, *next; n; n = next) {
		next = n->next;
		free(n);
	}
	pthread_mutex_destroy(&d->lock);
	free(d);
}

int32_t parent_capabilities(const struct dkd_call *call, struct dkd_net *d, struct dkd_net_caps *ret)
{
	(void)call;
	(void)d;
	ret->scope = DKD_NET_SCOPE_LOCAL;
	ret->connectivity = DKD_NET_SCOPE_GLOBAL; /* as far as the parent's own network reaches */
	ret->flags = 0;
	return 0;
}

static int read_word(const struct parent_kind *k, const char *what, const struct parent_word *words, const char *value, uint32_t *ret, struct link_error *e)
{
	*ret = words->number;
	if (!value || !*value)
		return 0;
	for (const struct parent_word *w = words; w->word; w++)
		if (strcmp(w->word, value) == 0) {
			*ret = w->number;
			return 0;
		}
	return link_fail(e, 0, "requested %s %s '%.64s' is not valid, '%s' %s is the %s driver default", k->name, what, value, words->word, what, k->name);
}

int32_t parent_known_options(const struct dkd_call *call, struct dkd_net *d, dkd_emit_pair *emit, void *to)
{
	(void)call;
	emit(to, "parent", "");
	emit(to, d->kind->mode_key, "");
	if (d->kind->flag_key)
		emit(to, d->kind->flag_key, "");
	emit(to, "com.docker.network.driver.mtu", "");
	return 0;
}

static int read_mtu(const struct dkd_net_network *w, struct parent_net *n, struct link_error *e)
{
	const char *v = dkd_pair_get(w->options, w->options_len, "com.docker.network.driver.mtu");
	char *end = NULL;
	unsigned long mtu = v && *v ? strtoul(v, &end, 10) : 0;

	if (v && *v && (*end || *v == '-' || mtu > MTU_MAX))
		return link_fail(e, 0, "invalid value for option com.docker.network.driver.mtu: \"%.64s\"", v);
	n->mtu = (uint32_t)mtu;
	return 0;
}

/* What the kernel takes as a name. */
static int name_is_good(const char *name)
{
	size_t len = strlen(name);

	return len < IFNAMSIZ && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strcspn(name, "/: \t\r\n\v\f") == len;
}

static int read_gateways(const struct dkd_net_network *w, struct parent_net *n, struct link_error *e)
{
	const struct dkd_net_pool *p = w->pools;
	unsigned char raw[16];

	for (uint32_t i = 0; i < w->pools_len; i++, p = (const void *)((const char *)p + w->pools->size)) {
		if (!p->gateway || !*p->gateway)
			continue;
		if (inet_pton(AF_INET, p->gateway, raw) == 1 && !*n->gateway4)
			snprintf(n->gateway4, sizeof(n->gateway4), "%s", p->gateway);
		else if (inet_pton(AF_INET6, p->gateway, raw) == 1 && !*n->gateway6)
			snprintf(n->gateway6, sizeof(n->gateway6), "%s", p->gateway);
		else if (inet_pton(AF_INET, p->gateway, raw) != 1 && inet_pton(AF_INET6, p->gateway, raw) != 1)
			return link_fail(e, 0, "invalid gateway %.64s", p->gateway);
	}
	return 0;
}

static void dummy_of(const struct parent_kind *k, const char *id, char ret[IFNAMSIZ])
{
	snprintf(ret, IFNAMSIZ, "%s%.12s", k->dummy, id);
}

static int read_network(const struct parent_kind *k, const struct dkd_net_network *w, struct parent_net *n, struct link_error *e)
{
	const char *parent = dkd_pair_get(w->options, w->options_len, "parent"), *mode = dkd_pair_get(w->options, w->options_len, k->mode_key);

	snprintf(n->id, sizeof(n->id), "%s", w->id);
	n->internal = (w->flags & DKD_NET_INTERNAL) != 0;
	n->ipv4 = (w->flags & DKD_NET_IPV4) != 0;
	n->ipv6 = (w->flags & DKD_NET_IPV6) != 0;
	if (parent && strcmp(parent, "lo") == 0)
		return link_fail(e, 0, "loopback interface is not a valid %s parent link", k->name);
	if (parent && *parent && !name_is_good(parent))
		return link_fail(e, 0, "invalid name of a parent interface: %.64s", parent);
	if (parent && *parent)
		snprintf(n->parent, sizeof(n->parent), "%s", parent);
	else
		dummy_of(k, w->id, n->parent);
	n->exclusive = k->exclusive && mode && strcmp(mode, k->exclusive) == 0;
	if (read_word(k, "mode", k->modes, mode, &n->mode, e) < 0 || read_mtu(w, n, e) < 0 || read_gateways(w, n, e) < 0)
		return -1;
	return k->flag_key ? read_word(k, "flag", k->flags, dkd_pair_get(w->options, w->options_len, k->flag_key), &n->flag, e) : 0;
}

static void put_vlan(struct nlmsghdr *h, const void *ctx)
{
	mnl_attr_put_u16(h, IFLA_VLAN_ID, *(const uint16_t *)ctx);
}

/* name: "eth0.10" */
static int make_vlan(const char *name, const char *alias, struct link_error *e)
{
	const char *dot = strrchr(name, '.');
	char below[IFNAMSIZ], *end = NULL;
	long id = dot && dot > name && dot[1] >= '0' && dot[1] <= '9' ? strtol(dot + 1, &end, 10) : 0;
	uint16_t number = (uint16_t)id;
	struct link_make m = { .name = name, .kind = "vlan", .alias = alias, .netns_fd = -1, .up = 1, .fill = put_vlan, .ctx = &number };
	struct link l;

	if (!end || *end)
		return link_fail(e, 0, "invalid subinterface vlan name %s, example formatting is eth0.10", name);
	if (id < VLAN_MIN || id > VLAN_MAX)
		return link_fail(e, 0, "vlan id must be between %d-%d, received: %ld", VLAN_MIN, VLAN_MAX, id);
	snprintf(below, sizeof(below), "%.*s", (int)(dot - name), name);
	if (link_get(NULL, below, &l, e) < 0)
		return -1;
	if (!l.index)
		return link_fail(e, 0, "failed to find master interface %s on the host", below);
	m.parent = l.index;
	return link_make(NULL, &m, e);
}

static void alias_of(const struct parent_kind *k, char ret[LINK_ALIAS])
{
	snprintf(ret, LINK_ALIAS, ALIAS "%s", k->name);
}

/* Under d->lock. */
static int set_parent(struct dkd_net *d, const struct parent_net *n, struct link_error *e)
{
	char alias[LINK_ALIAS], own[IFNAMSIZ];
	struct link_make dummy = { .name = n->parent, .kind = "dummy", .alias = alias, .netns_fd = -1, .up = 1 };
	struct link l;
	int rc;

	alias_of(d->kind, alias);
	dummy_of(d->kind, n->id, own);
	if (link_get(NULL, n->parent, &l, e) < 0)
		return -1;
	if (l.index && l.flags & IFF_LOOPBACK)
		return link_fail(e, 0, "loopback interface is not a valid %s parent link", d->kind->name);
	if (l.index)
		return l.up ? 0 : link_up(NULL, n->parent, e);
	rc = strcmp(n->parent, own) == 0 ? link_make(NULL, &dummy, e) : make_vlan(n->parent, alias, e);
	if (rc < 0 && e->sys == EOPNOTSUPP)
		return link_fail(e, 0, "cannot make the parent interface %s: the kernel has no interfaces of kind %s", n->parent,
			strcmp(n->parent, own) == 0 ? "dummy" : "vlan");
	return rc;
}

/* Under d->lock. Who shares a parent with whom. */
static int check_neighbours(const struct dkd_net *d, const struct parent_net *n, struct link_error *e)
{
	for (const struct parent_net *o = d->nets; o; o = o->next) {
		if (strcmp(o->parent, n->parent) != 0 || strcmp(o->id, n->id) == 0)
			continue;
		if (n->exclusive)
			return link_fail(e, 0, "cannot use mode %s, %s network %.12s is already using parent interface %s", d->kind->exclusive,
				d->kind->name, o->id, n->parent);
		if (o->exclusive)
			return link_fail(e, 0, "%s network %.12s is already using parent interface %s in mode %s", d->kind->name, o->id,
				n->parent, d->kind->exclusive);
	}
	return 0;
}

static struct parent_net **place(struct dkd_net *d, const char *id)
{
	struct parent_net **p = &d->nets;

	while (*p && strcmp((*p)->id, id) != 0)
		p = &(*p)->next;
	return p;
}

int32_t parent_create_network(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w)
{
	struct parent_net *n = calloc(1, sizeof(*n)), **p;
	struct link_error e = { ENOMEM, "out of memory" };
	uint32_t class = DKD_ERR_INVALID;
	int rc = n ? read_network(d->kind, w, n, &e) : -1;

	pthread_mutex_lock(&d->lock);
	if (rc == 0 && (rc = check_neighbours(d, n, &e)) < 0)
		class = DKD_ERR_FORBIDDEN;
	if (rc == 0)
		rc = set_parent(d, n, &e);
	if (rc == 0) {
		p = place(d, n->id);
		if (*p) {
			n->next = (*p)->next;
			free(*p);
		}
		*p = n;
	}
	pthread_mutex_unlock(&d->lock);
	if (rc < 0)
		free(n);
	return rc < 0 ? parent_say(d, call, e.sys ? DKD_ERR_INTERNAL : class, &e) : 0;
}

/* Under d->lock. The parent goes with its last network, if it was the driver who made it. */
static int drop_parent(struct dkd_net *d, const char *parent, struct link_error *e)
{
	char alias[LINK_ALIAS];
	struct link l;

	for (const struct parent_net *o = d->nets; o; o = o->next)
		if (strcmp(o->parent, parent) == 0)
			return 0;
	alias_of(d->kind, alias);
	if (link_get(NULL, parent, &l, e) < 0)
		return -1;
	return l.index && strcmp(l.alias, alias) == 0 ? link_delete(NULL, parent, e) : 0;
}

int32_t parent_delete_network(const struct dkd_call *call, struct dkd_net *d, const char *network)
{
	struct link_error e = { 0 };
	struct parent_net **p, *n;
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	p = place(d, network);
	n = *p;
	if (n) {
		*p = n->next;
		rc = drop_parent(d, n->parent, &e);
	}
	pthread_mutex_unlock(&d->lock);
	free(n);
	return rc < 0 ? parent_say(d, call, DKD_ERR_INTERNAL, &e) : 0;
}

int parent_find(const struct dkd_call *call, struct dkd_net *d, const char *network, struct parent_net *ret)
{
	const struct parent_net *n;

	pthread_mutex_lock(&d->lock);
	n = *place(d, network);
	if (n)
		*ret = *n;
	pthread_mutex_unlock(&d->lock);
	return n ? 0 : dkd_failf(d->host, call, DKD_ERR_NOT_FOUND, 0, "network %.12s is not of this driver", network);
}

int32_t parent_attach(const struct dkd_call *call, struct dkd_net *d, const struct parent_net *n, const struct dkd_net_join *j,
	void (*fill)(struct nlmsghdr *h, const void *ctx), char ret_name[IFNAMSIZ])
{
	struct link_make m = { .name = ret_name, .kind = d->kind->name, .netns_fd = j->sandbox_fd, .mtu = n->mtu, .fill = fill, .ctx = n };
	struct link_error e;
	struct link l;
	int rc;

	snprintf(ret_name, IFNAMSIZ, "veth%.11s", j->endpoint);
	if (j->sandbox_fd < 0)
		return dkd_failf(d->host, call, DKD_ERR_INVALID, 0, "a %s network needs a network namespace", d->kind->name);
	pthread_mutex_lock(&d->lock); /* a parent that somebody deleted comes back, if it is one that the driver makes */
	rc = set_parent(d, n, &e);
	pthread_mutex_unlock(&d->lock);
	if (rc < 0 || link_get(NULL, n->parent, &l, &e) < 0)
		return parent_say(d, call, DKD_ERR_INTERNAL, &e);
	m.parent = l.index;
	if (link_make(NULL, &m, &e) == 0)
		return 0;
	if (e.sys == EBUSY)
		return dkd_failf(d->host, call, DKD_ERR_CONFLICT, EBUSY, "cannot make a %s interface on %s: it is in use as a port or in another way that excludes it",
			d->kind->name, n->parent);
	if (e.sys == EOPNOTSUPP)
		return dkd_failf(d->host, call, DKD_ERR_NOT_IMPLEMENTED, EOPNOTSUPP, "the kernel has no %s interfaces", d->kind->name);
	return parent_say(d, call, DKD_ERR_INTERNAL, &e);
}
