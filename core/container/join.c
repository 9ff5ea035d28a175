/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/join.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/resource.h>

#include "base/fs.h"
#include "container/bundle/caps.h"
#include "container/internal.h"
#include "shim/plan.h"

#define MAX_CONFIG (8u << 20)

/*
 * Members of runc's configuration that mean nothing for an exec, or are looked at below. Another one that says anything is
 * something this version knows nothing of.
 */
static const char *const config_known[] = { "no_pivot_root", "rootfs", "readonlyfs", "rootPropagation", "mounts", "devices",
	"hostname", "domainname", "namespaces", "capabilities", "networks", "routes", "cgroups", "oom_score_adj", "mask_paths",
	"readonly_paths", "apparmor_profile", "sysctl", "seccomp", "version", "labels", "no_new_privileges", "rlimits", "Hooks" };
/* That it has no control groups, which only who has given it none expects. */
#define NO_GROUPS "rootless_cgroups"
static const char *const namespaces_known[] = { "NEWNS", "NEWNET", "NEWUTS", "NEWPID", "NEWIPC", "NEWCGROUP" };
static const char *const process_known[] = { "terminal", "consoleSize", "user", "args", "env", "cwd", "capabilities", "rlimits",
	"noNewPrivileges", "oomScoreAdj", "apparmorProfile" };

static bool is_known(const char *word, const char *const *list, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (streq(list[i], word))
			return true;
	return false;
}

static int refuse(struct err *err, const char *what, const char *name)
{
	return err_set(err, ERR_INTERNAL, "%s%s%s", what, name ? ": " : "", name ? name : "");
}

static int check_members(json_t *js, const char *const *known, size_t len, const char *more, struct err *err)
{
	const char *key;
	json_t *v;

	json_object_foreach(js, key, v)
		if (!is_known(key, known, len) && !json_exact_empty(v) && !(more && streq(key, more)))
			return refuse(err, "a setting that only the runtime knows", key);
	return 0;
}

static int check_namespaces(const json_t *list, struct err *err)
{
	const json_t *ns;
	size_t i;

	json_array_foreach(list, i, ns) {
		const char *type = json_string_value(json_object_get(ns, "type"));

		if (!type || !is_known(type, namespaces_known, ARRAY_LEN(namespaces_known)))
			return refuse(err, "a namespace that only the runtime knows", type);
	}
	return i ? 0 : refuse(err, "a container without namespaces", NULL);
}

static int take_cgroups(struct join_base *b, json_t *paths, struct err *err)
{
	const char *key;
	json_t *v;

	json_object_foreach(paths, key, v) {
		const char *dir = json_string_value(v);

		if (!dir || *dir != '/')
			return refuse(err, "a control group without a folder", key);
		if (!strv_contains(&b->cgroups, dir))
			strv_add(&b->cgroups, dir);
	}
	return b->cgroups.len ? 0 : refuse(err, "no control groups", NULL);
}

