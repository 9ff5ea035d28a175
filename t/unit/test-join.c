/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an exec without the runtime is planned from: JSON with numbers as they stand, and the daemon's part of joining. */
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "container/join.h"
#include "shim/plan.h"

#include "tap.h"

static json_t *read_text(const char *text)
{
	return json_exact_read(text, strlen(text));
}

static void test_exact(void)
{
	OWN_JSON json_t *js = read_text("{\"most\":18446744073709551615,\"least\":-9223372036854775808,\"over\":18446744073709551616,\"real\":1.5,"
		"\"exp\":1e3,\"text\":\"12 \\\"34\\\" -5\",\"zero\":0,\"list\":[1,-2,3],\"off\":false,\"on\":true,\"none\":null,\"empty\":{},\"no\":[],\"blank\":\"\"}");
	static const char *const empty[] = { "zero", "off", "none", "empty", "no", "blank", "absent" }, *const full[] = { "most", "real", "text", "list", "on" };
	uint64_t u = 0;
	int64_t i = 0;

	ok(json_is_object(js), "numbers of every kind");
	ok(json_exact_u64(json_object_get(js, "most"), &u) && u == UINT64_MAX, "the largest unsigned one");
	ok(!json_exact_i64(json_object_get(js, "most"), &i), "which is no signed one");
	ok(json_exact_i64(json_object_get(js, "least"), &i) && i == INT64_MIN, "the least signed one");
	ok(!json_exact_u64(json_object_get(js, "least"), &u), "which is no unsigned one");
	ok(!json_exact_u64(json_object_get(js, "over"), &u), "one more is none");
	ok(!json_exact_u64(json_object_get(js, "real"), &u) && !json_exact_i64(json_object_get(js, "exp"), &i), "nor are fractions and exponents");
	ok(!json_exact_u64(NULL, &u) && !json_exact_i64(json_object_get(js, "on"), &i), "nor what is not there, or no number");
	is_str(json_string_value(json_object_get(js, "text")), "12 \"34\" -5", "digits in a text stay as they are");
	is_int(json_array_size(json_object_get(js, "list")), 3, "numbers in lists");
	ok(json_exact_i64(json_array_get(json_object_get(js, "list"), 1), &i) && i == -2, "with their sign");
	for (size_t k = 0; k < ARRAY_LEN(empty); k++)
		ok(json_exact_empty(json_object_get(js, empty[k])), "%s says nothing", empty[k]);
	for (size_t k = 0; k < ARRAY_LEN(full); k++)
		ok(!json_exact_empty(json_object_get(js, full[k])), "%s says something", full[k]);
}

static void test_no_json(void)
{
	static const char *const none[] = { "", "{", "{\"a\":}", "{\"a\":1,\"a\":2}", "[1,]", "\"open", "{\"a\":\"\\", "{\"a\":\"\xff\"}", "1 2" };

	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		OWN_JSON json_t *js = read_text(none[i]);

		ok(!js, "no JSON: %s", none[i]);
	}
}

#define USER ",\"user\":{\"uid\":5,\"gid\":4294967295,\"additionalGids\":[7,8]}"
#define ENV  ",\"env\":[\"A=1\",\"HOME=/h\",\"A=2=3\",\"E=\"]"
#define CAPS ",\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],\"effective\":[\"CAP_CHOWN\"]}"
#define REST ",\"args\":[\"sh\",\"-c\",\"\"]"
#define PROCESS(more) "{\"cwd\":\"/w\"" USER ENV CAPS REST more "}"

/* The plan for a process in a container with these settings, as a message to be read; false: it is the runtime's. */
static bool plan(const struct join_base *b, const char *process, struct shim_msg *ret, struct err *err)
{
	shim_msg_init(ret, SHIM_OK);
	return join_plan(b, "cafe", process, &ret->body, err) == 0;
}

static void is_strings(const struct shim_msg *m, int tag, const char *want, const char *what)
{
	OWN_STRV struct strv all = { 0 };
	OWN_FREE char *got = NULL;
	const char *s;
	size_t pos = 0;

	while ((s = shim_msg_next_str(m, (enum shim_tag)tag, &pos)))
		strv_add(&all, s);
	got = strv_join(&all, "|");
	is_str(got ? got : "", want, "%s", what);
}

static int64_t number(const struct shim_msg *m, int tag)
{
	return shim_msg_get_int(m, (enum shim_tag)tag, -77);
}

