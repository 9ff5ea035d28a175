/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of the configuration room: what its files share. Others include config.h. */
#ifndef CORE_CONFIG_VALUE_H
#define CORE_CONFIG_VALUE_H

#include "config/config.h"

/* The C type behind a kind. */
enum opt_shape { SHAPE_BOOL, SHAPE_INT, SHAPE_STR, SHAPE_STRV, SHAPE_STRMAP };
enum opt_shape opt_shape(enum opt_id id);
void opt_clear(struct config *cfg, enum opt_id id);
/* The value and who set it. */
void opt_copy(struct config *dst, const struct config *src, enum opt_id id);

bool config_size(const char *s, int64_t *ret);  /* "64m", "1.5GiB" */
bool config_is_ip(const char *s);
bool config_is_cidr(const char *s);

/* What flags and files check alike (text.c). */
struct config_pool { char base[64]; int64_t size; };
int config_pool_pair(void *pool, const char *key, const char *value, struct err *err);
int config_pool_add(struct config *cfg, enum opt_id id, const struct config_pool *pool, struct err *err);
int config_map_set(struct config *cfg, enum opt_id id, const char *key, const char *value, struct err *err);
int config_nri_pair(void *map, const char *key, const char *value, struct err *err);
int config_runtime_set(struct config *cfg, enum opt_id id, const char *name, const char *path, struct err *err);
int config_ulimit_set(struct config *cfg, enum opt_id id, const char *name, int64_t soft, int64_t hard, struct err *err);

/* -H: Docker's forms and texts. */
int config_check_host(const char *host, struct err *err);
/* The full form: "" is the default, unix:// and tcp:// get path, host and port. Owned by the caller. */
char *config_full_host(const char *host, bool tls);

/* A name of a removed option: the flag parser and daemon.json ask here. */
enum legacy_act { LEGACY_ALIAS, LEGACY_IGNORED, LEGACY_REFUSED };
struct legacy {
	const char *flag, *key;
	char letter;
	bool is_bool;
	enum legacy_act act;
	const char *to;     /* LEGACY_ALIAS: the flag meant now */
	const char *text;   /* what to say */
	const char *fine;   /* this value needs no refusal (nothing asked for) */
};
const struct legacy *legacy_by_flag(const char *flag, char letter);
const struct legacy *legacy_by_key(const char *key);

int opt_by_key(const char *key);                /* enum opt_id or -1 */
int opt_by_flag(const char *flag, char letter); /* flag NULL: by letter */

/* "graph.overlay2": a kind of driver, a dot, a driver's name. */
bool config_is_driver_section(const char *section);
/* One more value of a driver's option. */
void config_add_driver_option(struct config *cfg, const char *section, const char *name, const char *value);
/* Adds "name: (from flag: a, from file: b)" to conflicts when the command line set id too. */
void config_note_conflict(const struct config *flags, enum opt_id id, const char *file_text, struct strv *conflicts);
int config_conflict_error(const struct strv *unknown, struct strv *conflicts, struct err *err);

#endif
