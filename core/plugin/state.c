/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is kept of a plugin in DATA-ROOT/plugins/ID/config.json: Docker's form, so that either engine finds the other's. */
#include <fcntl.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/id.h"
#include "plugin/managed_i.h"

struct named { char *name, *source, *path; };
struct settings { struct strv args, env; struct jlist devices, mounts; };
struct object { char *config, *name, *reference; bool enabled; struct settings settings; };
struct state { struct object plugin; char *config, *manifest; struct strv layers; };

JDESC_STATIC(named_desc, named, JFIELD(named, name, "Name", J_STR, 0), JFIELD(named, source, "Source", J_STR, 0), JFIELD(named, path, "Path", J_STR, 0));
JDESC_STATIC(settings_desc, settings,
	JFIELD(settings, args, "Args", J_STRV, 0), JFIELD(settings, env, "Env", J_STRV, 0), JFIELD_SUB(settings, devices, "Devices", J_LIST, 0, named_desc),
	JFIELD_SUB(settings, mounts, "Mounts", J_LIST, 0, named_desc));
JDESC_STATIC(object_desc, object,
	JFIELD(object, config, "Config", J_RAW, J_REQUIRED), JFIELD(object, enabled, "Enabled", J_BOOL, 0), JFIELD(object, name, "Name", J_STR, J_REQUIRED),
	JFIELD(object, reference, "PluginReference", J_STR, 0), JFIELD_SUB(object, settings, "Settings", J_OBJ, 0, settings_desc));
JDESC_STATIC(state_desc, state,
	JFIELD_SUB(state, plugin, "plugin", J_OBJ, J_REQUIRED, object_desc), JFIELD(state, config, "Config", J_STR, 0),
	JFIELD(state, layers, "Blobsums", J_STRV, 0), JFIELD(state, manifest, "Manifest", J_STR, 0));

static char *file_of(const struct managed_store *s, const char *dir)
{
	return xasprintf("%s/plugins/%s/config.json", s->data_root, dir);
}

void managed_free(struct managed *m)
{
	fd_close(&m->pidfd);
	free(m->name);
	free(m->reference);
	free(m->config);
	free(m->config_digest);
	free(m->manifest);
	strv_done(&m->layers);
	strv_done(&m->env);
	strv_done(&m->args);
	strmap_done(&m->mounts);
	strmap_done(&m->devices);
	free(m);
}

int managed_save(const struct managed_store *s, const struct managed *m, const char *dir, struct err *err)
{
	OWN_FREE char *file = file_of(s, dir);
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_key(&w, "plugin");
	managed_encode(m, &w);
	jw_kstr(&w, "Rootfs", "");
	jw_kstr(&w, "Config", m->config_digest);
	jw_kstrv(&w, "Blobsums", &m->layers);
	jw_kstr(&w, "Manifest", m->manifest);
	jw_kstr(&w, "SwarmServiceID", "");
	jw_obj_end(&w);
	return fs_write_atomic(AT_FDCWD, file, b.data, b.size, 0600, FS_SYNC, err);
}

static void take_names(const struct jlist *l, struct strmap *ret)
{
	for (size_t i = 0; i < l->len; i++) {
		const struct named *n = jlist_at(l, i, &named_desc);
		const char *value = n->source ? n->source : n->path;

		if (value)
			strmap_set(ret, n->name ? n->name : "", value);
	}
}

static bool is_digest(const char *s)
{
	return s && id_digest_hex(s);
}

/* Everything in it is where it belongs. */
static int take(struct managed *m, struct state *st, struct err *err)
{
	m->config = managed_form(st->plugin.config, strlen(st->plugin.config), NULL, err);
	if (!m->config)
		return -1;
	if (str_empty(st->plugin.name))
		return err_set(err, ERR_INVALID, "it has no name");
	for (size_t i = 0; i < st->layers.len; i++)
		if (!is_digest(st->layers.v[i]))
			return err_set(err, ERR_INVALID, "invalid digest: %.100s", st->layers.v[i]);
	m->name = STEAL(st->plugin.name);
	m->reference = STEAL(st->plugin.reference);
	m->enabled = st->plugin.enabled;
	m->config_digest = is_digest(st->config) ? STEAL(st->config) : NULL;
	m->manifest = is_digest(st->manifest) ? STEAL(st->manifest) : NULL;
	strv_copy(&m->layers, &st->layers);
	strv_copy(&m->env, &st->plugin.settings.env);
	strv_copy(&m->args, &st->plugin.settings.args);
	m->env.set = m->args.set = true;
	take_names(&st->plugin.settings.mounts, &m->mounts);
	take_names(&st->plugin.settings.devices, &m->devices);
	return 0;
}

/* Docker does not note the layers of one that it pulled, nor the configuration of one that it upgraded: the manifest names them. */
static void parts_of_manifest(const struct managed_store *s, struct managed *m)
{
	OWN_BUF struct buf text = { 0 };
	OWN_JSON json_t *js = NULL;
	const char *config;
	const json_t *one;
	size_t i;

	if (blobs_read(s, m->manifest, MANAGED_CONFIG_MAX, &text, NULL) < 0)
		return;
	js = json_read(text.data, text.size, NULL);
	config = json_string_value(json_object_get(json_object_get(js, "config"), "digest"));
	if (is_digest(config))
		str_set(&m->config_digest, config);
	json_array_foreach(json_object_get(js, "layers"), i, one) {
		const char *digest = json_string_value(json_object_get(one, "digest"));

		if (is_digest(digest))
			strv_add(&m->layers, digest);
	}
}

struct managed *managed_load(const struct managed_store *s, const char *id, struct err *err)
{
	OWN_FREE char *file = file_of(s, id);
	OWN_BUF struct buf text = { 0 };
	struct state st = { 0 };
	struct managed *m;
	int rc;

	if (fs_read(AT_FDCWD, file, MANAGED_CONFIG_MAX * 2, &text, err) < 0)
		return NULL;
	m = xcalloc(1, sizeof(*m));
	m->pidfd = -1;
	memcpy(m->id, id, sizeof(m->id));
	rc = jdesc_parse(&state_desc, text.data, text.size, &st, err);
	if (rc == 0)
		rc = take(m, &st, err);
	jdesc_clear(&state_desc, &st);
	if (rc == 0 && m->manifest && !m->layers.len)
		parts_of_manifest(s, m);
	if (rc == 0)
		return m;
	managed_free(m);
	return NULL;
}
