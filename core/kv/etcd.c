/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "kv/etcd.h"

#include <curl/curl.h>
#include <nettle/base64.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"

#define CONNECT_MS 2000L
#define REQUEST_MS 5000L
#define RETRY_MIN (NSEC_PER_SEC / 2)
#define RETRY_MAX (10 * NSEC_PER_SEC)
#define ANSWER_MAX (64u << 20) /* of a whole mirror */
#define EVENT_MAX (4u << 20)   /* of one message of a watch */

enum kind { SYNC, WATCH, GRANT, RENEW, CHANGE };
enum state { DOWN, SYNCING, WATCHING };

struct etcd;
struct req {
	struct etcd *etcd;
	enum kind kind;
	CURL *easy;
	struct curl_slist *headers;
	char *body;
	struct buf answer;
	json_t *id;        /* of a change; NULL: nobody waits for it */
	bool create, dead; /* dead: what comes is not listened to */
	struct req *next;
};

struct etcd {
	CURLM *multi;
	json_t *endpoints;
	size_t endpoint;
	char *prefix, *ca, *cert, *key;
	int ttl;
	etcd_say *say;
	void *ctx;
	enum state state;
	bool told;             /* that it is down */
	bool resync;           /* the mirror is to be fetched anew; a watch cannot begin that itself */
	int64_t retry_at, retry_after, renew_at;
	long long revision;    /* seen so far */
	long long written;     /* by an answered change of this host */
	char *lease;           /* NULL: none now */
	bool granting;
	json_t *leased;        /* key -> value */
	struct req *reqs;
};

static char *b64(const void *data, size_t size)
{
	char *text = xmalloc(BASE64_ENCODE_RAW_LENGTH(size) + 1);

	base64_encode_raw(text, size, data);
	text[BASE64_ENCODE_RAW_LENGTH(size)] = '\0';
	return text;
}

static json_t *b64_json(const char *prefix, const char *text)
{
	OWN_FREE char *whole = xasprintf("%s%s", prefix, text), *coded = b64(whole, strlen(whole));

	return json_string(coded);
}

/* NULL for what is no text. */
static char *from_b64(const char *coded)
{
	size_t size = coded ? strlen(coded) : 0, len = BASE64_DECODE_LENGTH(size);
	OWN_FREE char *text = xmalloc(len + 1);
	struct base64_decode_ctx ctx;

	base64_decode_init(&ctx);
	if (!base64_decode_update(&ctx, &len, (uint8_t *)text, size, coded ? coded : "") || !base64_decode_final(&ctx) || memchr(text, '\0', len))
		return NULL;
	text[len] = '\0';
	return STEAL(text);
}

/* The first key behind all that begin with the prefix. */
static json_t *range_end(const char *prefix)
{
	OWN_FREE char *end = xstrdup(prefix), *coded = NULL;
	size_t n = strlen(end);

	if (!n)
		return json_string("AA=="); /* NUL: all keys there are */
	end[n - 1]++; /* no prefix ends in 0xff */
	coded = b64(end, n);
	return json_string(coded);
}

static void say_event(struct etcd *e, const char *event, const char *key, const char *value)
{
	json_t *m = json_pack("{s:s, s:s*, s:s*}", "event", event, "key", key, "value", value);

	if (!m)
		return; /* not UTF-8 */
	e->say(e->ctx, m);
	json_decref(m);
}

static void answer(struct etcd *e, json_t *id, const char *class, const char *text)
{
	json_t *m = class ? json_pack("{s:O, s:s, s:s}", "id", id, "error", text, "class", class) : json_pack("{s:O}", "id", id);

	if (!m) /* an error that is no UTF-8 */
		m = json_pack("{s:O, s:s, s:s}", "id", id, "error", "an unreadable answer of the store", "class", class);
	e->say(e->ctx, m);
	json_decref(m);
}

static void req_free(struct req *r)
{
	curl_easy_cleanup(r->easy);
	curl_slist_free_all(r->headers);
	free(r->body);
	buf_done(&r->answer);
	json_decref(r->id);
	free(r);
}

