/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of sandboxes. One in the list does not change: who changes it works on a copy, and puts that in its place. */
#include "base/id.h"
#include "network/net_i.h"

struct net_box *net_box_new(const char *container_id, size_t endpoints)
{
	struct net_box *b = xcalloc(1, sizeof(*b));

	b->container = xstrdup(container_id);
	b->id = xmalloc(ID_HEX + 1);
	id_random_hex(b->id, ID_HEX);
	b->eps = xcalloc(endpoints + 1, sizeof(*b->eps));
	return b;
}

void net_box_free(struct net_box *b)
{
	free(b->container);
	free(b->id);
	for (size_t i = 0; i < b->eps_len; i++)
		net_endpoint_done(&b->eps[i]);
	free(b->eps);
	free(b->runs);
	strv_done(&b->servers);
	strv_done(&b->search);
	free(b);
}

void net_boxes_free(struct net_box *b)
{
	while (b) {
		struct net_box *next = b->next;

		net_box_free(b);
		b = next;
	}
}

struct net_box *net_box_copy(const struct net_box *b)
{
	struct net_box *c = net_box_new(b->container, b->eps_len + 1);

	str_set(&c->id, b->id);
	c->host = b->host;
	for (size_t i = 0; i < b->eps_len; i++)
		net_endpoint_copy(&c->eps[c->eps_len++], &b->eps[i]);
	c->runs = xcalloc(b->runs_len + 1, sizeof(*c->runs));
	if (b->runs_len)
		memcpy(c->runs, b->runs, b->runs_len * sizeof(*c->runs));
	c->runs_len = b->runs_len;
	strv_copy(&c->servers, &b->servers);
	strv_copy(&c->search, &b->search);
	return c;
}

struct net_endpoint *net_box_endpoint(const struct net_box *b, const char *network_id)
{
	for (size_t i = 0; i < b->eps_len; i++)
		if (streq(b->eps[i].network_id, network_id))
			return &b->eps[i];
	return NULL;
}

bool net_box_has(const struct net_box *b, const char *endpoint_id)
{
	for (size_t i = 0; i < b->eps_len; i++)
		if (streq(b->eps[i].id, endpoint_id))
			return true;
	return false;
}

struct net_endpoint *net_box_add(struct net_box *b, struct net_endpoint *e)
{
	b->eps = xrealloc(b->eps, (b->eps_len + 2) * sizeof(*b->eps));
	b->eps[b->eps_len] = *e;
	*e = (struct net_endpoint){ 0 };
	return &b->eps[b->eps_len++];
}

void net_box_del(struct net_box *b, const struct net_endpoint *e)
{
	size_t i = (size_t)(e - b->eps);

	net_endpoint_done(&b->eps[i]);
	b->eps_len--;
	memmove(b->eps + i, b->eps + i + 1, (b->eps_len - i) * sizeof(*b->eps));
}

static bool leads_before(const struct net_endpoint *a, const struct net_endpoint *b)
{
	if (a->way_out != b->way_out)
		return b->way_out;
	if (a->priority != b->priority)
		return a->priority > b->priority;
	return a->network && b->network && strcmp(a->network, b->network) < 0;
}

const struct net_endpoint *net_gateway(const struct net_endpoint *eps, size_t len, bool ipv6)
{
	const struct net_endpoint *first = NULL;

	for (size_t i = 0; i < len; i++)
		if (!str_empty(ipv6 ? eps[i].gateway6 : eps[i].gateway4) && (!first || leads_before(&eps[i], first)))
			first = &eps[i];
	return first;
}

void net_box_fill(const struct net_controller *nc, const struct net_box *b, bool endpoints, struct sandbox *ret)
{
	*ret = (struct sandbox){0};
	memcpy(ret->id, b->id, sizeof(ret->id));
	if (!b->host)
		ret->netns_path = net_box_path(nc->exec_root, b);
	ret->key = b->host ? xasprintf("%s/netns/default", nc->exec_root) : xstrdup(ret->netns_path);
	ret->resolver = net_box_named(b);
	ret->leads_out = net_gateway(b->eps, b->eps_len, false) || net_gateway(b->eps, b->eps_len, true);
	if (!endpoints)
		return;
	ret->eps = xcalloc(b->eps_len + 1, sizeof(*ret->eps));
	for (size_t i = 0; i < b->eps_len; i++)
		if (!b->eps[i].way_out)
			net_endpoint_copy(&ret->eps[ret->eps_len++], &b->eps[i]);
}

void net_box_publish(struct net_controller *nc, struct net_box *b, struct sandbox *ret)
{
	WITH_LOCK(&nc->lock);
	net_box_fill(nc, b, true, ret);
	b->next = nc->boxes;
	nc->boxes = b;
}

/* Where it is in the list. Under nc->lock; waits for whoever changes it. */
static struct net_box **place(struct net_controller *nc, const char *container_id)
{
	struct net_box **p = &nc->boxes;

	while (*p && !streq((*p)->container, container_id))
		p = &(*p)->next;
	if (!*p || !(*p)->busy)
		return p;
	lock_wait(&nc->lock, &nc->changed, -1);
	return place(nc, container_id);
}

struct net_box *net_box_withdraw(struct net_controller *nc, const char *container_id)
{
	struct net_box **p, *b;
	WITH_LOCK(&nc->lock);

	p = place(nc, container_id);
	b = *p;
	if (b) {
		*p = b->next;
		b->next = NULL;
	}
	return b;
}

struct net_box *net_box_take(struct net_controller *nc, const char *container_id, struct err *err)
{
	struct net_box *b;
	WITH_LOCK(&nc->lock);

	b = *place(nc, container_id);
	if (!b) {
		err_set(err, ERR_NOT_FOUND, "container %.12s has no sandbox", container_id);
		return NULL;
	}
	b->busy = true;
	return net_box_copy(b);
}

void net_box_put(struct net_controller *nc, struct net_box *b, bool changed)
{
	struct net_box **p;
	WITH_LOCK(&nc->lock);

	for (p = &nc->boxes; *p && !streq((*p)->container, b->container); p = &(*p)->next)
		;
	if (*p && changed) {
		struct net_box *old = *p;

		b->next = old->next;
		*p = b;
		net_box_free(old);
	} else {
		if (*p)
			(*p)->busy = false;
		net_box_free(b);
	}
	pthread_cond_broadcast(&nc->changed);
}
