/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What registries and clients say of registries. The parts: WWW-Authenticate (a header a line), a token server's answer, an error, a manifest, its
 * Content-Type, X-Registry-Auth, and three headers, a line each: Link, Retry-After, Content-Range.
 */
#include "fuzz.h"

#include "fetch/challenge.h"
#include "registry/manifest.h"
#include "registry/registry.h"

static void challenges(const char *text)
{
	OWN_STRV struct strv headers = { 0 };
	OWN_CHALLENGE struct challenge c = { 0 };

	strv_split(&headers, text, "\n");
	challenge_read(&headers, &c);
	FUZZ_CHECK(c.scheme != CHALLENGE_BEARER || c.realm);
}

static void tokens(const char *text)
{
	OWN_TOKEN struct token t = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (token_read(text, strlen(text), &t, &err) < 0)
		FUZZ_CHECK(err.msg);
	else
		FUZZ_CHECK(t.text && *t.text && !strpbrk(t.text, "\r\n ") && t.lifetime > 0);
}

static void errors(const char *text)
{
	static const int statuses[] = { 200, 302, 400, 401, 403, 404, 429, 500, 503 };

	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		OWN_ERR struct err err = ERR_INIT;
		OWN_FREE char *code = NULL;

		answer_error(statuses[i], text, strlen(text), &code, &err);
		FUZZ_CHECK(err.msg && strlen(err.msg) < 2048 && !strpbrk(err.msg, "\r\n"));
	}
}

static void manifests(const char *text, const char *type)
{
	OWN_MANIFEST struct manifest m = { 0 };
	OWN_ERR struct err err = ERR_INIT, none = ERR_INIT;
	OWN_PLATFORM struct platform any = { 0 };

	if (manifest_read(text, strlen(text), *type ? type : NULL, NULL, &m, &err) < 0) {
		FUZZ_CHECK(err.msg);
		return;
	}
	FUZZ_CHECK(m.media_type && m.index == m.manifests.set && (m.index || m.config));
	for (size_t i = 0; i < m.layers.len; i++)
		FUZZ_CHECK(manifest_layer(&m, i)->size >= 0 && strlen(manifest_layer(&m, i)->digest) == 71);
	FUZZ_CHECK(platform_parse("linux/amd64", &any, &none) == 0);
	FUZZ_CHECK(!m.index || manifest_choose(&m, &any, &none) || none.msg);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_STRV struct strv parts = { 0 }, lines = { 0 };
	OWN_REGISTRY_AUTH struct registry_auth auth = { 0 };
	OWN_FREE char *next = NULL;

	fuzz_split(data, size, &parts);
	challenges(fuzz_part(&parts, 0));
	tokens(fuzz_part(&parts, 1));
	errors(fuzz_part(&parts, 2));
	manifests(fuzz_part(&parts, 3), fuzz_part(&parts, 4));
	registry_auth_read(fuzz_part(&parts, 5), &auth);
	strv_split(&lines, fuzz_part(&parts, 6), "\n");
	next = link_next(fuzz_part(&lines, 0));
	FUZZ_CHECK(retry_after(fuzz_part(&lines, 1), 1700000000) >= -1);
	FUZZ_CHECK(range_start(fuzz_part(&lines, 2)) >= -1);
	return 0;
}
