/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fetch/web.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "fetch/challenge.h"
#include "fetch/proxy.h"

#define CONNECT_S 30L
#define GREETING_CONNECT_S 10L
#define GREETING_S 15L
#define HEADER_MAX (16u << 10) /* of one line that is kept */
#define CHALLENGES_MAX 16
#define POOL_MAX 16

static struct {
	pthread_mutex_t lock; /* idle */
	CURL *idle[POOL_MAX];
	size_t len;
	char *agent;
	struct web_proxy proxy;
	long stalled, rate;    /* s below so many bytes a second; set before threads */
} web = { .lock = PTHREAD_MUTEX_INITIALIZER, .stalled = 30, .rate = 256 };

/* One request under way. */
struct run {
	const struct web_request *rq;
	struct web_answer *a;
	CURL *c;
	bool stopped, too_large, begun;
	int64_t sent;              /* of the body */
};

void web_init(const char *agent, const struct web_proxy *proxy)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
	web.agent = xstrdup(agent);
	web.proxy = (struct web_proxy){ proxy_address(proxy->http), proxy_address(proxy->https), NULL };
	/* what is here is never reached through somebody else */
	web.proxy.no = xasprintf("%s%slocalhost,127.0.0.0/8,::1", proxy->no ? proxy->no : "", str_empty(proxy->no) ? "" : ",");
}

void web_patience(int64_t stall, int rate)
{
	web.stalled = stall > 1 ? (long)(stall / 2) : 1;
	web.rate = rate;
}

void web_done(void)
{
	while (web.len)
		curl_easy_cleanup(web.idle[--web.len]);
	free(STEAL(web.agent));
	free(STEAL(web.proxy.http));
	free(STEAL(web.proxy.https));
	free(STEAL(web.proxy.no));
}

static CURL *handle_get(void)
{
	CURL *c = NULL;

	pthread_mutex_lock(&web.lock);
	if (web.len)
		c = web.idle[--web.len];
	pthread_mutex_unlock(&web.lock);
	return c ? c : curl_easy_init();
}

static void handle_put(CURL *c)
{
	curl_easy_reset(c);
	pthread_mutex_lock(&web.lock);
	if (web.len < POOL_MAX)
		web.idle[web.len++] = STEAL(c);
	pthread_mutex_unlock(&web.lock);
	if (c)
		curl_easy_cleanup(c);
}

void web_answer_done(struct web_answer *a)
{
	free(a->location);
	free(a->type);
	free(a->link);
	free(a->retry_after);
	free(a->range);
	free(a->sent_range);
	strv_done(&a->challenges);
	buf_done(&a->body);
	*a = (struct web_answer){ .length = -1 };
}

/* The value of header name in a line, or NULL; *ret_size is its length without blanks around. */
static const char *header_value(const char *line, size_t size, const char *name, size_t *ret_size)
{
	size_t n = strlen(name);

	if (size <= n || line[n] != ':' || strncasecmp(line, name, n) != 0)
		return NULL;
	for (n++; n < size && (line[n] == ' ' || line[n] == '\t');)
		n++;
	while (size > n && strchr(" \t\r\n", line[size - 1]))
		size--;
	*ret_size = size - n;
	return line + n;
}

static void keep_header(struct web_answer *a, const char *line, size_t size)
{
	const struct { const char *name; char **to; } kept[] = {
		{ "Location", &a->location }, { "Content-Type", &a->type }, { "Link", &a->link }, { "Retry-After", &a->retry_after },
		{ "Content-Range", &a->range }, { "Range", &a->sent_range },
	};
	const char *v;
	size_t n;

	if (size > HEADER_MAX || memchr(line, '\0', size))
		return;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if ((v = header_value(line, size, kept[i].name, &n))) {
			free(*kept[i].to);
			*kept[i].to = xstrndup(v, n);
		}
	if ((v = header_value(line, size, "WWW-Authenticate", &n)) && a->challenges.len < CHALLENGES_MAX)
		strv_take(&a->challenges, xstrndup(v, n));
	if ((v = header_value(line, size, "Content-Length", &n))) {
		OWN_FREE char *text = xstrndup(v, n);

		if (!str_to_i64(text, &a->length) || a->length < 0)
			a->length = -1;
	}
}

