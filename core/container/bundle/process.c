/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* "process" of an OCI configuration, for a container's first process and for execs. */
#include <errno.h>

#include "base/fs.h"
#include "container/bundle/parts.h"
#include "container/bundle/caps.h"
#include "container/bundle/cdi.h"
#include "container/bundle/security.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int bundle_least_oom_score(void)
{
	OWN_BUF struct buf b = { 0 };
	int64_t n = 0;

	if (fs_read(AT_FDCWD, "/proc/self/oom_score_adj", 16, &b, NULL) < 0 || !b.size)
		return 0;
	b.data[strcspn(b.data, "\n")] = '\0';
	return str_to_i64(b.data, &n) ? (int)n : 0;
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

static void put_edited_gids(const struct device_edits *edits, struct jw *w)
{
	OWN_JSON json_t *js = edits && edits->gids ? json_read(edits->gids, strlen(edits->gids), NULL) : NULL;
	json_t *gid;
	size_t i;

	json_array_foreach(js, i, gid)
		if (json_is_integer(gid) && json_integer_value(gid) > 0)
			jw_int(w, json_integer_value(gid));
}

static void put_user(const struct user_ids *u, const struct device_edits *edits, struct jw *w)
{
	jw_kobj(w, "user");
	jw_kint(w, "uid", u->uid);
	jw_kint(w, "gid", u->gid);
	jw_karr(w, "additionalGids");
	for (size_t i = 0; i < u->groups.len; i++)
		jw_int(w, u->groups.v[i]);
	put_edited_gids(edits, w);
	jw_arr_end(w);
	jw_obj_end(w);
}

/* PATH, HOSTNAME and TERM, then the container's, then the exec's; a bare "K" takes K away. */
static void build_env(const struct process_in *in, const struct user_ids *u, struct strv *env)
{
	const struct strv *lists[] = { in->container->link_env, &in->container->config->env, in->env };
	const struct device_edits *edits = in->container->edits;

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
	for (size_t i = 0; edits && i < edits->env.len; i++) {
		OWN_FREE char *key = xstrndup(edits->env.v[i], strcspn(edits->env.v[i], "="));

		strv_env_set(env, key, strchr(edits->env.v[i], '=') + 1);
	}
	if (!strv_env_get(env, "HOME"))
		strv_addf(env, "HOME=%s", !str_empty(u->home) ? u->home : "/");
}

int bundle_process_members(const struct process_in *in, int rootfd, const struct strv *args, struct jw *w, struct user_ids *u, struct err *err)
{
	const struct bundle_in *c = in->container;
	const char *user = in->user ? in->user : c->config->user;
	struct security security = security_of(c->host);
	const char *cwd = !str_empty(in->working_dir) ? in->working_dir : c->config->working_dir;
	OWN_STRV struct strv env = { 0 };
	int64_t score;

	if (user_lookup(rootfd, user, &c->host->group_add, u, err) < 0)
		return -1;
	build_env(in, u, &env);
	jw_kbool(w, "terminal", in->tty);
	if (in->tty && in->rows && in->cols) {
		jw_kobj(w, "consoleSize");
		jw_kint(w, "height", in->rows);
		jw_kint(w, "width", in->cols);
		jw_obj_end(w);
	}
	put_user(u, c->edits, w);
	jw_kstrv(w, "args", args);
	jw_kstrv(w, "env", &env);
	jw_kstr(w, "cwd", str_empty(cwd) ? "/" : cwd);
	put_caps(in, u->uid == 0, w);
	put_rlimits(c, w);
	jw_kbool(w, "noNewPrivileges", security.no_new_privileges.set ? security.no_new_privileges.v : c->defaults->no_new_privileges);
	if (!str_empty(c->apparmor))
		jw_kstr(w, "apparmorProfile", c->apparmor);
	if (!str_empty(c->process_label))
		jw_kstr(w, "selinuxLabel", c->process_label);
	score = c->host->oom_score_adj;
	if (c->defaults->rootless && score < bundle_least_oom_score())
		score = bundle_least_oom_score();
	jw_kint(w, "oomScoreAdj", score);
	return 0;
}

char *bundle_process(const struct process_in *in, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FD int rootfd = open(in->container->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct user_ids u = { 0 };
	struct jw w;
	int r;

	if (rootfd < 0) {
		err_errno(err, errno, "open %s", in->container->rootfs);
		return NULL;
	}
	jw_init(&w, &b);
	jw_obj(&w);
	r = bundle_process_members(in, rootfd, in->cmd, &w, &u, err);
	user_ids_done(&u);
	if (r < 0)
		return NULL;
	jw_obj_end(&w);
	return buf_steal(&b);
}
