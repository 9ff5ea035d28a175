/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ports of running containers, as lists and inspect show them, and the filters "expose" and "publish", which look at those.
 * All under the container's lock, no other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/filters.h"
#include "container/internal.h"

/* One word of Config.ExposedPorts or of a filter: "80", "80/tcp", "80-90/udp". */
struct range {
	int64_t lo, hi;
	char *proto;
};

static const char *const protos[] = { "tcp", "udp", "sctp" };
struct port { int number, proto; }; /* proto: of protos */

static int proto_of(const char *name)
{
	for (int i = 0; i < (int)ARRAY_LEN(protos); i++)
		if (strcasecmp(protos[i], name) == 0)
			return i;
	return -1;
}

static int proto_index(const struct net_port *p)
{
	return proto_of(publish_proto(p->proto));
}

static void range_done(struct range *r) { free(r->proto); }
#define OWN_RANGE CLEANUP(range_done)

static int read_number(const char *text, int64_t *ret, struct err *err)
{
	size_t digits = strspn(text, "0123456789");

	if (!digits || text[digits])
		return err_set(err, ERR_INVALID, "strconv.ParseUint: parsing \"%.64s\": invalid syntax", text);
	if (digits > 9 || !str_to_i64(text, ret) || *ret > 65535)
		return err_set(err, ERR_INVALID, "strconv.ParseUint: parsing \"%.64s\": value out of range", text);
	return 0;
}

static int range_parse(const char *word, struct range *ret, struct err *err)
{
	size_t slash = strcspn(word, "/"), dash = strcspn(word, "-");
	OWN_FREE char *ports = xstrndup(word, slash), *lo = xstrndup(word, dash < slash ? dash : slash);

	*ret = (struct range){ .proto = xstrdup(word[slash] && word[slash + 1] ? word + slash + 1 : "tcp") };
	if (!slash)
		return err_set(err, ERR_INVALID, "empty string specified for ports");
	if (read_number(lo, &ret->lo, err) < 0)
		return -1;
	ret->hi = ret->lo;
	if (dash < slash && read_number(ports + dash + 1, &ret->hi, err) < 0)
		return -1;
	if (ret->hi < ret->lo)
		return err_set(err, ERR_INVALID, "invalid range specified for port: %.64s", ports);
	return 0;
}

int ports_check(const struct filters *f, const char *key, struct err *err)
{
	const struct strv *v = filters_get(f, key);

	for (size_t i = 0; v && i < v->len; i++) {
		OWN_RANGE struct range r = { 0 };

		if (strchr(v->v[i], ':'))
			return err_set(err, ERR_INVALID, "filter for '%s' should not contain ':': %.300s", key, v->v[i]);
		if (range_parse(v->v[i], &r, err) < 0)
			return err_wrap(err, "error while looking up for %s %.300s", key, v->v[i]);
	}
	return 0;
}

/* Ports belong to a sandbox with an interface of its own, as long as that is there. */
static bool has_ports(const struct container *c)
{
	if (!c->rec.state.running)
		return false;
	for (size_t i = 0; i < c->rec.net.networks.len; i++) {
		const char *name = c->rec.net.networks.keys[i];
		const struct endpoint *ep = jmap_at(&c->rec.net.networks, i, &endpoint_desc);

		if (!str_empty(ep->endpoint_id) && !streq(name, "none") && !streq(name, "host"))
			return true;
	}
	return false;
}

static int port_cmp(const void *a, const void *b)
{
	const struct port *x = a, *y = b;

	return x->number != y->number ? x->number - y->number : x->proto - y->proto;
}