static size_t on_header(char *data, size_t one, size_t size, void *ctx)
{
	struct run *r = ctx;

	/* those of an answer 100, or of a proxy, were not meant */
	if (size > 5 && strncmp(data, "HTTP/", 5) == 0)
		web_answer_done(r->a);
	else
		keep_header(r->a, data, size);
	return size;
}

static int status_of(CURL *c)
{
	long status = 0;

	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static size_t on_data(char *data, size_t one, size_t size, void *ctx)
{
	struct run *r = ctx;
	struct web_answer *a = r->a;
	bool good;
	size_t max;

	a->status = status_of(r->c);
	good = a->status >= 200 && a->status < 300;
	r->begun = true;
	if (good && r->rq->sink) {
		r->stopped = !r->rq->sink(r->rq->ctx, a, data, size);
		return r->stopped ? 0 : size;
	}
	max = good ? r->rq->body_max : WEB_ERROR_MAX;
	if (size > max - a->body.size) {
		if (!good)
			return size; /* what comes after the cap of an error is not of interest */
		r->too_large = true;
		return 0;
	}
	buf_add(&a->body, data, size);
	return size;
}

static size_t on_send(char *data, size_t one, size_t size, void *ctx)
{
	struct run *r = ctx;
	const struct web_request *rq = r->rq;
	int64_t left = rq->body_size - r->sent;
	ssize_t n = left > 0 ? pread(rq->body, data, (int64_t)size < left ? size : (size_t)left, rq->body_at + r->sent) : 0;

	if (n < 0)
		return CURL_READFUNC_ABORT;
	r->sent += n;
	if (rq->sent)
		rq->sent(rq->ctx, rq->body_at + r->sent);
	return (size_t)n;
}

/* The connection was kept too long, and all is to be sent once more. */
static int on_rewind(void *ctx, curl_off_t at, int from)
{
	struct run *r = ctx;

	r->sent = at;
	return from == SEEK_SET ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

static void set_body(CURL *c, struct run *r)
{
	curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->rq->method);
	curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->rq->body_size);
	curl_easy_setopt(c, CURLOPT_READFUNCTION, on_send);
	curl_easy_setopt(c, CURLOPT_READDATA, r);
	curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_rewind);
	curl_easy_setopt(c, CURLOPT_SEEKDATA, r);
	curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
	/* on a kept connection that the other side has closed it would be sent once more, where only the rest is wanted */
	curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, (long)(r->rq->body_size > 0));
}

static bool sends(const struct web_request *rq)
{
	return streq(rq->method, "PUT") || streq(rq->method, "PATCH") || streq(rq->method, "DELETE") || (streq(rq->method, "POST") && !rq->form);
}

static const char *proxy_of(const char *url)
{
	return strncasecmp(url, "https:", 6) == 0 ? web.proxy.https : web.proxy.http;
}

static struct curl_slist *set_headers(CURL *c, const struct web_request *rq)
{
	struct curl_slist *all = NULL;
	OWN_FREE char *accept = xasprintf("Accept: %s", rq->accept ? rq->accept : "*/*");

	all = curl_slist_append(all, accept);
	if (rq->authorization) {
		OWN_FREE char *auth = xasprintf("Authorization: %s", rq->authorization);

		all = curl_slist_append(all, auth);
	}
	if (rq->from > 0) {
		OWN_FREE char *range = xasprintf("Range: bytes=%lld-", (long long)rq->from);

		all = curl_slist_append(all, range);
	}
	if (sends(rq)) {
		OWN_FREE char *type = xasprintf("Content-Type: %s", rq->body_type ? rq->body_type : "application/octet-stream");

		all = curl_slist_append(all, type);
		all = curl_slist_append(all, "Expect:");
		if (streq(rq->method, "PATCH") && rq->body_size) {
			OWN_FREE char *range = xasprintf("Content-Range: %lld-%lld", (long long)rq->body_at, (long long)(rq->body_at + rq->body_size - 1));

			all = curl_slist_append(all, range);
		}
	}
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, all);
	return all;
}

