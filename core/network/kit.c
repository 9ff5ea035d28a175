/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/kit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/lock.h"
#include "base/log.h"

#define LIST_MOST (4u << 20)

/* As rootlesskit writes them. */
struct spec { char *proto, *parent_ip, *child_ip; int64_t parent_port, child_port; };
struct status { int64_t id; struct spec spec; };
struct net_info { char *driver, *child_ip; };
struct port_info { char *driver; struct strv protos; };
struct info { char *api_version, *version, *state; int64_t child_pid; struct net_info net; struct port_info port; };
struct answer { struct jlist ports; }; /* struct status */
struct own { char *kit; int64_t userns; struct strv ids; }; /* the daemon's own list */

JDESC(spec_desc, spec,
	JFIELD(spec, proto, "proto", J_STR, 0),
	JFIELD(spec, parent_ip, "parentIP", J_STR, J_OMITEMPTY),
	JFIELD(spec, parent_port, "parentPort", J_I64, 0),
	JFIELD(spec, child_ip, "childIP", J_STR, J_OMITEMPTY),
	JFIELD(spec, child_port, "childPort", J_I64, 0));
JDESC(status_desc, status,
	JFIELD(status, id, "id", J_I64, J_REQUIRED),
	JFIELD_SUB(status, spec, "spec", J_OBJ, 0, spec_desc));
JDESC(answer_desc, answer,
	JFIELD_SUB(answer, ports, "ports", J_LIST, 0, status_desc));
JDESC(net_info_desc, net_info,
	JFIELD(net_info, driver, "driver", J_STR, 0),
	JFIELD(net_info, child_ip, "childIP", J_STR, 0));
JDESC(port_info_desc, port_info,
	JFIELD(port_info, driver, "driver", J_STR, 0),
	JFIELD(port_info, protos, "protos", J_STRV, 0));
JDESC(info_desc, info,
	JFIELD(info, api_version, "apiVersion", J_STR, 0),
	JFIELD(info, version, "version", J_STR, 0),
	JFIELD(info, state, "stateDir", J_STR, 0),
	JFIELD(info, child_pid, "childPID", J_I64, 0),
	JFIELD_SUB(info, net, "networkDriver", J_OBJ, 0, net_info_desc),
	JFIELD_SUB(info, port, "portDriver", J_OBJ, 0, port_info_desc));
JDESC(own_desc, own,
	JFIELD(own, kit, "rootlesskit", J_STR, 0),
	JFIELD(own, userns, "userns", J_I64, J_OMITEMPTY),
	JFIELD(own, ids, "ports", J_STRV, 0));

/* One that rootlesskit listens on. */
struct lead {
	int64_t id;
	struct spec spec;
	char *endpoint; /* NULL: nobody's so far */
	bool own;       /* the daemon's, or one before it; others are the user's */
	bool wanted;    /* by the call at hand */
};

struct kit {
	char *socket, *file, *name; /* name: of this run of rootlesskit */
	int64_t userns;             /* the number of this run's user namespace; 0 where /proc does not tell */
	bool is_new;                /* the list is another run's */
	struct info info;           /* fixed */
	struct lock lock;           /* guards busy */
	pthread_cond_t idle;
	bool busy;
	struct lead *v;             /* of whoever is busy */
	size_t len;
};

static void lead_done(struct lead *l)
{
	jdesc_clear(&spec_desc, &l->spec);
	free(l->endpoint);
}

/* ---- turns ---- */

static void turn_begin(struct kit *k)
{
	lock_take(&k->lock);
	while (k->busy)
		lock_wait(&k->lock, &k->idle, -1);
	k->busy = true;
	lock_drop(&k->lock);
}

static void turn_end(struct kit **k)
{
	lock_take(&(*k)->lock);
	(*k)->busy = false;
	pthread_cond_signal(&(*k)->idle);
	lock_drop(&(*k)->lock);
}

/* One caller at a time has the list of ports, and rootlesskit. */
#define WITH_TURN(k) __attribute__((cleanup(turn_end), unused)) struct kit *turn_ = (turn_begin(k), k)

/* ---- rootlesskit ---- */

/* {"message":"..."} */
static int refused(const struct buf *answer, int status, struct err *err)
{
	OWN_JSON json_t *js = answer->data ? json_read(answer->data, strlen(answer->data), NULL) : NULL;
	const char *text = json_string_value(json_object_get(js, "message"));

	return err_set(err, ERR_INTERNAL, "%s", text ? text : status == 404 ? "not known" : "no reason is told");
}

