/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Overlays of directories of differences (overlay.c), and the small files of their layers: what is below one, by which short names, and their repair. */
#ifndef GRAPH_OVERLAY_LINKS_H
#define GRAPH_OVERLAY_LINKS_H

#include "overlay-flavour.h"

#define MAX_LOWER 128
#define LINK_LEN 26
#define LOWER_SIZE (MAX_LOWER * (LINK_LEN + 3) + 1)

/* The names of the layers below one, nearest first. */
struct lowers {
	char text[LOWER_SIZE + LINK_LEN + 3];
	const char *v[MAX_LOWER + 1];
	size_t len;
};

extern const struct dkd_graph_ops overlay_ops;
/* The folder of the short names, for flavours. */
int32_t overlay_folders(const struct dkd_call *call, struct dkd_graph *g);

/* All -1 with errno; EUCLEAN: a file that says nothing sensible. */
int overlay_lowers(struct dkd_graph *g, const char *id, struct lowers *l);
/* The id that l/NAME leads to. */
int overlay_link_target(struct dkd_graph *g, const char *link, char *ret, size_t size);
int overlay_make_link(struct dkd_graph *g, const char *id, char ret[LINK_LEN + 1]);
/* The short name of a layer: as its file has it, by the names that lead to it, or whichever of both there is, made anew where none is. */
bool overlay_link_file(struct dkd_graph *g, const char *id, char *ret, size_t size);
bool overlay_link_by_target(struct dkd_graph *g, const char *id, char ret[LINK_LEN + 1]);
int overlay_read_link(struct dkd_graph *g, const char *id, char ret[LINK_LEN + 1]);
/* Is the layer whole? -1 and what is wrong with it. */
int overlay_check_layer(struct dkd_graph *g, const char *id, const char **ret_what);
/* Puts right what that finds, as far as the layer's own diff is there; parents first, by the caller. */
int overlay_repair_layer(struct dkd_graph *g, const char *id, const char *parent);
/* The lower file of a child: 0, 1 when there would be too many. */
int overlay_write_lower(struct dkd_graph *g, const char *id, const char *parent);

#endif
