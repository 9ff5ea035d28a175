/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The resources volumes, networks and plugins behind a router, on real stores and drivers. */
#include <stdio.h>

#include "api.h"
#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "events.h"
#include "network/net.h"
#include "plugin/managed.h"
#include "tap.h"
#include "volume/volume.h"

static char root[] = "/tmp/test-api-stores.XXXXXX";
static struct { int status; struct buf body; } got;
static struct buf body;
static struct router *router;

static const char *fake_header(struct request *rq, const char *name)
{
	(void)rq;
	return streq(name, "Content-Type") ? "application/json" : NULL;
}

static ssize_t fake_read(struct request *rq, void *data, size_t size, struct err *err)
{
	size_t n = body.size < size ? body.size : size;

	(void)rq;
	(void)err;
	if (n) {
		memcpy(data, body.data, n);
		buf_shift(&body, n);
	}
	return (ssize_t)n;
}

static int fake_reply(struct request *rq, int status, const char *type, const void *data, size_t size)
{
	(void)type;
	got.status = rq->status = status;
	buf_add(&got.body, data ? data : "", size);
	rq->sent = SENT_ALL;
	return 0;
}

static const struct request_ops fake_ops = { .header = fake_header, .read_body = fake_read, .reply = fake_reply };

/* The answer's text; got.status its status. */
static const char *ask(const char *method, const char *uri, const char *text)
{
	struct request rq = { .ops = &fake_ops, .method = method, .uri = uri, .user = "", .user_auth = "", .client_fd = -1 };

	got.status = 0;
	buf_reset(&got.body);
	buf_reset(&body);
	buf_adds(&body, text ? text : "");
	router_handle(router, &rq);
	request_done(&rq);
	buf_adds(&got.body, "");
	return got.body.data;
}

static size_t count(const char *text, const char *word)
{
	size_t n = 0;

	while ((text = strstr(text, word))) {
		n++;
		text += strlen(word);
	}
	return n;
}

#define LIST(filters) ask("GET", "/v1.41/volumes?filters=" filters, NULL)

static void test_volumes(struct api *api)
{
	is_str(LIST(""), "{\"Volumes\":[],\"Warnings\":null}\n", "no volumes");
	ok(strstr(ask("POST", "/v1.41/volumes/create", "{\"Name\":\"ab\",\"Labels\":{\"k\":\"v\"}}"),
		"\"Name\":\"ab\"") && got.status == 201, "create");
	ok(strstr(ask("POST", "/volumes/create", "{}"), "com.docker.volume.anonymous"), "create without a name");
	ask("POST", "/volumes/create", "{\"Name\":\"a\"}");
	is_int(got.status, 400, "a bad name");
	ask("POST", "/volumes/create", "{\"Name\":\"cv\",\"ClusterVolumeSpec\":{}}");
	is_int(got.status, 503, "a cluster volume");
	ok(strstr(ask("GET", "/volumes/ab", NULL), "\"Labels\":{\"k\":\"v\"}") && got.status == 200, "inspect");
	is_str(ask("GET", "/volumes/nope", NULL), "{\"message\":\"get nope: no such volume\"}\n", "inspect of none");
	is_int(count(LIST("{%22label%22:[%22k=v%22]}"), "\"Name\""), 1, "filter label");
	is_int(count(LIST("{%22name%22:[%22nope%22]}"), "\"Name\""), 0, "filter name");
	is_int(count(LIST("{%22driver%22:{%22local%22:true}}"), "\"Name\""), 2, "filter driver, the other form");
	volume_use(api->volumes, "ab", "c1");
	is_int(count(LIST("{%22dangling%22:[%22true%22]}"), "\"Name\""), 1, "filter dangling");
	ok(strstr(LIST("{%22dangling%22:[%22false%22]}"), "\"Name\":\"ab\""), "and not dangling");
	LIST("{%22dangling%22:[%22x%22]}");
	is_int(got.status, 400, "filter with a bad value");
	LIST("{%22foo%22:[%22x%22]}");
	is_int(got.status, 400, "unknown filter");
	ask("DELETE", "/volumes/ab", NULL);
	is_int(got.status, 409, "delete of one in use");
	volume_unuse(api->volumes, "ab", "c1");
	ask("POST", "/v1.41/volumes/prune?filters={%22all%22:[%22true%22]}", NULL);
	is_int(got.status, 400, "prune: no filter all before 1.42");
	ok(count(ask("POST", "/v1.42/volumes/prune", NULL), "\"ab\"") == 0 && strstr(got.body.data,
		"\"SpaceReclaimed\":0"), "prune keeps names");
	is_int(count(LIST(""), "\"Name\""), 1, "and takes the anonymous");
	ask("POST", "/v1.42/volumes/prune?filters={%22all%22:[%22true%22],%22label!%22:[%22k%22]}", NULL);
	is_int(count(LIST(""), "\"Name\""), 1, "but not against label!");
	is_str(ask("POST", "/v1.41/volumes/prune", NULL), "{\"VolumesDeleted\":[\"ab\"],\"SpaceReclaimed\":0}\n",
		"before 1.42 it takes all");
	ask("DELETE", "/volumes/ab", NULL);
	is_int(got.status, 404, "delete of none");
	ask("DELETE", "/volumes/ab?force=1", NULL);
	is_int(got.status, 204, "with force");
	ask("PUT", "/v1.42/volumes/ab", "{}");
	is_int(got.status, 503, "update");
}

