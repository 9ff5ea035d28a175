/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "docker-plugin.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "docker-plugin-find.h"
#include "json-shallow.h"

#define MIME "application/vnd.docker.plugins.v1.2+json"
#define ANSWER_MAX (4u << 20)
#define CALL_MS 30000       /* without a deadline, and until somebody listens; Docker's */
#define FIRST_PAUSE_MS 100  /* between tries; twice as long each time */
#define LAST_PAUSE_MS 4000
#define TOLD_PAUSE_MS 1000
#define SLOW_MS 10000       /* how long one is not waited for that let a caller wait in vain */
#define SLOW_CALL_MS 1000
#define HTTP_NOT_FOUND 404

struct docker_plugin {
	const struct dkd_host *host;
	char *name;
	const char *head;        /* of what it says itself */
	_Atomic int64_t slow_until;
};

/* One exchange under way. */
struct exchange {
	struct docker_plugin *p;
	const struct dkd_call *call; /* NULL: nobody waits, failures are for the log */
	const char *method;
	int64_t until, heard_by;
	char *answer;
	size_t size;
	long status;
	int gone;   /* the caller is */
};

static int fail(const struct exchange *x, uint32_t class, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int fail(const struct exchange *x, uint32_t class, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (x->call)
		return x->p->host->fail(x->p->host, x->call, class, 0, text);
	dkd_logf(x->p->host, DKD_LOG_WARN, "%s", text);
	return -1;
}

const char *docker_plugin_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(docker_plugin_member(object, key));

	return s && *s ? s : NULL;
}

json_t *docker_plugin_pairs(const struct dkd_pair *v, uint32_t len)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < len; i++)
		json_object_set_new(o, v[i].key, json_string(v[i].value ? v[i].value : ""));
	return o;
}

void docker_plugin_emit(const json_t *object, dkd_emit_pair *emit, void *to)
{
	const char *key;
	json_t *value;
	int stop = 0;

	json_object_foreach((json_t *)(uintptr_t)object, key, value) {
		char *text = stop || json_is_string(value) ? NULL : json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

		if (!stop && (text || json_is_string(value)))
			stop = emit(to, key, text ? text : json_string_value(value));
		free(text);
	}
}

void *docker_plugin_handle(const struct dkd_host *host, const struct dkd_call *call, const char *name, const char *what, size_t size)
{
	struct { DOCKER_PLUGIN_HANDLE; } head = { host, NULL };
	void *ret = calloc(1, size);

	if (!ret) {
		dkd_failf(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
		return NULL;
	}
	head.plugin = docker_plugin_open(host, call, name ? name : "", what);
	if (!head.plugin) {
		free(ret);
		return NULL;
	}
	memcpy(ret, &head, sizeof(head));
	return ret;
}

void docker_plugin_close(struct docker_plugin *p)
{
	if (!p)
		return;
	free(p->name);
	free(p);
}

const char *docker_plugin_name(const struct docker_plugin *p)
{
	return p->name;
}

/* What libnetwork's callers say before the words of a plugin. */
static const char *head_of(const char *what)
{
	return strcmp(what, "NetworkDriver") == 0 || strcmp(what, "IpamDriver") == 0 ? "remote: " : "";
}

/* Is there anything of that name, and what is it? Nothing is waited for here. */
static int look(const struct dkd_host *host, const struct dkd_call *call, const char *name, struct plugin_place *ret)
{
	char file[DOCKER_PLUGIN_PATH];
	int rc = plugin_place_find(host, name, ret, file);

	if (rc < 0)
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "plugin %.100s: %.300s names no address", name, file);
	if (rc > 0)
		return dkd_failf(host, call, DKD_ERR_NOT_FOUND, 0, "plugin \"%.100s\" not found", name);
	return 0;
}

/* "docker.volumedriver/1.0" among its types: VolumeDriver. */
static int has_type(const json_t *types, const char *what)
{
	static const char head[] = "docker.";
	size_t n = strlen(what), i;
	const json_t *one;

	json_array_foreach(types, i, one) {
		const char *type = json_is_string(one) ? json_string_value(one) : "";

		if (strncmp(type, head, strlen(head)) == 0 && strncasecmp(type + strlen(head), what, n) == 0 && type[strlen(head) + n] == '/')
			return 1;
	}
	return 0;
}

