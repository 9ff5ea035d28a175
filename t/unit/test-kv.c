/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The way to a key-value store: the real etcd, in a network namespace of the test's own. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/lock.h"
#include "base/log.h"
#include "network/kv.h"
#include "tap.h"

#define URL "http://127.0.0.1:2379"

static char root[] = "/tmp/dkd-kv-XXXXXX";
static char *program;
static struct spawner *spawner;
static pid_t etcd;

/* What a client was told. */
struct mirror {
	struct lock lock;
	pthread_cond_t cond;
	struct strmap keys;
	int synced, down;
	char why[256];
};

static void on_event(void *ctx, enum kv_event event, const char *key, const char *value)
{
	struct mirror *m = ctx;
	WITH_LOCK(&m->lock);

	if (event == KV_BEGIN) {
		strmap_done(&m->keys);
		m->keys = (struct strmap){ 0 };
	} else if (event == KV_PUT) {
		strmap_set(&m->keys, key, value);
	} else if (event == KV_DELETE) {
		strmap_del(&m->keys, key);
	} else if (event == KV_SYNCED) {
		m->synced++;
	} else {
		m->down++;
		snprintf(m->why, sizeof(m->why), "%s", value);
	}
	pthread_cond_broadcast(&m->cond);
}

static void mirror_init(struct mirror *m)
{
	*m = (struct mirror){ .synced = 0 };
	lock_init(&m->lock, LOCK_LEAF);
	lock_cond_init(&m->cond);
}

static void mirror_done(struct mirror *m)
{
	strmap_done(&m->keys);
	lock_done(&m->lock);
	pthread_cond_destroy(&m->cond);
}

/* Until cond holds; it is looked at under the mirror's lock. */
#define UNTIL(m, cond_) ({ \
	int64_t until_ = clock_mono() + 60 * NSEC_PER_SEC; \
	lock_take(&(m)->lock); \
	while (!(cond_) && clock_mono() < until_) \
		lock_wait(&(m)->lock, &(m)->cond, until_ - clock_mono()); \
	bool held_ = (cond_); \
	lock_drop(&(m)->lock); \
	held_; })
/* A value of the mirror's as it is now. */
#define NOW(m, value_) ({ \
	lock_take(&(m)->lock); \
	__auto_type now_ = (value_); \
	lock_drop(&(m)->lock); \
	now_; })
#define IS(m, key, value) (strmap_get(&(m)->keys, key) && streq(strmap_get(&(m)->keys, key), value))

/* The system's, or quickstart's. */
static char *etcd_path;
static bool find_etcd(void)
{
	etcd_path = xstrdup("/usr/bin/etcd");
	if (access(etcd_path, X_OK) < 0) {
		free(etcd_path);
		etcd_path = xasprintf("%s/etcd/usr/bin/etcd", getenv("top_builddir") ? getenv("top_builddir") : ".");
	}
	return access(etcd_path, X_OK) == 0;
}

static void etcd_start(void)
{
	OWN_FREE char *dir = xasprintf("%s/etcd", root);

	etcd = fork();
	if (etcd)
		return;
	close(2);
	open("/dev/null", O_WRONLY);
	execl(etcd_path, "etcd", "--data-dir", dir, "--listen-client-urls", URL, "--advertise-client-urls", URL,
		"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
		"--initial-cluster", "default=http://127.0.0.1:2380", "--log-level", "fatal", (char *)NULL);
	_exit(127);
}

static void etcd_stop(void)
{
	kill(etcd, SIGKILL);
	waitpid(etcd, NULL, 0);
}

static struct kv *connect_to(struct mirror *m, const char *prefix, const char *url)
{
	OWN_STRV struct strv endpoints = { 0 };
	struct kv_config cfg = { .program = program, .endpoints = &endpoints, .prefix = prefix, .ttl = 2 };
	OWN_ERR struct err err = ERR_INIT;

	strv_add(&endpoints, url);
	return kv_open(&cfg, spawner, on_event, m, &err);
}

