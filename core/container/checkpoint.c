/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Checkpoints: what criu writes of a container's processes, by way of the runtime's checkpoint and restore, run by the shim. In the
 * container's folder they lie where Docker's daemon puts them: checkpoints/NAME with criu's images. One is made as
 * ".NAME.new", whose name no client can ask for, and gets its own when it is whole and on the disk. Nothing is read of one
 * but its name: what a checkpoint holds steers criu alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "container/internal.h"
#include "image/list-dir.h"
#include "shim/proto.h"

#define CRIU_LOG_MOST (16u << 20)

static int check_name(const char *name, struct err *err)
{
	if (!name || !id_is_name(name, 2))
		return err_set(err, ERR_INVALID, "Invalid checkpoint ID (%.256s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name ? name : "");
	return 0;
}

/* Where a container's checkpoints lie, or those of a folder that the client names. */
static char *folder(const struct container *c, const char *dir, struct err *err)
{
	OWN_FREE char *own = container_dir(c);

	if (str_empty(dir))
		return xasprintf("%s/checkpoints", own);
	if (*dir == '/')
		return xstrdup(dir);
	err_set(err, ERR_INVALID, "invalid checkpoint directory \"%.256s\": it is not an absolute path", dir);
	return NULL;
}

static bool is_dir(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int no_such(const char *name, const char *called, struct err *err)
{
	return err_set(err, ERR_NOT_FOUND, "checkpoint %.256s does not exist for container %s", name, called);
}

int checkpoint_find(struct container *c, const char *name, char **ret_images, struct err *err)
{
	OWN_FREE char *base = folder(c, NULL, err);
	OWN_FREE char *path = xasprintf("%s/%s", base, name);

	if (!id_is_name(name, 2) || !is_dir(path))
		return no_such(name, c->rec.name, err);
	str_set(ret_images, path);
	return 0;
}

/* The first line of the log that tells of an error, without its place in the source; NULL when there is none. */
static char *first_error(const char *path)
{
	OWN_BUF struct buf b = { 0 };
	char *at, *text;

	if (fs_read(AT_FDCWD, path, CRIU_LOG_MOST, &b, NULL) < 0 || !b.data)
		return NULL;
	at = strstr(b.data, "Error (");
	text = at ? strstr(at, "): ") : NULL;
	if (!text)
		return NULL;
	text += strlen("): ");
	text[strcspn(text, "\n")] = '\0';
	return xasprintf("%.300s", text);
}

void checkpoint_explain(const struct container *c, const char *log, struct err *err)
{
	OWN_FREE char *run_dir = container_run_dir(c);
	OWN_FREE char *path = xasprintf("%s/" SHIM_CRIU_DIR "/%s", run_dir, log);
	OWN_FREE char *said = xstrdup(err_text(err)), *why = first_error(path);

	said[strcspn(said, "\n")] = '\0';
	if (why)
		err_set(err, err->class, "%s: %s", said, why);
	else
		err_set(err, err->class, "%s", said);
}

static int check_running(struct container *c, const char *called, struct err *err)
{
	WITH_LOCK(&c->lock);
	const struct container_state *st = &c->rec.state;

	if (!st->running || st->restarting || !c->run)
		return err_set(err, ERR_CONFLICT, "Container %s not running", called);
	if (st->paused)
		return err_set(err, ERR_CONFLICT, "cannot checkpoint container %s: it is paused, unpause it first", called);
	return 0;
}

/* A note for people beside the images; nothing reads it. */
static int write_note(const char *images, const char *name, bool ends, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/config.json", images);
	char time[CLOCK_TEXT];
	OWN_BUF struct buf b = { 0 };
	struct jw w;

	clock_rfc3339nano(clock_now(), time);
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "created", time);
	jw_kstr(&w, "name", name);
	jw_kbool(&w, "exit", ends);
	jw_obj_end(&w);
	return fs_write_atomic(AT_FDCWD, path, b.data, b.size, 0600, FS_RENAME_ONLY, err);
}

/* The images are on the disk before they have their name. */
static int give_name(const char *base, const char *images, const char *path, struct err *err)
{
	OWN_FD int fd = open(images, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	lock_none_held();
	if (fd < 0 || syncfs(fd) < 0)
		return err_errno(err, errno, "sync %s", images);
	if (rename(images, path) < 0)
		return err_errno(err, errno, "rename %s to %s", images, path);
	return fs_sync_dir(base, err);
}

static int dump(struct container *c, const char *called, const char *images, bool ends, struct err *err)
{
	CLEANUP(run_putp) struct run *run = container_run(c);
	OWN_ERR struct err why = ERR_INIT;

	if (!run || freeze_begin(c, err) < 0)
		return run ? -1 : err_set(err, ERR_CONFLICT, "Container %s not running", called);
	if (shim_checkpoint(run->shim, images, !ends, &why) < 0) {
		freeze_end(c);
		if (why.class == ERR_INTERNAL)
			checkpoint_explain(c, "dump.log", &why);
		err_wrap(&why, "Cannot checkpoint container %s", called);
		return err_move(err, &why);
	}
	freeze_end(c);
	return 0;
}

static void note_ending(struct container *c)
{
	WITH_LOCK(&c->lock);

	c->no_restart = true;
	c->rec.manually_stopped = true;
}

static int create_op(struct container *c, const char *called, const char *name, const char *dir, bool ends, struct err *err)
{
	OWN_FREE char *base = NULL, *path = NULL, *images = NULL;
	struct stat st;

	if (check_running(c, called, err) < 0 || check_name(name, err) < 0 || !(base = folder(c, dir, err)))
		return -1;
	path = xasprintf("%s/%s", base, name);
	images = xasprintf("%s/.%s.new", base, name);
	if (lstat(path, &st) == 0)
		return S_ISDIR(st.st_mode) ? err_set(err, ERR_CONFLICT,
				"cannot checkpoint container %s: checkpoint with name %s already exists for container %s", called, name, called) :
			err_set(err, ERR_CONFLICT, "cannot checkpoint container %s: %s exists and is not a directory", called, path);
	if (fs_remove_tree(AT_FDCWD, images, err) < 0 || fs_mkdirs(images, 0700, err) < 0)
		return err_wrap(err, "cannot checkpoint container %s", called);
	if (dump(c, called, images, ends, err) < 0) {
		fs_remove_tree(AT_FDCWD, images, NULL);
		return -1;
	}
	/* by the operation's holder: the exit is handled behind this */
	if (ends)
		note_ending(c);
	if (write_note(images, name, ends, err) < 0 || give_name(base, images, path, err) < 0)
		return err_wrap(err, "Cannot checkpoint container %s", called);
	container_event(c, "checkpoint", NULL);
	return 0;
}

int checkpoint_create(struct container *c, const char *called, const char *name, const char *dir, bool ends, struct err *err)
{
	int r;

	if (op_begin(c, err) < 0)
		return -1;
	r = create_op(c, called, name, dir, ends, err);
	op_end(c);
	/* who is told of the checkpoint may start from it at once */
	if (r == 0 && ends)
		container_wait_killed(c);
	return r;
}

/* A folder that a client names may hold anything: only what criu or this file wrote is taken for a checkpoint. */
static bool looks_whole(const char *path)
{
	static const char *const files[] = { "inventory.img", "descriptors.json", "config.json" };

	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		OWN_FREE char *file = xasprintf("%s/%s", path, files[i]);

		if (fs_exists(file))
			return true;
	}
	return false;
}

static int delete_op(const char *base, const char *called, const char *name, bool own, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s", base, name);

	if (!is_dir(path))
		return no_such(name, called, err);
	if (!own && !looks_whole(path))
		return err_set(err, ERR_CONFLICT, "%s is not a checkpoint", path);
	return fs_remove_tree(AT_FDCWD, path, err) < 0 ? -1 : fs_sync_dir(base, err);
}

int checkpoint_delete(struct container *c, const char *called, const char *name, const char *dir, struct err *err)
{
	OWN_FREE char *base = folder(c, dir, err);
	int r;

	if (!base)
		return -1;
	if (!id_is_name(name, 2))
		return no_such(name, called, err);
	/* a start may go on from it */
	if (op_begin(c, err) < 0)
		return -1;
	r = delete_op(base, called, name, str_empty(dir), err);
	op_end(c);
	return r;
}

int checkpoint_list(struct container *c, const char *dir, struct strv *ret, struct err *err)
{
	OWN_FREE char *base = folder(c, dir, err);
	OWN_STRV struct strv names = { 0 };
	OWN_FD int fd = -1;

	if (!base)
		return -1;
	fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || list_dir(fd, &names) < 0)
		return err_errno(err, errno, "read %s", base);
	for (size_t i = 0; i < names.len; i++) {
		struct stat st;

		if (id_is_name(names.v[i], 2) && fstatat(fd, names.v[i], &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
			strv_add(ret, names.v[i]);
	}
	return 0;
}
