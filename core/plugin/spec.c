/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an OCI runtime is told of a plugin. */
#include <errno.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fs.h"
#include "base/rootless.h"
#include "container/bundle/caps.h"
#include "container/bundle/masks.h"
#include "plugin/managed_i.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static json_t *strings(const struct strv *v)
{
	json_t *a = json_array();

	for (size_t i = 0; i < v->len; i++)
		json_array_append_new(a, json_string(v->v[i]));
	return a;
}

static json_t *capabilities(const json_t *config)
{
	OWN_STRV struct strv add = { 0 };
	json_t *names = json_array();
	const json_t *one;
	const char *name;
	uint64_t mask;
	size_t i;

	json_array_foreach(json_object_get(json_object_get(config, "Linux"), "Capabilities"), i, one)
		if (json_is_string(one) && caps_number(json_string_value(one)) >= 0)
			strv_add(&add, json_string_value(one));
	mask = caps_resolve(&add, &(struct strv){ 0 }, false);
	for (int n = 0; n < 64 && (name = caps_name(n)); n++)
		if (mask >> n & 1)
			json_array_append_new(names, json_string(name));
	return json_pack("{s:O, s:O, s:o}", "bounding", names, "permitted", names, "effective", names);
}

/* Its member User says nothing: Docker runs every plugin as root. */
static json_t *process(const struct managed *m, const json_t *config)
{
	json_t *args = json_deep_copy(json_object_get(config, "Entrypoint")), *more = strings(&m->args), *env = json_pack("[s]", DEFAULT_PATH);
	json_t *own = strings(&m->env);

	json_array_extend(args, more);
	json_array_extend(env, own);
	json_decref(more);
	json_decref(own);
	return json_pack("{s:{s:i, s:i}, s:o, s:o, s:s, s:o, s:b}", "user", "uid", 0, "gid", 0, "args", args, "env", env, "cwd", *text_of(config, "WorkDir") ? text_of(config, "WorkDir") : "/",
		"capabilities", capabilities(config), "noNewPrivileges", 1);
}

static void add_mount(json_t *list, const char *type, const char *source, const char *destination, json_t *options)
{
	json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "type", type, "source", source, "destination", destination, "options", options));
}

