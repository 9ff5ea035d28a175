/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the way to a driver costs: a call over the function itself, and the mount of many layers over the bare mount(2); and what a request
 * costs in the driver "policy". Arguments: the folder of graph drivers, a folder to work in, that driver's file. Figures are medians of
 * rounds that take turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "dockerd/authz.h"
#include "dockerd/graph.h"
#include "driver.h"
#include "image/graph.h"

#define ROUNDS 31
#define CALLS 200000
#define LAYERS 60
#define REQUESTS 2000

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static int64_t median(int64_t *v)
{
	qsort(v, ROUNDS, sizeof(*v), by_size);
	return v[ROUNDS / 2];
}

static _Noreturn void give_up(const char *what, const struct err *err)
{
	fprintf(stderr, "driverbench: %s: %s\n", what, err ? err_text(err) : strerror(errno));
	exit(1);
}

/* put() of vfs does nothing at all. */
static void bench_call(struct graph *g, const char *plugins)
{
	OWN_FREE char *file = xasprintf("%s/vfs.so", plugins);
	OWN_ERR struct err err = ERR_INIT;
	const struct driver *d = driver_load_file(file, &err);
	const struct dkd_graph_ops *ops = d ? d->ops : NULL;
	int64_t bare[ROUNDS], call[ROUNDS], facade[ROUNDS];
	struct dkd_call plain = { .size = sizeof(plain), .cancel_fd = -1 };

	if (!d)
		give_up("vfs", &err);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t t = clock_mono(), bad = 0;
		struct driver_call c;

		for (int n = 0; n < CALLS; n++)
			bad += ops->put(&plain, NULL, "x");
		bare[i] = clock_mono() - t;
		t = clock_mono();
		for (int n = 0; n < CALLS; n++) {
			driver_call_begin(&c, d);
			bad += driver_call_end(&c, ops->put(&c.abi, NULL, "x"), NULL);
		}
		call[i] = clock_mono() - t;
		t = clock_mono();
		for (int n = 0; n < CALLS; n++)
			bad += graph_put(g, "x", NULL);
		facade[i] = clock_mono() - t;
		if (bad)
			give_up("put", NULL);
	}
	printf("a function of a driver: %.1f ns\n", (double)median(bare) / CALLS);
	printf("the same as a driver call: %.1f ns, %.1f over the function\n", (double)median(call) / CALLS, (double)(median(call) - median(bare)) / CALLS);
	printf("through the facade, with the layer's operation: %.1f ns, %.1f over the function\n", (double)median(facade) / CALLS,
		(double)(median(facade) - median(bare)) / CALLS);
}

/* Mounts */

static void make_layers(struct graph *g)
{
	OWN_ERR struct err err = ERR_INIT;
	char id[65], parent[65] = "";

	for (int i = 0; i <= LAYERS; i++) {
		snprintf(id, sizeof(id), "%064x", i);
		if (graph_create(g, id, i ? parent : NULL, i == LAYERS, NULL, NULL, &err) < 0)
			give_up("create", &err);
		memcpy(parent, id, sizeof(id));
	}
}

/* From the driver's root, with the shortest options that say the same. */
static char *bare_options(const char *home, const char *top)
{
	OWN_FREE char *file = xasprintf("%s/%s/lower", home, top);
	OWN_BUF struct buf lower = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (fs_read(AT_FDCWD, file, 1 << 16, &lower, &err) < 0)
		give_up("lower", &err);
	return xasprintf("index=off,lowerdir=%s,upperdir=%s/diff,workdir=%s/work", lower.data, top, top);
}

static void bench_mount(struct graph *g, const char *root)
{
	OWN_FREE char *home = xasprintf("%s/overlay2", root), *opts = NULL, *target = NULL;
	int64_t bare[ROUNDS], driver[ROUNDS], bare_end[ROUNDS], driver_end[ROUNDS];
	OWN_ERR struct err err = ERR_INIT;
	char top[65];

	make_layers(g);
	snprintf(top, sizeof(top), "%064x", LAYERS);
	opts = bare_options(home, top);
	target = xasprintf("%s/bare", root);
	if (mkdir(target, 0700) < 0 || chdir(home) < 0)
		give_up("chdir", NULL);
	for (int i = 0; i < ROUNDS; i++) {
		int64_t t = clock_mono();
		OWN_FREE char *path = NULL;

		if (mount("overlay", target, "overlay", 0, opts) < 0)
			give_up("mount", NULL);
		bare[i] = clock_mono() - t;
		t = clock_mono();
		if (umount2(target, MNT_DETACH) < 0)
			give_up("umount", NULL);
		bare_end[i] = clock_mono() - t;
		t = clock_mono();
		path = graph_get(g, top, NULL, &err);
		if (!path)
			give_up("get", &err);
		driver[i] = clock_mono() - t;
		t = clock_mono();
		if (graph_put(g, top, &err) < 0)
			give_up("put", &err);
		driver_end[i] = clock_mono() - t;
	}
	printf("mount(2) of an overlay of %d layers: %.0f us, its umount2(2) %.0f us\n", LAYERS, (double)median(bare) / 1000, (double)median(bare_end) / 1000);
	printf("the same through the driver: %.0f us, %.2f times; the unmount %.0f us, %.2f times\n", (double)median(driver) / 1000,
		(double)median(driver) / (double)median(bare), (double)median(driver_end) / 1000, (double)median(driver_end) / (double)median(bare_end));
}