static void drop(struct etcd *e, struct req *r)
{
	struct req **p = &e->reqs;

	while (*p != r)
		p = &(*p)->next;
	*p = r->next;
	curl_multi_remove_handle(e->multi, r->easy);
	req_free(r);
}

static void begin(struct etcd *e, enum kind kind, const char *path, json_t *body, json_t *id, bool create);

/* Out of reach. What is under way ends by itself; the watch is given up. */
static void go_down(struct etcd *e, const char *text)
{
	json_t *m;

	for (struct req *r = e->reqs; r; r = r->next)
		if (r->kind == WATCH || r->kind == SYNC)
			r->dead = true;
	if (e->state != DOWN)
		e->retry_after = RETRY_MIN;
	e->state = DOWN;
	e->endpoint = (e->endpoint + 1) % json_array_size(e->endpoints);
	e->retry_at = clock_mono() + e->retry_after;
	e->retry_after = e->retry_after * 2 > RETRY_MAX ? RETRY_MAX : e->retry_after * 2;
	if (e->told)
		return;
	e->told = true;
	m = json_pack("{s:s, s:s}", "event", "down", "text", text);
	if (m)
		e->say(e->ctx, m);
	json_decref(m);
}

static const char *str_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* Numbers come as strings. */
static long long number_of(const json_t *o, const char *key)
{
	const char *s = str_of(o, key);

	return s ? strtoll(s, NULL, 10) : json_integer_value(json_object_get(o, key));
}

static void tell_put(struct etcd *e, const json_t *kv)
{
	OWN_FREE char *key = from_b64(str_of(kv, "key")), *value = from_b64(json_object_get(kv, "value") ? str_of(kv, "value") : "");

	if (key && value && str_has_prefix(key, e->prefix))
		say_event(e, "put", key + strlen(e->prefix), value);
}

static void tell_delete(struct etcd *e, const json_t *kv)
{
	OWN_FREE char *key = from_b64(str_of(kv, "key"));

	if (key && str_has_prefix(key, e->prefix))
		say_event(e, "delete", key + strlen(e->prefix), NULL);
}

static void start_sync(struct etcd *e)
{
	json_t *body = json_pack("{s:o, s:o}", "key", b64_json(e->prefix, ""), "range_end", range_end(e->prefix));

	e->state = SYNCING;
	begin(e, SYNC, "kv/range", body, NULL, false);
}

static void start_watch(struct etcd *e)
{
	json_t *body = json_pack("{s:{s:o, s:o, s:I, s:b}}", "create_request", "key", b64_json(e->prefix, ""), "range_end", range_end(e->prefix),
		"start_revision", (json_int_t)(e->revision + 1), "progress_notify", 1);

	e->state = WATCHING;
	begin(e, WATCH, "watch", body, NULL, false);
}

static void start_grant(struct etcd *e)
{
	if (e->granting)
		return;
	e->granting = true;
	begin(e, GRANT, "lease/grant", json_pack("{s:i}", "TTL", e->ttl), NULL, false);
}

static void put_leased(struct etcd *e, const char *key, const char *value, json_t *id)
{
	json_t *body = json_pack("{s:o, s:o, s:s}", "key", b64_json(e->prefix, key), "value", b64_json("", value), "lease", e->lease);

	begin(e, CHANGE, "kv/put", body, id, false);
}

static void on_sync(struct etcd *e, const json_t *js)
{
	const json_t *kvs = json_object_get(js, "kvs");

	e->revision = number_of(json_object_get(js, "header"), "revision");
	if (e->written > e->revision) { /* what this host was told it has is missing there; a store that was made anew never gets that far */
		e->written = 0;
		start_sync(e);
		return;
	}
	e->told = false;
	e->retry_after = RETRY_MIN;
	say_event(e, "begin", NULL, NULL);
	for (size_t i = 0; i < json_array_size(kvs); i++)
		tell_put(e, json_array_get(kvs, i));
	say_event(e, "synced", NULL, NULL);
	start_watch(e);
	if (!e->lease && json_object_size(e->leased))
		start_grant(e);
}