static int ask_for(struct kit *k, const struct spec *spec, int64_t *ret_id, struct err *err)
{
	OWN_BUF struct buf body = { 0 }, answer = { 0 };
	struct status s = { 0 };
	struct jw w;
	int status, rc;

	jw_init(&w, &body);
	jdesc_encode(&spec_desc, spec, &w);
	buf_addc(&body, '\0');
	status = kit_call(k->socket, "POST", "/v1/ports", body.data, &answer, err);
	if (status < 0)
		return -1;
	if (status / 100 != 2)
		return refused(&answer, status, err);
	rc = jdesc_parse(&status_desc, answer.data, strlen(answer.data), &s, err);
	*ret_id = s.id;
	jdesc_clear(&status_desc, &s);
	return rc < 0 ? err_wrap(err, "the answer of rootlesskit") : 0;
}

static void give_back(struct kit *k, const struct lead *l)
{
	OWN_FREE char *path = xasprintf("/v1/ports/%lld", (long long)l->id);
	OWN_BUF struct buf answer = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int status = kit_call(k->socket, "DELETE", path, NULL, &answer, &err);

	if (status >= 0 && status / 100 != 2)
		refused(&answer, status, &err);
	/* with rootlesskit its ports have ended, too */
	if (err.msg && err.sys != ECONNREFUSED && err.sys != ENOENT)
		log_warn("the port %s:%lld/%s stays with rootlesskit: %s", l->spec.parent_ip ? l->spec.parent_ip : "",
			(long long)l->spec.parent_port, l->spec.proto, err_text(&err));
}

/* ---- the list ---- */

static struct lead *add_lead(struct kit *k)
{
	k->v = xrealloc(k->v, (k->len + 1) * sizeof(*k->v));
	k->v[k->len] = (struct lead){ 0 };
	return &k->v[k->len++];
}

/* Those that fn names are given back and forgotten. */
static void drop_leads(struct kit *k, bool (*fn)(const struct lead *l, const void *arg), const void *arg)
{
	size_t left = 0;

	for (size_t i = 0; i < k->len; i++) {
		if (fn(&k->v[i], arg)) {
			give_back(k, &k->v[i]);
			lead_done(&k->v[i]);
		} else {
			k->v[left++] = k->v[i];
		}
	}
	k->len = left;
}

/* Without it a daemon that comes after a crash takes these for the user's. */
static void write_own(const struct kit *k)
{
	struct own own = { .kit = k->name, .userns = k->userns, .ids = { .set = true } };
	OWN_BUF struct buf b = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct jw w;

	for (size_t i = 0; i < k->len; i++)
		if (k->v[i].own)
			strv_addf(&own.ids, "%lld", (long long)k->v[i].id);
	jw_init(&w, &b);
	jdesc_encode(&own_desc, &own, &w);
	if (fs_write_atomic(AT_FDCWD, k->file, b.data, b.size, 0600, FS_RENAME_ONLY, &err) < 0)
		log_warn("ports of rootlesskit: %s", err_text(&err));
	strv_done(&own.ids);
}

/* The number of its child may come again, that of a namespace may not as long as somebody is in it. */
static bool is_of_run(const struct kit *k, const struct own *own)
{
	return streq(own->kit, k->name) && (!own->userns || !k->userns || own->userns == k->userns);
}

static void read_own(struct kit *k)
{
	OWN_BUF struct buf b = { 0 };
	struct own own = { 0 };

	if (fs_read(AT_FDCWD, k->file, LIST_MOST, &b, NULL) < 0 || !b.size)
		return;
	if (jdesc_parse(&own_desc, b.data, b.size, &own, NULL) == 0 && own.kit)
		k->is_new = !is_of_run(k, &own);
	if (own.kit && !k->is_new)
		for (size_t i = 0; i < k->len; i++) {
			OWN_FREE char *id = xasprintf("%lld", (long long)k->v[i].id);

			k->v[i].own = strv_contains(&own.ids, id);
		}
	jdesc_clear(&own_desc, &own);
}

static int read_leads(struct kit *k, struct err *err)
{
	OWN_BUF struct buf answer = { 0 }, text = { 0 };
	struct answer a = { 0 };
	int status = kit_call(k->socket, "GET", "/v1/ports", NULL, &answer, err);

	if (status < 0 || (status != 200 && refused(&answer, status, err) < 0))
		return -1;
	buf_addf(&text, "{\"ports\":%s}", answer.data);
	if (jdesc_parse(&answer_desc, text.data, strlen(text.data), &a, err) < 0)
		return -1;
	for (size_t i = 0; i < a.ports.len; i++) {
		struct status *s = jlist_at(&a.ports, i, &status_desc);
		struct lead *l = add_lead(k);

		*l = (struct lead){ .id = s->id, .spec = s->spec };
		s->spec = (struct spec){ 0 };
	}
	jdesc_clear(&answer_desc, &a);
	return 0;
}

