/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Published ports of a container: what PortBindings and PublishAllPorts ask for, and what was bound, which the record keeps in
 * Docker's shape (NetworkSettings.Ports). A port that was chosen stays for the run: a connect, a disconnect, an update and
 * another daemon ask for it by its number.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "container/internal.h"
#include "container/validate.h"

#define PORTS_MOST 70000 /* of one container: all of one address, and some */

/* "80", "80-90"; false on anything else. */
static bool read_range(const char *s, size_t size, unsigned *ret_lo, unsigned *ret_hi)
{
	OWN_FREE char *text = xstrndup(s, size);
	char *dash = strchr(text, '-');
	int64_t lo, hi;

	if (dash)
		*dash = '\0';
	if (*text < '0' || *text > '9' || strlen(text) > 5 || !str_to_i64(text, &lo))
		return false;
	hi = lo;
	if (dash && (dash[1] < '0' || dash[1] > '9' || strlen(dash + 1) > 5 || !str_to_i64(dash + 1, &hi)))
		return false;
	*ret_lo = (unsigned)lo;
	*ret_hi = (unsigned)hi;
	return lo <= hi && hi <= 65535;
}

static int proto_number(const char *name)
{
	return strcasecmp(name, "tcp") == 0 ? IPPROTO_TCP : strcasecmp(name, "udp") == 0 ? IPPROTO_UDP :
		strcasecmp(name, "sctp") == 0 ? IPPROTO_SCTP : -1;
}

const char *publish_proto(int proto)
{
	return proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "sctp";
}

/* A key of PortBindings or ExposedPorts: one port. */
static bool read_key(const char *key, int *ret_proto, unsigned *ret_port)
{
	size_t n = strcspn(key, "/");
	unsigned hi;

	*ret_proto = key[n] ? proto_number(key + n + 1) : IPPROTO_TCP;
	return *ret_proto >= 0 && read_range(key, n, ret_port, &hi) && *ret_port == hi;
}

static bool is_ip(const char *s)
{
	unsigned char raw[16];

	return inet_pton(AF_INET, s, raw) == 1 || inet_pton(AF_INET6, s, raw) == 1;
}

struct binding { char *ip, *port; };
JDESC(binding_desc, binding, JFIELD(binding, ip, "HostIp", J_STR, 0), JFIELD(binding, port, "HostPort", J_STR, 0));

void publish_any_case(json_t *bindings)
{
	const char *key;
	json_t *item, *b;
	size_t i;

	json_object_foreach(bindings, key, item)
		json_array_foreach(item, i, b)
			jdesc_any_case(&binding_desc, b);
}

static int check_binding(const char *key, size_t i, const json_t *b, struct err *err)
{
	const char *ip = json_string_value(json_object_get(b, "HostIp")), *port = json_string_value(json_object_get(b, "HostPort"));
	const char *member;
	unsigned lo, hi;
	json_t *other;

	if (!json_is_object(b))
		return err_set(err, ERR_INVALID, "invalid JSON: /HostConfig/PortBindings/%.64s/%zu: expected an object", key, i);
	for (size_t k = 0; k < binding_desc.len; k++) {
		const json_t *v = json_object_get(b, binding_desc.fields[k].key);

		if (v && !json_is_string(v) && !json_is_null(v))
			return err_set(err, ERR_INVALID, "invalid JSON: /HostConfig/PortBindings/%.64s/%zu/%s: expected a string", key, i,
				binding_desc.fields[k].key);
	}
	json_object_foreach((json_t *)b, member, other)
		for (size_t k = 0; k < binding_desc.len; k++)
			if (strcasecmp(member, binding_desc.fields[k].key) == 0 && !streq(member, binding_desc.fields[k].key))
				return err_set(err, ERR_INVALID, "invalid JSON: /HostConfig/PortBindings/%.64s/%zu/%s: the key is written %s", key, i,
					member, binding_desc.fields[k].key);
	if (!str_empty(port) && !read_range(port, strlen(port), &lo, &hi))
		return err_set(err, ERR_INVALID, "invalid port specification: \"%.64s\"", port);
	if (!str_empty(ip) && !is_ip(ip))
		return err_set(err, ERR_INVALID, "invalid host IP address of a port: \"%.64s\"", ip);
	return 0;
}

