/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The managed plugins that there are. DATA-ROOT/plugins/ID holds rootfs/ and config.json (state.c), perhaps propagated-mount/. It appears by one rename, and goes
 * by one. Long work takes a plugin's operation: busy is set and the lock dropped. How one is made: install.c.
 */
#include "plugin/managed.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "image/reference.h"
#include "plugin/managed_i.h"

#define START_TIMEOUT 30
#define BOOT_TIMEOUT 5 /* the daemon's own start waits */
#define NAME_SIZE_MAX 200

static void load_all(struct managed_store *s, const char *dir)
{
	OWN_DIR DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		OWN_ERR struct err err = ERR_INIT;
		struct managed *m;

		if (str_has_prefix(e->d_name, ".up-"))
			upgrade_recover(dirfd(d), e->d_name);
		if (str_has_prefix(e->d_name, ".new-") || str_has_prefix(e->d_name, ".old-"))
			fs_remove_tree(dirfd(d), e->d_name, NULL);
		if (!id_is_hex64(e->d_name))
			continue;
		m = managed_load(s, e->d_name, &err);
		if (!m) {
			s->damaged = true;
			log_warn("plugin %s is passed over: %s", e->d_name, err_text(&err));
			continue;
		}
		m->next = s->all;
		s->all = m;
	}
}

struct managed_store *managed_open(const char *data_root, const char *exec_root, struct spawner *sp, const char *runtime, struct err *err)
{
	OWN_FREE char *dir = xasprintf("%s/plugins", data_root);
	struct managed_store *s;

	if (fs_mkdir(dir, 0700, err) < 0)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->data_root = xstrdup(data_root);
	s->exec_root = xstrdup(exec_root);
	s->runtime = xstrdup(runtime ? runtime : "");
	s->spawner = sp;
	s->metrics_fd = s->wake = -1;
	lock_init(&s->lock, LOCK_MAP);
	lock_cond_init(&s->idle);
	load_all(s, dir);
	if (blobs_setup(s, err) < 0) {
		managed_close(s);
		return NULL;
	}
	WITH_LOCK(&s->lock);
	managed_sweep(s);
	return s;
}

struct starting { struct managed_store *store; struct managed *plugin; pthread_t thread; bool begun; };

static void *start_one(void *arg)
{
	struct starting *st = arg;
	OWN_ERR struct err err = ERR_INIT;

	if (managed_start(st->store, st->plugin, BOOT_TIMEOUT, &err) < 0)
		log_error("plugin %s did not start: %s", st->plugin->name, err_text(&err));
	return NULL;
}

void managed_start_all(struct managed_store *s)
{
	OWN_FREE struct starting *v = NULL;
	size_t len = 0;

	for (struct managed *m = s->all; m && !str_empty(s->runtime); m = m->next) {
		if (!m->enabled || m->pidfd >= 0)
			continue;
		v = xrealloc(v, (len + 1) * sizeof(*v));
		v[len++] = (struct starting){ .store = s, .plugin = m };
	}
	for (size_t i = 0; i < len; i++)
		v[i].begun = pthread_create(&v[i].thread, NULL, start_one, &v[i]) == 0;
	for (size_t i = 0; i < len; i++)
		if (v[i].begun)
			pthread_join(v[i].thread, NULL);
}

void managed_close(struct managed_store *s)
{
	if (!s)
		return;
	managed_unwatch(s);
	for (struct managed *m = s->all, *next; m; m = next) {
		next = m->next;
		if (m->pidfd >= 0)
			managed_stop(s, m);
		managed_free(m);
	}
	fd_close(&s->metrics_fd);
	pthread_cond_destroy(&s->idle);
	lock_done(&s->lock);
	free(s->data_root);
	free(s->exec_root);
	free(s->runtime);
	free(s);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct managed_view *)a)->name, ((const struct managed_view *)b)->name);
}

static void add_types(const struct managed *m, struct strv *ret)
{
	OWN_JSON json_t *config = managed_config(m);
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(config, "Interface"), "Types"), i, one)
		if (json_is_string(one))
			strv_add(ret, json_string_value(one));
}