/* One message of the watch. */
static void on_watch(struct etcd *e, const json_t *js)
{
	const json_t *result = json_object_get(js, "result"), *events = json_object_get(result, "events");
	long long revision = number_of(json_object_get(result, "header"), "revision");

	if (!result || json_is_true(json_object_get(result, "canceled"))) { /* what was to be told is forgotten: all anew */
		for (struct req *r = e->reqs; r; r = r->next)
			r->dead |= r->kind == WATCH;
		e->resync = true;
		return;
	}
	for (size_t i = 0; i < json_array_size(events); i++) {
		const json_t *ev = json_array_get(events, i), *kv = json_object_get(ev, "kv");
		const char *type = str_of(ev, "type");

		if (type && streq(type, "DELETE"))
			tell_delete(e, kv);
		else
			tell_put(e, kv);
	}
	if (revision > e->revision)
		e->revision = revision;
}

static void on_grant(struct etcd *e, const json_t *js)
{
	const char *id = str_of(js, "ID"), *key;
	json_t *value;

	if (!id)
		return;
	str_set(&e->lease, id);
	e->renew_at = clock_mono() + e->ttl * NSEC_PER_SEC / 3;
	json_object_foreach(e->leased, key, value)
		put_leased(e, key, json_string_value(value), NULL);
}

static void on_renew(struct etcd *e, const json_t *js)
{
	if (number_of(json_object_get(js, "result"), "TTL") > 0)
		return;
	str_set(&e->lease, NULL); /* it ran out, and the keys went with it */
	start_grant(e);
}

static json_t *read_answer(const struct req *r)
{
	json_t *js = r->answer.size ? json_loadb(r->answer.data, r->answer.size, JSON_DISABLE_EOF_CHECK, NULL) : NULL;

	if (!json_is_object(js)) {
		json_decref(js);
		return NULL;
	}
	return js;
}

static void on_change(struct etcd *e, struct req *r, const json_t *js)
{
	long long revision = number_of(json_object_get(js, "header"), "revision");

	if (revision > e->written)
		e->written = revision;
	if (!r->id)
		return;
	if (r->create && !json_is_true(json_object_get(js, "succeeded")))
		answer(e, r->id, "conflict", "it exists already");
	else
		answer(e, r->id, NULL, NULL);
}

static void failed(struct etcd *e, struct req *r, const char *class, const char *text)
{
	if (r->kind == GRANT)
		e->granting = false;
	if (r->id)
		answer(e, r->id, class, text);
}

static void on_done(struct etcd *e, struct req *r, CURLcode code)
{
	json_t *js = NULL;
	char text[CURL_ERROR_SIZE + 300];
	long status = 0;

	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (code == CURLE_OK)
		js = read_answer(r);
	if (code != CURLE_OK || (r->kind == WATCH && status == 200)) {
		snprintf(text, sizeof(text), "%s: %s", json_string_value(json_array_get(e->endpoints, e->endpoint)),
			code == CURLE_OK ? "the connection ended" : curl_easy_strerror(code));
		failed(e, r, "unavailable", text);
		if (!r->dead)
			go_down(e, text);
	} else if (status != 200 || !js) {
		const char *message = str_of(js, "message"), *error = str_of(js, "error");

		snprintf(text, sizeof(text), "%s answers %ld: %.200s", json_string_value(json_array_get(e->endpoints, e->endpoint)), status,
			message ? message : error ? error : "nothing that can be read");
		failed(e, r, status >= 500 || status < 400 ? "unavailable" : "invalid", text);
		if (r->kind == RENEW && status == 404)
			on_renew(e, js);
		else if (!r->dead && r->kind != CHANGE)
			go_down(e, text);
	} else if (!r->dead) {
		if (r->kind == GRANT)
			e->granting = false;
		r->kind == SYNC ? on_sync(e, js) : r->kind == GRANT ? on_grant(e, js) : r->kind == RENEW ? on_renew(e, js) : on_change(e, r, js);
	}
	json_decref(js);
	drop(e, r);
}

