/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The network controller and its sandboxes with the real drivers of the build tree. */
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "driver.h"
#include "network/net.h"
#include "tap.h"

#ifndef NSFS_MAGIC
#define NSFS_MAGIC 0x6e736673
#endif

#define C1 "1111111111111111111111111111111111111111111111111111111111111111"
#define C2 "2222222222222222222222222222222222222222222222222222222222222222"
#define C3 "3333333333333333333333333333333333333333333333333333333333333333"

static char root[] = "/tmp/test-network.XXXXXX";
static char *exec_root;
static struct spawner *spawner;

static int create_on(struct net_controller *nc, const char *container, const char *network, struct sandbox *ret, struct err *err)
{
	const struct net_wish wish = { .network = network };

	return sandbox_create(nc, container, -1, &wish, 1, NULL, ret, err);
}

static struct net_controller *reopen(struct net_controller *nc)
{
	OWN_ERR struct err err = ERR_INIT;

	net_close(nc);
	nc = net_open(root, exec_root, spawner, &err);
	if (!nc)
		printf("# %s\n", err_text(&err));
	return nc;
}

static bool is_netns(const char *path)
{
	struct statfs fs;

	return path && statfs(path, &fs) == 0 && fs.f_type == NSFS_MAGIC;
}

static char *name_of(void *ctx, const char *container_id)
{
	(void)ctx;
	return xasprintf("name-%.1s", container_id);
}

static void test_networks(struct net_controller **nc)
{
	OWN_NETWORK struct network *none = net_find(*nc, "none", NULL), *host = net_find(*nc, "host", NULL),
		*again = NULL, *by_prefix = NULL;
	OWN_FREE char *want = NULL, *path = xasprintf("%s/network/dockerd.json", root), *aside = xasprintf("%s.damaged", path);
	OWN_FREE char *prefix = none ? xstrndup(none->id, 12) : NULL;
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf b = {0};
	struct jw w;
	char created[CLOCK_TEXT];

	if (!ok(none && host, "none and host are there"))
		return;
	is_str(none->driver, "null", "the driver of none is called null");
	is_str(net_default(*nc), "none", "the default");
	by_prefix = net_find(*nc, prefix, NULL);
	ok(by_prefix && streq(by_prefix->name, "none"), "found by a prefix of its id");
	ok(!net_find(*nc, "", &err) && err.class == ERR_NOT_FOUND, "an empty name");
	ok(!net_find(*nc, "nope", &err) && err.class == ERR_NOT_FOUND, "an unknown one");
	is_str(err.msg, "network nope not found", "Docker's text");
	jw_init(&w, &b);
	net_encode(*nc, none, true, 41, &w);
	want = xasprintf("{\"Name\":\"none\",\"Id\":\"%s\",\"Created\":\"%s\",\"Scope\":\"local\",\"Driver\":\"null\",\"EnableIPv6\":false,"
		"\"IPAM\":{\"Driver\":\"default\",\"Options\":null,\"Config\":[]},\"Internal\":false,\"Attachable\":false,\"Ingress\":false,"
		"\"ConfigFrom\":{\"Network\":\"\"},\"ConfigOnly\":false,\"Containers\":{},\"Options\":{},\"Labels\":{}}",
		none->id, clock_rfc3339nano(none->created, created));
	is_str(b.data, want, "looks as Docker's at 1.41");
	*nc = reopen(*nc);
	again = net_find(*nc, none->id, NULL);
	ok(again && again->created == none->created, "the id stays over a restart");
	fs_write_atomic(AT_FDCWD, path, "{\"Ver", 5, 0600, FS_RENAME_ONLY, NULL);
	*nc = reopen(*nc);
	network_unref(again);
	again = *nc ? net_find(*nc, "none", NULL) : NULL;
	ok(again && fs_exists(aside), "a damaged list is put aside and made anew");
}

static const char *create(struct net_controller *nc, struct net_spec spec, int *ret_status)
{
	static char text[512];
	OWN_ERR struct err err = ERR_INIT;
	char id[65];

	text[0] = '\0';
	*ret_status = 201;
	spec.enable_ipv4 = spec.enable_ipv6 = -1;
	if (net_create(nc, &spec, id, NULL, &err) < 0) {
		snprintf(text, sizeof(text), "%s", err_text(&err));
		*ret_status = err_status(err.class);
	}
	return text;
}

