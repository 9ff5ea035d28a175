/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What Docker's own database knows of volumes: DATA-ROOT/volumes/metadata.db. It is read only. */
#include "base/bolt.h"
#include "base/id.h"
#include "base/log.h"
#include "volume/volume_i.h"

#define DATABASE_MAX (256u << 20)

struct taking { struct jlist *metas; size_t taken; };

static void take_map(const json_t *js, struct strmap *ret)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)js, key, value)
		if (json_is_string(value))
			strmap_set(ret, key, json_string_value(value));
}

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
	take_map(json_object_get(js, "Labels"), &m->labels);
	take_map(json_object_get(js, "Options"), &m->options);
	m->labels.set = json_is_object(json_object_get(js, "Labels"));
	t->taken++;
	return 0;
}

bool volume_docker_read(const char *data_root, struct jlist *metas)
{
	OWN_FREE char *path = xasprintf("%s/volumes/metadata.db", data_root);
	OWN_ERR struct err err = ERR_INIT;
	struct taking t = { metas, 0 };

	if (bolt_each_in(path, DATABASE_MAX, "volumes", take, &t, &err) < 0 && err.class != ERR_NOT_FOUND)
		log_warn("labels and options of Docker's volumes are not seen: %s", err_text(&err));
	if (t.taken)
		log_info("%zu volumes come from Docker's database", t.taken);
	return t.taken > 0;
}
