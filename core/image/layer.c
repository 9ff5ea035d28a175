/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/damage.h"
#include "base/fs.h"
#include "base/log.h"
#include "image/inflate.h"
#include "image/layer-priv.h"
#include "image/tarsplit.h"
#include "image/unpack.h"

static size_t bucket(const char *id)
{
	const char *hex = id_digest_hex(id);
	size_t h = 5381;

	for (const char *p = hex ? hex : id; *p && p < (hex ? hex : id) + 12; p++)
		h = h * 33 + (unsigned char)*p;
	return h % LAYER_BUCKETS;
}

struct layer *layer_find(struct layer_store *s, const char *chain)
{
	struct layer *l = s->layers[bucket(chain)];

	while (l && !streq(l->chain, chain))
		l = l->next;
	return l;
}

struct rwlayer *rwlayer_find(struct layer_store *s, const char *container)
{
	struct rwlayer *m = s->mounts[bucket(container)];

	while (m && !streq(m->container, container))
		m = m->next;
	return m;
}

void layer_insert(struct layer_store *s, struct layer *l)
{
	struct layer **head = &s->layers[bucket(l->chain)];

	l->next = *head;
	*head = l;
}

void rwlayer_insert(struct layer_store *s, struct rwlayer *m)
{
	struct rwlayer **head = &s->mounts[bucket(m->container)];

	m->next = *head;
	*head = m;
}

void rwlayer_detach(struct layer_store *s, struct rwlayer *m)
{
	struct rwlayer **at = &s->mounts[bucket(m->container)];

	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
}

void layer_free(struct layer *l)
{
	free(l->damaged);
	free(l->staged);
	free(l);
}

static int open_folder(const char *dir, const char *name, bool scratch, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);
	int fd;

	if ((scratch ? fs_mkdir_anew : fs_mkdir)(path, 0700, err) < 0)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, errno, "open %s", path) : fd;
}

static int open_folders(struct layer_store *s, struct err *err)
{
	if (fs_mkdirs(s->dir, 0700, err) < 0)
		return -1;
	s->sha256_fd = open_folder(s->dir, "sha256", false, err);
	s->mounts_fd = s->sha256_fd < 0 ? -1 : open_folder(s->dir, "mounts", false, err);
	s->tmp_fd = s->mounts_fd < 0 ? -1 : open_folder(s->dir, "tmp", true, err);
	return s->tmp_fd < 0 ? -1 : 0;
}

struct layer_store *layer_store_open(struct graph *g, const char *data_root, struct err *err)
{
	struct layer_store *s = xcalloc(1, sizeof(*s));

	s->graph = g;
	s->dir = xasprintf("%s/image/%s/layerdb", data_root, graph_name(g));
	s->sha256_fd = s->mounts_fd = s->tmp_fd = -1;
	lock_init(&s->lock, LOCK_MAP);
	if (open_folders(s, err) < 0 || layer_db_load(s, err) < 0) {
		err_wrap(err, "layer store");
		layer_store_close(s);
		return NULL;
	}
	return s;
}

void layer_store_close(struct layer_store *s)
{
	for (size_t i = 0; i < LAYER_BUCKETS; i++) {
		while (s->layers[i]) {
			struct layer *l = s->layers[i];

			s->layers[i] = l->next;
			layer_free(l);
		}
		while (s->mounts[i]) {
			struct rwlayer *m = s->mounts[i];

			s->mounts[i] = m->next;
			rwlayer_free(m);
		}
	}
	while (s->leaving) {
		struct rwlayer *m = s->leaving;

		s->leaving = m->next;
		rwlayer_free(m);
	}
	fd_close(&s->sha256_fd);
	fd_close(&s->mounts_fd);
	fd_close(&s->tmp_fd);
	strv_done(&s->staged);
	lock_done(&s->lock);
	free(s->dir);
	free(s);
}

struct graph *layer_store_graph(struct layer_store *s)
{
	return s->graph;
}

char *layer_chain_id(const char *parent, const char *diffid)
{
	OWN_FREE char *both = NULL;
	char chain[DIGEST_TEXT];

	if (!parent)
		return xstrdup(diffid);
	both = xasprintf("%s %s", parent, diffid);
	digest_of(both, strlen(both), chain);
	return xstrdup(chain);
}