static void test_refusals(struct net_controller *nc)
{
	static const char *const predefined[] = { "none", "host", "bridge", "default" };
	OWN_ERR struct err err = ERR_INIT;
	int status;

	for (size_t i = 0; i < ARRAY_LEN(predefined); i++) {
		OWN_FREE char *want = xasprintf("operation is not permitted on predefined %s network ", predefined[i]);

		is_str(create(nc, (struct net_spec){ .name = predefined[i] }, &status), want, "create %s", predefined[i]);
		is_int(status, 403, "403");
	}
	is_str(create(nc, (struct net_spec){ .name = " " }, &status), "invalid name:  ", "a blank name");
	ok(str_has_prefix(create(nc, (struct net_spec){ .name = "n", .driver = "nope" }, &status),
		"plugin \"nope\" not found") && status == 404, "no such driver");
	is_str(create(nc, (struct net_spec){ .name = "n", .driver = "host" }, &status),
		"only one instance of \"host\" network is allowed", "a second host");
	is_str(create(nc, (struct net_spec){ .name = "n", .driver = "null" }, &status),
		"only one instance of \"null\" network is allowed", "a second none");
	is_int(status, 403, "403");
	create(nc, (struct net_spec){ .name = "n", .driver = "overlay" }, &status);
	is_int(status, 503, "overlay without a swarm");
	create(nc, (struct net_spec){ .name = "n", .scope = "swarm" }, &status);
	is_int(status, 403, "swarm scope");
	create(nc, (struct net_spec){ .name = "n", .ingress = true }, &status);
	is_int(status, 403, "ingress");
	create(nc, (struct net_spec){ .name = "n", .config_from = "x" }, &status);
	is_int(status, 404, "configuration of none");
	is_int(net_remove(nc, "none", &err), -1, "remove none");
	is_str(err.msg, "none is a pre-defined network and cannot be removed", "Docker's text");
	is_int(err.class, ERR_FORBIDDEN, "403");
	is_int(net_remove(nc, "nope", &err), -1, "remove nope");
	is_int(err.class, ERR_NOT_FOUND, "404");
}

static void test_host(struct net_controller *nc)
{
	OWN_NETWORK struct network *host = net_find(nc, "host", NULL);
	OWN_FREE char *key = xasprintf("%s/netns/default", exec_root), *want = NULL;
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf b = {0};
	struct sandbox sb;
	struct jw w;

	is_int(create_on(nc, "../../etc/x", "host", &sb, &err), -1, "what is no id makes no sandbox");
	is_int(create_on(nc, C1, "nope", &sb, &err), -1, "an unknown network");
	is_str(err.msg, "network nope not found", "in Docker's words");
	is_int(create_on(nc, C1, "container:abc", &sb, &err), -1, "another container's is not made");
	is_int(create_on(nc, C1, "host", &sb, &err), 0, "host: %s", err_text(&err));
	ok(!sb.netns_path && !sb.userns_path && strlen(sb.id) == 64, "no namespace of its own");
	is_str(sb.key, key, "its key");
	ok(strlen(sb.eps[0].id) == 64 && streq(sb.eps[0].network_id, host->id) && streq(sb.eps[0].network, "host"), "its endpoint");
	net_set_namer(nc, name_of, NULL);
	jw_init(&w, &b);
	net_encode(nc, host, true, 41, &w);
	want = xasprintf("\"Containers\":{\"" C1 "\":{\"Name\":\"name-1\",\"EndpointID\":\"%s\",\"MacAddress\":\"\",\"IPv4Address\":\"\","
		"\"IPv6Address\":\"\"}}", sb.eps[0].id);
	ok(strstr(b.data, want), "inspect shows the container by its name");
	is_int(net_users(nc, host, NULL), 1, "counted");
	is_int(sandbox_remove(nc, C1, &sb, &err), 0, "removed");
	is_int(net_users(nc, host, NULL), 0, "and not on it any more");
	is_int(sandbox_remove(nc, C1, NULL, &err), 0, "missing is fine");
	sandbox_done(&sb);
}

