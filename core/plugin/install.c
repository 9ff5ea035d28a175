/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How plugins come: from an archive, or by the parts that a registry has. Everything is made in a folder beside, DATA-ROOT/plugins/.new-ID or .up-ID, which
 * becomes the plugin by one rename; what a crash leaves is removed at the next start.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "image/inflate.h"
#include "image/packtar.h"
#include "image/unpack.h"
#include "image/untar.h"
#include "plugin/managed_i.h"

#define TYPE_CONFIG "application/vnd.docker.plugin.v1+json"
#define TYPE_LAYER "application/vnd.docker.image.rootfs.diff.tar.gzip"
#define SHARED "propagated-mount"

static char *in_plugins(const struct managed_store *s, const char *dir)
{
	return xasprintf("%s/plugins%s%s", s->data_root, *dir ? "/" : "", dir);
}

static struct managed *begin(struct managed_store *s, const char *id)
{
	struct managed *m = xcalloc(1, sizeof(*m));

	m->pidfd = -1;
	if (id)
		memcpy(m->id, id, sizeof(m->id));
	else
		id_random_hex(m->id, 64);
	lock_take(&s->lock);
	s->installing++;
	lock_drop(&s->lock);
	return m;
}

/* Back in line: what nobody took goes. */
static void end(struct managed_store *s)
{
	WITH_LOCK(&s->lock);

	s->installing--;
	managed_sweep(s);
}

static int open_dir(const char *dir, struct err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_errno(err, errno, "open %s", dir) : fd;
}

/* Its configuration, in our form, checked; the settings begin with it. */
static json_t *take_config(struct managed *m, const char *text, size_t size, const char *layer, struct err *err)
{
	json_t *js;

	m->config = managed_form(text, size, layer, err);
	js = m->config ? managed_config(m) : NULL;
	if (!js) {
		err_wrap(err, "config.json");
		return NULL;
	}
	if (managed_config_check(js, err) < 0) {
		json_decref(js);
		return NULL;
	}
	managed_settings_begin(m, js);
	return js;
}

/* Its state beside the root, and all of it on the disk. */
static int settle(const struct managed_store *s, const struct managed *m, const char *tmp, int fd, struct err *err)
{
	if (managed_save(s, m, tmp, err) < 0)
		return -1;
	return syncfs(fd) < 0 ? err_errno(err, errno, "sync %s", tmp) : 0;
}

static int appear(const struct managed_store *s, const struct managed *m, const char *tmp, struct err *err)
{
	OWN_FREE char *dir = in_plugins(s, tmp), *to = managed_home(s, m), *all = in_plugins(s, "");

	if (rename(dir, to) < 0)
		return err_errno(err, errno, "rename %s", dir);
	return fs_sync_dir(all, err);
}

static int taken(const char *name, enum err_class class, struct err *err)
{
	return err_set(err, class, "plugin %s already exists", name);
}

/* It is in its place: among the others, unless its name is taken meanwhile. Takes m. */
static int add(struct managed_store *s, struct managed *m, enum err_class class, struct err *err)
{
	OWN_FREE char *home = NULL;

	lock_take(&s->lock);
	if (!managed_named(s, m->name)) {
		m->next = s->all;
		s->all = m;
		lock_drop(&s->lock);
		return 0;
	}
	lock_drop(&s->lock);
	taken(m->name, class, err);
	home = managed_home(s, m);
	fs_remove_tree(AT_FDCWD, home, NULL);
	managed_free(m);
	return -1;
}

static int drop(const struct managed_store *s, struct managed *m, const char *tmp)
{
	OWN_FREE char *dir = in_plugins(s, tmp);

	fs_remove_tree(AT_FDCWD, dir, NULL);
	managed_free(m);
	return -1;
}

static int check_name(struct managed_store *s, const char *name, enum err_class class, char **ret_full, struct err *err)
{
	char *full = managed_full_name(name, err);

	if (!full)
		return -1;
	*ret_full = full;
	WITH_LOCK(&s->lock);
	return managed_named(s, full) ? taken(full, class, err) : 0;
}

int managed_check_name(struct managed_store *s, const char *name, char **ret_full, struct err *err)
{
	return check_name(s, name, ERR_INVALID, ret_full, err);
}

/* --- from an archive --- */

