/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chain of authorization drivers behind a router, with the real driver "policy" of the build tree. */
#include <stdio.h>

#include "authz.h"
#include "base/log.h"
#include "driver.h"
#include "router.h"
#include "tap.h"

static struct { int status; char body[512]; } got;
static struct buf body;
static int ran;

static const char *fake_header(struct request *rq, const char *name)
{
	(void)rq;
	return streq(name, "Content-Type") ? "application/json" : NULL;
}

static void fake_each(struct request *rq, void (*emit)(void *to, const char *name, const char *value), void *to)
{
	(void)rq;
	emit(to, "Host", "docker");
	emit(to, "authorization", "secret");
	emit(to, "X-Registry-Auth", "secret");
	emit(to, "Accept", "x");
}

static ssize_t fake_read(struct request *rq, void *data, size_t size, struct err *err)
{
	size_t n = body.size < size ? body.size : size;

	(void)rq;
	(void)err;
	if (n) {
		memcpy(data, body.data, n);
		buf_shift(&body, n);
	}
	return (ssize_t)n;
}

static int fake_reply(struct request *rq, int status, const char *type, const void *data, size_t size)
{
	(void)type;
	got.status = rq->status = status;
	snprintf(got.body, sizeof(got.body), "%.*s", (int)size, data ? (const char *)data : "");
	rq->sent = SENT_ALL;
	return 0;
}

static const struct request_ops fake_ops = {
	.header = fake_header, .each_header = fake_each, .read_body = fake_read, .reply = fake_reply,
};

static int ask(struct router *r, const char *method, const char *uri)
{
	struct request rq = { .ops = &fake_ops, .method = method, .uri = uri, .user = "", .user_auth = "", .client_fd = -1 };

	memset(&got, 0, sizeof(got));
	ran = 0;
	router_handle(r, &rq);
	request_done(&rq);
	return got.status;
}

static int job_run_it(struct job *job, struct err *err)
{
	struct request *rq = job->face;
	OWN_BUF struct buf b = {0};

	ran = 1;
	if (!(rq->route->flags & ROUTE_STREAM_BODY) && request_body(rq, &b, err) < 0)
		return -1;
	return rq->ops->reply(rq, 200, "text/plain", b.data ? b.data : "", b.size);
}

static const struct route routes[] = {
	{ "GET", "/containers/json", "it", 0, 0 },
	{ "HEAD", "/containers/json", "it", 0, 0 },
	{ "POST", "/containers/create", "it", 0, 0 },
	{ "POST", "/build", "it", 0, ROUTE_STREAM_BODY },
	{ "GET", "/networks", "it", 0, 0 },
	{ "GET", "/networks/", "it", 0, 0 },
	{ "GET", "/volumes/{name:.*}", "it", 0, 0 },
	{ "GET", "/images/{name:.*}/json", "it", 0, 0 },
	{ "POST", "/auth", "it", 0, 0 },
};

/* Rules as the INI file gives them; "-" in place of the default for none. */
static void options(const char *rules, const char *def)
{
	OWN_STRMAP struct strmap o = {0};

	if (rules)
		strmap_set(&o, "authz.policy.rule", rules);
	if (def)
		strmap_set(&o, "authz.policy.default", def);
	driver_set_options(&o);
}

static void test_rules(struct router *r)
{
	is_int(ask(r, "GET", "/containers/json"), 200, "allowed by a rule");
	ok(ran, "and run");
	is_int(ask(r, "HEAD", "/v1.41/containers/json?all=1"), 200, "second method of a list, version and query left out");
	is_int(ask(r, "POST", "/v1.41/containers/create?name=x"), 403, "denied by a rule");
	is_str(got.body, "{\"message\":\"authorization denied by plugin policy: no containers here\"}\n", "with its reason");
	ok(!ran, "and not run");
	is_int(ask(r, "POST", "/containers/create"), 403, "without a version as well");
	is_int(ask(r, "GET", "/networks"), 403, "denied without a reason of its own");
	is_str(got.body, "{\"message\":\"authorization denied by plugin policy: rule \\\"deny * "
		"/networks\\\"\"}\n", "names the rule");
	is_int(ask(r, "GET", "/networks/"), 403, "a slash more does not help");
	is_int(ask(r, "GET", "/volumes/sec%72et"), 403, "nor does an escape");
	is_int(ask(r, "GET", "/volumes/secret/../x"), 403, "nor do dots");
	is_int(ask(r, "GET", "/volumes/other"), 200, "others pass");
	is_int(ask(r, "GET", "/images/a/json"), 403, "the default");
	is_str(got.body, "{\"message\":\"authorization denied by plugin policy: no rule allows GET "
		"/images/a/json\"}\n", "says so");
}