static int assemble(struct layer_store *s, const char *cache_id, const struct layer *parent, int split_fd, struct writer *out,
	const struct cancel *c, struct err *err)
{
	OWN_READER struct reader *json = NULL;
	struct fd_reader in;
	struct graph_tree tree;
	int rc;

	fd_reader_init(&in, split_fd);
	json = inflate_new(&in.reader, NULL, err);
	if (!json || graph_tree_read(s->graph, cache_id, parent ? parent->cache_id : NULL, &tree, err) < 0)
		return -1;
	rc = tarsplit_assemble(json, tree.fd, out, c, err);
	graph_tree_done(s->graph, &tree);
	return rc;
}

struct digest_writer { struct writer writer; struct digest digest; };

static int digest_write(struct writer *writer, const void *data, size_t size, struct err *err)
{
	digest_add(&((struct digest_writer *)writer)->digest, data, size);
	return 0;
}

bool layer_verify(struct layer_store *s, const struct layer *l, int dir, const char *cache_id, struct err *err)
{
	OWN_FD int fd = openat(dir, "tar-split.json.gz", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct digest_writer sum = { .writer = { digest_write } };
	char got[DIGEST_TEXT];

	digest_init(&sum.digest);
	if (fd < 0)
		return err_errno(err, errno, "open tar-split.json.gz"), false;
	if (assemble(s, cache_id, l->parent, fd, &sum.writer, NULL, err) < 0)
		return false;
	digest_text(&sum.digest, got);
	if (!streq(got, l->diffid))
		return err_set(err, ERR_INTERNAL, "its content does not give its digest"), false;
	return true;
}

static struct layer *find_or_fail(struct layer_store *s, const char *chain, struct err *err)
{
	struct layer *l = layer_find(s, chain);

	if (!l)
		err_set(err, ERR_NOT_FOUND, "layer does not exist");
	return l;
}

/* The same for work: damaged ones are refused. */
static struct layer *find_whole(struct layer_store *s, const char *chain, struct err *err)
{
	struct layer *l = find_or_fail(s, chain, err);
	const char *trouble = l ? layer_trouble(l) : NULL;

	if (!trouble)
		return l;
	err_set(err, ERR_INTERNAL, "layer %.19s is damaged: %s", chain, trouble);
	return NULL;
}

struct layer *layer_pin(struct layer_store *s, const char *chain, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct layer *l = find_whole(s, chain, err);

	if (l)
		l->pins++;
	return l;
}

void layer_unpin(struct layer_store *s, struct layer *l)
{
	bool last;

	lock_take(&s->lock);
	last = --l->pins == 0 && l->doomed;
	if (last)
		l->refs = 1; /* the reference that is dropped below */
	lock_drop(&s->lock);
	if (last)
		layer_unref(s, l->chain, NULL, NULL);
}

int layer_ref(struct layer_store *s, const char *chain, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct layer *l = find_whole(s, chain, err);

	if (!l)
		return -1;
	l->refs++;
	l->doomed = false;
	return 0;
}

/* Takes l, which has no reference left, out of the store; ret_name is the folder in tmp that still names its data. Under the lock. */
static int withdraw(struct layer_store *s, struct layer *l, char ret_name[STAGE_NAME], struct err *err)
{
	struct layer **at = &s->layers[bucket(l->chain)];

	snprintf(ret_name, STAGE_NAME, l->staged ? "%s" : "remove-%s", l->staged ? l->staged : l->cache_id);
	if (!l->staged && renameat(s->sha256_fd, id_digest_hex(l->chain), s->tmp_fd, ret_name) < 0 && errno != ENOENT)
		return err_errno(err, errno, "remove layer %s", l->chain);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	return 0;
}

/* One reference less: 1 when the layer went out of the store and belongs to the caller. */
static int drop_ref(struct layer_store *s, const char *chain, struct layer **ret, char ret_name[STAGE_NAME], struct err *err)
{
	WITH_LOCK(&s->lock);
	struct layer *l = find_or_fail(s, chain, err);

	if (!l)
		return -1;
	l->refs -= l->refs > 0;
	l->doomed = l->refs == 0 && l->pins;
	if (l->refs || l->pins)
		return 0;
	if (withdraw(s, l, ret_name, err) < 0)
		return -1;
	*ret = l;
	return 1;
}

int layer_unref(struct layer_store *s, const char *chain, struct strv *removed, struct err *err)
{
	char next[DIGEST_TEXT];

	snprintf(next, sizeof(next), "%s", chain);
	for (;;) {
		__attribute__((cleanup(layer_freep))) struct layer *l = NULL;
		char name[STAGE_NAME];
		int rc = drop_ref(s, next, &l, name, err);

		if (rc <= 0)
			return rc;
		layer_db_take_back(s, s->tmp_fd, name);
		damage_forget("layer", l->chain);
		if (removed)
			strv_add(removed, l->chain);
		if (!l->parent)
			return 0;
		snprintf(next, sizeof(next), "%s", l->parent->chain);
	}
}

void layer_sweep(struct layer_store *s)
{
	OWN_STRV struct strv idle = { 0 };

	lock_take(&s->lock);
	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct layer *l = s->layers[i]; l; l = l->next)
			if (l->refs == 0 && l->pins == 0)
				strv_add(&idle, l->chain);
	lock_drop(&s->lock);
	for (size_t i = 0; i < idle.len; i++) {
		OWN_ERR struct err err = ERR_INIT;

		log_info("layer %s belongs to no image and is removed", idle.v[i]);
		if (layer_unref(s, idle.v[i], NULL, &err) < 0)
			log_warn("%s", err_text(&err));
	}
}