/* A watch's messages come as they happen, one in a line. */
static void read_lines(struct req *r)
{
	char *end;

	while (!r->dead && (end = memchr(r->answer.data, '\n', r->answer.size))) {
		json_t *js = json_loadb(r->answer.data, (size_t)(end - r->answer.data), 0, NULL);

		if (js)
			on_watch(r->etcd, js);
		json_decref(js);
		buf_shift(&r->answer, (size_t)(end - r->answer.data) + 1);
	}
}

static size_t on_data(char *data, size_t size, size_t n, void *ctx)
{
	struct req *r = ctx;
	long status = 0;

	if (r->dead || r->answer.size + size * n > (r->kind == SYNC ? ANSWER_MAX : EVENT_MAX))
		return 0;
	buf_add(&r->answer, data, size * n);
	curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
	if (r->kind == WATCH && status == 200)
		read_lines(r);
	return r->dead ? 0 : size * n;
}

static void set_tls(const struct etcd *e, CURL *c)
{
	if (e->ca)
		curl_easy_setopt(c, CURLOPT_CAINFO, e->ca);
	if (e->cert)
		curl_easy_setopt(c, CURLOPT_SSLCERT, e->cert);
	if (e->key)
		curl_easy_setopt(c, CURLOPT_SSLKEY, e->key);
}

/* Takes body. */
static void begin(struct etcd *e, enum kind kind, const char *path, json_t *body, json_t *id, bool create)
{
	OWN_FREE char *url = xasprintf("%s/v3/%s", json_string_value(json_array_get(e->endpoints, e->endpoint)), path);
	struct req *r = xcalloc(1, sizeof(*r));
	CURL *c = curl_easy_init();

	*r = (struct req){ .etcd = e, .kind = kind, .easy = c, .body = json_dumps(body, JSON_COMPACT), .id = json_incref(id), .create = create, .next = e->reqs };
	json_decref(body);
	e->reqs = r;
	r->headers = curl_slist_append(NULL, "Content-Type: application/json");
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, r->body ? r->body : "{}");
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, r->headers);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
	curl_easy_setopt(c, CURLOPT_PRIVATE, r);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(c, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(c, CURLOPT_TCP_KEEPIDLE, 10L);
	curl_easy_setopt(c, CURLOPT_TCP_KEEPINTVL, 5L);
	if (kind != WATCH)
		curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, REQUEST_MS);
	set_tls(e, c);
	curl_multi_add_handle(e->multi, c);
}

struct etcd *etcd_new(const struct etcd_config *cfg, etcd_say *say, void *ctx)
{
	struct etcd *e = xcalloc(1, sizeof(*e));

	curl_global_init(CURL_GLOBAL_DEFAULT);
	e->multi = curl_multi_init();
	e->endpoints = json_incref(cfg->endpoints);
	e->prefix = xstrdup(cfg->prefix);
	e->ca = xstrdup(cfg->ca);
	e->cert = xstrdup(cfg->cert);
	e->key = xstrdup(cfg->key);
	e->ttl = cfg->ttl > 0 ? cfg->ttl : 60;
	e->say = say;
	e->ctx = ctx;
	e->leased = json_object();
	e->retry_after = RETRY_MIN;
	return e;
}

void etcd_free(struct etcd *e)
{
	if (!e)
		return;
	while (e->reqs)
		drop(e, e->reqs);
	curl_multi_cleanup(e->multi);
	json_decref(e->endpoints);
	json_decref(e->leased);
	free(e->prefix);
	free(e->ca);
	free(e->cert);
	free(e->key);
	free(e->lease);
	free(e);
	curl_global_cleanup();
}

