/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dockerd-fetch makes of what registries say. */
#include <stdlib.h>

#include "base/clock.h"
#include "fetch/challenge.h"
#include "fetch/proxy.h"
#include "fetch/session.h"
#include "fetch/web.h"

#include "tap.h"

static void challenge(const char *header, enum challenge_scheme scheme, const char *realm, const char *service, const char *scope)
{
	OWN_STRV struct strv headers = { 0 };
	OWN_CHALLENGE struct challenge c = { 0 };

	strv_split(&headers, header, "\n");
	challenge_read(&headers, &c);
	ok(c.scheme == scheme, "scheme of %s", header);
	is_str(c.realm, realm, "realm");
	is_str(c.service, service, "service");
	is_str(c.scope, scope, "scope");
}

static void test_challenges(void)
{
	challenge("Bearer realm=\"https://auth.docker.io/token\",service=\"registry.docker.io\",scope=\"repository:a/b:pull\"", CHALLENGE_BEARER,
		"https://auth.docker.io/token", "registry.docker.io", "repository:a/b:pull");
	challenge("bearer  realm = \"r\" , , SERVICE=s", CHALLENGE_BEARER, "r", "s", NULL);
	challenge("Basic realm=\"x\"", CHALLENGE_BASIC, "x", NULL, NULL);
	challenge("Basic realm=\"x\", Bearer realm=\"y\"", CHALLENGE_BEARER, "y", NULL, NULL);
	challenge("Bearer realm=\"y\", Basic realm=\"x\"", CHALLENGE_BEARER, "y", NULL, NULL);
	challenge("Basic realm=\"x\"\nBearer realm=\"y\",service=z", CHALLENGE_BEARER, "y", "z", NULL);
	challenge("Basic", CHALLENGE_BASIC, NULL, NULL, NULL);
	challenge("Bearer realm=\"a\\\"b\"", CHALLENGE_BEARER, "a\"b", NULL, NULL);
	challenge("Bearer realm=\"a\",realm=\"b\"", CHALLENGE_BEARER, "a", NULL, NULL);
	challenge("Bearer service=\"s\"", CHALLENGE_NONE, NULL, NULL, NULL);
	challenge("Bearer realm=\"open", CHALLENGE_NONE, NULL, NULL, NULL);
	challenge("Negotiate abc==, Digest x=y", CHALLENGE_NONE, NULL, NULL, NULL);
	challenge("", CHALLENGE_NONE, NULL, NULL, NULL);
	challenge("=,=\"", CHALLENGE_NONE, NULL, NULL, NULL);
}

static void token(const char *json, const char *text, const char *refresh, int64_t lifetime)
{
	OWN_TOKEN struct token t = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int rc = token_read(json, strlen(json), &t, &err);

	ok((rc == 0) == (text != NULL), "token: %s %s", json, err_text(&err));
	is_str(t.text, text, "its text");
	is_str(t.refresh, refresh, "its refresh token");
	is_int(t.lifetime, text ? lifetime : 0, "its lifetime");
}

static void test_tokens(void)
{
	token("{\"token\":\"a\"}", "a", NULL, 60);
	token("{\"access_token\":\"b\",\"expires_in\":300}", "b", NULL, 300);
	token("{\"token\":\"a\",\"access_token\":\"b\",\"refresh_token\":\"c\",\"expires_in\":1}", "a", "c", 60);
	token("{\"token\":\"a\",\"expires_in\":99999999999}", "a", NULL, 86400);
	token("{\"token\":\"\"}", NULL, NULL, 0);
	token("{\"token\":5}", NULL, NULL, 0);
	token("{}", NULL, NULL, 0);
	token("junk", NULL, NULL, 0);
	token("", NULL, NULL, 0);
	token("{\"token\":\"a\\r\\nX: y\"}", NULL, NULL, 0);
	token("{\"token\":\"a\",\"refresh_token\":\"b c\"}", NULL, NULL, 0);
}

static void error(int status, const char *body, const char *code, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *got = NULL;

	answer_error(status, body, strlen(body), &got, &err);
	is_str(got, code, "code of %d %s", status, body);
	is_str(err_text(&err), text, "and text");
}

