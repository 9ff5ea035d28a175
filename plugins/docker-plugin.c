/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "docker-plugin.h"

#include <curl/curl.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SOCKETS "/run/docker/plugins"
#define SPECS "/etc/docker/plugins:/usr/lib/docker/plugins"
#define MIME "application/vnd.docker.plugins.v1.2+json"
#define PATH_SIZE 4096
#define NAME_MAX_SIZE 128
#define SPEC_MAX 65536
#define ANSWER_MAX (4u << 20)
#define CALL_MS 30000       /* without a deadline; Docker's */
#define FIRST_PAUSE_MS 100  /* between tries; twice as long each time */
#define LAST_PAUSE_MS 4000
#define HTTP_NOT_FOUND 404

struct docker_plugin {
	const struct dkd_host *host;
	char *name;
	char *url;               /* "http://plugin", "https://host:port" */
	char *socket;            /* a path, or NULL */
	char *ca, *cert, *key;   /* or NULL */
	int insecure;
};

/* Names become files' names. */
static int name_ok(const char *name)
{
	size_t n = strlen(name);

	return n && n < NAME_MAX_SIZE && *name != '.' &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == n;
}

static const char *option(const struct dkd_host *host, const char *key, const char *otherwise)
{
	const char *v = host->option(host, key);

	return v && *v ? v : otherwise;
}

