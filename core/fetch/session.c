/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/session.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"

#define STALL_S 60 /* where nothing is said */
#define RATE 256

/* An address as bytes; how many, 0 when it is none. */
static size_t to_bytes(const char *text, uint8_t ret[16])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (inet_pton(AF_INET, text, ret) == 1)
		return 4;
	if (inet_pton(AF_INET6, text, ret) != 1)
		return 0;
	if (memcmp(ret, mapped, sizeof(mapped)) != 0)
		return 16;
	memmove(ret, ret + 12, 4);
	return 4;
}

bool session_within(const char *address, const char *cidr)
{
	const char *slash = strchr(cidr, '/');
	OWN_FREE char *net = slash ? xstrndup(cidr, (size_t)(slash - cidr)) : NULL;
	uint8_t a[16], b[16];
	size_t n = to_bytes(address, a);
	int64_t bits;

	if (!net || !n || to_bytes(net, b) != n || !str_to_i64(slash + 1, &bits) || bits < 0 || bits > (int64_t)n * 8)
		return false;
	for (size_t i = 0; i < n && bits > 0; i++, bits -= 8) {
		uint8_t mask = bits >= 8 ? 0xff : (uint8_t)(0xff << (8 - bits));

		if ((a[i] ^ b[i]) & mask)
			return false;
	}
	return true;
}

static bool any_within(const char *address, const json_t *cidrs)
{
	const json_t *one;
	size_t i;

	json_array_foreach(cidrs, i, one)
		if (session_within(address, json_string_value(one) ? json_string_value(one) : ""))
			return true;
	return false;
}

/* "host", "host:port", "[v6]:port" without the port and the brackets. */
static char *bare_host(const char *host)
{
	const char *end;

	if (*host == '[' && (end = strchr(host, ']')))
		return xstrndup(host + 1, (size_t)(end - host - 1));
	return xstrndup(host, strcspn(host, ":"));
}

/* By address, or by what its name leads to. */
static bool is_insecure(const char *host, const json_t *cidrs)
{
	OWN_FREE char *name = bare_host(host);
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *all = NULL;
	char text[INET6_ADDRSTRLEN];
	bool found = false;

	if (!json_array_size(cidrs) || getaddrinfo(name, NULL, &hints, &all) != 0)
		return false;
	for (struct addrinfo *a = all; a && !found; a = a->ai_next)
		found = getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) == 0 && any_within(text, cidrs);
	freeaddrinfo(all);
	return found;
}

static char *fd_path(json_t *site, const char *key, const int *fds, size_t nfds)
{
	json_t *at = json_object_get(site, key);

	if (!json_is_integer(at) || json_integer_value(at) < 0 || (size_t)json_integer_value(at) >= nfds)
		return NULL;
	return xasprintf("/proc/self/fd/%d", fds[json_integer_value(at)]);
}

static void copy_file(int from, int to)
{
	char chunk[8192];
	ssize_t n;
	off_t at = 0;

	while ((n = pread(from, chunk, sizeof(chunk), at)) > 0) {
		if (write(to, chunk, (size_t)n) != n)
			return;
		at += n;
	}
}

/* The authorities of a registry are added to the system's: behind the descriptor, which is ours. */
static void add_authorities(json_t *site, const int *fds, size_t nfds)
{
	json_int_t at = json_integer_value(json_object_get(site, "ca"));
	OWN_FD int system = web_authorities() ? open(web_authorities(), O_RDONLY | O_CLOEXEC) : -1;

	if (json_object_get(site, "ca") && at >= 0 && (size_t)at < nfds && system >= 0 && lseek(fds[at], 0, SEEK_END) >= 0)
		copy_file(system, fds[at]);
}

static char *member(const json_t *js, const char *key)
{
	const char *s = json_string_value(json_object_get(js, key));

	return str_empty(s) ? NULL : xstrdup(s);
}

static struct who who_of(const json_t *js)
{
	return (struct who){ member(js, "username"), member(js, "password"), member(js, "identitytoken"), member(js, "registrytoken") };
}

