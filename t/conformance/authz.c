/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is checked of authorization drivers: that they answer whatever comes, and take nothing amiss. What they answer is their own. */
#include "dockerd/authz.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "kit.h"

#define THREADS 8
#define ROUNDS 200
#define LARGE (4u << 20)

static const struct dkd_authz_ops *ops;
static struct dkd_authz *authz;

static bool begin(struct check *c)
{
	struct dkd_authz_open open = { .size = sizeof(open), .instance = c->instance };

	kit_begin(c);
	ops = c->driver->ops;
	return works(call_driver(ops->open, driver_host(c->driver), &open, &authz) == 0, "open");
}

static void shut(void)
{
	if (ops->close)
		ops->close(authz);
	err_done(&why);
}

static const struct dkd_pair headers[] = { { "Host", "docker" }, { "Content-Type", "application/json" }, { "X-Empty", "" } };
static const char *const certs[] = { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" };

static struct dkd_authz_request request_of(const char *method, const char *path, const char *body)
{
	return (struct dkd_authz_request){
		.size = sizeof(struct dkd_authz_request), .flags = DKD_AUTHZ_PEER, .user = "", .user_auth = "", .method = method, .uri = path, .path = path,
		.headers = headers, .headers_len = ARRAY_LEN(headers), .body = body, .body_size = body ? strlen(body) : 0, .peer_uid = 1000,
		.peer_gid = 1000, .peer_pid = 4711, .api_minor = 41, .listener = "unix:///run/docker.sock", .policy = "",
	};
}

/* Allowed or denied with one reason; a failure has its words, too. */
static bool answers(const struct dkd_authz_request *rq)
{
	OWN_STRV struct strv reasons = { 0 };
	int rc = call_driver(ops->request, authz, rq, kit_add, &reasons);

	if (rc < 0)
		return why.msg && *why.msg;
	return rc == DKD_AUTHZ_ALLOW ? reasons.len == 0 : rc == DKD_AUTHZ_DENY && reasons.len == 1 && *reasons.v[0];
}

static bool answers_answer(const struct dkd_authz_request *rq, const struct dkd_authz_response *rs)
{
	OWN_STRV struct strv reasons = { 0 };
	int rc = call_driver(ops->response, authz, rq, rs, kit_add, &reasons);

	if (rc < 0)
		return why.msg && *why.msg;
	return rc == DKD_AUTHZ_ALLOW ? reasons.len == 0 : rc == DKD_AUTHZ_DENY && reasons.len == 1 && *reasons.v[0];
}

static void case_requests(struct check *c)
{
	static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", "BREW", "" };
	static const char *const paths[] = { "/_ping", "/containers/json", "/containers/create", "/containers/a/exec", "/images/a/b:c/json", "/", "", "//", "/../..",
		"/containers/%00", "/containers/\xff", "*" };
	unsigned bad = 0;

	if (!begin(c))
		return;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		for (size_t j = 0; j < ARRAY_LEN(paths); j++) {
			struct dkd_authz_request rq = request_of(methods[i], paths[j], NULL);

			bad += !answers(&rq);
		}
	check_ok(bad == 0, "%zu methods and %zu paths: each is allowed, or denied with one reason", ARRAY_LEN(methods), ARRAY_LEN(paths));
	shut();
}

static void case_bodies(struct check *c)
{
	static const char *const bodies[] = { "{}", "{\"HostConfig\":{\"Privileged\":true}}", "{\"HostConfig\":null}", "{\"HostConfig\":[]}", "[]", "null", "1", "\"",
		"{", "{\"a\":1,\"a\":2}", "{\"\\u0000\":1}", "", "\xff\xfe" };
	OWN_FREE char *large = xcalloc(1, LARGE + 1);
	struct dkd_authz_request rq;
	unsigned bad = 0;

	if (!begin(c))
		return;
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		rq = request_of("POST", "/containers/create", bodies[i]);
		bad += !answers(&rq);
	}
	check_ok(bad == 0, "bodies that are JSON, and that are not");
	memset(large, '[', LARGE);
	rq = request_of("POST", "/containers/create", large);
	works(answers(&rq), "one of 4 MiB, as deep as that");
	memset(large, 0, LARGE);
	rq.body_size = LARGE;
	works(answers(&rq), "one of zeros, which ends where body_size says");
	rq = request_of("POST", "/build", NULL);
	rq.flags |= DKD_AUTHZ_BODY_STREAM;
	works(answers(&rq), "a stream that is not shown");
	shut();
}

