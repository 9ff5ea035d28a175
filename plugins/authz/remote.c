/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Authorization by processes of their own: Docker's plugin protocol, methods "AuthZPlugin.AuthZReq" and "AuthZPlugin.AuthZRes". */
#include <stdlib.h>
#include <string.h>

#include <dockerd/authz.h>

#include "docker-plugin.h"

#define NAME_SIZE 4096 /* of a header */

struct dkd_authz {
	DOCKER_PLUGIN_HANDLE;
};

static int32_t remote_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_authz_open *open, struct dkd_authz **ret)
{
	*ret = docker_plugin_handle(host, call, open->instance, "authz", sizeof(**ret));
	return *ret ? 0 : -1;
}

static void remote_close(struct dkd_authz *a)
{
	docker_plugin_close(a->plugin);
	free(a);
}

/* Bytes as Go's encoding/json has them: base64. */
static json_t *bytes(const void *data, uint64_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = data;
	char *text = malloc((size + 2) / 3 * 4 + 1), *out = text;
	json_t *js;

	if (!text)
		return NULL;
	for (uint64_t i = 0; i < size; i += 3) {
		uint64_t left = size - i;
		uint32_t v = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);

		*out++ = digits[v >> 18];
		*out++ = digits[v >> 12 & 63];
		*out++ = left > 1 ? digits[v >> 6 & 63] : '=';
		*out++ = left > 2 ? digits[v & 63] : '=';
	}
	js = json_stringn(text, (size_t)(out - text));
	free(text);
	return js;
}

/* As Go spells names of headers, so that a plugin finds them however the client did: "x-two" is "X-Two". */
static void spell(const char *name, char *ret, size_t size)
{
	size_t i = 0;
	int first = 1;

	for (; name[i] && i + 1 < size; i++) {
		char c = name[i];

		if (first && c >= 'a' && c <= 'z')
			c = (char)(c - 'a' + 'A');
		else if (!first && c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		ret[i] = c;
		first = c == '-';
	}
	ret[i] = '\0';
}

/* Of what is no UTF-8 each byte is shown as U+FFFD: nothing that the client sent is hidden. */
static json_t *text(const char *value)
{
	json_t *js = json_string(value);
	char *plain, *out;

	if (js)
		return js;
	plain = out = malloc(3 * strlen(value) + 1);
	if (!plain)
		return NULL;
	for (; *value; value++) {
		if ((unsigned char)*value < 0x80) {
			*out++ = *value;
			continue;
		}
		memcpy(out, "\xef\xbf\xbd", 3);
		out += 3;
	}
	*out = '\0';
	js = json_string(plain);
	free(plain);
	return js;
}

/* Of a name that comes several times the last counts, and the host is none, as in Docker. NULL: not all could be shown. */
static json_t *headers(const struct dkd_pair *v, uint32_t len)
{
	json_t *o = json_object();
	char name[NAME_SIZE];

	for (uint32_t i = 0; i < len; i++) {
		spell(v[i].key, name, sizeof(name));
		if (strcmp(name, "Host") != 0 && json_object_set_new(o, name, text(v[i].value ? v[i].value : "")) < 0) {
			json_decref(o);
			return NULL;
		}
	}
	return o;
}

static json_t *certificates(const struct dkd_authz_request *rq)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < rq->certs_len; i++)
		json_array_append_new(list, bytes(rq->certs[i], strlen(rq->certs[i])));
	return list;
}

static json_t *request_of(const struct dkd_authz_request *rq)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:s, s:o}", "User", rq->user ? rq->user : "", "UserAuthNMethod", rq->user_auth ? rq->user_auth : "",
		"RequestMethod", rq->method, "RequestUri", rq->uri, "RequestHeaders", headers(rq->headers, rq->headers_len));

	if (o && rq->body_size)
		json_object_set_new(o, "RequestBody", bytes(rq->body, rq->body_size));
	if (o && rq->certs_len)
		json_object_set_new(o, "RequestPeerCertificates", certificates(rq));
	return o;
}

/* What it says of one request. An answer that does not say "Allow" forbids. */
static int32_t ask(const struct dkd_call *call, struct dkd_authz *a, const char *method, json_t *request, dkd_emit *reason, void *to)
{
	const char *message;
	json_t *answer;
	int32_t rc = DKD_AUTHZ_ALLOW;

	if (!request)
		return dkd_failf(a->host, call, DKD_ERR_INVALID, 0, "plugin %s: the request cannot be shown", docker_plugin_name(a->plugin));
	if (docker_plugin_call(a->plugin, call, method, 0, request, &answer) < 0)
		return -1;
	if (!json_is_true(docker_plugin_member(answer, "Allow"))) {
		message = docker_plugin_text(answer, "Msg");
		reason(to, message ? message : "");
		rc = DKD_AUTHZ_DENY;
	}
	json_decref(answer);
	return rc;
}

static int32_t remote_request(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq, dkd_emit *reason, void *to)
{
	return ask(call, a, "AuthZPlugin.AuthZReq", request_of(rq), reason, to);
}

static int32_t remote_response(const struct dkd_call *call, struct dkd_authz *a, const struct dkd_authz_request *rq, const struct dkd_authz_response *rs,
	dkd_emit *reason, void *to)
{
	json_t *o = request_of(rq);

	if (o) {
		json_object_set_new(o, "ResponseStatusCode", json_integer(rs->status));
		json_object_set_new(o, "ResponseHeaders", headers(rs->headers, rs->headers_len));
		if (rs->body_size)
			json_object_set_new(o, "ResponseBody", bytes(rs->body, rs->body_size));
	}
	return ask(call, a, "AuthZPlugin.AuthZRes", o, reason, to);
}

static const struct dkd_authz_ops ops = {
	.open = remote_open,
	.close = remote_close,
	.request = remote_request,
	.response = remote_response,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_AUTHZ,
	.abi_major = DKD_AUTHZ_MAJOR,
	.abi_minor = DKD_AUTHZ_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_PARALLEL,
	.name = "remote",
	.version = "1.0",
	.ops = &ops,
	.provider = &docker_plugin_provider,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
