/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "image/archive-v1.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/json-raw.h"

#define MEMBERS_MAX 256

JDESC_STATIC(v1_desc, v1_config,
	JFIELD(v1_config, id, "id", J_STR, 0),
	JFIELD(v1_config, parent, "parent", J_STR, 0),
	JFIELD(v1_config, architecture, "architecture", J_STR, 0),
	JFIELD(v1_config, author, "author", J_STR, 0),
	JFIELD(v1_config, comment, "comment", J_STR, 0),
	JFIELD_SUB(v1_config, config, "config", J_PTR, 0, image_config_full_desc),
	JFIELD(v1_config, container, "container", J_STR, 0),
	JFIELD_SUB(v1_config, container_config, "container_config", J_OBJ, 0, image_config_full_desc),
	JFIELD(v1_config, created, "created", J_TIME, 0),
	JFIELD(v1_config, docker_version, "docker_version", J_STR, 0),
	JFIELD(v1_config, os, "os", J_STR, 0),
	JFIELD(v1_config, variant, "variant", J_STR, 0));

void v1_config_done(struct v1_config *c)
{
	strmap_done(&c->members);
	jdesc_clear(&v1_desc, c);
}

int v1_config_parse(const char *text, size_t size, struct v1_config *ret, struct err *err)
{
	*ret = (struct v1_config){ .created = CLOCK_ZERO };
	if (jdesc_parse(&v1_desc, text, size, ret, err) < 0)
		return -1;
	return json_raw_members(text, size, MEMBERS_MAX, &ret->members, err);
}

void v1_config_history(const struct v1_config *c, struct buf *ret)
{
	OWN_FREE char *command = strv_join(&c->container_config.c.cmd, " ");
	struct jw w;

	jw_init(&w, ret);
	jw_obj(&w);
	jw_ktime(&w, "created", c->created);
	if (!str_empty(c->author))
		jw_kstr(&w, "author", c->author);
	if (!str_empty(command))
		jw_kstr(&w, "created_by", command);
	if (!str_empty(c->comment))
		jw_kstr(&w, "comment", c->comment);
	jw_obj_end(&w);
}

/* Docker before 1.8.3 left things in a configuration that are not known: there only what is known is taken over. */
static bool is_older(const char *version)
{
	static const int first[] = { 1, 8, 3 };
	OWN_STRV struct strv parts = { 0 };

	strv_split(&parts, version ? version : "", ".");
	for (size_t i = 0; i < ARRAY_LEN(first); i++) {
		int64_t n = 0;

		/* what is no number counts as 0 */
		if (i < parts.len && !str_to_i64(parts.v[i], &n))
			n = 0;
		if (n != first[i])
			return n < first[i];
	}
	return false;
}

static void set_text(struct strmap *m, const char *key, const char *value)
{
	OWN_BUF struct buf b = { 0 };

	if (str_empty(value))
		return;
	jw_quote(&b, value);
	strmap_set(m, key, b.data);
}

static void set_config(struct strmap *m, const char *key, const struct image_config_full *config)
{
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jdesc_encode(&image_config_full_desc, config, &w);
	strmap_set(m, key, b.data);
}

static void known_members(const struct v1_config *c, struct strmap *ret)
{
	char created[CLOCK_TEXT];

	set_text(ret, "architecture", c->architecture);
	set_text(ret, "author", c->author);
	set_text(ret, "comment", c->comment);
	if (c->config)
		set_config(ret, "config", c->config);
	set_text(ret, "container", c->container);
	set_config(ret, "container_config", &c->container_config);
	set_text(ret, "created", clock_rfc3339nano(c->created, created));
	set_text(ret, "docker_version", c->docker_version);
	set_text(ret, "os", c->os);
	set_text(ret, "variant", c->variant);
}

void v1_config_encode(const struct v1_config *c, const struct strv *diff_ids, const char *history, struct buf *ret)
{
	static const char *const dropped[] = { "id", "parent", "Size", "parent_id", "layer_id", "throwaway" };
	OWN_STRMAP struct strmap m = { 0 };
	OWN_FREE char *rootfs = NULL, *list = xasprintf("[%s]", history), *diffs = strv_join(diff_ids, "\",\"");
	struct jw w;

	if (is_older(c->docker_version))
		known_members(c, &m);
	else
		strmap_copy(&m, &c->members);
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++)
		strmap_del(&m, dropped[i]);
	rootfs = xasprintf("{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}", diffs);
	strmap_set(&m, "rootfs", rootfs);
	strmap_set(&m, "history", list);
	strmap_sort(&m);
	jw_init(&w, ret);
	jw_obj(&w);
	for (size_t i = 0; i < m.len; i++)
		jw_kraw(&w, m.v[i].key, m.v[i].value);
	jw_obj_end(&w);
}