/* What every root has. A user's daemon has no groups to show. */
static void system_mounts(json_t *list)
{
	add_mount(list, "proc", "proc", "/proc", json_pack("[s,s,s]", "nosuid", "noexec", "nodev"));
	add_mount(list, "tmpfs", "tmpfs", "/dev", json_pack("[s,s,s,s]", "nosuid", "strictatime", "mode=755", "size=65536k"));
	add_mount(list, "devpts", "devpts", "/dev/pts", json_pack("[s,s,s,s,s]", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"));
	add_mount(list, "sysfs", "sysfs", "/sys", json_pack("[s,s,s,s]", "nosuid", "noexec", "nodev", "ro"));
	if (!rootless_state())
		add_mount(list, "cgroup", "cgroup", "/sys/fs/cgroup", json_pack("[s,s,s,s]", "ro", "nosuid", "noexec", "nodev"));
	add_mount(list, "mqueue", "mqueue", "/dev/mqueue", json_pack("[s,s,s]", "nosuid", "noexec", "nodev"));
	add_mount(list, "tmpfs", "shm", "/dev/shm", json_pack("[s,s,s,s]", "nosuid", "noexec", "nodev", "mode=1777"));
}

/* One of the configuration. What has an empty source has nothing to show; a runtime would take its own folder. */
static int own_mount(json_t *list, const struct managed *m, const json_t *one, struct err *err)
{
	const char *source = managed_setting(&m->mounts, one, "Source");
	const json_t *options = json_object_get(one, "Options");

	if (!source)
		return err_set(err, ERR_INVALID, "mount source is not specified");
	if (*source)
		add_mount(list, *text_of(one, "Type") ? text_of(one, "Type") : "bind", source, text_of(one, "Destination"),
			json_is_array(options) ? json_deep_copy(options) : json_array());
	return 0;
}

/* Names are looked up as on the host. */
static void name_files(json_t *list, const json_t *config)
{
	static const char *const files[] = { "/etc/hosts", "/etc/resolv.conf" };

	if (!*text_of(json_object_get(config, "Network"), "Type"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		if (fs_exists(files[i]))
			add_mount(list, "bind", files[i], files[i], json_pack("[s,s]", "rbind", "ro"));
}

static json_t *mounts(const struct managed_store *s, const struct managed *m, const json_t *config, struct err *err)
{
	OWN_FREE char *sockets = managed_sockets(s, m), *home = managed_home(s, m), *metrics = metrics_path(s), *shared = xasprintf("%s/propagated-mount", home);
	OWN_JSON json_t *list = json_array();
	const json_t *one;
	size_t i;

	system_mounts(list);
	add_mount(list, "bind", sockets, "/run/docker/plugins", json_pack("[s,s,s]", "rbind", "rw", "rshared"));
	if (metrics_wanted(config))
		add_mount(list, "bind", metrics, "/run/docker/metrics.sock", json_pack("[s,s]", "bind", "ro"));
	if (*text_of(config, "PropagatedMount"))
		add_mount(list, "bind", shared, text_of(config, "PropagatedMount"), json_pack("[s,s,s]", "rbind", "rw", "rshared"));
	json_array_foreach(json_object_get(config, "Mounts"), i, one)
		if (own_mount(list, m, one, err) < 0)
			return NULL;
	name_files(list, config);
	return STEAL(list);
}

static int add_device(json_t *nodes, json_t *rules, const char *path, struct err *err)
{
	const char *type;
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(err, errno, "device %s", path);
	if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
		return err_set(err, ERR_INVALID, "%s is no device", path);
	type = S_ISCHR(st.st_mode) ? "c" : "b";
	json_array_append_new(nodes, json_pack("{s:s, s:s, s:I, s:I, s:I}", "type", type, "path", path, "major", (json_int_t)major(st.st_rdev), "minor",
		(json_int_t)minor(st.st_rdev), "fileMode", (json_int_t)(st.st_mode & 0777)));
	json_array_append_new(rules, json_pack("{s:b, s:s, s:I, s:I, s:s}", "allow", 1, "type", type, "major", (json_int_t)major(st.st_rdev), "minor",
		(json_int_t)minor(st.st_rdev), "access", "rwm"));
	return 0;
}

static json_t *namespaces(const json_t *config)
{
	json_t *list = json_pack("[{s:s}, {s:s}]", "type", "mount", "type", "uts");

	if (!json_is_true(json_object_get(config, "PidHost")))
		json_array_append_new(list, json_pack("{s:s}", "type", "pid"));
	if (!json_is_true(json_object_get(config, "IpcHost")))
		json_array_append_new(list, json_pack("{s:s}", "type", "ipc"));
	if (!streq(text_of(json_object_get(config, "Network"), "Type"), "host"))
		json_array_append_new(list, json_pack("{s:s}", "type", "network"));
	return list;
}

/* Linux leaves to a root without a user namespace of its own what is behind these. */
static void hide(json_t *lin)
{
	OWN_STRV struct strv hidden = { 0 }, readonly = { 0 };

	masks_hidden(&hidden);
	masks_readonly(&readonly);
	json_object_set_new(lin, "maskedPaths", strings(&hidden));
	json_object_set_new(lin, "readonlyPaths", strings(&readonly));
}

static json_t *linux_of(const struct managed *m, const json_t *config, struct err *err)
{
	const json_t *linux_ = json_object_get(config, "Linux"), *one;
	bool all = json_is_true(json_object_get(linux_, "AllowAllDevices"));
	json_t *nodes = json_array(), *rules = json_pack("[{s:b, s:s}]", "allow", all, "access", "rwm");
	OWN_FREE char *group = xasprintf("/" MANAGED_GROUP "/%s", m->id);
	json_t *ret;
	size_t i;

	json_array_foreach(json_object_get(linux_, "Devices"), i, one) {
		const char *path = managed_setting(&m->devices, one, "Path");

		if (!str_empty(path) && add_device(nodes, rules, path, err) < 0) {
			json_decref(nodes);
			json_decref(rules);
			return NULL;
		}
	}
	ret = json_pack("{s:o, s:o, s:{s:o}, s:s}", "namespaces", namespaces(config), "devices", nodes, "resources", "devices", rules, "cgroupsPath", group);
	if (rootless_state()) { /* a user has no groups to give */
		json_object_del(ret, "resources");
		json_object_del(ret, "cgroupsPath");
	}
	hide(ret);
	json_object_set_new(ret, "rootfsPropagation", json_string(*text_of(config, "PropagatedMount") ? "rshared" : "rslave"));
	return ret;
}

char *managed_spec(const struct managed_store *s, const struct managed *m, const json_t *config, struct err *err)
{
	OWN_FREE char *home = managed_home(s, m), *root = xasprintf("%s/rootfs", home);
	OWN_JSON json_t *lin = linux_of(m, config, err), *all = lin ? mounts(s, m, config, err) : NULL, *spec = NULL;
	char *text;

	if (!all)
		return NULL;
	spec = json_pack("{s:s, s:o, s:{s:s, s:b}, s:s, s:O, s:O}", "ociVersion", "1.0.2", "process", process(m, config), "root", "path", root, "readonly", 0,
		"hostname", "plugin", "mounts", all, "linux", lin);
	text = spec ? json_dumps(spec, JSON_COMPACT) : NULL;
	if (!text)
		err_set(err, ERR_INVALID, "the configuration of plugin %s cannot be told to a runtime", m->name);
	return text;
}
