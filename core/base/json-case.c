/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <strings.h>

#include "base/json.h"
#include "base/str.h"

static const struct jfield *field_of(const struct jdesc *d, const char *key)
{
	for (size_t i = 0; i < d->len; i++)
		if (d->fields[i].key && strcasecmp(d->fields[i].key, key) == 0)
			return &d->fields[i];
	return NULL;
}

/* The place of a key is not kept: nobody reads objects of a client in their order. */
static void rename_keys(const struct jdesc *d, json_t *js)
{
	OWN_STRV struct strv other = { 0 };
	const char *key;
	json_t *item;

	json_object_foreach(js, key, item) {
		const struct jfield *f = field_of(d, key);

		if (f && !streq(f->key, key))
			strv_add(&other, key);
	}
	for (size_t i = 0; i < other.len; i++) {
		const struct jfield *f = field_of(d, other.v[i]);

		item = json_object_get(js, other.v[i]);
		if (json_object_get(js, f->key))
			continue; /* it is there twice: the decoder says so */
		json_object_set(js, f->key, item);
		json_object_del(js, other.v[i]);
	}
}

static void go_down(const struct jfield *f, json_t *js)
{
	const char *key;
	json_t *item;
	size_t i;

	switch (f->type) {
	case J_OBJ:
	case J_PTR:
	case J_RAW:
		if (f->sub)
			jdesc_any_case(f->sub, js);
		return;
	case J_LIST:
		json_array_foreach(js, i, item)
			jdesc_any_case(f->sub, item);
		return;
	case J_MAP:
		json_object_foreach(js, key, item)
			jdesc_any_case(f->sub, item);
		return;
	default:
		return;
	}
}

void jdesc_any_case(const struct jdesc *d, json_t *js)
{
	if (!json_is_object(js))
		return;
	rename_keys(d, js);
	for (size_t i = 0; i < d->len; i++) {
		json_t *item = d->fields[i].key ? json_object_get(js, d->fields[i].key) : NULL;

		if (item)
			go_down(&d->fields[i], item);
	}
}