static void test_urls(void)
{
	static const char *const bad[] = { "consul://a:8500", "etcd://", "etcd:///path", "etcd://a:1,,b:2", "etcd://u@a:1", "zk://a" };
	OWN_STRV struct strv v = { 0 };
	OWN_FREE char *prefix = NULL;
	OWN_ERR struct err err = ERR_INIT;

	ok(kv_parse_url("etcd://a:2379,b:2380/some/path/", false, &v, &prefix, &err) == 0 && v.len == 2, "two hosts and a path: %s", err_text(&err));
	ok(v.len == 2 && streq(v.v[0], "http://a:2379") && streq(v.v[1], "http://b:2380"), "the hosts");
	is_str(prefix, "some/path/", "the path");
	strv_done(&v);
	v = (struct strv){ 0 };
	ok(kv_parse_url("etcd://a:1", true, &v, &prefix, &err) == 0 && streq(v.v[0], "https://a:1") && streq(prefix, ""), "TLS, and no path");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		OWN_STRV struct strv none = { 0 };

		ok(kv_parse_url(bad[i], false, &none, &prefix, &err) < 0 && err.class == ERR_INVALID, "%s", err_text(&err));
		err_done(&err);
		err = (struct err)ERR_INIT;
	}
}

static void test_nobody(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct mirror m;
	struct kv *kv;

	mirror_init(&m);
	kv = connect_to(&m, "d/", URL);
	ok(kv && UNTIL(&m, m.down > 0), "no store there: %s", m.why);
	ok(!kv_is_up(kv), "it is not up");
	ok(kv_put(kv, "a", "1", false, &err) < 0 && err.class == ERR_UNAVAILABLE, "nothing can be put: %s", err_text(&err));
	kv_close(kv);
	mirror_done(&m);
}

static void test_changes(struct kv *a, struct mirror *ma, struct kv *b, struct mirror *mb)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_STRMAP struct strmap pairs = { 0 };
	OWN_STRV struct strv keys = { 0 };

	is_int(kv_put(a, "x/1", "one \"line\"\nand ümlauts", false, &err), 0, "put: %s", err_text(&err));
	ok(UNTIL(ma, IS(ma, "x/1", "one \"line\"\nand ümlauts")), "who put it is told");
	ok(UNTIL(mb, IS(mb, "x/1", "one \"line\"\nand ümlauts")), "and the other");
	strmap_set(&pairs, "x/2", "two");
	strmap_set(&pairs, "x/3", "");
	is_int(kv_create(b, &pairs, &err), 0, "two at once: %s", err_text(&err));
	ok(UNTIL(ma, IS(ma, "x/2", "two") && IS(ma, "x/3", "")), "are there");
	strmap_del(&pairs, "x/3");
	strmap_set(&pairs, "x/4", "four");
	ok(kv_create(a, &pairs, &err) < 0 && err.class == ERR_CONFLICT, "one of two is there: %s", err_text(&err));
	strv_add(&keys, "x/2");
	strv_add(&keys, "x/9");
	err_done(&err);
	err = (struct err)ERR_INIT;
	is_int(kv_delete(a, &keys, &err), 0, "deleted: %s", err_text(&err));
	ok(UNTIL(mb, !strmap_get(&mb->keys, "x/2")), "which all hear");
	ok(NOW(mb, !strmap_get(&mb->keys, "x/4")), "and of the two that were refused none came");
	ok(kv_put(a, "bad", "\xff\xfe", false, &err) < 0 && err.class == ERR_INVALID, "%s", err_text(&err));
}

static void test_prefix(struct mirror *ma)
{
	OWN_ERR struct err err = ERR_INIT;
	struct mirror m;
	struct kv *kv;

	mirror_init(&m);
	kv = connect_to(&m, "other/", URL);
	ok(UNTIL(&m, m.synced > 0) && NOW(&m, m.keys.len == 0), "another prefix has other keys");
	is_int(kv_put(kv, "y", "1", false, &err), 0, "put there");
	ok(UNTIL(&m, IS(&m, "y", "1")) && NOW(ma, !strmap_get(&ma->keys, "y")), "is not seen here");
	kv_close(kv);
	mirror_done(&m);
}

/* The process behind a client: the newest child of the spawner of that name. */
static pid_t newest_kv(void)
{
	OWN_DIR DIR *d = opendir("/proc");
	struct dirent *e;
	pid_t found = 0;

	while (d && (e = readdir(d))) {
		OWN_FREE char *path = xasprintf("/proc/%s/cmdline", e->d_name);
		OWN_BUF struct buf b = { 0 };

		if (*e->d_name >= '1' && *e->d_name <= '9' && fs_read(AT_FDCWD, path, 4096, &b, NULL) == 0 && b.size && streq(b.data, program) && atoi(e->d_name) > found)
			found = atoi(e->d_name);
	}
	return found;
}

