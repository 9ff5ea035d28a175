/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of the Container Device Interface, version 0.3 to 1.0, as JSON or YAML. They are the host administrator's; one that is broken is left out. */
#include "container/bundle/cdi.h"

#include <dirent.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/yaml.h"

#define FILE_MAX_SIZE (8u << 20)

JDESC(edit_node_desc, edit_node,
	JFIELD(edit_node, path, "path", J_STR, J_REQUIRED),
	JFIELD(edit_node, host_path, "hostPath", J_STR, 0),
	JFIELD(edit_node, type, "type", J_STR, 0),
	JFIELD(edit_node, permissions, "permissions", J_STR, 0),
	JFIELD(edit_node, major, "major", J_OPT_I64, 0),
	JFIELD(edit_node, minor, "minor", J_OPT_I64, 0),
	JFIELD(edit_node, mode, "fileMode", J_OPT_I64, 0),
	JFIELD(edit_node, uid, "uid", J_OPT_I64, 0),
	JFIELD(edit_node, gid, "gid", J_OPT_I64, 0));
JDESC(edit_mount_desc, edit_mount,
	JFIELD(edit_mount, host_path, "hostPath", J_STR, J_REQUIRED),
	JFIELD(edit_mount, container_path, "containerPath", J_STR, J_REQUIRED),
	JFIELD(edit_mount, type, "type", J_STR, 0),
	JFIELD(edit_mount, options, "options", J_STRV, 0));
JDESC(edit_hook_desc, edit_hook,
	JFIELD(edit_hook, name, "hookName", J_STR, J_REQUIRED),
	JFIELD(edit_hook, path, "path", J_STR, J_REQUIRED),
	JFIELD(edit_hook, args, "args", J_STRV, 0),
	JFIELD(edit_hook, env, "env", J_STRV, 0),
	JFIELD(edit_hook, timeout, "timeout", J_OPT_I64, 0));
JDESC(device_edits_desc, device_edits,
	JFIELD(device_edits, env, "env", J_STRV, 0),
	JFIELD_SUB(device_edits, nodes, "deviceNodes", J_LIST, 0, edit_node_desc),
	JFIELD_SUB(device_edits, mounts, "mounts", J_LIST, 0, edit_mount_desc),
	JFIELD_SUB(device_edits, hooks, "hooks", J_LIST, 0, edit_hook_desc),
	JFIELD(device_edits, gids, "additionalGids", J_RAW, 0));

void device_edits_done(struct device_edits *e)
{
	jdesc_clear(&device_edits_desc, e);
}

struct cdi_device { char *name; struct device_edits edits; };
JDESC_STATIC(cdi_device_desc, cdi_device,
	JFIELD(cdi_device, name, "name", J_STR, J_REQUIRED),
	JFIELD_SUB(cdi_device, edits, "containerEdits", J_OBJ, 0, device_edits_desc));
struct cdi_file { char *version, *kind; struct jlist devices; struct device_edits edits; size_t dir; bool used; };
JDESC_STATIC(cdi_file_desc, cdi_file,
	JFIELD(cdi_file, version, "cdiVersion", J_STR, J_REQUIRED),
	JFIELD(cdi_file, kind, "kind", J_STR, J_REQUIRED),
	JFIELD_SUB(cdi_file, devices, "devices", J_LIST, 0, cdi_device_desc),
	JFIELD_SUB(cdi_file, edits, "containerEdits", J_OBJ, 0, device_edits_desc));

static const char *const hook_names[] = { "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop" };

static int check_edits(const struct device_edits *e, struct err *err)
{
	for (size_t i = 0; i < e->env.len; i++)
		if (!strchr(e->env.v[i], '=') || e->env.v[i][0] == '=')
			return err_set(err, ERR_INVALID, "invalid environment variable \"%.128s\"", e->env.v[i]);
	for (size_t i = 0; i < e->nodes.len; i++) {
		const struct edit_node *n = jlist_at(&e->nodes, i, &edit_node_desc);

		if (*n->path != '/' || (!str_empty(n->type) && !strstr("b c u p", n->type)) ||
		    (n->permissions && strspn(n->permissions, "rwm") != strlen(n->permissions)))
			return err_set(err, ERR_INVALID, "invalid device node \"%.128s\"", n->path);
	}
	for (size_t i = 0; i < e->mounts.len; i++) {
		const struct edit_mount *m = jlist_at(&e->mounts, i, &edit_mount_desc);

		if (*m->container_path != '/' || !*m->host_path)
			return err_set(err, ERR_INVALID, "invalid mount at \"%.128s\"", m->container_path);
	}
	for (size_t i = 0; i < e->hooks.len; i++) {
		const struct edit_hook *h = jlist_at(&e->hooks, i, &edit_hook_desc);
		bool known = false;

		for (size_t k = 0; k < ARRAY_LEN(hook_names); k++)
			known |= streq(h->name, hook_names[k]);
		if (!known || *h->path != '/')
			return err_set(err, ERR_INVALID, "invalid hook \"%.64s\" (%.128s)", h->name, h->path);
	}
	return 0;
}

static int check_file(const struct cdi_file *f, struct err *err)
{
	const char *slash = strchr(f->kind, '/');

	if (!slash || slash == f->kind || !slash[1] || strpbrk(f->kind, "= \t\n"))
		return err_set(err, ERR_INVALID, "invalid kind \"%.128s\": VENDOR/CLASS", f->kind);
	if (check_edits(&f->edits, err) < 0)
		return -1;
	for (size_t i = 0; i < f->devices.len; i++) {
		const struct cdi_device *d = jlist_at(&f->devices, i, &cdi_device_desc);

		if (!*d->name || check_edits(&d->edits, err) < 0)
			return *d->name ? -1 : err_set(err, ERR_INVALID, "a device without a name");
	}
	return 0;
}

