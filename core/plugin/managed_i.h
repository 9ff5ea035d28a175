/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside the room of managed plugins. */
#ifndef PLUGIN_MANAGED_I_H
#define PLUGIN_MANAGED_I_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/lock.h"
#include "plugin/managed.h"

#define MANAGED_CONFIG_MAX (1u << 20)
#define MANAGED_GROUP "docker-plugins" /* what the control groups of all are in */

struct managed {
	struct managed *next;
	char id[65], *name;
	char *reference;     /* what it was installed from */
	char *config;        /* the text of its configuration, as managed_form() writes it */
	char *config_digest, *manifest; /* digests of its parts */
	struct strv layers;
	struct strv env, args;          /* settings: "NAME=VALUE"; all arguments */
	struct strmap mounts, devices;  /* name -> path of the host */
	bool enabled;
	bool busy;           /* an operation owns it */
	int pidfd;           /* of the runtime that waits for it; -1: it does not run */
	bool shared;         /* what both sides see is mounted */
	bool grouped;        /* it is counted by the store */
	int64_t since;       /* when it was started */
	int64_t retry_at;    /* revive.c: when it is started again, 0: it is not known to be down; deaths: how often in a row */
	unsigned deaths;
	bool reviving;
	atomic_bool awaited; /* somebody wants the operation of what is started again */
};

struct managed_store {
	char *data_root, *exec_root, *runtime;
	struct spawner *spawner;
	struct lock lock;    /* LOCK_MAP: all below */
	pthread_cond_t idle;
	struct managed *all;
	int grouped;         /* how many may have a control group */
	int installing;      /* parts that no plugin has yet are kept meanwhile */
	bool damaged;        /* one was passed over: what parts it has is not known */
	bool metrics_made;   /* its socket is; metrics_fd >= 0: and nobody serves it yet */
	int metrics_fd;
	managed_metrics_fn *metrics_serve;
	void *metrics_ctx;
	int wake;            /* an eventfd: what is to be watched changed; -1: nobody watches */
	bool watched;
	pthread_t watcher;
	atomic_bool closing;
};

/* revive.c. A plugin is another's to look after now; under the lock. */
void managed_changed(struct managed_store *s, const struct managed *m);
void managed_unwatch(struct managed_store *s);

/* form.c: a configuration as Docker writes it. layer (or NULL): the digest of the root that is put into it. */
char *managed_form(const char *text, size_t size, const char *layer, struct err *err);
/* privileges.c: what it needs, as the API has it; the same is given. */
json_t *managed_needs(const json_t *config);
bool managed_granted(const json_t *config, const json_t *given);

/* blobs.c: the parts. */
struct blob_draft { struct writer writer; struct digest sum; int64_t size; char *path; int fd; };
int blobs_setup(const struct managed_store *s, struct err *err);
bool blobs_have(const struct managed_store *s, const char *digest);
int blobs_open(const struct managed_store *s, const char *digest, int64_t *ret_size, struct err *err);
int blobs_read(const struct managed_store *s, const char *digest, size_t max, struct buf *ret, struct err *err);
/* One that is written; it is there after blobs_end(), by its digest, which must be want unless that is NULL. blobs_drop() in any case. */
int blobs_begin(const struct managed_store *s, struct blob_draft *b, struct err *err);
int blobs_end(const struct managed_store *s, struct blob_draft *b, const char *want, char ret_digest[DIGEST_TEXT], struct err *err);
void blobs_drop(struct blob_draft *b);
int blobs_put(const struct managed_store *s, const void *data, size_t size, char ret_digest[DIGEST_TEXT], struct err *err);
/* A copy of the file behind fd. */
int blobs_take(const struct managed_store *s, int fd, const char *digest, struct err *err);
/* Removes those that nobody uses. */
void blobs_sweep(const struct managed_store *s, bool (*used)(const struct managed_store *s, const char *digest));

/* install.c: what an upgrade that was cut off left, DATA-ROOT/plugins/NAME. */
void upgrade_recover(int plugins, const char *name);

/* state.c: DATA-ROOT/plugins/DIR/config.json, as Docker has it. */
int managed_save(const struct managed_store *s, const struct managed *m, const char *dir, struct err *err);
struct managed *managed_load(const struct managed_store *s, const char *id, struct err *err);
void managed_free(struct managed *m);

/* managed.c */
/* Both under the lock. By its whole name; and as people say it: ERR_NOT_FOUND, or ERR_INVALID when that may be several. */
struct managed *managed_named(struct managed_store *s, const char *full);
struct managed *managed_lookup(struct managed_store *s, const char *name, struct err *err);
/* A plugin's operation: one owner at a time, others wait for it. Without the lock. */
struct operation { struct managed_store *store; struct managed *plugin; };
int managed_take(struct managed_store *s, const char *name, struct operation *ret, struct err *err);
void managed_give_back(struct operation *op);
#define OWN_OPERATION __attribute__((unused)) CLEANUP(managed_give_back)
/* As Docker shows it, with a tag; NULL with ERR_INVALID when it is none. */
char *managed_full_name(const char *name, struct err *err);
/* Parts that no plugin has go. Under the lock. */
void managed_sweep(struct managed_store *s);

/* config.c: its configuration says nothing that cannot be. */
int managed_config_check(const json_t *config, struct err *err);
/* Its settings as the configuration begins them. */
void managed_settings_begin(struct managed *m, const json_t *config);
/* What was set of an older version stays where the new one knows it and lets it be set. */
void managed_settings_carry(struct managed *m, const json_t *config, const struct managed *old);
int managed_settings_set(struct managed *m, const json_t *config, const char *setting, struct err *err);
/* The API's object, and what state.json keeps. */
void managed_encode(const struct managed *m, struct jw *w);
json_t *managed_config(const struct managed *m);
/* The path of a mount or a device: what was set, or what the configuration says; NULL: neither. */
const char *managed_setting(const struct strmap *set, const json_t *one, const char *key);

/* spec.c: the OCI runtime's config.json. */
char *managed_spec(const struct managed_store *s, const struct managed *m, const json_t *config, struct err *err);

/* metrics.c: of plugins that collect figures. */
bool metrics_wanted(const json_t *config);
char *metrics_path(const struct managed_store *s);
int metrics_prepare(struct managed_store *s, struct err *err);
void metrics_start(const struct managed_store *s, const struct managed *m, const char *socket_path);
void metrics_stop(const struct managed *m, const char *socket_path);

/* run.c; the caller owns the operation. */
int managed_start(struct managed_store *s, struct managed *m, int timeout, struct err *err);
void managed_stop(struct managed_store *s, struct managed *m);
/* Folders, owned by the caller. */
char *managed_home(const struct managed_store *s, const struct managed *m);    /* DATA-ROOT/plugins/ID */
char *managed_sockets(const struct managed_store *s, const struct managed *m); /* EXEC-ROOT/plugins/ID; what it makes there all see */
char *managed_socket(const struct managed_store *s, const struct managed *m, const json_t *config); /* where it listens */
char *managed_names(const struct managed_store *s);                            /* where drivers look */

#endif
