/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mark of a container that is being created: a folder "unfinished" in its own, with an empty file for each volume without
 * a name and each layer of an image mount ("ID.view") that was made for it. It goes behind the record; that of a container which removes itself stays, as it needs not
 * outlive the machine. What start-up finds with the mark and without a whole record goes, with these volumes. Names alone
 * count: after a power cut they are there in the order in which they were made, the content of new files may not be.
 */
#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/id.h"
#include "base/log.h"
#include "container/internal.h"
#include "image/layer.h"

#define VIEW_SUFFIX ".view"

/* The name is a layer's: its id, or NULL. */
static char *view_of(const char *name)
{
	OWN_FREE char *id = str_has_suffix(name, VIEW_SUFFIX) ? xstrndup(name, strlen(name) - strlen(VIEW_SUFFIX)) : NULL;

	return id && id_is_hex64(id) ? STEAL(id) : NULL;
}

static char *mark_path(const struct container_store *s, const char *id)
{
	return xasprintf("%s/%s/unfinished", s->dir, id);
}

int unfinished_begin(struct container *c, struct err *err)
{
	OWN_FREE char *path = mark_path(c->store, c->id);

	return fs_mkdir(path, 0700, err);
}

static int add_name(struct container *c, const char *name, const char *suffix, struct err *err)
{
	OWN_FREE char *path = mark_path(c->store, c->id), *file = xasprintf("%s/%s%s", path, name, suffix);
	OWN_FD int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_errno(err, errno, "create %s", file) : 0;
}

int unfinished_volume(struct container *c, const char *name, struct err *err)
{
	return add_name(c, name, "", err);
}

int unfinished_view(struct container *c, const char *id, struct err *err)
{
	return add_name(c, id, VIEW_SUFFIX, err);
}

void unfinished_end(const struct container_store *s, const char *id)
{
	OWN_FREE char *path = mark_path(s, id);

	if (rmdir(path) < 0 && errno != ENOENT)
		fs_remove_tree(AT_FDCWD, path, NULL);
}

bool unfinished_is(const struct container_store *s, const char *id)
{
	OWN_FREE char *path = mark_path(s, id);

	return fs_exists(path);
}

void unfinished_drop_volumes(struct container_store *s, const char *id)
{
	OWN_FREE char *path = mark_path(s, id);
	OWN_DIR DIR *d = opendir(path);
	struct dirent *e;

	while (d && s->deps.volumes && (e = readdir(d))) {
		OWN_FREE char *view = view_of(e->d_name);
		OWN_ERR struct err err = ERR_INIT;

		if (view)
			rwlayer_remove(image_store_layers(s->deps.images), view, NULL);
		/* one that another container uses stays */
		if (id_is_hex64(e->d_name) && volume_remove(s->deps.volumes, e->d_name, true, &err) < 0 && err.class != ERR_CONFLICT)
			log_warn("container %s: volume %s: %s", id, e->d_name, err_text(&err));
	}
}