/* The root as a part. */
static int pack_root(const struct managed_store *s, int root, char ret_digest[DIGEST_TEXT], int64_t *ret_size, struct err *err)
{
	const struct packtar_opts opts = { 0 };
	CLEANUP(blobs_drop) struct blob_draft b;
	__attribute__((cleanup(gzip_writer_freep))) struct gzip_writer *z = NULL;
	struct tar_writer tar;

	if (blobs_begin(s, &b, err) < 0)
		return -1;
	z = gzip_writer_new(&b.writer);
	tar_writer_init(&tar, gzip_writer_sink(z));
	if (packtar(root, "", &opts, &tar, err) < 0 || tar_write_end(&tar, err) < 0 || gzip_writer_end(z, err) < 0)
		return -1;
	*ret_size = b.size;
	return blobs_end(s, &b, NULL, ret_digest, err);
}

/* As Docker writes it. */
static int put_manifest(const struct managed_store *s, struct managed *m, int64_t layer_size, struct err *err)
{
	OWN_FREE char *line = xasprintf("%s\n", m->config), *text = NULL;
	char digest[DIGEST_TEXT];

	if (blobs_put(s, line, strlen(line), digest, err) < 0)
		return -1;
	m->config_digest = xstrdup(digest);
	text = xasprintf("{\"schemaVersion\":2,\"config\":{\"mediaType\":\"" TYPE_CONFIG "\",\"digest\":\"%s\",\"size\":%zu},\"layers\":[{\"mediaType\":\"" TYPE_LAYER
		"\",\"digest\":\"%s\",\"size\":%lld}],\"mediaType\":\"" MANAGED_MANIFEST_TYPE "\"}", digest, strlen(line), m->layers.v[0], (long long)layer_size);
	if (blobs_put(s, text, strlen(text), digest, err) < 0)
		return -1;
	m->manifest = xstrdup(digest);
	return 0;
}

/* What else the archive has is nothing of the plugin's. */
static int leave_root(int fd, struct err *err)
{
	OWN_DIR DIR *d = NULL;
	OWN_FD int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct dirent *e;

	if (copy < 0 || !(d = fdopendir(copy)))
		return err_errno(err, errno, "read the plugin's folder");
	copy = -1;
	while ((e = readdir(d)))
		if (!streq(e->d_name, ".") && !streq(e->d_name, "..") && !streq(e->d_name, "rootfs") && fs_remove_tree(fd, e->d_name, err) < 0)
			return -1;
	return 0;
}