static void test_errors(void)
{
	error(404, "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"manifest unknown\"}]}", "MANIFEST_UNKNOWN", "manifest unknown: manifest unknown");
	error(403, "{\"errors\":[{\"code\":\"DENIED\"},{\"code\":\"X\"}]}", "DENIED", "denied");
	error(429, "{\"errors\":[{\"code\":\"TOOMANYREQUESTS\",\"message\":\"You have reached\\nyour\\u001b[2J limit\"}]}", "TOOMANYREQUESTS",
		"toomanyrequests: You have reached your [2J limit");
	error(429, "{\"details\":\"slow down\"}", NULL, "toomanyrequests: slow down");
	error(401, "", NULL, "unauthorized: authentication required");
	error(401, "{\"errors\":[]}", NULL, "unauthorized: authentication required");
	error(401, "{\"details\":\"incorrect username or password\"}", NULL, "unauthorized: incorrect username or password");
	error(503, "<html>", NULL, "received unexpected HTTP status: 503 Service Unavailable");
	error(404, "<html>\n", NULL, "error parsing HTTP 404 response body: it is no JSON: \"<html> \"");
	error(404, "", NULL, "received unexpected HTTP status: 404 Not Found");
	error(302, "{\"errors\":[{\"code\":\"X\"}]}", NULL, "received unexpected HTTP status: 302 Found");
}

static void test_headers(void)
{
	OWN_FREE char *next = link_next("</v2/x/tags/list?n=1&last=a>; rel=\"next\""), *other = link_next("</a>; rel=\"prev\""), *none = link_next(NULL);

	is_str(next, "/v2/x/tags/list?n=1&last=a", "the next page");
	ok(!other && !none, "no next page");
	is_int(retry_after("17", 0), 17, "seconds");
	is_int(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412470), 10, "a date");
	is_int(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", 1445412490), 0, "one that was");
	is_int(retry_after("-5", 0), -1, "no number");
	is_int(retry_after("soon", 0), -1, "no date");
	is_int(retry_after(NULL, 0), -1, "nothing");
	is_int(range_start("bytes 100-199/200"), 100, "a range");
	is_int(range_start("bytes */200"), -1, "none");
	is_int(range_start("bytes -5-6/7"), -1, "a negative one");
	is_int(range_start(NULL), -1, "no range");
}

static void resolves(const char *base, const char *to, const char *want)
{
	OWN_FREE char *got = web_resolve(base, to);

	is_str(got, want, "%s from %s", to, base);
}

static void test_addresses(void)
{
	OWN_FREE char *host = web_host("https://a:5000/x"), *v6 = web_host("http://[::1]:5000");

	resolves("https://a/v2/x", "/y?z=1", "https://a/y?z=1");
	resolves("https://a/v2/x", "http://b:80/y#z", "http://b:80/y");
	resolves("https://a/v2/x", "//b/y", "https://b/y");
	resolves("https://a/v2/x", "file:///etc/passwd", NULL);
	resolves("https://a/v2/x", "gopher://a/", NULL);
	resolves("https://a/v2/x", "http://u:p@b/", NULL);
	resolves("https://a/v2/x", "http://", NULL);
	ok(web_same_origin("https://a/x", "https://A:443/y"), "the same origin");
	ok(!web_same_origin("https://a/", "http://a/"), "another scheme");
	ok(!web_same_origin("https://a/", "https://a:444/"), "another port");
	ok(!web_same_origin("https://a/", "https://a.b/"), "another host");
	ok(!web_same_origin("https://a/", "nonsense"), "none");
	is_str(host, "a:5000", "host and port");
	is_str(v6, "[::1]:5000", "of version 6");
	ok(session_within("127.0.0.1", "127.0.0.0/8") && session_within("::1", "::1/128") && session_within("10.1.2.3", "0.0.0.0/0"), "within");
	ok(session_within("::ffff:127.0.0.1", "127.0.0.0/8"), "an address of version 4 in one of version 6");
	ok(!session_within("128.0.0.1", "127.0.0.0/8") && !session_within("::1", "127.0.0.0/8"), "not within");
	ok(!session_within("10.0.0.1", "10.0.0.0/33") && !session_within("10.0.0.1", "10.0.0.0") && !session_within("x", "0.0.0.0/0"), "what is no network");
	ok(session_within("10.0.0.129", "10.0.0.128/25") && !session_within("10.0.0.127", "10.0.0.128/25"), "bits in a byte");
}

static struct client *session(const char *json)
{
	OWN_ERR struct err err = ERR_INIT;
	int fds[1] = { 7 };
	struct client *c = session_read(json, strlen(json), fds, 1, &err);

	if (!c)
		printf("# %s\n", err_text(&err));
	return c;
}