/* Exposed or published: in order, each once, however it was spelled. Words that are ranges open nothing. */
static size_t collect(const struct container *c, struct port **ret)
{
	const struct strv *have = &c->rec.config.exposed_ports;
	size_t n = 0, len = 0;
	struct port *v;

	*ret = NULL;
	if (!(have->len + c->n_published) || !has_ports(c))
		return 0;
	*ret = v = xcalloc(have->len + c->n_published, sizeof(*v));
	for (size_t i = 0; i < have->len; i++) {
		OWN_RANGE struct range r = { 0 };
		int proto;

		if (range_parse(have->v[i], &r, NULL) == 0 && r.lo == r.hi && (proto = proto_of(r.proto)) >= 0)
			v[n++] = (struct port){ (int)r.lo, proto };
	}
	for (size_t i = 0; i < c->n_published; i++)
		v[n++] = (struct port){ (int)c->published[i].port, proto_index(&c->published[i]) };
	qsort(v, n, sizeof(*v), port_cmp);
	for (size_t i = 0; i < n; i++)
		if (!len || port_cmp(&v[len - 1], &v[i]) != 0)
			v[len++] = v[i];
	return len;
}

static bool leads_to(const struct net_port *q, const struct port *p)
{
	return (int)q->port == p->number && proto_index(q) == p->proto;
}

/* The next one behind at of those that lead to it, or NULL; at NULL: the first. They lie together, by number. */
static const struct net_port *published(const struct container *c, const struct port *p, const struct net_port *at)
{
	const struct net_port *end = c->published + c->n_published;
	size_t lo = 0, hi = c->n_published;

	if (at)
		return at + 1 < end && leads_to(at + 1, p) ? at + 1 : NULL;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if ((int)c->published[mid].port < p->number)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (at = c->published + lo; at < end && (int)at->port == p->number; at++)
		if (leads_to(at, p))
			return at;
	return NULL;
}

static bool passes(const struct strv *want, int number, int proto)
{
	for (size_t i = 0; want && i < want->len; i++) {
		OWN_RANGE struct range r = { 0 };

		if (range_parse(want->v[i], &r, NULL) == 0 && number >= r.lo && number <= r.hi && proto == proto_of(r.proto))
			return true;
	}
	return false;
}

/* Docker's rule: one of either filter is enough. */
bool ports_pass(const struct container *c, const struct filters *f)
{
	const struct strv *exposed = filters_get(f, "expose"), *host = filters_get(f, "publish");
	OWN_FREE struct port *v = NULL;
	size_t n;

	if (!exposed && !host)
		return true;
	n = collect(c, &v);
	for (size_t i = 0; i < n; i++)
		if (passes(exposed, v[i].number, v[i].proto))
			return true;
	for (size_t i = 0; i < c->n_published && has_ports(c); i++)
		if (passes(host, (int)c->published[i].host_port, proto_index(&c->published[i])))
			return true;
	return false;
}

static void encode_port(const struct port *p, const struct net_port *at, struct jw *w)
{
	jw_obj(w);
	if (at && !str_empty(at->host_ip))
		jw_kstr(w, "IP", at->host_ip);
	jw_kint(w, "PrivatePort", p->number);
	if (at)
		jw_kint(w, "PublicPort", at->host_port);
	jw_kstr(w, "Type", protos[p->proto]);
	jw_obj_end(w);
}

void ports_encode_list(const struct container *c, struct jw *w)
{
	OWN_FREE struct port *v = NULL;
	size_t n = collect(c, &v);

	jw_arr(w);
	for (size_t i = 0; i < n; i++) {
		const struct net_port *at = published(c, &v[i], NULL);

		do
			encode_port(&v[i], at, w);
		while (at && (at = published(c, &v[i], at)));
	}
	jw_arr_end(w);
}

void ports_encode_map(const struct container *c, struct jw *w)
{
	OWN_FREE struct port *v = NULL;
	size_t n = collect(c, &v);

	jw_obj(w);
	for (size_t i = 0; i < n; i++) {
		const struct net_port *at = published(c, &v[i], NULL);
		char key[24], number[12];

		snprintf(key, sizeof(key), "%d/%s", v[i].number, protos[v[i].proto]);
		if (!at) {
			jw_knull(w, key);
			continue;
		}
		jw_karr(w, key);
		for (; at; at = published(c, &v[i], at)) {
			snprintf(number, sizeof(number), "%u", at->host_port);
			jw_obj(w);
			jw_kstr(w, "HostIp", at->host_ip);
			jw_kstr(w, "HostPort", number);
			jw_obj_end(w);
		}
		jw_arr_end(w);
	}
	jw_obj_end(w);
}
