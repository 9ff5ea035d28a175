/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* docker commit: the container's changes as a layer, its configuration as an image's. */
#include <errno.h>
#include <sys/statvfs.h>

#include "base/clock.h"
#include "base/log.h"
#include "container/internal.h"
#include "events.h"
#include "image/archive.h"
#include "image/layer.h"

static void config_done(struct container_config *cfg) { jdesc_clear(&container_config_desc, cfg); }

/* Exchanges what both kinds of configuration have; twice is as before. */
static void swap_config(struct container_config *c, struct image_config *i)
{
#define SWAP(a, b) do { __typeof__(a) keep_ = (a); (a) = (b); (b) = keep_; } while (0)
	SWAP(c->user, i->user);
	SWAP(c->working_dir, i->working_dir);
	SWAP(c->stop_signal, i->stop_signal);
	SWAP(c->env, i->env);
	SWAP(c->cmd, i->cmd);
	SWAP(c->entrypoint, i->entrypoint);
	SWAP(c->shell, i->shell);
	SWAP(c->onbuild, i->onbuild);
	SWAP(c->exposed_ports, i->exposed_ports);
	SWAP(c->volumes, i->volumes);
	SWAP(c->labels, i->labels);
	SWAP(c->healthcheck, i->health);
	SWAP(c->args_escaped, i->args_escaped);
	SWAP(c->stop_timeout, i->stop_timeout);
#undef SWAP
}

/* What the client gave, else the container's own; then the instructions; then what is still open comes from the container. */
static int make_config(struct container *c, struct container_config *given, const struct strv *changes,
	struct container_config *ret, struct err *err)
{
	CLEANUP(config_done) struct container_config own = { 0 };
	struct image_config ic = { 0 };
	int r;

	lock_take(&c->lock);
	jdesc_copy(&container_config_desc, &own, &c->rec.config);
	lock_drop(&c->lock);
	if (!given) {
		jdesc_copy(&container_config_desc, ret, &own);
	} else {
		*ret = *given;
		memset(given, 0, sizeof(*given));
	}
	swap_config(ret, &ic);
	r = image_config_change(&ic, changes, err);
	swap_config(ret, &ic);
	if (r < 0)
		return -1;
	swap_config(&own, &ic);
	container_config_merge(ret, &ic);
	swap_config(&own, &ic);
	return 0;
}

static void encode_history(
	const struct image *img, const struct commit_options *o, const char *command, const char *now, struct jw *w)
{
	jw_karr(w, "history");
	for (size_t i = 0; img && i < img->history.len; i++) {
		const struct image_history *h = (const struct image_history *)img->history.v + i;

		jw_obj(w);
		if (h->created)
			jw_ktime(w, "created", h->created);
		if (!str_empty(h->author))
			jw_kstr(w, "author", h->author);
		if (!str_empty(h->created_by))
			jw_kstr(w, "created_by", h->created_by);
		if (!str_empty(h->comment))
			jw_kstr(w, "comment", h->comment);
		if (h->empty_layer)
			jw_kbool(w, "empty_layer", true);
		jw_obj_end(w);
	}
	jw_obj(w);
	jw_kstr(w, "created", now);
	if (!str_empty(o->author))
		jw_kstr(w, "author", o->author);
	jw_kstr(w, "created_by", command);
	if (!str_empty(o->comment))
		jw_kstr(w, "comment", o->comment);
	jw_obj_end(w);
	jw_arr_end(w);
}

static void encode_image(struct container *c, const struct image *img, const struct commit_options *o,
	const struct container_config *cfg, const char *diffid, struct buf *b)
{
	OWN_FREE char *args = strv_join(&c->rec.args, " ");
	OWN_FREE char *command = xasprintf("%s%s%s", c->rec.path, c->rec.args.len ? " " : "", args);
	char now[CLOCK_TEXT];
	struct jw w;

	clock_rfc3339nano(clock_now(), now);
	jw_init(&w, b);
	jw_obj(&w);
	jw_kstr(&w, "architecture", img && img->architecture ? img->architecture : "amd64");
	if (!str_empty(o->author))
		jw_kstr(&w, "author", o->author);
	if (!str_empty(o->comment))
		jw_kstr(&w, "comment", o->comment);
	jw_kdesc(&w, "config", &container_config_desc, cfg);
	jw_kstr(&w, "container", c->id);
	jw_kstr(&w, "created", now);
	jw_kstr(&w, "docker_version", PACKAGE_VERSION);
	encode_history(img, o, command, now, &w);
	jw_kstr(&w, "os", c->rec.os);
	jw_kobj(&w, "rootfs");
	jw_kstr(&w, "type", "layers");
	jw_karr(&w, "diff_ids");
	for (size_t i = 0; img && i < img->diff_ids.len; i++)
		jw_str(&w, img->diff_ids.v[i]);
	jw_str(&w, diffid);
	jw_arr_end(&w);
	jw_obj_end(&w);
	if (img && !str_empty(img->variant))
		jw_kstr(&w, "variant", img->variant);
	jw_obj_end(&w);
}