static void set_tls(CURL *c, const struct web_tls *tls)
{
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (tls->insecure) {
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
		/* reading all authorities takes longer than all the rest */
		curl_easy_setopt(c, CURLOPT_CAINFO, NULL);
		curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	}
	if (tls->ca || (!tls->insecure && web_authorities()))
		curl_easy_setopt(c, CURLOPT_CAINFO, tls->ca ? tls->ca : web_authorities());
	if (tls->cert && tls->key) {
		curl_easy_setopt(c, CURLOPT_SSLCERT, tls->cert);
		curl_easy_setopt(c, CURLOPT_SSLKEY, tls->key);
	}
}

/* No longer than anything else that says nothing. */
static long at_most(long seconds)
{
	return seconds < web.stalled ? seconds : web.stalled;
}

/* "host:port" of an address, with the port that the scheme has. */
static char *dial_target(const char *url)
{
	OWN_FREE char *host = web_host(url);
	const char *end = host ? strrchr(host, ']') : NULL;

	if (host && strchr(end ? end : host, ':'))
		return STEAL(host);
	return xasprintf("%s:%s", host ? host : "", strncasecmp(url, "https:", 6) == 0 ? "443" : "80");
}

static void set_options(struct run *r, char error[CURL_ERROR_SIZE])
{
	const struct web_request *rq = r->rq;
	OWN_FREE char *to = dial_target(rq->url), *direct = proxy_exceptions(web.proxy.no, to);
	CURL *c = r->c;

	curl_easy_setopt(c, CURLOPT_URL, rq->url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(c, CURLOPT_USERAGENT, web.agent);
	curl_easy_setopt(c, CURLOPT_PROXY, proxy_of(rq->url));
	curl_easy_setopt(c, CURLOPT_NOPROXY, direct);
	curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, rq->greeting ? at_most(GREETING_CONNECT_S) : CONNECT_S);
	if (rq->greeting)
		curl_easy_setopt(c, CURLOPT_TIMEOUT, at_most(GREETING_S));
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, web.rate);
	/* what a registry does with all of an upload takes its time */
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, streq(rq->method, "PUT") ? 10 * web.stalled : web.stalled);
	curl_easy_setopt(c, CURLOPT_BUFFERSIZE, 256L * 1024);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, r);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
	if (rq->form)
		curl_easy_setopt(c, CURLOPT_POSTFIELDS, rq->form);
	else if (streq(rq->method, "HEAD"))
		curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	else if (sends(rq))
		set_body(c, r);
	else
		curl_easy_setopt(c, CURLOPT_HTTPGET, 1L);
	set_tls(c, &rq->tls);
}

static void lower_first(char *s)
{
	for (; *s; s++)
		*s = (char)tolower((unsigned char)*s);
}

static char *connect_text(const struct run *r, const char *error)
{
	OWN_FREE char *to = dial_target(r->rq->url), *why = NULL;
	const char *proxy = proxy_of(r->rq->url), *colon = strrchr(to, ':');
	int bracket = *to == '['; /* libcurl's words have none */
	OWN_FREE char *direct = xasprintf(" %.*s port %s ", (int)(colon - to) - 2 * bracket, to + bracket, colon + 1);
	bool through = *proxy && !strstr(error, direct); /* it tells where it went */
	long sys = 0;

	if (through) {
		free(to);
		to = dial_target(proxy);
	}
	curl_easy_getinfo(r->c, CURLINFO_OS_ERRNO, &sys);
	why = xstrdup(sys ? strerror((int)sys) : "connection failed");
	lower_first(why);
	return xasprintf("%sdial tcp %s: connect: %s", through ? "proxyconnect tcp: " : "", to, why);
}

