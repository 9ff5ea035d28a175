/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle/bundle.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/rootless.h"
#include "container/bundle/parts.h"
#include "container/bundle/caps.h"
#include "container/bundle/cdi.h"
#include "container/internal.h"
#include "container/bundle/seccomp.h"
#include "container/bundle/security.h"

#define INIT_INSIDE "/sbin/docker-init"
#define PROFILE_MAX (4u << 20)

static bool mode_is(const char *mode, const char *word)
{
	return mode && streq(mode, word);
}

static void put_namespace(struct jw *w, const char *type, const char *path)
{
	jw_obj(w);
	jw_kstr(w, "type", type);
	if (path)
		jw_kstr(w, "path", path);
	jw_obj_end(w);
}

static void put_namespaces(const struct bundle_in *in, struct jw *w)
{
	const struct host_config *hc = in->host;

	jw_karr(w, "namespaces");
	put_namespace(w, "mount", NULL);
	if (in->sandbox->netns_path)
		put_namespace(w, "network", in->sandbox->netns_path);
	if (!mode_is(hc->uts_mode, "host"))
		put_namespace(w, "uts", NULL);
	if (!mode_is(hc->pid_mode, "host"))
		put_namespace(w, "pid", in->pid_path);
	if (!mode_is(hc->ipc_mode, "host"))
		put_namespace(w, "ipc", in->ipc_path);
	if (mode_is(hc->cgroupns_mode, "private"))
		put_namespace(w, "cgroup", NULL);
	if (in->sandbox->userns_path)
		put_namespace(w, "user", in->sandbox->userns_path);
	jw_arr_end(w);
}

static void put_idmap(struct jw *w, const char *key, const struct idmap_list *l)
{
	jw_karr(w, key);
	for (size_t i = 0; i < l->len; i++) {
		jw_obj(w);
		jw_kint(w, "containerID", l->v[i].inside);
		jw_kint(w, "hostID", l->v[i].outside);
		jw_kint(w, "size", l->v[i].count);
		jw_obj_end(w);
	}
	jw_arr_end(w);
}

/* Unprivileged programs may bind low ports and ping, as Docker gives them, in a network namespace of their own. */
static void put_sysctls(const struct bundle_in *in, struct jw *w)
{
	struct strmap m = { 0 };

	if (in->sandbox->netns_path) {
		/* no group behind the last one that has an id */
		uint32_t groups = in->ids ? idmap_extent(&in->ids->gids) : rootless_groups();
		OWN_FREE char *range = xasprintf("0 %" PRIu32, groups > INT32_MAX ? INT32_MAX : groups - 1);

		strmap_set(&m, "net.ipv4.ip_unprivileged_port_start", "0");
		if (groups)
			strmap_set(&m, "net.ipv4.ping_group_range", range);
	}
	/* the specification's own field came with 1.1: older runtimes know the sysctl only */
	if (!str_empty(in->domainname) && !mode_is(in->host->uts_mode, "host"))
		strmap_set(&m, "kernel.domainname", in->domainname);
	for (size_t i = 0; i < in->host->sysctls.len; i++)
		strmap_set(&m, in->host->sysctls.v[i].key, in->host->sysctls.v[i].value);
	if (m.len)
		jw_kstrmap(w, "sysctl", &m);
	strmap_done(&m);
}

static int put_custom_seccomp(const struct seccomp_on *on, const char *text, size_t size, struct jw *w, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	struct jw own;

	jw_init(&own, &b);
	if (seccomp_custom(on, text, size, &own, err) < 0)
		return -1;
	if (b.size) {
		buf_addc(&b, '\0');
		jw_kraw(w, "seccomp", b.data);
	}
	return 0;
}

static int put_seccomp(const struct bundle_in *in, uint64_t caps, struct jw *w, struct err *err)
{
	const char *profile = security_of(in->host).seccomp;
	struct seccomp_on on = seccomp_here(caps);
	OWN_BUF struct buf file = { 0 };

	if (in->host->privileged && !profile)
		return 0;
	if (!profile)
		profile = in->defaults->seccomp_profile;
	if (profile && streq(profile, "unconfined"))
		return 0;
	if (str_empty(profile) || streq(profile, "builtin") || streq(profile, "default")) {
		jw_key(w, "seccomp");
		seccomp_builtin(&on, w);
		return 0;
	}
	if (*profile == '/') { /* the daemon's own setting; clients send the profile's text */
		if (profile != in->defaults->seccomp_profile)
			return err_set(err, ERR_INVALID, "Decoding seccomp profile failed: expected the profile's JSON");
		if (fs_read(AT_FDCWD, profile, PROFILE_MAX, &file, err) < 0)
			return -1;
		return put_custom_seccomp(&on, file.data, file.size, w, err);
	}
	return put_custom_seccomp(&on, profile, strlen(profile), w, err);
}