int publish_check(const struct host_config *hc, struct err *err)
{
	OWN_JSON json_t *js = NULL;
	const char *key;
	json_t *item;

	if (!hc->port_bindings)
		return 0;
	js = json_read(hc->port_bindings, strlen(hc->port_bindings), err);
	if (!js)
		return -1;
	if (!json_is_object(js) && !json_is_null(js))
		return err_set(err, ERR_INVALID, "invalid JSON: /HostConfig/PortBindings: expected an object");
	json_object_foreach(js, key, item) {
		bool known = proto_number(key[strcspn(key, "/")] ? key + strcspn(key, "/") + 1 : "tcp") >= 0;
		unsigned port;
		int proto;
		size_t i;
		json_t *b;

		if (!read_key(key, &proto, &port))
			return err_set(err, ERR_INVALID, "invalid port specification: \"%.*s\"", known ? (int)strcspn(key, "/") : 64, key);
		if (!json_is_array(item) && !json_is_null(item))
			return err_set(err, ERR_INVALID, "invalid JSON: /HostConfig/PortBindings/%.64s: expected an array", key);
		json_array_foreach(item, i, b)
			if (check_binding(key, i, b, err) < 0)
				return -1;
	}
	return 0;
}

bool publish_any(const struct host_config *hc)
{
	const char *p = hc->port_bindings;

	return hc->publish_all_ports || (p && !streq(p, "{}") && !streq(p, "null"));
}

/* A growing list of ports. */
struct port_list { struct net_port *v; size_t len, room; };

static void port_list_done(struct port_list *l)
{
	net_ports_free(l->v, l->len);
	*l = (struct port_list){ 0 };
}

static void add_port(struct port_list *l, int proto, const char *ip, unsigned lo, unsigned hi, unsigned port)
{
	if (l->len == l->room) {
		l->room = l->room ? 2 * l->room : 8;
		l->v = xrealloc(l->v, l->room * sizeof(*l->v));
	}
	l->v[l->len++] = (struct net_port){ .proto = proto, .host_ip = xstrdup(ip), .host_port = lo, .host_port_end = hi, .port = port };
}

static void add_bindings(struct port_list *l, int proto, unsigned port, const json_t *bindings)
{
	size_t i;
	json_t *b;

	json_array_foreach(bindings, i, b) {
		const char *ip = json_string_value(json_object_get(b, "HostIp")), *word = json_string_value(json_object_get(b, "HostPort"));
		unsigned lo = 0, hi = 0;

		if (!str_empty(word))
			read_range(word, strlen(word), &lo, &hi);
		add_port(l, proto, ip ? ip : "", lo, hi, port);
	}
}

/* Whether a binding of that port is in the list. */
static bool has_port(const struct port_list *l, int proto, unsigned port)
{
	for (size_t i = 0; i < l->len; i++)
		if (l->v[i].proto == proto && l->v[i].port == port)
			return true;
	return false;
}

static int wanted(const struct host_config *hc, const struct strv *exposed, struct port_list *ret, struct err *err)
{
	OWN_JSON json_t *js = str_empty(hc->port_bindings) ? NULL : json_read(hc->port_bindings, strlen(hc->port_bindings), NULL);
	size_t bound;
	const char *key;
	json_t *item;

	json_object_foreach(js, key, item) {
		unsigned port;
		int proto;

		if (read_key(key, &proto, &port))
			add_bindings(ret, proto, port, item);
	}
	bound = ret->len;
	for (size_t i = 0; hc->publish_all_ports && i < exposed->len; i++) {
		struct port_list given = { .v = ret->v, .len = bound };
		unsigned port;
		int proto;

		if (read_key(exposed->v[i], &proto, &port) && !has_port(&given, proto, port))
			add_port(ret, proto, "", 0, 0, port);
	}
	return ret->len > PORTS_MOST ? err_set(err, ERR_INVALID, "too many published ports: %zu", ret->len) : 0;
}

static bool is_any(const char *ip)
{
	return str_empty(ip) || streq(ip, "0.0.0.0") || streq(ip, "::");
}

enum { FIXED, RANGE, ANY };

static int choice_of(const struct net_port *p)
{
	return !p->host_port ? ANY : p->host_port == p->host_port_end ? FIXED : RANGE;
}

/* Whether q, which is bound, is what p asks for. */
static bool answers(const struct net_port *p, const struct net_port *q)
{
	return q->proto == p->proto && q->port == p->port && (streq(p->host_ip, q->host_ip) || (str_empty(p->host_ip) && is_any(q->host_ip))) &&
		(!p->host_port || (q->host_port >= p->host_port && q->host_port <= p->host_port_end));
}

