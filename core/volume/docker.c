/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Docker's own database knows of volumes: DATA-ROOT/volumes/metadata.db. */
#include "base/bolt.h"
#include "base/id.h"
#include "base/log.h"
#include "volume/volume_i.h"

#define DATABASE_MAX (256u << 20)
#define BUCKET       "volumes"

struct taking { struct jlist *metas; size_t taken; };

static bool known(const struct jlist *metas, const char *name)
{
	for (size_t i = 0; i < metas->len; i++)
		if (streq(((struct volume_meta *)jlist_at(metas, i, &volume_meta_desc))->name, name))
			return true;
	return false;
}

static int take(void *ctx, const char *key, size_t key_size, const char *value, size_t size, struct err *err)
{
	struct taking *t = ctx;
	OWN_ERR struct err why = ERR_INIT;
	OWN_JSON json_t *js = json_read(value, size, &why);
	const char *name = json_string_value(json_object_get(js, "Name")), *driver = json_string_value(json_object_get(js, "Driver"));
	struct volume_meta *m;

	(void)err;
	if (!name || !id_is_name(name, 1)) {
		log_warn("volume %.*s of Docker's database is passed over: %s", (int)(key_size < 64 ? key_size : 64), key,
			js ? "it has no name" : err_text(&why));
		return 0;
	}
	if (known(t->metas, name))
		return 0;
	m = jlist_add(t->metas, &volume_meta_desc);
	m->name = xstrdup(name);
	m->driver = xstrdup(str_empty(driver) ? VOLUME_DRIVER_DEFAULT : driver);
	json_strings(json_object_get(js, "Labels"), &m->labels);
	json_strings(json_object_get(js, "Options"), &m->options);
	m->labels.set = json_is_object(json_object_get(js, "Labels"));
	t->taken++;
	return 0;
}

static char *database(const char *data_root)
{
	return xasprintf("%s/volumes/metadata.db", data_root);
}

bool volume_docker_read(const char *data_root, struct jlist *metas)
{
	OWN_FREE char *path = database(data_root);
	OWN_ERR struct err err = ERR_INIT;
	struct taking t = { metas, 0 };

	if (bolt_each_in(path, DATABASE_MAX, BUCKET, take, &t, &err) < 0 && err.class != ERR_NOT_FOUND)
		log_warn("labels and options of Docker's volumes are not seen: %s", err_text(&err));
	if (t.taken)
		log_info("%zu volumes come from Docker's database", t.taken);
	return t.taken > 0;
}

static void add(struct bolt_pairs *p, const struct volume *v)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "Name", v->name);
	jw_kstr(&w, "Driver", v->driver);
	jw_kstrmap(&w, "Labels", &v->labels);
	jw_kstrmap(&w, "Options", &v->options);
	jw_obj_end(&w);
	bolt_pairs_add(p, v->name, strlen(v->name), b.data, b.size);
}

void volume_docker_write(const char *data_root, struct volume *const *v, size_t len)
{
	OWN_FREE char *path = database(data_root);
	OWN_BOLT_PAIRS struct bolt_pairs p = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	int rc;

	for (size_t i = 0; i < len; i++)
		add(&p, v[i]);
	rc = bolt_update(path, DATABASE_MAX, BUCKET, &p, &err);
	if (rc < 0 && err.class == ERR_NOT_FOUND) {
		err_done(&err);
		rc = bolt_make(path, BUCKET, &p, &err);
	}
	if (rc < 0)
		log_warn("another engine will not see labels and options of volumes made here: %s", err_text(&err));
}
