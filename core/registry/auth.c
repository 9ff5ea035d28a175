/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* X-Registry-Auth. */
#include <nettle/base64.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "registry/registry.h"

#define HEADER_MAX (64u << 10)

JDESC(registry_auth_desc, registry_auth,
	JFIELD(registry_auth, username, "username", J_STR, 0),
	JFIELD(registry_auth, password, "password", J_STR, 0),
	JFIELD(registry_auth, email, "email", J_STR, 0),
	JFIELD(registry_auth, server, "serveraddress", J_STR, 0),
	JFIELD(registry_auth, identity_token, "identitytoken", J_STR, 0),
	JFIELD(registry_auth, registry_token, "registrytoken", J_STR, 0));

static void wipe(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
}

void registry_auth_done(struct registry_auth *a)
{
	wipe(a->password);
	wipe(a->identity_token);
	wipe(a->registry_token);
	jdesc_clear(&registry_auth_desc, a);
}

/* Docker's older form: {"username","password","auth":"base64 of user:password"}. Only what the members themselves say counts. */
void registry_auth_read(const char *header, struct registry_auth *ret)
{
	struct base64_decode_ctx d;
	OWN_FREE char *text = NULL;
	OWN_FREE uint8_t *json = NULL;
	OWN_JSON json_t *js = NULL;
	size_t n = str_empty(header) ? 0 : strlen(header), got;

	*ret = (struct registry_auth){ 0 };
	if (!n || n > HEADER_MAX)
		return;
	while (n && header[n - 1] == '=')
		n--;
	text = xmalloc(n + 4);
	for (size_t i = 0; i < n; i++)
		text[i] = header[i] == '-' ? '+' : header[i] == '_' ? '/' : header[i];
	while (n % 4)
		text[n++] = '=';
	got = BASE64_DECODE_LENGTH(n);
	json = xmalloc(got + 1);
	base64_decode_init(&d);
	if (base64_decode_update(&d, &got, json, n, text) && base64_decode_final(&d))
		js = json_read((char *)json, got, NULL);
	if (js) {
		jdesc_any_case(&registry_auth_desc, js);
		if (jdesc_decode(&registry_auth_desc, js, ret, NULL) < 0)
			registry_auth_done(ret);
	}
	explicit_bzero(json, got);
	explicit_bzero(text, n);
}
