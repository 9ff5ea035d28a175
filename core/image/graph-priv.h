/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Private to the graph facade: what graph.c, which mounts, shares with graph-facts.c and graph-tree.c. */
#ifndef IMAGE_GRAPH_PRIV_H
#define IMAGE_GRAPH_PRIV_H

#include <stdatomic.h>

#include "base/lock.h"
#include "dockerd/graph.h"
#include "driver.h"
#include "image/graph.h"
#include "image/graph-cache.h"

#define GRAPH_BUCKETS 256

struct mounted;

struct graph {
	const struct driver *driver;
	const struct dkd_graph_ops *ops;
	struct dkd_graph *d;
	char *name;            /* the driver's; of a provider's one, as it was asked for */
	char *root;
	char *clones;          /* folder of clones */
	uint64_t caps;
	atomic_bool maps;      /* a layer was mounted with other ids */
	struct graph_cache *cache; /* of graph_metadata() */
	struct lock lock;      /* table */
	pthread_cond_t idle;   /* some layer is not busy any more */
	struct mounted *table[GRAPH_BUCKETS];
};

/* The layer's operation: who has it may call the driver for the layer, and nobody else does. */
struct mounted *graph_op_begin(struct graph *g, const char *id);
void graph_op_end(struct graph *g, struct mounted *m);
/* Names the driver and the layer in what is no client's fault; texts for clients stay as the driver gave them. */
int graph_call_end(struct graph *g, struct driver_call *c, int32_t rc, const char *what, const char *id, struct err *err);
int graph_check_id(const char *id, struct err *err);
/* A driver's emit function for one text: to is a char **. */
int32_t graph_keep_text(void *to, const char *text);
/* The layer mounted as the driver shows it, whatever others see of it; ret_shown: whose owners it has. */
char *graph_get_shown(struct graph *g, const char *id, struct idmaps *ret_shown, struct err *err);

#endif
