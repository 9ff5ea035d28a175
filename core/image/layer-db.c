/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of the layer store, in Docker's layout, and what start-up does about damage and unfinished changes. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "image/layer-priv.h"

#define VALUE_MAX 256
#define OWNERS_MAX 65536

int layer_stage_begin(struct layer_store *s, struct layer_stage *st, const char *id, struct err *err)
{
	snprintf(st->name, sizeof(st->name), "write-set-%s", id);
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

/* What can be read is; the first thing that is wrong is said. */
static int read_layer(struct layer_store *s, const char *hex, struct layer *l, struct err *err)
{
	OWN_ERR struct err other = ERR_INIT;
	OWN_FREE char *chain = NULL;
	char size[VALUE_MAX];
	bool diff, parent;

	snprintf(l->chain, sizeof(l->chain), "sha256:%s", hex);
	l->size = -1;
	diff = read_digest(s->sha256_fd, hex, "diff", false, l->diffid, err) == 0;
	parent = read_digest(s->sha256_fd, hex, "parent", true, l->parent_chain, err->msg ? &other : err) == 0;
	if (read_hex(s->sha256_fd, hex, "cache-id", l->cache_id, err->msg ? &other : err) < 0)
		*l->cache_id = '\0';
	if (read_value(s->sha256_fd, hex, "size", size, err->msg ? &other : err) == 0 &&
	    (!str_to_i64(size, &l->size) || l->size < 0)) {
		l->size = -1;
		err_set(err->msg ? &other : err, ERR_INTERNAL, "its file size holds no size");
	}
	if (diff && parent) {
		chain = layer_chain_id(*l->parent_chain ? l->parent_chain : NULL, l->diffid);
		if (streq(chain, l->chain))
			return err->msg ? -1 : 0;
		err_set(err, ERR_INTERNAL, "its files diff and parent do not give its id");
	}
	*l->diffid = *l->parent_chain = '\0';
	return -1;
}

static void load_layer(struct layer_store *s, const char *name)
{
	OWN_ERR struct err err = ERR_INIT;
	struct layer *l;

	if (!id_is_hex64(name))
		return;
	l = xcalloc(1, sizeof(*l));
	if (read_layer(s, name, l, &err) < 0)
		l->damaged = xstrdup(err_text(&err));
	layer_insert(s, l);
}

/* Ids are digests over the parent's id, so that there are no circles. */
static void link_layers(struct layer_store *s)
{
	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct layer *l = s->layers[i]; l; l = l->next) {
			l->parent = *l->parent_chain ? layer_find(s, l->parent_chain) : NULL;
			if (l->parent) {
				l->parent->refs++;
			} else if (*l->parent_chain && !l->damaged) {
				l->damaged = xasprintf("its parent %s is missing", l->parent_chain);
				l->parent_missing = true;
			}
		}
}

static bool is_init_id(const char *id)
{
	return strlen(id) == ID_HEX + strlen(INIT_SUFFIX) && str_has_suffix(id, INIT_SUFFIX) && id_is_name(id, 1);
}

/* Whose the files of a container's layer are, where that is not as in the data-root. */
static int read_owners(int dirfd, const char *entry, struct idmaps *ret, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/" OWNERS_FILE, entry);
	OWN_ERR struct err why = ERR_INIT;
	OWN_BUF struct buf b = { 0 };

	if (fs_read(dirfd, path, OWNERS_MAX, &b, &why) < 0)
		return why.class == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	if (b.data && streq(b.data, OWNERS_CHANGE))
		return err_set(err, ERR_INTERNAL, "the owners of its files were being changed when the daemon ended");
	if (!b.data || idmaps_parse(b.data, ret, NULL) < 0 || idmaps_none(ret))
		return err_set(err, ERR_INTERNAL, "its file " OWNERS_FILE " holds no ids");
	return 0;
}

/* As far as it can be read. */
static int read_mount(struct layer_store *s, struct rwlayer *m, struct err *err)
{
	OWN_ERR struct err other = ERR_INIT, owners = ERR_INIT;
	char init[VALUE_MAX], parent[DIGEST_TEXT];

	if (read_hex(s->mounts_fd, m->container, "mount-id", m->mount_id, err) < 0)
		*m->mount_id = '\0';
	if (read_optional(s->mounts_fd, m->container, "init-id", init, err->msg ? &other : err) == 0 && *init) {
		if (is_init_id(init))
			memcpy(m->init_id, init, strlen(init) + 1);
		else
			err_set(err->msg ? &other : err, ERR_INTERNAL, "its file init-id holds no id");
	}
	if (read_digest(s->mounts_fd, m->container, "parent", true, parent, err->msg ? &other : err) == 0 && *parent) {
		m->parent = layer_find(s, parent);
		if (m->parent)
			m->parent->refs++;
		else
			err_set(err->msg ? &other : err, ERR_INTERNAL, "its image layer %s is missing", parent);
	}
	if (read_owners(s->mounts_fd, m->container, &m->shift, &owners) < 0) {
		idmaps_done(&m->shift);
		m->shift_bad = xstrdup(err_text(&owners));
	}
	return err->msg ? -1 : 0;
}

static void load_mount(struct layer_store *s, const char *name)
{
	OWN_ERR struct err err = ERR_INIT;
	struct rwlayer *m;

	if (!id_is_name(name, 1))
		return;
	m = xcalloc(1, sizeof(*m));
	m->container = xstrdup(name);
	if (read_mount(s, m, &err) < 0)
		m->damaged = xstrdup(err_text(&err));
	rwlayer_insert(s, m);
}

int layer_db_put_back(struct layer_store *s, int dirfd, const char *entry, const char *file, const char *text, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", entry, file);

	(void)s;
	if (fs_set_aside(dirfd, path, err) < 0)
		return -1;
	return fs_write_atomic(dirfd, path, text, strlen(text), 0644, FS_SYNC, err);
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

bool layer_db_owned(struct layer_store *s, const char *id)
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

/* A layer of the driver that a stage names: removed unless somebody owns it. */
static int take_back_one(struct layer_store *s, const char *id)
{
	OWN_ERR struct err err = ERR_INIT;

	if (strlen(id) < ID_HEX || !id_is_name(id, 1) || layer_db_owned(s, id) || graph_remove(s->graph, id, &err) == 0)
		return 0;
	log_warn("layer store: unfinished layer %s stays until the next start: %s", id, err_text(&err));
	return -1;
}

void layer_db_take_back(struct layer_store *s, int dirfd, const char *name)
{
	static const char *const files[] = { "mount-id", "init-id", "cache-id" }; /* what lies on top first */
	const char *own = strrchr(name, '-');
	OWN_ERR struct err err = ERR_INIT;

	if (own && id_is_hex64(own + 1)) {
		OWN_FREE char *init = xasprintf("%s" INIT_SUFFIX, own + 1);

		if (take_back_one(s, own + 1) < 0 || take_back_one(s, init) < 0)
			return;
	}
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		OWN_ERR struct err local = ERR_INIT;
		char id[VALUE_MAX];

		if (read_value(dirfd, name, files[i], id, &local) < 0)
			continue; /* never written, or lost before the layer itself was made */
		if (take_back_one(s, id) < 0)
			return;
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
