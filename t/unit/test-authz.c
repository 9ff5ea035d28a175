/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The chain of authorization drivers behind a router, with the real driver "policy" of the build tree. */
#include <pthread.h>
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

static const struct peer *peer; /* who asks */
static char scope[128];         /* what the handler was restricted to */

static int ask(struct router *r, const char *method, const char *uri)
{
	struct request rq = { .ops = &fake_ops, .method = method, .uri = uri, .user = "", .user_auth = "", .client_fd = -1, .peer = peer };

	if (peer && peer->user) {
		rq.user = peer->user;
		rq.user_auth = "TLS";
	}

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

	OWN_FREE char *labels = rq->scope.len ? strv_join(&rq->scope, " ") : NULL;

	ran = 1;
	snprintf(scope, sizeof(scope), "%s", labels ? labels : "");
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
	is_str(scope, "", "and restricted to nothing");
}

/* Who is at the other end, and what they are restricted to. */
static void test_peers(struct router *r)
{
	struct peer local = { .listener = "unix:///a.sock", .policy = "p", .local = true, .uid = 7, .gid = 8, .pid = 9 };
	struct peer far = { .listener = "tcp://b:2376", .user = xstrdup("alice") };

	peer = &local;
	is_str(ask_body(r, "/containers/create", "who"), "{\"message\":\"authorization denied by plugin judge: //0 certs, "
		"peer 1 7 8 1, unix:///a.sock, policy p\"}\n", "a client of a Unix socket");
	strv_add(&far.certs, "PEM 1");
	strv_add(&far.certs, "PEM 2");
	peer = &far;
	is_str(ask_body(r, "/containers/create", "who"), "{\"message\":\"authorization denied by plugin judge: alice/TLS/2 certs, "
		"peer 0 0 0 0, tcp://b:2376, policy \"}\n", "one of TLS");
	str_set(&far.user, "scoped");
	is_str(ask_body(r, "/containers/create", "fine"), "fine", "one that is restricted");
	is_str(scope, "team=ci stage=test", "to what the driver said, each once");
	str_set(&far.user, "lost");
	is_str(ask_body(r, "/containers/create", "fine"), "{\"message\":\"plugin judge failed with error: no label for that\"}\n",
		"a driver that cannot say refuses");
	ok(!ran, "and nothing ran");
	peer = NULL;
	peer_done(&far);
}

/* A pattern with stars and a value of its length cost no more than that: every place for every star would take years. */
static void test_stars(struct router *r)
{
	OWN_FREE char *value = xcalloc(1, 2 << 20), *text = NULL;

	memset(value, 'a', (2 << 20) - 1);
	text = xasprintf("{\"S\":\"%s\"}", value);
	ask_body(r, "/containers/create", text);
	is_int(got.status, 200, "stars and a long value");
}