/* As the tables say it; whatever is YAML becomes JSON first. */
static int parse(const char *name, const struct buf *b, struct cdi_file *ret, struct err *err)
{
	static const char *const texts[] = { "name", "kind", "cdiVersion", "path", "hostPath", "containerPath", "type", "permissions", "hookName",
		"env", "args", "options", NULL };
	OWN_JSON json_t *js = NULL;
	OWN_FREE char *json = NULL;

	if (str_has_suffix(name, ".json"))
		return jdesc_parse(&cdi_file_desc, b->data, b->size, ret, err);
	js = yaml_read(b->data ? b->data : "", b->size, texts, err);
	json = js ? json_dumps(js, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
	return js ? jdesc_parse(&cdi_file_desc, json, strlen(json), ret, err) : -1;
}

static void read_file(const char *dir, const char *name, size_t index, struct jlist *files)
{
	OWN_FREE char *path = xasprintf("%s/%s", dir, name);
	struct cdi_file f = { 0 };
	OWN_BUF struct buf b = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	/* as Docker: not *.yml */
	if (!str_has_suffix(name, ".json") && !str_has_suffix(name, ".yaml"))
		return;
	if (fs_read(AT_FDCWD, path, FILE_MAX_SIZE, &b, &err) < 0 || parse(name, &b, &f, &err) < 0 || check_file(&f, &err) < 0) {
		log_warn("CDI: %s is left out: %s", path, err_text(&err));
		jdesc_clear(&cdi_file_desc, &f);
		return;
	}
	f.dir = index;
	*(struct cdi_file *)jlist_add(files, &cdi_file_desc) = f;
}

static void read_all(const struct strv *dirs, struct jlist *files)
{
	for (size_t i = 0; i < dirs->len; i++) {
		struct dirent **names = NULL;
		int n = scandir(dirs->v[i], &names, NULL, alphasort);

		for (int k = 0; k < n; k++) {
			read_file(dirs->v[i], names[k]->d_name, i, files);
			free(names[k]);
		}
		free(names);
	}
}

static void free_all(struct jlist *files)
{
	for (size_t i = 0; i < files->len; i++)
		jdesc_clear(&cdi_file_desc, jlist_at(files, i, &cdi_file_desc));
	free(files->v);
}

/* NULL: nobody defines it, or two files of the same folder do. */
static struct cdi_device *find(const struct jlist *files, const char *name, struct cdi_file **ret_file)
{
	struct cdi_device *found = NULL;
	bool twice = false;

	for (size_t i = 0; i < files->len; i++) {
		struct cdi_file *f = jlist_at(files, i, &cdi_file_desc);
		size_t n = strlen(f->kind);

		if (strncmp(name, f->kind, n) != 0 || name[n] != '=')
			continue;
		for (size_t k = 0; k < f->devices.len; k++) {
			struct cdi_device *d = jlist_at(&f->devices, k, &cdi_device_desc);

			if (!streq(d->name, name + n + 1))
				continue;
			twice = found && (*ret_file)->dir == f->dir;
			found = d;
			*ret_file = f;
		}
	}
	return twice ? NULL : found;
}

static void add_list(struct jlist *to, const struct jlist *from, const struct jdesc *d)
{
	for (size_t i = 0; i < from->len; i++)
		jdesc_copy(d, jlist_add(to, d), jlist_at(from, i, d));
}

static void add_edits(struct device_edits *to, const struct device_edits *from)
{
	for (size_t i = 0; i < from->env.len; i++)
		strv_add(&to->env, from->env.v[i]);
	add_list(&to->nodes, &from->nodes, &edit_node_desc);
	add_list(&to->mounts, &from->mounts, &edit_mount_desc);
	add_list(&to->hooks, &from->hooks, &edit_hook_desc);
	if (from->gids) {
		OWN_JSON json_t *all = to->gids ? json_read(to->gids, strlen(to->gids), NULL) : json_array();
		OWN_JSON json_t *more = json_read(from->gids, strlen(from->gids), NULL);
		char *text;

		json_array_extend(all, more);
		text = json_dumps(all, JSON_COMPACT);
		free(to->gids);
		to->gids = text;
	}
}

int cdi_inject(const struct strv *dirs, const struct strv *names, struct device_edits *ret, struct err *err)
{
	OWN_STRV struct strv missing = { 0 };
	struct jlist files = { 0 };

	read_all(dirs, &files);
	for (size_t i = 0; i < names->len; i++) {
		struct cdi_file *f = NULL;
		struct cdi_device *d = find(&files, names->v[i], &f);

		if (!d) {
			strv_add(&missing, names->v[i]);
			continue;
		}
		if (!f->used)
			add_edits(ret, &f->edits);
		f->used = true;
		add_edits(ret, &d->edits);
	}
	free_all(&files);
	if (missing.len) {
		OWN_FREE char *list = strv_join(&missing, ", ");

		return err_set(err, ERR_INVALID, "CDI device injection failed: unresolvable CDI devices %.512s", list);
	}
	return 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void cdi_names(const struct strv *dirs, struct strv *ret)
{
	struct jlist files = { 0 };

	read_all(dirs, &files);
	for (size_t i = 0; i < files.len; i++) {
		const struct cdi_file *f = jlist_at(&files, i, &cdi_file_desc);

		for (size_t k = 0; k < f->devices.len; k++) {
			OWN_FREE char *name = xasprintf("%s=%s", f->kind, ((struct cdi_device *)jlist_at(&f->devices, k, &cdi_device_desc))->name);

			if (!strv_contains(ret, name))
				strv_add(ret, name);
		}
	}
	free_all(&files);
	if (ret->len)
		qsort(ret->v, ret->len, sizeof(*ret->v), by_text);
}
