/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GET .../stats: what the control groups of a container have counted, v1 and v2, in Docker's shape. */
#include <poll.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "container/bundle/cgroup.h"
#include "container/internal.h"

#define SECOND_MS 1000
#define TEXT_MAX (1u << 20)

/* One control group's files of one controller; dir NULL: not there. */
struct group { char *dir; };

struct cpu_sample { uint64_t total, user, kernel, system, periods, throttled, throttled_ns; bool there; };

static void group_done(struct group *g)
{
	free(g->dir);
}

/* Lines "hierarchy:controllers:path" of the init process. */
static struct group group_of(int64_t pid, const char *controller)
{
	OWN_FREE char *file = xasprintf("/proc/%lld/cgroup", (long long)pid);
	const char *root = cgroup_controller(controller);
	OWN_FILE FILE *f = fopen(file, "re");
	char line[4096];

	while (root && f && fgets(line, sizeof(line), f)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
		OWN_STRV struct strv words = { 0 };

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		strv_split(&words, names + 1, ",");
		if (cgroup_is_v2() ? streq(names + 1, "") : strv_contains(&words, controller))
			return (struct group){ xasprintf("%s%s", root, path) };
	}
	return (struct group){ NULL };
}

static bool read_text(const struct group *g, const char *name, struct buf *b)
{
	OWN_FREE char *path = g->dir ? xasprintf("%s/%s", g->dir, name) : NULL;

	buf_reset(b);
	return path && fs_read(AT_FDCWD, path, TEXT_MAX, b, NULL) == 0 && b->size;
}

static uint64_t read_number(const struct group *g, const char *name)
{
	OWN_BUF struct buf b = { 0 };

	return read_text(g, name, &b) ? strtoull(b.data, NULL, 10) : 0;
}

/* Calls emit for each "key value" line. */
static void each_key(const struct group *g, const char *name, void (*emit)(void *ctx, const char *key, uint64_t v), void *ctx)
{
	OWN_BUF struct buf b = { 0 };
	char *line, *save = NULL;

	if (!read_text(g, name, &b))
		return;
	for (line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *space = strchr(line, ' ');

		if (!space)
			continue;
		*space = '\0';
		emit(ctx, line, strtoull(space + 1, NULL, 10));
	}
}

static void take_cpu(void *ctx, const char *key, uint64_t v)
{
	const uint64_t tick = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	struct cpu_sample *s = ctx;

	if (streq(key, "usage_usec"))
		s->total = v * 1000;
	else if (streq(key, "user_usec"))
		s->user = v * 1000;
	else if (streq(key, "system_usec"))
		s->kernel = v * 1000;
	else if (streq(key, "user"))
		s->user = v * tick;
	else if (streq(key, "system"))
		s->kernel = v * tick;
	else if (streq(key, "nr_periods"))
		s->periods = v;
	else if (streq(key, "nr_throttled"))
		s->throttled = v;
	else if (streq(key, "throttled_time"))
		s->throttled_ns = v;
	else if (streq(key, "throttled_usec"))
		s->throttled_ns = v * 1000;
}

/* All CPUs' time but waiting, from /proc/stat. */
static uint64_t system_cpu(void)
{
	const uint64_t tick = NSEC_PER_SEC / (uint64_t)sysconf(_SC_CLK_TCK);
	OWN_FILE FILE *f = fopen("/proc/stat", "re");
	unsigned long long v[8] = { 0 }, sum = 0;

	if (!f ||
		fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6, v + 7) < 4)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(v); i++)
		sum += v[i];
	return sum * tick;
}

static void sample_cpu(int64_t pid, struct cpu_sample *ret)
{
	CLEANUP(group_done) struct group cpu = group_of(pid, "cpu");
	CLEANUP(group_done) struct group acct = group_of(pid, "cpuacct");

	*ret = (struct cpu_sample){ .system = system_cpu(), .there = true };
	each_key(&cpu, "cpu.stat", take_cpu, ret);
	if (cgroup_is_v2())
		return;
	each_key(&acct, "cpuacct.stat", take_cpu, ret);
	ret->total = read_number(&acct, "cpuacct.usage");
}

static void encode_cpu(struct jw *w, const char *key, const struct cpu_sample *s)
{
	jw_kobj(w, key);
	jw_kobj(w, "cpu_usage");
	jw_key(w, "total_usage"), jw_uint(w, s->total);
	jw_key(w, "usage_in_kernelmode"), jw_uint(w, s->kernel);
	jw_key(w, "usage_in_usermode"), jw_uint(w, s->user);
	jw_obj_end(w);
	if (s->there) {
		jw_key(w, "system_cpu_usage"), jw_uint(w, s->system);
		jw_kint(w, "online_cpus", sysconf(_SC_NPROCESSORS_ONLN));
	}
	jw_kobj(w, "throttling_data");
	jw_key(w, "periods"), jw_uint(w, s->periods);
	jw_key(w, "throttled_periods"), jw_uint(w, s->throttled);
	jw_key(w, "throttled_time"), jw_uint(w, s->throttled_ns);
	jw_obj_end(w);
	jw_obj_end(w);
}

static void put_key(void *ctx, const char *key, uint64_t v)
{
	struct jw *w = ctx;

	jw_key(w, key);
	jw_uint(w, v);
}

