/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* container_create: checks, layer, volumes, record; undone in reverse when a step fails. */
#include <errno.h>
#include <strings.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "container/bundle/security.h"
#include "container/internal.h"
#include "image/layer.h"

#define NAME_TRIES 6

static int taken(const char *name, const char *holder, struct err *err)
{
	return err_set(err, ERR_CONFLICT, "Conflict. The container name \"%s\" is already in use by container \"%s\". "
		"You have to remove (or rename) that container to be able to reuse that name.", name, holder);
}

/* The name with its slash, reserved for id. slashed: a refusal shows it with the slash, too. */
static char *take_name(struct container_store *s, const char *name, const char *id, bool slashed, struct err *err)
{
	char holder[65];

	if (str_empty(name)) {
		for (int i = 0; i < NAME_TRIES; i++) {
			OWN_FREE char *made = id_fancy_name(i);
			OWN_FREE char *full = xasprintf("/%s", made);

			if (store_name_take(s, full, id, holder))
				return STEAL(full);
		}
		OWN_FREE char *full = xasprintf("/%.12s", id);
		if (store_name_take(s, full, id, holder))
			return STEAL(full);
		taken(full, holder, err);
		return NULL;
	}
	if (!id_is_name(*name == '/' ? name + 1 : name, 2)) {
		err_set(err, ERR_INVALID, "Invalid container name (%s%.300s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
			slashed && *name != '/' ? "/" : "", name);
		return NULL;
	}
	OWN_FREE char *full = xasprintf("%s%s", *name == '/' ? "" : "/", name);
	if (store_name_take(s, full, id, holder))
		return STEAL(full);
	taken(full, holder, err);
	return NULL;
}

int container_rename(struct container *c, const char *name, struct err *err)
{
	struct container_store *s = c->store;
	OWN_FREE char *full = NULL, *old = NULL;
	bool same, running_out;
	int r;

	if (str_empty(name) || streq(name, "/"))
		return err_set(err, ERR_INVALID, "Neither old nor new names may be empty");
	if (container_check_whole(c, err) < 0 || op_begin(c, err) < 0)
		return -1;
	lock_take(&c->lock);
	same = streq(c->rec.name + 1, *name == '/' ? name + 1 : name);
	running_out = c->rec.state.removal || c->rec.state.dead;
	lock_drop(&c->lock);
	if (same || running_out) {
		op_end(c);
		return same ? err_set(err, ERR_INVALID, "Renaming a container with the same name as its current name") :
			err_set(err, ERR_CONFLICT, "Container %s is marked for removal and cannot be renamed", c->id);
	}
	full = take_name(s, name, c->id, true, err);
	if (!full) {
		op_end(c);
		return err_wrap(err, "Error when allocating new name");
	}
	lock_take(&c->lock);
	old = c->rec.name;
	c->rec.name = xstrdup(full);
	lock_drop(&c->lock);
	r = container_save(c, false, FS_SYNC, err);
	if (r < 0) {
		lock_take(&c->lock);
		str_set(&c->rec.name, old);
		lock_drop(&c->lock);
		store_name_free(s, full, c->id);
	} else {
		store_name_free(s, old, c->id);
	}
	if (r == 0 && s->deps.nets && sandbox_rename(s->deps.nets, c->id, old + 1, full + 1) < 0)
		log_warn("container %s: its networks know it by its old name until its next start", c->id);
	op_end(c);
	if (r < 0)
		return -1;
	container_event(c, "rename", "oldName", old, NULL);
	return 0;
}

/* "os[/arch[/variant]]" against the image's. */
static int check_platform(const char *platform, const struct image *img, const char *name, struct err *err)
{
	OWN_STRV struct strv want = { 0 };
	const char *arch;

	if (str_empty(platform))
		return 0;
	strv_split(&want, platform, "/");
	if (want.len > 3 || !*want.v[0])
		return err_set(err, ERR_INVALID, "\"%s\": unknown operating system or architecture: invalid argument", platform);
	arch = want.len < 2                                               ? NULL
	       : streq(want.v[1], "x86_64") || streq(want.v[1], "x86-64") ? "amd64"
	       : streq(want.v[1], "aarch64")                              ? "arm64"
									  : want.v[1];
	if ((img->os && *img->os && !streq(want.v[0], img->os)) ||
		(arch && img->architecture && *img->architecture && !streq(arch, img->architecture)))
		return err_set(err, ERR_NOT_FOUND,
			"image with reference %s was found but its platform (%s/%s) does not match the specified platform (%s)",
			name, img->os ? img->os : "", img->architecture ? img->architecture : "", platform);
	return 0;
}

