/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loader: what it finds, what it refuses, and with which sentence; host table and calls. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/spawner.h"
#include "dockerd/graph.h"
#include "driver.h"
#include "driver-once.h"

#include "tap.h"

static char base[] = "/tmp/test-driver-XXXXXX";

static void copy_part(const char *fixture, const char *to, size_t size)
{
	OWN_FREE char *from = xasprintf("%s/t/abi/.libs/%s.so", getenv("top_builddir") ? getenv("top_builddir") : ".", fixture);
	OWN_BUF struct buf b = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	if (fs_read(AT_FDCWD, from, 16 << 20, &b, &err) < 0 ||
	    fs_write_atomic(AT_FDCWD, to, b.data, size < b.size ? size : b.size, 0644, FS_RENAME_ONLY, &err) < 0)
		printf("# %s\n", err_text(&err));
}

/* Puts a fixture into one of the folders on the path, under a name. */
static char *place(const char *fixture, const char *where, const char *name)
{
	char *to = xasprintf("%s/%s/%s.so", base, where, name);

	copy_part(fixture, to, SIZE_MAX);
	return to;
}

static void refused(uint32_t kind, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static void refused(uint32_t kind, const char *name, const char *fmt, ...)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *want = NULL;
	va_list ap;

	va_start(ap, fmt);
	want = xvasprintf(fmt, ap);
	va_end(ap);
	ok(!driver_load(kind, name, &err), "%s is refused", name);
	is_str(err_text(&err), want, "... with a sentence");
}

static const struct driver *loads(const char *name)
{
	OWN_ERR struct err err = ERR_INIT;
	const struct driver *d = driver_load(DKD_KIND_GRAPH, name, &err);

	ok(d != NULL, "%s loads: %s", name, err_text(&err));
	return d;
}

static bool is_mapped(const char *path)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[4096];
	bool ret = false;

	while (f && fgets(line, sizeof(line), f))
		ret |= strstr(line, path) != NULL;
	if (f)
		fclose(f);
	return ret;
}

static void test_find(void)
{
	OWN_FREE char *good = place("good", "a/graph", "good"), *alias = place("alias", "a", "alias");
	const struct driver *d, *again;

	ok(driver_present(DKD_KIND_GRAPH, "good") && !is_mapped(good), "a driver not in use is not in memory");
	d = loads("good");
	is_str(d ? d->desc->version : NULL, "7", "it is the one");
	is_str(d ? d->path : NULL, good, "its path");
	again = driver_load(DKD_KIND_GRAPH, "good", NULL);
	ok(d == again, "a driver is loaded once");
	ok(loads("aliased2") && driver_load(DKD_KIND_GRAPH, "alias", NULL) == driver_load(DKD_KIND_GRAPH, "aliased2", NULL), "an alias");
	ok(driver_present(DKD_KIND_GRAPH, "aliased3"), "a file that may answer to a longer name");
	refused(DKD_KIND_GRAPH, "aliased3", "graph driver aliased3 not found");
	refused(DKD_KIND_GRAPH, "nowhere", "graph driver nowhere not found");
	refused(DKD_KIND_VOLUME, "good", "volume driver good not found");
	refused(DKD_KIND_GRAPH, "../a/graph/good", "graph driver ../a/graph/good not found: names of drivers are made of a-z, 0-9, _ and -");
	refused(DKD_KIND_GRAPH, "Good", "graph driver Good not found: names of drivers are made of a-z, 0-9, _ and -");
	free(place("good", "a/graph", "GOOD2"));
	ok(!driver_present(DKD_KIND_GRAPH, "GOOD2"), "a file of another kind of name is not looked at");
	(void)alias;
}

static void test_order(void)
{
	OWN_FREE char *second = place("major", "b/graph", "good"), *flat = place("net", "a", "both"), *sub = place("good", "a/graph", "both");
	OWN_FREE char *flat_only = place("net", "a", "net");
	struct err err = ERR_INIT;

	ok(driver_load(DKD_KIND_GRAPH, "good", NULL) != NULL, "the first folder of the path wins");
	refused(DKD_KIND_GRAPH, "both", "driver %s is refused: it calls itself good", sub);
	refused(DKD_KIND_GRAPH, "net", "graph driver net not found");
	ok(driver_load(DKD_KIND_NET, "net", &err) != NULL, "a folder of all kinds: %s", err_text(&err));
	err_done(&err);
	unlink(sub);
	unlink(flat);
	(void)second, (void)flat_only;
}