static void put_cgroups_path(const struct bundle_in *in, struct jw *w)
{
	const char *parent = !str_empty(in->host->cgroup_parent) ? in->host->cgroup_parent : in->defaults->cgroup_parent;
	OWN_FREE char *clean = bundle_cgroup_parent(in->host, in->defaults), *path = NULL;

	if (in->defaults->systemd_cgroup)
		path = xasprintf("%s:docker:%s", !str_empty(parent) ? parent : in->defaults->rootless ? "user.slice" : "system.slice", in->id);
	else
		path = xasprintf("%s/%s", streq(clean, "/") ? "" : clean, in->id);
	jw_kstr(w, "cgroupsPath", path);
}

/* Hooks of devices, by the moment at which the runtime calls them. */
static void put_hooks(const struct device_edits *edits, struct jw *w)
{
	static const char *const names[] = { "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop" };

	if (!edits || !edits->hooks.len)
		return;
	jw_kobj(w, "hooks");
	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		jw_karr(w, names[n]);
		for (size_t i = 0; i < edits->hooks.len; i++) {
			const struct edit_hook *h = jlist_at(&edits->hooks, i, &edit_hook_desc);

			if (!streq(h->name, names[n]))
				continue;
			jw_obj(w);
			jw_kstr(w, "path", h->path);
			jw_kstrv(w, "args", &h->args);
			jw_kstrv(w, "env", &h->env);
			if (h->timeout.set && h->timeout.v > 0)
				jw_kint(w, "timeout", h->timeout.v);
			jw_obj_end(w);
		}
		jw_arr_end(w);
	}
	jw_obj_end(w);
}

/* With the host's /proc bound in its place, nothing below it is the container's to bind once more. */
static void put_readonly_paths(const struct bundle_in *in, struct jw *w)
{
	bool bound = in->defaults->rootless && mode_is(in->host->pid_mode, "host");

	jw_karr(w, "readonlyPaths");
	for (size_t i = 0; i < in->host->readonly_paths.len; i++)
		if (!bound || !str_has_prefix(in->host->readonly_paths.v[i], "/proc/"))
			jw_str(w, in->host->readonly_paths.v[i]);
	jw_arr_end(w);
}

static int put_linux(const struct bundle_in *in, const struct user_ids *u, uint64_t caps, struct jw *w, struct err *err)
{
	jw_kobj(w, "linux");
	put_sysctls(in, w);
	if (!in->defaults->no_cgroup) {
		if (bundle_resources(in->host, in->edits, w, err) < 0)
			return -1;
		put_cgroups_path(in, w);
	}
	put_namespaces(in, w);
	if (in->ids) {
		put_idmap(w, "uidMappings", &in->ids->uids);
		put_idmap(w, "gidMappings", &in->ids->gids);
	}
	if (in->propagation)
		jw_kstr(w, "rootfsPropagation", in->propagation);
	jw_karr(w, "devices");
	if (!bundle_nested(in) && bundle_device_nodes(in->host, in->edits, u->uid, u->gid, w, err) < 0)
		return -1;
	jw_arr_end(w);
	if (put_seccomp(in, caps, w, err) < 0)
		return -1;
	if (!str_empty(in->mount_label))
		jw_kstr(w, "mountLabel", in->mount_label);
	if (!in->host->privileged) {
		if (in->host->masked_paths.len)
			jw_kstrv(w, "maskedPaths", &in->host->masked_paths);
		if (in->host->readonly_paths.len)
			put_readonly_paths(in, w);
	}
	jw_obj_end(w);
	return 0;
}

/* Entrypoint and command, behind the init when there is one. */
static void build_args(const struct bundle_in *in, bool init, struct strv *args)
{
	if (init) {
		strv_add(args, INIT_INSIDE);
		strv_add(args, "--");
	}
	strv_add(args, in->path);
	for (size_t i = 0; i < in->args->len; i++)
		strv_add(args, in->args->v[i]);
}

