/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Damaged layers: kept in the store, so that what stands on them stays listed and can be removed, and put right from what
 * else tells: configurations of images (diff, parent: their digest is the layer's name), the tar-split (size, and by its
 * digests the driver's layer), the driver (what a container's layer stands on).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/damage.h"
#include "base/fs.h"
#include "base/log.h"
#include "image/inflate.h"
#include "image/layer-priv.h"
#include "image/tarsplit.h"

#define GZIP_MIN   18   /* header and trailer */
#define GZIP_RATIO 1032 /* what deflate can reach */

const char *layer_trouble(const struct layer *l)
{
	for (; l; l = l->parent)
		if (l->damaged)
			return l->damaged;
	return NULL;
}

void layer_found(struct layer_store *s, struct layer *l)
{
	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct layer *on = s->layers[i]; on; on = on->next) {
			if (on->parent || on == l || !streq(on->parent_chain, l->chain))
				continue;
			on->parent = l;
			l->refs++;
			if (on->parent_missing) {
				free(STEAL(on->damaged));
				on->parent_missing = false;
				damage_forget("layer", on->chain);
			}
		}
}

static struct layer *find(struct layer_store *s, const char *chain)
{
	WITH_LOCK(&s->lock);
	return layer_find(s, chain);
}

static void repaired(struct layer *l, const char *how)
{
	damage_note("layer", l->chain, DAMAGE_REPAIRED, "layer %.19s was damaged (%s) and is repaired: %s", l->chain,
		l->damaged ? l->damaged : "its files", how);
}

/* Writes what is known of a file; it counts also where it cannot be written. */
static void put_back(struct layer_store *s, struct layer *l, const char *file, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;

	if (layer_db_put_back(s, s->sha256_fd, id_digest_hex(l->chain), file, text, &err) < 0)
		log_warn("layer %.19s: %s", l->chain, err_text(&err));
}

/* Nothing is missing any more that the store has in files. */
static void look_again(struct layer *l)
{
	if (l->damaged && !l->parent_missing && *l->diffid && *l->cache_id && l->size >= 0)
		free(STEAL(l->damaged));
}

void layer_teach(struct layer_store *s, const char *chain, const char *parent, const char *diffid)
{
	struct layer *l = find(s, chain);

	if (!l || *l->diffid)
		return;
	snprintf(l->diffid, sizeof(l->diffid), "%s", diffid);
	snprintf(l->parent_chain, sizeof(l->parent_chain), "%s", parent ? parent : "");
	put_back(s, l, "diff", diffid);
	if (parent)
		put_back(s, l, "parent", parent);
	repaired(l, "an image that has it tells what it is");
	lock_take(&s->lock);
	l->parent = parent ? layer_find(s, parent) : NULL;
	if (l->parent)
		l->parent->refs++;
	look_again(l);
	lock_drop(&s->lock);
}

