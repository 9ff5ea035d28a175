/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of the layer store, in Docker's layout, and what start-up does about damage and unfinished changes. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "image/layer-priv.h"

#define VALUE_MAX 256

int layer_stage_begin(struct layer_store *s, struct layer_stage *st, struct err *err)
{
	char suffix[17];

	id_random_hex(suffix, 16);
	snprintf(st->name, sizeof(st->name), "write-set-%s", suffix);
	if (mkdirat(s->tmp_fd, st->name, 0700) < 0)
		return err_errno(err, errno, "create %s/tmp/%s", s->dir, st->name);
	st->fd = openat(s->tmp_fd, st->name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return st->fd < 0 ? err_errno(err, errno, "open %s/tmp/%s", s->dir, st->name) : 0;
}

int layer_stage_put(struct layer_stage *st, const char *file, const char *text, struct err *err)
{
	OWN_FD int fd = openat(st->fd, file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	if (fd < 0 || fs_write_all(fd, text, strlen(text)) < 0)
		return err_errno(err, errno, "write %s of a layer", file);
	return 0;
}

void layer_stage_drop(struct layer_store *s, struct layer_stage *st)
{
	fd_close(&st->fd);
	if (*st->name)
		layer_db_take_back(s, s->tmp_fd, st->name);
	*st->name = '\0';
}

/* A small text file below dirfd, trimmed. */
static int read_value(int dirfd, const char *entry, const char *file, char ret[VALUE_MAX], struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", entry, file);
	OWN_BUF struct buf b = { 0 };
	size_t n;

	if (fs_read(dirfd, path, VALUE_MAX - 1, &b, err) < 0)
		return -1;
	n = b.size;
	while (n && strchr(" \t\r\n", b.data[n - 1]))
		n--;
	memcpy(ret, b.data, n);
	ret[n] = '\0';
	if (strlen(ret) != n)
		return err_set(err, ERR_INTERNAL, "%s holds a NUL", path);
	return 0;
}

/* The same where the file may be missing: "". */
static int read_optional(int dirfd, const char *entry, const char *file, char ret[VALUE_MAX], struct err *err)
{
	OWN_ERR struct err local = ERR_INIT;

	*ret = '\0';
	if (read_value(dirfd, entry, file, ret, &local) == 0)
		return 0;
	return local.class == ERR_NOT_FOUND ? 0 : err_move(err, &local);
}

static int read_digest(int dirfd, const char *entry, const char *file, bool optional, char ret[DIGEST_TEXT], struct err *err)
{
	char value[VALUE_MAX];

	*ret = '\0';
	if ((optional ? read_optional : read_value)(dirfd, entry, file, value, err) < 0)
		return -1;
	if (optional && !*value)
		return 0;
	if (!id_digest_hex(value))
		return err_set(err, ERR_INTERNAL, "its file %s holds no digest", file);
	memcpy(ret, value, strlen(value) + 1);
	return 0;
}

static int read_hex(int dirfd, const char *entry, const char *file, char ret[ID_HEX + 1], struct err *err)
{
	char value[VALUE_MAX];

	if (read_value(dirfd, entry, file, value, err) < 0)
		return -1;
	if (!id_is_hex64(value))
		return err_set(err, ERR_INTERNAL, "its file %s holds no id", file);
	memcpy(ret, value, ID_HEX + 1);
	return 0;
}

bool layer_db_cache_id(struct layer_store *s, const char *hex, char ret[ID_HEX + 1])
{
	OWN_ERR struct err err = ERR_INIT;

	return read_hex(s->sha256_fd, hex, "cache-id", ret, &err) == 0;
}

static int read_layer(struct layer_store *s, const char *hex, struct layer *l, struct err *err)
{
	char size[VALUE_MAX];
	OWN_FREE char *chain = NULL;

	snprintf(l->chain, sizeof(l->chain), "sha256:%s", hex);
	if (read_digest(s->sha256_fd, hex, "diff", false, l->diffid, err) < 0 ||
	    read_digest(s->sha256_fd, hex, "parent", true, l->parent_chain, err) < 0 ||
	    read_hex(s->sha256_fd, hex, "cache-id", l->cache_id, err) < 0 || read_value(s->sha256_fd, hex, "size", size, err) < 0)
		return -1;
	if (!str_to_i64(size, &l->size) || l->size < 0)
		return err_set(err, ERR_INTERNAL, "its file size holds no size");
	chain = layer_chain_id(*l->parent_chain ? l->parent_chain : NULL, l->diffid);
	if (!streq(chain, l->chain))
		return err_set(err, ERR_INTERNAL, "its files diff and parent do not give its id");
	return 0;
}

static void load_layer(struct layer_store *s, const char *name)
{
	OWN_ERR struct err err = ERR_INIT;
	struct layer *l;

	if (!id_is_hex64(name))
		return;
	l = xcalloc(1, sizeof(*l));
	if (read_layer(s, name, l, &err) == 0) {
		layer_insert(s, l);
		return;
	}
	log_warn("layer sha256:%s is damaged and left out: %s", name, err_text(&err));
	free(l);
}

/* A layer counts only with all its parents. Ids are digests over the parent's id, so that there are no circles. */
static bool link_layer(struct layer_store *s, struct layer *l)
{
	struct layer *parent;

	if (l->state != LAYER_READ)
		return l->state == LAYER_LINKED;
	l->state = LAYER_LINKED;
	if (!*l->parent_chain)
		return true;
	parent = layer_find(s, l->parent_chain);
	if (!parent || !link_layer(s, parent)) {
		log_warn("layer %s is left out: its parent %s is missing", l->chain, l->parent_chain);
		l->state = LAYER_BROKEN;
		return false;
	}
	l->parent = parent;
	parent->refs++;
	return true;
}

static void link_layers(struct layer_store *s)
{
	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct layer *l = s->layers[i]; l; l = l->next)
			link_layer(s, l);
	for (size_t i = 0; i < LAYER_BUCKETS; i++) {
		struct layer **at = &s->layers[i];

		while (*at) {
			struct layer *l = *at;

			if (l->state == LAYER_LINKED) {
				at = &l->next;
				continue;
			}
			*at = l->next;
			free(l);
		}
	}
}

static int read_mount(struct layer_store *s, struct rwlayer *m, struct err *err)
{
	char init[VALUE_MAX], parent[DIGEST_TEXT];

	if (read_hex(s->mounts_fd, m->container, "mount-id", m->mount_id, err) < 0 ||
	    read_optional(s->mounts_fd, m->container, "init-id", init, err) < 0 ||
	    read_digest(s->mounts_fd, m->container, "parent", true, parent, err) < 0)
		return -1;
	if (*init) {
		if (strlen(init) != ID_HEX + strlen(INIT_SUFFIX) || !str_has_suffix(init, INIT_SUFFIX) || !id_is_name(init, 1))
			return err_set(err, ERR_INTERNAL, "its file init-id holds no id");
		memcpy(m->init_id, init, strlen(init) + 1);
	}
	if (*parent) {
		m->parent = layer_find(s, parent);
		if (m->parent)
			m->parent->refs++;
		else
			log_warn("container %s: its image layer %s is missing", m->container, parent);
	}
	return 0;
}

static void load_mount(struct layer_store *s, const char *name)
{
	OWN_ERR struct err err = ERR_INIT;
	struct rwlayer *m;

	if (!id_is_name(name, 1))
		return;
	m = xcalloc(1, sizeof(*m));
	m->container = xstrdup(name);
	if (read_mount(s, m, &err) == 0) {
		rwlayer_insert(s, m);
		return;
	}
	log_warn("layer of container %s is damaged and left out: %s", name, err_text(&err));
	rwlayer_free(m);
}

/* Names first, then work: what fn does may change the folder. */
static int each_name(int dirfd, struct strv *ret, struct err *err)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN_DIR DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		err_errno(err, errno, "read the layer store");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((e = readdir(dir)))
		if (*e->d_name != '.')
			strv_add(ret, e->d_name);
	return 0;
}