static void test_networks(void)
{
	is_int(count(ask("GET", "/v1.41/networks", NULL), "\"Name\""), 2, "two networks");
	is_int(count(ask("GET", "/networks/", NULL), "\"Name\""), 2, "the path with a slash");
	is_int(count(ask("GET", "/networks?filters={%22driver%22:[%22null%22]}", NULL), "\"Name\":\"none\""), 1, "filter driver");
	is_str(ask("GET", "/networks?filters={%22type%22:[%22custom%22]}", NULL), "[]\n", "filter type");
	is_str(ask("GET", "/networks?filters={%22dangling%22:[%22true%22]}", NULL), "[]\n", "filter dangling");
	ask("GET", "/networks?filters={%22dangling%22:[%22x%22]}", NULL);
	is_int(got.status, 400, "a bad value");
	ok(strstr(ask("GET", "/v1.48/networks/none", NULL), "\"EnableIPv4\":true"), "since 1.48");
	ok(!strstr(ask("GET", "/v1.47/networks/none", NULL), "EnableIPv4"), "and not before");
	is_str(ask("GET", "/networks/none?scope=swarm", NULL), "{\"message\":\"network none not found\"}\n", "another scope");
	ask("GET", "/networks/none?verbose=maybe", NULL);
	is_int(got.status, 400, "verbose");
	ask("POST", "/networks/create", "{\"Name\":\"host\"}");
	is_int(got.status, 403, "create a predefined one");
	ask("DELETE", "/networks/host", NULL);
	is_int(got.status, 403, "delete a predefined one");
	is_str(ask("POST", "/networks/prune", NULL), "{\"NetworksDeleted\":null}\n", "prune");
	ask("POST", "/networks/nope/connect", "{\"Container\":\"x\"}");
	is_int(got.status, 404, "connect to none");
}

static void test_plugins(void)
{
	ask("GET", "/plugins", NULL);
	ok(got.status == 200 && strstr(got.body.data, "\"Name\":\"volume/local\",\"Enabled\":true"),
		"the loaded driver is enabled");
	ok(strstr(ask("GET", "/plugins/volume/local/json", NULL), "\"docker.volumedriver/1.0\"") && got.status == 200, "inspect");
	ok(strstr(ask("GET", "/plugins", NULL), "\"Name\":\"net/none\",\"Enabled\":"), "drivers of a build tree know their kind");
	ask("GET", "/plugins/volume/local:latest/json", NULL);
	is_int(got.status, 200, "inspect with a tag");
	ok(!strstr(ask("GET", "/plugins?filters={%22capability%22:[%22authz%22]}", NULL), "volume/local"), "filter capability");
	ok(!strstr(ask("GET", "/plugins?filters={%22enabled%22:[%22false%22]}", NULL), "volume/local"), "filter enabled");
	ask("POST", "/plugins/volume/local/disable", NULL);
	is_int(got.status, 501, "a driver is not disabled");
	is_str(ask("POST", "/plugins/nope/disable", NULL), "{\"message\":\"plugin \\\"nope\\\" not found\"}\n",
		"nor is what is none");
	ask("POST", "/plugins/pull?remote=x", "[]");
	is_int(got.status, 503, "nothing is pulled without registries");
	ask("POST", "/plugins/pull?remote=A//", "[]");
	is_int(got.status, 400, "nor by a name that is none");
}

int main(void)
{
	OWN_FREE char *top = xstrdup(getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_FREE char *v = xasprintf("%s/plugins/volume/.libs", top), *n = xasprintf("%s/plugins/net/.libs", top);
	struct api api = { .engine = engine_new(), .events = events_new() };
	OWN_STRV struct strv dirs = {0};
	OWN_ERR struct err err = ERR_INIT;

	log_set_level(LOG_FATAL);
	ok(mkdtemp(root), "a data-root");
	strv_take(&dirs, realpath(v, NULL));
	strv_take(&dirs, realpath(n, NULL));
	driver_init_only(&dirs, NULL, &err);
	api.volumes = volume_store_open(root, root, &err);
	api.nets = net_open(root, root, NULL, &err);
	api.plugins = managed_open(root, root, NULL, "/nonexistent", &err);
	if (!ok(api.volumes && api.nets && api.plugins && api_register(&api, &err) == 0, "stores and jobs: %s", err_text(&err)))
		return tap_done();
	router = router_new(api.engine, api_routes, api_routes_len, 24, &err);
	test_volumes(&api);
	test_networks();
	test_plugins();
	router_free(router);
	managed_close(api.plugins);
	net_close(api.nets);
	volume_store_close(api.volumes);
	engine_free(api.engine);
	events_free(api.events);
	buf_done(&got.body);
	buf_done(&body);
	fs_remove_tree(AT_FDCWD, root, NULL);
	return tap_done();
}
