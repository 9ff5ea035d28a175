/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Graph drivers: the calls, as the daemon makes them, and what is looked at. */
#ifndef T_CONFORMANCE_GRAPH_H
#define T_CONFORMANCE_GRAPH_H

#include <sys/stat.h>

#include "kit.h"
#include "dockerd/graph.h"

/* The driver of this process, opened; one at a time. */
struct graph_box {
	const struct dkd_graph_ops *ops;
	struct dkd_graph *g;
	uint64_t caps;
	char root[4096];     /* the driver's: named after it */
	struct strv made;    /* layers, in the order of their creation */
	struct strv held;    /* layers that are mounted, as the daemon counts them: trees are no second get() */
};
extern struct graph_box box;

/* Opens, or prints a failed check and says false. */
bool graph_begin(struct check *c);
/* Removes the layers that this process made, the youngest first, checks that none of them is left, and closes. */
void graph_end(void);
/* open() with one more option (NULL: none): 0 or -1. The handle that box has is not touched. */
int graph_open_with(struct check *c, const char *key, const char *value, struct dkd_graph **ret);
void graph_shut(void); /* cleanup() and close(), as at the end of a daemon */
void graph_leave(void); /* close() alone: what is mounted stays */

/* The id of a layer of this case. One of 1,024 strings in turn. */
const char *layer(unsigned n);

/* Calls: their value, or -1 with why. */
int graph_create(const char *id, const char *parent, bool rw);
int graph_create_with(const char *id, const char *parent, uint32_t flags, const char *key, const char *value, const struct dkd_idmaps *maps);
int graph_remove(const char *id);
int graph_exists(const char *id);
char *graph_get(const char *id); /* the directory, to be freed */
char *graph_get_with(const char *id, uint32_t flags, const struct dkd_idmaps *maps);
int graph_put(const char *id);
bool graph_holds(const char *id);
int graph_list(struct strv *ret);
bool graph_lists(const char *id);
int graph_sync(void);

/* A tree that is written or read: the driver's own, or the mounted layer. */
struct graph_tree {
	int fd;
	char *path, *id, *parent;
	uint32_t whiteout, access;
	bool mounted; /* the driver has none */
	bool held;    /* the layer was mounted before */
};
int graph_tree(const char *id, const char *parent, uint32_t access, struct graph_tree *ret);
int graph_tree_done(struct graph_tree *t);
/* Deletes, or replaces by an empty directory that hides what is below, in the style of the tree. Folders above are made. */
int tree_delete(struct graph_tree *t, const char *path);
int tree_opaque(struct graph_tree *t, const char *path);
int tree_write(struct graph_tree *t, const char *path, const char *text);

/* What a layer changes over its parent: "A /new", "C /changed", "D /gone", sorted; a directory that is changed is not told. */
int graph_changes(const char *id, const char *parent, struct strv *ret);
bool changes_are(const char *id, const char *parent, const char *want, const char *what);

/* Files below a directory; all print nothing. */
const char *below(const char *dir, const char *name); /* one of 16 buffers of the thread in turn */
bool put_text(const char *dir, const char *name, const char *text);
bool has_text(const char *dir, const char *name, const char *text);
bool missing(const char *dir, const char *name);
/* A layer with these files: "name=text" or "name/" each, up to NULL. Checks that it can be made. */
bool make_layer(const char *id, const char *parent, ...) __attribute__((sentinel));
/* Is the file of that name in the mounted layer? */
bool layer_has(const char *id, const char *name, const char *text);

/* The cases. */
void graph_case_open(struct check *c);
void graph_case_layers(struct check *c);
void graph_case_mounts(struct check *c);
void graph_case_restart(struct check *c);
void graph_case_facts(struct check *c);
void graph_case_files(struct check *c);
void graph_case_names(struct check *c);
void graph_case_sparse(struct check *c);
void graph_case_apply(struct check *c);
void graph_case_changes(struct check *c);
void graph_case_opaque(struct check *c);
void graph_case_parallel(struct check *c);
void graph_case_depth(struct check *c);
void graph_case_threads(struct check *c);
void graph_case_stop(struct check *c);
void graph_case_quota(struct check *c);
void graph_case_idmap(struct check *c);
void graph_case_crash(struct check *c);
void graph_case_killed(struct check *c);

#endif
