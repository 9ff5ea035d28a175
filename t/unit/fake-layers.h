/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A layer store of counters, for tests of what stands on top of it. Defined here, the archive's own is not linked. */
#ifndef T_FAKE_LAYERS_H
#define T_FAKE_LAYERS_H

#include "base/digest.h"
#include "base/str.h"
#ifdef FAKE_REGISTER
#include "image/inflate.h"
#endif
#include "image/layer.h"

struct fake_layer { char *chain, *parent, *diffid; struct buf tar; int refs; };
static struct fake_layer fake[256];
static size_t fake_len;
static int fake_syncs;

static struct fake_layer *fake_find(const char *chain)
{
	for (size_t i = 0; i < fake_len; i++)
		if (fake[i].chain && streq(fake[i].chain, chain))
			return &fake[i];
	return NULL;
}

__attribute__((unused)) static size_t fake_count(void)
{
	size_t n = 0;

	for (size_t i = 0; i < fake_len; i++)
		n += fake[i].chain != NULL;
	return n;
}

static struct fake_layer *fake_add(const char *parent, const char *diffid, const void *tar, size_t size)
{
	struct fake_layer *l = &fake[fake_len++];

	*l = (struct fake_layer){ .chain = layer_chain_id(parent, diffid), .parent = xstrdup(parent), .diffid = xstrdup(diffid), .refs = 1 };
	buf_add(&l->tar, tar, size);
	if (parent)
		fake_find(parent)->refs++;
	return l;
}

/* The other side of the contract of layer.h and graph.h, as far as the image store calls it. */
struct graph *layer_store_graph(struct layer_store *s) { return (struct graph *)s; }
const char *graph_name(const struct graph *g) { return "fake"; }
int layer_sync(struct layer_store *s, struct err *err) { fake_syncs++; return 0; }

char *layer_chain_id(const char *parent, const char *diffid)
{
	OWN_FREE char *both = xasprintf("%s %s", parent ? parent : "", diffid);
	char text[DIGEST_TEXT];

	if (!parent)
		return xstrdup(diffid);
	digest_of(both, strlen(both), text);
	return xstrdup(text);
}

int layer_ref(struct layer_store *s, const char *chain, struct err *err)
{
	struct fake_layer *l = fake_find(chain);

	if (!l)
		return err_set(err, ERR_NOT_FOUND, "layer does not exist");
	l->refs++;
	return 0;
}

int layer_unref(struct layer_store *s, const char *chain, struct strv *removed, struct err *err)
{
	struct fake_layer *l = fake_find(chain);
	OWN_FREE char *parent = NULL;

	if (!l)
		return err_set(err, ERR_NOT_FOUND, "layer does not exist");
	if (--l->refs > 0)
		return 0;
	if (removed)
		strv_add(removed, chain);
	parent = l->parent;
	free(l->chain);
	free(l->diffid);
	buf_done(&l->tar);
	*l = (struct fake_layer){ 0 };
	return parent ? layer_unref(s, parent, removed, err) : 0;
}

void layer_sweep(struct layer_store *s) { }
void layer_settle(struct layer_store *s) { }
void layer_teach(struct layer_store *s, const char *chain, const char *parent, const char *diffid) { }

char *layer_claim(struct layer_store *s, const char *chain, char **ret_why)
{
	if (layer_ref(s, chain, NULL) == 0)
		return xstrdup(chain);
	if (!*ret_why)
		*ret_why = xasprintf("its layer %.19s is missing", chain);
	return NULL;
}

int64_t layer_tar_size(struct layer_store *s, const char *chain, struct err *err)
{
	struct fake_layer *l = fake_find(chain);

	return l ? (int64_t)l->tar.size : err_set(err, ERR_NOT_FOUND, "layer does not exist");
}

bool layer_exists(struct layer_store *s, const char *chain) { return fake_find(chain) != NULL; }

__attribute__((unused)) static int64_t fake_room = -1;
int64_t layer_room(struct layer_store *s) { return fake_room; }

static void (*fake_at_size)(void); /* what others do when the size of a layer is asked for */

int64_t layer_size(struct layer_store *s, const char *chain)
{
	struct fake_layer *l = fake_find(chain);

	if (fake_at_size)
		fake_at_size();
	return l ? (int64_t)l->tar.size : -1;
}

char *layer_diffid(struct layer_store *s, const char *chain)
{
	struct fake_layer *l = fake_find(chain);

	return l ? xstrdup(l->diffid) : NULL;
}

int layer_tar(struct layer_store *s, const char *chain, struct writer *out, const struct cancel *c, struct err *err)
{
	struct fake_layer *l = fake_find(chain);

	return l ? out->write(out, l->tar.data, l->tar.size, err) : err_set(err, ERR_NOT_FOUND, "layer does not exist");
}

#ifdef FAKE_REGISTER
int layer_register(struct layer_store *s, const char *parent, struct reader *tar, const char *want_diffid, const struct cancel *c,
	char **ret_chain, char **ret_diffid, struct err *err)
{
	OWN_READER struct reader *plain = inflate_new(tar, NULL, err);
	OWN_BUF struct buf data = { 0 };
	OWN_FREE char *chain = NULL;
	char text[DIGEST_TEXT];

	if (!plain || reader_slurp(plain, 64 << 20, &data, err) < 0)
		return -1;
	digest_of(data.data, data.size, text);
	if (want_diffid && !streq(want_diffid, text))
		return err_set(err, ERR_INVALID, "wrong diff id");
	chain = layer_chain_id(parent, text);
	if (fake_find(chain))
		fake_find(chain)->refs++;
	else
		fake_add(parent, text, data.data, data.size);
	*ret_chain = STEAL(chain);
	if (ret_diffid)
		*ret_diffid = xstrdup(text);
	return 0;
}
#endif

#endif
