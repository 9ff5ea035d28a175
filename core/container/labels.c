/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SELinux and one container: its labels, made once and kept in its record, and what is given them. By the holder of the operation. */
#include <sys/xattr.h>

#include "base/log.h"
#include "container/bundle/security.h"
#include "container/internal.h"
#include "container/selinux.h"

const char *container_mount_label(const struct container *c)
{
	return c->store->deps.selinux ? c->rec.mount_label : NULL;
}

const char *container_process_label(const struct container *c)
{
	return c->store->deps.selinux && !c->host.privileged ? c->rec.process_label : NULL;
}

static bool is_host(const char *mode)
{
	return mode && streq(mode, "host");
}

/* Of a container whose namespace this one joins: by its labels this one gets the same. */
static int labels_of_joined(struct container *c, const char *mode, struct strv *ret, struct err *err)
{
	CLEANUP(container_unrefp) struct container *other = NULL;
	OWN_FREE char *label = NULL;

	if (!mode || !str_has_prefix(mode, "container:"))
		return 0;
	other = container_find(c->store, mode + strlen("container:"), err);
	if (!other)
		return -1;
	lock_take(&other->lock);
	label = xstrdup(other->rec.process_label);
	lock_drop(&other->lock);
	selinux_options_of(label, ret);
	return 0;
}

/* What Docker adds to the options of whoever says nothing about labels. It is part of the container's settings from then on. */
static int add_options(struct container *c, struct err *err)
{
	OWN_STRV struct strv of_ipc = { 0 }, of_pid = { 0 };
	const struct strv *used;

	if (security_of(&c->host).labels)
		return 0;
	if (is_host(c->host.ipc_mode) || is_host(c->host.pid_mode) || c->host.privileged) {
		strv_add(&c->host.security_opt, "label=disable");
		return 0;
	}
	if (!c->store->deps.selinux)
		return 0;
	if (labels_of_joined(c, c->host.ipc_mode, &of_ipc, err) < 0 || labels_of_joined(c, c->host.pid_mode, &of_pid, err) < 0)
		return -1;
	if (of_ipc.len && of_pid.len) {
		OWN_FREE char *a = strv_join(&of_ipc, " "), *b = strv_join(&of_pid, " ");

		if (!streq(a, b))
			return err_set(err, ERR_INVALID, "--ipc and --pid containers SELinux labels aren't the same");
	}
	used = of_ipc.len ? &of_ipc : &of_pid;
	for (size_t i = 0; i < used->len; i++)
		strv_addf(&c->host.security_opt, "label=%s", used->v[i]);
	return 0;
}

int labels_settle(struct container *c, struct err *err)
{
	struct selinux *s = c->store->deps.selinux;
	OWN_STRV struct strv options = { 0 };

	if (add_options(c, err) < 0)
		return -1;
	if (!s)
		return 0;
	security_labels(&c->host, &options);
	if (selinux_labels(s, &options, &c->rec.process_label, &c->rec.mount_label, err) < 0)
		return -1;
	c->has_level = true;
	return 0;
}

void labels_reserve(struct container *c)
{
	if (!c->store->deps.selinux)
		return;
	selinux_reserve(c->store->deps.selinux, c->rec.process_label);
	c->has_level = true;
}

void labels_release(struct container *c)
{
	if (c->has_level)
		selinux_release(c->store->deps.selinux, c->rec.process_label);
}

/* Graph drivers that mount give the label with the mount; to the tree of any other it is written, once. */
int labels_root(struct container *c, const char *root, struct err *err)
{
	const char *label = container_mount_label(c);
	char had[1024];
	ssize_t n;

	if (str_empty(label))
		return 0;
	n = lgetxattr(root, "security.selinux", had, sizeof(had) - 1);
	had[n > 0 ? n : 0] = '\0';
	return streq(had, label) ? 0 : selinux_relabel(root, label, false, err);
}

/* Words of a mode: "z" for all containers, "Z" for this one. A volume of the image is for all. */
int labels_mount(struct container *c, const struct mount_point *m, const char *source, struct err *err)
{
	const char *label = container_mount_label(c);
	OWN_STRV struct strv words = { 0 };
	bool shared, needed;

	if (str_empty(label))
		return 0;
	if (!str_empty(m->mode))
		strv_split(&words, m->mode, ",");
	shared = strv_contains(&words, "z") || (str_empty(m->mode) && !str_empty(m->name) && m->copy_up);
	needed = shared || strv_contains(&words, "Z");
	if (needed && selinux_relabel(source, label, shared, err) < 0)
		return err_wrap(err, "error setting label on mount source '%s'", source);
	return 0;
}

void labels_file(struct container *c, const char *path)
{
	const char *label = container_mount_label(c);
	bool shared = c->host.network_mode && str_has_prefix(c->host.network_mode, "container:");
	OWN_ERR struct err err = ERR_INIT;

	if (!str_empty(label) && !str_empty(path) && selinux_relabel(path, label, shared, &err) < 0)
		log_warn("container %s: %s", c->id, err_text(&err));
}
