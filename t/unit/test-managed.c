/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What managed plugins say of themselves: the form of a configuration, what it needs, what stays of settings. */
#include "base/cleanup.h"
#include "plugin/managed_i.h"
#include "tap.h"

#define DOCKERS "{\"Args\":{\"Description\":\"\",\"Name\":\"\",\"Settable\":null,\"Value\":[]},\"Description\":\"d\",\"Documentation\":\"\",\"Entrypoint\":[\"/e\"]," \
	"\"Env\":[{\"Description\":\"\",\"Name\":\"A\",\"Settable\":[\"value\"],\"Value\":\"1\"},{\"Description\":\"\",\"Name\":\"B\",\"Settable\":null,\"Value\":null}]," \
	"\"Interface\":{\"Socket\":\"s.sock\",\"Types\":[\"docker.volumedriver/1.0\"]},\"IpcHost\":false," \
	"\"Linux\":{\"AllowAllDevices\":false,\"Capabilities\":[\"CAP_B\",\"CAP_A\"],\"Devices\":[{\"Description\":\"\",\"Name\":\"\",\"Path\":\"/dev/fuse\",\"Settable\":null}]}," \
	"\"Mounts\":[{\"Description\":\"\",\"Destination\":\"/m\",\"Name\":\"m\",\"Options\":[\"rbind\"],\"Settable\":[\"source\"],\"Source\":\"/s\",\"Type\":\"bind\"}]," \
	"\"Network\":{\"Type\":\"host\"},\"PidHost\":true,\"PropagatedMount\":\"\",\"User\":{},\"WorkDir\":\"\""
#define PEOPLES "{\"description\":\"d\",\"entrypoint\":[\"/e\"],\"env\":[{\"name\":\"A\",\"value\":\"1\",\"settable\":[\"value\"]},{\"name\":\"B\"}],\"pidhost\":true," \
	"\"interface\":{\"types\":[\"docker.volumedriver/1.0\"],\"socket\":\"s.sock\"},\"linux\":{\"capabilities\":[\"CAP_B\",\"CAP_A\"],\"devices\":[{\"path\":\"/dev/fuse\"}]}," \
	"\"mounts\":[{\"name\":\"m\",\"source\":\"/s\",\"destination\":\"/m\",\"type\":\"bind\",\"options\":[\"rbind\"],\"settable\":[\"source\"]}],\"network\":{\"type\":\"host\"}," \
	"\"args\":{\"value\":[]},\"unknown\":1}"

static char *form(const char *text, const char *layer)
{
	OWN_ERR struct err err = ERR_INIT;
	char *out = managed_form(text, strlen(text), layer, &err);

	return out ? out : xstrdup(err_text(&err));
}

static void test_form(void)
{
	OWN_FREE char *theirs = form(PEOPLES, NULL), *again = form(theirs, NULL), *rooted = form(PEOPLES, "sha256:12"), *twice = form(rooted, "sha256:34");
	OWN_FREE char *bad = form("{\"env\":[{\"name\":\"A\",\"value\":[]}]}", NULL), *both = form("{\"env\":[],\"Env\":[]}", NULL), *none = form("[]", NULL);

	is_str(theirs, DOCKERS "}", "as Docker writes what people write");
	is_str(again, theirs, "which stays as it is");
	ok(str_has_suffix(rooted, ",\"rootfs\":{\"diff_ids\":[\"sha256:12\"],\"type\":\"layers\"}}"), "with its root");
	ok(strstr(rooted, "\"DockerVersion\":\"") != NULL, "and who made it");
	ok(strstr(twice, "[\"sha256:34\"]") && !strstr(twice, "sha256:12"), "another root takes the place of the first");
	is_str(bad, "the variable \"A\" is no text", "what is no text");
	ok(strstr(both, "key given twice") != NULL, "one key in two spellings: %s", both);
	ok(strstr(none, "cannot") || strstr(none, "object"), "no object: %s", none);
}

static bool granted(const json_t *config, const char *given)
{
	OWN_JSON json_t *js = json_read(given, strlen(given), NULL);

	return managed_granted(config, js);
}