static char *lookup_text(const char *url, const char *before)
{
	OWN_FREE char *to = dial_target(url);
	char *colon = strrchr(to, ':');

	*colon = '\0';
	return xasprintf("%sdial tcp: lookup %s: no such host", before, to);
}

/* Names are checked before they come here: what is wrong with the address is its port. */
static char *port_text(const struct run *r)
{
	const char *host = strstr(r->rq->url, "://"), *end = host ? host + 3 + strcspn(host + 3, "/") : NULL, *port = end ? memrchr(host, ':', (size_t)(end - host)) : NULL;

	return port ? xasprintf("dial tcp: address %.*s: invalid port", (int)(end - port - 1), port + 1) : xstrdup(curl_easy_strerror(CURLE_URL_MALFORMAT));
}

/* What a proxy answered to CONNECT, when it was no success; else 0. */
static int proxy_refusal(const struct run *r)
{
	long status = 0;

	curl_easy_getinfo(r->c, CURLINFO_HTTP_CONNECTCODE, &status);
	return status >= 200 && status < 300 ? 0 : (int)status;
}

static char *refusal_text(const struct run *r, int status)
{
	OWN_FREE char *proxy = dial_target(proxy_of(r->rq->url));

	return xasprintf("proxyconnect tcp: %s answered %d %s", proxy, status, status_text(status));
}

/* Why a chain was not believed is a code of OpenSSL or a set of GnuTLS's bits, whichever libcurl was built with; none is both. */
static bool is_out_of_date(long result)
{
	return result == 9 || result == 10 || result & (1 << 9 | 1 << 10);
}

