/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk usage: which layers images share. */
#include "image/image.h"

#include <stdlib.h>

struct use { char *chain; size_t image; };

static int use_cmp(const void *a, const void *b)
{
	return strcmp(((const struct use *)a)->chain, ((const struct use *)b)->chain);
}

static struct use *collect(struct image *const *v, size_t n, size_t *ret_len)
{
	struct use *uses;
	size_t len = 0;

	for (size_t i = 0; i < n; i++)
		len += v[i]->diff_ids.len;
	uses = xcalloc(len + 1, sizeof(*uses));
	len = 0;
	for (size_t i = 0; i < n; i++) {
		const char *below = NULL;

		for (size_t k = 0; k < v[i]->diff_ids.len; k++) {
			below = uses[len].chain = layer_chain_id(below, v[i]->diff_ids.v[k]);
			uses[len++].image = i;
		}
	}
	qsort(uses, len, sizeof(*uses), use_cmp);
	*ret_len = len;
	return uses;
}

int64_t image_usage(struct image_store *s, struct image *const *v, size_t n, int64_t *ret_shared)
{
	size_t len, to;
	struct use *uses = collect(v, n, &len);
	int64_t total = 0;

	if (ret_shared)
		memset(ret_shared, 0, n * sizeof(*ret_shared));
	for (size_t from = 0; from < len; from = to) {
		int64_t size = layer_size(image_store_layers(s), uses[from].chain);

		for (to = from + 1; to < len && streq(uses[to].chain, uses[from].chain); to++)
			;
		if (size < 0)
			continue;
		total += size;
		for (size_t i = from; ret_shared && to - from > 1 && i < to; i++)
			ret_shared[uses[i].image] += size;
	}
	for (size_t i = 0; i < len; i++)
		free(uses[i].chain);
	free(uses);
	return total;
}

size_t image_drop_inner(struct image_store *s, struct image **v, size_t n)
{
	OWN_FREE struct strv *tags = xcalloc(n + 1, sizeof(*tags)), *digests = xcalloc(n + 1, sizeof(*digests));
	size_t len = 0;

	image_refs_of(s, v, n, tags, digests);
	for (size_t i = 0; i < n; i++) {
		if (tags[i].len + digests[i].len == 0 && image_children(s, v[i]->id, NULL) > 0)
			image_unref(v[i]);
		else
			v[len++] = v[i];
		strv_done(&tags[i]);
		strv_done(&digests[i]);
	}
	return len;
}
