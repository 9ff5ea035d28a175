/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Graph drivers that are processes of their own: Docker's plugin protocol, methods "GraphDriver.*". Such a driver says where a layer is
 * mounted; differences are read and written there by the daemon, as with every driver that has no trees of its own.
 */
#include <stdlib.h>
#include <string.h>

#include <dockerd/graph.h>

#include "docker-plugin.h"

struct dkd_graph {
	DOCKER_PLUGIN_HANDLE;
};

static json_t *maps_of(const struct dkd_idmap *v, uint32_t len)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < len; i++)
		json_array_append_new(list, json_pack("{s:I, s:I, s:I}", "container_id", (json_int_t)v[i].inside, "host_id", (json_int_t)v[i].outside,
			"size", (json_int_t)v[i].count));
	return list;
}

/* Those of our own section say where plugins are; the plugin gets the others, as "key=value". */
static json_t *options_of(const struct dkd_graph_open *o, const char *name)
{
	static const char *const ours[] = { "sockets", "specs", "managed" };
	json_t *list = json_array();
	size_t n = strlen(name);

	for (uint32_t i = 0; i < o->options_len; i++) {
		const char *key = o->options[i].key, *value = o->options[i].value;
		size_t size = strlen(key) + strlen(value) + 2;
		char *text = malloc(size);
		int skip = 0;

		for (size_t k = 0; k < sizeof(ours) / sizeof(*ours); k++)
			skip |= strncmp(key, name, n) == 0 && key[n] == '.' && strcmp(key + n + 1, ours[k]) == 0;
		if (text && !skip) {
			snprintf(text, size, "%s=%s", key, value);
			json_array_append_new(list, json_string(text));
		}
		free(text);
	}
	return list;
}

/* 0 or -1; what the answer says does not matter. */
static int32_t tell(const struct dkd_call *call, struct dkd_graph *g, const char *method, int optional, json_t *request)
{
	json_t *answer;
	int rc = docker_plugin_call(g->plugin, call, method, optional, request, &answer);

	json_decref(answer);
	return rc < 0 ? -1 : 0;
}

static void remote_close(struct dkd_graph *g)
{
	docker_plugin_close(g->plugin);
	free(g);
}

static int32_t remote_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *open, struct dkd_graph **ret)
{
	const struct dkd_idmaps *maps = host->idmaps(host);
	struct dkd_graph *g = docker_plugin_handle(host, call, open->instance, "GraphDriver", sizeof(*g));

	if (!g)
		return -1;
	if (tell(call, g, "GraphDriver.Init", 0, json_pack("{s:s, s:o, s:o, s:o}", "Home", open->root, "Opts", options_of(open, open->instance), "UIDMaps",
	    maps_of(maps ? maps->uids : NULL, maps ? maps->uids_len : 0), "GIDMaps", maps_of(maps ? maps->gids : NULL, maps ? maps->gids_len : 0))) < 0) {
		remote_close(g);
		return -1;
	}
	*ret = g;
	return 0;
}

static json_t *id_of(const char *id)
{
	return json_pack("{s:s}", "ID", id);
}

static int32_t remote_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *c)
{
	return tell(call, g, c->flags & DKD_GRAPH_RW ? "GraphDriver.CreateReadWrite" : "GraphDriver.Create", 0, json_pack("{s:s, s:s, s:s, s:o}",
		"ID", c->id, "Parent", c->parent ? c->parent : "", "MountLabel", c->label ? c->label : "", "StorageOpt",
		docker_plugin_pairs(c->options, c->options_len)));
}

static int32_t remote_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	json_t *answer;
	int rc = docker_plugin_call(g->plugin, call, "GraphDriver.Exists", 0, id_of(id), &answer);

	rc = rc < 0 ? -1 : json_is_true(docker_plugin_member(answer, "Exists"));
	json_decref(answer);
	return rc;
}

static int32_t remote_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	int32_t there = remote_exists(call, g, id);

	return there > 0 ? tell(call, g, "GraphDriver.Remove", 0, id_of(id)) : there;
}

static int32_t remote_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *m, dkd_emit *emit, void *to)
{
	const char *given;
	char path[DOCKER_PLUGIN_PATH];
	json_t *answer;
	int32_t rc = 0;

	if (m->idmaps)
		return dkd_failf(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "graph plugins do not map the ids of a mount");
	if (docker_plugin_call(g->plugin, call, "GraphDriver.Get", 0, json_pack("{s:s, s:s}", "ID", m->id, "MountLabel", m->label ? m->label : ""),
	    &answer) < 0)
		return -1;
	given = docker_plugin_text(answer, "Dir");
	if (given && docker_plugin_path(g->plugin, given, path) == 0)
		emit(to, path);
	else
		rc = dkd_failf(g->host, call, DKD_ERR_INTERNAL, 0, "plugin %s: %.200s is no path to a layer", docker_plugin_name(g->plugin), given ? given : "\"\"");
	json_decref(answer);
	return rc;
}

static int32_t remote_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	return tell(call, g, "GraphDriver.Put", 0, id_of(id));
}

static int32_t remote_status(const struct dkd_call *call, struct dkd_graph *g, dkd_emit_pair *emit, void *to)
{
	json_t *answer, *line;
	size_t i;

	if (docker_plugin_call(g->plugin, call, "GraphDriver.Status", 1, json_object(), &answer) < 0)
		return -1;
	json_array_foreach(docker_plugin_member(answer, "Status"), i, line) {
		const char *key = json_string_value(json_array_get(line, 0)), *value = json_string_value(json_array_get(line, 1));

		if (key && value && emit(to, key, value) != 0)
			break;
	}
	json_decref(answer);
	return 0;
}

static int32_t remote_metadata(const struct dkd_call *call, struct dkd_graph *g, const char *id, dkd_emit_pair *emit, void *to)
{
	json_t *answer;

	if (docker_plugin_call(g->plugin, call, "GraphDriver.GetMetadata", 1, id_of(id), &answer) < 0)
		return -1;
	docker_plugin_emit(docker_plugin_member(answer, "Metadata"), emit, to);
	json_decref(answer);
	return 0;
}

static int32_t remote_cleanup(const struct dkd_call *call, struct dkd_graph *g)
{
	return tell(call, g, "GraphDriver.Cleanup", 1, json_object());
}

static const struct dkd_graph_ops ops = {
	.open = remote_open,
	.close = remote_close,
	.create = remote_create,
	.remove = remote_remove,
	.exists = remote_exists,
	.get = remote_get,
	.put = remote_put,
	.status = remote_status,
	.metadata = remote_metadata,
	.cleanup = remote_cleanup,
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC,
	.kind = DKD_KIND_GRAPH,
	.abi_major = DKD_GRAPH_MAJOR,
	.abi_minor = DKD_GRAPH_MINOR,
	.ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_OBJECT,
	.name = "remote",
	.version = "1.0",
	.ops = &ops,
	.provider = &docker_plugin_provider,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