static void test_none(struct net_controller **nc)
{
	OWN_ERR struct err err = ERR_INIT;
	struct sandbox sb, again, shared, other;
	OWN_STRV struct strv keep = {0};
	OWN_FREE char *stray = xasprintf("%s/netns/abcdefabcdef", exec_root), *keepme = xasprintf("%s/netns/default", exec_root);
	OWN_FREE char *path = NULL, *state = xasprintf("%s/sandboxes/" C2 ".json", exec_root);

	if (geteuid() != 0) {
		skip("namespaces", "not root");
		return;
	}
	if (!ok(create_on(*nc, C2, "default", &sb, &err) == 0, "none by default: %s", err_text(&err)))
		return;
	ok(is_netns(sb.netns_path), "a namespace is bound there");
	is_str(sb.key, sb.netns_path, "its key");
	ok(str_has_prefix(strrchr(sb.netns_path, '/') + 1, "") && strncmp(strrchr(sb.netns_path, '/') + 1, sb.id, 12) == 0 &&
		strlen(strrchr(sb.netns_path, '/')) == 13, "named by the first 12 digits of its id");
	is_str(sb.eps[0].network, "none", "on none");
	is_int(sandbox_share(*nc, C2, &shared, &err), 0, "shared");
	is_str(shared.netns_path, sb.netns_path, "the same namespace");
	ok(!shared.eps_len, "without an endpoint");
	is_int(sandbox_share(*nc, C3, &other, &err), -1, "of a container without one");
	is_int(err.class, ERR_CONFLICT, "409");

	*nc = reopen(*nc);
	is_int(sandbox_adopt(*nc, C2, "none", &again, &err), 0, "adopted after a restart: %s", err_text(&err));
	ok(streq(again.id, sb.id) && streq(again.eps[0].id, sb.eps[0].id) && streq(again.netns_path, sb.netns_path),
		"the same as before");
	is_int(sandbox_adopt(*nc, C3, "none", &other, &err), -1, "a container that has none");

	is_int(create_on(*nc, C3, "none", &other, &err), 0, "another");
	is_int(spawner_netns(spawner, stray, -1, NULL, &err), 0, "a namespace that is no container's");
	close(creat(keepme, 0600));
	strv_add(&keep, C2);
	net_sweep(*nc, &keep);
	ok(!fs_exists(stray) && !fs_exists(other.netns_path), "swept");
	ok(is_netns(sb.netns_path) && fs_exists(keepme), "but what is in use or not ours");

	path = xstrdup(sb.netns_path);
	is_int(sandbox_remove(*nc, C2, &again, &err), 0, "removed");
	ok(!fs_exists(path) && !fs_exists(state), "nothing is left");
	sandbox_done(&other);
	is_int(create_on(*nc, C2, "none", &other, &err), 0, "once more");
	*nc = reopen(*nc);
	spawner_netns_drop(spawner, other.netns_path, NULL);
	sandbox_done(&again);
	is_int(sandbox_adopt(*nc, C2, "none", &again, &err), -1, "not adopted when its namespace is gone");
	is_int(err.class, ERR_NOT_FOUND, "that is told");
	is_int(sandbox_remove(*nc, C2, NULL, &err), 0, "removed by its file alone");
	ok(!fs_exists(state), "the file is gone");
	fs_write_atomic(AT_FDCWD, state, "{", 1, 0600, FS_RENAME_ONLY, NULL);
	is_int(create_on(*nc, C2, "none", &again, &err), 0, "a damaged file is in nobody's way");
	is_int(sandbox_remove(*nc, C2, NULL, &err), 0, "removed");
	sandbox_done(&sb);
	sandbox_done(&again);
	sandbox_done(&shared);
	sandbox_done(&other);
}

static void fail_at(const char *where)
{
	OWN_STRMAP struct strmap o = {0};

	strmap_set(&o, "net.wires.fail", where);
	driver_set_options(&o);
}