static int is_socket(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Calls fn for each folder of specs until one says 1. */
static int each_specs(const struct dkd_host *host, int (*fn)(void *ctx, const char *dir), void *ctx)
{
	char *all = strdup(option(host, "specs", SPECS)), *save = NULL;
	int found = 0;

	for (char *dir = all ? strtok_r(all, ":", &save) : NULL; dir && !found; dir = strtok_r(NULL, ":", &save))
		found = fn(ctx, dir);
	free(all);
	return found;
}

struct search {
	const char *name;
	char path[PATH_SIZE];
	int json;
};

static int find_spec(void *ctx, const char *dir)
{
	static const char *const suffixes[] = { "spec", "json" };
	struct search *s = ctx;

	for (s->json = 0; s->json < 2; s->json++) {
		snprintf(s->path, sizeof(s->path), "%s/%s.%s", dir, s->name, suffixes[s->json]);
		if (access(s->path, R_OK) == 0)
			return 1;
		snprintf(s->path, sizeof(s->path), "%s/%s/%s.%s", dir, s->name, s->name, suffixes[s->json]);
		if (access(s->path, R_OK) == 0)
			return 1;
	}
	return 0;
}

static int find_socket(const struct dkd_host *host, const char *name, char ret[PATH_SIZE])
{
	const char *dir = option(host, "sockets", SOCKETS);

	snprintf(ret, PATH_SIZE, "%s/%s.sock", dir, name);
	if (is_socket(ret))
		return 1;
	snprintf(ret, PATH_SIZE, "%s/%s/%s.sock", dir, name, name);
	return is_socket(ret);
}

static int32_t has(const struct dkd_call *call, const struct dkd_host *host, const char *name)
{
	struct search s = { .name = name };
	char path[PATH_SIZE];

	(void)call;
	return name_ok(name) && (find_socket(host, name, path) || each_specs(host, find_spec, &s));
}

struct each {
	const char *const *suffixes;
	dkd_emit *emit;
	void *to;
};

static int each_in(void *ctx, const char *dir)
{
	const struct each *e = ctx;
	DIR *d = opendir(dir);
	struct dirent *de;
	int stop = 0;

	while (d && !stop && (de = readdir(d)))
		for (const char *const *s = e->suffixes; *s && !stop; s++) {
			size_t len = strlen(de->d_name), tail = strlen(*s);
			char name[NAME_MAX_SIZE];

			if (len <= tail || len - tail >= sizeof(name) || strcmp(de->d_name + len - tail, *s) != 0)
				continue;
			snprintf(name, sizeof(name), "%.*s", (int)(len - tail), de->d_name);
			if (name_ok(name))
				stop = e->emit(e->to, name) != 0;
		}
	if (d)
		closedir(d);
	return stop;
}

static int32_t each(const struct dkd_call *call, const struct dkd_host *host, dkd_emit *emit, void *to)
{
	static const char *const sockets[] = { ".sock", NULL }, *const specs[] = { ".spec", ".json", NULL };
	struct each e = { sockets, emit, to };

	(void)call;
	if (each_in(&e, option(host, "sockets", SOCKETS)))
		return 0;
	e.suffixes = specs;
	each_specs(host, each_in, &e);
	return 0;
}

const struct dkd_provider docker_plugin_provider = { .size = sizeof(docker_plugin_provider), .each = each, .has = has };

const char *docker_plugin_text(const json_t *object, const char *key)
{
	const char *s = json_string_value(json_object_get(object, key));

	return s && *s ? s : NULL;
}

json_t *docker_plugin_pairs(const struct dkd_pair *v, uint32_t len)
{
	json_t *o = json_object();

	for (uint32_t i = 0; i < len; i++)
		json_object_set_new(o, v[i].key, json_string(v[i].value ? v[i].value : ""));
	return o;
}

static char *copy_of(const char *s)
{
	return s ? strdup(s) : NULL;
}

/* "unix:///path", "tcp://host:port", "http(s)://host:port". 0, or -1. */
static int set_address(struct docker_plugin *p, const char *address, int tls)
{
	size_t n = strcspn(address, "\r\n");
	char *line = strndup(address, n), *rest = line ? strstr(line, "://") : NULL;
	int size;

	if (!rest || strpbrk(line, " \t\"")) {
		free(line);
		return -1;
	}
	*rest = '\0';
	rest += 3;
	if (strcmp(line, "unix") == 0) {
		p->socket = strdup(rest);
		p->url = strdup("http://plugin");
	} else if (strcmp(line, "tcp") == 0 || strcmp(line, "http") == 0 || strcmp(line, "https") == 0) {
		size = (int)strlen(rest) + 16;
		p->url = malloc((size_t)size);
		if (p->url)
			snprintf(p->url, (size_t)size, "%s://%s", tls || strcmp(line, "https") == 0 ? "https" : "http", rest);
	}
	free(line);
	return p->url ? 0 : -1;
}

static int read_spec(struct docker_plugin *p, const char *path)
{
	char line[PATH_SIZE];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, line, sizeof(line) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return -1;
	line[n] = '\0';
	return set_address(p, line, 0);
}

static int read_json(struct docker_plugin *p, const char *path)
{
	json_t *js = json_load_file(path, 0, NULL);
	const json_t *tls = json_object_get(js, "TLSConfig");
	const char *address = docker_plugin_text(js, "Addr");
	int rc = -1;

	if (address) {
		p->ca = copy_of(docker_plugin_text(tls, "CAFile"));
		p->cert = copy_of(docker_plugin_text(tls, "CertFile"));
		p->key = copy_of(docker_plugin_text(tls, "KeyFile"));
		p->insecure = json_is_true(json_object_get(tls, "InsecureSkipVerify"));
		rc = set_address(p, address, json_is_object(tls));
	}
	json_decref(js);
	return rc;
}

void docker_plugin_close(struct docker_plugin *p)
{
	if (!p)
		return;
	free(p->name);
	free(p->url);
	free(p->socket);
	free(p->ca);
	free(p->cert);
	free(p->key);
	free(p);
}

const char *docker_plugin_name(const struct docker_plugin *p)
{
	return p->name;
}

static struct docker_plugin *find(const struct dkd_host *host, const struct dkd_call *call, const char *name)
{
	struct docker_plugin *p = calloc(1, sizeof(*p));
	struct search s = { .name = name };
	char path[PATH_SIZE];
	int rc = -1;

	if (!p)
		return NULL;
	p->host = host;
	p->name = strdup(name);
	if (name_ok(name) && find_socket(host, name, path)) {
		p->socket = strdup(path);
		p->url = strdup("http://plugin");
		rc = p->socket && p->url ? 0 : -1;
	} else if (name_ok(name) && each_specs(host, find_spec, &s)) {
		rc = s.json ? read_json(p, s.path) : read_spec(p, s.path);
		if (rc < 0)
			dkd_failf(host, call, DKD_ERR_INVALID, 0, "plugin %.100s: %.300s names no address", name, s.path);
	} else {
		dkd_failf(host, call, DKD_ERR_NOT_FOUND, 0, "plugin \"%.100s\" not found", name);
	}
	if (rc == 0)
		return p;
	docker_plugin_close(p);
	return NULL;
}

struct docker_plugin *docker_plugin_open(const struct dkd_host *host, const struct dkd_call *call, const char *name, const char *what)
{
	struct docker_plugin *p = find(host, call, name);
	json_t *answer = NULL, *one;
	size_t i;
	int found = 0;

	if (!p || docker_plugin_call(p, call, "Plugin.Activate", 0, json_object(), &answer) < 0) {
		docker_plugin_close(p);
		return NULL;
	}
	json_array_foreach(json_object_get(answer, "Implements"), i, one)
		found |= json_is_string(one) && strcmp(json_string_value(one), what) == 0;
	json_decref(answer);
	if (found)
		return p;
	dkd_failf(host, call, DKD_ERR_NOT_FOUND, 0, "plugin \"%s\" implements no %s", name, what);
	docker_plugin_close(p);
	return NULL;
}

static void start_curl(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* One exchange under way. */
struct exchange {
	const struct dkd_call *call;
	int64_t until;
	char *answer;
	size_t size;
	int gone;   /* the caller is */
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int is_gone(const struct dkd_call *call, int wait_ms)
{
	struct pollfd p = { .fd = call->cancel_fd, .events = POLLIN };

	return poll(&p, call->cancel_fd >= 0, wait_ms) > 0;
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

static CURL *prepare(const struct docker_plugin *p, const char *url, const char *body, struct curl_slist *headers, struct exchange *x)
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
	if (p->socket)
		curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, p->socket);
	if (p->ca)
		curl_easy_setopt(c, CURLOPT_CAINFO, p->ca);
	if (p->cert)
		curl_easy_setopt(c, CURLOPT_SSLCERT, p->cert);
	if (p->key)
		curl_easy_setopt(c, CURLOPT_SSLKEY, p->key);
	if (p->insecure) {
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

/* Says it until somebody hears it. status 0: nobody did, for the reason in code. */
static CURLcode exchange(const struct docker_plugin *p, const char *url, const char *body, struct exchange *x, long *status)
{
	struct curl_slist *headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: " MIME), "Accept: " MIME);
	CURLcode code = CURLE_OUT_OF_MEMORY;

	*status = 0;
	for (int pause = FIRST_PAUSE_MS; !x->gone; pause = pause * 2 > LAST_PAUSE_MS ? LAST_PAUSE_MS : pause * 2) {
		CURL *c = prepare(p, url, body, headers, x);

		if (!c)
			break;
		x->size = 0;
		code = curl_easy_perform(c);
		curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, status);
		curl_easy_cleanup(c);
		if (!was_not_heard(code) || now_ms() + pause >= x->until)
			break;
		x->gone = is_gone(x->call, pause);
	}
	curl_slist_free_all(headers);
	return code;
}

static int tell(const struct docker_plugin *p, const struct dkd_call *call, const char *method, const struct exchange *x, CURLcode code)
{
	if (x->gone)
		return dkd_failf(p->host, call, DKD_ERR_CANCELLED, 0, "plugin %s: %s: the caller is gone", p->name, method);
	return dkd_failf(p->host, call, code == CURLE_OPERATION_TIMEDOUT || was_not_heard(code) ? DKD_ERR_UNAVAILABLE : DKD_ERR_INTERNAL, 0,
		"plugin %s: %s: %s", p->name, method, curl_easy_strerror(code));
}

static int read_answer(const struct docker_plugin *p, const struct dkd_call *call, const char *method, int optional, const struct exchange *x, long status,
	json_t **ret)
{
	json_t *js = x->size ? json_loadb(x->answer, x->size, 0, NULL) : json_object();
	const char *why = docker_plugin_text(js, "Err");

	if (status == HTTP_NOT_FOUND && optional) {
		json_decref(js);
		return 1;
	}
	if (status == 200 && json_is_object(js) && !why) {
		*ret = js;
		return 0;
	}
	if (why)
		dkd_failf(p->host, call, DKD_ERR_INTERNAL, 0, "remote: %.900s", why);
	else if (status != 200)
		dkd_failf(p->host, call, DKD_ERR_INTERNAL, 0, "plugin %s: %s: it answers %ld: %.*s", p->name, method, status, x->size > 600 ? 600 : (int)x->size,
			x->answer ? x->answer : "");
	else
		dkd_failf(p->host, call, DKD_ERR_INTERNAL, 0, "plugin %s: %s: its answer is no JSON object", p->name, method);
	json_decref(js);
	return -1;
}

int docker_plugin_call(const struct docker_plugin *p, const struct dkd_call *call, const char *method, int optional, json_t *request, json_t **ret)
{
	struct exchange x = { .call = call, .until = call->deadline ? call->deadline / 1000000 : now_ms() + CALL_MS };
	char *body = json_dumps(request, JSON_COMPACT);
	size_t size = strlen(p->url) + strlen(method) + 2;
	char *url = malloc(size);
	CURLcode code;
	long status;
	int rc;

	*ret = NULL;
	json_decref(request);
	if (!body || !url) {
		rc = dkd_failf(p->host, call, DKD_ERR_INVALID, 0, "plugin %s: %s: what it shall be told is not UTF-8", p->name, method);
	} else {
		if (x.until > now_ms() + CALL_MS)
			x.until = now_ms() + CALL_MS;
		snprintf(url, size, "%s/%s", p->url, method);
		code = exchange(p, url, body, &x, &status);
		rc = code != CURLE_OK ? tell(p, call, method, &x, code) : read_answer(p, call, method, optional, &x, status, ret);
	}
	free(x.answer);
	free(body);
	free(url);
	return rc;
}
