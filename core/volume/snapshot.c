/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots of volumes: reference counted, printed as the API's Volume object, measured. */
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "base/clock.h"
#include "base/disk-use.h"
#include "volume/store_i.h"

struct volume *volume_new(const struct volume_meta *m, const char *mountpoint, const char *scope)
{
	struct volume *v = xcalloc(1, sizeof(*v));

	v->refs = 1;
	v->name = xstrdup(m->name);
	v->driver = xstrdup(m->driver);
	v->mountpoint = xstrdup(mountpoint ? mountpoint : "");
	v->scope = xstrdup(scope);
	v->created = m->created;
	strmap_copy(&v->labels, &m->labels);
	strmap_copy(&v->options, &m->options);
	v->anonymous = strmap_get(&v->labels, VOLUME_ANONYMOUS_LABEL) != NULL;
	return v;
}

void volume_unref(struct volume *v)
{
	if (!v || __atomic_sub_fetch(&v->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	free(v->name);
	free(v->driver);
	free(v->mountpoint);
	free(v->scope);
	strmap_done(&v->labels);
	strmap_done(&v->options);
	free(v);
}

void volume_list_free(struct volume **v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		volume_unref(v[i]);
	free(v);
}

/* To the second, as Docker prints it. */
static void encode_created(const struct volume *v, struct jw *w)
{
	if (v->created > 0)
		jw_ktime(w, "CreatedAt", v->created / NSEC_PER_SEC * NSEC_PER_SEC);
}

static void encode_start(const struct volume *v, const char *mountpoint, const struct strmap *status, struct jw *w)
{
	jw_obj(w);
	encode_created(v, w);
	jw_kstr(w, "Driver", v->driver);
	jw_kstrmap(w, "Labels", &v->labels);
	jw_kstr(w, "Mountpoint", mountpoint);
	jw_kstr(w, "Name", v->name);
	jw_kstrmap(w, "Options", &v->options);
	jw_kstr(w, "Scope", v->scope);
	if (status)
		jw_kstrmap(w, "Status", status);
}

void volume_encode_with(const struct volume *v, const char *mountpoint, const struct strmap *status, struct jw *w)
{
	encode_start(v, mountpoint, status, w);
	jw_obj_end(w);
}

void volume_encode(const struct volume *v, struct jw *w)
{
	volume_encode_with(v, v->mountpoint, NULL, w);
}

void volume_encode_usage(const struct volume *v, int64_t size, int64_t users, struct jw *w)
{
	encode_start(v, v->mountpoint, NULL, w);
	jw_kobj(w, "UsageData");
	jw_kint(w, "RefCount", users);
	jw_kint(w, "Size", size);
	jw_obj_end(w);
	jw_obj_end(w);
}

int64_t volume_size(struct volume_store *s, const struct volume *v, const struct cancel *cancel)
{
	/* One of another process is not asked: a list waits for nobody. */
	struct volume_driver *d = volume_driver_is_far(v->driver) ? NULL : volume_driver_get(s->drivers, v->driver, NULL);
	int64_t size = d ? volume_driver_usage(d, v->name) : -1;

	if (size >= 0)
		return size;
	if (!streq(v->scope, "local") || str_empty(v->mountpoint))
		return -1;
	return disk_use(open(v->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC), cancel);
}
