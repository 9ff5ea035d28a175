/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Request lines through the router: versions, paths, percent escapes, queries. The parts are method, URI and body. */
#include "fuzz.h"

#include "api.h"
#include "router.h"

static struct strv *parts;

static const char *header(struct request *rq, const char *name) { return streq(name, "Content-Type") ? "application/json" : NULL; }

static ssize_t read_body(struct request *rq, void *data, size_t size, struct err *err) { return 0; }

static int reply(struct request *rq, int status, const char *content_type, const void *data, size_t size)
{
	FUZZ_CHECK(rq->sent == SENT_NOTHING && status >= 200 && status < 500);
	rq->sent = SENT_ALL;
	return 0;
}

static const struct request_ops ops = { .header = header, .read_body = read_body, .reply = reply };

static int job(struct job *j, struct err *err)
{
	struct request *rq = j->face;
	OWN_STRV struct strv list = { 0 };
	OWN_ERR struct err why = ERR_INIT;
	int64_t n = 0;

	request_var(rq, "id");
	request_query_int(rq, "limit", &n, &why);
	request_query_bool(rq, "all", false);
	request_query_list(rq, "t", &list);
	return reply_empty(rq, 200);
}

static struct router *make(void)
{
	struct engine *e = engine_new();
	OWN_ERR struct err err = ERR_INIT;
	struct router *r;

	for (size_t i = 0; i < api_routes_len; i++)
		if (!engine_has(e, api_routes[i].job))
			FUZZ_CHECK(engine_register(e, api_routes[i].job, job, NULL, &err) == 0);
	r = router_new(e, api_routes, api_routes_len, API_MIN_MINOR, &err);
	FUZZ_CHECK(r);
	return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct router *r;
	OWN_STRV struct strv all = { 0 };
	struct request rq = { .ops = &ops, .client_fd = -1, .user = "", .user_auth = "" };

	if (!r)
		r = make();
	fuzz_split(data, size, &all);
	parts = &all;
	if (fuzz_part(&all, 1)[0] != '/')
		return 0;
	rq.method = fuzz_part(&all, 0);
	rq.uri = fuzz_part(&all, 1);
	router_match(r, rq.method, rq.uri);
	router_handle(r, &rq);
	FUZZ_CHECK(rq.sent == SENT_ALL);
	request_done(&rq);
	return 0;
}
