/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The index file: what the daemon knows of volumes and drivers do not keep (labels, options as given, the driver's name).
 * A plain file in volumes/: Docker's own local driver passes over what is no directory.
 */
#include <errno.h>
#include <stdio.h>

#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "volume/volume_i.h"

#define INDEX_VERSION 1
#define INDEX_MAX (64u << 20)

struct index_file {
	int64_t version;
	struct jlist volumes;
};

JDESC(volume_meta_desc, volume_meta,
	JFIELD(volume_meta, name, "Name", J_STR, J_REQUIRED),
	JFIELD(volume_meta, driver, "Driver", J_STR, J_REQUIRED),
	JFIELD(volume_meta, created, "CreatedAt", J_I64, 0),
	JFIELD(volume_meta, labels, "Labels", J_STRMAP, 0),
	JFIELD(volume_meta, options, "Options", J_STRMAP, 0));

JDESC(index_file_desc, index_file,
	JFIELD(index_file, version, "Version", J_I64, J_REQUIRED),
	JFIELD_SUB(index_file, volumes, "Volumes", J_LIST, J_NONNULL, volume_meta_desc));

static char *index_path(const char *data_root)
{
	return xasprintf("%s/volumes/dockerd.json", data_root);
}

static int read_file(const char *path, struct index_file *ret, struct err *err)
{
	OWN_BUF struct buf text = {0};

	*ret = (struct index_file){0};
	if (fs_read(AT_FDCWD, path, INDEX_MAX, &text, err) < 0)
		return -1;
	if (jdesc_parse(&index_file_desc, text.data, text.size, ret, err) == 0) {
		if (ret->version == INDEX_VERSION)
			return 0;
		err_set(err, ERR_INVALID, "its version is %lld, this daemon knows %d", (long long)ret->version, INDEX_VERSION);
	}
	jdesc_clear(&index_file_desc, ret);
	return -1;
}

bool volume_index_read(const char *data_root, struct jlist *ret)
{
	OWN_FREE char *path = index_path(data_root), *copy = xasprintf("%s.copy", path);
	OWN_ERR struct err err = ERR_INIT, aside = ERR_INIT;
	struct index_file file;
	bool again = false;

	if (read_file(path, &file, &err) < 0) {
		bool found = read_file(copy, &file, NULL) == 0;

		if (!found && err.class == ERR_NOT_FOUND)
			return false;
		again = true;
		damage_note("volume", "index", found ? DAMAGE_REPAIRED : DAMAGE_LOST, "the index of volumes was damaged (%s)%s",
			err_text(&err), found ? " and comes from its copy" : ": labels and options as they were given are lost");
		if (fs_set_aside(AT_FDCWD, path, &aside) < 0)
			log_warn("%s", err_text(&aside));
	}
	*ret = file.volumes;
	return again;
}

int volume_index_write(const char *data_root, struct volume *const *v, size_t len, struct err *err)
{
	OWN_FREE char *path = index_path(data_root);
	OWN_FREE struct volume_meta *items = xcalloc(len + 1, sizeof(*items));
	OWN_BUF struct buf text = {0};
	struct index_file file = { .version = INDEX_VERSION, .volumes = { items, len, true } };
	struct jw w;

	for (size_t i = 0; i < len; i++) /* borrowed, never cleared */
		items[i] = (struct volume_meta){ v[i]->name, v[i]->driver, v[i]->created, v[i]->labels, v[i]->options };
	jw_init(&w, &text);
	jdesc_encode(&index_file_desc, &file, &w);
	buf_addc(&text, '\n');
	if (fs_write_copied(AT_FDCWD, path, text.data, text.size, 0600, FS_SYNC, err) < 0)
		return err_wrap(err, "write the index of volumes");
	return 0;
}