static void who_done(struct who *w)
{
	free(w->username);
	free(w->password);
	free(w->identity_token);
	free(w->registry_token);
}

static void add_site(struct client *c, json_t *js, char *url, bool insecure, const int *fds, size_t nfds)
{
	struct site *s = &c->sites[c->len++];

	*s = (struct site){ .url = url, .mirror = json_is_true(json_object_get(js, "mirror")), .insecure = insecure };
	pthread_mutex_init(&s->lock, NULL);
	s->prefix = member(js, "prefix");
	s->who = &c->who;
	if (s->mirror) {
		s->own = who_of(js);
		s->who = &s->own;
	}
	s->tls.insecure = insecure;
	if (insecure)
		return;
	add_authorities(js, fds, nfds);
	s->tls.ca = fd_path(js, "ca", fds, nfds);
	s->tls.cert = fd_path(js, "cert", fds, nfds);
	s->tls.key = fd_path(js, "key", fds, nfds);
}

static void add_sites(struct client *c, json_t *js, const json_t *cidrs, const int *fds, size_t nfds)
{
	const char *url = json_string_value(json_object_get(js, "url")), *host = json_string_value(json_object_get(js, "host"));
	bool insecure = json_is_true(json_object_get(js, "insecure"));
	OWN_FREE char *of_url = url ? web_host(url) : NULL;

	if (!insecure && (host || of_url))
		insecure = is_insecure(host ? host : of_url, cidrs);
	if (url) {
		add_site(c, js, xstrdup(url), insecure || str_has_prefix(url, "http:"), fds, nfds);
	} else if (host) {
		add_site(c, js, xasprintf("https://%s", host), insecure, fds, nfds);
		if (insecure)
			add_site(c, js, xasprintf("http://%s", host), true, fds, nfds);
	}
}

struct client *session_read(const char *text, size_t size, const int *fds, size_t nfds, struct err *err)
{
	OWN_JSON json_t *js = json_read(text, size, err);
	json_t *sites = json_object_get(js, "sites"), *proxy = json_object_get(js, "proxy"), *one;
	struct client *c;
	size_t i;
	struct web_proxy p;

	if (!js)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	p = (struct web_proxy){ member(proxy, "http"), member(proxy, "https"), member(proxy, "no") };
	web_init(json_string_value(json_object_get(js, "agent")) ? json_string_value(json_object_get(js, "agent")) : "dockerd", &p);
	free(p.http);
	free(p.https);
	free(p.no);
	c->who = who_of(js);
	c->class = member(js, "class");
	c->stall = json_integer_value(json_object_get(js, "stall")) * NSEC_PER_SEC;
	c->rate = (int)json_integer_value(json_object_get(js, "rate"));
	if (c->stall < NSEC_PER_SEC || c->rate < 1)
		c->stall = STALL_S * NSEC_PER_SEC, c->rate = RATE;
	web_patience(c->stall / NSEC_PER_SEC, c->rate);
	c->attempts = (int)json_integer_value(json_object_get(js, "attempts"));
	if (c->attempts < 1)
		c->attempts = 1;
	c->sites = xcalloc(json_array_size(sites) * 2 + 1, sizeof(*c->sites));
	json_array_foreach(sites, i, one)
		add_sites(c, one, json_object_get(js, "cidrs"), fds, nfds);
	return c;
}

static void site_done(struct site *s)
{
	free(s->url);
	free(s->prefix);
	who_done(&s->own);
	free((char *)s->tls.ca);
	free((char *)s->tls.cert);
	free((char *)s->tls.key);
	challenge_done(&s->asked);
	for (size_t i = 0; i < s->tokens_len; i++) {
		free(s->tokens[i].scope);
		free(s->tokens[i].text);
	}
	free(s->tokens);
	pthread_mutex_destroy(&s->lock);
}

void session_free(struct client *c)
{
	for (size_t i = 0; i < c->len; i++)
		site_done(&c->sites[i]);
	free(c->sites);
	who_done(&c->who);
	free(c);
	web_done();
}
