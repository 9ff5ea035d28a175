/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layers on their way into the store: a tree that is filled, then an entry on top of its parent. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/log.h"
#include "image/layer-priv.h"
#include "image/unpack.h"

struct layer_draft {
	struct layer_store *s;
	struct layer *l;           /* what it will be; NULL once it is the store's */
	struct layer *pinned;      /* the layer below, when it was in the store at the beginning */
	char below[ID_HEX + 1];    /* the driver's layer that it stands on; "" at the bottom */
	struct layer_stage stage;
};

bool layer_drafts_stack(struct layer_store *s)
{
	return graph_writes_parallel(s->graph);
}

struct layer_draft *layer_draft_new(struct layer_store *s, const char *parent, const struct layer_draft *below, struct err *err)
{
	struct layer *pinned = parent ? layer_pin(s, parent, err) : NULL;
	struct layer_draft *d;

	if (parent && !pinned)
		return NULL;
	d = xcalloc(1, sizeof(*d));
	*d = (struct layer_draft){ .s = s, .l = xcalloc(1, sizeof(*d->l)), .pinned = pinned, .stage = LAYER_STAGE_INIT };
	if (pinned)
		memcpy(d->below, pinned->cache_id, sizeof(d->below));
	else if (below)
		memcpy(d->below, below->l->cache_id, sizeof(d->below));
	id_random_hex(d->l->cache_id, ID_HEX);
	if (layer_stage_begin(s, &d->stage, d->l->cache_id, err) == 0 && layer_stage_put(&d->stage, "cache-id", d->l->cache_id, err) == 0 &&
	    graph_create(s->graph, d->l->cache_id, *d->below ? d->below : NULL, false, NULL, NULL, err) == 0)
		return d;
	layer_draft_free(d);
	return NULL;
}

void layer_draft_free(struct layer_draft *d)
{
	if (!d)
		return;
	layer_stage_drop(d->s, &d->stage);
	if (d->pinned)
		layer_unpin(d->s, d->pinned);
	if (d->l)
		layer_free(d->l);
	free(d);
}

static int check_diffid(const struct layer *l, const char *want, struct err *err)
{
	if (!want || streq(want, l->diffid))
		return 0;
	return err_set(err, ERR_INVALID, "invalid diffID: expected \"%s\", got \"%s\"", want, l->diffid);
}

