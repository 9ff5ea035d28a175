/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A container's mount points: settled at create, mounted at start, released at exit. All by the holder of the operation. */
#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "base/id.h"
#include "base/log.h"
#include "container/internal.h"

#define MOUNTS_MAX 1024

static struct mount_point *mount_at(struct container *c, size_t i)
{
	return jmap_at(&c->rec.mounts, i, &mount_point_desc);
}

static bool is_volume(const struct mount_point *m)
{
	return m->type ? streq(m->type, "volume") : !str_empty(m->name);
}

/* Takes over m; a second mount at one place is Docker's error unless replace. */
static int add_mount(struct container *c, struct mount_point *m, bool replace, struct err *err)
{
	struct mount_point *at = jmap_get(&c->rec.mounts, m->destination, &mount_point_desc);

	if (at && !replace) {
		err_set(err, ERR_INVALID, "Duplicate mount point: %s", m->destination);
		mount_point_done(m);
		return -1;
	}
	if (c->rec.mounts.len >= MOUNTS_MAX) {
		mount_point_done(m);
		return err_set(err, ERR_INVALID, "more than %d mounts", MOUNTS_MAX);
	}
	if (at)
		mount_point_done(at);
	else
		at = jmap_add(&c->rec.mounts, m->destination, &mount_point_desc);
	*at = *m;
	*m = (struct mount_point){ 0 };
	return 0;
}

/* "container[:mode]": its mount points come along. */
static int add_from(struct container *c, const char *from, struct err *err)
{
	OWN_FREE char *name = xstrndup(from, strcspn(from, ":"));
	const char *mode = from[strlen(name)] ? from + strlen(name) + 1 : "";
	CLEANUP(container_unrefp) struct container *other = NULL;
	struct jmap copy = { 0 };
	bool read_only;
	int r = 0;

	if (!*from)
		return err_set(err, ERR_INVALID, "volumes-from specification cannot be an empty string");
	if (mount_parse_from_mode(mode, &read_only, err) < 0)
		return -1;
	other = container_find(c->store, name, err);
	if (!other) {
		err->class = ERR_INVALID;
		return -1;
	}
	lock_take(&other->lock);
	for (size_t i = 0; i < other->rec.mounts.len; i++)
		jdesc_copy(&mount_point_desc, jmap_add(&copy, other->rec.mounts.keys[i], &mount_point_desc),
			jmap_at(&other->rec.mounts, i, &mount_point_desc));
	lock_drop(&other->lock);
	for (size_t i = 0; i < copy.len; i++) {
		struct mount_point *m = jmap_at(&copy, i, &mount_point_desc);

		if (read_only)
			m->rw = false;
		/* the words of the other's client, and the image's content is for the other's image */
		str_set(&m->mode, NULL);
		m->copy_up = false;
		if (r == 0)
			r = add_mount(c, m, true, err);
		mount_point_done(m);
	}
	for (size_t i = 0; i < copy.len; i++)
		free(copy.keys[i]);
	free(copy.keys);
	free(copy.v);
	return r;
}

static int add_image_volumes(struct container *c, struct err *err)
{
	const struct strv *volumes = &c->rec.config.volumes;

	for (size_t i = 0; i < volumes->len; i++) {
		struct mount_point m = { .rw = true, .copy_up = true };

		m.destination = path_clean(volumes->v[i]); /* relative ones, like "VOLUME data" of a Dockerfile, begin at the root */
		if (streq(m.destination, "/")) {
			mount_point_done(&m);
			return err_set(err, ERR_INVALID,
				"invalid volume specification: '%s': invalid specification: destination can't be '/'",
				volumes->v[i]);
		}
		if (jmap_get(&c->rec.mounts, m.destination, &mount_point_desc) || strmap_get(&c->host.tmpfs, m.destination)) {
			mount_point_done(&m);
			continue;
		}
		str_set(&m.type, "volume");
		str_set(&m.driver, c->host.volume_driver ? c->host.volume_driver : "");
		if (add_mount(c, &m, false, err) < 0)
			return -1;
	}
	return 0;
}

/* Of one that nobody named those of its container. */
static void volume_labels(struct container *c, const struct mount_point *m, const char *name, struct strmap *ret)
{
	OWN_VOLUME struct volume *v = str_empty(m->spec.source) ? NULL : volume_get(c->store->deps.volumes, name, NULL);

	if (v)
		strmap_copy(ret, &v->labels);
	else
		container_labels(c, ret);
}

/* Docker's attributes: the container stands in those of mounts only, where and how in that of mounting. */
static void volume_event(
	struct container *c, const struct mount_point *m, const char *action, const char *name, const char *driver)
{
	struct events *ev = c->store->deps.events;
	OWN_STRMAP struct strmap labels = { 0 };