static void test_descriptor(void)
{
	static const char *const names[] = { "magic", "major", "minor", "kind", "lacksop", "short", "threads", "noops", "provider", "undefined", "noentry", "null" };
	OWN_STRV struct strv p = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		strv_take(&p, place(names[i], "a/graph", names[i]));
	refused(DKD_KIND_GRAPH, "magic", "driver %s is refused: its magic is 0x12345678, not 0x31444b44", p.v[0]);
	refused(DKD_KIND_GRAPH, "major", "driver %s is refused: it was built for the graph ABI 2.0, this daemon has 1.0", p.v[1]);
	ok(driver_load(DKD_KIND_GRAPH, "minor", NULL) != NULL, "another minor of the same major is taken");
	strv_take(&p, place("frozen", "a/graph", "frozen"));
	ok(driver_load(DKD_KIND_GRAPH, "frozen", NULL) != NULL, "and so is one that was built from the headers of 1.0");
	refused(DKD_KIND_GRAPH, "kind", "driver %s is refused: its kind is 77, which this daemon does not know", p.v[3]);
	refused(DKD_KIND_GRAPH, "lacksop", "driver %s is refused: it lacks the required operation get", p.v[4]);
	refused(DKD_KIND_GRAPH, "short", "driver %s is refused: it lacks the required operation put", p.v[5]);
	refused(DKD_KIND_GRAPH, "threads", "driver %s is refused: its thread model is 9, which this daemon does not know", p.v[6]);
	refused(DKD_KIND_GRAPH, "noops", "driver %s is refused: it has no table of operations", p.v[7]);
	refused(DKD_KIND_GRAPH, "provider", "driver %s is refused: it is a provider of drivers that cannot say which", p.v[8]);
	refused(DKD_KIND_GRAPH, "undefined", "driver %s is refused: undefined symbol: a_function_of_the_daemon", p.v[9]);
	refused(DKD_KIND_GRAPH, "undefined", "driver %s is refused: undefined symbol: a_function_of_the_daemon", p.v[9]);
	refused(DKD_KIND_GRAPH, "noentry", "driver %s is refused: it does not export dkd_driver_entry", p.v[10]);
	refused(DKD_KIND_GRAPH, "null", "driver %s is refused: its entry returned no descriptor", p.v[11]);
	for (size_t i = 0; i < p.len; i++)
		unlink(p.v[i]);

	OWN_FREE char *wrong = place("net", "b/graph", "net");

	refused(DKD_KIND_GRAPH, "net", "driver %s is refused: it is a net driver in the folder of graph drivers", wrong);
	unlink(wrong);
}

/* Every member of the descriptor, changed: a driver, or one sentence; never a crash. */
static void test_mutants(void)
{
	static const char *const numbers[] = { "0", "1", "2", "3", "4", "5", "7", "8", "12", "16", "0x7fffffff", "0x80000000", "0xffffffff", "0x31444b44" };
	static const char *const texts[] = { NULL, "", " ", "a/b", "..", "UPPER", "  x  y ", "a-name-that-is-far-too-long-for-a-driver-and-goes-on-and-on-and-on-for-ever" };
	static const struct { const char *member; bool text; int right; } rows[] = {
		{ "magic", false, 1 }, { "kind", false, 1 }, { "abi_major", false, 1 }, { "abi_minor", false, 14 }, { "ops_size", false, 1 },
		{ "thread_model", false, 3 }, { "features", false, 14 }, { "name", true, 0 }, { "aliases", true, 8 }, { "version", true, 8 },
		{ "op", false, 5 },
	};
	int n = 0;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int right = 0, silent = 0;

		for (size_t j = 0; j < (rows[i].text ? ARRAY_LEN(texts) : ARRAY_LEN(numbers)); j++) {
			const char *value = rows[i].text ? texts[j] : numbers[j];
			OWN_FREE char *name = xasprintf("mutant%d", n++), *file = NULL;
			OWN_ERR struct err err = ERR_INIT;

			if (streq(rows[i].member, "op") && strtoul(value, NULL, 0) >= sizeof(struct dkd_graph_ops) / sizeof(void (*)(void)))
				continue;
			file = place("mutant", "b/graph", name);
			setenv("FIXTURE_MEMBER", rows[i].member, 1);
			setenv("FIXTURE_NAME", name, 1);
			unsetenv("FIXTURE_VALUE");
			if (value)
				setenv("FIXTURE_VALUE", value, 1);
			if (driver_load(DKD_KIND_GRAPH, name, &err))
				right++;
			else if (str_empty(err_text(&err)) || !strstr(err_text(&err), file))
				silent++;
			unlink(file);
		}
		is_int(silent, 0, "a descriptor with another %s: each refusal names the file", rows[i].member);
		is_int(right, rows[i].right, "... and as many as are right load");
	}
}