static int fill(struct managed_store *s, struct managed *m, const char *tmp, struct reader *in, struct err *err)
{
	OWN_FREE char *dir = in_plugins(s, tmp);
	OWN_BUF struct buf text = { 0 };
	OWN_FD int fd = -1, root = -1;
	OWN_JSON json_t *config = NULL;
	char digest[DIGEST_TEXT];
	int64_t size;

	if (fs_mkdir_anew(dir, 0700, err) < 0 || (fd = open_dir(dir, err)) < 0 || unpack_files(in, fd, "/", 0, NULL, NULL, err) < 0)
		return -1;
	root = fs_beneath(fd, "rootfs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
	if (root < 0)
		return err_set(err, ERR_INVALID, "the archive has no folder rootfs");
	if (fs_beneath_read(fd, "config.json", MANAGED_CONFIG_MAX, &text, err) < 0) {
		err_wrap(err, "config.json");
		if (err && err->class == ERR_NOT_FOUND)
			err->class = ERR_INVALID; /* the archive lacks it */
		return -1;
	}
	if (leave_root(fd, err) < 0 || pack_root(s, root, digest, &size, err) < 0)
		return -1;
	strv_add(&m->layers, digest);
	config = take_config(m, text.data, text.size, digest, err);
	return config && put_manifest(s, m, size, err) == 0 && settle(s, m, tmp, fd, err) == 0 ? 0 : -1;
}

int managed_create(struct managed_store *s, const char *name, struct reader *in, struct err *err)
{
	OWN_FREE char *full = NULL, *tmp = NULL;
	struct managed *m;
	int rc;

	if (check_name(s, name, ERR_CONFLICT, &full, err) < 0)
		return -1;
	m = begin(s, NULL);
	m->name = xstrdup(full);
	m->reference = xstrdup(full);
	tmp = xasprintf(".new-%s", m->id);
	rc = fill(s, m, tmp, in, err) < 0 || appear(s, m, tmp, err) < 0 ? drop(s, m, tmp) : add(s, m, ERR_CONFLICT, err);
	end(s);
	return rc;
}

/* --- from a registry --- */

/* A part's bytes, while somebody waits for them. */
struct part_reader { struct reader reader; int fd; const struct cancel *cancel; };

static ssize_t part_read(struct reader *r, void *data, size_t size, struct err *err)
{
	struct part_reader *p = (struct part_reader *)r;
	ssize_t n = cancel_fired(p->cancel) ? -2 : read(p->fd, data, size);

	if (n == -2)
		return err_set(err, ERR_CANCELLED, "the client is gone");
	return n < 0 ? err_errno(err, errno, "read a plugin's part") : n;
}

static int bring_layer(const struct managed_store *s, const struct managed_from *from, size_t i, const char *digest, struct err *err)
{
	OWN_FD int fd = -1;

	if (blobs_have(s, digest)) {
		from->say(from->ctx, digest, "Already exists", 0, 0);
		return 0;
	}
	from->say(from->ctx, digest, "Waiting", 0, 0);
	fd = from->fetch(from->ctx, i, err);
	if (fd < 0 || blobs_take(s, fd, digest, err) < 0)
		return -1;
	from->say(from->ctx, digest, "Download complete", 0, 0);
	return 0;
}

static int apply_layer(const struct managed_store *s, const struct managed_from *from, const char *digest, int root, struct err *err)
{
	int64_t size;
	OWN_FD int fd = blobs_open(s, digest, &size, err);
	struct part_reader in = { { part_read, NULL }, fd, from->cancel };

	if (fd < 0)
		return -1;
	from->say(from->ctx, digest, "Extracting", 0, size);
	if (unpack_files(&in.reader, root, "/", UNTAR_LAYER, NULL, NULL, err) < 0)
		return err_wrap(err, "error applying layer for digest %s", digest);
	from->say(from->ctx, digest, "Extracting", size, size);
	from->say(from->ctx, digest, "Complete", 0, 0);
	return 0;
}

static int put_same(const struct managed_store *s, const struct buf *b, const char *digest, char **ret, struct err *err)
{
	char got[DIGEST_TEXT];

	if (blobs_put(s, b->data, b->size, got, err) < 0)
		return -1;
	str_set(ret, digest);
	return streq(got, digest) ? 0 : err_set(err, ERR_INVALID, "what came is not %s", digest);
}

/* All of it into the folder. */
static int collect(const struct managed_store *s, struct managed *m, const char *tmp, const struct managed *old, const struct managed_from *from, struct err *err)
{
	OWN_FREE char *dir = in_plugins(s, tmp), *rootfs = xasprintf("%s/rootfs", dir);
	OWN_JSON json_t *config = take_config(m, from->config->data, from->config->size, NULL, err);
	OWN_FD int root = -1;

	if (!config)
		return -1;
	if (!managed_granted(config, from->granted))
		return err_set(err, ERR_INVALID, "incorrect privileges");
	if (old)
		managed_settings_carry(m, config, old);
	str_set(&m->reference, from->reference);
	if (fs_mkdir_anew(dir, 0700, err) < 0 || fs_mkdir_anew(rootfs, 0755, err) < 0 || (root = open_dir(rootfs, err)) < 0)
		return -1;
	for (size_t i = 0; i < from->layers; i++) {
		int64_t size;
		const char *digest = from->layer(from->ctx, i, &size);

		if (bring_layer(s, from, i, digest, err) < 0 || apply_layer(s, from, digest, root, err) < 0)
			return -1;
		strv_add(&m->layers, digest);
	}
	if (put_same(s, from->config, from->config_digest, &m->config_digest, err) < 0 ||
	    put_same(s, from->manifest, from->manifest_digest, &m->manifest, err) < 0)
		return -1;
	return settle(s, m, tmp, root, err);
}

int managed_install(struct managed_store *s, const char *name, const struct managed_from *from, struct err *err)
{
	OWN_FREE char *full = NULL, *tmp = NULL;
	struct managed *m;
	int rc;

	if (managed_check_name(s, name, &full, err) < 0)
		return -1;
	m = begin(s, NULL);
	m->name = xstrdup(full);
	tmp = xasprintf(".new-%s", m->id);
	rc = collect(s, m, tmp, NULL, from, err) < 0 || appear(s, m, tmp, err) < 0 ? drop(s, m, tmp) : add(s, m, ERR_INVALID, err);
	end(s);
	return rc;
}

/* --- another version --- */

/*
 * The folder that both sides see moves over first, then the folders change places. Where that ends between, upgrade_recover() moves it back. What is still mounted
 * there keeps it where it is.
 */
static int exchange(const struct managed_store *s, const struct managed *m, const char *tmp, struct err *err)
{
	OWN_FREE char *dir = in_plugins(s, tmp), *home = managed_home(s, m), *all = in_plugins(s, "");
	OWN_FREE char *from = xasprintf("%s/" SHARED, home), *to = xasprintf("%s/" SHARED, dir);

	if (rename(from, to) < 0 && errno != ENOENT)
		return err_errno(err, errno, "move %s", from);
	if (renameat2(AT_FDCWD, dir, AT_FDCWD, home, RENAME_EXCHANGE) < 0)
		return err_errno(err, errno, "exchange %s", home);
	return fs_sync_dir(all, err);
}

void upgrade_recover(int plugins, const char *name)
{
	OWN_FREE char *from = xasprintf("%s/" SHARED, name), *to = xasprintf("%s/" SHARED, name + strlen(".up-"));
	OWN_ERR struct err err = ERR_INIT;

	if (renameat2(plugins, from, plugins, to, RENAME_NOREPLACE) < 0 && errno != ENOENT)
		log_warn("%s stays: %s", from, strerror(errno));
	else if (fs_remove_unmounted(plugins, name, &err) < 0)
		log_warn("%s", err_text(&err)); /* the next start tries again */
}

/* What is told of it changes at once; name and id stay. */
static void become(struct managed_store *s, struct managed *m, struct managed *next)
{
	WITH_LOCK(&s->lock);
	struct managed old = *m;

	m->reference = next->reference;
	m->config = next->config;
	m->config_digest = next->config_digest;
	m->manifest = next->manifest;
	m->layers = next->layers;
	m->env = next->env;
	m->args = next->args;
	m->mounts = next->mounts;
	m->devices = next->devices;
	next->reference = old.reference;
	next->config = old.config;
	next->config_digest = old.config_digest;
	next->manifest = old.manifest;
	next->layers = old.layers;
	next->env = old.env;
	next->args = old.args;
	next->mounts = old.mounts;
	next->devices = old.devices;
}

static int upgrade(struct managed_store *s, struct managed *m, const struct managed_from *from, struct err *err)
{
	OWN_FREE char *tmp = xasprintf(".up-%s", m->id), *all = in_plugins(s, "");
	OWN_FD int fd = open_dir(all, err);
	struct managed *next;
	int rc = -1;

	if (fd < 0)
		return -1;

	if (m->enabled || m->pidfd >= 0)
		return err_set(err, ERR_CONFLICT, "plugin must be disabled before upgrading: plugin %s is enabled", m->name);
	next = begin(s, m->id);
	next->name = xstrdup(m->name);
	if (collect(s, next, tmp, m, from, err) == 0 && exchange(s, m, tmp, err) == 0) {
		become(s, m, next);
		rc = 0;
	}
	upgrade_recover(fd, tmp);
	managed_free(next);
	end(s);
	return rc;
}

int managed_upgrade(struct managed_store *s, const char *name, const struct managed_from *from, struct err *err)
{
	OWN_OPERATION struct operation op = { 0 };

	return managed_take(s, name, &op, err) < 0 ? -1 : upgrade(s, op.plugin, from, err);
}

/* --- to a registry --- */

void managed_parts_free(struct managed_part *v, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		free(v[i].digest);
		fd_close(&v[i].fd);
	}
	free(v);
}

ssize_t managed_parts(struct managed_store *s, const char *name, struct managed_part **ret, struct err *err)
{
	OWN_STRV struct strv digests = { 0 };
	struct managed_part *v;

	lock_take(&s->lock);
	const struct managed *m = managed_lookup(s, name, err);

	if (m && m->manifest && m->config_digest) {
		strv_add(&digests, m->manifest);
		for (size_t i = 0; i < m->layers.len; i++)
			strv_add(&digests, m->layers.v[i]);
		strv_add(&digests, m->config_digest);
	}
	lock_drop(&s->lock);
	if (!digests.len)
		return m ? err_set(err, ERR_NOT_FOUND, "plugin %s has no manifest", name) : -1;
	v = xcalloc(digests.len, sizeof(*v));
	for (size_t i = 0; i < digests.len; i++) {
		v[i].digest = xstrdup(digests.v[i]);
		v[i].fd = blobs_open(s, digests.v[i], &v[i].size, err);
		if (v[i].fd < 0) {
			managed_parts_free(v, i + 1);
			return -1;
		}
	}
	*ret = v;
	return (ssize_t)digests.len;
}