static bool owned(struct layer_store *s, const char *id)
{
	WITH_LOCK(&s->lock);
	for (size_t i = 0; i < LAYER_BUCKETS; i++) {
		for (struct layer *l = s->layers[i]; l; l = l->next)
			if (streq(l->cache_id, id))
				return true;
		for (struct rwlayer *m = s->mounts[i]; m; m = m->next)
			if (streq(m->mount_id, id) || streq(m->init_id, id))
				return true;
	}
	return false;
}

void layer_db_take_back(struct layer_store *s, int dirfd, const char *name)
{
	static const char *const files[] = { "mount-id", "init-id", "cache-id" }; /* what lies on top first */
	OWN_ERR struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		OWN_ERR struct err local = ERR_INIT;
		char id[VALUE_MAX];

		if (read_value(dirfd, name, files[i], id, &local) < 0)
			continue; /* never written, or lost before the layer itself was made */
		if (strlen(id) < ID_HEX || !id_is_name(id, 1) || owned(s, id))
			continue;
		if (graph_remove(s->graph, id, &err) < 0) {
			log_warn("layer store: unfinished layer %s stays until the next start: %s", id, err_text(&err));
			return;
		}
	}
	if (fs_remove_tree(dirfd, name, &err) < 0)
		log_warn("layer store: %s", err_text(&err));
}

int layer_db_load(struct layer_store *s, struct err *err)
{
	OWN_STRV struct strv layers = { 0 }, mounts = { 0 }, staged = { 0 };

	if (each_name(s->sha256_fd, &layers, err) < 0 || each_name(s->mounts_fd, &mounts, err) < 0 || each_name(s->tmp_fd, &staged, err) < 0)
		return -1;
	for (size_t i = 0; i < layers.len; i++)
		load_layer(s, layers.v[i]);
	link_layers(s);
	for (size_t i = 0; i < mounts.len; i++)
		load_mount(s, mounts.v[i]);
	for (size_t i = 0; i < staged.len; i++)
		layer_db_take_back(s, s->tmp_fd, staged.v[i]);
	/* The other engine marks layers so before it removes them. */
	for (size_t i = 0; i < layers.len; i++)
		if (str_has_suffix(layers.v[i], "-removing"))
			layer_db_take_back(s, s->sha256_fd, layers.v[i]);
	return 0;
}