static void test_trust(void)
{
	OWN_FREE char *file = place("good", "b/graph", "trust"), *dir = xasprintf("%s/b/graph", base), *up = xasprintf("%s/b", base);
	OWN_FREE char *outside = xasprintf("%s/outside", base), *target = xasprintf("%s/outside/t.so", base);

	chmod(file, 0646);
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: it is writable by others (mode 0646)", file);
	chmod(file, 0664);
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: it is writable by others (mode 0664)", file);
	chmod(file, 0644);
	chmod(dir, 0777);
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: %s is writable by others (mode 0777)", file, dir);
	chmod(dir, 01777);
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: %s is writable by others (mode 1777)", file, dir);
	chmod(dir, 0755);
	chmod(up, 0775);
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: %s is writable by others (mode 0775)", file, up);
	chmod(up, 0755);
	if (geteuid() == 0) {
		ok(chown(file, 1234, 0) == 0, "a file of another user");
		refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: it belongs to user 1234, not to root", file);
		ok(chown(file, 0, 0) == 0 && chown(up, 1234, 0) == 0, "a folder of another user");
		refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: %s belongs to user 1234, not to root", file, up);
		ok(chown(up, 0, 0) == 0, "and back");
	} else {
		skip("files of another user", "only root can make them");
	}
	mkdir(outside, 0755);
	rename(file, target);
	chmod(outside, 0777);
	ok(symlink(target, file) == 0, "a link to a file elsewhere");
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: %s is writable by others (mode 0777)", target, outside);
	unlink(file);
	mkdir(file, 0755);
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: it is not a regular file", file);
	rmdir(file);
	ok(mkfifo(file, 0644) == 0, "a FIFO");
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: it is not a regular file", file);
	unlink(file);
	ok(symlink("/nonexistent/x.so", file) == 0, "a link to nothing");
	refused(DKD_KIND_GRAPH, "trust", "driver %s is refused: No such file or directory", file);
	unlink(file);
}

static void test_cut(void)
{
	OWN_FREE char *file = place("good", "b/graph", "cut"), *script = xasprintf("%s/b/graph/script.so", base);
	OWN_FREE char *want = xasprintf("driver %s is refused: the file is cut short", file);
	struct stat st;
	int bad = 0;

	stat(file, &st);
	for (off_t size = 0; size < st.st_size; size += size < 4096 ? 61 : 1021) {
		OWN_ERR struct err err = ERR_INIT;

		copy_part("good", file, (size_t)size);
		if (driver_load(DKD_KIND_GRAPH, "cut", &err) || !streq(err_text(&err), want)) {
			printf("# cut at %lld: %s\n", (long long)size, err_text(&err));
			bad++;
		}
	}
	is_int(bad, 0, "a file cut anywhere is refused before it is mapped");
	unlink(file);
	ok(fs_write_atomic(AT_FDCWD, script, "#!/bin/sh\necho this is a script, and it is longer than the header of a shared object\n", 84, 0755, FS_RENAME_ONLY, NULL) == 0, "a script");
	refused(DKD_KIND_GRAPH, "script", "driver %s is refused: it is not a shared object for this machine", script);
	unlink(script);
}