static void test_bodies(struct router *r)
{
	buf_reset(&body);
	buf_adds(&body, "{\"a\":1}");
	ask(r, "POST", "/containers/create");
	is_str(got.body, "{\"a\":1}", "the handler reads what the chain has read");
	buf_reset(&body);
	memset(buf_reserve(&body, REQUEST_BODY_MAX + 1), 'x', REQUEST_BODY_MAX + 1);
	body.size = REQUEST_BODY_MAX + 1;
	is_int(ask(r, "POST", "/containers/create"), 413, "a body over the limit ends here");
	ok(!ran, "before the handler");
	is_int(ask(r, "POST", "/build"), 200, "a stream is left alone");
	buf_done(&body);
}

static void test_reload(struct authz *a, struct router *r)
{
	OWN_STRV struct strv policy = {0}, none = {0}, unknown = {0};
	OWN_ERR struct err err = ERR_INIT;

	strv_add(&policy, "policy");
	strv_add(&unknown, "nope");
	options("deny GET /containers/*", "allow");
	is_int(authz_reload(a, &policy, &err), 0, "reload: %s", err_text(&err));
	is_int(ask(r, "GET", "/containers/json"), 403, "new rules");
	is_int(ask(r, "POST", "/containers/create"), 200, "and a new default");
	options("refuse GET /containers/*", "allow");
	is_int(authz_reload(a, &policy, &err), -1, "a broken rule");
	is_str(err.msg, "authorization plugin policy: [authz.policy] rule \"refuse GET /containers/*\": it "
		"begins with neither allow nor deny",
		"is told");
	is_int(ask(r, "GET", "/containers/json"), 403, "the old rules stay");
	is_int(authz_reload(a, &unknown, &err), -1, "an unknown driver");
	is_int(err.class, ERR_NOT_FOUND, "is told");
	options("deny GET /containers/*", "allow");
	is_int(authz_reload(a, &none, NULL), 0, "no chain");
	is_int(ask(r, "GET", "/containers/json"), 200, "lets everything through");
	is_int(authz_reload(a, &policy, NULL), 0, "and back");
	is_int(ask(r, "GET", "/containers/json"), 403, "it denies again");
}

static const char *ask_body(struct router *r, const char *uri, const char *text)
{
	buf_reset(&body);
	buf_adds(&body, text);
	ask(r, "POST", uri);
	return got.body;
}

/* A driver that looks into bodies (t/abi/judge.c), before and behind another. */
static void test_judge(struct authz *a, struct router *r)
{
	OWN_STRV struct strv names = {0};
	OWN_ERR struct err err = ERR_INIT;

	strv_add(&names, "policy");
	strv_add(&names, "judge");
	options("deny POST /containers/create no", "allow");
	is_int(authz_reload(a, &names, &err), 0, "a chain of two: %s", err_text(&err));
	is_str(ask_body(r, "/containers/create", "fail"), "{\"message\":\"authorization denied by plugin "
		"policy: no\"}\n", "the first no ends it");
	options("deny POST /nothing", "allow");
	authz_reload(a, &names, NULL);
	is_str(ask_body(r, "/v1.41/containers/create?x=1", "facts"), "{\"message\":\"authorization denied by plugin judge: "
		"POST /v1.41/containers/create?x=1 /containers/create 2 headers, secrets 0, 1.41, deadline 1\"}\n",
		"what the second sees: no credentials");
	is_int(got.status, 403, "403");
	is_str(ask_body(r, "/containers/create", "fail"), "{\"message\":\"plugin judge failed with error: out "
		"of order\"}\n", "a failure refuses");
	is_int(got.status, 503, "503");
	is_str(ask_body(r, "/containers/create", "nonsense"),
		"{\"message\":\"plugin judge failed with error: it answers neither yes nor no\"}\n",
		"so does nonsense");
	ok(!ran, "and nothing ran");
	is_str(ask_body(r, "/build", "x"), "{\"message\":\"authorization denied by plugin judge: a stream\"}\n",
		"a stream is called one");
	is_str(ask_body(r, "/auth", "password"), "{\"message\":\"authorization denied by plugin judge: a "
		"stream\"}\n", "a login is not shown");
	is_str(ask_body(r, "/containers/create", "hold back"), "{\"message\":\"authorization denied by plugin judge: "
		"an answer of 9 bytes with status 200\"}\n", "an answer is held back");
	is_int(got.status, 403, "403");
	ok(ran, "though it ran");
	is_str(ask_body(r, "/containers/create", "fine"), "fine", "another is not");
}