static void test_lease(struct kv *a, struct mirror *ma)
{
	OWN_ERR struct err err = ERR_INIT;
	struct mirror m;
	struct kv *kv;
	int before;

	mirror_init(&m);
	kv = connect_to(&m, "d/", URL);
	ok(UNTIL(&m, m.synced > 0), "a third");
	is_int(kv_put(kv, "nodes/3", "here", true, &err), 0, "a leased key: %s", err_text(&err));
	ok(UNTIL(ma, IS(ma, "nodes/3", "here")), "is seen");
	before = m.synced;
	kill(newest_kv(), SIGKILL);
	ok(UNTIL(&m, m.down > 0 && m.synced > before), "its process dies and is started anew");
	sleep(5); /* longer than a lease that nobody renews lasts */
	ok(UNTIL(ma, IS(ma, "nodes/3", "here")), "the key is there");
	kv_close(kv);
	ok(UNTIL(ma, !strmap_get(&ma->keys, "nodes/3")), "and goes when nobody renews it");
	mirror_done(&m);
	is_int(kv_put(a, "nodes/1", "first", true, &err), 0, "one of the first's");
	ok(UNTIL(ma, IS(ma, "nodes/1", "first")), "seen");
}

static void test_outage(struct kv *a, struct mirror *ma, struct mirror *mb)
{
	OWN_ERR struct err err = ERR_INIT;
	int synced = NOW(ma, ma->synced), other = NOW(mb, mb->synced);

	etcd_stop();
	ok(UNTIL(ma, ma->down > 0), "the store dies: %s", ma->why);
	ok(kv_put(a, "z", "1", false, &err) < 0 && err.class == ERR_UNAVAILABLE, "%s", err_text(&err));
	err_done(&err);
	err = (struct err)ERR_INIT;
	ok(IS(ma, "x/1", "one \"line\"\nand ümlauts"), "what was known stays known");
	etcd_start();
	ok(UNTIL(ma, ma->synced > synced) && UNTIL(mb, mb->synced > other), "it comes again, and all is told again");
	ok(kv_is_up(a), "up");
	ok(UNTIL(mb, IS(mb, "x/1", "one \"line\"\nand ümlauts") && IS(mb, "nodes/1", "first")), "as it was");
	is_int(kv_put(a, "z", "2", false, &err), 0, "put: %s", err_text(&err));
	ok(UNTIL(mb, IS(mb, "z", "2")), "seen by the other");
}

int main(void)
{
	OWN_ERR struct err err = ERR_INIT;
	struct mirror ma, mb;
	struct kv *a, *b;

	program = xasprintf("%s/dockerd-kv", getenv("top_builddir") ? getenv("top_builddir") : ".");
	log_set_level(LOG_FATAL);
	test_urls();
	if (geteuid() != 0 || !find_etcd() || unshare(CLONE_NEWNET) < 0 || system("ip link set lo up") != 0) {
		skip("a store", "needs root, etcd and network namespaces");
		return tap_done();
	}
	spawner = spawner_start(&err);
	ok(spawner && mkdtemp(root), "a spawner: %s", err_text(&err));
	mirror_init(&ma);
	mirror_init(&mb);
	test_nobody();
	etcd_start();
	a = connect_to(&ma, "d/", URL);
	b = connect_to(&mb, "d/", URL);
	if (ok(UNTIL(&ma, ma.synced > 0) && UNTIL(&mb, mb.synced > 0), "two clients of a store: %s", ma.why)) {
		test_changes(a, &ma, b, &mb);
		test_prefix(&ma);
		test_lease(a, &ma);
		test_outage(a, &ma, &mb);
	}
	kv_close(a);
	kv_close(b);
	etcd_stop();
	mirror_done(&ma);
	mirror_done(&mb);
	spawner_stop(spawner);
	fs_remove_tree(AT_FDCWD, root, NULL);
	free(program);
	free(etcd_path);
	return tap_done();
}
