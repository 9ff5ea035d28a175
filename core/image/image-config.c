/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Image configurations: JSON to struct image, checked. */
#include "image/image.h"

#include "base/clock.h"
#include "base/id.h"
#include "image/image-store.h"

#define HISTORY_MAX 4096

struct rootfs { char *type; struct strv diff_ids; };

/* The configuration file; what is not here is kept in its bytes only. */
struct config_file {
	char *architecture, *variant, *os, *os_version, *author, *comment, *container, *docker_version, *config_raw;
	int64_t created;
	struct jlist history;
	struct rootfs *rootfs;
};

JDESC(image_health_desc, image_health,
	JFIELD(image_health, test, "Test", J_STRV, J_OMITEMPTY),
	JFIELD(image_health, interval, "Interval", J_I64, J_OMITEMPTY),
	JFIELD(image_health, timeout, "Timeout", J_I64, J_OMITEMPTY),
	JFIELD(image_health, start_period, "StartPeriod", J_I64, J_OMITEMPTY),
	JFIELD(image_health, start_interval, "StartInterval", J_I64, J_OMITEMPTY),
	JFIELD(image_health, retries, "Retries", J_I64, J_OMITEMPTY));

JDESC(image_config_desc, image_config,
	JFIELD(image_config, user, "User", J_STR, 0),
	JFIELD(image_config, exposed_ports, "ExposedPorts", J_SET, J_OMITEMPTY),
	JFIELD(image_config, env, "Env", J_STRV, 0),
	JFIELD(image_config, cmd, "Cmd", J_WORDS, 0),
	JFIELD_SUB(image_config, health, "Healthcheck", J_PTR, J_OMITEMPTY, image_health_desc),
	JFIELD(image_config, args_escaped, "ArgsEscaped", J_BOOL, J_OMITEMPTY),
	JFIELD(image_config, volumes, "Volumes", J_SET, 0),
	JFIELD(image_config, working_dir, "WorkingDir", J_STR, 0),
	JFIELD(image_config, entrypoint, "Entrypoint", J_WORDS, 0),
	JFIELD(image_config, onbuild, "OnBuild", J_STRV, 0),
	JFIELD(image_config, labels, "Labels", J_STRMAP, 0),
	JFIELD(image_config, stop_signal, "StopSignal", J_STR, J_OMITEMPTY),
	JFIELD(image_config, stop_timeout, "StopTimeout", J_OPT_I64, J_OMITEMPTY),
	JFIELD(image_config, shell, "Shell", J_WORDS, J_OMITEMPTY));

JDESC(image_config_full_desc, image_config_full,
	JFIELD(image_config_full, hostname, "Hostname", J_STR, 0),
	JFIELD(image_config_full, domainname, "Domainname", J_STR, 0),
	JFIELD(image_config_full, c.user, "User", J_STR, 0),
	JFIELD(image_config_full, attach_stdin, "AttachStdin", J_BOOL, 0),
	JFIELD(image_config_full, attach_stdout, "AttachStdout", J_BOOL, 0),
	JFIELD(image_config_full, attach_stderr, "AttachStderr", J_BOOL, 0),
	JFIELD(image_config_full, c.exposed_ports, "ExposedPorts", J_SET, J_OMITEMPTY),
	JFIELD(image_config_full, tty, "Tty", J_BOOL, 0),
	JFIELD(image_config_full, open_stdin, "OpenStdin", J_BOOL, 0),
	JFIELD(image_config_full, stdin_once, "StdinOnce", J_BOOL, 0),
	JFIELD(image_config_full, c.env, "Env", J_STRV, 0),
	JFIELD(image_config_full, c.cmd, "Cmd", J_WORDS, 0),
	JFIELD_SUB(image_config_full, c.health, "Healthcheck", J_PTR, J_OMITEMPTY, image_health_desc),
	JFIELD(image_config_full, c.args_escaped, "ArgsEscaped", J_BOOL, J_OMITEMPTY),
	JFIELD(image_config_full, image, "Image", J_STR, 0),
	JFIELD(image_config_full, c.volumes, "Volumes", J_SET, 0),
	JFIELD(image_config_full, c.working_dir, "WorkingDir", J_STR, 0),
	JFIELD(image_config_full, c.entrypoint, "Entrypoint", J_WORDS, 0),
	JFIELD(image_config_full, network_disabled, "NetworkDisabled", J_BOOL, J_OMITEMPTY),
	JFIELD(image_config_full, mac_address, "MacAddress", J_STR, J_OMITEMPTY),
	JFIELD(image_config_full, c.onbuild, "OnBuild", J_STRV, 0),
	JFIELD(image_config_full, c.labels, "Labels", J_STRMAP, 0),
	JFIELD(image_config_full, c.stop_signal, "StopSignal", J_STR, J_OMITEMPTY),
	JFIELD(image_config_full, c.stop_timeout, "StopTimeout", J_OPT_I64, J_OMITEMPTY),
	JFIELD(image_config_full, c.shell, "Shell", J_WORDS, J_OMITEMPTY));

