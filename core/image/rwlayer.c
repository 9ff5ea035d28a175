/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Containers' layers: an init layer with the places that mounts go over, and the writable one on top. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/disk-use.h"
#include "base/fs.h"
#include "base/log.h"
#include "image/changes.h"
#include "image/layer-priv.h"
#include "image/packtar.h"
#include "image/shift.h"

void rwlayer_free(struct rwlayer *m)
{
	free(m->container);
	free(m->damaged);
	free(m->found);
	free(m->shift_bad);
	idmaps_done(&m->shift);
	free(m);
}

/* Its containers' root. */
static int own(int fd)
{
	return fchown(fd, idmaps_root_uid(idmaps_root()), idmaps_root_gid(idmaps_root()));
}

/* One folder further down, made if need be; what is no folder makes room, links are never followed. */
static int placeholder_folder(int dirfd, const char *name)
{
	int fd;

	unlinkat(dirfd, name, 0); /* fails on folders, which stay */
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT || mkdirat(dirfd, name, 0755) < 0)
		return fd;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && (own(fd) < 0 || fchmod(fd, 0755) < 0))
		fd_close(&fd);
	return fd;
}

static int placeholder_leaf(int dirfd, const char *name, const char *target)
{
	OWN_FD int fd = -1;

	unlinkat(dirfd, name, 0);
	if (faccessat(dirfd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (target)
		return symlinkat(target, dirfd, name) < 0 ? -1 :
			fchownat(dirfd, name, idmaps_root_uid(idmaps_root()), idmaps_root_gid(idmaps_root()), AT_SYMLINK_NOFOLLOW);
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
	return fd < 0 || own(fd) < 0 || fchmod(fd, 0755) < 0 ? -1 : 0;
}

static int placeholder(int root, const char *path, const char *kind, struct err *err)
{
	OWN_FREE char *copy = xstrdup(path);
	OWN_FD int dir = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *p = copy, *slash;
	bool is_dir = streq(kind, "dir");

	for (; dir >= 0; p = slash + 1) {
		int next;

		slash = strchr(p, '/');
		if (!slash && !is_dir)
			break;
		if (slash)
			*slash = '\0';
		next = placeholder_folder(dir, p);
		close(dir);
		dir = next;
		if (!slash)
			break;
	}
	if (dir < 0 || (!is_dir && placeholder_leaf(dir, p, streq(kind, "file") ? NULL : kind) < 0))
		return err_errno(err, errno, "make /%s in the container's layer", path);
	return 0;
}

/* What runtimes mount over has to be there, the same in every container and no change of it. */
static int placeholders(int root, struct err *err)
{
	static const char *const table[][2] = {
		{ "dev/pts", "dir" }, { "dev/shm", "dir" }, { "proc", "dir" }, { "sys", "dir" }, { ".dockerenv", "file" },
		{ "etc/resolv.conf", "file" }, { "etc/hosts", "file" }, { "etc/hostname", "file" }, { "dev/console", "file" },
		{ "etc/mtab", "/proc/mounts" },
	};

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (placeholder(root, table[i][0], table[i][1], err) < 0)
			return -1;
	return 0;
}

static int fill_init(struct layer_store *s, const struct rwlayer *m, struct err *err)
{
	const char *init_id = m->init_id;
	OWN_FREE char *path = m->brief ? graph_get_brief(s->graph, init_id, NULL, err) : graph_get(s->graph, init_id, NULL, err);
	OWN_FD int root = -1;
	int rc;

	if (!path)
		return -1;
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = root < 0 ? err_errno(err, errno, "open %s", path) : placeholders(root, err);
	fd_close(&root);
	if (graph_put(s->graph, init_id, rc < 0 ? NULL : err) < 0)
		rc = -1;
	return rc;
}

static int make_layers(struct layer_store *s, struct rwlayer *m, const char *label, const struct strmap *opts, struct err *err)
{
	const char *below = m->parent ? m->parent->cache_id : NULL;

	if (!*m->init_id)
		return graph_create(s->graph, m->mount_id, below, true, label, opts, err);
	if (graph_create(s->graph, m->init_id, below, true, label, opts, err) < 0 ||
	    fill_init(s, m, err) < 0)
		return -1;
	return graph_create(s->graph, m->mount_id, m->init_id, true, label, opts, err);
}

static int stage_mount(struct layer_store *s, struct rwlayer *m, struct layer_stage *st, struct err *err)
{
	if (layer_stage_begin(s, st, m->mount_id, err) < 0 || layer_stage_put(st, "mount-id", m->mount_id, err) < 0 ||
	    (*m->init_id && layer_stage_put(st, "init-id", m->init_id, err) < 0))
		return -1;
	return m->parent ? layer_stage_put(st, "parent", m->parent->chain, err) : 0;
}

static int publish_mount(struct layer_store *s, struct rwlayer *m, struct layer_stage *st, struct err *err)
{
	WITH_LOCK(&s->lock);

	if (rwlayer_find(s, m->container))
		return err_set(err, ERR_CONFLICT, "mount name conflict");
	if (renameat(s->tmp_fd, st->name, s->mounts_fd, m->container) < 0)
		return err_errno(err, errno, "store the layer of container %s", m->container);
	*st->name = '\0';
	rwlayer_insert(s, m);
	return 0;
}

enum kind { CONTAINER, BRIEF_CONTAINER, VIEW };

static int create(struct layer_store *s, const char *container_id, const char *chain, const char *mount_label,
	const struct strmap *storage_opts, enum kind kind, struct err *err)
{
	struct layer_stage st = LAYER_STAGE_INIT;
	struct rwlayer *m;
	int rc;

	if (!id_is_name(container_id, 1))
		return err_set(err, ERR_INVALID, "invalid container id \"%s\"", container_id);
	if (rwlayer_exists(s, container_id))
		return err_set(err, ERR_CONFLICT, "mount name conflict");
	if (chain && layer_ref(s, chain, err) < 0)
		return -1;
	m = xcalloc(1, sizeof(*m));
	m->container = xstrdup(container_id);
	m->brief = kind == BRIEF_CONTAINER;
	lock_take(&s->lock);
	m->parent = chain ? layer_find(s, chain) : NULL; /* held by the reference just taken */
	lock_drop(&s->lock);
	/* The container's own id where it may be: then the layers are found also without the files that name them. */
	if (id_is_hex64(container_id))
		memcpy(m->mount_id, container_id, ID_HEX + 1);
	else
		id_random_hex(m->mount_id, ID_HEX);
	if (kind != VIEW)
		snprintf(m->init_id, sizeof(m->init_id), "%s" INIT_SUFFIX, m->mount_id);
	rc = stage_mount(s, m, &st, err);
	if (rc == 0)
		rc = make_layers(s, m, mount_label, storage_opts, err);
	if (rc == 0)
		rc = publish_mount(s, m, &st, err);
	layer_stage_drop(s, &st);
	if (rc < 0) {
		rwlayer_free(m);
		if (chain)
			layer_unref(s, chain, NULL, NULL);
	}
	return rc;
}

int rwlayer_create(struct layer_store *s, const char *container_id, const char *chain, const char *mount_label,
	const struct strmap *storage_opts, struct err *err)
{
	return create(s, container_id, chain, mount_label, storage_opts, CONTAINER, err);
}

int rwlayer_create_view(struct layer_store *s, const char *id, const char *chain, const char *mount_label, struct err *err)
{
	return create(s, id, chain, mount_label, NULL, VIEW, err);
}

int rwlayer_create_brief(struct layer_store *s, const char *container_id, const char *chain, const char *mount_label,
	const struct strmap *storage_opts, struct err *err)
{
	return create(s, container_id, chain, mount_label, storage_opts, BRIEF_CONTAINER, err);
}

/* The driver's names of a container's layers: the writable one and what it stands on ("" for nothing). */
struct names { char mount[ID_HEX + 1], below[ID_HEX + sizeof(INIT_SUFFIX)]; bool brief; };

static void copy_names(const struct rwlayer *m, struct names *ret)
{
	memcpy(ret->mount, m->mount_id, sizeof(m->mount_id));
	ret->brief = m->brief;
	snprintf(ret->below, sizeof(ret->below), "%s", *m->init_id ? m->init_id : m->parent ? m->parent->cache_id : "");
}

static int get_names(struct layer_store *s, const char *container_id, struct names *ret, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct rwlayer *m = rwlayer_find(s, container_id);

	if (!m)
		return err_set(err, ERR_NOT_FOUND, "mount does not exist");
	copy_names(m, ret);
	return 0;
}

/* From here to rwlayer_release() its layers stay, also when it is removed. */
static int use(struct layer_store *s, const char *container_id, struct names *ret, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct rwlayer *m = rwlayer_find(s, container_id);

	if (!m)
		return err_set(err, ERR_NOT_FOUND, "mount does not exist");
	copy_names(m, ret);
	m->users++;
	return 0;
}

/* Also of one that was removed. Under the lock. */
static struct rwlayer *find_used(struct layer_store *s, const char *container_id)
{
	struct rwlayer *m = rwlayer_find(s, container_id);

	for (m = m ? m : s->leaving; m && !streq(m->container, container_id); m = m->next)
		;
	return m;
}

static int get_names_used(struct layer_store *s, const char *container_id, struct names *ret, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct rwlayer *m = find_used(s, container_id);

	if (!m)
		return err_set(err, ERR_NOT_FOUND, "mount does not exist");
	copy_names(m, ret);
	return 0;
}

/* Out of the store: the driver's layers go, and what they stand on loses a reference. */
static int end(struct layer_store *s, struct rwlayer *m, struct err *err)
{
	char name[STAGE_NAME], chain[DIGEST_TEXT] = "";

	snprintf(name, sizeof(name), "remove-%s", m->mount_id);
	layer_db_take_back(s, s->tmp_fd, name);
	if (m->parent)
		snprintf(chain, sizeof(chain), "%s", m->parent->chain);
	rwlayer_free(m);
	return *chain ? layer_unref(s, chain, NULL, err) : 0;
}

void rwlayer_release(struct layer_store *s, const char *container_id)
{
	OWN_ERR struct err err = ERR_INIT;
	struct rwlayer *m, **at;

	lock_take(&s->lock);
	m = find_used(s, container_id);
	if (m && m->users)
		m->users--;
	for (at = &s->leaving; *at && *at != m; at = &(*at)->next)
		;
	if (m && *at && !m->users)
		*at = m->next;
	else
		m = NULL;
	lock_drop(&s->lock);
	if (m && end(s, m, &err) < 0)
		log_warn("%s", err_text(&err));
}

int rwlayer_sync(struct layer_store *s, const char *container_id, struct err *err)
{
	static const char *const files[] = { "mount-id", "init-id", "parent" };
	struct names n;

	if (get_names(s, container_id, &n, err) < 0 || graph_sync_layer(s->graph, n.mount, err) < 0 ||
	    (*n.below && graph_sync_layer(s->graph, n.below, err) < 0))
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		OWN_FREE char *path = xasprintf("%s/%s", container_id, files[i]);
		OWN_FD int fd = openat(s->mounts_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0 ? errno != ENOENT : fdatasync(fd) < 0)
			return err_errno(err, errno, "sync the layer of container %s", container_id);
	}
	return fsync(s->mounts_fd) < 0 ? err_errno(err, errno, "sync %s/mounts", s->dir) : 0;
}

/* Takes the mount out of the store. *ret is NULL when it was not there, or when the last of its users ends it. */
static int withdraw_mount(struct layer_store *s, const char *container_id, struct rwlayer **ret, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct rwlayer *m = rwlayer_find(s, container_id);
	char name[STAGE_NAME];

	*ret = NULL;
	if (!m)
		return 0;
	/* the folder in tmp still names its layers */
	snprintf(name, sizeof(name), "remove-%s", m->mount_id);
	if (renameat(s->mounts_fd, m->container, s->tmp_fd, name) < 0 && errno != ENOENT)
		return err_errno(err, errno, "remove the layer of container %s", container_id);
	rwlayer_detach(s, m);
	if (!m->users) {
		*ret = m;
		return 0;
	}
	m->next = s->leaving;
	s->leaving = m;
	return 0;
}

int rwlayer_remove(struct layer_store *s, const char *container_id, struct err *err)
{
	struct rwlayer *m;

	if (withdraw_mount(s, container_id, &m, err) < 0)
		return -1;
	return m ? end(s, m, err) : 0;
}

int rwlayer_hold(struct layer_store *s, const char *container_id, struct err *err)
{
	struct names n;

	return use(s, container_id, &n, err);
}

bool rwlayer_exists(struct layer_store *s, const char *container_id)
{
	WITH_LOCK(&s->lock);
	return rwlayer_find(s, container_id) != NULL;
}

char *rwlayer_mount(struct layer_store *s, const char *container_id, const char *mount_label, struct err *err)
{
	return rwlayer_mount_mapped(s, container_id, mount_label, NULL, err);
}

char *rwlayer_mount_mapped(struct layer_store *s, const char *container_id, const char *mount_label, const struct graph_ids *ids, struct err *err)
{
	struct names n;
	char *path;

	if (use(s, container_id, &n, err) < 0)
		return NULL;
	path = graph_get_mapped(s->graph, n.mount, mount_label, n.brief, ids, err);
	if (!path)
		rwlayer_release(s, container_id);
	return path;
}

static int put_owners(struct layer_store *s, const char *container_id, const char *text, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/" OWNERS_FILE, container_id);

	return fs_write_atomic(s->mounts_fd, path, text, strlen(text), 0644, FS_SYNC, err);
}

static int shift(struct layer_store *s, const char *mount_id, const struct idmaps *maps, struct err *err)
{
	OWN_FREE char *path = graph_get(s->graph, mount_id, NULL, err);
	OWN_FD int fd = -1;
	int rc;

	if (!path)
		return -1;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? err_errno(err, errno, "open %s", path) : shift_tree(fd, maps, err);
	fd_close(&fd);
	if (graph_put(s->graph, mount_id, rc < 0 ? NULL : err) < 0)
		rc = -1;
	return rc;
}

int rwlayer_shift(struct layer_store *s, const char *container_id, const struct idmaps *maps, struct err *err)
{
	OWN_FREE char *text = idmaps_format(maps);
	struct rwlayer *m;
	struct names n;
	int rc;

	if (use(s, container_id, &n, err) < 0)
		return -1;
	rc = put_owners(s, container_id, OWNERS_CHANGE, err);
	if (rc == 0)
		rc = shift(s, n.mount, maps, err);
	/* before it says so: all of it */
	if (rc == 0 && !n.brief)
		rc = graph_sync(s->graph, err);
	if (rc == 0)
		rc = put_owners(s, container_id, text, err);
	lock_take(&s->lock);
	m = rc == 0 ? find_used(s, container_id) : NULL;
	if (m)
		idmaps_copy(&m->shift, maps);
	lock_drop(&s->lock);
	rwlayer_release(s, container_id);
	return rc < 0 ? err_wrap(err, "the layer of container %s", container_id) : 0;
}

int rwlayer_shifted(struct layer_store *s, const char *container_id, const struct idmaps *maps, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct rwlayer *m = rwlayer_find(s, container_id);

	if (!m || idmaps_none(&m->shift))
		return 0;
	return idmaps_equal(&m->shift, maps) ? 1 :
		err_set(err, ERR_CONFLICT, "the files of container %s have the ids of another range: this driver cannot give them others", container_id);
}

int rwlayer_unmount(struct layer_store *s, const char *container_id, struct err *err)
{
	struct names n;
	int rc;

	if (get_names_used(s, container_id, &n, err) < 0)
		return -1;
	rc = graph_put(s->graph, n.mount, err);
	rwlayer_release(s, container_id);
	return rc;
}

void rwlayer_metadata(struct layer_store *s, const char *container_id, struct jw *w)
{
	struct names n;

	if (get_names(s, container_id, &n, NULL) < 0)
		jw_null(w);
	else
		graph_metadata(s->graph, n.mount, w);
}

/* The two trees to compare: the container's own, and what it stands on. */
struct view {
	struct graph_tree tree;
	int below_fd;       /* -1: nothing below */
	char *below_path;   /* mounted for this, or NULL */
	struct names names;
	struct idmaps shown; /* owners in the data-root (inside) are these in the container's own tree; none: the same */
	const char *container; /* a user of its layers */
};

static void view_done(struct layer_store *s, struct view *v)
{
	OWN_ERR struct err err = ERR_INIT;

	fd_close(&v->below_fd);
	if (v->below_path && graph_put(s->graph, v->names.below, &err) < 0)
		log_warn("%s", err_text(&err));
	free(v->below_path);
	idmaps_done(&v->shown);
	graph_tree_done(s->graph, &v->tree);
	rwlayer_release(s, v->container);
}

static void copy_shift(struct layer_store *s, const char *container_id, struct idmaps *ret)
{
	WITH_LOCK(&s->lock);
	struct rwlayer *m = find_used(s, container_id);

	if (m)
		idmaps_copy(ret, &m->shift);
}

/* Without what it stands on, unless the driver has to show that, too. */
static int view_open_own(struct layer_store *s, const char *container_id, struct view *v, struct err *err)
{
	*v = (struct view){ .below_fd = -1, .container = container_id };
	if (use(s, container_id, &v->names, err) < 0)
		return -1;
	copy_shift(s, container_id, &v->shown);
	if (graph_tree_read(s->graph, v->names.mount, *v->names.below ? v->names.below : NULL, &v->tree, err) == 0) {
		if (idmaps_none(&v->shown))
			idmaps_copy(&v->shown, &v->tree.shown);
		return 0;
	}
	idmaps_done(&v->shown);
	rwlayer_release(s, container_id);
	return -1;
}

static int view_open(struct layer_store *s, const char *container_id, struct view *v, struct err *err)
{
	const char *below;

	if (view_open_own(s, container_id, v, err) < 0)
		return -1;
	below = *v->names.below ? v->names.below : NULL;
	if (v->tree.parent_fd >= 0 || !below)
		return 0;
	/* A driver that hands out its own folder: the view below comes by mounting. */
	v->below_path = graph_get(s->graph, below, NULL, err);
	v->below_fd = v->below_path ? open(v->below_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (v->below_fd >= 0)
		return 0;
	if (v->below_path)
		err_errno(err, errno, "open %s", v->below_path);
	view_done(s, v);
	return -1;
}

static int view_changes(struct view *v, struct changes *ret, struct err *err)
{
	if (v->below_fd >= 0)
		return changes_upper(v->tree.fd, v->tree.whiteout, v->below_fd, &v->shown, ret, err);
	return changes_compare(v->tree.fd, v->tree.parent_fd, &v->shown, ret, err);
}

int rwlayer_changes(struct layer_store *s, const char *container_id, void (*emit)(void *ctx, const char *path, int kind), void *ctx,
	struct err *err)
{
	OWN_CHANGES struct changes c = { 0 };
	struct view v;
	int rc;

	if (view_open(s, container_id, &v, err) < 0)
		return -1;
	rc = view_changes(&v, &c, err);
	view_done(s, &v);
	for (size_t i = 0; rc == 0 && i < c.len; i++)
		emit(ctx, c.v[i].path, c.v[i].kind);
	return rc;
}

int64_t rwlayer_size(struct layer_store *s, const char *container_id, const struct cancel *cancel, struct err *err)
{
	OWN_CHANGES struct changes c = { 0 };
	struct view v;
	int64_t size = -1;

	if (view_open_own(s, container_id, &v, err) < 0)
		return -1;
	/* All that is in a container's own folder is its own: nothing is mounted to compare with. */
	if (v.tree.parent_fd < 0)
		size = disk_use(openat(v.tree.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), cancel);
	else if (view_changes(&v, &c, err) == 0)
		size = changes_size(&c, v.tree.fd);
	view_done(s, &v);
	return size;
}

int rwlayer_tar(struct layer_store *s, const char *container_id, struct writer *out, int64_t room, const struct cancel *c, struct err *err)
{
	OWN_CHANGES struct changes changes = { 0 };
	OWN_IDMAPS struct idmaps ids = { 0 };
	struct packtar_opts opts = { .cancel = c, .ids = &ids, .room = room };
	struct tar_writer tar;
	struct view v;
	int rc;

	if (view_open(s, container_id, &v, err) < 0)
		return -1;
	if (idmaps_none(&v.shown))
		opts.ids = idmaps_root();
	else
		idmaps_join(idmaps_root(), &v.shown, &ids);
	tar_writer_init(&tar, out);
	rc = view_changes(&v, &changes, err);
	if (rc == 0)
		rc = packtar_changes(v.tree.fd, &changes, &opts, &tar, err);
	if (rc == 0)
		rc = tar_write_end(&tar, err);
	view_done(s, &v);
	return rc;
}