static int open_split(struct layer_store *s, const struct layer *l)
{
	OWN_FREE char *path = xasprintf("%s/tar-split.json.gz", id_digest_hex(l->chain));

	return openat(s->sha256_fd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static void find_size(struct layer_store *s, struct layer *l)
{
	OWN_READER struct reader *json = NULL;
	OWN_FD int fd = open_split(s, l);
	struct fd_reader in;
	char text[24];
	int64_t size;

	fd_reader_init(&in, fd);
	if (fd < 0 || !(json = inflate_new(&in.reader, NULL, NULL)) || (size = tarsplit_content_size(json, NULL)) < 0)
		return;
	l->size = size;
	snprintf(text, sizeof(text), "%" PRId64, size);
	put_back(s, l, "size", text);
	repaired(l, "its size was counted again");
	look_again(l);
}

/* Among the driver's layers that nobody has, the one with the content. */
static void find_cache_id(struct layer_store *s, struct layer *l)
{
	OWN_FREE char *entry = xasprintf("%s/sha256/%s", s->dir, id_digest_hex(l->chain));
	OWN_FD int dir = open(entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	OWN_STRV struct strv ids = { 0 };

	if (dir < 0 || !*l->diffid || graph_list(s->graph, &ids, NULL) < 0)
		return;
	for (size_t i = 0; i < ids.len && !*l->cache_id; i++) {
		if (!id_is_hex64(ids.v[i]) || layer_db_owned(s, ids.v[i]) || !layer_verify(s, l, dir, ids.v[i], NULL))
			continue;
		memcpy(l->cache_id, ids.v[i], ID_HEX + 1);
		put_back(s, l, "cache-id", l->cache_id);
		repaired(l, "its data was found by its content");
		look_again(l);
	}
}

/* A cut or overwritten archive mostly shows at its ends; all of it is read by dockerd --check. */
static void check_split(struct layer_store *s, struct layer *l)
{
	OWN_FD int fd = open_split(s, l);
	unsigned char head[2], tail[4];
	struct stat st;
	const char *why = NULL;

	if (fd < 0 || fstat(fd, &st) < 0)
		why = errno == ENOENT ? "is missing" : "cannot be read";
	else if (!S_ISREG(st.st_mode))
		why = "is no file";
	else if (st.st_size < GZIP_MIN || pread(fd, head, 2, 0) != 2 || head[0] != 0x1f || head[1] != 0x8b)
		why = "is damaged";
	else if (pread(fd, tail, 4, st.st_size - 4) != 4 ||
	    (tail[0] | tail[1] << 8 | tail[2] << 16 | (int64_t)tail[3] << 24) > st.st_size * GZIP_RATIO)
		why = "is cut";
	if (why)
		damage_note("layer", l->chain, DAMAGE_LOST,
			"layer %.19s is damaged: its file tar-split.json.gz %s; images with it run, and cannot be saved or pushed", l->chain, why);
}

static void check_data(struct layer_store *s, struct layer *l)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *why = NULL;
	int rc;

	if (!*l->cache_id || (*l->parent_chain && !(l->parent && *l->parent->cache_id)))
		return;
	rc = graph_check(s->graph, l->cache_id, l->parent ? l->parent->cache_id : NULL, &why, NULL, &err);
	if (rc > 0)
		damage_note("layer", l->chain, DAMAGE_REPAIRED, "layer %.19s was damaged (%s) and is repaired", l->chain, why ? why : "");
	else if (rc < 0 && !l->damaged)
		l->damaged = xstrdup(err_text(&err));
}

/* Parents first: what is put right in a layer starts from what it stands on. */
static void settle(struct layer_store *s, struct layer *l)
{
	if (l->settled)
		return;
	l->settled = true;
	if (l->parent)
		settle(s, l->parent);
	if (l->size < 0)
		find_size(s, l);
	if (!*l->cache_id)
		find_cache_id(s, l);
	check_data(s, l);
	check_split(s, l);
	if (l->damaged)
		damage_note("layer", l->chain, DAMAGE_LOST, "layer %.19s is damaged: %s", l->chain, l->damaged);
}

static void mount_put_back(struct layer_store *s, struct rwlayer *m, const char *file, const char *text)
{
	OWN_ERR struct err err = ERR_INIT;

	if (layer_db_put_back(s, s->mounts_fd, m->container, file, text, &err) < 0)
		log_warn("container %s: %s", m->container, err_text(&err));
}

/* Each of the two ids gives the other, where the driver has such a layer. */
static bool find_ids(struct layer_store *s, struct rwlayer *m)
{
	char id[sizeof(m->init_id)];

	/* the layers of a new one have its name; a power cut may have left its files empty */
	if (!*m->mount_id && !*m->init_id && id_is_hex64(m->container))
		snprintf(m->init_id, sizeof(m->init_id), "%s" INIT_SUFFIX, m->container);
	if (!*m->mount_id && *m->init_id) {
		snprintf(id, sizeof(id), "%.*s", ID_HEX, m->init_id);
		if (!id_is_hex64(id) || !graph_exists(s->graph, id))
			return false;
		memcpy(m->mount_id, id, ID_HEX + 1);
		mount_put_back(s, m, "mount-id", m->mount_id);
		return true;
	}
	snprintf(id, sizeof(id), "%s" INIT_SUFFIX, m->mount_id);
	if (!*m->mount_id || *m->init_id || !graph_exists(s->graph, id))
		return false;
	memcpy(m->init_id, id, sizeof(id));
	mount_put_back(s, m, "init-id", m->init_id);
	return true;
}

static struct layer *by_cache_id(struct layer_store *s, const char *id)
{
	WITH_LOCK(&s->lock);

	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct layer *l = s->layers[i]; l; l = l->next)
			if (*l->cache_id && streq(l->cache_id, id))
				return l;
	return NULL;
}

/* The driver knows what the lowest of a container's layers stands on. */
static bool find_parent(struct layer_store *s, struct rwlayer *m, const char *below)
{
	struct layer *l = m->parent || !below ? NULL : by_cache_id(s, below);

	if (!l)
		return false;
	m->parent = l;
	l->refs++;
	mount_put_back(s, m, "parent", l->chain);
	return true;
}

static int check_mount(struct layer_store *s, struct rwlayer *m, char **ret_why, char **ret_below, struct err *err)
{
	const char *parent = m->parent && *m->parent->cache_id ? m->parent->cache_id : NULL;
	OWN_FREE char *why = NULL;
	int init = 0, rc;

	if (m->shift_bad)
		return err_set(err, ERR_INTERNAL, "%s", m->shift_bad);
	if (*m->init_id)
		init = graph_check(s->graph, m->init_id, parent, ret_why, ret_below, err);
	if (init < 0)
		return -1;
	rc = graph_check(s->graph, m->mount_id, *m->init_id ? m->init_id : parent, &why, *m->init_id ? NULL : ret_below, err);
	if (rc > 0 && !*ret_why)
		*ret_why = STEAL(why);
	return rc < 0 ? -1 : init | rc;
}

static void settle_mount(struct layer_store *s, struct rwlayer *m)
{
	OWN_FREE char *before = STEAL(m->damaged), *why = NULL, *below = NULL;
	OWN_ERR struct err err = ERR_INIT;
	bool fixed = find_ids(s, m);
	int rc;

	if (!*m->mount_id) {
		m->damaged = before ? STEAL(before) : xstrdup("its mount-id is lost");
		return;
	}
	rc = check_mount(s, m, &why, &below, &err);
	if (rc < 0) {
		m->damaged = xstrdup(err_text(&err));
		return;
	}
	fixed |= find_parent(s, m, below);
	m->found_state = rc > 0 || fixed ? DAMAGE_REPAIRED : DAMAGE_LOST;
	if (m->found_state == DAMAGE_REPAIRED)
		m->found = xasprintf("the layer of container %.12s was damaged (%s) and is repaired", m->container,
			why ? why : before ? before : "one of its files was missing");
	else if (before)
		m->found = xasprintf("the layer of container %.12s: %s", m->container, before);
}

void layer_settle(struct layer_store *s)
{
	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct layer *l = s->layers[i]; l; l = l->next)
			settle(s, l);
	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct rwlayer *m = s->mounts[i]; m; m = m->next)
			settle_mount(s, m);
}

