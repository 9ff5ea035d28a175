/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside the volume store. One entry a name, in a hash table under the map lock. Long work (a driver's call) takes the entry's operation: busy
 * is set, the lock dropped, and whoever needs the same name waits.
 */
#ifndef VOLUME_STORE_I_H
#define VOLUME_STORE_I_H

#include "base/lock.h"
#include "volume/volume_i.h"

#define VSTORE_BUCKETS 256

struct entry {
	char *name;
	struct volume *vol;   /* NULL: no such volume; somebody uses or makes it */
	struct volume *fresh; /* being made: in the index, not yet to be seen */
	bool busy;            /* an operation owns the entry */
	int64_t since;        /* clock_mono() as vol was made here */
	int waiting;          /* threads that wait for it: it must stay */
	struct strv users;    /* containers, a set */
	struct strv mounts;   /* containers, one item a mount */
	struct entry *next;
};

struct volume_store {
	char *data_root;
	struct volume_drivers *drivers;
	struct far *far;
	struct lock lock;          /* LOCK_MAP: all below, and the entries */
	pthread_cond_t idle;       /* an operation ended, or the index was written */
	struct entry *buckets[VSTORE_BUCKETS];
	uint64_t changed, written; /* generations of the index */
	bool writing;
};

/* All with the lock held. */
struct entry *ventry_find(struct volume_store *s, const char *name);
struct entry *ventry_add(struct volume_store *s, const char *name);
/* Takes the operation of an entry, which the caller found under the same hold of the lock. */
void ventry_begin(struct volume_store *s, struct entry *e);
/* Frees an entry that stands for nothing any more. */
void ventry_settle(struct volume_store *s, struct entry *e);
/* Settles it, too. */
void ventry_end(struct volume_store *s, struct entry *e);
/* Makes the index file hold what the table holds now. The lock is dropped meanwhile. */
int vstore_save(struct volume_store *s, struct err *err);

/* What a driver that is far has now, as it was when it was asked. Takes the lock. A volume that it has no more and nobody uses is gone, as Docker has it. */
void vstore_take_far(void *store, struct volume_driver *d, struct volume_info *infos, size_t len, int64_t asked);

int vstore_no_such(const char *name, struct err *err);
int vstore_check_name(const char *name, struct err *err);

#endif