static void request_put(struct etcd *e, json_t *m, json_t *id)
{
	const char *key = str_of(m, "key"), *value = str_of(m, "value");

	if (!key || !value) {
		answer(e, id, "invalid", "a key and a value are needed");
		return;
	}
	if (!json_is_true(json_object_get(m, "lease"))) {
		begin(e, CHANGE, "kv/put", json_pack("{s:o, s:o}", "key", b64_json(e->prefix, key), "value", b64_json("", value)), id, false);
		return;
	}
	json_object_set_new(e->leased, key, json_string(value));
	if (e->lease)
		put_leased(e, key, value, NULL);
	else if (e->state == WATCHING)
		start_grant(e);
	answer(e, id, NULL, NULL); /* it is there whenever the store is */
}

static void request_create(struct etcd *e, json_t *m, json_t *id)
{
	json_t *compare = json_array(), *success = json_array(), *pair;
	size_t i;

	json_array_foreach(json_object_get(m, "pairs"), i, pair) {
		const char *key = json_string_value(json_array_get(pair, 0)), *value = json_string_value(json_array_get(pair, 1));

		if (!key || !value)
			continue;
		json_array_append_new(compare, json_pack("{s:o, s:s, s:s, s:s}", "key", b64_json(e->prefix, key), "target", "CREATE", "result", "EQUAL",
			"create_revision", "0"));
		json_array_append_new(success, json_pack("{s:{s:o, s:o}}", "request_put", "key", b64_json(e->prefix, key), "value", b64_json("", value)));
	}
	begin(e, CHANGE, "kv/txn", json_pack("{s:o, s:o}", "compare", compare, "success", success), id, true);
}

static void request_delete(struct etcd *e, json_t *m, json_t *id)
{
	json_t *success = json_array(), *key;
	size_t i;

	json_array_foreach(json_object_get(m, "keys"), i, key) {
		if (!json_is_string(key))
			continue;
		json_object_del(e->leased, json_string_value(key));
		json_array_append_new(success, json_pack("{s:{s:o}}", "request_delete_range", "key", b64_json(e->prefix, json_string_value(key))));
	}
	begin(e, CHANGE, "kv/txn", json_pack("{s:o}", "success", success), id, false);
}

void etcd_request(struct etcd *e, json_t *m)
{
	json_t *id = json_object_get(m, "id");
	const char *op = str_of(m, "op");

	if (op && streq(op, "put"))
		request_put(e, m, id);
	else if (op && streq(op, "create"))
		request_create(e, m, id);
	else if (op && streq(op, "delete"))
		request_delete(e, m, id);
	else
		answer(e, id, "invalid", "no such operation");
}

/* Milliseconds until there is something to do by the clock; does what is due. */
static int due(struct etcd *e, int timeout_ms)
{
	int64_t now = clock_mono(), next = now + timeout_ms * NSEC_PER_MSEC;

	if (e->state == DOWN) {
		if (now >= e->retry_at)
			start_sync(e);
		else if (e->retry_at < next)
			next = e->retry_at;
	}
	if (e->lease && now >= e->renew_at) {
		e->renew_at = now + e->ttl * NSEC_PER_SEC / 3;
		begin(e, RENEW, "lease/keepalive", json_pack("{s:s}", "ID", e->lease), NULL, false);
	} else if (e->lease && e->renew_at < next) {
		next = e->renew_at;
	}
	return (int)((next - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

/* Those that are not listened to any more. */
static void bury(struct etcd *e)
{
	struct req *r = e->reqs;

	while (r) {
		struct req *next = r->next;

		if (r->dead)
			drop(e, r);
		r = next;
	}
}

void etcd_run(struct etcd *e, int fd, int timeout_ms)
{
	struct curl_waitfd extra = { .fd = fd, .events = CURL_WAIT_POLLIN };
	int wait = due(e, timeout_ms), running = 0, left;
	CURLMsg *msg;

	curl_multi_perform(e->multi, &running);
	while ((msg = curl_multi_info_read(e->multi, &left))) {
		struct req *r = NULL;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&r);
		on_done(e, r, msg->data.result);
		wait = 0; /* it may have begun others */
	}
	bury(e);
	if (e->resync) {
		e->resync = false;
		start_sync(e);
		wait = 0;
	}
	curl_multi_poll(e->multi, &extra, 1, wait, NULL);
}