static void test_plan(void)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_SHIM_MSG struct shim_msg m = { 0 };
	struct join_base b = { .has_oom_score = true, .oom_score = -5 };
	uint64_t caps[PLAN_CAP_SETS] = { 0 };
	struct plan_rlimit limit = { 0 };
	const void *p;
	size_t pos = 0, size;

	strv_add(&b.cgroups, "/sys/fs/cgroup/a");
	strv_add(&b.cgroups, "/sys/fs/cgroup/b");
	ok(plan(&b, PROCESS(",\"terminal\":true,\"consoleSize\":{\"height\":30,\"width\":90},\"noNewPrivileges\":true,"
		"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":7,\"hard\":18446744073709551615}]"), &m, &err), "a plan: %s", err_text(&err));
	is_int(number(&m, PLAN_IS), PLAN_VERSION, "its version");
	is_strings(&m, PLAN_ARG, "sh|-c|", "the words, empty ones, too");
	is_strings(&m, PLAN_ENV, "A=2=3|HOME=/h|E=", "variables: the last of a name counts");
	is_strings(&m, PLAN_CGROUP, "/sys/fs/cgroup/a|/sys/fs/cgroup/b", "the control groups");
	is_str(shim_msg_get_str(&m, (enum shim_tag)PLAN_CWD), "/w", "the folder");
	is_str(shim_msg_get_str(&m, (enum shim_tag)PLAN_KEYRING), "_ses.cafe", "the keyring");
	is_int(number(&m, PLAN_UID), 5, "user");
	is_int(number(&m, PLAN_GID), 4294967295, "group");
	is_int(number(&m, PLAN_GROUP), 7, "and groups");
	is_int(number(&m, PLAN_NO_NEW_PRIVS), 1, "no new privileges");
	is_int(number(&m, PLAN_OOM_SCORE), -5, "the score for the time without memory");
	is_int(number(&m, PLAN_TTY) * 1000000 + number(&m, PLAN_ROWS) * 1000 + number(&m, PLAN_COLS), 1030090, "terminal and its size");
	is_int(number(&m, PLAN_FILTER_FLAGS), -77, "no filter");
	p = shim_msg_next_bytes(&m, (enum shim_tag)PLAN_CAPS, sizeof(caps), &pos, &size);
	if (ok(p != NULL, "capabilities"))
		memcpy(caps, p, sizeof(caps));
	is_int(caps[PLAN_BOUNDING], 1 << 0 | 1 << 5, "those of the bounding set");
	is_int(caps[PLAN_EFFECTIVE] << 8 | caps[PLAN_AMBIENT], 1 << 8, "and of the others");
	pos = 0;
	p = shim_msg_next_bytes(&m, (enum shim_tag)PLAN_RLIMIT, sizeof(limit), &pos, &size);
	if (ok(p != NULL, "a limit"))
		memcpy(&limit, p, sizeof(limit));
	ok(limit.resource == RLIMIT_NOFILE && limit.soft == 7 && limit.hard == UINT64_MAX, "beyond 2^63");
	strv_done(&b.cgroups);
}

/* Whatever is not known to mean the same both ways is the runtime's. */
static void test_declined(void)
{
	static const struct { const char *what, *process, *says; } cases[] = {
		{ "no JSON", "{", "the process is none" },
		{ "no folder", "{\"args\":[\"x\"]" USER ENV CAPS "}", "the process is none" },
		{ "a relative one", "{\"cwd\":\"w\"" USER ENV CAPS REST "}", "the process is none" },
		{ "an unknown member", PROCESS(",\"scheduler\":{\"policy\":\"SCHED_FIFO\"}"), "only the runtime knows: scheduler" },
		{ "a label", PROCESS(",\"selinuxLabel\":\"x\""), "only the runtime knows: selinuxLabel" },
		{ "a umask", "{\"cwd\":\"/\",\"user\":{\"uid\":0,\"gid\":0,\"umask\":18}" ENV CAPS REST "}", "a umask" },
		{ "no user", "{\"cwd\":\"/\"" ENV CAPS REST "}", "no user" },
		{ "no HOME", "{\"cwd\":\"/\"" USER ",\"env\":[\"A=1\"]" CAPS REST "}", "no HOME" },
		{ "a variable without a value", "{\"cwd\":\"/\"" USER ",\"env\":[\"HOME=/\",\"A\"]" CAPS REST "}", "a variable without a name or a value: A" },
		{ "one without a name", "{\"cwd\":\"/\"" USER ",\"env\":[\"HOME=/\",\"=A\"]" CAPS REST "}", "a variable without a name or a value: =A" },
		{ "no capabilities", "{\"cwd\":\"/\"" USER ENV REST "}", "no capabilities" },
		{ "an unknown one", "{\"cwd\":\"/\"" USER ENV ",\"capabilities\":{\"ambient\":[\"CAP_NEW\"]}" REST "}", "a capability that only the runtime knows: CAP_NEW" },
		{ "an unknown limit", PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_NEW\",\"soft\":1,\"hard\":1}]"), "a limit that only the runtime knows: RLIMIT_NEW" },
		{ "a limit below zero", PROCESS(",\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":-1,\"hard\":1}]"), "a limit that only the runtime knows" },
		{ "a word that is a list", "{\"cwd\":\"/\"" USER ENV CAPS ",\"args\":[[]]}", "a word is none" },
		{ "a size that is none", PROCESS(",\"consoleSize\":{\"height\":\"x\",\"width\":1}"), "a terminal's size is none" },
	};
	struct join_base b = { 0 }, limited = { .has_rlimits = true }, refused = { .why_not = (char *)"a reason" };
	OWN_ERR struct err err = ERR_INIT;
	OWN_SHIM_MSG struct shim_msg plain = { 0 }, more = { 0 }, profile = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWN_ERR struct err why = ERR_INIT;
		OWN_SHIM_MSG struct shim_msg m = { 0 };

		ok(!plan(&b, cases[i].process, &m, &why) && strstr(err_text(&why), cases[i].says) && !m.body.size, "%s: %s", cases[i].what, err_text(&why));
	}
	ok(plan(&b, PROCESS(",\"scheduler\":null,\"selinuxLabel\":\"\",\"oomScoreAdj\":5"), &plain, &err), "members that say nothing are none: %s", err_text(&err));
	ok(plan(&b, PROCESS(",\"apparmorProfile\":\"odd-profile\""), &profile, &err) &&
		memmem(profile.body.data, profile.body.size, "odd-profile", 11), "a profile is part of it: %s", err_text(&err));
	ok(!plan(&limited, PROCESS(""), &more, &err) && strstr(err_text(&err), "limits of the container"), "limits of the container alone: %s", err_text(&err));
	ok(!plan(&refused, PROCESS(""), &more, &err) && streq(err_text(&err), "a reason"), "a container that has none");
}

