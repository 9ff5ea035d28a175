/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "netd/ports.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "netd/flow.h"
#include "netd/hold.h"
#include "netd/log.h"
#include "netd/stream.h"

#define REST_NS  (100 * NSEC_PER_MSEC)     /* after which a full table of descriptors is tried again */

static struct list endpoints = LIST_INIT(endpoints), resting = LIST_INIT(resting);
static struct timer rest_timer;
static size_t n_endpoints, n_ports;

struct list *ports_endpoints(void)
{
	return &endpoints;
}

size_t ports_endpoint_count(void)
{
	return n_endpoints;
}

size_t ports_count(void)
{
	return n_ports;
}

struct endpoint *ports_find(const char *id)
{
	LIST_EACH(at, after, &endpoints) {
		struct endpoint *e = CONTAINER_OF(at, struct endpoint, all);

		if (streq(e->id, id))
			return e;
	}
	return NULL;
}

struct port *ports_at(struct endpoint *e, size_t index)
{
	LIST_EACH(at, after, &e->ports)
		if (index-- == 0)
			return CONTAINER_OF(at, struct port, of_set);
	return NULL;
}

static void drop_traffic(struct port *p)
{
	while (!list_empty(&p->streams))
		stream_cut(LIST_FIRST(&p->streams, struct stream, of_port));
	while (!list_empty(&p->flows))
		flow_end(LIST_FIRST(&p->flows, struct flow, of_port));
}

static void port_free(struct port *p)
{
	drop_traffic(p);
	list_del(&p->of_set);
	list_del(&p->paused);
	loop_close(&p->src);
	free(p);
	n_ports--;
}

static void set_free(struct list *set)
{
	while (!list_empty(set))
		port_free(LIST_FIRST(set, struct port, of_set));
}

static void endpoint_free(struct endpoint *e)
{
	set_free(&e->ports);
	list_del(&e->all);
	free(e->id);
	free(e);
	n_endpoints--;
}

static void rest_over(struct timer *t)
{
	while (!list_empty(&resting)) {
		struct port *p = LIST_FIRST(&resting, struct port, paused);

		list_del(&p->paused);
		loop_watch(&p->src, EPOLLIN);
	}
}

/* No descriptors, no memory, or as many connections as may be: clients wait in the kernel's queue for a while. */
static void rest(struct port *p)
{
	loop_unwatch(&p->src);
	list_del(&p->paused);
	list_add(&resting, &p->paused);
	if (!rest_timer.at)
		loop_timer_at(&rest_timer, loop_now() + REST_NS, rest_over);
}

static void port_ready(struct source *src, uint32_t events)
{
	struct port *p = CONTAINER_OF(src, struct port, src);
	int fd = -1, target, sys;

	if (p->proto == IPPROTO_UDP) {
		flow_ready(p);
		return;
	}
	/* the other half first: who was accepted is served */
	target = stream_count() < stream_limit() ? stream_socket(p) : -1;
	if (target >= 0)
		fd = accept4(src->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	else if (stream_count() >= stream_limit())
		errno = EMFILE;
	sys = errno;
	if (fd >= 0)
		stream_begin(p, fd, target);
	else if (target >= 0)
		close(target);
	if (fd >= 0 || (sys != EMFILE && sys != ENFILE && sys != ENOBUFS && sys != ENOMEM))
		return;
	netd_log_seldom(LOG_ERROR, "no more connections can be taken for now (%zu of %zu there are): %s", stream_count(), stream_limit(), strerror(sys));
	rest(p);
}

/* Listens and is watched, or only holds. -1 with errno. */
static int port_serve(struct port *p)
{
	if (p->src.fd < 0)
		return 0;
	if (hold_listen(p->src.fd, p->proto, p->proxy) < 0)
		return -1;
	if (p->proxy && p->proto == IPPROTO_UDP)
		flow_prepare(p->src.fd);
	else if (p->proxy)
		stream_prepare(p->src.fd);
	if (p->proxy)
		return loop_watch(&p->src, EPOLLIN);
	loop_unwatch(&p->src);
	return 0;
}

static struct port *port_new(const struct port_wish *w, const struct address *a, unsigned i, int fd)
{
	struct port *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct port){ .src = { .fd = fd, .fn = port_ready }, .proto = w->proto, .address = *a, .target = w->target, .proxy = w->proxy };
	address_set_port(&p->target, (uint16_t)(w->port + i));
	list_init(&p->of_set);
	list_init(&p->streams);
	list_init(&p->flows);
	list_init(&p->paused);
	n_ports++;
	return p;
}

