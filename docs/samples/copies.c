/* SPDX-License-Identifier: MIT */
/*
 * A graph driver of one's own, the simplest there can be: every layer is a whole tree, made by cp(1) as a copy of its parent's.
 *
 *	cc -shared -fPIC -Wl,-z,defs $(pkg-config --cflags dockerd-driver) -o copies.so copies.c
 *	dockerd --storage-driver copies
 *
 * A layer is ROOT/ID. What is being made or removed is named ".ID" until it is there, or after it is gone; open() sweeps that.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dockerd/graph.h>

struct dkd_graph {
	const struct dkd_host *host;
	uint32_t uid, gid;
	char root[3072];
};

static void path_of(const struct dkd_graph *g, const char *prefix, const char *id, char ret[4096])
{
	snprintf(ret, 4096, "%s/%s%s", g->root, prefix, id);
}

/* Runs a program; -1 after a fail(). */
static int32_t run(const struct dkd_graph *g, const struct dkd_call *call, const char *const argv[])
{
	int32_t status = g->host->run(g->host, call, argv, NULL, NULL);

	return status > 0 ? dkd_failf(g->host, call, DKD_ERR_INTERNAL, 0, "%s ended with %d", argv[0], (int)status) : status;
}

static int32_t failed(const struct dkd_graph *g, const struct dkd_call *call, const char *what, const char *id)
{
	return dkd_failf(g->host, call, errno == ENOSPC ? DKD_ERR_NO_SPACE : DKD_ERR_INTERNAL, errno, "%s layer %s", what, id);
}

/* ".ID" goes, whatever is in it. */
static int32_t sweep(const struct dkd_call *call, const struct dkd_graph *g, const char *id)
{
	char path[4096];
	const char *const rm[] = { "rm", "-rf", "--one-file-system", "--", path, NULL };

	path_of(g, ".", id, path);
	return run(g, call, rm);
}

static int32_t copies_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_graph_open *open, struct dkd_graph **ret)
{
	struct dkd_graph *g;
	struct dirent *e;
	DIR *dir;

	if (open->options_len)
		return dkd_failf(host, call, DKD_ERR_INVALID, 0, "unknown option %s", open->options->key);
	if (!(g = calloc(1, sizeof(*g))))
		return dkd_failf(host, call, DKD_ERR_INTERNAL, ENOMEM, "out of memory");
	g->host = host;
	g->uid = open->root_uid;
	g->gid = open->root_gid;
	snprintf(g->root, sizeof(g->root), "%s", open->root);
	if ((mkdir(g->root, 0710) < 0 && errno != EEXIST) || chown(g->root, (uid_t)-1, g->gid) < 0 || !(dir = opendir(g->root))) {
		dkd_failf(host, call, DKD_ERR_INTERNAL, errno, "make %s", g->root);
		return free(g), -1;
	}
	while ((e = readdir(dir)))
		if (e->d_name[0] == '.' && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			sweep(call, g, e->d_name + 1);
	closedir(dir);
	*ret = g;
	return 0;
}

static void copies_close(struct dkd_graph *g)
{
	free(g);
}

static int32_t copies_exists(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	char path[4096];

	(void)call;
	path_of(g, "", id, path);
	return access(path, F_OK) == 0;
}

static int32_t copies_create(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_create *create)
{
	char path[4096], draft[4096], parent[4096];
	const char *const cp[] = { "cp", "-aT", "--reflink=auto", "--", parent, draft, NULL };

	if (create->options_len)
		return dkd_failf(g->host, call, DKD_ERR_INVALID, 0, "unknown option %s", create->options->key);
	if (copies_exists(call, g, create->id))
		return dkd_failf(g->host, call, DKD_ERR_CONFLICT, EEXIST, "layer %s", create->id);
	if (create->parent && !copies_exists(call, g, create->parent))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", create->parent);
	if (create->idmaps)
		return dkd_failf(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "copies has no maps of ids");
	path_of(g, "", create->id, path);
	path_of(g, ".", create->id, draft);
	path_of(g, "", create->parent ? create->parent : "", parent);
	if (sweep(call, g, create->id) < 0 || (create->parent && run(g, call, cp) < 0))
		return -1; /* the next who makes it, or opens, sweeps */
	if (!create->parent && (mkdir(draft, 0755) < 0 || chown(draft, g->uid, g->gid) < 0))
		return failed(g, call, "make", create->id);
	return rename(draft, path) < 0 ? failed(g, call, "make", create->id) : 0;
}

static int32_t copies_remove(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	char path[4096], gone[4096];

	path_of(g, "", id, path);
	path_of(g, ".", id, gone);
	if (rename(path, gone) < 0 && errno != ENOENT)
		return failed(g, call, "remove", id);
	return sweep(call, g, id);
}

static int32_t copies_get(const struct dkd_call *call, struct dkd_graph *g, const struct dkd_graph_mount *mount, dkd_emit *emit, void *to)
{
	char path[4096];

	if (!copies_exists(call, g, mount->id))
		return dkd_failf(g->host, call, DKD_ERR_NOT_FOUND, ENOENT, "layer %s", mount->id);
	if (mount->idmaps)
		return dkd_failf(g->host, call, DKD_ERR_NOT_IMPLEMENTED, 0, "copies has no maps of ids");
	path_of(g, "", mount->id, path);
	emit(to, path); /* nothing needs to be mounted */
	return 0;
}

static int32_t copies_put(const struct dkd_call *call, struct dkd_graph *g, const char *id)
{
	(void)call, (void)g, (void)id;
	return 0;
}

static int32_t copies_list(const struct dkd_call *call, struct dkd_graph *g, dkd_emit *emit, void *to)
{
	DIR *dir = opendir(g->root);
	struct dirent *e;

	if (!dir)
		return failed(g, call, "list", "");
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && emit(to, e->d_name) != 0)
			break;
	closedir(dir);
	return 0;
}

static const struct dkd_graph_ops ops = {
	.open = copies_open,
	.close = copies_close,
	.create = copies_create,
	.remove = copies_remove,
	.exists = copies_exists,
	.get = copies_get,
	.put = copies_put,
	.list = copies_list, /* and no tree(): the daemon compares layers, and writes into them, where get() says they are */
};

static const struct dkd_driver driver = {
	.magic = DKD_MAGIC, .kind = DKD_KIND_GRAPH, .abi_major = DKD_GRAPH_MAJOR, .abi_minor = DKD_GRAPH_MINOR, .ops_size = sizeof(ops),
	.thread_model = DKD_THREADS_OBJECT, .name = "copies", .version = "1.0", .ops = &ops,
};

const struct dkd_driver *dkd_driver_entry(void)
{
	return &driver;
}