/* The working directory is made where it is missing, inside the root whatever links the image holds. */
static int make_workdir(const struct bundle_in *in, int rootfd, struct err *err)
{
	struct fs_owner owner = { idmaps_root_uid(in->file_ids), idmaps_root_gid(in->file_ids) };
	OWN_FD int fd = -1;

	if (str_empty(in->config->working_dir) || streq(in->config->working_dir, "/"))
		return 0;
	fd = fs_beneath_mkdirs(rootfd, in->config->working_dir, 0755, owner);
	if (fd < 0 && errno == ENOTDIR)
		return err_set(err, ERR_INVALID, "Cannot mkdir: %s is not a directory", in->config->working_dir);
	return fd < 0 ? err_errno(err, errno, "mkdir %s in the container", in->config->working_dir) : 0;
}

static int wants_init(const struct bundle_in *in, bool *ret, struct err *err)
{
	*ret = in->host->init.set ? in->host->init.v : in->defaults->init;
	if (*ret && (mode_is(in->host->pid_mode, "host") || in->pid_path))
		*ret = false; /* an init is pid 1 of a pid namespace of its own */
	if (*ret && !in->defaults->init_path)
		return err_set(err, ERR_INVALID, "--init needs docker-init (tini), which was not found on this host");
	return 0;
}

static int put_config(const struct bundle_in *in, int rootfd, struct jw *w, struct err *err)
{
	uint64_t caps = caps_resolve(&in->host->cap_add, &in->host->cap_drop, in->host->privileged);
	OWN_STRV struct strv args = { 0 };
	struct process_in p = { .container = in, .env = NULL, .tty = in->tty, .privileged = in->host->privileged,
		.rows = (uint16_t)in->host->console_size[0], .cols = (uint16_t)in->host->console_size[1] };
	struct bundle_in with_init = *in;
	OWN_FREE struct bundle_mount *mounts = NULL;
	struct strv init_options = { 0 };
	struct user_ids u = { 0 };
	bool init;
	int r;

	if (wants_init(in, &init, err) < 0)
		return -1;
	build_args(in, init, &args);
	if (init) {
		mounts = xcalloc(in->n_mounts + 1, sizeof(*mounts));
		for (size_t i = 0; i < in->n_mounts; i++)
			mounts[i] = in->mounts[i];
		strv_split(&init_options, "bind,ro", ",");
		mounts[in->n_mounts] = (struct bundle_mount){ .type = (char *)"bind", .source = (char *)in->defaults->init_path,
			.destination = (char *)INIT_INSIDE, .options = init_options };
		with_init.mounts = mounts;
		with_init.n_mounts++;
	}
	jw_obj(w);
	jw_kstr(w, "ociVersion", "1.0.2");
	jw_kobj(w, "process");
	r = bundle_process_members(&p, rootfd, &args, w, &u, err);
	if (r == 0) {
		jw_obj_end(w);
		jw_kobj(w, "root");
		jw_kstr(w, "path", in->rootfs);
		jw_kbool(w, "readonly", in->host->readonly_rootfs);
		jw_obj_end(w);
		if (!mode_is(in->host->uts_mode, "host"))
			jw_kstr(w, "hostname", in->hostname);
		bundle_mounts(&with_init, w);
		if (in->host->annotations.len)
			jw_kstrmap(w, "annotations", &in->host->annotations);
		put_hooks(in->edits, w);
		r = put_linux(in, &u, caps, w, err);
		jw_obj_end(w);
	}
	strv_done(&init_options);
	user_ids_done(&u);
	return r;
}

int bundle_write(const struct bundle_in *in, const char *dir, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *path = xasprintf("%s/config.json", dir);
	OWN_FD int rootfd = open(in->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct jw w;

	if (rootfd < 0)
		return err_errno(err, errno, "open %s", in->rootfs);
	if (make_workdir(in, rootfd, err) < 0)
		return -1;
	jw_init(&w, &b);
	if (put_config(in, rootfd, &w, err) < 0)
		return -1;
	return fs_write_atomic(AT_FDCWD, path, b.data, b.size, 0600, FS_RENAME_ONLY, err);
}

bool bundle_nested(const struct bundle_in *in)
{
	return in->ids || in->defaults->rootless;
}

char *bundle_cgroup_parent(const struct host_config *hc, const struct daemon_defaults *d)
{
	const char *parent = !str_empty(hc->cgroup_parent) ? hc->cgroup_parent : d->cgroup_parent;

	return path_clean(str_empty(parent) ? "/docker" : parent);
}

const char *bundle_runtime(const struct daemon_defaults *d, const char *name)
{
	const char *path = strmap_get(&d->runtimes, name);

	/* the shim that stands for runc in Docker */
	return path || !streq(name, "io.containerd.runc.v2") ? path : strmap_get(&d->runtimes, "runc");
}