/* Whose the address is in a set of ports. */
static struct port *taken_by(int proto, const struct address *a, const struct list *set)
{
	LIST_EACH(at, after, set) {
		struct port *p = CONTAINER_OF(at, struct port, of_set);

		if (p->proto == proto && address_port(&p->address) == address_port(a) && address_overlaps(&p->address, a))
			return p;
	}
	return NULL;
}

static struct port *taken(int proto, const struct address *a)
{
	LIST_EACH(at, after, &endpoints) {
		struct port *p = taken_by(proto, a, &CONTAINER_OF(at, struct endpoint, all)->ports);

		if (p)
			return p;
	}
	return NULL;
}

/* A set in the making. */
struct making {
	struct endpoint *old;    /* NULL: none */
	struct list fresh;       /* new sockets and claims, in order */
	struct list lent;        /* ports of the old set that had to go first: they come back when it fails */
};
/* In fresh for a port that the old set has already. */
struct claim {
	struct port p;           /* of_set only */
	struct port *of;
};

static struct port *claimable(struct making *m, int proto, const struct address *a)
{
	if (!m->old)
		return NULL;
	LIST_EACH(at, after, &m->old->ports) {
		struct port *p = CONTAINER_OF(at, struct port, of_set);

		if (!p->claimed && p->proto == proto && address_same(&p->address, a))
			return p;
	}
	return NULL;
}

#define OURS (-1) /* in place of an errno: another port of ours */

/* 0, OURS, or an errno. */
static int take(struct making *m, const struct port_wish *w, const struct address *a, unsigned i)
{
	struct port *p = claimable(m, w->proto, a), *held;
	OWN_FD int fd = -1;

	if (p) {
		struct claim *c = calloc(1, sizeof(*c));

		if (!c)
			return ENOMEM;
		c->of = p;
		c->p.claimed = p->claimed = true;
		c->p.target = w->target;
		address_set_port(&c->p.target, (uint16_t)(w->port + i));
		c->p.proxy = w->proxy;
		list_add(&m->fresh, &c->p.of_set);
		return 0;
	}
	fd = hold_bind(w->proto, a);
	if (fd == HOLD_RECORD_ONLY && (taken_by(w->proto, a, &m->fresh) || (held = taken(w->proto, a))))
		return OURS;
	if (fd == -1 && errno == EADDRINUSE) {
		held = taken(w->proto, a);
		if (taken_by(w->proto, a, &m->fresh) || (held && (held->endpoint != m->old || held->claimed)))
			return OURS;
		if (!held)
			return EADDRINUSE;
		/* the old set's own, which does not stay */
		loop_close(&held->src);
		list_del(&held->of_set);
		list_add(&m->lent, &held->of_set);
		fd = hold_bind(w->proto, a);
	}
	if (fd == -1)
		return errno;
	p = port_new(w, a, i, fd == HOLD_RECORD_ONLY ? -1 : fd);
	if (!p)
		return ENOMEM;
	fd = -1;
	list_add(&m->fresh, &p->of_set);
	if (port_serve(p) < 0)
		return errno; /* the set's undoing frees it */
	return 0;
}

static void undo_from(struct making *m, struct list *last)
{
	while (m->fresh.prev != last) {
		struct port *p = CONTAINER_OF(m->fresh.prev, struct port, of_set);

		if (!p->claimed) {
			port_free(p);
			continue;
		}
		list_del(&p->of_set);
		CONTAINER_OF(p, struct claim, p)->of->claimed = false;
		free(CONTAINER_OF(p, struct claim, p));
	}
}

