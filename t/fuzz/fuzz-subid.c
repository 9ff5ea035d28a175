/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /etc/subuid and words of id maps: ranges that can be used, or a reason; what passes its check maps there and back. */
#include "fuzz.h"

#include "base/idmap.h"
#include "base/subid.h"

static void check_list(const struct idmap_list *l)
{
	for (size_t i = 0; i < l->len; i++) {
		uint32_t out, in;

		FUZZ_CHECK(idmap_out(l, l->v[i].inside, &out) && idmap_in(l, out, &in) && in == l->v[i].inside);
		FUZZ_CHECK(idmap_out(l, l->v[i].inside + l->v[i].count - 1, &out) && idmap_in(l, out, &in) && in == l->v[i].inside + l->v[i].count - 1);
	}
}

static void check_maps(const struct idmaps *m)
{
	OWN_FREE char *word = idmaps_format(m);
	OWN_IDMAPS struct idmaps again = { 0 }, turned = { 0 }, same = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	check_list(&m->uids);
	check_list(&m->gids);
	FUZZ_CHECK(idmaps_none(m) || (idmaps_parse(word, &again, &err) == 0 && idmaps_equal(m, &again)));
	idmaps_invert(m, &turned);
	idmaps_join(m, &turned, &same);
	for (size_t i = 0; i < same.uids.len; i++)
		FUZZ_CHECK(same.uids.v[i].inside == same.uids.v[i].outside);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_FREE char *text = xstrndup((const char *)data, size);
	OWN_IDMAPS struct idmaps file = { 0 }, word = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (subid_parse((const char *)data, size, "/etc/subuid", "a", 1, &file.uids, &err) < 0)
		FUZZ_CHECK(err.msg);
	else {
		idmap_add(&file.gids, 0, 1, 1);
		if (file.uids.len && idmaps_check(&file, &err) == 0)
			check_maps(&file);
	}
	err_done(&err);
	if (idmaps_parse(text, &word, &err) < 0)
		FUZZ_CHECK(err.msg);
	else
		check_maps(&word);
	return 0;
}