size_t managed_list(struct managed_store *s, struct managed_view **ret)
{
	size_t len = 0;

	WITH_LOCK(&s->lock);
	*ret = NULL;
	for (const struct managed *m = s->all; m; m = m->next) {
		struct buf b = { 0 };
		struct jw w;

		jw_init(&w, &b);
		managed_encode(m, &w);
		*ret = xrealloc(*ret, (len + 1) * sizeof(**ret));
		(*ret)[len] = (struct managed_view){ xstrdup(m->id), xstrdup(m->name), buf_steal(&b), m->enabled, { 0 } };
		add_types(m, &(*ret)[len++].types);
	}
	if (len)
		qsort(*ret, len, sizeof(**ret), by_name);
	return len;
}

void managed_views_free(struct managed_view *v, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		free(v[i].id);
		free(v[i].name);
		free(v[i].text);
		strv_done(&v[i].types);
	}
	free(v);
}

char *managed_full_name(const char *name, struct err *err)
{
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_FREE char *full = NULL;

	if (reference_parse(name, &ref, err) < 0) {
		err_wrap(err, "failed to parse reference %.100s", name);
		return NULL;
	}
	if (ref.digest) {
		err_set(err, ERR_INVALID, "canonical references are not permitted");
		return NULL;
	}
	full = reference_familiar(&ref);
	if (strlen(full) > NAME_SIZE_MAX) {
		err_set(err, ERR_INVALID, "a plugin's name has at most %d bytes", NAME_SIZE_MAX);
		return NULL;
	}
	return STEAL(full);
}

struct managed *managed_named(struct managed_store *s, const char *full)
{
	for (struct managed *m = s->all; m; m = m->next)
		if (streq(m->name, full))
			return m;
	return NULL;
}

struct managed *managed_lookup(struct managed_store *s, const char *name, struct err *err)
{
	OWN_FREE char *full = managed_full_name(name, NULL);
	struct managed *found = full ? managed_named(s, full) : NULL;

	for (struct managed *m = s->all; m && !found; m = m->next)
		if (streq(m->id, name))
			found = m;
	if (found)
		return found;
	for (struct managed *m = s->all; m && id_is_hex_prefix(name); m = m->next)
		if (str_has_prefix(m->id, name)) {
			if (found) {
				err_set(err, ERR_INVALID, "multiple plugins found for \"%s\"", name);
				return NULL;
			}
			found = m;
		}
	if (!found)
		err_set(err, ERR_NOT_FOUND, "plugin \"%s\" not found", name);
	return found;
}

/* Has a plugin this part? Under the lock. */
static bool used(const struct managed_store *s, const char *digest)
{
	for (const struct managed *m = s->all; m; m = m->next)
		if ((m->config_digest && streq(m->config_digest, digest)) || (m->manifest && streq(m->manifest, digest)) || strv_contains(&m->layers, digest))
			return true;
	return false;
}

void managed_sweep(struct managed_store *s)
{
	if (!s->installing && !s->damaged)
		blobs_sweep(s, used);
}

int managed_take(struct managed_store *s, const char *name, struct operation *ret, struct err *err)
{
	WITH_LOCK(&s->lock);
	struct managed *m;

	while ((m = managed_lookup(s, name, err)) && m->busy) {
		atomic_store(&m->awaited, true);
		lock_wait(&s->lock, &s->idle, -1);
	}
	if (!m)
		return -1;
	m->busy = true;
	*ret = (struct operation){ s, m };
	return 0;
}

void managed_give_back(struct operation *op)
{
	if (!op->plugin)
		return;
	WITH_LOCK(&op->store->lock);
	op->plugin->busy = false;
	pthread_cond_broadcast(&op->store->idle);
	managed_changed(op->store, op->plugin);
}

int managed_find(struct managed_store *s, const char *name, char **ret_id, char **ret_name, bool *ret_enabled, struct err *err)
{
	WITH_LOCK(&s->lock);
	const struct managed *m = managed_lookup(s, name, err);

	if (!m)
		return -1;
	*ret_id = xstrdup(m->id);
	*ret_name = xstrdup(m->name);
	*ret_enabled = m->enabled;
	return 0;
}