/* Is it what is wanted, as it says itself? -1: told. */
static int activate(struct docker_plugin *p, const struct dkd_call *call, const char *what)
{
	json_t *answer = NULL, *one;
	size_t i;
	int found = 0;

	if (docker_plugin_call(p, call, "Plugin.Activate", 0, json_object(), &answer) < 0)
		return -1;
	json_array_foreach(docker_plugin_member(answer, "Implements"), i, one)
		found |= json_is_string(one) && strcmp(json_string_value(one), what) == 0;
	json_decref(answer);
	return found;
}

struct docker_plugin *docker_plugin_open(const struct dkd_host *host, const struct dkd_call *call, const char *name, const char *what)
{
	struct plugin_place place = { 0 };
	struct docker_plugin *p = NULL;
	int found = -1;

	if (look(host, call, name, &place) < 0)
		return NULL;
	p = calloc(1, sizeof(*p));
	if (!p || !(p->name = strdup(name))) {
		dkd_failf(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	} else {
		p->host = host;
		p->head = head_of(what);
		found = place.types ? has_type(place.types, what) : activate(p, call, what);
	}
	plugin_place_done(&place);
	if (found > 0)
		return p;
	if (found == 0)
		dkd_failf(host, call, DKD_ERR_NOT_FOUND, 0, "plugin \"%s\" implements no %s", name, what);
	docker_plugin_close(p);
	return NULL;
}

static void start_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int is_gone(const struct dkd_call *call, int wait_ms)
{
	struct pollfd p = { .fd = call ? call->cancel_fd : -1, .events = POLLIN };

	return poll(&p, p.fd >= 0, wait_ms) > 0;
}

static size_t on_data(char *data, size_t size, size_t n, void *ctx)
{
	struct exchange *x = ctx;
	char *more = x->size + size * n > ANSWER_MAX ? NULL : realloc(x->answer, x->size + size * n + 1);

	if (!more)
		return 0;
	memcpy(more + x->size, data, size * n);
	x->answer = more;
	x->size += size * n;
	return size * n;
}

/* Called about once a second while nothing happens, and oftener else. */
static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	struct exchange *x = ctx;

	(void)a, (void)b, (void)c, (void)d;
	x->gone = is_gone(x->call, 0);
	return x->gone;
}

static CURL *prepare(const struct plugin_place *at, const char *url, const char *body, struct curl_slist *headers, struct exchange *x)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int64_t left = x->until - now_ms();
	CURL *c;

	pthread_once(&once, start_curl);
	c = curl_easy_init();
	if (!c)
		return NULL;
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(left > 0 ? left : 1));
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, x);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	if (at->socket)
		curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, at->socket);
	if (at->ca)
		curl_easy_setopt(c, CURLOPT_CAINFO, at->ca);
	if (at->cert)
		curl_easy_setopt(c, CURLOPT_SSLCERT, at->cert);
	if (at->key)
		curl_easy_setopt(c, CURLOPT_SSLKEY, at->key);
	if (at->insecure) {
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 0L);
		curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 0L);
	}
	return c;
}

/* Nobody heard it: it may be said again. */
static int was_not_heard(CURLcode code)
{
	return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
}

/* Says it once, where the plugin is now. */
static CURLcode try_once(struct exchange *x, const char *body)
{
	struct curl_slist *headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: " MIME), "Accept: " MIME);
	struct plugin_place at = { 0 };
	char file[DOCKER_PLUGIN_PATH], url[1024];
	CURLcode code = CURLE_COULDNT_CONNECT;
	CURL *c = NULL;

	x->size = 0;
	x->status = 0;
	if (plugin_place_find(x->p->host, x->p->name, &at, file) == 0) {
		snprintf(url, sizeof(url), "%s/%s", at.url, x->method);
		c = prepare(&at, url, body, headers, x);
		code = c ? curl_easy_perform(c) : CURLE_OUT_OF_MEMORY;
		if (c)
			curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &x->status);
		curl_easy_cleanup(c);
	}
	curl_slist_free_all(headers);
	plugin_place_done(&at);
	return code;
}