int layer_draft_fill(struct layer_draft *d, struct reader *tar, const char *want_diffid, const struct cancel *c, struct err *err)
{
	OWN_FD int split_fd = openat(d->stage.fd, "tar-split.json.gz", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct graph_tree tree;
	char size[24];
	int rc;

	if (split_fd < 0)
		return err_errno(err, errno, "create tar-split.json.gz");
	if (graph_tree_write(d->s->graph, d->l->cache_id, *d->below ? d->below : NULL, &tree, err) < 0)
		return -1;
	rc = unpack_layer(tar, &tree, split_fd, c, d->l->diffid, &d->l->size, err);
	graph_tree_done(d->s->graph, &tree);
	if (rc < 0 || check_diffid(d->l, want_diffid, err) < 0)
		return -1;
	snprintf(size, sizeof(size), "%" PRId64, d->l->size);
	return layer_stage_put(&d->stage, "diff", d->l->diffid, err) < 0 ? -1 : layer_stage_put(&d->stage, "size", size, err);
}

/*
 * A damaged entry of this very layer lies on disk, left out at start-up. Containers may stand on its data: where that is
 * whole the new entry takes it over, and the fresh copy goes.
 */
static int repair(struct layer_store *s, struct layer *l, struct layer_stage *st, struct err *err)
{
	char old[ID_HEX + 1];

	if (layer_exists(s, l->chain) || !layer_db_cache_id(s, id_digest_hex(l->chain), old) ||
	    !graph_exists(s->graph, old) || !layer_verify(s, l, st->fd, old, NULL))
		return 0;
	if (graph_remove(s->graph, l->cache_id, err) < 0 || layer_stage_put(st, "cache-id", old, err) < 0)
		return -1;
	memcpy(l->cache_id, old, sizeof(old));
	log_info("layer %s: its damaged entry is repaired", l->chain);
	return 0;
}

/* The damaged layer that others hold becomes what was read now, and gets the reference. Under the lock. */
static void heal(struct layer *there, struct layer *l)
{
	memcpy(there->diffid, l->diffid, sizeof(there->diffid));
	memcpy(there->cache_id, l->cache_id, sizeof(there->cache_id));
	there->size = l->size;
	if (!there->parent && l->parent) {
		there->parent = l->parent;
		snprintf(there->parent_chain, sizeof(there->parent_chain), "%s", l->parent->chain);
		l->parent->refs++;
		l->parent->doomed = false;
	}
	str_set(&there->staged, NULL);
	there->staged = STEAL(l->staged);
	free(STEAL(there->damaged));
	there->parent_missing = there->doomed = false;
	there->refs++;
	log_info("layer %s is whole again", there->chain);
	damage_forget("layer", there->chain);
}

/*
 * 1: the chain is there already and got the reference; 0: published, to everybody in memory. On disk its folder stays
 * staged until layer_sync().
 */
static int publish(struct layer_store *s, struct layer *l, struct layer_stage *st)
{
	WITH_LOCK(&s->lock);
	struct layer *there = layer_find(s, l->chain);

	if (there && !there->damaged) {
		there->refs++;
		there->doomed = false;
		return 1;
	}
	l->staged = xstrdup(st->name);
	strv_add(&s->staged, l->chain);
	*st->name = '\0'; /* it is the layer's now */
	if (there) {
		heal(there, l);
		layer_found(s, there);
		return 1;
	}
	l->refs = 1;
	if (l->parent) {
		l->parent->refs++;
		l->parent->doomed = false;
	}
	layer_insert(s, l);
	layer_found(s, l);
	return 0;
}

/* On a parent that is pinned, or on none. */
static int commit_on(struct layer_draft *d, struct layer *parent, struct err *err)
{
	struct layer *l = d->l;
	OWN_FREE char *chain = layer_chain_id(parent ? parent->chain : NULL, l->diffid);

	l->parent = parent;
	memcpy(l->chain, chain, strlen(chain) + 1);
	if ((parent && layer_stage_put(&d->stage, "parent", parent->chain, err) < 0) || repair(d->s, l, &d->stage, err) < 0)
		return -1;
	if (publish(d->s, l, &d->stage) == 0)
		d->l = NULL;
	return 0;
}

int layer_draft_commit(struct layer_draft *d, const char *parent, char **ret_chain, struct err *err)
{
	struct layer *below = parent ? layer_pin(d->s, parent, err) : NULL;
	OWN_FREE char *chain = NULL;
	int rc;

	if (parent && !below)
		return -1;
	chain = layer_chain_id(parent, d->l->diffid);
	/* somebody else was first with the parent: what was filled stands on a copy that goes */
	rc = streq(below ? below->cache_id : "", d->below) ? commit_on(d, below, err) : 1;
	if (rc == 0 && ret_chain)
		*ret_chain = STEAL(chain);
	if (below)
		layer_unpin(d->s, below);
	return rc;
}

int layer_register(struct layer_store *s, const char *parent, struct reader *tar, const char *want_diffid, const struct cancel *c,
	char **ret_chain, char **ret_diffid, struct err *err)
{
	struct layer_draft *d = layer_draft_new(s, parent, NULL, err);
	OWN_FREE char *diffid = NULL;
	int rc = d ? layer_draft_fill(d, tar, want_diffid, c, err) : -1;

	if (rc == 0)
		diffid = xstrdup(d->l->diffid);
	if (rc == 0)
		rc = layer_draft_commit(d, parent, ret_chain, err);
	BUG_ON(rc > 0);
	if (rc == 0 && ret_diffid)
		*ret_diffid = STEAL(diffid);
	layer_draft_free(d);
	return rc < 0 ? err_wrap(err, "failed to register layer") : 0;
}
