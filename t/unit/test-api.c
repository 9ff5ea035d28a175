/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The system resource without a daemon around it, and the table of routes. */
#include <sys/stat.h>

#include "api.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"
#include "events.h"
#include "host.h"

#include "tap.h"

static struct { int status; char type[64]; struct buf body; struct strmap headers; } got;
static const char *accept_header, *upgrade_header;

static const char *fake_header(struct request *rq, const char *name)
{
	return streq(name, "Accept") ? accept_header : streq(name, "Upgrade") ? upgrade_header : NULL;
}

static ssize_t fake_read(struct request *rq, void *data, size_t size, struct err *err)
{
	return 0;
}

static int fake_begin(struct request *rq, int status, const char *type)
{
	got.status = rq->status = status;
	snprintf(got.type, sizeof(got.type), "%s", type ? type : "");
	rq->sent = SENT_STREAM;
	return 0;
}

static int fake_write(struct request *rq, const void *data, size_t size)
{
	buf_add(&got.body, data, size);
	return 0;
}

static int fake_reply(struct request *rq, int status, const char *type, const void *data, size_t size)
{
	fake_begin(rq, status, type);
	rq->sent = SENT_ALL;
	return data ? fake_write(rq, data, size) : 0;
}

static const struct request_ops fake_ops = {
	.header = fake_header, .read_body = fake_read, .reply = fake_reply, .begin = fake_begin, .write = fake_write
};

static int ask(struct router *r, const char *method, const char *uri)
{
	struct request rq = { .ops = &fake_ops, .method = method, .uri = uri, .user = "", .user_auth = "", .client_fd = -1 };

	got.status = 0;
	buf_done(&got.body);
	buf_adds(&got.body, "");
	buf_reserve(&got.body, 1);
	strmap_done(&got.headers);
	router_handle(r, &rq);
	strmap_copy(&got.headers, &rq.reply_headers);
	buf_reserve(&got.body, 1);
	got.body.data[got.body.size] = '\0';
	request_done(&rq);
	return got.status;
}

static bool has(const char *text)
{
	if (strstr(got.body.data, text))
		return true;
	printf("# got: %.600s\n", got.body.data);
	return false;
}

static void test_routes(void)
{
	size_t unknown = 0, twice = 0;

	for (size_t i = 0; i < api_routes_len; i++) {
		unknown += !streq(api_routes[i].method, "GET") && !streq(api_routes[i].method, "POST") &&
			   !streq(api_routes[i].method, "PUT") && !streq(api_routes[i].method, "DELETE") &&
			   !streq(api_routes[i].method, "HEAD");
		unknown += api_routes[i].pattern[0] != '/';
		for (size_t j = 0; j < i; j++)
			twice += streq(api_routes[i].method, api_routes[j].method) &&
				 streq(api_routes[i].pattern, api_routes[j].pattern);
	}
	ok(api_routes_len > 110, "%zu routes", api_routes_len);
	is_int(unknown, 0, "all well-formed");
	is_int(twice, 0, "none twice");
}