/* The changes as a tar in a file without a name; the container stands still meanwhile if asked for. */
static int spool_changes(struct container *c, bool pause, const struct cancel *cancel, struct err *err)
{
	OWN_FREE char *dir = xasprintf("%s/tmp", c->store->deps.data_root);
	CLEANUP(run_putp) struct run *run = container_run(c);
	OWN_FD int fd = -1;
	struct fd_writer out;
	struct statvfs fs;
	int64_t room;
	bool paused = false;
	int r;

	if (fs_mkdirs(dir, 0700, err) < 0)
		return -1;
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, errno, "cannot make a temporary file in %s", dir);
	if (op_begin(c, err) < 0)
		return -1;
	lock_take(&c->lock);
	pause = pause && run && c->rec.state.running && !c->rec.state.restarting && !c->rec.state.paused;
	lock_drop(&c->lock);
	if (pause && freeze_begin(c, NULL) == 0)
		paused = shim_pause(run->shim, true, NULL) == 0;
	if (paused)
		container_event(c, "pause", NULL);
	fd_writer_init(&out, fd);
	room = fstatvfs(fd, &fs) == 0 ? (int64_t)fs.f_bavail * (int64_t)fs.f_frsize + 1 : 0;
	r = rwlayer_tar(image_store_layers(c->store->deps.images), c->id, &out.writer, room, cancel, err);
	if (paused) {
		shim_pause(run->shim, false, NULL);
		container_event(c, "unpause", NULL);
	}
	if (pause)
		freeze_end(c);
	op_end(c);
	if (r < 0)
		return -1;
	if (lseek(fd, 0, SEEK_SET) < 0)
		return err_errno(err, errno, "cannot read the changes back");
	return STEAL_FD(fd);
}

static int store_image(struct container *c, const struct image *img, const struct commit_options *o,
	const struct container_config *cfg, int fd, char ret_id[72], struct err *err)
{
	struct image_store *images = c->store->deps.images;
	OWN_FREE char *chain = NULL, *diffid = NULL;
	OWN_BUF struct buf text = { 0 };
	struct fd_reader in;
	int r;

	fd_reader_init(&in, fd);
	if (layer_register(image_store_layers(images), img ? img->chain : NULL, &in.reader, NULL, NULL, &chain, &diffid, err) < 0)
		return -1;
	encode_image(c, img, o, cfg, diffid, &text);
	r = image_create(images, text.data, text.size, img ? img->id : NULL, ret_id, err);
	/* The image holds the layer now, or nobody does. */
	layer_unref(image_store_layers(images), chain, NULL, NULL);
	return r;
}

/* Docker's order: the tag, then the commit. */
static void tell(struct container *c, const struct commit_options *o, const struct strmap *labels, const char *id,
	const char *name)
{
	OWN_STRMAP struct strmap attrs = { 0 };

	if (name && c->store->deps.events) {
		strmap_copy(&attrs, labels);
		strmap_set(&attrs, "name", name);
		events_publish(c->store->deps.events, "image", "tag", id, &attrs);
	}
	container_event(c, "commit", "comment", o->comment ? o->comment : "", "imageID", id, "imageRef", name ? name : "", NULL);
}

int container_commit(struct container *c, const struct commit_options *o, struct container_config *given,
	const struct cancel *cancel, char ret_id[72], struct err *err)
{
	struct image_store *images = c->store->deps.images;
	CLEANUP(config_done) struct container_config cfg = { 0 };
	CLEANUP(image_unrefp) struct image *img = NULL;
	OWN_REFERENCE struct reference ref = { 0 };
	OWN_FREE char *name = NULL;
	OWN_FD int fd = -1;

	if (!str_empty(o->repo)) {
		if (reference_parse_tag(o->repo, o->tag, &ref, err) < 0)
			return -1;
		name = reference_familiar(&ref);
	}
	if (make_config(c, given, &o->changes, &cfg, err) < 0)
		return -1;
	if (!str_empty(c->rec.image)) {
		img = image_by_id(images, c->rec.image);
		if (!img)
			return err_set(err, ERR_NOT_FOUND, "No such image: %s", c->rec.image);
	}
	fd = spool_changes(c, o->pause, cancel, err);
	if (fd < 0 || store_image(c, img, o, &cfg, fd, ret_id, err) < 0)
		return -1;
	if (name && image_tag(images, ret_id, &ref, NULL, err) < 0)
		return -1;
	tell(c, o, &cfg.labels, ret_id, name);
	return 0;
}