/* Both families of a binding have one number; used: the bindings that are somebody's. 0: there is none. */
static unsigned claim(const struct container *c, const struct net_port *p, bool *used)
{
	unsigned found = 0;

	for (size_t k = 0; k < c->n_published; k++)
		if (!used[k] && answers(p, &c->published[k]) && (!found || c->published[k].host_port == found)) {
			found = c->published[k].host_port;
			used[k] = true;
		}
	return found;
}

/* Ports that the client left open and that have been chosen are asked for by their number. */
static void keep_chosen(struct container *c, struct port_list *l)
{
	WITH_LOCK(&c->lock);
	OWN_FREE bool *used = xcalloc(c->n_published + 1, sizeof(*used));
	bool open = false;

	for (size_t i = 0; i < l->len; i++)
		open |= choice_of(&l->v[i]) != FIXED;
	if (!open || !c->n_published)
		return;
	/* who is content with less has the first word */
	for (int choice = 0; choice <= ANY; choice++)
		for (size_t i = 0; i < l->len; i++) {
			unsigned found = choice_of(&l->v[i]) == choice ? claim(c, &l->v[i], used) : 0;

			if (found)
				l->v[i].host_port = l->v[i].host_port_end = found;
		}
}

static int port_cmp(const void *a, const void *b)
{
	const struct net_port *x = a, *y = b;

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	if (x->host_port != y->host_port)
		return x->host_port < y->host_port ? -1 : 1;
	return strcmp(x->host_ip, y->host_ip);
}

/* NetworkSettings.Ports, as Docker's record has it. */
static char *as_text(const struct net_port *v, size_t n)
{
	struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	for (size_t i = 0; i < n; i++) {
		char key[24], number[12];

		snprintf(key, sizeof(key), "%u/%s", v[i].port, publish_proto(v[i].proto));
		snprintf(number, sizeof(number), "%u", v[i].host_port);
		if (i == 0 || v[i].port != v[i - 1].port || v[i].proto != v[i - 1].proto)
			jw_karr(&w, key);
		jw_obj(&w);
		jw_kstr(&w, "HostIp", v[i].host_ip);
		jw_kstr(&w, "HostPort", number);
		jw_obj_end(&w);
		if (i + 1 == n || v[i].port != v[i + 1].port || v[i].proto != v[i + 1].proto)
			jw_arr_end(&w);
	}
	jw_obj_end(&w);
	return buf_steal(&b);
}

/* Takes v over. */
static void set_published(struct container *c, struct net_port *v, size_t n)
{
	OWN_FREE char *text = NULL;
	WITH_LOCK(&c->lock);

	if (n)
		qsort(v, n, sizeof(*v), port_cmp);
	text = n ? as_text(v, n) : NULL;
	net_ports_free(c->published, c->n_published);
	c->published = v;
	c->n_published = n;
	str_set(&c->rec.net.ports, text);
}

void publish_forget(struct container *c)
{
	set_published(c, NULL, 0);
}

void publish_read(struct container *c)
{
	OWN_JSON json_t *js = str_empty(c->rec.net.ports) ? NULL : json_read(c->rec.net.ports, strlen(c->rec.net.ports), NULL);
	struct port_list l = { 0 };
	const char *key;
	json_t *item;

	json_object_foreach(js, key, item) {
		unsigned port;
		int proto;

		if (read_key(key, &proto, &port) && l.len < PORTS_MOST)
			add_bindings(&l, proto, port, item);
	}
	set_published(c, l.v, l.len);
}

int publish_do(struct container *c, const struct host_config *hc, struct err *err)
{
	CLEANUP(port_list_done) struct port_list want = { 0 };
	OWN_STRV struct strv exposed = { 0 };
	struct net_port *got = NULL;
	bool had;
	size_t n = 0;

	lock_take(&c->lock);
	strv_copy(&exposed, &c->rec.config.exposed_ports);
	had = c->n_published > 0;
	lock_drop(&c->lock);
	/* without a way out of the sandbox there is none in: Docker publishes nothing either */
	if (!c->store->deps.nets)
		return 0;
	if (c->sandbox.leads_out && wanted(hc, &exposed, &want, err) < 0)
		return -1;
	if (!want.len && !had)
		return 0;
	keep_chosen(c, &want);
	if (sandbox_publish(c->store->deps.nets, c->id, want.v, want.len, &got, &n, err) < 0)
		return -1;
	set_published(c, got, n);
	return 0;
}