/* Rules */

static int32_t ignore(void *to, const char *text)
{
	(void)to, (void)text;
	return 0;
}

/* What the built-in policy "confined" takes for a request: 36 rules, most of them about the bodies of creates. */
static void bench_rules(const char *file)
{
	static const char body[] = "{\"Image\":\"busybox\",\"Cmd\":[\"sh\",\"-c\",\"true\"],\"Env\":[\"A=1\",\"B=2\"],\"Labels\":{\"a\":\"b\"},\"HostConfig\":{"
		"\"NetworkMode\":\"default\",\"Binds\":[\"data:/data\"],\"Memory\":1048576,\"RestartPolicy\":{\"Name\":\"always\"},\"PortBindings\":{}}}";
	const struct dkd_authz_request list = { .size = sizeof(list), .method = "GET", .uri = "/v1.41/containers/json", .path = "/containers/json", .user = "",
		.user_auth = "", .listener = "unix:///a", .policy = "confined" };
	struct dkd_authz_request create = list;
	const char *const names[] = { "confined" };
	struct dkd_authz_open o = { .size = sizeof(o), .policies = names, .policies_len = 1 };
	int64_t asked[2][ROUNDS];
	OWN_ERR struct err err = ERR_INIT;
	const struct driver *d = driver_load_file(file, &err);
	const struct dkd_authz_ops *ops = d ? d->ops : NULL;
	struct dkd_authz *a = NULL;
	struct driver_call c;

	if (!d)
		give_up("policy", &err);
	driver_call_begin(&c, d);
	if (driver_call_end(&c, ops->open(&c.abi, driver_host(d), &o, &a), &err) < 0)
		give_up("policy", &err);
	create.method = "POST";
	create.uri = create.path = "/containers/create";
	create.body = body;
	create.body_size = sizeof(body) - 1;
	for (int i = 0; i < ROUNDS; i++)
		for (int k = 0; k < 2; k++) {
			int64_t t = clock_mono(), bad = 0;

			for (int n = 0; n < REQUESTS; n++) {
				driver_call_begin(&c, d);
				bad += driver_call_end(&c, ops->request(&c.abi, a, k ? &create : &list, ignore, NULL), NULL);
			}
			asked[k][i] = clock_mono() - t;
			if (bad)
				give_up("policy", NULL);
		}
	printf("the policy \"confined\" asked of a list: %.2f us, of a create: %.2f us\n", (double)median(asked[0]) / REQUESTS / 1000,
		(double)median(asked[1]) / REQUESTS / 1000);
	ops->close(a);
}

static struct graph *open_graph(const char *name, const char *root)
{
	OWN_ERR struct err err = ERR_INIT;
	struct graph *g;

	if (fs_mkdirs(root, 0711, &err) < 0 || !(g = graph_open(name, root, NULL, 0, 0, &err)))
		give_up(name, &err);
	return g;
}

int main(int argc, char *argv[])
{
	OWN_STRV struct strv dirs = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *base = NULL, *first = NULL, *second = NULL;
	struct graph *g;

	if (argc != 4)
		return fputs("Usage: driverbench PLUGINS FOLDER POLICY\n", stderr), 2;
	base = xasprintf("%s/driverbench-XXXXXX", argv[2]);
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(base))
		give_up(base, NULL);
	first = xasprintf("%s/vfs", base);
	second = xasprintf("%s/overlay2", base);
	strv_add(&dirs, argv[1]);
	if (driver_init_only(&dirs, NULL, &err) < 0)
		give_up("drivers", &err);
	g = open_graph("vfs", first);
	bench_call(g, argv[1]);
	bench_rules(argv[3]);
	graph_close(g);
	g = open_graph("overlay2", second);
	bench_mount(g, second);
	graph_close(g);
	if (chdir("/") < 0 || fs_remove_tree(AT_FDCWD, base, &err) < 0)
		give_up("clean-up", &err);
	return 0;
}