/* Paths that could be taken for one another. */
static void test_order(struct router *r)
{
	static const struct { const char *method, *path, *job; } rows[] = {
		{ "GET", "/v1.41/images/json", "image_list" },
		{ "GET", "/images/get", "image_get" },
		{ "GET", "/images/search", "image_search" },
		{ "GET", "/images/a/b/json", "image_inspect" },
		{ "GET", "/images/json/json", "image_inspect" },
		{ "GET", "/images/localhost:5000/a/get", "image_get" },
		{ "POST", "/images/a/b/tag", "image_tag" },
		{ "DELETE", "/images/a/b:c", "image_delete" },
		{ "POST", "/images/create", "image_create" },
		{ "POST", "/containers/create", "container_create" },
		{ "POST", "/containers/prune", "container_prune" },
		{ "DELETE", "/containers/x/checkpoints/y", "checkpoint_delete" },
		{ "DELETE", "/containers/x", "container_delete" },
		{ "HEAD", "/containers/x/archive", "container_archive_stat" },
		{ "GET", "/containers/x/attach/ws", "container_attach_ws" },
		{ "GET", "/volumes/a/b", "volume_inspect" },
		{ "POST", "/volumes/create", "volume_create" },
		{ "GET", "/networks/", "network_list" },
		{ "GET", "/networks/x", "network_inspect" },
		{ "POST", "/networks/x/connect", "network_connect" },
		{ "GET", "/plugins/privileges", "plugin_privileges" },
		{ "GET", "/plugins/a/b/json", "plugin_inspect" },
		{ "HEAD", "/_ping", "system_ping" },
		{ "POST", "/exec/x/start", "exec_start" },
	};

	static const struct { const char *method, *path; } gone[] = {
		{ "GET", "/auth" }, { "GET", "/containers/x/resize" }, { "GET", "/images/x" }, { "GET", "/plugins/x" },
		{ "POST", "/containers/x/copy" }, { "POST", "/images/x/insert" }, { "GET", "/containers/ps" },
		{ "GET", "/images/viz" }, { "GET", "/monitor" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct route *route = router_match(r, rows[i].method, rows[i].path);

		is_str(route ? route->job : "none", rows[i].job, "%s %s", rows[i].method, rows[i].path);
	}
	for (size_t i = 0; i < ARRAY_LEN(gone); i++)
		ok(!router_match(r, gone[i].method, gone[i].path), "gone long ago: %s %s", gone[i].method, gone[i].path);
}

static void test_ping(struct router *r)
{
	is_int(ask(r, "GET", "/_ping"), 200, "ping");
	is_str(got.body.data, "OK", "says OK");
	is_str(strmap_get(&got.headers, "Swarm"), "inactive", "Swarm");
	is_str(strmap_get(&got.headers, "Cache-Control"), "no-cache, no-store, must-revalidate", "Cache-Control");
	is_str(strmap_get(&got.headers, "Api-Version"), "1.51", "Api-Version");
	is_int(ask(r, "HEAD", "/v1.99/_ping"), 200, "ping by HEAD, of any version");
	is_int(got.body.size, 0, "without a body");
}

static void test_info(struct router *r)
{
	OWN_JSON json_t *js = NULL;

	is_int(ask(r, "GET", "/version"), 200, "version");
	ok(has("\"ApiVersion\":\"1.51\"") && has("\"MinAPIVersion\":\"1.24\"") && has("\"Os\":\"linux\"") &&
			has("\"Name\":\"Engine\""),
		"its fields");
	is_int(ask(r, "GET", "/info"), 200, "info while the daemon starts");
	js = json_read(got.body.data, got.body.size, NULL);
	ok(json_is_object(js), "is JSON");
	is_str(json_string_value(json_object_get(js, "ID")), "the-id", "ID");
	is_str(json_string_value(json_object_get(json_object_get(js, "Swarm"), "LocalNodeState")), "inactive",
		"Swarm.LocalNodeState");
	ok(json_integer_value(json_object_get(js, "NCPU")) > 0 && json_integer_value(json_object_get(js, "MemTotal")) > 1 << 20,
		"NCPU, MemTotal");
	ok(json_is_array(json_object_get(js, "Warnings")) && has("something to know"), "Warnings");
	ok(!json_object_get(js, "BridgeNfIptables") && !json_object_get(js, "KernelMemory"), "fields that went");
	is_int(ask(r, "GET", "/v1.24/info"), 200, "info of 1.24");
	ok(has("\"BridgeNfIptables\":") && has("\"KernelMemory\":"), "fields of old");
	ok(!has("name=seccomp"), "security options of old");
	is_int(ask(r, "GET", "/debug/commands"), 200, "commands");
	ok(has("\nsystem_info\n"), "are listed");
	is_int(ask(r, "GET", "/debug/vars"), 200, "vars");
	ok(has("{\"name\":\"debug_vars\""), "show the running job");
}

static void test_events(struct router *r, struct events *ev)
{
	events_log(ev, "container", "create", "abc123", "name", "web", "image", "busybox:latest", "tier", "one", NULL);
	events_log(ev, "container", "exec_start: sh", "abc123", "name", "web", "image", "busybox:latest", NULL);
	events_log(ev, "image", "load", "sha256:77", "name", "busybox:latest", NULL);
	is_int(ask(r, "GET", "/events?until=0s"), 200, "events up to now");
	ok(has("\"create\"") && has("\"load\"") && has("\"status\":\"create\""), "all, with the fields of old");
	is_str(got.type, "application/json", "as JSON");
	ask(r, "GET", "/v1.52/events?until=0s");
	ok(!has("\"status\"") || !strstr(got.body.data, "\"status\""), "without them since 1.52");
	is_str(got.type, "application/x-ndjson", "as lines");
	accept_header = "application/json-seq";
	ask(r, "GET", "/v1.52/events?until=0s");
	is_str(got.type, "application/json-seq", "as a sequence");
	ok(got.body.data[0] == 0x1e, "with record separators");
	accept_header = NULL;
	ask(r, "GET", "/events?until=0s&filters={%22container%22:[%22we%22]}");
	ok(has("\"create\"") && !strstr(got.body.data, "\"load\""), "of a container, by the beginning of its name");
	ask(r, "GET", "/events?until=0s&filters={%22container%22:[%22abc%22]}");
	ok(has("\"create\""), "or id");
	ask(r, "GET", "/events?until=0s&filters={%22event%22:[%22exec_start%22]}");
	ok(has("exec_start: sh") && !strstr(got.body.data, "\"create\""), "execs by their bare action");
	ask(r, "GET", "/events?until=0s&filters={%22event%22:[%22creat%22]}");
	is_int(got.body.size, 0, "other actions whole");
	ask(r, "GET", "/events?until=0s&filters={%22image%22:[%22busybox%22]}");
	ok(has("\"create\"") && has("\"load\""), "of an image, without its tag, and its containers");
	ask(r, "GET", "/events?until=0s&filters={%22label%22:[%22tier=one%22]}");
	ok(has("\"create\"") && !strstr(got.body.data, "exec_start"), "by label");
	ask(r, "GET", "/events?until=0s&filters={%22type%22:{%22image%22:true}}");
	ok(has("\"load\"") && !strstr(got.body.data, "\"create\""), "by type");
	ask(r, "GET", "/events?until=0s&filters={%22volume%22:[%22x%22]}");
	is_int(got.body.size, 0, "none of another resource");
	is_int(ask(r, "GET", "/events?filters={%22foo%22:[%22x%22]}"), 400, "an unknown filter");
	ok(has("invalid filter 'foo'"), "in Docker's words");
	is_int(ask(r, "GET", "/events?since=5&until=1"), 400, "until ahead of since");
	ok(has("`since` time (5) cannot be after `until` time (1)"), "in Docker's words");
	is_int(ask(r, "GET", "/events?since=yesterday"), 400, "no time");
	is_int(events_subscribers(ev), 0, "no reader is left");
}

static void test_refusals(struct router *r)
{
	is_int(ask(r, "GET", "/nodes"), 503, "swarm");
	ok(has("This node is not a swarm manager. Use \\\"docker swarm init\\\" or \\\"docker swarm join\\\" to connect this "
	       "node to swarm and try again."),
		"in Docker's words");
	is_int(ask(r, "POST", "/swarm/leave"), 503, "leaving no swarm");
	is_int(ask(r, "POST", "/swarm/init"), 501, "swarm init");
	is_int(ask(r, "POST", "/auth"), 400, "auth with nothing to check");
	is_int(ask(r, "GET", "/distribution/x/json"), 503, "distribution, on a disk that cannot be written");
	ok(has("registries cannot be used"), "says why");
	is_int(ask(r, "POST", "/session"), 400, "session without Upgrade");
	upgrade_header = "h2c";
	is_int(ask(r, "POST", "/session"), 501, "with it");
	upgrade_header = NULL;
	is_int(ask(r, "POST", "/build/prune"), 200, "pruning an empty build cache");
	is_int(ask(r, "GET", "/v1.24/containers/x/checkpoints"), 400, "an endpoint of 1.25");
	is_int(ask(r, "GET", "/containers/x/checkpoints"), 501, "checkpoints");
	ok(has("experimental"), "in Docker's words");
}

static bool warns(const char *name, const char *version)
{
	OWN_FREE char *w = host_runtime_warning(name, version);

	return w != NULL;
}

static void test_host(void)
{
	OWN_FREE char *pretty = host_os_release("PRETTY_NAME"), *none = host_os_release("NO_SUCH_KEY");

	ok(pretty && *pretty && !strchr(pretty, '"'), "os-release");
	ok(!none, "an absent key");
	ok(warns("runc", "1.1.5+ds1") && warns("runc", "1.2.7") && warns("runc", "1.3.2") && warns("crun", "1.8.1"),
		"old runtimes");
	ok(!warns("runc", "1.2.8") && !warns("runc", "1.3.3") && !warns("runc", "1.4.0") && !warns("crun", "1.28") &&
			!warns("youki", "0.1"),
		"good ones");
}

int main(void)
{
	struct engine *e = engine_new();
	struct events *ev = events_new();
	struct api api = { .engine = e, .events = ev, .engine_id = "the-id", .data_root = "/nowhere" };
	struct err err = ERR_INIT;
	struct router *r;

	log_set_level(LOG_FATAL);
	api_add_warning("something to know");
	ok(api_register(&api, &err) == 0, "every room registers");
	r = router_new(e, api_routes, api_routes_len, API_MIN_MINOR, &err);
	ok(r != NULL, "every route has its job");
	test_routes();
	test_order(r);
	test_ping(r);
	test_info(r);
	test_events(r, ev);
	test_refusals(r);
	test_host();
	buf_done(&got.body);
	strmap_done(&got.headers);
	router_free(r);
	events_free(ev);
	engine_free(e);
	err_done(&err);
	return tap_done();
}
