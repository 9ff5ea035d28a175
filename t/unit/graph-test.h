/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of graph drivers share: a folder of their own, the graph under test, files in layers. */
#ifndef UNIT_GRAPH_TEST_H
#define UNIT_GRAPH_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "dockerd/driver.h"
#include "driver.h"
#include "image/graph.h"

#include "tap.h"

static char base[] = "/tmp/test-graph-XXXXXX";
static const char *driver __attribute__((unused));
static struct graph *g;

static inline char *id_of(int n)
{
	return xasprintf("%064x", n);
}

static inline char *at(const char *dir, const char *name)
{
	static char path[4][4096];
	static int i;

	i = (i + 1) % 4;
	snprintf(path[i], sizeof(path[i]), "%s/%s", dir, name);
	return path[i];
}

static inline void put_file(const char *dir, const char *name, const char *text)
{
	FILE *f = fopen(at(dir, name), "w");

	if (f) {
		fputs(text, f);
		fclose(f);
	}
}

static inline char *file_text(const char *dir, const char *name)
{
	static char text[256];
	FILE *f = fopen(at(dir, name), "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	return f ? text : NULL;
}

/* What a function says when it fails. */
#define fails_with(call, text, ...) do { \
	OWN_ERR struct err err_ = ERR_INIT; \
	struct err *err = &err_; \
	int bad_ = (call); \
	ok(bad_, __VA_ARGS__); \
	is_str(err_.msg, text, "... and says so"); \
} while (0)

#define works(call, ...) do { \
	OWN_ERR struct err err_ = ERR_INIT; \
	struct err *err = &err_; \
	int good_ = (call); \
	ok(good_, __VA_ARGS__); \
	if (!good_) printf("# %s\n", err_text(&err_)); \
} while (0)

static inline char *get(const char *id)
{
	OWN_ERR struct err err = ERR_INIT;
	char *path = graph_get(g, id, NULL, &err);

	if (!path)
		printf("# get %s: %s\n", id, err_text(&err));
	return path;
}

static inline bool is_listed(const char *id)
{
	OWN_STRV struct strv ids = { 0 };

	return graph_list(g, &ids, NULL) == 0 && strv_contains(&ids, id);
}

static inline int stack(int from, int count)
{
	for (int i = 0; i < count; i++) {
		OWN_FREE char *id = id_of(from + i), *parent = i ? id_of(from + i - 1) : NULL, *name = xasprintf("f%d", i);
		struct graph_tree t;
		int fd;

		if (graph_create(g, id, parent, false, NULL, NULL, NULL) < 0)
			return i;
		if (graph_tree_write(g, id, parent, &t, NULL) < 0)
			return -1;
		fd = openat(t.fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		close(fd);
		graph_tree_done(g, &t);
	}
	return count;
}

static inline bool dir_is_overlay(const char *path)
{
	struct statfs st;

	return statfs(path, &st) == 0 && st.f_type == 0x794c7630;
}

/* The drivers of the build tree. */
static inline void graph_test_begin(void)
{
	OWN_STRV struct strv dirs = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	const char *build = getenv("top_builddir");

	if (geteuid() != 0) {
		printf("1..0 # SKIP graph drivers need root\n");
		exit(0);
	}
	if (!mkdtemp(base))
		exit(99);
	strv_addf(&dirs, "%s/plugins/graph/.libs", build ? build : ".");
	strv_addf(&dirs, "%s/t/abi/.libs", build ? build : ".");
	ok(driver_init_only(&dirs, NULL, &err) == 0, "search path");
}

#endif
