/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many layers, many threads, little time, little room, and ids that are mapped. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/fs.h"
#include "graph.h"

#define DEPTH 125 /* the most that an image of Docker's may have */
#define THREADS 4

void graph_case_depth(struct check *c)
{
	unsigned made = 0, seen = 0, hidden = 0;
	OWN_FREE char *dir = NULL;

	if (!graph_begin(c))
		return;
	for (unsigned i = 0; i < DEPTH && made == i; i++) {
		OWN_FREE char *file = xasprintf("f%u=%u", i, i), *over = xasprintf("top=%u", i);

		made += make_layer(layer(i), i ? layer(i - 1) : NULL, file, over, NULL);
	}
	check_ok(made == DEPTH, "%d layers on each other", DEPTH);
	works(graph_create(layer(1000), layer(DEPTH - 1), true) == 0 && graph_create(layer(1001), layer(1000), true) == 0, "and the two of a container");
	dir = graph_get(layer(1001));
	works(dir != NULL, "mounted");
	for (unsigned i = 0; i < DEPTH; i++) {
		OWN_FREE char *name = xasprintf("f%u", i), *text = xasprintf("%u", i);

		seen += has_text(dir, name, text);
	}
	check_ok(seen == DEPTH, "every one of them is seen");
	check_ok(has_text(dir, "top", "124") && unlink(below(dir, "f0")) == 0 && put_text(dir, "f1", "other"), "the topmost wins, and all can be changed");
	works(graph_put(layer(1001)) == 0, "unmounted");
	changes_are(layer(1001), layer(1000), "C /f1, D /f0", "what was changed");
	hidden += layer_has(layer(DEPTH / 2), "f63", NULL) + layer_has(layer(DEPTH / 2), "f62", "62");
	check_ok(hidden == 2, "a layer in the middle has what is in it and below");
	graph_end();
}

/* Threads */

struct worker { unsigned number, rounds, bad; };

static unsigned failed(const struct worker *w, bool bad, const char *what)
{
	if (bad)
		check_note("thread %u: %s: %s", w->number, what, err_text(&why));
	return bad;
}

/* A layer of its own on one that all have, through its whole life. */
static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned mine = 100 + w->number;

	for (unsigned i = 0; i < w->rounds; i++) {
		OWN_FREE char *dir = NULL, *text = xasprintf("%u of %u", i, mine);

		w->bad += failed(w, graph_create(layer(mine), layer(1), true) < 0, "create");
		dir = graph_get(layer(mine));
		w->bad += failed(w, !has_text(dir, "shared", "s") || !put_text(dir, "own", text), dir ? "use" : "get");
		w->bad += failed(w, graph_put(layer(mine)) < 0, "put") + failed(w, !layer_has(layer(mine), "own", text), "get again");
		w->bad += failed(w, graph_remove(layer(mine)) < 0 || graph_exists(layer(mine)) != 0, "remove");
	}
	err_done(&why);
	return NULL;
}