/* All or nothing of n wishes that want the same port, beginning at host_port. 0, OURS or an errno; *ret_at: which was it. */
static int take_group(struct making *m, const struct port_wish *w, size_t n, unsigned host_port, struct address *ret_at)
{
	struct list *last = m->fresh.prev;

	for (size_t i = 0; i < n; i++)
		for (unsigned k = 0; k < w[i].count; k++) {
			int r;

			*ret_at = w[i].address;
			address_set_port(ret_at, (uint16_t)(host_port + k));
			r = take(m, &w[i], ret_at, k);
			if (r == 0)
				continue;
			undo_from(m, last);
			return r;
		}
	return 0;
}

/* What the endpoint had for this wish; 0 for nothing. */
static unsigned had_before(const struct making *m, const struct port_wish *w, unsigned begin, unsigned end)
{
	if (!m->old)
		return 0;
	LIST_EACH(at, after, &m->old->ports) {
		const struct port *p = CONTAINER_OF(at, struct port, of_set);
		struct address a = w->address;

		address_set_port(&a, address_port(&p->address));
		if (!p->claimed && p->proto == w->proto && address_same(&a, &p->address) && address_port(&p->target) == w->port &&
		    address_port(&a) >= begin && address_port(&a) <= end)
			return address_port(&a);
	}
	return 0;
}

static const char *proto_name(int proto)
{
	return proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "sctp";
}

static int fail(int why, const struct port_wish *w, const struct address *at, struct err *err)
{
	char text[ADDRESS_TEXT];

	address_text(at, text);
	if (why == OURS)
		return err_set(err, ERR_CONFLICT, "Bind for %s failed: port is already allocated", text);
	if (why == EADDRINUSE)
		return err_set(err, ERR_CONFLICT, "failed to bind host port %s/%s: address already in use", text, proto_name(w->proto));
	if (why == EADDRNOTAVAIL)
		return err_set(err, ERR_CONFLICT, "failed to bind host port %s/%s: cannot assign requested address", text, proto_name(w->proto));
	if (why == EMFILE || why == ENFILE)
		return err_set(err, ERR_UNAVAILABLE, "failed to bind host port %s/%s: dockerd-netd has no more file descriptors (%zu ports and "
			"%zu connections are held); raise the limit of open files", text, proto_name(w->proto), n_ports, stream_count());
	return err_errno(err, why, "failed to bind host port %s/%s", text, proto_name(w->proto));
}

static int choose(struct making *m, const struct port_wish *w, size_t n, unsigned *ret, struct err *err)
{
	static unsigned cursor; /* a port that was given back is not given out again at once */
	unsigned begin = w->begin, end = w->end, had, at;
	struct address where = w->address;
	int r;

	if (begin && begin == end) {
		*ret = begin;
		r = take_group(m, w, n, begin, &where);
		return r ? fail(r, w, &where, err) : 0;
	}
	if (!begin)
		hold_local_range(&begin, &end);
	had = had_before(m, w, begin, end);
	at = !w->begin && cursor >= begin && cursor < end ? cursor + 1 : begin;
	for (unsigned tried = 0; tried <= end - begin + 1; tried++) {
		unsigned port = tried == 0 ? had : at;

		if (tried > 0)
			at = at == end ? begin : at + 1;
		if (!port)
			continue;
		r = take_group(m, w, n, port, &where);
		if (r == 0) {
			*ret = port;
			if (!w->begin && port != had)
				cursor = port;
			return 0;
		}
		if (r != OURS && r != EADDRINUSE && r != EACCES)
			return fail(r, w, &where, err);
	}
	if (w->begin)
		return err_set(err, ERR_CONFLICT, "Bind for %s failed: port is already allocated", address_text(&where, (char[ADDRESS_TEXT]){ 0 }));
	return err_set(err, ERR_CONFLICT, "all ports are allocated");
}

