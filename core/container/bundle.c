/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/bundle.h"

#include <errno.h>
#include <unistd.h>

#include "base/fs.h"
#include "container/bundle-parts.h"
#include "container/caps.h"
#include "container/internal.h"
#include "container/seccomp.h"
#include "container/security.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
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

/* Unprivileged programs may bind low ports and ping, as Docker gives them, in a network namespace of their own. */
static void put_sysctls(const struct bundle_in *in, struct jw *w)
{
	struct strmap m = { 0 };

	if (in->sandbox->netns_path && !in->sandbox->userns_path) {
		strmap_set(&m, "net.ipv4.ip_unprivileged_port_start", "0");
		strmap_set(&m, "net.ipv4.ping_group_range", "0 2147483647");
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

static int put_seccomp(const struct bundle_in *in, uint64_t caps, struct jw *w, struct err *err)
{
	const char *profile = security_of(in->host).seccomp;
	OWN_BUF struct buf file = { 0 };

	if (in->host->privileged && !profile)
		return 0;
	if (!profile)
		profile = in->defaults->seccomp_profile;
	/* an empty profile is none, as in Docker */
	if (profile && (streq(profile, "unconfined") || streq(profile, "{}")))
		return 0;
	jw_key(w, "seccomp");
	if (str_empty(profile) || streq(profile, "builtin") || streq(profile, "default")) {
		seccomp_builtin(caps, w);
		return 0;
	}
	if (*profile == '/') { /* the daemon's own setting; clients send the profile's text */
		if (profile != in->defaults->seccomp_profile)
			return err_set(err, ERR_INVALID, "Decoding seccomp profile failed: expected the profile's JSON");
		if (fs_read(AT_FDCWD, profile, PROFILE_MAX, &file, err) < 0)
			return -1;
		return seccomp_custom(file.data, file.size, caps, w, err);
	}
	return seccomp_custom(profile, strlen(profile), caps, w, err);
}

static void put_cgroups_path(const struct bundle_in *in, struct jw *w)
{
	const char *parent = !str_empty(in->host->cgroup_parent) ? in->host->cgroup_parent : in->defaults->cgroup_parent;
	OWN_FREE char *path = NULL;

	if (in->defaults->systemd_cgroup)
		path = xasprintf("%s:docker:%s", str_empty(parent) ? "system.slice" : parent, in->id);
	else {
		OWN_FREE char *clean = path_clean(str_empty(parent) ? "/docker" : parent);

		path = xasprintf("%s/%s", streq(clean, "/") ? "" : clean, in->id);
	}
	jw_kstr(w, "cgroupsPath", path);
}

static int put_linux(const struct bundle_in *in, uint64_t caps, struct jw *w, struct err *err)
{
	jw_kobj(w, "linux");
	put_sysctls(in, w);
	if (bundle_resources(in->host, w, err) < 0)
		return -1;
	put_cgroups_path(in, w);
	put_namespaces(in, w);
	if (in->propagation)
		jw_kstr(w, "rootfsPropagation", in->propagation);
	jw_karr(w, "devices");
	if (bundle_device_nodes(in->host, w, err) < 0)
		return -1;
	jw_arr_end(w);
	if (put_seccomp(in, caps, w, err) < 0)
		return -1;
	if (!in->host->privileged) {
		if (in->host->masked_paths.len)
			jw_kstrv(w, "maskedPaths", &in->host->masked_paths);
		if (in->host->readonly_paths.len)
			jw_kstrv(w, "readonlyPaths", &in->host->readonly_paths);
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
	OWN_FD int fd = -1;

	if (str_empty(in->config->working_dir) || streq(in->config->working_dir, "/"))
		return 0;
	fd = fs_beneath_mkdirs(rootfd, in->config->working_dir, 0755);
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
	r = bundle_process_members(&p, rootfd, &args, w, err);
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
		r = put_linux(in, caps, w, err);
		jw_obj_end(w);
	}
	strv_done(&init_options);
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

static void put_caps(const struct process_in *in, bool root, struct jw *w)
{
	static const char *const for_root[] = { "bounding", "effective", "permitted" };
	const struct host_config *hc = in->container->host;
	uint64_t caps = caps_resolve(&hc->cap_add, &hc->cap_drop, in->privileged);

	jw_kobj(w, "capabilities");
	/* never inheritable or ambient; a user other than root starts without effective ones */
	for (size_t s = 0; s < (root ? ARRAY_LEN(for_root) : 1); s++) {
		jw_karr(w, for_root[s]);
		for (int i = 0; caps_name(i); i++)
			if (caps >> i & 1)
				jw_str(w, caps_name(i));
		jw_arr_end(w);
	}
	jw_obj_end(w);
}

const char *bundle_runtime(const struct daemon_defaults *d, const char *name)
{
	const char *path = strmap_get(&d->runtimes, name);

	/* the shim that stands for runc in Docker */
	return path || !streq(name, "io.containerd.runc.v2") ? path : strmap_get(&d->runtimes, "runc");
}

const char *bundle_rlimit(const char *name)
{
	static const char *const known[][2] = {
		{ "core", "RLIMIT_CORE" }, { "cpu", "RLIMIT_CPU" }, { "data", "RLIMIT_DATA" }, { "fsize", "RLIMIT_FSIZE" },
		{ "locks", "RLIMIT_LOCKS" }, { "memlock", "RLIMIT_MEMLOCK" }, { "msgqueue", "RLIMIT_MSGQUEUE" }, { "nice", "RLIMIT_NICE" },
		{ "nofile", "RLIMIT_NOFILE" }, { "nproc", "RLIMIT_NPROC" }, { "rss", "RLIMIT_RSS" }, { "rtprio", "RLIMIT_RTPRIO" },
		{ "rttime", "RLIMIT_RTTIME" }, { "sigpending", "RLIMIT_SIGPENDING" }, { "stack", "RLIMIT_STACK" },
	};

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(known[i][0], name))
			return known[i][1];
	return NULL;
}

static void put_rlimit(const struct ulimit *u, struct jw *w)
{
	const char *type = bundle_rlimit(u->name ? u->name : "");

	if (!type)
		return;
	jw_obj(w);
	jw_kstr(w, "type", type);
	jw_key(w, "hard");
	jw_uint(w, (uint64_t)u->hard);
	jw_key(w, "soft");
	jw_uint(w, (uint64_t)u->soft);
	jw_obj_end(w);
}

static void put_rlimits(const struct bundle_in *c, struct jw *w)
{
	const struct jlist *own = &c->host->ulimits, *def = &c->defaults->ulimits;

	jw_karr(w, "rlimits");
	for (size_t i = 0; i < own->len; i++)
		put_rlimit(jlist_at(own, i, &ulimit_desc), w);
	for (size_t i = 0; i < def->len; i++) {
		const struct ulimit *d = jlist_at(def, i, &ulimit_desc);
		bool overridden = false;

		for (size_t k = 0; k < own->len && !overridden; k++)
			overridden = streq(((struct ulimit *)jlist_at(own, k, &ulimit_desc))->name, d->name);
		if (!overridden)
			put_rlimit(d, w);
	}
	jw_arr_end(w);
}

static void put_user(const struct user_ids *u, struct jw *w)
{
	jw_kobj(w, "user");
	jw_kint(w, "uid", u->uid);
	jw_kint(w, "gid", u->gid);
	jw_karr(w, "additionalGids");
	for (size_t i = 0; i < u->groups.len; i++)
		jw_int(w, u->groups.v[i]);
	jw_arr_end(w);
	jw_obj_end(w);
}

/* PATH, HOSTNAME and TERM, then the container's, then the exec's; a bare "K" takes K away. */
static void build_env(const struct process_in *in, const struct user_ids *u, struct strv *env)
{
	const struct strv *lists[] = { in->container->link_env, &in->container->config->env, in->env };

	strv_add(env, DEFAULT_PATH);
	strv_addf(env, "HOSTNAME=%s", in->container->hostname);
	if (in->tty)
		strv_add(env, "TERM=xterm");
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		for (size_t i = 0; lists[l] && i < lists[l]->len; i++) {
			const char *e = lists[l]->v[i], *eq = strchr(e, '=');
			OWN_FREE char *key = xstrndup(e, eq ? (size_t)(eq - e) : strlen(e));

			if (eq) {
				strv_env_set(env, key, eq + 1);
				continue;
			}
			for (size_t k = 0; k < env->len; k++) {
				if (strncmp(env->v[k], key, strlen(key)) == 0 && env->v[k][strlen(key)] == '=') {
					free(env->v[k]);
					memmove(env->v + k, env->v + k + 1, (env->len - k) * sizeof(*env->v));
					env->len--;
					break;
				}
			}
		}
	}
	if (!strv_env_get(env, "HOME"))
		strv_addf(env, "HOME=%s", !str_empty(u->home) ? u->home : "/");
}

int bundle_process_members(const struct process_in *in, int rootfd, const struct strv *args, struct jw *w, struct err *err)
{
	const struct bundle_in *c = in->container;
	const char *user = in->user ? in->user : c->config->user;
	struct security security = security_of(c->host);
	const char *cwd = !str_empty(in->working_dir) ? in->working_dir : c->config->working_dir;
	OWN_STRV struct strv env = { 0 };
	struct user_ids u;

	if (user_lookup(rootfd, user, &c->host->group_add, &u, err) < 0) {
		user_ids_done(&u);
		return -1;
	}
	build_env(in, &u, &env);
	jw_kbool(w, "terminal", in->tty);
	if (in->tty && in->rows && in->cols) {
		jw_kobj(w, "consoleSize");
		jw_kint(w, "height", in->rows);
		jw_kint(w, "width", in->cols);
		jw_obj_end(w);
	}
	put_user(&u, w);
	jw_kstrv(w, "args", args);
	jw_kstrv(w, "env", &env);
	jw_kstr(w, "cwd", str_empty(cwd) ? "/" : cwd);
	put_caps(in, u.uid == 0, w);
	put_rlimits(c, w);
	jw_kbool(w, "noNewPrivileges", security.no_new_privileges.set ? security.no_new_privileges.v : c->defaults->no_new_privileges);
	if (!str_empty(security.apparmor) && !streq(security.apparmor, "unconfined") && security_has_apparmor())
		jw_kstr(w, "apparmorProfile", security.apparmor);
	jw_kint(w, "oomScoreAdj", c->host->oom_score_adj);
	user_ids_done(&u);
	return 0;
}

char *bundle_process(const struct process_in *in, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FD int rootfd = open(in->container->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct jw w;

	if (rootfd < 0) {
		err_errno(err, errno, "open %s", in->container->rootfs);
		return NULL;
	}
	jw_init(&w, &b);
	jw_obj(&w);
	if (bundle_process_members(in, rootfd, in->cmd, &w, err) < 0)
		return NULL;
	jw_obj_end(&w);
	return buf_steal(&b);
}
