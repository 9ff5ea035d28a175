/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Policies: the parts are the options of "[authz.policy]", KEY=VALUE a line, a request (method, path, URI, user, listener, policy; a line
 * each), and its body. What is denied stays denied when the body cannot be looked at. Patterns fit as fnmatch(3) says.
 */
#include <fnmatch.h>

#include <dockerd/authz.h>

#include "host.h"
#include "policy.h"

#define TEXT_MAX 2000
#define STARS_MAX 3 /* fnmatch(3) takes very long with more */

static int32_t count(void *to, const char *text)
{
	FUZZ_CHECK(text && *text);
	++*(unsigned *)to;
	return 0;
}

static void patterns(const char *pattern, const char *text)
{
	size_t stars = 0;

	for (const char *p = pattern; *p; p++)
		stars += *p == '*';
	/* Classes between brackets without one around them, and what no bracket ends, is left to fnmatch(3)'s taste. */
	if (stars <= STARS_MAX && strlen(pattern) < 64 && strlen(text) < 64 && !strchr(pattern, '['))
		FUZZ_CHECK(policy_glob(pattern, text) == (fnmatch(pattern, text, FNM_NOESCAPE) == 0));
	else
		policy_glob(pattern, text);
}

static int32_t ask(const struct dkd_authz_ops *ops, struct dkd_authz *a, const struct dkd_authz_request *rq)
{
	unsigned reasons = 0, labels = 0, before = fuzz_told.failures;
	int32_t says = ops->request(&fuzz_call, a, rq, count, &reasons);

	FUZZ_CHECK(says == DKD_AUTHZ_ALLOW || says == DKD_AUTHZ_DENY);
	FUZZ_CHECK(reasons == (says == DKD_AUTHZ_DENY) && fuzz_told.failures == before);
	FUZZ_CHECK(ops->scope(&fuzz_call, a, rq, count, &labels) == 0);
	return says;
}

static void requests(const struct dkd_authz_ops *ops, struct dkd_authz *a, const char *head, const char *text)
{
	OWN_STRV struct strv lines = { 0 };
	struct dkd_authz_request rq = { .size = sizeof(rq), .peer_uid = 1000, .peer_gid = 1000, .peer_pid = 1, .user_auth = "" }, blind;
	int32_t says;

	strv_split(&lines, head, "\n");
	rq.method = fuzz_part(&lines, 0);
	rq.path = fuzz_part(&lines, 1);
	rq.uri = fuzz_part(&lines, 2);
	rq.user = fuzz_part(&lines, 3);
	rq.listener = fuzz_part(&lines, 4);
	rq.policy = fuzz_part(&lines, 5);
	rq.body_size = strlen(text);
	rq.body = rq.body_size ? text : NULL;
	rq.flags = *rq.user ? 0 : DKD_AUTHZ_PEER;
	patterns(rq.uri, rq.path);
	says = ask(ops, a, &rq);
	FUZZ_CHECK(ask(ops, a, &rq) == says);
	blind = rq;
	blind.flags |= DKD_AUTHZ_BODY_STREAM;
	blind.body = NULL;
	blind.body_size = 0;
	FUZZ_CHECK(ask(ops, a, &blind) == DKD_AUTHZ_DENY || says == DKD_AUTHZ_ALLOW);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct dkd_authz_ops *ops = dkd_driver_entry()->ops;
	const char *const names[] = { "read-only", "confined" };
	struct dkd_authz_open o = { .size = sizeof(o), .policies = names, .policies_len = size % 3 };
	OWN_STRV struct strv parts = { 0 };
	struct dkd_authz *a = NULL;

	if (size > TEXT_MAX)
		return 0;
	fuzz_split(data, size, &parts);
	fuzz_host_begin(fuzz_part(&parts, 0));
	if (ops->open(&fuzz_call, &fuzz_host, &o, &a) == 0) {
		requests(ops, a, fuzz_part(&parts, 1), fuzz_part(&parts, 2));
		FUZZ_CHECK(ops->reload(&fuzz_call, a) == 0);
		ops->close(a);
	} else {
		FUZZ_CHECK(fuzz_told.failures == 1);
	}
	fuzz_host_end();
	return 0;
}
