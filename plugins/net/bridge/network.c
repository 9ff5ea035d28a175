/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks of the driver: made, found, kept as they are, taken away. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inside.h"

int32_t net_say(const struct dkd_net *d, const struct dkd_call *call, const struct br_error *e)
{
	uint32_t class = e->class ? e->class : e->sys ? DKD_ERR_INTERNAL : DKD_ERR_INVALID;

	return dkd_failf(d->host, call, class, e->sys, "%s%s%s", e->what, e->sys ? ": " : "", e->sys ? strerror(e->sys) : "");
}

int32_t net_unknown(const struct dkd_net *d, const struct dkd_call *call, const char *id)
{
	return dkd_failf(d->host, call, DKD_ERR_NOT_FOUND, 0, "network %.12s is not of this driver", id);
}

/*
 * A host that forwarded nothing would, from the moment on that a network needs it, be a router between all that it is
 * connected to: what closes the rest is there first. It stays until the host starts anew, and tells later daemons that it is
 * needed.
 */
static int set_forwarding(struct dkd_net *d, const struct br_net *n, int family, struct br_error *e)
{
	int close_rest = n->f[family].firewall && n->close, on = 1;
	struct br_error ignored;

	if (n->forward && !n->internal && (on = sysctl_forwards(family, e)) < 0)
		return -1;
	if (!close_rest) {
		fw_policy_delete(n, family, &ignored);
	} else if (!on || fw_policy_stands(n, family)) {
		if (fw_policy_write(n, family, e) < 0)
			return -1;
		d->closed[family] = 1;
	}
	return on ? 0 : sysctl_forward(family, e);
}

static void put_back_policy(struct dkd_net *d, const struct br_net *n, int family, int lost)
{
	struct br_error e;

	if (lost && n->f[family].on && n->f[family].firewall && n->close && fw_policy_write(n, family, &e) < 0)
		dkd_logf(d->host, DKD_LOG_ERROR, "%s: %s", e.what, strerror(e.sys));
}

/* What the watch calls. */
static void put_back(void *ctx)
{
	struct dkd_net *d = ctx;
	int policy_lost[FAMILIES];
	struct br_error e;

	pthread_mutex_lock(&d->rules);
	for (int f = 0; f < FAMILIES; f++)
		policy_lost[f] = d->nets && d->closed[f] && !fw_policy_stands(d->nets, f);
	for (const struct br_net *n = d->nets; n; n = n->next) {
		int lost = br_has_rules(n) && !fw_stands(n);

		if (lost)
			dkd_logf(d->host, DKD_LOG_WARN, "somebody took the %s rules of bridge %s away: they are put back",
				n->backend == BACKEND_IPTABLES ? "iptables" : "nftables", n->bridge);
		if (lost && fw_write(n, &e) < 0)
			dkd_logf(d->host, DKD_LOG_ERROR, "%s: %s", e.what, strerror(e.sys));
		put_back_policy(d, n, V4, policy_lost[V4]);
		put_back_policy(d, n, V6, policy_lost[V6]);
	}
	pthread_mutex_unlock(&d->rules);
}

static void watch(struct dkd_net *d, const struct br_net *n)
{
	if (!d->watch && !(d->watch = watch_start(put_back, d)))
		dkd_logf(d->host, DKD_LOG_WARN, "rules that somebody deletes are not put back: cannot watch them");
	if (d->watch && n->backend == BACKEND_IPTABLES)
		watch_iptables(d->watch);
}

/* Rules that an earlier daemon wrote go, too, when this one shall write none. */
int net_setup(struct dkd_net *d, const struct br_net *n, int adopt, struct br_error *e)
{
	struct br_error ignored;

	if (link_bridge(n, e) < 0)
		return -1;
	for (int f = 0; f < FAMILIES; f++)
		if (n->f[f].on && set_forwarding(d, n, f, e) < 0)
			return -1;
	if (!br_has_rules(n)) {
		fw_delete(n, &ignored);
		fw_delete_other(n);
		return 0;
	}
	if (adopt ? fw_adopt(n, e) < 0 : fw_write(n, e) < 0)
		return -1;
	fw_delete_other(n);
	watch(d, n);
	return 0;
}

struct br_net **net_find(struct dkd_net *d, const char *id)
{
	struct br_net **p = &d->nets;

	while (*p && strcmp((*p)->id, id) != 0)
		p = &(*p)->next;
	return p;
}