#define STATE(id, config, more) "{\"id\":\"" id "\",\"cgroup_paths\":{\"\":\"/c\",\"cpu\":\"/c\",\"pids\":\"/p\"},\"config\":{" config "\"namespaces\":[{\"type\":\"NEWNS\"}]}" more "}"

static void test_base(void)
{
	static const struct { const char *what, *state, *why; } cases[] = {
		{ "all known", STATE("cafe", "\"rlimits\":null,\"oom_score_adj\":-3,\"labels\":[\"x\"],", ""), NULL },
		{ "another container's", STATE("beef", "", ""), "of another form" },
		{ "an unknown setting", STATE("cafe", "\"scheduler\":{\"a\":1},", ""), "only the runtime knows: scheduler" },
		{ "one that says nothing", STATE("cafe", "\"scheduler\":null,\"personality\":0,", ""), NULL },
		{ "without root", STATE("cafe", "", ",\"rootless\":true"), "another way" },
		{ "systemd's groups", STATE("cafe", "\"cgroups\":{\"Systemd\":true},", ""), NULL },
		{ "a namespace of users", "{\"id\":\"cafe\",\"cgroup_paths\":{\"\":\"/c\"},\"config\":{\"namespaces\":[{\"type\":\"NEWUSER\"}]}}", "only the runtime knows: NEWUSER" },
		{ "no namespaces", "{\"id\":\"cafe\",\"cgroup_paths\":{\"\":\"/c\"},\"config\":{\"version\":\"1\"}}", "without namespaces" },
		{ "no groups", "{\"id\":\"cafe\",\"config\":{\"namespaces\":[{\"type\":\"NEWNS\"}]}}", "no control groups" },
		{ "a relative group", "{\"id\":\"cafe\",\"cgroup_paths\":{\"cpu\":\"c\"},\"config\":{\"namespaces\":[{\"type\":\"NEWNS\"}]}}", "without a folder: cpu" },
		{ "no object", "[]", "not an object" },
		{ "torn", "{\"id\":", "not an object" },
		{ "a listener", STATE("cafe", "\"seccomp\":{\"listener_path\":\"/x\"},", ""), "a listener of seccomp" },
		{ "a flag of seccomp", STATE("cafe", "\"seccomp\":{\"flags\":[\"NEW\"]},", ""), "a flag of seccomp that only the runtime knows: NEW" },
	};
	char dir[] = "/tmp/test-join-XXXXXX";
	OWN_FREE char *path = NULL;

	ok(mkdtemp(dir) != NULL, "a folder");
	path = xasprintf("%s/state.json", dir);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		OWN_ERR struct err err = ERR_INIT;
		struct join_source src = { .id = "cafe", .state = path, .config = path };
		struct join_base *b;

		ok(fs_write_atomic(AT_FDCWD, path, cases[i].state, strlen(cases[i].state), 0600, FS_RENAME_ONLY, &err) == 0, "a record");
		b = join_base_new(&src);
		ok(cases[i].why ? b->why_not && strstr(b->why_not, cases[i].why) : !b->why_not, "%s: %s", cases[i].what, b->why_not ? b->why_not : "taken");
		if (i == 0)
			ok(b->cgroups.len == 2 && b->has_oom_score && b->oom_score == -3 && !b->has_rlimits && !b->filter, "what it says");
		join_base_free(b);
	}
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	test_exact();
	test_no_json();
	test_plan();
	test_declined();
	if (!fs_exists("/sys/fs/selinux/enforce"))
		test_base();
	return tap_done();
}