static int take_flags(struct join_base *b, const json_t *flags, struct err *err)
{
	static const struct { const char *name; unsigned flag; } known[] = {
		{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC }, { "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
		{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	};
	const json_t *word;
	size_t i, k;

	json_array_foreach(flags, i, word) {
		const char *s = json_string_value(word);

		for (k = 0; s && k < ARRAY_LEN(known) && !streq(known[k].name, s); k++)
			;
		if (!s || k == ARRAY_LEN(known))
			return refuse(err, "a flag of seccomp that only the runtime knows", s);
		b->filter_flags |= known[k].flag;
	}
	return 0;
}

static json_t *read_json(const char *path, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	json_t *js;

	if (fs_read(AT_FDCWD, path, MAX_CONFIG, &b, err) < 0)
		return NULL;
	js = json_exact_read(b.data ? b.data : "", b.size);
	if (!json_is_object(js)) {
		json_decref(js);
		refuse(err, "not an object", path);
		return NULL;
	}
	return js;
}

/* The rules as they were given to the runtime, the flags as it has taken them. */
static int take_seccomp(struct join_base *b, const struct join_source *src, const json_t *used, struct err *err)
{
	OWN_JSON json_t *config = NULL;
	const json_t *profile;

	if (json_exact_empty(used))
		return 0;
	if (!json_exact_empty(json_object_get(used, "listener_path")))
		return refuse(err, "a listener of seccomp", NULL);
	if (take_flags(b, json_object_get(used, "flags"), err) < 0)
		return -1;
	config = read_json(src->config, err);
	if (!config)
		return -1;
	profile = json_object_get(json_object_get(config, "linux"), "seccomp");
	if (!json_is_object(profile))
		return refuse(err, "the bundle has no seccomp profile", NULL);
	b->filter = filter_get(src->spawner, src->program, src->filters, profile, err);
	return b->filter ? 0 : -1;
}

static int take_state(struct join_base *b, const struct join_source *src, struct err *err)
{
	OWN_JSON json_t *state = read_json(src->state, err);
	json_t *config = json_object_get(state, "config"), *cgroups = json_object_get(config, "cgroups");
	const char *id = json_string_value(json_object_get(state, "id"));

	if (!state)
		return -1;
	if (!id || !streq(id, src->id) || !json_is_object(config))
		return refuse(err, "the runtime's record is of another form", NULL);
	if (!json_exact_empty(json_object_get(state, "rootless")) || !json_exact_empty(json_object_get(state, "intel_rdt_path")) ||
		(!src->no_cgroup && !json_exact_empty(json_object_get(cgroups, "Rootless"))))
		return refuse(err, "control groups that the runtime looks after in another way", NULL);
	if (check_members(config, config_known, ARRAY_LEN(config_known), src->no_cgroup ? NO_GROUPS : NULL, err) < 0 ||
		check_namespaces(json_object_get(config, "namespaces"), err) < 0 ||
		(!src->no_cgroup && take_cgroups(b, json_object_get(state, "cgroup_paths"), err) < 0))
		return -1;
	b->has_rlimits = !json_exact_empty(json_object_get(config, "rlimits"));
	if (json_is_string(json_object_get(config, "apparmor_profile")))
		b->apparmor = xstrdup(json_string_value(json_object_get(config, "apparmor_profile")));
	b->has_oom_score = json_exact_i64(json_object_get(config, "oom_score_adj"), &b->oom_score);
	return take_seccomp(b, src, json_object_get(config, "seccomp"), err);
}

struct join_base *join_base_new(const struct join_source *src)
{
	struct join_base *b = xcalloc(1, sizeof(*b));
	OWN_ERR struct err err = ERR_INIT;

	b->no_cgroup = src->no_cgroup;
	if (fs_exists("/sys/fs/selinux/enforce"))
		refuse(&err, "SELinux has a policy", NULL);
	if (err.msg || take_state(b, src, &err) < 0)
		b->why_not = xstrdup(err_text(&err));
	return b;
}

void join_base_free(struct join_base *b)
{
	if (!b)
		return;
	free(b->why_not);
	free(b->apparmor);
	strv_done(&b->cgroups);
	filter_put(b->filter);
	free(b);
}

static void put_int(struct shim_msg *m, int tag, int64_t n)
{
	shim_msg_int(m, (enum shim_tag)tag, n);
}

static int put_strings(struct shim_msg *m, int tag, const json_t *list, struct err *err)
{
	const json_t *word;
	size_t i;

	json_array_foreach(list, i, word) {
		if (!json_is_string(word))
			return refuse(err, "a word is none", NULL);
		shim_msg_str(m, (enum shim_tag)tag, json_string_value(word));
	}
	return 0;
}

/* As the runtime reads it: of a name that comes twice the last value counts, HOME is looked for where there is none. */
static int put_env(struct shim_msg *m, const json_t *list, struct err *err)
{
	OWN_STRV struct strv env = { 0 };
	const json_t *word;
	size_t i;

	json_array_foreach(list, i, word) {
		const char *s = json_string_value(word), *eq = s ? strchr(s, '=') : NULL;
		OWN_FREE char *name = eq ? xstrndup(s, (size_t)(eq - s)) : NULL;

		if (!eq || eq == s)
			return refuse(err, "a variable without a name or a value", s);
		strv_env_set(&env, name, eq + 1);
	}
	if (str_empty(strv_env_get(&env, "HOME")))
		return refuse(err, "no HOME", NULL);
	for (i = 0; i < env.len; i++)
		shim_msg_str(m, (enum shim_tag)PLAN_ENV, env.v[i]);
	return 0;
}

static int put_user(struct shim_msg *m, const json_t *user, struct err *err)
{
	const json_t *groups = json_object_get(user, "additionalGids"), *gid;
	int64_t n;
	size_t i;

	if (json_object_get(user, "umask"))
		return refuse(err, "a umask", NULL);
	if (!json_exact_i64(json_object_get(user, "uid"), &n))
		return refuse(err, "no user", NULL);
	put_int(m, PLAN_UID, n);
	if (!json_exact_i64(json_object_get(user, "gid"), &n))
		return refuse(err, "no group", NULL);
	put_int(m, PLAN_GID, n);
	json_array_foreach(groups, i, gid) {
		if (!json_exact_i64(gid, &n))
			return refuse(err, "a group is none", NULL);
		put_int(m, PLAN_GROUP, n);
	}
	return 0;
}

static int put_caps(struct shim_msg *m, json_t *caps, struct err *err)
{
	static const char *const sets[] = { [PLAN_BOUNDING] = "bounding", [PLAN_EFFECTIVE] = "effective", [PLAN_PERMITTED] = "permitted",
		[PLAN_INHERITABLE] = "inheritable", [PLAN_AMBIENT] = "ambient" };
	uint64_t bits[PLAN_CAP_SETS] = { 0 };
	const json_t *word;
	size_t i;

	if (!json_is_object(caps))
		return refuse(err, "no capabilities", NULL);
	for (size_t s = 0; s < PLAN_CAP_SETS; s++)
		json_array_foreach(json_object_get(caps, sets[s]), i, word) {
			int n = json_is_string(word) ? caps_number(json_string_value(word)) : -1;

			if (n < 0 || n >= CAPS_ALL)
				return refuse(err, "a capability that only the runtime knows", json_string_value(word));
			bits[s] |= UINT64_C(1) << n;
		}
	shim_msg_bytes(m, (enum shim_tag)PLAN_CAPS, bits, sizeof(bits));
	return 0;
}

static int put_rlimits(struct shim_msg *m, const json_t *list, struct err *err)
{
	static const struct { const char *name; int resource; } known[] = {
		{ "RLIMIT_CORE", RLIMIT_CORE }, { "RLIMIT_CPU", RLIMIT_CPU }, { "RLIMIT_DATA", RLIMIT_DATA }, { "RLIMIT_FSIZE", RLIMIT_FSIZE },
		{ "RLIMIT_LOCKS", RLIMIT_LOCKS }, { "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK }, { "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
		{ "RLIMIT_NICE", RLIMIT_NICE }, { "RLIMIT_NOFILE", RLIMIT_NOFILE }, { "RLIMIT_NPROC", RLIMIT_NPROC }, { "RLIMIT_RSS", RLIMIT_RSS },
		{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO }, { "RLIMIT_RTTIME", RLIMIT_RTTIME }, { "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
		{ "RLIMIT_STACK", RLIMIT_STACK }, { "RLIMIT_AS", RLIMIT_AS },
	};
	const json_t *item;
	size_t i, k;

	json_array_foreach(list, i, item) {
		const char *type = json_string_value(json_object_get(item, "type"));
		struct plan_rlimit l = { 0 };

		for (k = 0; type && k < ARRAY_LEN(known) && !streq(known[k].name, type); k++)
			;
		if (!type || k == ARRAY_LEN(known) || !json_exact_u64(json_object_get(item, "soft"), &l.soft) ||
			!json_exact_u64(json_object_get(item, "hard"), &l.hard))
			return refuse(err, "a limit that only the runtime knows", type);
		l.resource = (uint64_t)known[k].resource;
		shim_msg_bytes(m, (enum shim_tag)PLAN_RLIMIT, &l, sizeof(l));
	}
	return 0;
}

static int put_terminal(struct shim_msg *m, const json_t *js, struct err *err)
{
	const json_t *size = json_object_get(js, "consoleSize");
	uint64_t rows = 0, cols = 0;

	put_int(m, PLAN_TTY, json_is_true(json_object_get(js, "terminal")));
	if (!json_exact_empty(size) && (!json_exact_u64(json_object_get(size, "height"), &rows) || !json_exact_u64(json_object_get(size, "width"), &cols)))
		return refuse(err, "a terminal's size is none", NULL);
	put_int(m, PLAN_ROWS, (int64_t)rows);
	put_int(m, PLAN_COLS, (int64_t)cols);
	return 0;
}

/* The process's own, else the container's, as the runtime has it. */
static void put_apparmor(struct shim_msg *m, const struct join_base *b, const json_t *process)
{
	const char *own = json_string_value(json_object_get(process, "apparmorProfile"));
	const char *profile = !str_empty(own) ? own : b->apparmor;

	put_int(m, PLAN_IS, str_empty(profile) ? PLAN_VERSION : PLAN_VERSION_APPARMOR);
	if (!str_empty(profile))
		shim_msg_str(m, (enum shim_tag)PLAN_APPARMOR, profile);
}

static void put_base(struct shim_msg *m, const struct join_base *b, const char *id)
{
	OWN_FREE char *keyring = xasprintf("_ses.%s", id);

	shim_msg_str(m, (enum shim_tag)PLAN_KEYRING, keyring);
	for (size_t i = 0; i < b->cgroups.len; i++)
		shim_msg_str(m, (enum shim_tag)PLAN_CGROUP, b->cgroups.v[i]);
	if (b->no_cgroup)
		put_int(m, PLAN_NO_CGROUP, 1);
	if (b->has_oom_score)
		put_int(m, PLAN_OOM_SCORE, b->oom_score);
	if (!b->filter)
		return;
	shim_msg_bytes(m, (enum shim_tag)PLAN_FILTER, b->filter->code.data, b->filter->code.size);
	put_int(m, PLAN_FILTER_FLAGS, b->filter_flags);
}

int join_plan(const struct join_base *b, const char *id, const char *process, struct buf *ret, struct err *err)
{
	OWN_JSON json_t *js = json_exact_read(process, strlen(process));
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	const char *cwd = json_string_value(json_object_get(js, "cwd"));

	if (b->why_not)
		return refuse(err, b->why_not, NULL);
	if (!json_is_object(js) || !cwd || *cwd != '/')
		return refuse(err, "the process is none", NULL);
	/* the runtime takes the container's own then */
	if (b->has_rlimits && json_exact_empty(json_object_get(js, "rlimits")))
		return refuse(err, "limits of the container that the process has not", NULL);
	if (check_members(js, process_known, ARRAY_LEN(process_known), NULL, err) < 0)
		return -1;
	put_apparmor(&m, b, js);
	put_int(&m, PLAN_NO_NEW_PRIVS, json_is_true(json_object_get(js, "noNewPrivileges")));
	shim_msg_str(&m, (enum shim_tag)PLAN_CWD, cwd);
	put_base(&m, b, id);
	if (put_strings(&m, PLAN_ARG, json_object_get(js, "args"), err) < 0 || put_env(&m, json_object_get(js, "env"), err) < 0 ||
		put_user(&m, json_object_get(js, "user"), err) < 0 || put_caps(&m, json_object_get(js, "capabilities"), err) < 0 ||
		put_rlimits(&m, json_object_get(js, "rlimits"), err) < 0 || put_terminal(&m, js, err) < 0)
		return -1;
	buf_add(ret, m.body.data, m.body.size);
	return 0;
}
