/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the driver keeps beside its pool, in ROOT/metadata, as Docker writes it: one JSON file for each device, named by its layer
 * ("base" for the device that all others stem from), one of the whole set, one of the transaction that is under way. Files are
 * written by temporary name, sync and rename. Everything returns 0, or -1 with errno: ENOENT, EBADMSG for a damaged one.
 */
#ifndef GRAPH_DM_STORE_H
#define GRAPH_DM_STORE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#define STORE_BASE "" /* the layer id of the base device */

struct store_device {
	char layer[NAME_MAX + 1];
	unsigned id;       /* in the pool */
	uint64_t bytes, transaction;
	bool initialized;  /* base: its file system is made */
	bool deleted;      /* to be deleted as soon as nobody uses it */
};
/* dir: the folder. */
int store_read_device(int dir, const char *layer, struct store_device *ret);
int store_write_device(int dir, const struct store_device *d);
int store_remove_device(int dir, const char *layer); /* missing is fine */
/* Every device's file; a damaged one comes with damaged set. fn returns other than 0 to end. */
int store_each_device(int dir, int (*fn)(void *to, const struct store_device *d, bool damaged), void *to);
/* Is that the name of a file of the store's own? No layer can have it. */
bool store_reserved(const char *layer);

struct store_set {
	unsigned next_id;
	char base_uuid[40], base_fs[8];
};
int store_read_set(int dir, struct store_set *ret);
int store_write_set(int dir, const struct store_set *s);

/* A device that is about to be made or deleted; the pool's own number becomes transaction when that is done. */
struct store_transaction {
	uint64_t transaction;
	char layer[NAME_MAX + 1];
	unsigned id;
};
int store_read_transaction(int dir, struct store_transaction *ret);
int store_write_transaction(int dir, const struct store_transaction *t);
int store_remove_transaction(int dir);

/* Moves the single file of releases before 1.0, ROOT/devicemapper/json, into files of their own. */
int store_migrate(int root, int dir);
/* Removes what a crash left half written. */
void store_sweep(int dir);

#endif
