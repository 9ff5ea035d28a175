/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An authorization driver for tests: its verdict hangs on words in the body of the request. */
#define _GNU_SOURCE
#include <string.h>

#include <dockerd/authz.h>

static const struct dkd_host *the_host;

static int32_t judge_open(const struct dkd_call *call, const struct dkd_host *host,
	const struct dkd_authz_open *open, struct dkd_authz **ret)
{
	(void)call;
	(void)open;
	(void)ret;
	the_host = host;
	return 0;
}

static int has(const void *body, uint64_t size, const char *word)
{
	return body && memmem(body, size, word, strlen(word)) != NULL;
}

static int secrets(const struct dkd_pair *headers, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		if (strstr(headers[i].value, "secret"))
			return 1;
	return 0;
}

static int32_t judge_request(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq,
	dkd_emit *reason, void *to)
{
	char text[200];

	(void)a;
	if (rq->flags & DKD_AUTHZ_BODY_STREAM) {
		reason(to, rq->body ? "a stream that is shown" : "a stream");
		return DKD_AUTHZ_DENY;
	}
	if (has(rq->body, rq->body_size, "\"Privileged\":true")) {
		reason(to, "privileged");
		return DKD_AUTHZ_DENY;
	}
	if (has(rq->body, rq->body_size, "who")) {
		snprintf(text, sizeof(text), "%s/%s/%u certs, peer %d %u %u %d, %s, policy %s", rq->user, rq->user_auth, rq->certs_len,
			!!(rq->flags & DKD_AUTHZ_PEER), rq->peer_uid, rq->peer_gid, rq->peer_pid > 0, rq->listener, rq->policy);
		reason(to, text);
		return DKD_AUTHZ_DENY;
	}
	if (has(rq->body, rq->body_size, "facts")) {
		snprintf(text, sizeof(text), "%s %s %s %u headers, secrets %d, 1.%u, deadline %d", rq->method, rq->uri, rq->path,
			rq->headers_len, secrets(rq->headers, rq->headers_len), rq->api_minor, call->deadline > 0);
		reason(to, text);
		return DKD_AUTHZ_DENY;
	}
	if (has(rq->body, rq->body_size, "fail"))
		return the_host->fail(the_host, call, DKD_ERR_INTERNAL, 0, "out of order");
	return has(rq->body, rq->body_size, "nonsense") ? 7 : DKD_AUTHZ_ALLOW;
}

/* Requests by a user "scoped" are restricted to two labels; "lost" fails. */
static int32_t judge_scope(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq, dkd_emit *label, void *to)
{
	(void)a;
	if (strcmp(rq->user, "lost") == 0)
		return the_host->fail(the_host, call, DKD_ERR_INTERNAL, 0, "no label for that");
	if (strcmp(rq->user, "scoped") == 0) {
		label(to, "team=ci");
		label(to, "stage=test");
		label(to, "team=ci");
	}
	return 0;
}

static int32_t judge_response(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq,
	const struct dkd_authz_response *rs,
	dkd_emit *reason, void *to)
{
	char text[200];

	(void)call;
	(void)a;
	if (!has(rq->body, rq->body_size, "hold back") || !has(rs->body, rs->body_size, "hold back"))
		return DKD_AUTHZ_ALLOW;
	snprintf(text, sizeof(text), "an answer of %u bytes with status %d", (unsigned)rs->body_size, rs->status);
	reason(to, text);
	return DKD_AUTHZ_DENY;
}

static const struct dkd_authz_ops ops = { .open = judge_open, .request = judge_request, .response = judge_response,
	.scope = judge_scope };

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_AUTHZ, .abi_major = DKD_AUTHZ_MAJOR, .abi_minor = DKD_AUTHZ_MINOR,
		.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_SERIAL, .name = "judge", .version = "1", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