static void test_broken(void)
{
	static const struct { const char *rules, *def, *want; } bad[] = {
		{ NULL, NULL, "the section [authz.policy] has no rule and no default: it says neither yes nor no" },
		{ "deny", NULL, "[authz.policy] rule \"deny\": the second word is no method (GET, or GET,HEAD, or *)" },
		{ "deny get /x", NULL, "[authz.policy] rule \"deny get /x\": the second word is no method (GET, "
			"or GET,HEAD, or *)" },
		{ "deny GET", NULL, "[authz.policy] rule \"deny GET\": the third word is no path (it begins with / or *)" },
		{ "deny GET x", NULL, "[authz.policy] rule \"deny GET x\": the third word is no path (it begins with / or *)" },
		{ "allow * *\ndeny GET /v1.41/info", NULL, "[authz.policy] rule \"deny GET /v1.41/info\": a "
			"path has no version" },
		{ NULL, "maybe", "[authz.policy] default is neither allow nor deny: maybe" },
	};
	OWN_STRV struct strv policy = {0};
	OWN_STRMAP struct strmap o = {0};

	strv_add(&policy, "policy");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_FREE char *want = xasprintf("authorization plugin policy: %s", bad[i].want);
		OWN_ERR struct err err = ERR_INIT;

		options(bad[i].rules, bad[i].def);
		ok(!authz_open(&policy, &err), "refuses to open");
		is_str(err.msg, want, "and says why");
	}
	{
		OWN_ERR struct err err = ERR_INIT;

		strmap_set(&o, "authz.policy.rul", "x");
		driver_set_options(&o);
		ok(!authz_open(&policy, &err) && strstr(err.msg, "unknown key: rul"), "an unknown key");
	}
}

int main(void)
{
	OWN_FREE char *dir = xasprintf("%s/plugins/authz/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_FREE char *fixtures = xasprintf("%s/t/abi/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_STRV struct strv dirs = {0}, names = {0};
	OWN_ERR struct err err = ERR_INIT;
	struct engine *e = engine_new();
	struct router *r;
	struct authz *a;

	log_set_level(LOG_FATAL);
	strv_take(&dirs, realpath(dir, NULL));
	strv_take(&dirs, realpath(fixtures, NULL));
	is_int(driver_init_only(&dirs, NULL, &err), 0, "drivers of the build tree: %s", err_text(&err));
	engine_register(e, "it", job_run_it, NULL, NULL);
	r = router_new(e, routes, ARRAY_LEN(routes), 24, &err);
	test_broken();
	options("deny POST /containers/create* no containers here\nallow GET,HEAD /containers/*\ndeny * /networks\n"
		"deny GET /volumes/secret*\nallow GET /volumes/*", "deny");
	strv_add(&names, "policy");
	a = authz_open(&names, &err);
	if (!ok(a && r, "opens: %s", err_text(&err)))
		return tap_done();
	router_add_middleware(r, authz_request, authz_response, a);
	test_rules(r);
	test_reload(a, r);
	options("allow * *", NULL);
	authz_reload(a, &names, NULL);
	test_judge(a, r);
	authz_reload(a, &names, NULL);
	test_bodies(r);
	router_free(r);
	authz_close(a);
	engine_free(e);
	return tap_done();
}
