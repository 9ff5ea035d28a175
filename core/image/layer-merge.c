/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several layers as one: what a chain shows, against what another below it shows. */
#include <errno.h>
#include <fcntl.h>

#include "base/log.h"
#include "image/changes.h"
#include "image/layer-priv.h"
#include "image/packtar.h"

/* A layer's merged tree, mounted for us. Its chain is held by the caller. */
struct tree { char *id, *path; int fd; };

static void tree_close(struct layer_store *s, struct tree *t)
{
	OWN_ERR struct err err = ERR_INIT;

	fd_close(&t->fd);
	if (t->path && graph_put(s->graph, t->id, &err) < 0)
		log_warn("%s", err_text(&err));
	free(t->path);
	free(t->id);
}

static int tree_open(struct layer_store *s, const char *chain, struct tree *t, struct err *err)
{
	struct layer *l;

	lock_take(&s->lock);
	l = layer_find(s, chain);
	t->id = l ? xstrdup(l->cache_id) : NULL;
	lock_drop(&s->lock);
	if (!t->id)
		return err_set(err, ERR_NOT_FOUND, "layer does not exist");
	t->path = graph_get(s->graph, t->id, NULL, err);
	if (!t->path)
		return -1;
	t->fd = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return t->fd < 0 ? err_errno(err, errno, "open %s", t->path) : 0;
}

static int write_tar(int top, int base, struct writer *out, const struct packtar_opts *opts, struct err *err)
{
	OWN_CHANGES struct changes changes = { 0 };
	struct tar_writer tar;
	int rc;

	tar_writer_init(&tar, out);
	if (base < 0)
		rc = packtar(top, "./", opts, &tar, err);
	else if ((rc = changes_compare_exact(top, base, opts->cancel, &changes, err)) == 0)
		rc = packtar_changes(top, &changes, opts, &tar, err);
	return rc < 0 ? -1 : tar_write_end(&tar, err);
}

int layer_merged_tar(struct layer_store *s, const char *chain, const char *base, struct writer *out, int64_t room,
	const struct cancel *c, struct err *err)
{
	struct packtar_opts opts = { .cancel = c, .ids = idmaps_root(), .room = room };
	struct tree top = { .fd = -1 }, below = { .fd = -1 };
	int rc = -1;

	/* the base is below it, and held with it */
	if (layer_ref(s, chain, err) < 0)
		return -1;
	if (tree_open(s, chain, &top, err) == 0 && (!base || tree_open(s, base, &below, err) == 0))
		rc = write_tar(top.fd, below.fd, out, &opts, err);
	tree_close(s, &below);
	tree_close(s, &top);
	layer_unref(s, chain, NULL, NULL);
	return rc;
}
