/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Crashes: a process that makes, mounts, writes and removes layers is killed, between any two calls or at any moment, and the
 * next one finds what had been finished, and gets rid of the rest as the daemon does: by removing every layer it had begun.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "graph.h"

#define LAYERS 3

/* What the killed process had finished; in memory that it shares with the others. */
enum state { NONE, MAKING, MADE, WRITTEN, CHANGED, REMOVING };
static struct progress {
	enum state state[LAYERS + 1];
	unsigned calls; /* since the last clearing */
	unsigned stop;  /* after so many calls; 0: never */
} *progress;

static void done(void)
{
	if (++progress->calls == progress->stop)
		raise(SIGKILL);
}

static void make_written(unsigned n)
{
	struct graph_tree t;

	progress->state[n] = MAKING;
	works(graph_create(layer(n), n > 1 ? layer(n - 1) : NULL, false) == 0, "make layer %u", n);
	progress->state[n] = MADE;
	done();
	if (graph_tree(layer(n), n > 1 ? layer(n - 1) : NULL, DKD_GRAPH_TREE_WRITE, &t) < 0)
		return (void)works(false, "open layer %u", n);
	done();
	tree_write(&t, n == 1 ? "one" : "two", "content");
	done();
	works(graph_tree_done(&t) == 0, "close layer %u", n);
	progress->state[n] = WRITTEN;
	done();
}

static void use_container(void)
{
	OWN_STRV struct strv changes = { 0 };
	OWN_FREE char *dir = NULL;

	progress->state[3] = MAKING;
	works(graph_create(layer(3), layer(2), true) == 0, "make a container's layer");
	progress->state[3] = MADE;
	done();
	dir = graph_get(layer(3));
	done();
	works(put_text(dir, "three", "content") && unlink(below(dir, "one")) == 0, "use it");
	progress->state[3] = CHANGED;
	done();
	graph_changes(layer(3), layer(2), &changes);
	done();
	graph_put(layer(3));
	done();
	graph_sync();
	done();
}

static void remove_one(unsigned n)
{
	progress->state[n] = REMOVING;
	works(graph_remove(layer(n)) == 0, "remove layer %u", n);
	progress->state[n] = NONE;
	done();
}

/* The whole life, in which it may be killed. 1 when it came to its end. */
static int live(struct check *c, void *arg)
{
	(void)arg;
	check_failures_only();
	if (!graph_begin(c))
		return 2;
	done();
	make_written(1);
	make_written(2);
	use_container();
	for (unsigned n = 3; n > 0; n--)
		remove_one(n);
	graph_shut();
	return 1;
}

/* What the next process sees of a layer. */
static bool as_left(unsigned n)
{
	static const char *const files[] = { "", "one", "two", "three" };
	int there = graph_exists(layer(n));

	switch (progress->state[n]) {
	case NONE:
		return there == 0;
	case MADE:
		return there == 1;
	case WRITTEN:
	case CHANGED:
		return there == 1 && layer_has(layer(n), files[n], "content") && (n < 3 || layer_has(layer(n), "one", NULL));
	default:
		return there >= 0;
	}
}

static int look_and_go_on(struct check *c, void *arg)
{
	const char *when = arg;
	bool good[LAYERS + 1], gone = true;

	if (!graph_begin(c))
		return 1;
	for (unsigned n = 1; n <= LAYERS; n++)
		good[n] = as_left(n);
	works(good[1] && good[2] && good[3], "%s: what was finished is there (%d %d %d)", when, progress->state[1], progress->state[2], progress->state[3]);
	for (unsigned n = LAYERS; n > 0; n--) {
		graph_put(layer(n));
		gone = graph_remove(layer(n)) == 0 && graph_exists(layer(n)) == 0 && !graph_lists(layer(n)) && gone;
	}
	works(gone, "%s: and all of it can be removed", when);
	works(make_layer(layer(1), NULL, "one=again", NULL) && layer_has(layer(1), "one", "again"), "%s: the same id is made again", when);
	graph_end();
	return 0;
}

static bool share(void)
{
	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	return check_ok(progress != MAP_FAILED, "memory to share");
}

static void look_after(struct check *c, const char *when)
{
	int status = check_apart(c, look_and_go_on, (void *)(uintptr_t)when);

	if (!WIFEXITED(status) || WEXITSTATUS(status))
		check_ok(false, "%s: the next process ends well", when);
	*progress = (struct progress){ 0 };
}

void graph_case_crash(struct check *c)
{
	char when[64];
	int status;

	if (!share())
		return;
	status = check_apart(c, live, NULL);
	if (!check_ok(WIFEXITED(status) && WEXITSTATUS(status) == 1, "a whole life, without a crash"))
		return;
	for (unsigned last = progress->calls, stop = 1; stop <= last; stop++) {
		*progress = (struct progress){ .stop = stop };
		status = check_apart(c, live, NULL);
		snprintf(when, sizeof(when), "killed after call %u of %u", stop, last);
		check_ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "%s", when);
		look_after(c, when);
	}
}

/* At any moment, also within a call. */
void graph_case_killed(struct check *c)
{
	unsigned rounds = c->longer ? 200 : 8;
	int64_t whole = 0;
	char when[64];

	if (!share())
		return;
	for (unsigned i = 0; i <= rounds; i++) {
		struct timespec begin, end, wait;
		pid_t pid;

		*progress = (struct progress){ 0 };
		clock_gettime(CLOCK_MONOTONIC, &begin);
		pid = check_start(c, live, NULL);
		if (i) {
			int64_t ns = whole * (2 * i - 1) / (2 * rounds);

			wait = (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
			nanosleep(&wait, NULL);
			kill(pid, SIGKILL);
		}
		check_wait(pid);
		clock_gettime(CLOCK_MONOTONIC, &end);
		if (!i)
			whole = (int64_t)(end.tv_sec - begin.tv_sec) * 1000000000 + end.tv_nsec - begin.tv_nsec;
		snprintf(when, sizeof(when), "killed at moment %u of %u", i, rounds);
		if (i)
			look_after(c, when);
	}
}