static int overlap(const struct br_family *a, const struct br_family *b)
{
	struct cidr x = a->subnet, y = b->subnet;

	if (!a->on || !b->on)
		return 0;
	x.bits = y.bits = x.bits < y.bits ? x.bits : y.bits;
	x = cidr_network(&x);
	y = cidr_network(&y);
	return ip_equal(&x.ip, &y.ip);
}

/* Under d->rules. */
static int check_conflicts(const struct dkd_net *d, const struct br_net *n, struct br_error *e)
{
	for (const struct br_net *o = d->nets; o; o = o->next) {
		const char *why = strcmp(o->bridge, n->bridge) == 0 ? "networks have same bridge name" :
			overlap(&o->f[V4], &n->f[V4]) ? "networks have overlapping IPv4" :
			overlap(&o->f[V6], &n->f[V6]) ? "networks have overlapping IPv6" : NULL;

		if (why && strcmp(o->id, n->id) != 0)
			return br_refuse(e, DKD_ERR_FORBIDDEN,
			"cannot create network %s (%s): conflicts with network %s (%s): %s", n->id,
				n->bridge, o->id, o->bridge, why);
	}
	return 0;
}

/* Under d->rules. Takes n in the place of the one of its id. */
static void insert(struct dkd_net *d, struct br_net *n)
{
	struct br_net **p, *old;

	pthread_mutex_lock(&d->lock);
	p = net_find(d, n->id);
	old = *p;
	n->next = old ? old->next : NULL;
	*p = n;
	pthread_mutex_unlock(&d->lock);
	free(old);
}

/* Endpoints of a network that is set up again go on; of a new one that fails nothing stays. Under d->rules. */
static int make(struct dkd_net *d, struct br_net *n, int restored, struct br_error *e)
{
	char own[IFNAMSIZ];
	const struct br_net *old = *net_find(d, n->id);
	int was_there = if_nametoindex(n->bridge) != 0;
	struct br_error ignored;

	snprintf(own, sizeof(own), "br-%.12s", n->id);
	if (check_conflicts(d, n, e) < 0)
		return -1;
	n->borrowed = !n->existing && !n->default_bridge && strcmp(n->bridge, own) != 0 && link_is_foreign(n->bridge, n->id);
	n->endpoints = old ? old->endpoints : NULL;
	if (net_setup(d, n, restored && !old, e) == 0)
		return 0;
	n->endpoints = NULL;
	if (!old && !restored)
		fw_delete(n, &ignored);
	if (!was_there)
		link_delete(n->bridge, &ignored);
	return -1;
}

int32_t bridge_create_network(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w)
{
	struct br_net *n = calloc(1, sizeof(*n));
	struct br_error e = { .sys = 0, .what = "out of memory" };
	int rc = n ? options_read(w, n, &e) : -1;

	pthread_mutex_lock(&d->rules);
	if (rc == 0)
		rc = beside_check(n, &e);
	if (rc == 0)
		rc = make(d, n, (w->flags & DKD_NET_RESTORED) != 0, &e);
	if (rc == 0) {
		beside_tell(d, n, (w->flags & DKD_NET_RESTORED) != 0);
		insert(d, n);
	}
	pthread_mutex_unlock(&d->rules);
	if (rc < 0)
		free(n);
	return rc < 0 ? net_say(d, call, &e) : 0;
}

int32_t bridge_skip_gateway(const struct dkd_call *call, struct dkd_net *d, const struct dkd_net_network *w)
{
	(void)call;
	(void)d;
	return options_isolated(w);
}

int net_get(struct dkd_net *d, const char *id, struct br_net *ret)
{
	struct br_net *n;

	pthread_mutex_lock(&d->lock);
	n = *net_find(d, id);
	if (n)
		*ret = *n;
	pthread_mutex_unlock(&d->lock);
	if (n)
		ret->endpoints = NULL;
	return n ? 0 : -1;
}

int32_t bridge_delete_network(const struct dkd_call *call, struct dkd_net *d, const char *network)
{
	struct br_error e = { 0 };
	struct br_net *n, **p;
	int rc;

	pthread_mutex_lock(&d->rules);
	pthread_mutex_lock(&d->lock);
	p = net_find(d, network);
	n = *p;
	if (n)
		*p = n->next;
	pthread_mutex_unlock(&d->lock);
	rc = n && br_has_rules(n) ? fw_delete(n, &e) : 0;
	pthread_mutex_unlock(&d->rules);
	if (!n)
		return 0;
	if (!n->existing && !n->borrowed && link_delete(n->bridge, &e) < 0)
		rc = -1;
	net_free(n);
	return rc < 0 ? net_say(d, call, &e) : 0;
}