/* Policies of listeners, without the driver being asked for by name. */
static void test_policies(struct engine *e)
{
	OWN_STRV struct strv none = {0}, names = {0}, unknown = {0};
	struct peer ro = { .policy = "read-only" }, team = { .policy = "team" }, free_one = { .policy = "" };
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRMAP struct strmap o = {0};
	struct router *r = router_new(e, routes, ARRAY_LEN(routes), 24, &err);
	struct authz *a;

	strv_add(&unknown, "nosuch");
	driver_set_options(NULL);
	ok(!authz_open(&none, &unknown, &err) && strstr(err.msg, "a listener names the policy nosuch"), "a policy that nobody knows");
	err_done(&err);
	strv_add(&names, "read-only");
	strv_add(&names, "team");
	strmap_set(&o, "authz.policy.team.rule", "deny POST /containers/create body.A.b.c=x|y body.L=bad* no\nallow * * body.N=1\ndeny * * body.F fault\n"
		"deny * * body.S=*a*a*a*a*a*a*b stars\ndeny * * body.G=[a-c]*[!x]?[[:digit:]]|*[]-]|[x|*[* glob");
	strmap_set(&o, "authz.policy.team.scope", "team=ci");
	driver_set_options(&o);
	a = authz_open(&none, &names, &err);
	if (!ok(a && r, "opens: %s", err_text(&err)))
		return;
	router_add_middleware(r, authz_request, authz_response, a);
	peer = &ro;
	is_int(ask(r, "GET", "/networks"), 200, "read-only reads");
	is_str(ask_body(r, "/containers/create", "{}"), "{\"message\":\"authorization denied by plugin policy: this socket is read-only\"}\n", "and no more");
	peer = &free_one;
	is_str(ask_body(r, "/containers/create", "{}"), "{}", "other listeners are free");
	is_str(scope, "", "and not restricted");
	peer = &team;
	{
		static const struct { const char *body; int status; } v[] = {
			{ "{}", 200 }, { "{\"A\":{\"b\":{\"c\":\"x\"}}}", 200 }, { "{\"A\":{\"b\":{\"c\":\"x\"}},\"L\":[\"good\",\"bad1\"]}", 403 },
			{ "{\"A\":{\"b.c\":\"y\"},\"L\":\"bad\"}", 403 }, { "{\"A.b\":[{\"c\":\"z\"},{\"c\":\"y\"}],\"L\":\"bad\"}", 403 },
			{ "{\"A\":{\"b\":{\"c\":\"X\"}},\"L\":\"bad\"}", 200 }, { "{\"F\":\"\"}", 200 }, { "{\"F\":[]}", 200 }, { "{\"F\":{}}", 200 },
			{ "{\"F\":0}", 200 }, { "{\"F\":null}", 200 }, { "{\"F\":[{}]}", 200 }, { "{\"F\":[{\"a\":1}]}", 403 }, { "{\"F\":0.5}", 403 },
			{ "{\"G\":\"bbb9\"}", 403 }, { "{\"G\":\"bxb9\"}", 200 }, { "{\"G\":\"bxxxcb9\"}", 403 }, { "{\"G\":\"bbb\"}", 200 },
			{ "{\"G\":\"x-\"}", 403 }, { "{\"G\":\"]\"}", 403 }, { "{\"G\":\"[x\"}", 403 }, { "{\"G\":\"a[b\"}", 403 }, { "{\"S\":\"aaaaaaxb\"}", 403 },
			{ "{\"N\":1,\"F\":true}", 200 }, { "{\"N\":\"1\",\"F\":true}", 200 }, { "{\"N\":2,\"F\":true}", 403 },
			{ "nonsense", 403 }, { "{\"N\":1", 403 }, { "{\"N\":1,\"N\":1}", 403 }, { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 403 },
			{ "{\"F\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\",\"N\":1}", 200 },
		};

		for (size_t i = 0; i < ARRAY_LEN(v); i++) {
			ask_body(r, "/containers/create", v[i].body);
			is_int(got.status, v[i].status, "fields: %.60s", v[i].body);
		}
	}
	test_stars(r);
	is_str(scope, "team=ci", "restricted to the label");
	is_int(ask(r, "POST", "/build"), 403, "what cannot be looked at is denied, and not allowed");
	peer = NULL;
	router_free(r);
	authz_close(a);
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
		ok(!authz_open(&policy, &(struct strv){0}, &err), "refuses to open");
		is_str(err.msg, want, "and says why");
	}
	{
		OWN_ERR struct err err = ERR_INIT;

		strmap_set(&o, "authz.policy.rul", "x");
		driver_set_options(&o);
		ok(!authz_open(&policy, &(struct strv){0}, &err) && strstr(err.msg, "unknown key: rul"), "an unknown key");
	}
}

struct turning {
	struct authz *a;
	struct strv *names;
	int done; /* atomic */
};

static void turn_to(struct turning *t, bool allows)
{
	OWN_STRMAP struct strmap o = {0};

	strmap_set(&o, "authz.policy.rule", allows ? "allow * *" : "deny * *");
	if (allows)
		strmap_set(&o, "authz.policy.scope", "team=ci");
	driver_set_options(&o);
	authz_reload(t->a, t->names, NULL);
}

/* Rules that allow what has a label, and rules that allow nothing, in turn. */
static void *turn(void *arg)
{
	struct turning *t = arg;

	for (int i = 0; i < 400; i++)
		turn_to(t, i % 2);
	__atomic_store_n(&t->done, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* What the old rules allowed is never without the label that these asked for. */
static void test_turning(struct authz *a, struct router *r, struct strv *names)
{
	struct turning t = { a, names, 0 };
	pthread_t thread;
	int asked = 0, loose = 0;

	turn_to(&t, true);
	if (pthread_create(&thread, NULL, turn, &t))
		return;
	while (!__atomic_load_n(&t.done, __ATOMIC_ACQUIRE)) {
		asked++;
		loose += ask(r, "GET", "/containers/json") == 200 && streq(scope, "");
	}
	pthread_join(thread, NULL);
	ok(asked > 0 && loose == 0, "rules and labels are of one moment (%d of %d were not)", loose, asked);
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
	a = authz_open(&names, &(struct strv){0}, &err);
	if (!ok(a && r, "opens: %s", err_text(&err)))
		return tap_done();
	router_add_middleware(r, authz_request, authz_response, a);
	test_rules(r);
	test_reload(a, r);
	options("allow * *", NULL);
	authz_reload(a, &names, NULL);
	test_turning(a, r, &names);
	options("allow * *", NULL);
	authz_reload(a, &names, NULL);
	test_judge(a, r);
	authz_reload(a, &names, NULL);
	test_bodies(r);
	{
		OWN_STRV struct strv judge = {0};

		strv_add(&judge, "judge");
		authz_reload(a, &judge, NULL);
	}
	test_peers(r);
	test_policies(e);
	router_free(r);
	authz_close(a);
	engine_free(e);
	return tap_done();
}