static void encode_memory(struct jw *w, int64_t pid)
{
	CLEANUP(group_done) struct group g = group_of(pid, "memory");
	struct sysinfo si;
	uint64_t all = sysinfo(&si) == 0 ? (uint64_t)si.totalram * si.mem_unit : 0, limit;

	jw_kobj(w, "memory_stats");
	if (g.dir) {
		jw_key(w, "usage"), jw_uint(w, read_number(&g, cgroup_is_v2() ? "memory.current" : "memory.usage_in_bytes"));
		if (!cgroup_is_v2())
			jw_key(w, "max_usage"), jw_uint(w, read_number(&g, "memory.max_usage_in_bytes"));
		jw_kobj(w, "stats");
		each_key(&g, "memory.stat", put_key, w);
		jw_obj_end(w);
		limit = read_number(&g, cgroup_is_v2() ? "memory.max" : "memory.limit_in_bytes");
		jw_key(w, "limit"), jw_uint(w, !limit || limit > all ? all : limit);
	}
	jw_obj_end(w);
}

static void encode_pids(struct jw *w, int64_t pid)
{
	CLEANUP(group_done) struct group g = group_of(pid, "pids");
	uint64_t limit = read_number(&g, "pids.max");

	jw_kobj(w, "pids_stats");
	if (g.dir)
		jw_key(w, "current"), jw_uint(w, read_number(&g, "pids.current"));
	if (limit)
		jw_key(w, "limit"), jw_uint(w, limit);
	jw_obj_end(w);
}

static void put_io(struct jw *w, unsigned major, unsigned minor, const char *op, uint64_t v)
{
	jw_obj(w);
	jw_kint(w, "major", major);
	jw_kint(w, "minor", minor);
	jw_kstr(w, "op", op);
	jw_key(w, "value"), jw_uint(w, v);
	jw_obj_end(w);
}

/* v1: "8:0 Read 4096"; v2: "8:0 rbytes=1 wbytes=2 ..." */
static void encode_io(struct jw *w, int64_t pid)
{
	CLEANUP(group_done) struct group g = group_of(pid, cgroup_is_v2() ? "io" : "blkio");
	static const char *const others[] = { "io_serviced_recursive", "io_queue_recursive", "io_service_time_recursive",
		"io_wait_time_recursive", "io_merged_recursive", "io_time_recursive", "sectors_recursive" };
	OWN_BUF struct buf b = { 0 };
	char *line, *save = NULL;

	jw_kobj(w, "blkio_stats");
	jw_karr(w, "io_service_bytes_recursive");
	if (read_text(&g, cgroup_is_v2() ? "io.stat" : "blkio.throttle.io_service_bytes", &b))
		for (line = strtok_r(b.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
			unsigned long long rd, wr;
			unsigned major, minor;
			char op[16];

			if (sscanf(line, "%u:%u rbytes=%llu wbytes=%llu", &major, &minor, &rd, &wr) == 4) {
				put_io(w, major, minor, "read", rd);
				put_io(w, major, minor, "write", wr);
			} else if (sscanf(line, "%u:%u %15s %llu", &major, &minor, op, &rd) == 4 && !strchr(op, '=')) {
				put_io(w, major, minor, op, rd);
			}
		}
	jw_arr_end(w);
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		jw_knull(w, others[i]);
	jw_obj_end(w);
}

/* One object, with its line feed. pid 0: the container does not run. */
static void encode_sample(struct container *c, int64_t pid, const struct cpu_sample *now, const struct cpu_sample *before,
	int64_t at, int64_t prev, struct buf *b)
{
	OWN_FREE char *name = NULL;
	struct jw w;

	lock_take(&c->lock);
	name = xstrdup(c->rec.name);
	lock_drop(&c->lock);
	jw_init(&w, b);
	jw_obj(&w);
	jw_ktime(&w, "read", at ? at : CLOCK_ZERO);
	jw_ktime(&w, "preread", prev ? prev : CLOCK_ZERO);
	encode_pids(&w, pid);
	encode_io(&w, pid);
	jw_kint(&w, "num_procs", 0);
	jw_kobj(&w, "storage_stats");
	jw_obj_end(&w);
	encode_cpu(&w, "cpu_stats", now);
	encode_cpu(&w, "precpu_stats", before);
	encode_memory(&w, pid);
	jw_kstr(&w, "name", name);
	jw_kstr(&w, "id", c->id);
	jw_obj_end(&w);
	buf_addc(b, '\n');
}

/* 0: does not run; -1: is gone. */
static int64_t running_pid(struct container *c)
{
	WITH_LOCK(&c->lock);

	if (c->removed)
		return -1;
	return c->rec.state.running && !c->rec.state.restarting ? c->rec.state.pid : 0;
}

int container_stats(struct container *c, bool stream, bool one_shot, const struct cancel *cancel,
	int (*emit)(void *ctx, const void *data, size_t size), void *ctx, struct err *err)
{
	struct cpu_sample now = { 0 }, before = { 0 };
	int64_t at = 0, prev = 0;

	(void)err;
	for (bool first = true;; first = false) {
		int64_t pid = running_pid(c);
		OWN_BUF struct buf b = { 0 };

		if (pid < 0)
			return 0;
		before = now;
		prev = at;
		now = (struct cpu_sample){ 0 };
		at = 0;
		if (pid) {
			sample_cpu(pid, &now);
			at = clock_now();
		}
		/* A single answer needs two samples, a second apart, unless the client says otherwise. */
		if (stream || one_shot || !first || !pid) {
			encode_sample(c, pid, &now, &before, at, prev, &b);
			if (emit(ctx, b.data, b.size) < 0 || !stream)
				return 0;
		}
		if (cancel_wait(cancel, -1, 0, SECOND_MS) < 0)
			return 0;
	}
}