char *layer_claim(struct layer_store *s, const char *chain, char **ret_why)
{
	WITH_LOCK(&s->lock);
	struct layer *l = layer_find(s, chain);
	const char *trouble = l ? layer_trouble(l) : "it is missing";

	if (trouble && !*ret_why)
		*ret_why = xasprintf("its layer %.19s is damaged: %s", chain, trouble);
	if (!l)
		return NULL;
	l->refs++;
	l->doomed = false;
	return xstrdup(chain);
}

char *rwlayer_damage(struct layer_store *s, const char *container_id)
{
	WITH_LOCK(&s->lock);
	struct rwlayer *m = rwlayer_find(s, container_id);

	if (!m)
		return xstrdup("its layer is not in the layer store");
	return m->damaged ? xasprintf("its layer is damaged: %s", m->damaged) : NULL;
}

void rwlayer_tell(struct layer_store *s, const char *container_id)
{
	WITH_LOCK(&s->lock);
	struct rwlayer *m = rwlayer_find(s, container_id);

	if (m && m->found)
		damage_note("container", container_id, m->found_state, "%s", m->found);
	if (m)
		str_set(&m->found, NULL);
}

void rwlayer_list(struct layer_store *s, struct strv *ret)
{
	WITH_LOCK(&s->lock);

	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct rwlayer *m = s->mounts[i]; m; m = m->next)
			strv_add(ret, m->container);
}

size_t layer_check_all(struct layer_store *s)
{
	size_t n = 0;

	for (size_t i = 0; i < LAYER_BUCKETS; i++)
		for (struct layer *l = s->layers[i]; l; l = l->next) {
			OWN_FREE char *entry = xasprintf("%s/sha256/%s", s->dir, id_digest_hex(l->chain));
			OWN_FD int dir = open(entry, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			OWN_ERR struct err err = ERR_INIT;

			n++;
			if (!l->refs && !damage_count(DAMAGE_LOST))
				damage_note("layer", l->chain, DAMAGE_ORPHAN, "layer %.19s belongs to no image", l->chain);
			if (!l->damaged && dir >= 0 && !layer_verify(s, l, dir, l->cache_id, &err))
				damage_note("layer", l->chain, DAMAGE_LOST, "layer %.19s cannot be put together again: %s", l->chain, err_text(&err));
		}
	return n;
}

void layer_orphans(struct layer_store *s, bool remove)
{
	OWN_STRV struct strv ids = { 0 };

	if (graph_list(s->graph, &ids, NULL) < 0)
		return;
	for (size_t i = 0; i < ids.len; i++) {
		OWN_ERR struct err err = ERR_INIT;

		if (layer_db_owned(s, ids.v[i]))
			continue;
		if (!remove || graph_remove(s->graph, ids.v[i], &err) < 0)
			damage_note("layer", ids.v[i], DAMAGE_ORPHAN, "%s: layer %s belongs to nothing%s%s", graph_name(s->graph), ids.v[i],
				err.msg ? ": " : "", err_text(&err));
		else
			damage_note("layer", ids.v[i], DAMAGE_SWEPT, "%s: layer %s belonged to nothing and is removed", graph_name(s->graph), ids.v[i]);
	}
}