static char *certificate_text(const struct run *r, const char *error)
{
	long theirs = 0, proxys = 0;
	char now[32] = "";
	time_t t = time(NULL);
	struct tm tm;
	const char *before;

	curl_easy_getinfo(r->c, CURLINFO_SSL_VERIFYRESULT, &theirs);
	curl_easy_getinfo(r->c, CURLINFO_PROXY_SSL_VERIFYRESULT, &proxys);
	before = proxys ? "proxyconnect tcp: " : "";
	if (is_out_of_date(theirs) || is_out_of_date(proxys)) {
		strftime(now, sizeof(now), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
		return xasprintf("%sx509: certificate has expired or is not yet valid: current time %s", before, now);
	}
	if (strcasestr(error, "name") && !strcasestr(error, "verif"))
		return xasprintf("%sx509: %s", before, error);
	return xasprintf("%sx509: certificate signed by unknown authority", before);
}

/* What curl says, in the words that Docker's users know. */
static char *failure_text(const struct run *r, CURLcode rc, const char *error)
{
	int refused = proxy_refusal(r);

	if (refused)
		return refusal_text(r, refused);
	switch (rc) {
	case CURLE_COULDNT_RESOLVE_HOST:
		return lookup_text(r->rq->url, "");
	case CURLE_COULDNT_RESOLVE_PROXY:
		return lookup_text(proxy_of(r->rq->url), "proxyconnect tcp: ");
	case CURLE_COULDNT_CONNECT:
		return connect_text(r, error);
	case CURLE_URL_MALFORMAT:
		return port_text(r);
	case CURLE_OPERATION_TIMEDOUT:
		if (r->begun)
			return xasprintf("no data came for %ld second%s", web.stalled, web.stalled == 1 ? "" : "s");
		return xstrdup("net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting headers)");
	case CURLE_PEER_FAILED_VERIFICATION:
		return certificate_text(r, error);
	case CURLE_GOT_NOTHING:
		return xstrdup("EOF");
	case CURLE_PARTIAL_FILE:
	case CURLE_RECV_ERROR:
		return xstrdup("unexpected EOF");
	case CURLE_SSL_CONNECT_ERROR:
		if (strcasestr(error, "unexpected TLS packet") || strcasestr(error, "wrong version"))
			return xstrdup("http: server gave HTTP response to HTTPS client");
		return xasprintf("tls: %s", *error ? error : curl_easy_strerror(rc));
	default:
		return xstrdup(*error ? error : curl_easy_strerror(rc));
	}
}

static const char *verb(const struct web_request *rq)
{
	static const char *const verbs[] = { "GET", "Get", "HEAD", "Head", "POST", "Post", "PUT", "Put", "PATCH", "Patch", "DELETE", "Delete" };

	for (size_t i = 0; i < ARRAY_LEN(verbs); i += 2)
		if (streq(rq->method, verbs[i]))
			return verbs[i + 1];
	return rq->method;
}

static enum web_end failed(const struct run *r, CURLcode rc, const char *error, struct err *err)
{
	OWN_FREE char *why = NULL;

	if (r->stopped || r->too_large) {
		err_set(err, ERR_INVALID, "%s \"%s\": the answer is larger than it may be", verb(r->rq), r->rq->url);
		return WEB_STOPPED;
	}
	why = failure_text(r, rc, error);
	err_set(err, ERR_UNAVAILABLE, "%s \"%s\": %s", verb(r->rq), r->rq->url, why);
	if (proxy_refusal(r) && proxy_refusal(r) < 500)
		return WEB_UNREACHABLE;
	switch (rc) {
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
	case CURLE_COULDNT_CONNECT:
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_URL_MALFORMAT:
		return WEB_UNREACHABLE;
	case CURLE_OPERATION_TIMEDOUT:
		return r->rq->greeting ? WEB_UNREACHABLE : WEB_BROKEN;
	default:
		return WEB_BROKEN;
	}
}

enum web_end web_do(const struct web_request *rq, struct web_answer *ret, struct err *err)
{
	struct run r = { .rq = rq, .a = ret, .c = handle_get() };
	char error[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers;
	enum web_end end = WEB_OK;
	CURLcode rc;

	*ret = (struct web_answer){ .length = -1 };
	if (!r.c) {
		err_set(err, ERR_INTERNAL, "libcurl gives no handle");
		return WEB_UNREACHABLE;
	}
	headers = set_headers(r.c, rq);
	set_options(&r, error);
	rc = curl_easy_perform(r.c);
	ret->status = status_of(r.c);
	if (rc != CURLE_OK)
		end = failed(&r, rc, error, err);
	curl_slist_free_all(headers);
	handle_put(r.c);
	return end;
}

const char *web_authorities(void)
{
	const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
	const char *env = getenv("SSL_CERT_FILE");

	if (!str_empty(env))
		return env;
	return v->age >= CURLVERSION_SEVENTH ? v->cainfo : NULL;
}

/* One part of an address, or NULL. */
static char *url_part(const char *url, CURLUPart part, unsigned flags)
{
	CURLU *u = curl_url();
	char *text = NULL, *ret = NULL;

	if (u && curl_url_set(u, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK && curl_url_get(u, part, &text, flags) == CURLUE_OK)
		ret = xstrdup(text);
	curl_free(text);
	curl_url_cleanup(u);
	return ret;
}

char *web_resolve(const char *base, const char *location)
{
	CURLU *u = curl_url();
	char *text = NULL, *user = NULL, *ret = NULL;

	if (u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK && curl_url_set(u, CURLUPART_URL, location, CURLU_URLENCODE) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_USER, &user, 0) == CURLUE_NO_USER && curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK &&
	    (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0))
		ret = xstrdup(text);
	curl_free(text);
	curl_free(user);
	curl_url_cleanup(u);
	return ret;
}

bool web_same_origin(const char *a, const char *b)
{
	static const CURLUPart parts[] = { CURLUPART_SCHEME, CURLUPART_HOST, CURLUPART_PORT };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		OWN_FREE char *x = url_part(a, parts[i], CURLU_DEFAULT_PORT), *y = url_part(b, parts[i], CURLU_DEFAULT_PORT);

		if (!x || !y || strcasecmp(x, y) != 0)
			return false;
	}
	return true;
}

char *web_host(const char *url)
{
	OWN_FREE char *host = url_part(url, CURLUPART_HOST, 0), *port = url_part(url, CURLUPART_PORT, 0);

	if (!host)
		return NULL;
	return port ? xasprintf("%s:%s", host, port) : STEAL(host);
}