static void case_people(struct check *c)
{
	struct dkd_authz_request rq = request_of("POST", "/containers/create", "{}");
	OWN_FREE char *name = xcalloc(1, 64 * 1024);

	if (!begin(c))
		return;
	rq.user = "CN=somebody";
	rq.user_auth = "TLS";
	rq.certs = certs;
	rq.certs_len = 1;
	works(answers(&rq), "somebody with a certificate");
	rq.flags = 0;
	rq.listener = "tcp://0.0.0.0:2376";
	works(answers(&rq), "over TCP");
	memset(name, 'n', 64 * 1024 - 1);
	rq.user = name;
	works(answers(&rq), "with a name of 64 KiB");
	rq = request_of("GET", "/info", NULL);
	rq.headers_len = 0;
	rq.headers = NULL;
	rq.peer_uid = 0;
	works(answers(&rq), "root, without a header");
	shut();
}

static void case_answers(struct check *c)
{
	static const int32_t statuses[] = { 101, 200, 201, 204, 304, 400, 404, 500, 0 };
	static const char body[] = "[{\"Id\":\"a\"}]";
	struct dkd_authz_request rq = request_of("GET", "/containers/json", NULL);
	unsigned bad = 0;

	if (!begin(c))
		return;
	if (!ops->response) {
		check_skip("answers", "it has no response()");
		return shut();
	}
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct dkd_authz_response rs = { .size = sizeof(rs), .status = statuses[i], .headers = headers, .headers_len = ARRAY_LEN(headers) };

		bad += !answers_answer(&rq, &rs);
		rs.body = body;
		rs.body_size = sizeof(body) - 1;
		bad += !answers_answer(&rq, &rs);
		rs.body = NULL;
		rs.flags = DKD_AUTHZ_BODY_STREAM;
		bad += !answers_answer(&rq, &rs);
	}
	check_ok(bad == 0, "answers of %zu statuses, with a body, without one, as a stream", ARRAY_LEN(statuses));
	shut();
}

static int32_t add_label(void *to, const char *label)
{
	const char *eq = strchr(label, '=');
	unsigned *bad = to;

	*bad += !eq || eq == label;
	return 0;
}

static void case_scope(struct check *c)
{
	static const char *const paths[] = { "/containers/json", "/containers/create", "/volumes/create", "/events" };
	unsigned bad = 0;

	if (!begin(c))
		return;
	if (!ops->scope) {
		check_skip("scope", "it has no scope()");
		return shut();
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct dkd_authz_request rq = request_of(i % 2 ? "POST" : "GET", paths[i], NULL);
		OWN_STRV struct strv reasons = { 0 };

		if (call_driver(ops->request, authz, &rq, kit_add, &reasons) == DKD_AUTHZ_ALLOW)
			bad += call_driver(ops->scope, authz, &rq, add_label, &bad) != 0;
	}
	works(bad == 0, "what is allowed has a scope of labels, key=value, or none");
	shut();
}

static unsigned work(unsigned number)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct dkd_authz_request rq = request_of(i % 2 ? "GET" : "POST", number % 2 ? "/containers/create" : "/info", i % 3 ? NULL : "{}");

		bad += !answers(&rq);
		if (ops->reload && number == 0 && i % 50 == 0)
			bad += call_driver(ops->reload, authz) < 0;
	}
	return bad;
}

static void case_threads(struct check *c)
{
	if (!begin(c))
		return;
	check_ok(kit_threads(THREADS, work) == 0, "%d threads at once%s", THREADS, ops->reload ? ", and a reload among them" : "");
	shut();
}

static void case_stop(struct check *c)
{
	struct dkd_authz_request rq = request_of("GET", "/info", NULL);
	OWN_STRV struct strv reasons = { 0 };
	int64_t began = clock_mono();

	if (!begin(c))
		return;
	kit.cancel_fd = kit_gone();
	gave_up(call_driver(ops->request, authz, &rq, kit_add, &reasons), began, "a caller that has gone waits for nothing");
	kit.cancel_fd = -1;
	kit.deadline = began;
	gave_up(call_driver(ops->request, authz, &rq, kit_add, &reasons), began, "nor does one whose time is over");
	kit.deadline = 0;
	works(answers(&rq), "and the next one gets its answer");
	shut();
}

static int probe(struct check *c, char *reason, size_t size)
{
	return kit_probe(c, ((const struct dkd_authz_ops *)c->driver->ops)->probe, NULL, reason, size);
}

static const struct check_case cases[] = {
	{ "requests", case_requests, false },
	{ "bodies", case_bodies, false },
	{ "people", case_people, false },
	{ "answers", case_answers, false },
	{ "scope", case_scope, false },
	{ "threads", case_threads, false },
	{ "stop", case_stop, false },
	{ 0 },
};

const struct check_suite check_authz = { DKD_KIND_AUTHZ, cases, probe };