/* In Docker's words. The first time, and when the pauses have become long. */
static void tell_retry(const struct exchange *x, CURLcode code, int pause)
{
	char text[16];

	if (pause != FIRST_PAUSE_MS && pause < TOLD_PAUSE_MS)
		return;
	if (pause < 1000)
		snprintf(text, sizeof(text), "%dms", pause);
	else
		snprintf(text, sizeof(text), "%gs", pause / 1000.0);
	dkd_logf(x->p->host, DKD_LOG_WARN, "Unable to connect to plugin: %s/%s: %s, retrying in %s", x->p->name, x->method, curl_easy_strerror(code), text);
}

/* Says it until somebody hears it. */
static CURLcode exchange(struct exchange *x, const char *body)
{
	CURLcode code = CURLE_COULDNT_CONNECT;

	for (int pause = FIRST_PAUSE_MS; !x->gone; pause = pause * 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : pause * 2) {
		code = try_once(x, body);
		if (!was_not_heard(code) || now_ms() + pause >= x->heard_by)
			break;
		tell_retry(x, code, pause);
		x->gone = is_gone(x->call, pause);
	}
	if (!x->gone && (code == CURLE_OPERATION_TIMEDOUT || was_not_heard(code)))
		x->p->slow_until = now_ms() + SLOW_MS;
	else if (code == CURLE_OK)
		x->p->slow_until = 0;
	return code;
}

static int tell_why(const struct exchange *x, CURLcode code)
{
	const char *name = x->p->name;

	if (x->gone)
		return fail(x, DKD_ERR_CANCELLED, "plugin %s: %s: the caller is gone", name, x->method);
	if (code == CURLE_WRITE_ERROR)
		return fail(x, DKD_ERR_INTERNAL, "plugin %s: %s: its answer is longer than %u bytes", name, x->method, ANSWER_MAX);
	return fail(x, code == CURLE_OPERATION_TIMEDOUT || was_not_heard(code) ? DKD_ERR_UNAVAILABLE : DKD_ERR_INTERNAL,
		"plugin %s: %s: %s", name, x->method, curl_easy_strerror(code));
}

static int read_answer(const struct exchange *x, int optional, json_t **ret)
{
	json_t *js = x->size ? json_shallow(x->answer, x->size, 0) : json_object();
	const json_t *told = docker_plugin_member(js, "Err");
	const char *why = told && !json_is_null(told) && !json_is_string(told) ? "its Err is no text" : docker_plugin_text(js, "Err"), *name = x->p->name;

	if (x->status == HTTP_NOT_FOUND && optional) {
		json_decref(js);
		return 1;
	}
	if (x->status == 200 && json_is_object(js) && !why) {
		*ret = js;
		return 0;
	}
	if (why && x->status == 200)
		fail(x, DKD_ERR_INTERNAL, "%s%.900s", x->p->head, why);
	else if (why)
		fail(x, DKD_ERR_INTERNAL, "%s%.60s: %.900s", x->p->head, x->method, why);
	else if (x->status != 200)
		fail(x, DKD_ERR_INTERNAL, "plugin %s: %s: it answers %ld: %.*s", name, x->method, x->status, x->size > 600 ? 600 : (int)x->size,
			x->answer ? x->answer : "");
	else
		fail(x, DKD_ERR_INTERNAL, "plugin %s: %s: its answer is no JSON object", name, x->method);
	json_decref(js);
	return -1;
}

/* Takes request. */
static int perform(struct exchange *x, int optional, json_t *request, json_t **ret)
{
	char *body = json_dumps(request, JSON_COMPACT);
	int64_t now = now_ms();
	CURLcode code;
	int rc;

	*ret = NULL;
	json_decref(request);
	if (!body)
		return fail(x, DKD_ERR_INVALID, "plugin %s: %s: what it shall be told is not UTF-8", x->p->name, x->method);
	if (x->p->slow_until > now && x->until > now + SLOW_CALL_MS)
		x->until = now + SLOW_CALL_MS;
	x->heard_by = x->until > now + CALL_MS ? now + CALL_MS : x->until;
	code = exchange(x, body);
	rc = code != CURLE_OK ? tell_why(x, code) : read_answer(x, optional, ret);
	free(x->answer);
	free(body);
	return rc;
}

