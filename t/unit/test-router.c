/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/log.h"
#include "router.h"

#include "tap.h"

/* A request without a connection: the answer lands in globals. */
static struct { int status, replies; char type[64], body[512]; } got;
static const char *content_type;
static struct buf body;
static char seen[256];

static const char *fake_header(struct request *rq, const char *name)
{
	return streq(name, "Content-Type") ? content_type : NULL;
}

static ssize_t fake_read(struct request *rq, void *data, size_t size, struct err *err)
{
	size_t n = body.size < size ? body.size : size;

	if (n == 0)
		return 0;
	memcpy(data, body.data, n);
	buf_shift(&body, n);
	return (ssize_t)n;
}

static int fake_reply(struct request *rq, int status, const char *type, const void *data, size_t size)
{
	got.status = rq->status = status;
	got.replies++;
	snprintf(got.type, sizeof(got.type), "%s", type ? type : "");
	snprintf(got.body, sizeof(got.body), "%.*s", (int)size, data ? (const char *)data : "");
	rq->sent = SENT_ALL;
	return 0;
}

static int fake_begin(struct request *rq, int status, const char *type)
{
	got.status = rq->status = status;
	rq->sent = SENT_STREAM;
	return 0;
}

static int fake_write(struct request *rq, const void *data, size_t size)
{
	snprintf(got.body, sizeof(got.body), "%.*s", (int)size, (const char *)data);
	return 0;
}

static struct http_stream *fake_hijack(struct request *rq, const char *type, struct err *err)
{
	static struct http_stream stream;

	got.status = rq->status = 101;
	rq->sent = SENT_HIJACK;
	return &stream;
}

static const struct request_ops fake_ops = { .header = fake_header, .read_body = fake_read, .reply = fake_reply, .begin = fake_begin,
	.write = fake_write, .hijack = fake_hijack };

static int ask(struct router *r, const char *method, const char *uri)
{
	struct request rq = { .ops = &fake_ops, .method = method, .uri = uri, .user = "", .user_auth = "", .client_fd = -1 };

	memset(&got, 0, sizeof(got));
	seen[0] = '\0';
	router_handle(r, &rq);
	if (rq.sent == SENT_ALL && !streq(strmap_get(&rq.reply_headers, "Ostype"), "linux"))
		got.status = -1;
	request_done(&rq);
	return got.status;
}

static int job_see(struct job *job, struct err *err)
{
	struct request *rq = job->face;

	snprintf(seen, sizeof(seen), "%s|%s|%s|%d", rq->path, request_var(rq, "id"), request_var(rq, "name"), rq->api_minor);
	return reply_empty(rq, 204);
}

static int job_query(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	OWN_STRV struct strv t = { 0 };
	OWN_FREE char *all = NULL;
	int64_t n = -1;

	if (request_query_int(rq, "n", &n, err) < 0)
		return -1;
	request_query_list(rq, "t", &t);
	all = strv_join(&t, ",");
	snprintf(seen, sizeof(seen), "%s|%d|%d|%lld", all, request_query_bool(rq, "b", false), request_query_bool(rq, "c", true),
		(long long)n);
	return reply_empty(rq, 204);
}

struct thing { char *a; };
static const struct jfield thing_fields[] = { JFIELD(thing, a, "A", J_STR, 0) };
static const struct jdesc thing_desc = { sizeof(struct thing), thing_fields, 1 };

static int job_json(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	struct thing t = { 0 };
	int r = request_body_json(rq, &thing_desc, &t, request_query_bool(rq, "empty", false), err);

	snprintf(seen, sizeof(seen), "%s", t.a ? t.a : "");
	jdesc_clear(&thing_desc, &t);
	return r < 0 ? -1 : reply_empty(rq, 200);
}

static int job_stream(struct job *job, struct err *err)
{
	struct request *rq = job->face;

	snprintf(seen, sizeof(seen), "%d", rq->ops->begin(rq, 200, "a/b"));
	rq->ops->write(rq, "more", 4);
	return 0;
}

static int job_hijack(struct job *job, struct err *err)
{
	return ((struct request *)job->face)->ops->hijack(job->face, "a/b", err) ? 0 : -1;
}

static int job_silent(struct job *job, struct err *err)
{
	return 0;
}

static int job_modified(struct job *job, struct err *err)
{
	return err_set(err, ERR_NOT_MODIFIED, "nothing to do");
}