/* The owner of the operation alone writes it; lists read it under the lock. */
static void set_enabled(struct managed_store *s, struct managed *m, bool on)
{
	WITH_LOCK(&s->lock);

	m->enabled = on;
	m->retry_at = 0;
	m->deaths = 0;
}

static int enable(struct managed_store *s, struct managed *m, int timeout, struct err *err)
{
	if (m->enabled && m->pidfd >= 0)
		return err_set(err, ERR_CONFLICT, "plugin already enabled: plugin %s is enabled", m->name);
	if (str_empty(s->runtime))
		return err_set(err, ERR_UNAVAILABLE, "there is no OCI runtime to run plugins with");
	if (managed_start(s, m, timeout > 0 ? timeout : START_TIMEOUT, err) < 0)
		return -1;
	set_enabled(s, m, true);
	return managed_save(s, m, m->id, err);
}

int managed_enable(struct managed_store *s, const char *name, int timeout, struct err *err)
{
	OWN_OPERATION struct operation op = { 0 };

	return managed_take(s, name, &op, err) < 0 ? -1 : enable(s, op.plugin, timeout, err);
}

int managed_disable(struct managed_store *s, const char *name, struct err *err)
{
	OWN_OPERATION struct operation op = { 0 };
	struct managed *m;

	if (managed_take(s, name, &op, err) < 0)
		return -1;
	m = op.plugin;
	if (!m->enabled)
		return err_set(err, ERR_CONFLICT, "plugin is already disabled: plugin %s found but disabled", m->name);
	managed_stop(s, m);
	set_enabled(s, m, false);
	return managed_save(s, m, m->id, err);
}

static int set_all(struct managed_store *s, struct managed *m, const struct strv *settings, struct err *err)
{
	OWN_JSON json_t *config = managed_config(m);

	WITH_LOCK(&s->lock);
	for (size_t i = 0; i < settings->len; i++)
		if (managed_settings_set(m, config, settings->v[i], err) < 0)
			return -1;
	return 0;
}

int managed_set(struct managed_store *s, const char *name, const struct strv *settings, struct err *err)
{
	OWN_OPERATION struct operation op = { 0 };

	if (managed_take(s, name, &op, err) < 0)
		return -1;
	if (op.plugin->enabled)
		return err_set(err, ERR_CONFLICT, "cannot set on an active plugin, disable plugin before setting");
	return set_all(s, op.plugin, settings, err) < 0 ? -1 : managed_save(s, op.plugin, op.plugin->id, err);
}

/* Out of the list, with its parts; whoever waits for it looks again. */
static void forget(struct operation *op)
{
	struct managed_store *s = op->store;
	struct managed *m = STEAL(op->plugin), **p = &s->all;

	WITH_LOCK(&s->lock);
	while (*p != m)
		p = &(*p)->next;
	*p = m->next;
	managed_free(m);
	managed_sweep(s);
	pthread_cond_broadcast(&s->idle);
}

int managed_remove(struct managed_store *s, const char *name, bool force, struct err *err)
{
	OWN_FREE char *old = NULL, *home = NULL;
	OWN_OPERATION struct operation op = { 0 };
	OWN_ERR struct err late = ERR_INIT;
	struct managed *m;

	if (managed_take(s, name, &op, err) < 0)
		return -1;
	m = op.plugin;
	home = managed_home(s, m);
	old = xasprintf("%s/plugins/.old-%s", s->data_root, m->id);
	if (m->enabled && !force)
		return err_set(err, ERR_CONFLICT, "plugin %s is enabled", m->name);
	if (m->pidfd >= 0)
		managed_stop(s, m);
	if (rename(home, old) < 0 && errno != ENOENT)
		return err_errno(err, errno, "remove %s", home);
	if (fs_remove_unmounted(AT_FDCWD, old, &late) < 0)
		log_warn("%s", err_text(&late)); /* the next start sweeps it */
	forget(&op);
	return 0;
}