/* A network whose driver has endpoints (t/abi/wires.c): every step is undone when a later one fails. */
static void test_endpoints(struct net_controller **nc)
{
	static const char list[] = "{\"Version\":1,\"Networks\":[{\"Name\":\"wired\",\"Id\":\"" C3 "\",\"Driver\":\"wires\"},"
		"{\"Name\":\"bad\",\"Id\":\"../x\",\"Driver\":\"wires\"}]}";
	OWN_FREE char *path = xasprintf("%s/network/dockerd.json", root),
		*state = xasprintf("%s/sandboxes/" C1 ".json", exec_root);
	OWN_ERR struct err err = ERR_INIT;
	OWN_NETWORK struct network *n = NULL;
	struct sandbox sb;

	fs_write_atomic(AT_FDCWD, path, list, strlen(list), 0600, FS_RENAME_ONLY, NULL);
	*nc = reopen(*nc);
	n = net_find(*nc, "333333", NULL);
	ok(n && streq(n->name, "wired") && !net_find(*nc, "bad", NULL), "a network of the list, but none with a bad id");
	fail_at("create");
	is_int(create_on(*nc, C1, "wired", &sb, &err), -1, "no endpoint");
	ok(err.class == ERR_NO_SPACE && streq(err.msg, "network wired: no wires left"), "the driver's reason: %s",
		err_text(&err));
	fail_at("join");
	is_int(create_on(*nc, C1, "wired", &sb, &err), -1, "no join");
	is_str(err.msg, "network wired: a wire broke", "the driver's reason");
	fail_at("move");
	is_int(create_on(*nc, C1, "wired", &sb, &err), -1, "an interface that nobody moves");
	is_int(err.class, ERR_NOT_IMPLEMENTED, "is refused");
	ok(!fs_exists(state) && net_users(*nc, n, NULL) == 0, "nothing is left");
	fail_at("nothing");
	is_int(create_on(*nc, C1, "wired", &sb, &err), 0, "made: %s", err_text(&err));
	is_str(sb.eps[0].mac, "02:42:00:00:00:01", "with the driver's MAC");
	is_str(sb.eps[0].ipv4, "10.0.0.1/24", "and address");
	sandbox_done(&sb);
	*nc = reopen(*nc);
	is_int(sandbox_adopt(*nc, C1, "wired", &sb, &err), 0, "adopted");
	is_str(sb.eps[0].ipv4, "10.0.0.9/24", "told to the driver as restored");
	fail_at("leave");
	is_int(sandbox_remove(*nc, C1, NULL, &err), -1, "a leave that fails");
	is_str(err.msg, "1 joined, 1 endpoints", "every failed step before was undone");
	ok(fs_exists(state), "is remembered");
	fail_at("nothing");
	is_int(sandbox_remove(*nc, C1, NULL, &err), 0, "and done again");
	ok(!fs_exists(state), "then it is gone");
	sandbox_done(&sb);
}

int main(void)
{
	OWN_FREE char *fixtures = xasprintf("%s/t/abi/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_FREE char *dir = xasprintf("%s/plugins/net/.libs", getenv("top_builddir") ? getenv("top_builddir") : ".");
	OWN_STRV struct strv dirs = {0};
	OWN_ERR struct err err = ERR_INIT;
	struct net_controller *nc;

	log_set_level(LOG_FATAL);
	spawner = spawner_start(&err);
	ok(spawner && mkdtemp(root), "a spawner and a data-root: %s", err_text(&err));
	exec_root = xasprintf("%s/exec", root);
	mkdir(exec_root, 0700);
	strv_take(&dirs, realpath(dir, NULL));
	strv_take(&dirs, realpath(fixtures, NULL));
	is_int(driver_init_only(&dirs, NULL, &err), 0, "drivers of the build tree: %s", err_text(&err));
	nc = net_open(root, exec_root, spawner, &err);
	if (!ok(nc, "opens: %s", err_text(&err)))
		return tap_done();
	test_networks(&nc);
	test_refusals(nc);
	test_host(nc);
	test_none(&nc);
	test_endpoints(&nc);
	net_close(nc);
	spawner_stop(spawner);
	fs_remove_tree(AT_FDCWD, root, NULL);
	free(exec_root);
	return tap_done();
}