/* Path and Args: the entry point first, the command behind it. */
static int split_command(struct container *c, struct err *err)
{
	const struct strv *ep = &c->rec.config.entrypoint, *cmd = &c->rec.config.cmd;

	if (!ep->len && !cmd->len)
		return err_set(err, ERR_INVALID, "No command specified");
	str_set(&c->rec.path, ep->len ? ep->v[0] : cmd->v[0]);
	c->rec.args.set = true;
	for (size_t i = 1; i < ep->len; i++)
		strv_add(&c->rec.args, ep->v[i]);
	for (size_t i = ep->len ? 0 : 1; i < cmd->len; i++)
		strv_add(&c->rec.args, cmd->v[i]);
	return 0;
}

/* "container:NAME" as the id, so that it outlives a change of names. must: the container has to be there. */
static int settle_mode(struct container_store *s, char **mode, bool must, struct err *err)
{
	CLEANUP(container_unrefp) struct container *other = NULL;
	OWN_ERR struct err local = ERR_INIT;

	if (str_empty(*mode) || !str_has_prefix(*mode, "container:"))
		return 0;
	other = container_find(s, *mode + strlen("container:"), &local);
	if (other) {
		free(*mode);
		*mode = xasprintf("container:%s", other->id);
	} else if (must) {
		local.class = ERR_INVALID;
		return err_move(err, &local);
	}
	return 0;
}

/* Links of the host configuration are for the default bridge; those on another network are its endpoint's. */
static int settle_links(struct container *c, struct strv *warnings, struct err *err)
{
	const char *mode = c->host.network_mode;

	if (!c->host.links.len)
		return 0;
	if (!endpoint_is_default(mode) && endpoint_has_names(mode)) {
		strv_done(&c->host.links);
		return 0;
	}
	if (links_resolve(c, err) < 0)
		return -1;
	if (!jmap_get(&c->rec.net.networks, "bridge", &endpoint_desc))
		strv_add(warnings, "Links have no effect: the container is not on the default bridge network.");
	return 0;
}

static int settle_others(struct container *c, struct strv *warnings, struct err *err)
{
	struct host_config *hc = &c->host;

	if (settle_mode(c->store, &hc->ipc_mode, true, err) < 0 || settle_mode(c->store, &hc->pid_mode, true, err) < 0 ||
	    settle_mode(c->store, &hc->network_mode, false, err) < 0)
		return -1;
	return settle_links(c, warnings, err);
}

static void settle_hostname(struct container *c)
{
	struct utsname u;
	const char *mode = c->host.network_mode;
	bool of_host = (mode && streq(mode, "host")) || (c->host.uts_mode && streq(c->host.uts_mode, "host"));

	if (!str_empty(c->rec.config.hostname))
		return;
	if (of_host && uname(&u) == 0) {
		str_set(&c->rec.config.hostname, u.nodename);
		return;
	}
	free(c->rec.config.hostname);
	c->rec.config.hostname = xstrndup(c->id, 12);
}

/* What needs the root file system at create: the working directory and the volumes' first content. */
static int prepare_root(struct container *c, struct layer_store *layers, struct err *err)
{
	const char *wd = c->rec.config.working_dir;
	bool need = !str_empty(wd) && !streq(wd, "/");
	OWN_FREE char *root = NULL;
	int r = 0;

	for (size_t i = 0; i < c->rec.mounts.len; i++)
		need |= ((struct mount_point *)jmap_at(&c->rec.mounts, i, &mount_point_desc))->copy_up;
	if (!need)
		return 0;
	root = container_mount(c, c->id, err);
	if (!root)
		return -1;
	if (!str_empty(wd)) {
		OWN_FD int rootfd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		OWN_FD int dir = rootfd < 0 ? -1 : fs_beneath_mkdirs(rootfd, wd, 0755, container_root_owner(c));

		if (*wd != '/')
			r = err_set(
				err, ERR_INVALID, "the working directory '%s' is invalid, it needs to be an absolute path", wd);
		else if (dir < 0)
			r = errno == ENOTDIR || errno == EEXIST
				    ? err_set(err, ERR_INVALID, "Cannot mkdir: %s is not a directory", wd)
				    : err_errno(err, errno, "cannot make the working directory %s", wd);
	}
	if (r == 0)
		r = mounts_copy_up(c, root, err);
	rwlayer_unmount(layers, c->id, NULL);
	return r;
}

static void describe(struct container *c, const struct image *img)
{
	struct layer_store *layers = image_store_layers(c->store->deps.images);

	str_set(&c->rec.id, c->id);
	c->rec.created = clock_now();
	str_set(&c->rec.apparmor_profile, security_of(&c->host).apparmor);
	str_set(&c->rec.stream_config, "{}");
	str_set(&c->rec.log_cache, "{\"HaveNotifyEnabled\":false}");
	str_set(&c->rec.image, img ? img->id : "");
	str_set(&c->rec.driver, graph_name(layer_store_graph(layers)));
	str_set(&c->rec.os, img && !str_empty(img->os) ? img->os : "linux");
}

