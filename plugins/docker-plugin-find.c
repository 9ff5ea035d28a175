/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "docker-plugin-find.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json-shallow.h"

#define SOCKETS "/run/docker/plugins"
#define SPECS "/etc/docker/plugins:/usr/lib/docker/plugins"
#define NAME_MAX_SIZE 256
#define SPEC_MAX 65536
#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"

json_t *docker_plugin_member(const json_t *object, const char *key)
{
	json_t *found = json_object_get(object, key), *value;
	const char *name;

	if (found)
		return found;
	json_object_foreach((json_t *)(uintptr_t)object, name, value)
		if (strcasecmp(name, key) == 0)
			return value;
	return NULL;
}

/* Names become files' names. */
static int name_ok(const char *name)
{
	size_t n = strlen(name);

	return n && n < NAME_MAX_SIZE && *name != '.' && strspn(name, PLAIN) == n;
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

/* A daemon that rootlesskit started looks into the user's own folders. "" where the environment names none. */
static void own_specs(char ret[2 * DOCKER_PLUGIN_PATH])
{
	const char *home = getenv("HOME"), *config = getenv("XDG_CONFIG_HOME");
	char under[DOCKER_PLUGIN_PATH] = "";

	*ret = '\0';
	if (!config || *config != '/') {
		if (!home || *home != '/')
			return;
		snprintf(under, sizeof(under), "%s/.config", home);
		config = under;
	}
	snprintf(ret, 2 * DOCKER_PLUGIN_PATH, "%s/docker/plugins%s%s%s", config, home && *home == '/' ? ":" : "", home && *home == '/' ? home : "",
		home && *home == '/' ? "/.local/lib/docker/plugins" : "");
}

/* Calls fn for each folder of specs until one says 1. */
static int each_specs(const struct dkd_host *host, int (*fn)(void *ctx, const char *dir), void *ctx)
{
	const char *kit = getenv("ROOTLESSKIT_STATE_DIR");
	char own[2 * DOCKER_PLUGIN_PATH] = "", *all, *save = NULL;
	int found = 0;

	if (kit && *kit)
		own_specs(own);
	all = strdup(option(host, "specs", *own ? own : SPECS));
	for (char *dir = all ? strtok_r(all, ":", &save) : NULL; dir && !found; dir = strtok_r(NULL, ":", &save))
		found = fn(ctx, dir);
	free(all);
	return found;
}

struct search {
	const char *name;
	char *path; /* DOCKER_PLUGIN_PATH */
	int json;
};

static int find_spec(void *ctx, const char *dir)
{
	static const char *const suffixes[] = { "spec", "json" };
	struct search *s = ctx;

	for (s->json = 0; s->json < 2; s->json++) {
		snprintf(s->path, DOCKER_PLUGIN_PATH, "%s/%s.%s", dir, s->name, suffixes[s->json]);
		if (access(s->path, R_OK) == 0)
			return 1;
		snprintf(s->path, DOCKER_PLUGIN_PATH, "%s/%s/%s.%s", dir, s->name, s->name, suffixes[s->json]);
		if (access(s->path, R_OK) == 0)
			return 1;
	}
	return 0;
}

static int find_socket(const struct dkd_host *host, const char *name, char ret[DOCKER_PLUGIN_PATH])
{
	const char *dir = option(host, "sockets", SOCKETS);

	snprintf(ret, DOCKER_PLUGIN_PATH, "%s/%s.sock", dir, name);
	if (is_socket(ret))
		return 1;
	snprintf(ret, DOCKER_PLUGIN_PATH, "%s/%s/%s.sock", dir, name, name);
	return is_socket(ret);
}

/*
 * The daemon's own plugins: "user/name:tag", of which a file can only be named with "/" as "%2F"; a name without a tag has the tag latest. NULL:
 * not a name of one.
 */
static char *managed_file(const struct dkd_host *host, const char *name, char ret[DOCKER_PLUGIN_PATH])
{
	const char *dir = option(host, "managed", NULL), *slash = strrchr(name, '/');
	const char *tag = strchr(slash ? slash : name, ':') ? "" : ":latest";
	size_t used;

	if (!dir || strlen(name) >= NAME_MAX_SIZE || *name == '.' || strspn(name, PLAIN "/:") != strlen(name))
		return NULL;
	used = (size_t)snprintf(ret, DOCKER_PLUGIN_PATH, "%s/", dir);
	if (used + 3 * strlen(name) + 16 > DOCKER_PLUGIN_PATH)
		return NULL;
	for (; *name; name++)
		used += (size_t)snprintf(ret + used, DOCKER_PLUGIN_PATH - used, *name == '/' ? "%%2F" : "%c", *name);
	snprintf(ret + used, DOCKER_PLUGIN_PATH - used, "%s.json", tag);
	return access(ret, R_OK) == 0 ? ret : NULL;
}

static int32_t has(const struct dkd_call *call, const struct dkd_host *host, const char *name)
{
	char path[DOCKER_PLUGIN_PATH];
	struct search s = { .name = name, .path = path };

	(void)call;
	return (name_ok(name) && (find_socket(host, name, path) || each_specs(host, find_spec, &s))) || managed_file(host, name, path);
}

struct each {
	const char *const *suffixes;
	dkd_emit *emit;
	void *to;
	int managed;
};

/* The name that a file stands for: 0 when it is none. */
static int name_of(const struct each *e, const char *file, size_t len, char ret[NAME_MAX_SIZE])
{
	size_t n = 0;

	if (len >= NAME_MAX_SIZE)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (e->managed && strncmp(file + i, "%2F", 3) == 0) {
			ret[n++] = '/';
			i += 2;
		} else {
			ret[n++] = file[i];
		}
	ret[n] = '\0';
	return e->managed ? *ret != '.' : name_ok(ret);
}

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

			if (len > tail && strcmp(de->d_name + len - tail, *s) == 0 && name_of(e, de->d_name, len - tail, name))
				stop = e->emit(e->to, name) != 0;
		}
	if (d)
		closedir(d);
	return stop;
}