static void test_needs(void)
{
#define ONE(name, value) "{\"Name\":\"" name "\",\"Value\":[" value "]}"
	OWN_JSON json_t *config = json_read(DOCKERS "}", strlen(DOCKERS "}"), NULL);
	OWN_JSON json_t *needs = managed_needs(config);

	is_int((long long)json_array_size(needs), 5, "network, namespace, mount, device, capabilities");
	ok(managed_granted(config, needs), "all of it");
	ok(granted(config, "[" ONE("capabilities", "\"CAP_A\",\"CAP_B\"") "," ONE("device", "\"/dev/fuse\"") "," ONE("mount", "\"/s\"") "," ONE("host pid namespace", "\"true\"") ","
		ONE("network", "\"host\"") "]"), "in any order");
	ok(!granted(config, "[" ONE("capabilities", "\"CAP_A\"") "," ONE("device", "\"/dev/fuse\"") "," ONE("mount", "\"/s\"") "," ONE("host pid namespace", "\"true\"") ","
		ONE("network", "\"host\"") "]"), "not one capability less");
	ok(!granted(config, "[" ONE("device", "\"/dev/fuse\"") "," ONE("mount", "\"/s\"") "," ONE("host pid namespace", "\"true\"") "," ONE("network", "\"host\"") "]"), "nor one thing");
	ok(!granted(config, "[" ONE("capabilities", "\"CAP_A\",\"CAP_B\"") "," ONE("device", "\"/dev/fuse\"") "," ONE("mount", "\"/t\"") "," ONE("host pid namespace", "\"true\"") ","
		ONE("network", "\"host\"") "]"), "nor another");
	ok(!managed_granted(config, NULL), "nor nothing");
}

static void settings_done(struct managed *m)
{
	free(m->config);
	strv_done(&m->env);
	strv_done(&m->args);
	strmap_done(&m->mounts);
	strmap_done(&m->devices);
}

static void test_carry(void)
{
	static const char next[] = "{\"Env\":[{\"Name\":\"A\",\"Value\":\"5\",\"Settable\":[\"value\"]},{\"Name\":\"N\",\"Value\":\"6\",\"Settable\":[\"value\"]}],"
		"\"Mounts\":[{\"Name\":\"m\",\"Source\":\"/new\",\"Destination\":\"/m\",\"Settable\":null}]}";
	OWN_JSON json_t *before = json_read(DOCKERS "}", strlen(DOCKERS "}"), NULL), *after = json_read(next, strlen(next), NULL);
	CLEANUP(settings_done) struct managed old = { .config = xstrdup(DOCKERS "}") }, same = { .config = xstrdup(next) }, set = { .config = xstrdup(next) };
	OWN_ERR struct err err = ERR_INIT;

	managed_settings_begin(&old, before);
	is_int((long long)old.env.len, 1, "a variable without a value is not set");
	managed_settings_begin(&same, after);
	managed_settings_carry(&same, after, &old);
	is_str(strv_env_get(&same.env, "A"), "5", "what nobody set is the new version's");
	ok(managed_settings_set(&old, before, "A=9", &err) == 0 && managed_settings_set(&old, before, "m.source=/mine", &err) == 0, "set: %s", err_text(&err));
	is_int(managed_settings_set(&old, before, "m=/short", &err), 0, "a name alone stands for what may be set");
	is_str(strmap_get(&old.mounts, "m"), "/short", "which it is");
	is_int(managed_settings_set(&old, before, "m=/mine", &err), 0, "once more");
	managed_settings_begin(&set, after);
	managed_settings_carry(&set, after, &old);
	is_str(strv_env_get(&set.env, "A"), "9", "what was set stays");
	is_str(strv_env_get(&set.env, "N"), "6", "beside what is new");
	is_str(strmap_get(&set.mounts, "m"), "/new", "but for what can no longer be set");
}

static const char *found(const char *name)
{
	static struct managed one = { .id = "ab1", .name = (char *)(uintptr_t)"me/one:latest" }, two = { .next = &one, .id = "ab2", .name = (char *)(uintptr_t)"ab:latest" };
	static struct managed_store store = { .all = &two };
	static struct err err = ERR_INIT;
	const struct managed *m;

	err_done(&err);
	m = managed_lookup(&store, name, &err);
	return m ? m->id : err_text(&err);
}

static void test_names(void)
{
	is_str(found("docker.io/me/one"), "ab1", "the hub's name");
	is_str(found("me/one:latest"), "ab1", "with a tag");
	is_str(found("me/one:2"), "plugin \"me/one:2\" not found", "with another");
	is_str(found("ab"), "ab2", "a name goes before the ids that begin so");
	is_str(found("ab1"), "ab1", "an id");
	is_str(found("a"), "multiple plugins found for \"a\"", "what may be two");
	is_str(found("c"), "plugin \"c\" not found", "nor one");
}

int main(void)
{
	test_form();
	test_needs();
	test_carry();
	test_names();
	return tap_done();
}
