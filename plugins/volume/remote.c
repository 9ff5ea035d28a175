/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Volume drivers that are processes of their own: Docker's plugin protocol, methods "VolumeDriver.*". */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <dockerd/volume.h>

#include "docker-plugin.h"

#define STATUS_MAX 64
#define LIST_MAX 100000

struct dkd_volume {
	DOCKER_PLUGIN_HANDLE;
};

static int32_t remote_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_volume_open *open, struct dkd_volume **ret)
{
	*ret = docker_plugin_handle(host, call, open->instance, "VolumeDriver", sizeof(**ret));
	return *ret ? 0 : -1;
}

static void remote_close(struct dkd_volume *v)
{
	docker_plugin_close(v->plugin);
	free(v);
}

/* 0 or -1; what the answer says does not matter. */
static int32_t tell(const struct dkd_call *call, struct dkd_volume *v, const char *method, json_t *request)
{
	json_t *answer;
	int rc = docker_plugin_call(v->plugin, call, method, 0, request, &answer);

	json_decref(answer);
	return rc < 0 ? -1 : 0;
}

static int32_t remote_create(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_create *create)
{
	return tell(call, v, "VolumeDriver.Create", json_pack("{s:s, s:o}", "Name", create->name, "Opts",
		docker_plugin_pairs(create->options, create->options_len)));
}

static int32_t remote_remove(const struct dkd_call *call, struct dkd_volume *v, const char *name)
{
	return tell(call, v, "VolumeDriver.Remove", json_pack("{s:s}", "Name", name));
}