static int read_info(struct kit *k, struct err *err)
{
	OWN_BUF struct buf answer = { 0 };
	int status = kit_call(k->socket, "GET", "/v1/info", NULL, &answer, err);

	if (status < 0 || (status != 200 && refused(&answer, status, err) < 0))
		return -1;
	if (jdesc_parse(&info_desc, answer.data, strlen(answer.data), &k->info, err) < 0)
		return -1;
	k->name = xasprintf("%lld at %s", (long long)k->info.child_pid, k->info.state ? k->info.state : "");
	return 0;
}

struct kit *kit_open(const char *state, const char *exec_root, struct err *err)
{
	struct kit *k = xcalloc(1, sizeof(*k));
	struct stat st;

	k->socket = xasprintf("%s/api.sock", state);
	k->file = xasprintf("%s/rootlesskit-ports", exec_root);
	k->userns = stat("/proc/self/ns/user", &st) == 0 ? (int64_t)st.st_ino : 0;
	lock_init(&k->lock, LOCK_LEAF);
	lock_cond_init(&k->idle);
	if (read_info(k, err) < 0 || read_leads(k, err) < 0) {
		kit_close(k);
		return NULL;
	}
	read_own(k);
	return k;
}

void kit_close(struct kit *k)
{
	if (!k)
		return;
	for (size_t i = 0; i < k->len; i++)
		lead_done(&k->v[i]);
	free(k->v);
	jdesc_clear(&info_desc, &k->info);
	pthread_cond_destroy(&k->idle);
	lock_done(&k->lock);
	free(k->socket);
	free(k->file);
	free(k->name);
	free(k);
}

bool kit_is_new(const struct kit *k)
{
	return k->is_new;
}

void kit_about(const struct kit *k, struct kit_about *ret)
{
	*ret = (struct kit_about){ .version = k->info.version, .api_version = k->info.api_version, .state = k->info.state,
		.net_driver = k->info.net.driver, .port_driver = k->info.port.driver };
}

/* ---- where ---- */

/* Who reaches ports in here from the loopback, and not from an address that is not there. */
static bool by_loopback(const struct kit *k)
{
	return !k->info.port.driver || !streq(k->info.port.driver, "slirp4netns") || str_empty(k->info.net.child_ip);
}

static bool is_wildcard(const char *ip)
{
	return streq(ip, "0.0.0.0") || streq(ip, "::");
}

void kit_inside(const struct kit *k, const char *host_ip, bool ipv6, char ret[IP_TEXT])
{
	unsigned a, b, c, d;

	if (is_wildcard(host_ip))
		snprintf(ret, IP_TEXT, "%s", host_ip);
	else if (ipv6)
		snprintf(ret, IP_TEXT, "::1");
	else if (!by_loopback(k))
		snprintf(ret, IP_TEXT, "%s", k->info.net.child_ip);
	/* one of its own for each, as a port may be published at several */
	else if (sscanf(host_ip, "%u.%u.%u.%u", &a, &b, &c, &d) == 4 && (b || c || d) && (b & c & d) != 255)
		snprintf(ret, IP_TEXT, "127.%u.%u.%u", b & 255, c & 255, d & 255);
	else
		snprintf(ret, IP_TEXT, "127.0.0.1");
}

static char *proto_word(int proto, bool ipv6)
{
	return xasprintf("%s%d", proto == IPPROTO_TCP ? "tcp" : proto == IPPROTO_UDP ? "udp" : "sctp", ipv6 ? 6 : 4);
}

bool kit_leads(const struct kit *k, int proto, bool ipv6)
{
	OWN_FREE char *word = proto_word(proto, ipv6);

	return strv_contains(&k->info.port.protos, word);
}

/* ---- publishing ---- */

static bool same(const struct spec *a, const struct spec *b)
{
	return a->parent_port == b->parent_port && a->child_port == b->child_port && streq(a->proto ? a->proto : "", b->proto ? b->proto : "") &&
		streq(a->parent_ip ? a->parent_ip : "", b->parent_ip ? b->parent_ip : "") &&
		streq(a->child_ip ? a->child_ip : "", b->child_ip ? b->child_ip : "");
}