/* Everything that can be refused before the disk is touched. */
static int check(struct container *c, const struct image *img, const char *networking, struct strv *warnings, struct err *err)
{
	struct container_store *s = c->store;

	if (container_validate_asked(&c->rec.config, &c->host, err) < 0)
		return -1;
	if (img)
		container_config_merge(&c->rec.config, &img->config);
	if (split_command(c, err) < 0)
		return -1;
	host_config_defaults(&c->host, s->deps.defaults);
	if (container_validate(&c->rec.config, &c->host, s->deps.defaults, false, warnings, err) < 0)
		return -1;
	if (log_config_check(&c->host.log, err) < 0)
		return -1;
	log_config_warn(&c->host.log, warnings);
	if (endpoints_settle(c, networking, warnings, err) < 0 ||
	    settle_others(c, warnings, err) < 0)
		return -1;
	settle_hostname(c);
	return 0;
}

static int make_layer(struct container *c, const struct image *img, struct err *err)
{
	struct layer_store *layers = image_store_layers(c->store->deps.images);
	const char *chain = img ? img->chain : NULL;

	return c->host.auto_remove ? rwlayer_create_brief(layers, c->id, chain, container_mount_label(c), &c->host.storage_opt, err) :
		rwlayer_create(layers, c->id, chain, container_mount_label(c), &c->host.storage_opt, err);
}

/* Disk and index; the steps undo themselves from the last. */
static int build(struct container *c, const struct image *img, struct err *err)
{
	struct container_store *s = c->store;
	struct layer_store *layers = image_store_layers(s->deps.images);
	enum fs_sync sync = c->host.auto_remove ? FS_RENAME_ONLY : FS_SYNC;
	OWN_FREE char *dir = container_dir(c);
	uint32_t ids;

	/* The folder first: one without a record tells the next start to take back the layer, too. */
	if (fs_mkdirs_owned(dir, 0710, container_dir_owner(), err) < 0)
		return -1;
	if (unfinished_begin(c, err) < 0 || (userns_auto(&c->host, &ids) && ids_take(c, ids, err) < 0) || make_layer(c, img, err) < 0)
		goto undo_dir;
	if (container_fit_layer(c, c->id, err) < 0 || mounts_resolve(c, img, err) < 0 || prepare_root(c, layers, err) < 0 ||
	    (sync == FS_SYNC && rwlayer_sync(layers, c->id, err) < 0))
		goto undo_mounts;
	if (container_save(c, true, sync, err) < 0 || (sync == FS_SYNC && fs_sync_dir(s->dir, err) < 0))
		goto undo_mounts;
	if (sync == FS_SYNC)
		unfinished_end(s, c->id);
	BUG_ON(store_add(s, c) < 0);
	return 0;
undo_mounts:
	mounts_forget(c, true);
	rwlayer_remove(layers, c->id, NULL);
undo_dir:
	ids_give(c);
	fs_remove_tree(AT_FDCWD, dir, NULL);
	return -1;
}

int container_create(struct container_store *s, const char *name, const char *platform, struct create_body *body, char ret_id[65],
	struct strv *warnings, struct err *err)
{
	CLEANUP(container_unrefp) struct container *c = NULL;
	CLEANUP(image_unrefp) struct image *img = NULL;
	char id[65];

	if (atomic_load(&s->stopping))
		return err_set(err, ERR_UNAVAILABLE, "the daemon is shutting down");
	if (!str_empty(body->config.image)) {
		img = image_get(s->deps.images, body->config.image, err);
		if (!img || check_platform(platform, img, body->config.image, err) < 0)
			return -1;
		if (img->damaged)
			return err_set(err, ERR_INTERNAL, "image %s is damaged: %s", body->config.image, img->damaged);
	}
	id_new(id);
	c = container_new(s, id);
	c->rec.config = body->config;
	c->host = body->host;
	memset(&body->config, 0, sizeof(body->config));
	memset(&body->host, 0, sizeof(body->host));
	describe(c, img);
	if (check(c, img, body->networking, warnings, err) < 0 || labels_settle(c, err) < 0)
		return -1;
	c->rec.name = take_name(s, name, id, false, err);
	if (!c->rec.name)
		return -1;
	if (build(c, img, err) < 0) {
		store_name_free(s, c->rec.name, id);
		return -1;
	}
	memcpy(ret_id, id, sizeof(id));
	container_event(c, "create", NULL);
	return 0;
}