/* RFC 3339 to ns since 1970; 0 for what it is not. */
static int64_t time_of(const char *text)
{
	struct tm tm = { 0 };
	const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
	int64_t offset = 0;
	int hours, minutes;

	if (!rest)
		return 0;
	if (*rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if ((*rest == '+' || *rest == '-') && sscanf(rest + 1, "%2d:%2d", &hours, &minutes) == 2)
		offset = (*rest == '-' ? -1 : 1) * (hours * 60 + minutes) * INT64_C(60);
	return ((int64_t)timegm(&tm) - offset) * INT64_C(1000000000);
}

struct status {
	struct dkd_pair pairs[STATUS_MAX];
	uint32_t len;
};

static int32_t add_status(void *to, const char *key, const char *value)
{
	struct status *s = to;
	char *k = strdup(key), *t = strdup(value);

	if (!k || !t || s->len == STATUS_MAX) {
		free(k);
		free(t);
		return 1;
	}
	s->pairs[s->len++] = (struct dkd_pair){ k, t };
	return 0;
}

static void emit_one(struct dkd_volume *v, const json_t *volume, dkd_emit_volume *emit, void *to)
{
	struct dkd_volume_info info = { .size = sizeof(info), .name = docker_plugin_text(volume, "Name") };
	const char *given = docker_plugin_text(volume, "Mountpoint");
	struct status status = { .len = 0 };
	char path[DOCKER_PLUGIN_PATH];

	if (!info.name)
		return;
	if (given && docker_plugin_path(v->plugin, given, path) == 0)
		info.mountpoint = path;
	info.created = time_of(docker_plugin_text(volume, "CreatedAt"));
	docker_plugin_emit(docker_plugin_member(volume, "Status"), add_status, &status);
	info.status = status.pairs;
	info.status_len = status.len;
	emit(to, &info);
	for (uint32_t i = 0; i < status.len; i++) {
		free((char *)(uintptr_t)status.pairs[i].key);
		free((char *)(uintptr_t)status.pairs[i].value);
	}
}

static int32_t remote_get(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit_volume *emit, void *to)
{
	const char *told;
	json_t *answer, *volume;
	int rc = 0;

	if (docker_plugin_call(v->plugin, call, "VolumeDriver.Get", 0, json_pack("{s:s}", "Name", name), &answer) < 0)
		return -1;
	volume = docker_plugin_member(answer, "Volume");
	told = docker_plugin_text(volume, "Name");
	if (told && strcmp(told, name) == 0)
		emit_one(v, volume, emit, to);
	else
		rc = dkd_failf(v->host, call, DKD_ERR_NOT_FOUND, 0, "plugin %s tells of no volume %s", docker_plugin_name(v->plugin), name);
	json_decref(answer);
	return rc;
}

static int32_t remote_list(const struct dkd_call *call, struct dkd_volume *v, dkd_emit_volume *emit, void *to)
{
	json_t *answer, *one;
	size_t i;

	if (docker_plugin_call(v->plugin, call, "VolumeDriver.List", 0, json_object(), &answer) < 0)
		return -1;
	json_array_foreach(docker_plugin_member(answer, "Volumes"), i, one)
		if (i < LIST_MAX)
			emit_one(v, one, emit, to);
	json_decref(answer);
	return 0;
}

/* Emits the path of an answer. An empty one is none. */
static int32_t emit_path(const struct dkd_call *call, struct dkd_volume *v, const json_t *answer, dkd_emit *emit, void *to)
{
	const char *given = docker_plugin_text(answer, "Mountpoint");
	char path[DOCKER_PLUGIN_PATH];

	if (!given)
		return 0;
	if (docker_plugin_path(v->plugin, given, path) < 0)
		return dkd_failf(v->host, call, DKD_ERR_INTERNAL, 0, "plugin %s: %.200s is no path to a volume", docker_plugin_name(v->plugin), given);
	emit(to, path);
	return 0;
}

static int32_t remote_mount(const struct dkd_call *call, struct dkd_volume *v, const struct dkd_volume_mount *m, dkd_emit *emit, void *to)
{
	json_t *answer;
	int32_t rc;

	if (m->idmaps)
		return dkd_failf(v->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "volume plugins do not map ids");
	if (docker_plugin_call(v->plugin, call, "VolumeDriver.Mount", 0, json_pack("{s:s, s:s}", "Name", m->name, "ID", m->id), &answer) < 0)
		return -1;
	rc = emit_path(call, v, answer, emit, to);
	json_decref(answer);
	return rc;
}

static int32_t remote_unmount(const struct dkd_call *call, struct dkd_volume *v, const char *name, const char *id)
{
	return tell(call, v, "VolumeDriver.Unmount", json_pack("{s:s, s:s}", "Name", name, "ID", id));
}

static int32_t remote_path(const struct dkd_call *call, struct dkd_volume *v, const char *name, dkd_emit *emit, void *to)
{
	json_t *answer;
	int32_t rc;

	if (docker_plugin_call(v->plugin, call, "VolumeDriver.Path", 0, json_pack("{s:s}", "Name", name), &answer) < 0)
		return -1;
	rc = emit_path(call, v, answer, emit, to);
	json_decref(answer);
	return rc;
}

/* Plugins of the first days know no such method. */
static int32_t remote_capabilities(const struct dkd_call *call, struct dkd_volume *v, struct dkd_volume_caps *ret)
{
	const char *scope;
	json_t *answer;
	int rc = docker_plugin_call(v->plugin, call, "VolumeDriver.Capabilities", 1, json_object(), &answer);

	scope = docker_plugin_text(docker_plugin_member(answer, "Capabilities"), "Scope");
	ret->scope = scope && strcasecmp(scope, "global") == 0 ? DKD_SCOPE_GLOBAL : DKD_SCOPE_LOCAL;
	json_decref(answer);
	return rc < 0 ? -1 : 0;
}

static const struct dkd_volume_ops ops = {
	.open = remote_open,
	.close = remote_close,
	.create = remote_create,
	.remove = remote_remove,
	.get = remote_get,
	.list = remote_list,
	.mount = remote_mount,
	.unmount = remote_unmount,
	.path = remote_path,
	.capabilities = remote_capabilities,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_VOLUME,
	.abi_major = DKD_VOLUME_MAJOR,
	.abi_minor = DKD_VOLUME_MINOR,
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