static void make_spec(const struct kit *k, const struct kit_port *p, unsigned i, struct spec *ret)
{
	bool ipv6 = strchr(p->host_ip, ':') != NULL;
	const char *child = p->inside;

	if (is_wildcard(child))
		child = ipv6 ? "::1" : by_loopback(k) ? "127.0.0.1" : k->info.net.child_ip;
	*ret = (struct spec){ .proto = proto_word(p->proto, ipv6), .parent_ip = xstrdup(p->host_ip), .child_ip = xstrdup(child),
		.parent_port = p->port + i, .child_port = p->port + i };
}

/* Its own, or one that a daemon before this one had, or had asked for when it died. */
static struct lead *find(struct kit *k, const char *endpoint, const struct spec *s)
{
	for (size_t i = 0; i < k->len; i++)
		if ((!k->v[i].endpoint || streq(k->v[i].endpoint, endpoint)) && !k->v[i].wanted && same(&k->v[i].spec, s))
			return &k->v[i];
	return NULL;
}

static bool is_stale(const struct lead *l, const void *endpoint)
{
	return l->endpoint && streq(l->endpoint, endpoint) && !l->wanted;
}

static bool is_of(const struct lead *l, const void *endpoint)
{
	return l->endpoint && streq(l->endpoint, endpoint);
}

static bool is_left(const struct lead *l, const void *unused)
{
	return l->own && !l->endpoint;
}

static bool says(const struct err *err, const char *words)
{
	return strstr(err_text(err), words) != NULL;
}

/* 1: not on this host, which nobody minds. */
static int publish_one(struct kit *k, const char *endpoint, const struct kit_port *p, unsigned i, bool *ret_taken, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;
	struct lead *l, made = { .own = true, .wanted = true };

	make_spec(k, p, i, &made.spec);
	l = find(k, endpoint, &made.spec);
	if (l) {
		lead_done(&made);
		str_set(&l->endpoint, endpoint);
		l->own = l->wanted = true;
		return 0;
	}
	if (ask_for(k, &made.spec, &made.id, &why) < 0) {
		lead_done(&made);
		*ret_taken = says(&why, "address already in use");
		if (p->maybe && (says(&why, "address family not supported") || says(&why, "cannot assign requested address")))
			return 1;
		err_move(err, &why);
		return err_wrap(err, "error while calling RootlessKit PortManager.AddPort()");
	}
	made.endpoint = xstrdup(endpoint);
	*add_lead(k) = made;
	return 0;
}

static int check(const struct kit *k, const struct kit_port *p, struct err *err)
{
	OWN_FREE char *word = proto_word(p->proto, strchr(p->host_ip, ':') != NULL);

	if (strv_contains(&k->info.port.protos, word))
		return 0;
	return err_set(err, ERR_INVALID, "protocol \"%s\" is not supported by the RootlessKit port driver \"%s\"", word,
		k->info.port.driver ? k->info.port.driver : "none");
}

/* What stays of the endpoint's is wanted; the rest goes before new ones come, as it may be in their way. */
static void mark(struct kit *k, const char *endpoint, const struct kit_port *ports, size_t len)
{
	for (size_t i = 0; i < k->len; i++)
		k->v[i].wanted = false;
	for (size_t i = 0; i < len; i++)
		for (unsigned j = 0; j < ports[i].count; j++) {
			struct spec s;
			struct lead *l;

			make_spec(k, &ports[i], j, &s);
			if ((l = find(k, endpoint, &s)))
				l->wanted = true;
			jdesc_clear(&spec_desc, &s);
		}
	drop_leads(k, is_stale, endpoint);
	for (size_t i = 0; i < k->len; i++)
		k->v[i].wanted = false;
}

int kit_publish(struct kit *k, const char *endpoint, const struct kit_port *ports, size_t len, size_t *ret_failed, struct err *err)
{
	WITH_TURN(k);
	bool taken = false;
	int rc = 0;

	*ret_failed = len;
	for (size_t i = 0; i < len; i++)
		if (check(k, &ports[i], err) < 0)
			return -1;
	mark(k, endpoint, ports, len);
	for (size_t i = 0; i < len && rc >= 0; i++)
		for (unsigned j = 0; j < ports[i].count && rc >= 0; j++) {
			rc = publish_one(k, endpoint, &ports[i], j, &taken, err);
			if (rc < 0 && taken)
				*ret_failed = i;
		}
	if (rc < 0)
		drop_leads(k, is_of, endpoint);
	write_own(k);
	return rc < 0 ? -1 : 0;
}

void kit_revoke(struct kit *k, const char *endpoint)
{
	WITH_TURN(k);
	size_t before = k->len;

	drop_leads(k, is_of, endpoint);
	if (k->len != before)
		write_own(k);
}

void kit_sweep(struct kit *k)
{
	WITH_TURN(k);

	drop_leads(k, is_left, NULL);
	write_own(k);
}