static int32_t each(const struct dkd_call *call, const struct dkd_host *host, dkd_emit *emit, void *to)
{
	static const char *const sockets[] = { ".sock", NULL }, *const specs[] = { ".spec", ".json", NULL }, *const managed[] = { ".json", NULL };
	struct each e = { sockets, emit, to, 0 };
	const char *own = option(host, "managed", NULL);

	(void)call;
	if (each_in(&e, option(host, "sockets", SOCKETS)))
		return 0;
	e.suffixes = specs;
	if (each_specs(host, each_in, &e))
		return 0;
	e.suffixes = managed;
	e.managed = 1;
	if (own)
		each_in(&e, own);
	return 0;
}

const struct dkd_provider docker_plugin_provider = { .size = sizeof(docker_plugin_provider), .each = each, .has = has };

static char *copy_of(const char *s)
{
	return s ? strdup(s) : NULL;
}

/* "unix:///path", "tcp://host:port", "http(s)://host:port". 0, or -1. */
static int set_address(struct plugin_place *p, const char *address, int tls)
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
	if (strcmp(line, "unix") == 0 && *rest == '/') {
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

/* A file that is small and no trap. NULL: it is not. */
static char *read_small(const char *path)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	char *text = fd >= 0 ? malloc(SPEC_MAX + 1) : NULL;
	ssize_t n = text ? read(fd, text, SPEC_MAX) : -1;

	if (fd >= 0)
		close(fd);
	if (n > 0) {
		text[n] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

static int read_spec(struct plugin_place *p, const char *path)
{
	char *text = read_small(path);
	int rc = text ? set_address(p, text, 0) : -1;

	free(text);
	return rc;
}

static int read_json(struct plugin_place *p, const char *path)
{
	char *text = read_small(path);
	json_t *js = text ? json_shallow(text, strlen(text), 0) : NULL;
	const json_t *tls = docker_plugin_member(js, "TLSConfig");
	const char *address = docker_plugin_text(js, "Addr");
	int rc = -1;

	if (address) {
		p->ca = copy_of(docker_plugin_text(tls, "CAFile"));
		p->cert = copy_of(docker_plugin_text(tls, "CertFile"));
		p->key = copy_of(docker_plugin_text(tls, "KeyFile"));
		p->insecure = json_is_true(docker_plugin_member(tls, "InsecureSkipVerify"));
		p->types = json_incref(docker_plugin_member(js, "Types"));
		p->root = copy_of(docker_plugin_text(js, "Root"));
		p->shared = copy_of(docker_plugin_text(js, "Shared"));
		p->shared_at = copy_of(docker_plugin_text(js, "SharedAt"));
		rc = set_address(p, address, json_is_object(tls));
	}
	json_decref(js);
	free(text);
	return rc;
}

void plugin_place_done(struct plugin_place *p)
{
	free(p->url);
	free(p->socket);
	free(p->ca);
	free(p->cert);
	free(p->key);
	free(p->root);
	free(p->shared);
	free(p->shared_at);
	json_decref(p->types);
	*p = (struct plugin_place){ 0 };
}

static int at_socket(struct plugin_place *p, const char *path)
{
	p->socket = strdup(path);
	p->url = strdup("http://plugin");
	return p->socket && p->url ? 0 : -1;
}

int plugin_place_find(const struct dkd_host *host, const char *name, struct plugin_place *ret, char ret_file[DOCKER_PLUGIN_PATH])
{
	struct search s = { .name = name, .path = ret_file };
	int rc = 1;

	if (name_ok(name) && find_socket(host, name, ret_file))
		rc = at_socket(ret, ret_file);
	else if (name_ok(name) && each_specs(host, find_spec, &s))
		rc = s.json ? read_json(ret, ret_file) : read_spec(ret, ret_file);
	else if (managed_file(host, name, ret_file))
		rc = read_json(ret, ret_file);
	if (rc != 0)
		plugin_place_done(ret);
	return rc;
}