JDESC(image_history_desc, image_history,
	JFIELD(image_history, created, "created", J_TIME, J_OMITEMPTY),
	JFIELD(image_history, created_by, "created_by", J_STR, J_OMITEMPTY),
	JFIELD(image_history, author, "author", J_STR, J_OMITEMPTY),
	JFIELD(image_history, comment, "comment", J_STR, J_OMITEMPTY),
	JFIELD(image_history, empty_layer, "empty_layer", J_BOOL, J_OMITEMPTY));

JDESC(rootfs_desc, rootfs,
	JFIELD(rootfs, type, "type", J_STR, 0),
	JFIELD(rootfs, diff_ids, "diff_ids", J_STRV, 0));

JDESC(config_file_desc, config_file,
	JFIELD(config_file, architecture, "architecture", J_STR, 0),
	JFIELD(config_file, variant, "variant", J_STR, J_OMITEMPTY),
	JFIELD(config_file, os, "os", J_STR, 0),
	JFIELD(config_file, os_version, "os.version", J_STR, J_OMITEMPTY),
	JFIELD(config_file, author, "author", J_STR, J_OMITEMPTY),
	JFIELD(config_file, comment, "comment", J_STR, J_OMITEMPTY),
	JFIELD(config_file, container, "container", J_STR, J_OMITEMPTY),
	JFIELD(config_file, docker_version, "docker_version", J_STR, J_OMITEMPTY),
	JFIELD(config_file, config_raw, "config", J_RAW, J_OMITEMPTY),
	JFIELD(config_file, created, "created", J_TIME, 0),
	JFIELD_SUB(config_file, history, "history", J_LIST, 0, image_history_desc),
	JFIELD_SUB(config_file, rootfs, "rootfs", J_PTR, 0, rootfs_desc));

static void config_file_done(struct config_file *f) { jdesc_clear(&config_file_desc, f); }

static int check(const struct config_file *f, struct err *err)
{
	if (!f->rootfs)
		return err_set(err, ERR_INVALID, "invalid image JSON, no RootFS key");
	if (!str_empty(f->rootfs->type) && !streq(f->rootfs->type, "layers"))
		return err_set(err, ERR_INVALID, "invalid image JSON: unknown rootfs type");
	if (f->rootfs->diff_ids.len > IMAGE_LAYERS_MAX)
		return err_set(err, ERR_INVALID, "max depth exceeded");
	if (f->history.len > HISTORY_MAX)
		return err_set(err, ERR_INVALID, "invalid image JSON: more than %d history entries", HISTORY_MAX);
	for (size_t i = 0; i < f->rootfs->diff_ids.len; i++)
		if (!id_digest_hex(f->rootfs->diff_ids.v[i]))
			return err_set(err, ERR_INVALID, "invalid image JSON: bad layer digest");
	return 0;
}

struct image *image_parse(const char *config, size_t size, struct err *err)
{
	CLEANUP(config_file_done) struct config_file f = { .created = CLOCK_ZERO };
	CLEANUP(image_unrefp) struct image *img = xcalloc(1, sizeof(*img));

	img->refs = 1;
	if (size > IMAGE_CONFIG_MAX) {
		err_set(err, ERR_TOO_LARGE, "image configuration is larger than %u bytes", IMAGE_CONFIG_MAX);
		return NULL;
	}
	if (jdesc_parse(&config_file_desc, config, size, &f, err) < 0 || check(&f, err) < 0)
		return NULL;
	if (f.config_raw && jdesc_parse(&image_config_desc, f.config_raw, strlen(f.config_raw), &img->config, err) < 0)
		return NULL;
	img->architecture = STEAL(f.architecture);
	img->variant = STEAL(f.variant);
	img->os = STEAL(f.os);
	img->os_version = STEAL(f.os_version);
	img->author = STEAL(f.author);
	img->comment = STEAL(f.comment);
	img->container = STEAL(f.container);
	img->docker_version = STEAL(f.docker_version);
	img->config_raw = STEAL(f.config_raw);
	img->created = f.created;
	img->history = f.history;
	f.history = (struct jlist){ 0 };
	img->diff_ids = f.rootfs->diff_ids;
	f.rootfs->diff_ids = (struct strv){ 0 };
	return STEAL(img);
}

static void image_free(struct image *img)
{
	char *const owned[] = { img->architecture, img->variant, img->os, img->os_version, img->author, img->comment,
		img->container, img->docker_version, img->config_raw, img->parent, img->chain, img->damaged, img->held };

	for (size_t i = 0; i < ARRAY_LEN(owned); i++)
		free(owned[i]);
	jdesc_clear(&image_config_desc, &img->config);
	strv_done(&img->diff_ids);
	for (size_t i = 0; i < img->history.len; i++)
		jdesc_clear(&image_history_desc, jlist_at(&img->history, i, &image_history_desc));
	free(img->history.v);
	free(img);
}

void image_unref(struct image *img)
{
	if (img && __atomic_sub_fetch(&img->refs, 1, __ATOMIC_ACQ_REL) == 0)
		image_free(img);
}