static const struct route routes[] = {
	{ "GET", "/things/json", "see", 0, 0 },
	{ "GET", "/things/{name:.*}/json", "see", 0, 0 },
	{ "DELETE", "/things/{name:.*}", "see", 0, 0 },
	{ "POST", "/things/{id}/to/{name}", "see", 30, 0 },
	{ "GET", "/query", "query", 0, 0 },
	{ "GET", "/stream", "stream", 0, 0 },
	{ "POST", "/stream", "hijack", 0, ROUTE_HIJACK },
	{ "POST", "/json", "json", 0, 0 },
	{ "GET", "/silent", "silent", 0, 0 },
	{ "POST", "/same", "modified", 0, 0 },
	{ "GET", "/_ping", "see", 0, ROUTE_UNVERSIONED },
};

static void test_match(struct router *r)
{
	ask(r, "GET", "/things/json");
	is_str(seen, "/things/json|||51", "a plain path, newest version");
	ask(r, "GET", "/v1.41/things/a%2Fb/c:1/json?x=1");
	is_str(seen, "/things/a%2Fb/c:1/json||a/b/c:1|41", "a name with slashes, a version");
	ask(r, "DELETE", "/things/x");
	is_str(seen, "/things/x||x|51", "the same resource by another method");
	ask(r, "POST", "/things/7/to/b%20c");
	is_str(seen, "/things/7/to/b%20c|7|b c|51", "two variables");
	is_int(ask(r, "POST", "/things/7/of/b"), 404, "a literal that differs");
	is_str(got.body, "{\"message\":\"page not found\"}\n", "in Docker's words");
	is_str(got.type, "application/json", "as JSON");
	is_int(ask(r, "PATCH", "/things/json"), 404, "the wrong method is not found");
	is_int(ask(r, "GET", "/things//json"), 404, "an empty name");
	is_int(ask(r, "GET", "/"), 404, "the root");
	is_int(ask(r, "GET", "/v1.41"), 404, "a version alone");
	is_int(ask(r, "OPTIONS", "/whatever"), 200, "OPTIONS of anything");
	is_int(ask(r, "DELETE", "/things/a%00b"), 400, "an encoded NUL");
	is_int(ask(r, "DELETE", "/things/a%zz"), 400, "a broken escape");
	ok(router_match(r, "POST", "/v1.30/things/1/to/2?x") == &routes[3], "matched ahead of the body");
	ok(!router_match(r, "GET", "/v1.30/nothing"), "no route");
}

static void test_versions(struct router *r)
{
	is_int(ask(r, "GET", "/v1.99/things/json"), 400, "too new");
	is_str(got.body, "{\"message\":\"client version 1.99 is too new. Maximum supported API version is 1.51\"}\n",
		"in Docker's words");
	is_int(ask(r, "GET", "/v2.0/things/json"), 400, "another major");
	is_int(ask(r, "GET", "/v1.10/things/json"), 400, "too old");
	is_str(got.body,
		"client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer "
		"version\n",
		"as plain text");
	is_str(got.type, "text/plain; charset=utf-8", "for clients that know no JSON errors");
	is_int(ask(r, "GET", "/v1.55/things/json"), 204, "newest accepted");
	is_int(ask(r, "GET", "/v1.24/things/json"), 204, "oldest accepted");
	is_int(ask(r, "GET", "/v1.99/_ping"), 204, "the ping takes any");
	is_int(ask(r, "POST", "/v1.29/things/1/to/2"), 400, "older than the route");
	is_str(got.body, "{\"message\":\"POST /things/1/to/2 requires minimum API version 1.30\"}\n", "which is named");
	is_int(ask(r, "POST", "/v1.30/things/1/to/2"), 204, "as old as the route");
}

static void test_query(struct router *r)
{
	ask(r, "GET", "/query?t=a&t=b%26c+d&b=no&n=-5");
	is_str(seen, "a,b&c d|0|1|-5", "repeated keys, booleans, integers");
	ask(r, "GET", "/query?&b&c=False&n=");
	is_str(seen, "|0|0|-1", "empty values");
	ask(r, "GET", "/query?b=1");
	is_str(seen, "|1|1|-1", "true");
	is_int(ask(r, "GET", "/query?n=x"), 400, "no integer");
	is_int(ask(r, "GET", "/query?n=%f"), 400, "broken escape");
}

static void give(const char *type, const char *text)
{
	buf_done(&body);
	buf_adds(&body, text);
	content_type = type;
}

