/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* docker import: one layer, and a configuration made for it. */
#include "image/archive.h"

#include "base/clock.h"

static void config_done(struct image_config_full *c) { jdesc_clear(&image_config_full_desc, c); }

static void encode(struct jw *w, const struct platform *p, const struct image_config_full *config, const char *message,
	const char *diffid)
{
	const struct image_config_full none = { 0 };
	char now[CLOCK_TEXT];

	clock_rfc3339nano(clock_now(), now);
	jw_obj(w);
	jw_kstr(w, "architecture", p->architecture);
	if (!str_empty(message))
		jw_kstr(w, "comment", message);
	jw_kdesc(w, "config", &image_config_full_desc, config);
	jw_kdesc(w, "container_config", &image_config_full_desc, &none);
	jw_kstr(w, "created", now);
	jw_kstr(w, "docker_version", PACKAGE_VERSION);
	jw_karr(w, "history");
	jw_obj(w);
	jw_kstr(w, "created", now);
	if (!str_empty(message))
		jw_kstr(w, "comment", message);
	jw_obj_end(w);
	jw_arr_end(w);
	jw_kstr(w, "os", p->os);
	jw_kobj(w, "rootfs");
	jw_kstr(w, "type", "layers");
	jw_karr(w, "diff_ids");
	jw_str(w, diffid);
	jw_arr_end(w);
	jw_obj_end(w);
	if (p->variant)
		jw_kstr(w, "variant", p->variant);
	jw_obj_end(w);
}

int archive_import(struct image_store *s, struct reader *in, const char *message, const struct strv *changes,
	const char *platform,
	const struct cancel *c, char ret_id[72], struct err *err)
{
	CLEANUP(config_done) struct image_config_full config = { 0 };
	OWN_PLATFORM struct platform p = { 0 };
	OWN_FREE char *chain = NULL, *diffid = NULL;
	OWN_BUF struct buf text = { 0 };
	struct jw w;
	int rc;

	if (platform_parse(platform, &p, err) < 0)
		return -1;
	if (!streq(p.os, "linux"))
		return err_set(err, ERR_INVALID, "operating system is not supported");
	if (image_config_change(&config.c, changes, err) < 0)
		return -1;
	if (layer_register(image_store_layers(s), NULL, in, NULL, c, &chain, &diffid, err) < 0)
		return -1;
	jw_init(&w, &text);
	encode(&w, &p, &config, str_empty(message) ? "Imported from -" : message, diffid);
	rc = image_create(s, text.data, text.size, NULL, ret_id, err);
	/* the image holds the layer now, or nobody does */
	layer_unref(image_store_layers(s), chain, NULL, NULL);
	return rc;
}