	if (!ev)
		return;
	volume_labels(c, m, name, &labels);
	if (streq(action, "mount"))
		events_log_of(ev, &labels, "volume", action, name, "driver", driver, "container", c->id, "destination", m->destination,
			"read/write", m->rw ? "true" : "false", "propagation", m->propagation ? m->propagation : "", NULL);
	else if (streq(action, "unmount"))
		events_log_of(ev, &labels, "volume", action, name, "driver", driver, "container", c->id, NULL);
	else
		events_log_of(ev, &labels, "volume", action, name, "driver", driver, NULL);
}

static int make_volume(struct container *c, struct mount_point *m, struct err *err)
{
	const struct volume_options *vo = m->spec.volume;
	const struct strmap *opts = vo && vo->driver_config ? &vo->driver_config->options : NULL;
	OWN_STRMAP struct strmap labels = { 0 };
	struct volume *v;
	bool created;

	if (!c->store->deps.volumes)
		return err_set(err, ERR_NOT_IMPLEMENTED, "volumes are not available");
	if (vo)
		strmap_copy(&labels, &vo->labels);
	if (str_empty(m->name)) {
		char id[ID_HEX + 1];

		id_new(id);
		str_set(&m->name, id);
		strmap_set(&labels, VOLUME_ANONYMOUS_LABEL, "");
		if (unfinished_volume(c, m->name, err) < 0)
			return -1;
	}
	/* Used from its first moment on: no prune comes between. */
	v = volume_create_for(c->store->deps.volumes, m->name, m->driver, opts, &labels, c->id, &created, err);
	if (!v)
		return -1;
	if (created)
		volume_event(c, m, "create", v->name, v->driver);
	str_set(&m->name, v->name);
	str_set(&m->driver, v->driver);
	str_set(&m->source, v->mountpoint ? v->mountpoint : "");
	volume_unref(v);
	return 0;
}

/* In the record only: Binds have no word for it, and nobody asked. */
static void end_at_first_level(struct mount_point *m)
{
	if (!m->spec.bind)
		m->spec.bind = xcalloc(1, sizeof(*m->spec.bind));
	m->spec.bind->read_only_non_recursive = true;
}