/* The next one wants the same port in the other family. */
static bool is_pair(const struct port_wish *a, const struct port_wish *b)
{
	return a->proto == b->proto && a->port == b->port && a->begin == b->begin && a->end == b->end && a->count == b->count &&
		(a->begin == 0 || a->begin != a->end) && a->address.sa.sa_family != b->address.sa.sa_family;
}

static void put_back(struct making *m)
{
	undo_from(m, &m->fresh);
	while (!list_empty(&m->lent)) {
		struct port *p = LIST_FIRST(&m->lent, struct port, of_set);
		int fd = hold_bind(p->proto, &p->address);

		list_del(&p->of_set);
		list_add(&m->old->ports, &p->of_set);
		p->src.fd = fd >= 0 ? fd : -1;
		if (fd == -1 || port_serve(p) < 0)
			netd_log(LOG_ERROR, "port %u/%s is lost: %s", address_port(&p->address), proto_name(p->proto), strerror(errno));
	}
}

/* The old set's port gets what the new one wants of it. */
static void settle(struct port *p, const struct port *want)
{
	bool moved = !address_same(&p->target, &want->target), changed = p->proxy != want->proxy;

	p->claimed = false;
	p->target = want->target;
	p->proxy = want->proxy;
	if (moved || !p->proxy)
		while (!list_empty(&p->flows))
			flow_end(LIST_FIRST(&p->flows, struct flow, of_port));
	if (changed && port_serve(p) < 0)
		netd_log(LOG_ERROR, "port %u/%s does not listen: %s", address_port(&p->address), proto_name(p->proto), strerror(errno));
}

static void commit(struct making *m, struct endpoint *e)
{
	struct list set = LIST_INIT(set);

	while (!list_empty(&m->fresh)) {
		struct port *p = LIST_FIRST(&m->fresh, struct port, of_set);

		list_del(&p->of_set);
		if (p->claimed) {
			struct claim *c = CONTAINER_OF(p, struct claim, p);

			p = c->of;
			settle(p, &c->p);
			list_del(&p->of_set);
			free(c);
		}
		list_add(&set, &p->of_set);
		p->endpoint = e;
	}
	set_free(&e->ports);
	set_free(&m->lent);
	while (!list_empty(&set)) {
		struct port *p = LIST_FIRST(&set, struct port, of_set);

		list_del(&p->of_set);
		list_add(&e->ports, &p->of_set);
	}
}

struct endpoint *ports_adopt_endpoint(const char *id)
{
	struct endpoint *e = xcalloc(1, sizeof(*e));

	e->id = xstrdup(id);
	list_init(&e->ports);
	list_init(&e->all);
	list_add(&endpoints, &e->all);
	n_endpoints++;
	return e;
}

int ports_publish(const char *id, const struct port_wish *wishes, size_t len, unsigned *chosen, struct err *err)
{
	struct making m = { .old = ports_find(id) };

	list_init(&m.fresh);
	list_init(&m.lent);
	for (size_t i = 0; i < len;) {
		size_t n = i + 1 < len && is_pair(&wishes[i], &wishes[i + 1]) ? 2 : 1;

		if (choose(&m, &wishes[i], n, &chosen[i], err) < 0) {
			put_back(&m);
			return -1;
		}
		chosen[i + n - 1] = chosen[i];
		i += n;
	}
	if (len)
		commit(&m, m.old ? m.old : ports_adopt_endpoint(id));
	else
		ports_revoke(id);
	return 0;
}

void ports_revoke(const char *id)
{
	struct endpoint *e = ports_find(id);

	if (e)
		endpoint_free(e);
}

void ports_keep(bool (*keep)(const char *id, void *ctx), void *ctx)
{
	LIST_EACH(at, after, &endpoints) {
		struct endpoint *e = CONTAINER_OF(at, struct endpoint, all);

		if (!keep(e->id, ctx))
			endpoint_free(e);
	}
}

struct port *ports_adopt(struct endpoint *e, const struct port_wish *w, int fd)
{
	struct address a = w->address;
	struct port *p;

