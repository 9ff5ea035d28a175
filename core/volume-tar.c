/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "volume-tar.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/idmap.h"
#include "base/log.h"
#include "image/packtar.h"
#include "image/unpack.h"
#include "image/untar.h"

/* A mount of our own, which no container's id can be. */
static void mount_id(const char *verb, char ret[64])
{
	static unsigned count;

	snprintf(ret, 64, "%s-%u", verb, __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED));
}

static void let_go(struct volume_store *s, const char *name, const char *id)
{
	OWN_ERR struct err err = ERR_INIT;

	if (volume_unmount(s, name, id, &err) < 0)
		log_warn("%s", err_text(&err));
}

static int write_tar(int fd, struct writer *out, const struct cancel *cancel, struct err *err)
{
	struct packtar_opts opts = { .cancel = cancel, .live = true, .ids = idmaps_root() };
	struct tar_writer tar;

	tar_writer_init(&tar, out);
	return packtar(fd, "", &opts, &tar, err) < 0 ? -1 : tar_write_end(&tar, err);
}

int volume_tar_export(struct volume_store *s, const char *name, struct writer *out, const struct cancel *cancel, struct err *err)
{
	OWN_FREE char *path = NULL;
	OWN_FD int fd = -1;
	char id[64];
	int rc;

	mount_id("export", id);
	path = volume_mount(s, name, id, err);
	if (!path)
		return err_wrap(err, "export %s", name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? err_errno(err, errno, "open volume %s", name) : write_tar(fd, out, cancel, err);
	fd_close(&fd);
	let_go(s, name, id);
	return rc;
}

int volume_tar_import(struct volume_store *s, const char *name, struct reader *in, struct err *err)
{
	OWN_FREE char *path = NULL;
	OWN_FD int fd = -1;
	char id[64];
	int rc;

	mount_id("import", id);
	path = volume_mount_alone(s, name, id, err);
	if (!path)
		return err_wrap(err, "import %s", name);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	rc = fd < 0 ? err_errno(err, errno, "open volume %s", name) : unpack_files(in, fd, "/", UNTAR_KEEP_TYPES, NULL, idmaps_root(), err);
	if (rc == 0 && syncfs(fd) < 0)
		rc = err_errno(err, errno, "sync volume %s", name);
	fd_close(&fd);
	let_go(s, name, id);
	return rc;
}