static void test_json(struct router *r)
{
	give("application/json; charset=utf-8", "{\"A\":\"x\"}");
	is_int(ask(r, "POST", "/json"), 200, "a JSON body");
	is_str(seen, "x", "is decoded");
	give("text/plain", "{}");
	is_int(ask(r, "POST", "/json"), 400, "another type");
	is_str(got.body, "{\"message\":\"Content-Type specified (text/plain) must be 'application/json'\"}\n",
		"in Docker's words");
	give(NULL, "{}");
	is_int(ask(r, "POST", "/json"), 400, "no type");
	give(NULL, "");
	is_int(ask(r, "POST", "/json"), 400, "no body");
	is_str(got.body, "{\"message\":\"got EOF while reading request body\"}\n", "in Docker's words");
	is_int(ask(r, "POST", "/json?empty=1"), 200, "unless it may be absent");
	give("application/json", "{} x");
	is_int(ask(r, "POST", "/json"), 400, "trailing bytes");
	ok(strstr(got.body, "invalid JSON: ") != NULL, "are invalid JSON");
	give("application/json", "{\"A\":1}");
	is_int(ask(r, "POST", "/json"), 400, "a wrong type inside");
	give(NULL, "");
}

static void test_answers(struct router *r)
{
	is_int(ask(r, "GET", "/silent"), 500, "a job without an answer");
	is_int(ask(r, "POST", "/same"), 304, "not modified");
	is_str(got.body, "", "has no body");
}

static int before_deny(void *ctx, struct request *rq, struct err *err)
{
	OWN_BUF struct buf b = { 0 };

	if (request_body(rq, &b, err) == 0 && b.size && strstr(b.data, "evil"))
		return err_set(err, ERR_FORBIDDEN, "denied by %s", (char *)ctx);
	return 0;
}

static int shown;

static int after_deny(void *ctx, struct request *rq, struct err *err)
{
	const void *data;
	const char *type;
	size_t size;
	int status;

	if (request_held_reply(rq, &status, &type, &data, &size) && status == 204)
		return err_set(err, ERR_FORBIDDEN, "answer denied");
	shown++;
	if (rq->path[1] == 's' && type && streq(type, "a/b") && rq->status < 300 && request_query(rq, "deny"))
		return err_set(err, ERR_FORBIDDEN, "stream denied");
	return 0;
}

static void test_middleware(struct router *r)
{
	static char name[] = "test";

	router_add_middleware(r, before_deny, NULL, name);
	give("application/json", "{\"A\":\"evil\"}");
	is_int(ask(r, "POST", "/json"), 403, "refused before the job");
	is_str(seen, "", "which does not run");
	give("application/json", "{\"A\":\"good\"}");
	is_int(ask(r, "POST", "/json"), 200, "passed");
	is_str(seen, "good", "and the handler reads the same bytes");
	give(NULL, "");
	router_add_middleware(r, NULL, after_deny, NULL);
	is_int(ask(r, "GET", "/things/json"), 403, "the answer is refused");
	is_int(got.replies, 1, "and replaced");
	give("application/json", "{}");
	is_int(ask(r, "POST", "/json"), 200, "another passes");
	is_int(got.replies, 1, "once");
	give(NULL, "");
	shown = 0;
	is_int(ask(r, "GET", "/stream"), 200, "a stream passes");
	is_str(got.body, "more", "and goes on");
	is_int(shown, 1, "shown once");
	is_int(ask(r, "GET", "/stream?deny=1"), 403, "another is refused before it begins");
	is_str(seen, "-1", "which its job is told");
	ok(strstr(got.body, "stream denied") != NULL, "nothing of it leaves");
	is_int(ask(r, "POST", "/stream"), 101, "a hijack passes");
	is_int(ask(r, "POST", "/stream?deny=1"), 403, "and is refused");
}

int main(void)
{
	static const struct route unknown[] = { { "GET", "/x", "nobody", 0, 0 } };
	struct engine *e = engine_new();
	struct err err = ERR_INIT;
	struct router *r;

	log_set_level(LOG_FATAL);
	engine_register(e, "see", job_see, NULL, NULL);
	engine_register(e, "query", job_query, NULL, NULL);
	engine_register(e, "json", job_json, NULL, NULL);
	engine_register(e, "stream", job_stream, NULL, NULL);
	engine_register(e, "hijack", job_hijack, NULL, NULL);
	engine_register(e, "silent", job_silent, NULL, NULL);
	engine_register(e, "modified", job_modified, NULL, NULL);
	ok(!router_new(e, unknown, 1, API_MIN_MINOR, &err) && strstr(err_text(&err), "\"nobody\""), "a route to an unknown job");
	err_done(&err);
	r = router_new(e, routes, ARRAY_LEN(routes), API_MIN_MINOR, &err);
	test_match(r);
	test_versions(r);
	test_query(r);
	test_json(r);
	test_answers(r);
	test_middleware(r);
	router_free(r);
	engine_free(e);
	buf_done(&body);
	return tap_done();
}