bool layer_exists(struct layer_store *s, const char *chain)
{
	WITH_LOCK(&s->lock);
	struct layer *l = layer_find(s, chain);

	return l && !layer_trouble(l);
}

int64_t layer_room(struct layer_store *s)
{
	struct statvfs fs;

	return fstatvfs(s->sha256_fd, &fs) < 0 ? -1 : (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
}

int64_t layer_size(struct layer_store *s, const char *chain)
{
	WITH_LOCK(&s->lock);
	struct layer *l = layer_find(s, chain);

	return l ? l->size : -1;
}

char *layer_diffid(struct layer_store *s, const char *chain)
{
	WITH_LOCK(&s->lock);
	struct layer *l = layer_find(s, chain);

	return l ? xstrdup(l->diffid) : NULL;
}

/* The tar-split of a pinned layer, wherever its folder is now. */
static int open_split(struct layer_store *s, const struct layer *l, struct err *err)
{
	WITH_LOCK(&s->lock);
	OWN_FREE char *path = xasprintf("%s/tar-split.json.gz", l->staged ? l->staged : id_digest_hex(l->chain));
	int fd = openat(l->staged ? s->tmp_fd : s->sha256_fd, path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? err_errno(err, errno, "open tar-split.json.gz") : fd;
}

int layer_tar(struct layer_store *s, const char *chain, struct writer *out, const struct cancel *c, struct err *err)
{
	struct layer *l = layer_pin(s, chain, err);
	OWN_FD int fd = -1;
	int rc;

	if (!l)
		return -1;
	fd = open_split(s, l, err);
	rc = fd < 0 ? -1 : assemble(s, l->cache_id, l->parent, fd, out, c, err);
	layer_unpin(s, l);
	return rc < 0 ? err_wrap(err, "layer %s", chain) : 0;
}

int64_t layer_tar_size(struct layer_store *s, const char *chain, struct err *err)
{
	struct layer *l = layer_pin(s, chain, err);
	OWN_READER struct reader *json = NULL;
	OWN_FD int fd = -1;
	struct fd_reader in;
	int64_t size = -1;

	if (!l)
		return -1;
	fd = open_split(s, l, err);
	fd_reader_init(&in, fd);
	if (fd >= 0 && (json = inflate_new(&in.reader, NULL, err)))
		size = tarsplit_size(json, err);
	layer_unpin(s, l);
	if (size < 0)
		err_wrap(err, "layer %s", chain);
	return size;
}

void layer_metadata(struct layer_store *s, const char *chain, struct jw *w)
{
	const struct layer *l;
	char id[ID_HEX + 1] = "";

	lock_take(&s->lock);
	l = layer_find(s, chain);
	if (l)
		memcpy(id, l->cache_id, sizeof(id));
	lock_drop(&s->lock);
	if (*id)
		graph_metadata(s->graph, id, w);
	else
		jw_null(w);
}
