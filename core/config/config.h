/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Configuration: command line over file over defaults, all by one table (options.tbl). A struct config does not change
 * once the daemon runs on it: a reload builds the next one and the daemon swaps the pointer (daemon.c), so a reader takes
 * the pointer once and reads on without a lock.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define CONFIG_JSON_PATH "/etc/docker/daemon.json"
#define CONFIG_INI_PATH  "/etc" CONFIG_INI_REST
#define CONFIG_INI_REST  "/dockerd/dockerd.conf"

/* Kinds of values: enum opt_kind, and the C type of the field. */
#define OPT_KINDS(K) \
	K(BOOL, bool) K(STR, char *) K(INT, int64_t) K(BYTES, int64_t) K(IP, char *) \
	K(LIST, struct strv) K(IPS, struct strv) K(LABELS, struct strv) K(DIRS, struct strv) \
	K(POOLS, struct strv)     /* "base=CIDR,size=N" */ \
	K(MIRRORS, struct strv)   /* "host=url" */ \
	K(MAP, struct strmap) K(NRI, struct strmap) \
	K(RUNTIMES, struct strmap) /* name -> path */ \
	K(ULIMITS, struct strmap)  /* name -> "soft:hard" */ \
	K(NETOPTS, struct strmap)  /* "driver/option" -> value */ \
	K(JSON, char *)            /* JSON text */

enum opt_kind {
#define K(name, type) OPT_KIND_##name,
	OPT_KINDS(K)
#undef K
};
#define K(name, type) typedef type opt_type_##name;
OPT_KINDS(K)
#undef K

#define OPT_RELOAD 0x01u /* SIGHUP takes it over */
#define OPT_MERGE  0x02u /* may be given both as a flag and in the file */
#define OPT_FLAT   0x04u /* its value in daemon.json is an object */
#define OPT_HIDDEN 0x08u /* not in --help */
#define OPT_INERT  0x10u /* accepted, without effect in this version: named at start when set */
#define OPT_RESET  0x20u /* a reload without it sets the default again */
#define OPT_PROXY  0x40u /* a URL that may hold a password: masked wherever it is printed */

enum opt_id {
#define OPT(kind, field, ...) OPT_ID_##field,
#include "config/options.tbl"
#undef OPT
	OPT_COUNT
};

struct opt {
	enum opt_kind kind;
	const char *flag, *key, *word, *def, *help;
	const char *field;
	char letter;
	unsigned bits;
	size_t offset;
};
extern const struct opt opts[OPT_COUNT];

/* Least API 1.N there is; the router knows the same. */
#define CONFIG_MIN_MINOR 24
#define CONFIG_MAX_MINOR 55

enum opt_from { FROM_DEFAULT, FROM_FLAG, FROM_FILE };

struct config {
#define OPT(kind, field, ...) opt_type_##kind field;
#include "config/options.tbl"
#undef OPT
	unsigned char from[OPT_COUNT];  /* enum opt_from: who set it */
	struct strmap runtime_args;     /* runtime's name -> its extra arguments, one a line */
	struct strmap flag_runtimes;    /* those of the command line: a reload keeps them */
	struct strmap driver_options;   /* INI sections: "kind.name.key" -> value; repeated keys are joined by newlines */
	struct strv warnings;           /* sentences to log at start */
	char *file;                     /* the configuration file in use, or NULL */
	int min_minor;                  /* oldest API 1.N served */
	bool systemd_cgroup;            /* exec-opt native.cgroupdriver=systemd, or the default */
	bool no_cgroup;                 /* containers have no control groups: a user's daemon to whom nobody gave any */
};

/* Defaults, also those that depend on the machine and the environment. */
void config_init(struct config *cfg);
void config_done(struct config *cfg);

enum config_what { CONFIG_RUN, CONFIG_SHOW_HELP, CONFIG_SHOW_VERSION };
/* The command line alone. On failure err is the text for stderr and *ret_exit the exit code. */
int config_parse_args(struct config *cfg, int argc, char *const argv[], enum config_what *ret, int *ret_exit, struct err *err);
/* The file on top: checked against the flags in cfg. The environment. Derived values. */
int config_load_file(struct config *cfg, struct err *err);
/* What is wrong with it as a whole (bridge and bip, icc and iptables, ...), Docker's texts. */
int config_validate(struct config *cfg, struct err *err);
/* A sentence for each option that the user set and that does nothing yet. */
void config_inert(const struct config *cfg, struct strv *ret);
/* The next configuration after SIGHUP: now's, with the reloadable keys of its file anew. NULL on failure. */
struct config *config_reload(const struct config *now, struct err *err);
void config_free(struct config *cfg);

/* One value from text (flags and INI; lists grow) or JSON. */
int opt_set_text(struct config *cfg, enum opt_id id, const char *text, struct err *err);
int opt_set_json(struct config *cfg, enum opt_id id, json_t *js, struct err *err);
/* The value as Go's %v prints it: true, [a b], map[k:v]. */
char *opt_text(const struct config *cfg, enum opt_id id);
/* The value as JSON, for the attributes of the reload event. */
void opt_json(const struct config *cfg, enum opt_id id, struct buf *b);
static inline void *opt_field(const struct config *cfg, enum opt_id id) { return (char *)cfg + opts[id].offset; }

int config_parse_json(struct config *cfg, const char *text, size_t size, struct err *err);  /* json.c */
int config_parse_ini(struct config *cfg, const char *text, size_t size, struct err *err);   /* ini.c */
void config_help(struct buf *out);   /* help.c */
void config_man(struct buf *out);    /* the option list as roff, for dockerd(8) */
void config_version(struct buf *out);

/* rootless.c: where rootlesskit started this process. */
void config_rootless_defaults(struct config *cfg);
/* Who makes control groups; driver: of --exec-opt, or "". */
int config_rootless_cgroups(struct config *cfg, const char *driver, struct err *err);
int config_rootless_check(struct config *cfg, struct err *err);
/* Owned by the caller: the INI file that is read where there is no daemon.json (NULL: none), and the host of who names none. */
char *config_ini_path(void);
char *config_default_socket(void);

/* A URL without the user and password in it; owned by the caller. */
char *config_masked(const char *url);

#endif
