/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "plugins.h"

#include <stdlib.h>

#include "base/digest.h"
#include "base/id.h"
#include "driver.h"

static const struct { const char *kind, *capability; } kinds[] = {
	{ "graph", "graphdriver" }, { "net", "networkdriver" }, { "volume", "volumedriver" },
	{ "authz", "authz" }, { "log", "logdriver" }, { "ipam", "ipamdriver" },
};

static const char *capability_of(const char *kind)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (streq(kinds[i].kind, kind))
			return kinds[i].capability;
	return "";
}

/* A build tree has libtool's folder below that of the kind. */
static const char *kind_of(const struct driver_info *d)
{
	if (!str_empty(d->kind))
		return d->kind;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		OWN_FREE char *folder = xasprintf("/%s/.libs/", kinds[i].kind);

		if (strstr(d->path, folder))
			return kinds[i].kind;
	}
	return "";
}

static void fill(struct plugin *p, const struct driver_info *d)
{
	char digest[DIGEST_TEXT];

	p->kind = xstrdup(kind_of(d));
	p->name = xstrdup(d->name);
	/* One that lies in no kind's folder tells its kind only when it is loaded. */
	p->reference = xasprintf("%s/%s", *p->kind ? p->kind : "driver", p->name);
	digest_of(d->path, strlen(d->path), digest);
	memcpy(p->id, id_digest_hex(digest), sizeof(p->id));
	p->capability = capability_of(p->kind);
	p->version = xstrdup(d->version ? d->version : "");
	p->abi = xstrdup(d->abi ? d->abi : "");
	p->path = xstrdup(d->path);
	p->state = xstrdup(d->state ? d->state : "");
	p->loaded = d->loaded;
}

static int by_reference(const void *a, const void *b)
{
	return strcmp(((const struct plugin *)a)->reference, ((const struct plugin *)b)->reference);
}

size_t plugins_list(struct plugin **ret)
{
	struct driver_info *v;
	size_t found = driver_list(false, &v), len = 0;

	*ret = xcalloc(found + 1, sizeof(**ret));
	for (size_t i = 0; i < found; i++)
		if (!v[i].shadowed)
			fill(&(*ret)[len++], &v[i]);
	driver_list_free(v, found);
	qsort(*ret, len, sizeof(**ret), by_reference);
	return len;
}

void plugins_free(struct plugin *v, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		free(v[i].kind);
		free(v[i].name);
		free(v[i].reference);
		free(v[i].version);
		free(v[i].abi);
		free(v[i].path);
		free(v[i].state);
	}
	free(v);
}

void plugins_names(const char *kind, struct strv *ret)
{
	struct plugin *v;
	size_t len = plugins_list(&v);

	for (size_t i = 0; i < len; i++) {
		const char *name = streq(kind, "net") && streq(v[i].name, "none") ? "null" : v[i].name;

		/* What stands for others is none itself. */
		if (streq(v[i].kind, kind) && streq(v[i].state, "usable") && !str_has_prefix(name, DRIVER_PROVIDER_STEM) && !strv_contains(ret, name))
			strv_add(ret, name);
	}
	plugins_free(v, len);
	strv_sort(ret);
}