static void test_environment(void)
{
	OWN_FREE char *file = place("good", "outside", "evil"), *dir = xasprintf("%s/outside", base), *here = getcwd(NULL, 0);
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRV struct strv rel = { 0 };

	chmod(dir, 0755);
	setenv("LTDL_LIBRARY_PATH", dir, 1);
	setenv("LD_LIBRARY_PATH", dir, 1);
	ok(chdir(dir) == 0, "in a folder with a driver");
	refused(DKD_KIND_GRAPH, "evil", "graph driver evil not found");
	ok(chdir(here) == 0, "and back");
	unsetenv("LTDL_LIBRARY_PATH");
	unsetenv("LD_LIBRARY_PATH");
	strv_add(&rel, "plugins");
	ok(driver_init_only(&rel, NULL, &err) < 0, "a path that is not absolute");
	is_str(err_text(&err), "plugin-dir plugins is not an absolute path", "... is named");
	unlink(file);
}

static const struct driver_info *find_info(const struct driver_info *v, size_t n, const char *path)
{
	for (size_t i = 0; i < n; i++)
		if (streq(v[i].path, path))
			return &v[i];
	return NULL;
}

static void test_list(void)
{
	OWN_FREE char *fresh = place("probe", "b/graph", "probe"), *bad = place("major", "b/graph", "major"), *good = xasprintf("%s/a/graph/good.so", base);
	OWN_FREE char *twin = place("good", "b/graph", "good"), *first = xasprintf("not used: %s comes before it", good);
	OWN_FREE char *why = xasprintf("driver %s is refused: it was built for the graph ABI 2.0, this daemon has 1.0", bad);
	struct driver_info *v;
	const struct driver_info *i;
	size_t n = driver_list(false, &v);

	i = find_info(v, n, good);
	ok(i && i->loaded && streq(i->state, "usable"), "a loaded driver is listed");
	is_str(i ? i->abi : NULL, "1.0", "with its ABI");
	i = find_info(v, n, fresh);
	ok(i && !i->loaded && !i->version && streq(i->name, "probe") && streq(i->kind, "graph"), "one that is not, by name and kind");
	ok(!is_mapped(fresh), "and stays unloaded");
	i = find_info(v, n, twin);
	ok(i && i->shadowed && !i->loaded, "a file behind another of its name");
	is_str(i ? i->state : NULL, first, "is not used");
	driver_list_free(v, n);
	n = driver_list(true, &v);
	ok(!is_mapped(twin), "nor opened");
	i = find_info(v, n, fresh);
	ok(i && i->loaded && streq(i->version, "7"), "--list-drivers opens them");
	is_str(i ? i->state : NULL, "there is no such machine", "and says why one is of no use here");
	i = find_info(v, n, bad);
	ok(i && !i->loaded, "one that is refused");
	is_str(i ? i->state : NULL, why, "and why");
	driver_list_free(v, n);
	unlink(fresh);
	unlink(bad);
	unlink(twin);
}

static struct dkd_graph *open_good(const struct driver *d, struct err *err)
{
	const struct dkd_graph_ops *ops = d->ops;
	struct dkd_graph_open o = { .size = sizeof(o), .root = "/nowhere" };
	struct dkd_graph *g = NULL;
	struct driver_call c;

	driver_call_begin(&c, d);
	return driver_call_end(&c, ops->open(&c.abi, driver_host(d), &o, &g), err) < 0 ? NULL : g;
}

static int32_t keep(void *to, const char *key, const char *value)
{
	strmap_set(to, key, value);
	return 0;
}

/* What is read again and again is kept as often as it was handed out: not at all, or once. */
static void test_options_again(const struct dkd_host *h)
{
	OWN_FREE char *large = xcalloc(1, 100000);
	OWN_STRMAP struct strmap opts = { 0 }, got = { 0 };
	size_t before;

	memset(large, 'x', 99999);
	strmap_set(&opts, "graph.good.large", large);
	strmap_set(&opts, "graph.good.mood", "silent");
	before = mallinfo2().uordblks + mallinfo2().hblkhd;
	for (int i = 0; i < 100; i++) {
		driver_set_options(&opts);
		h->each_option(h, keep, &got);
		h->option(h, "mood");
	}
	ok(mallinfo2().uordblks + mallinfo2().hblkhd < before + 1000000, "options that are read again take no more memory");
}