	address_set_port(&a, (uint16_t)w->begin);
	p = port_new(w, &a, 0, fd);
	if (!p)
		return NULL;
	p->endpoint = e;
	list_add(&e->ports, &p->of_set);
	return p;
}

void ports_pause(void)
{
	LIST_EACH(at, after, &endpoints) {
		struct endpoint *e = CONTAINER_OF(at, struct endpoint, all);

		LIST_EACH(pat, pafter, &e->ports) {
			struct port *p = CONTAINER_OF(pat, struct port, of_set);

			loop_unwatch(&p->src);
			LIST_EACH(sat, safter, &p->streams)
				stream_pause(CONTAINER_OF(sat, struct stream, of_port));
			LIST_EACH(fat, fafter, &p->flows)
				flow_pause(CONTAINER_OF(fat, struct flow, of_port));
		}
	}
}

void ports_resume(void)
{
	LIST_EACH(at, after, &endpoints) {
		struct endpoint *e = CONTAINER_OF(at, struct endpoint, all);

		LIST_EACH(pat, pafter, &e->ports) {
			struct port *p = CONTAINER_OF(pat, struct port, of_set);

			if (p->proxy)
				loop_watch(&p->src, EPOLLIN);
			LIST_EACH(sat, safter, &p->streams)
				stream_resume(CONTAINER_OF(sat, struct stream, of_port));
			LIST_EACH(fat, fafter, &p->flows)
				flow_resume(CONTAINER_OF(fat, struct flow, of_port));
		}
	}
}

static bool text_of(const char *bytes, size_t size)
{
	return memchr(bytes, '\0', size) != NULL;
}

static bool decode(const struct netd_wire_port *w, struct port_wish *ret)
{
	*ret = (struct port_wish){ .proto = (int)w->proto, .begin = w->host_port, .end = w->host_port_end, .count = w->count, .port = w->port,
		.proxy = w->flags & NETD_PORT_PROXY };
	if (w->proto != IPPROTO_TCP && w->proto != IPPROTO_UDP && w->proto != IPPROTO_SCTP)
		return false;
	if (w->port == 0 || w->port > 65535 || w->host_port > 65535 || w->host_port_end > 65535 || w->host_port_end < w->host_port ||
	    w->count == 0 || w->count > 65535 || w->port + w->count > 65536)
		return false;
	if (w->count > 1 && (w->host_port == 0 || w->host_port != w->host_port_end || w->host_port + w->count > 65536))
		return false;
	if (!text_of(w->host_ip, sizeof(w->host_ip)) || !text_of(w->target, sizeof(w->target)) || !address_parse(w->host_ip, 0, &ret->address))
		return false;
	return address_parse(w->target, (uint16_t)w->port, &ret->target) || (!*w->target && !ret->proxy);
}

int ports_decode(const struct netd_msg *m, struct port_wish **ret, size_t *ret_len, struct err *err)
{
	OWN_FREE struct port_wish *v = NULL;
	struct netd_field f;
	size_t len = 0, total = 0;

	for (size_t pos = 0; netd_msg_next(m, &pos, &f);) {
		struct netd_wire_port w;

		if (f.tag != NTAG_PORT)
			continue;
		if ((len & (len + 1)) == 0)
			v = xrealloc(v, (len + 1) * 2 * sizeof(*v));
		if (f.size < sizeof(w))
			return err_set(err, ERR_INVALID, "a port of %zu bytes", f.size);
		memcpy(&w, f.data, sizeof(w));
		if (!decode(&w, &v[len]))
			return err_set(err, ERR_INVALID, "no port: %.47s %u-%u, %u of them, to %.47s port %u, protocol %u", w.host_ip, w.host_port,
				w.host_port_end, w.count, w.target, w.port, w.proto);
		total += v[len++].count;
		if (total > 2 * NETD_PORTS)
			return err_set(err, ERR_INVALID, "more than %d ports", 2 * NETD_PORTS);
	}
	*ret = STEAL(v);
	*ret_len = len;
	return 0;
}