int mounts_resolve(struct container *c, const struct image *img, struct err *err)
{
	(void)img; /* its volumes were merged into the configuration */
	for (size_t i = 0; i < c->host.volumes_from.len; i++)
		if (add_from(c, c->host.volumes_from.v[i], err) < 0)
			return -1;
	OWN_STRV struct strv seen = { 0 };
	for (size_t i = 0; i < c->host.binds.len + c->host.mounts.len; i++) {
		struct mount_point m = { 0 };
		int r = i < c->host.binds.len ? mount_parse_bind(c->host.binds.v[i], c->host.volume_driver, &m, err) :
			mount_from_spec(jlist_at(&c->host.mounts, i - c->host.binds.len, &mount_spec_desc), &m, err);

		if (r < 0)
			return -1;
		if (c->host.first_level && m.type && streq(m.type, "bind") && !m.rw)
			end_at_first_level(&m);
		if (mount_settle_propagation(c, &m, err) < 0) {
			mount_point_done(&m);
			return -1;
		}
		if (strv_contains(&seen, m.destination) || (i < c->host.binds.len && strmap_get(&c->host.tmpfs, m.destination))) {
			err_set(err, ERR_INVALID, "Duplicate mount point: %s", m.destination);
			mount_point_done(&m);
			return -1;
		}
		strv_add(&seen, m.destination);
		if (add_mount(c, &m, true, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < c->host.tmpfs.len; i++)
		if (mount_check_tmpfs(c->host.tmpfs.v[i].key, c->host.tmpfs.v[i].value, err) < 0)
			return -1;
	if (add_image_volumes(c, err) < 0)
		return -1;
	for (size_t i = 0; i < c->rec.mounts.len; i++) {
		struct mount_point *m = mount_at(c, i);

		if ((is_volume(m) && make_volume(c, m, err) < 0) || (mount_is_image(m) && mount_view_make(c, m, err) < 0))
			return -1;
	}
	return 0;
}

void mounts_forget(struct container *c, bool remove_anonymous)
{
	struct volume_store *vs = c->store->deps.volumes;

	for (size_t i = 0; i < c->rec.mounts.len; i++)
		if (mount_is_image(mount_at(c, i)))
			mount_view_remove(c, mount_at(c, i));
	if (!vs)
		return;
	for (size_t i = 0; i < c->rec.mounts.len; i++) {
		struct mount_point *m = mount_at(c, i);
		OWN_ERR struct err err = ERR_INIT;

		if (!is_volume(m) || str_empty(m->name))
			continue;
		volume_unuse(vs, m->name, c->id);
		if (!remove_anonymous || !str_empty(m->spec.source))
			continue;
		if (volume_remove(vs, m->name, true, &err) == 0)
			volume_event(c, m, "destroy", m->name, m->driver);
		else if (err.class != ERR_CONFLICT)
			log_warn("container %s: volume %s stays: %s", c->id, m->name, err_text(&err));
	}
}

/* The folder that is mounted, -1 with err, or -2 when there is no such folder: starting will tell. */
static int open_volume(struct container *c, const char *path, const struct mount_point *m, struct err *err)
{
	OWN_FREE char *spec = mount_idmap(m);
	OWN_FD int userns = userns_for_mount(c, true, spec, err), tree = -1;
	const char *subpath = mount_subpath(m);
	int fd = subpath ? mount_open_subpath(path, subpath, O_RDONLY | O_DIRECTORY, NULL) : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && subpath)
		return -2;
	if (fd < 0)
		return err_errno(err, errno, "cannot open volume %s", m->name);
	if (userns == USERNS_NONE)
		return fd;
	/* with the owners that the container's root shows */
	tree = userns == -1 ? -1 : userns_tree(fd, userns, m->name, err);
	close(fd);
	fd = tree < 0 ? -1 : openat(tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return tree >= 0 && fd < 0 ? err_errno(err, errno, "cannot open volume %s", m->name) : fd;
}

static int copy_up_one(struct container *c, struct mount_point *m, int rootfd, struct err *err)
{
	OWN_FREE char *path = NULL;
	OWN_FD int from = fs_beneath(rootfd, m->destination, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	OWN_FD int to = -1;
	int r;

	if (from < 0 && errno == ENOTDIR && str_empty(m->spec.type))
		return err_set(err, ERR_INVALID, "cannot mount volume over existing file, file exists %s", m->destination);
	if (from < 0)
		return 0; /* nothing there in the image */
	path = volume_mount(c->store->deps.volumes, m->name, c->id, err);
	if (!path)
		return -1;
	to = open_volume(c, path, m, err);
	r = to == -1 ? -1 : to < 0 ? 0 : tree_copy(from, to, err);
	if (r < 0)
		err_wrap(err, "failed to copy the image's content to volume %s", m->name);
	/* It is not copied a second time: what is there counts as the user's. */
	if (r > 0 && !(c->host.auto_remove && str_empty(m->spec.source)) && syncfs(to) < 0)
		r = err_errno(err, errno, "cannot sync volume %s", m->name);
	volume_unmount(c->store->deps.volumes, m->name, c->id, NULL);
	return r;
}

int mounts_copy_up(struct container *c, const char *rootfs, struct err *err)
{
	OWN_FD int rootfd = open(rootfs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (rootfd < 0)
		return err_errno(err, errno, "cannot open the root of container %s", c->id);
	for (size_t i = 0; i < c->rec.mounts.len; i++) {
		struct mount_point *m = mount_at(c, i);

		if (is_volume(m) && m->copy_up && copy_up_one(c, m, rootfd, err) < 0)
			return -1;
	}
	return 0;
}

void mount_list_add(struct mount_list *l, const char *type, const char *source, const char *destination)
{
	struct bundle_mount *m;

	l->v = xrealloc(l->v, (l->len + 1) * sizeof(*l->v));
	m = &l->v[l->len++];
	*m = (struct bundle_mount){ .type = xstrdup(type), .source = xstrdup(source), .destination = xstrdup(destination) };
}

struct bundle_mount *mount_list_last(struct mount_list *l)
{
	return &l->v[l->len - 1];
}

void mount_list_done(struct mount_list *l)
{
	for (size_t i = 0; i < l->len; i++) {
		free(l->v[i].type);
		free(l->v[i].source);
		free(l->v[i].destination);
		strv_done(&l->v[i].options);
	}
	free(l->v);
	*l = (struct mount_list){ 0 };
}

static size_t depth(const char *path)
{
	size_t n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n;
}

static int by_depth(const void *a, const void *b)
{
	const struct bundle_mount *x = a, *y = b;
	size_t dx = depth(x->destination), dy = depth(y->destination);

	return dx != dy ? (dx < dy ? -1 : 1) : strcmp(x->destination, y->destination);
}

void mount_list_sort(struct mount_list *l)
{
	if (l->len)
		qsort(l->v, l->len, sizeof(*l->v), by_depth);
}

static int make_source(const struct container *c, const struct mount_point *m, const char *source, struct err *err)
{
	if (!streq(m->type, "bind") || fs_exists(source))
		return 0;
	if (m->skip_creation)
		return err_set(err, ERR_INVALID, "invalid mount config for type \"bind\": bind source path does not exist: %s", source);
	if (fs_mkdirs_owned(source, 0755, container_root_owner(c), err) < 0)
		return err_wrap(err, "error while creating mount source path '%s'", source);
	return 0;
}

/* shown: the path under which the runtime finds it; labels go by where it really is. */
static int setup_bind(struct container *c, const struct mount_point *m, const char *source, const char *shown, struct mount_list *l, struct err *err)
{
	if (make_source(c, m, source, err) < 0)
		return -1;
	if (labels_mount(c, m, mount_subpath(m) ? shown : source, err) < 0)
		return -1;
	mount_list_add(l, "bind", shown, m->destination);
	return mount_bind_options(c, m, shown, l, err);
}

static void setup_tmpfs(const struct mount_point *m, struct mount_list *l)
{
	const struct tmpfs_options *to = m->spec.tmpfs;
	OWN_BUF struct buf words = { 0 };
	struct bundle_mount *b;

	mount_list_add(l, "tmpfs", "tmpfs", m->destination);
	b = mount_list_last(l);
	buf_adds(&words, m->rw ? "" : "ro");
	mount_tmpfs_words(to, &words, NULL); /* checked at create */
	mount_tmpfs_options(words.data, &b->options);
	if (to && to->size_bytes > 0)
		strv_addf(&b->options, "size=%lld", (long long)to->size_bytes);
	if (to && to->mode > 0)
		strv_addf(&b->options, "mode=%llo", (unsigned long long)to->mode);
}

/* Bound by the daemon first where the runtime cannot: a part of something, or with other ids. An image has them already. */
static int setup_pinned(struct container *c, size_t i, const char *source, struct mount_list *l, struct err *err)
{
	const struct mount_point *m = mount_at(c, i);
	OWN_FREE char *spec = mount_idmap(m), *pinned = NULL;
	OWN_FD int userns = mount_is_image(m) ? USERNS_NONE : userns_for_mount(c, is_volume(m), spec, err);

	if (userns == -1)
		return err_wrap(err, "cannot mount %s", m->destination);
	if (userns == USERNS_NONE && !mount_subpath(m))
		return setup_bind(c, m, source, source, l, err);
	if (make_source(c, m, source, err) < 0)
		return -1;
	pinned = mount_pin(c, i, source, mount_subpath(m), userns, err);
	return pinned ? setup_bind(c, m, source, pinned, l, err) : -1;
}

/* One of what is mounted first: a volume or an image; only a part of it, where the client asked for that. */
static int setup_mounted(struct container *c, size_t i, struct mount_list *l, struct err *err)
{
	const struct mount_point *m = mount_at(c, i);
	OWN_FREE char *path = is_volume(m) ? volume_mount(c->store->deps.volumes, m->name, c->id, err) : mount_view_get(c, m, err);

	if (!path)
		return -1;
	c->volumes_mounted = i + 1;
	if (is_volume(m))
		volume_event(c, m, "mount", m->name, m->driver);
	return setup_pinned(c, i, path, l, err);
}

int mounts_setup(struct container *c, struct mount_list *ret, struct err *err)
{
	for (size_t i = 0; i < c->host.tmpfs.len; i++) {
		OWN_FREE char *clean = path_clean(c->host.tmpfs.v[i].key);

		mount_list_add(ret, "tmpfs", "tmpfs", clean);
		mount_tmpfs_options(c->host.tmpfs.v[i].value, &mount_list_last(ret)->options);
	}
	c->volumes_mounted = 0;
	for (size_t i = 0; i < c->rec.mounts.len; i++) {
		struct mount_point *m = mount_at(c, i);

		if (is_volume(m) || mount_is_image(m)) {
			if (setup_mounted(c, i, ret, err) < 0)
				return -1;
			continue;
		}
		c->volumes_mounted = i + 1;
		if (m->type && streq(m->type, "tmpfs"))
			setup_tmpfs(m, ret);
		else if (setup_pinned(c, i, m->source, ret, err) < 0)
			return -1;
	}
	return 0;
}

void mounts_teardown(struct container *c)
{
	for (size_t i = c->volumes_mounted; i-- > 0;) {
		struct mount_point *m = mount_at(c, i);
		OWN_ERR struct err err = ERR_INIT;

		if (mount_is_image(m))
			mount_view_put(c, m);
		if (!is_volume(m))
			continue;
		if (volume_unmount(c->store->deps.volumes, m->name, c->id, &err) < 0)
			log_warn("container %s: volume %s: %s", c->id, m->name, err_text(&err));
		else
			m->unmounted = true;
	}
	c->volumes_mounted = 0;
}

void mounts_tell(struct container *c)
{
	for (size_t i = c->rec.mounts.len; i-- > 0;) {
		struct mount_point *m = mount_at(c, i);

		if (m->unmounted)
			volume_event(c, m, "unmount", m->name, m->driver);
		m->unmounted = false;
	}
}