static void test_host(void)
{
	const struct driver *d = driver_load(DKD_KIND_GRAPH, "good", NULL);
	const struct dkd_host *h = driver_host(d);
	const struct dkd_graph_ops *ops = d->ops;
	static const struct dkd_idmaps maps = { .size = sizeof(maps) };
	OWN_STRMAP struct strmap opts = { 0 }, got = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct dkd_graph *g;
	struct driver_call c;
	const char *mood;

	ok(!h->option(h, "mood"), "no options yet");
	strmap_set(&opts, "graph.good.mood", "silent");
	strmap_set(&opts, "graph.good.dm.size", "3");
	strmap_set(&opts, "graph.other.mood", "x");
	strmap_set(&opts, "net.good.mood", "y");
	driver_set_options(&opts);
	mood = h->option(h, "mood");
	is_str(mood, "silent", "an option of its section");
	h->each_option(h, keep, &got);
	is_int(got.len, 2, "every option of its section, and no other");
	is_str(strmap_get(&got, "dm.size"), "3", "a key with a dot");
	ok(!open_good(d, &err), "a driver that fails");
	is_str(err_text(&err), "driver good failed without saying why", "without a word");
	strmap_set(&opts, "graph.good.mood", "loud");
	driver_set_options(&opts);
	is_str(mood, "silent", "a value handed out stays");
	ok(!open_good(d, &err) && err.class == ERR_UNAVAILABLE, "fails with a class");
	is_str(err_text(&err), "in a loud mood", "and a word");
	test_options_again(h);
	driver_set_options(NULL);
	g = open_good(d, &err);
	ok(g != NULL, "opens");
	driver_call_begin(&c, d);
	ok(driver_call_end(&c, ops->create(&c.abi, g, NULL), &err) < 0 && err.class == ERR_NO_SPACE, "a failure through a copied call");
	is_str(err_text(&err), "never any room", "arrives");
	ok(!h->idmaps(h), "no id maps");
	driver_set_idmaps(&maps);
	ok(h->idmaps(h) == &maps, "id maps");
	driver_set_idmaps(NULL);
	ops->close(g);
}

static int32_t keep_text(void *to, const char *text)
{
	str_set(to, text);
	return 0;
}

static int32_t run(int64_t deadline, char **out, struct err *err, ...)
{
	const struct driver *d = driver_load(DKD_KIND_GRAPH, "good", NULL);
	const char *argv[8] = { NULL };
	struct driver_call c;
	va_list ap;

	va_start(ap, err);
	for (size_t i = 0; i < 7 && (argv[i] = va_arg(ap, const char *)); i++)
		;
	va_end(ap);
	str_set(out, NULL);
	driver_call_begin(&c, d);
	c.abi.deadline = deadline;
	return driver_call_end(&c, driver_host(d)->run(driver_host(d), &c.abi, argv, keep_text, out), err);
}

static void test_run(struct spawner *s)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_FREE char *out = NULL;

	ok(run(0, &out, &err, "true", NULL) < 0 && err.class == ERR_UNAVAILABLE, "nobody runs programs yet");
	driver_set_spawner(s);
	is_int(run(0, &out, &err, "sh", "-c", "echo $0 $1; echo two >&2; exit 3", "one", "arg", NULL), 3, "a program on PATH runs");
	is_str(out, "one arg\ntwo\n", "with its arguments, and both outputs");
	is_int(run(0, &out, &err, "/bin/sh", "-c", "kill -9 $$", NULL), 128 + SIGKILL, "one ended by a signal");
	ok(run(0, &out, &err, "no-such-program", NULL) < 0 && err.class == ERR_NOT_FOUND, "one that is not here");
	is_str(err_text(&err), "the program no-such-program is not on this host", "is named");
	ok(run(clock_mono() + 1000000, &out, &err, "sleep", "1000", NULL) < 0, "the call's deadline ends it");
	ok(strstr(err_text(&err), "did not end within"), "and says so");
	driver_set_spawner(NULL);
}