static void test_sessions(void)
{
	struct client *c = session("{\"sites\":[{\"url\":\"http://m:1\",\"mirror\":true},{\"host\":\"127.0.0.1:5000\"}],\"cidrs\":[\"127.0.0.0/8\"],\"username\":\"u\",\"attempts\":0}");

	if (!ok(c && c->len == 3, "a mirror, and both ways to what is insecure by its address"))
		return;
	is_str(c->sites[0].url, "http://m:1", "the mirror first");
	ok(c->sites[0].mirror && !c->sites[1].mirror, "is one");
	is_str(c->sites[1].url, "https://127.0.0.1:5000", "then TLS");
	is_str(c->sites[2].url, "http://127.0.0.1:5000", "then none");
	ok(c->sites[1].tls.insecure, "whose certificate does not matter");
	is_int(c->attempts, 1, "at least one try");
	is_str(c->who.username, "u", "the name");
	session_free(c);
	c = session("{\"sites\":[{\"host\":\"10.0.0.1:5000\",\"cert\":9,\"key\":0}],\"cidrs\":[\"127.0.0.0/8\"]}");
	ok(c && c->len == 1 && !c->sites[0].tls.insecure, "what is not insecure has one way");
	ok(c && !c->sites[0].tls.cert && streq(c->sites[0].tls.key, "/proc/self/fd/7"), "descriptors that there are");
	session_free(c);
	c = session("{\"sites\":[{\"host\":\"10.0.0.1:5000\",\"insecure\":true}]}");
	ok(c && c->len == 2, "by name");
	session_free(c);
	c = session("{\"sites\":[{\"url\":\"https://m:1\",\"mirror\":true,\"prefix\":\"a/b\",\"username\":\"m\"},{\"url\":\"https://n:1\",\"mirror\":true},{\"host\":\"r:1\"}],"
		"\"username\":\"u\",\"stall\":20,\"rate\":1000}");
	ok(c && c->len == 3, "mirrors with names and paths of their own");
	is_str(c->sites[0].prefix, "a/b", "what stands before names");
	is_str(c->sites[0].who->username, "m", "the mirror's own name");
	is_str(c->sites[1].who->username, NULL, "none, also not another's");
	is_str(c->sites[2].who->username, "u", "the registry's");
	ok(c->stall == 20 * NSEC_PER_SEC && c->rate == 1000, "patience");
	session_free(c);
	c = session("{\"sites\":[]}");
	ok(c && c->stall == 60 * NSEC_PER_SEC, "where nobody says");
	session_free(c);
	ok(!session("junk"), "no session");
}

static void address(const char *text, const char *want)
{
	OWN_FREE char *got = proxy_address(text);

	is_str(got, want, "the proxy %s", text ? text : "(none)");
}

static void exceptions(const char *list, const char *target, const char *want)
{
	OWN_FREE char *got = proxy_exceptions(list, target);

	is_str(got, want, "of \"%s\" for %s", list, target);
}

static void test_proxies(void)
{
	address(NULL, "");
	address("", "");
	address("http://proxy.corp:3128", "http://proxy.corp:3128");
	address("http://proxy.corp", "http://proxy.corp:80/");
	address("http://user:p%40w@proxy.corp", "http://user:p%40w@proxy.corp:80/");
	address("https://proxy.corp", "https://proxy.corp:443/");
	address("socks5://proxy.corp", "socks5h://proxy.corp:1080/");
	address("socks5://proxy.corp:1081", "socks5h://proxy.corp:1081");
	address("proxy.corp", "http://proxy.corp:80/");
	address("proxy.corp:3128", "http://proxy.corp:3128");
	address("http://[::1]", "http://[::1]:80/");
	exceptions("a.corp,.b.corp, c.corp ,10.0.0.0/8", "x:443", "a.corp,.b.corp,c.corp,10.0.0.0/8");
	exceptions("*.a.corp,b.corp", "x:443", ".a.corp,b.corp");
	exceptions("a.corp, *", "x:443", "*");
	exceptions(".a.corp,*.A.corp,b.corp", "a.corp:443", "b.corp");
	exceptions(".a.corp", "x.a.corp:443", ".a.corp");
	exceptions("a.corp:5000,b.corp:443", "a.corp:5000", "a.corp");
	exceptions("a.corp:5000,b.corp:443", "b.corp:443", "b.corp");
	exceptions("[::1]:5000,::1,[::2]", "[::1]:5000", "::1,::1,::2");
	exceptions("", "x:443", "");
	exceptions(":80,,", "x:80", "");
}

int main(void)
{
	test_proxies();
	test_challenges();
	test_tokens();
	test_errors();
	test_headers();
	test_addresses();
	test_sessions();
	return tap_done();
}