int docker_plugin_call(struct docker_plugin *p, const struct dkd_call *call, const char *method, int optional, json_t *request, json_t **ret)
{
	struct exchange x = { .p = p, .call = call, .method = method,
		.until = call->deadline ? call->deadline / 1000000 : now_ms() + CALL_MS };

	return perform(&x, optional, request, ret);
}

void docker_plugin_tell(struct docker_plugin *p, const char *method, json_t *request, int ms)
{
	struct exchange x = { .p = p, .method = method, .until = now_ms() + ms };
	json_t *answer;

	perform(&x, 1, request, &answer);
	json_decref(answer);
}

static int path_ok(const char *path)
{
	const char *at = path;

	if (*path != '/')
		return 0;
	for (const char *c = path; *c; c++)
		if ((unsigned char)*c < ' ')
			return 0;
	while ((at = strstr(at, "/.."))) {
		at += 3;
		if (*at == '/' || *at == '\0')
			return 0;
	}
	return 1;
}

/* Is path the folder, or below it? What follows the folder then. */
static const char *below(const char *path, const char *folder)
{
	size_t n = strlen(folder);

	while (n && folder[n - 1] == '/')
		n--;
	return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0') ? path + n : NULL;
}

/* path, looked up below base as one in it would: the real one, or what there is of it. -1: neither. */
static int look_up(const char *base, const char *path, char ret[DOCKER_PLUGIN_PATH])
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int root = open(base, O_PATH | O_DIRECTORY | O_CLOEXEC), fd = root < 0 ? -1 : (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	char link[32];
	ssize_t n = -1;

	if (fd >= 0) {
		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, ret, DOCKER_PLUGIN_PATH - 1);
		close(fd);
	}
	if (root >= 0)
		close(root);
	if (n <= 0)
		return -1;
	ret[n] = '\0';
	return 0;
}

/*
 * A link in what a plugin shows of its own root leads to what it would there, not to our files. What is not there yet stays as it is said, behind what
 * is there.
 */
static int settle(const char *base, const char *rest, char ret[DOCKER_PLUGIN_PATH])
{
	char head[DOCKER_PLUGIN_PATH], real[DOCKER_PLUGIN_PATH], top[DOCKER_PLUGIN_PATH];
	size_t n = strlen(rest);
	int size;

	if (look_up(base, "/", top) < 0)
		return -1;
	for (snprintf(head, sizeof(head), "%s", rest); look_up(base, n ? head : "/", real) < 0; head[n] = '\0') {
		if (!n)
			return -1;
		while (n && head[n - 1] == '/')
			n--;
		while (n && head[n - 1] != '/')
			n--;
	}
	if (!below(real, top))
		return -1;
	/* the daemon's own folder is named as it was */
	size = snprintf(ret, DOCKER_PLUGIN_PATH, "%s%s%s%s", base, below(real, top), rest[n] && rest[n] != '/' ? "/" : "", rest + n);
	return size < DOCKER_PLUGIN_PATH ? 0 : -1;
}

int docker_plugin_path(const struct docker_plugin *p, const char *given, char ret[DOCKER_PLUGIN_PATH])
{
	struct plugin_place at = { 0 };
	const char *rest = NULL;
	int rc = 0;

	if (!path_ok(given))
		return -1;
	if (plugin_place_find(p->host, p->name, &at, ret) == 0 && at.shared && at.shared_at)
		rest = below(given, at.shared);
	if (rest || at.root)
		rc = settle(rest ? at.shared_at : at.root, rest ? rest : given, ret);
	else
		rc = snprintf(ret, DOCKER_PLUGIN_PATH, "%s", given) < DOCKER_PLUGIN_PATH ? 0 : -1;
	plugin_place_done(&at);
	return rc;
}