static struct dkd_graph *shared;

static void *call_serial(void *arg)
{
	const struct driver *d = arg;
	const struct dkd_graph_ops *ops = d->ops;
	long bad = 0;

	for (int i = 0; i < 5; i++) {
		struct driver_call c;

		driver_call_begin(&c, d);
		bad += driver_call_end(&c, ops->exists(&c.abi, shared, "x"), NULL) != 1;
	}
	return (void *)bad;
}

static void test_serial(void)
{
	const struct driver *d = driver_load(DKD_KIND_GRAPH, "good", NULL);
	const struct dkd_graph_ops *ops = d->ops;
	pthread_t t[4];
	long bad = 0;

	shared = open_good(d, NULL);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, call_serial, (void *)(uintptr_t)d);
	for (int i = 0; i < 4; i++) {
		void *ret;

		pthread_join(t[i], &ret);
		bad += (long)ret;
	}
	is_int(bad, 0, "a serial driver gets one call at a time");
	ops->close(shared);
}

/* What facades open once; "slow" takes its time, "bad" fails the first time. */
struct openings {
	int opened, closed, failed;
	int go[2];
};
static struct openings openings;

static void *open_once(void *ctx, const char *name, struct err *err)
{
	struct openings *o = ctx;
	char c;

	if (streq(name, "bad") && o->failed++ == 0)
		return err_set(err, ERR_INVALID, "not yet"), NULL;
	__atomic_add_fetch(&o->opened, 1, __ATOMIC_RELAXED);
	if (streq(name, "slow") && read(o->go[0], &c, 1) != 1)
		return NULL;
	return xstrdup(name);
}

static void close_once(void *object)
{
	openings.closed++;
	free(object);
}

static void *get_slow(void *once)
{
	return driver_once_get(once, "slow", NULL);
}

static void test_once(void)
{
	struct driver_once *once = driver_once_new(open_once, close_once, &openings);
	OWN_ERR struct err err = ERR_INIT;
	void *got[4], *quick;
	pthread_t t[4];

	is_int(pipe2(openings.go, O_CLOEXEC), 0, "a pipe");
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, get_slow, once);
	while (__atomic_load_n(&openings.opened, __ATOMIC_RELAXED) == 0)
		usleep(1000);
	quick = driver_once_get(once, "quick", NULL);
	is_str(quick, "quick", "one name does not wait for another's opening");
	is_int(write(openings.go[1], "12345", 5), 5, "the slow one goes on");
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], &got[i]);
	ok(got[0] && got[0] == got[1] && got[1] == got[2] && got[2] == got[3], "all who asked have the same");
	ok(driver_once_get(once, "quick", NULL) == quick, "also later");
	is_int(openings.opened, 2, "each is opened once");
	ok(!driver_once_get(once, "bad", &err) && streq(err_text(&err), "not yet"), "a failure is told");
	ok(driver_once_get(once, "bad", NULL) != NULL, "and the next tries again");
	driver_once_free(once);
	is_int(openings.closed, 3, "all are closed in the end");
	close(openings.go[0]);
	close(openings.go[1]);
}

int main(void)
{
	struct spawner *spawner = spawner_start(NULL);
	static const char *const dirs[] = { "a", "a/graph", "b", "b/graph", "outside" };
	OWN_STRV struct strv path = { 0 };
	OWN_ERR struct err err = ERR_INIT;

	umask(022);
	if (!mkdtemp(base))
		return 99;
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		OWN_FREE char *dir = xasprintf("%s/%s", base, dirs[i]);

		mkdir(dir, 0755);
	}
	strv_addf(&path, "%s/a", base);
	strv_addf(&path, "%s/b", base);
	ok(driver_init_only(&path, NULL, &err) == 0, "search path");
	test_find();
	test_order();
	test_descriptor();
	test_mutants();
	test_trust();
	test_cut();
	test_list();
	test_host();
	test_run(spawner);
	spawner_stop(spawner);
	test_serial();
	test_once();
	test_environment();
	fs_remove_tree(AT_FDCWD, base, NULL);
	return tap_done();
}