/* As the daemon has them: not two on one layer, and in turn where the driver wants that. */
void graph_case_threads(struct check *c)
{
	struct worker w[THREADS] = { 0 };
	pthread_t t[THREADS];
	unsigned bad = 0;

	if (!graph_begin(c))
		return;
	make_layer(layer(1), NULL, "shared=s", NULL);
	for (unsigned i = 0; i < THREADS; i++) {
		w[i] = (struct worker){ .number = i, .rounds = c->longer ? 100 : 5 };
		pthread_create(&t[i], NULL, work, &w[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(t[i], NULL);
		bad += w[i].bad;
	}
	check_ok(bad == 0, "%d threads, each with layers of its own (%u failures)", THREADS, bad);
	check_ok(layer_has(layer(1), "shared", "s"), "what they stand on has not changed");
	graph_end();
}

/* Calls that shall end: each is done at once or gives up, and what gave up left nothing. */

static void check_stopped(const char *what)
{
	int rc = graph_create(layer(2), layer(1), true);

	check_ok(rc == 0 || why.class == ERR_CANCELLED, "%s: a layer is made all the same, or the call gives up", what);
	if (rc < 0 && why.class != ERR_CANCELLED)
		check_note("%s", err_text(&why));
	kit.deadline = 0;
	kit.cancel_fd = -1;
	check_ok(graph_exists(layer(2)) == (rc == 0) && graph_lists(layer(2)) == (rc == 0 && box.ops->list), "%s: there is a layer or there is none", what);
	check_ok(rc < 0 || layer_has(layer(2), "f199", "x"), "%s: one that is there is whole", what);
	works(graph_remove(layer(2)) == 0, "%s: removed", what);
}

void graph_case_stop(struct check *c)
{
	struct graph_tree t;
	unsigned written = 0;
	int ends[2];

	if (!graph_begin(c))
		return;
	works(graph_create(layer(1), NULL, false) == 0 && graph_tree(layer(1), NULL, DKD_GRAPH_TREE_WRITE, &t) == 0, "a layer to write");
	for (unsigned i = 0; i < 200; i++) {
		OWN_FREE char *name = xasprintf("f%u", i);

		written += tree_write(&t, name, "x") == 0;
	}
	check_ok(graph_tree_done(&t) == 0 && written == 200, "with 200 files");
	kit.deadline = 1;
	check_stopped("a deadline that has passed");
	if (pipe2(ends, O_CLOEXEC) == 0) {
		close(ends[1]);
		kit.cancel_fd = ends[0];
		check_stopped("a caller that has gone");
		close(ends[0]);
	}
	kit.deadline = clock_mono() + 600 * NSEC_PER_SEC;
	check_stopped("time enough");
	graph_end();
}

/* Sizes */

/* How much of a file of that size can be written. */
static uint64_t room_for(const char *dir, uint64_t size)
{
	OWN_FD int fd = open(below(dir, "large"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	OWN_FREE char *piece = xcalloc(1, 1 << 20);
	uint64_t done = 0;

	for (ssize_t n; fd >= 0 && done < size && (n = write(fd, piece, 1 << 20)) > 0; done += (uint64_t)n)
		if (done % (16 << 20) == 0 && fsync(fd) < 0)
			break;
	/* what a file system finds out later */
	return fd >= 0 && fsync(fd) == 0 ? done : done < size ? done : size - 1;
}

void graph_case_quota(struct check *c)
{
	uint64_t size = c->size ? c->size : UINT64_C(32) << 20;
	OWN_FREE char *text = xasprintf("%llu", (unsigned long long)size), *dir = NULL;
	int rc;

	if (!graph_begin(c))
		return;
	make_layer(layer(1), NULL, "a=1", NULL);
	rc = graph_create_with(layer(2), layer(1), DKD_GRAPH_RW, "size", text, NULL);
	if (!(box.caps & DKD_GRAPH_CAP_QUOTA)) {
		check_ok(rc < 0 && (why.class == ERR_INVALID || why.class == ERR_NOT_IMPLEMENTED), "a driver without quotas refuses a size");
		check_ok(graph_exists(layer(2)) == 0 && !graph_lists(layer(2)), "and leaves nothing");
		graph_end();
		return;
	}
	works(rc == 0, "a layer of %s bytes", text);
	refused(graph_create_with(layer(4), layer(1), 0, "size", text, NULL), ERR_INVALID, "a read-only layer has no size");
	refused(graph_create_with(layer(4), layer(1), DKD_GRAPH_RW, "size", "many", NULL), ERR_INVALID, "a size that is none");
	dir = graph_get(layer(2));
	check_ok(has_text(dir, "a", "1") && room_for(dir, size / 4) == size / 4, "a quarter of that can be written");
	check_ok(dir && room_for(dir, size * 2) < size * 2, "twice of it cannot");
	check_ok(unlink(below(dir, "large")) == 0 && put_text(dir, "b", "2"), "what is removed makes room");
	graph_put(layer(2));
	works(graph_create(layer(3), layer(1), true) == 0, "a layer without a size beside it");
	check_ok(layer_has(layer(3), "a", "1") && layer_has(layer(2), "b", "2"), "both can be used");
	graph_end();
}

/* Ids */

/* What is there where layers are: tmpfs has no idmapped mounts before Linux 6.3, overlays of them come with 5.19. */
static bool maps_ids(const struct dkd_idmap *map)
{
	OWN_FD int userns = kit_userns(map), tree = open_tree(AT_FDCWD, box.root, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	struct utsname u;
	unsigned major = 0, minor = 0;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 && (major > 5 || (major == 5 && minor >= 19)) &&
		userns >= 0 && tree >= 0 && mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0;
}

void graph_case_idmap(struct check *c)
{
	static const struct dkd_idmap map = { .inside = 0, .outside = 100000, .count = 65536 };
	const struct dkd_idmaps maps = { .size = sizeof(maps), .uids_len = 1, .gids_len = 1, .uids = &map, .gids = &map };
	OWN_FREE char *dir = NULL;
	struct stat st;
	OWN_FD int at = -1, b = -1;

	if (!graph_begin(c))
		return;
	make_layer(layer(1), NULL, "a=1", NULL);
	graph_create(layer(2), layer(1), true);
	dir = graph_get_with(layer(2), 0, &maps);
	if (!(box.caps & DKD_GRAPH_CAP_IDMAP)) {
		refused(dir ? 0 : -1, ERR_NOT_IMPLEMENTED, "a driver without maps of ids says so when it is asked for one");
		refused(graph_create_with(layer(3), layer(1), DKD_GRAPH_RW, NULL, NULL, &maps), ERR_NOT_IMPLEMENTED, "for a layer, too");
		check_ok(graph_exists(layer(3)) == 0, "which is not there then");
		graph_end();
		return;
	}
	if (!dir && !maps_ids(&map)) {
		refused(-1, ERR_NOT_IMPLEMENTED, "where the file system has no maps of ids the driver says so");
		dir = graph_get(layer(2));
		check_ok(dir && stat(below(dir, "a"), &st) == 0 && st.st_uid == 0, "and the layer can be mounted without");
		graph_put(layer(2));
		graph_end();
		return;
	}
	works(dir && stat(below(dir, "a"), &st) == 0 && st.st_uid == 100000 && st.st_gid == 100000, "a layer mounted with a map has the ids of the map");
	/* a process whose ids are not in the map may not write there: as the container's root */
	at = dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	setfsgid(100000);
	setfsuid(100000);
	b = openat(at, "b", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	setfsuid(0);
	setfsgid(0);
	check_ok(b >= 0 && write(b, "2", 1) == 1 && lchown(below(dir, "b"), 100005, 100006) == 0, "a container writes with ids of its own");
	fd_close(&at);
	fd_close(&b);
	works(graph_put(layer(2)) == 0, "unmounted");
	free(dir);
	dir = graph_get(layer(2));
	check_ok(dir && stat(below(dir, "a"), &st) == 0 && st.st_uid == 0 && stat(below(dir, "b"), &st) == 0 && st.st_uid == 5 && st.st_gid == 6,
		"without the map they are what is on disk");
	graph_put(layer(2));
	graph_end();
}
