/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /debug/...: what this process says of itself. Of Go's profiles there are the two that need no Go. */
#include "base/fs.h"
#include "host.h"
#include "system.h"

#define CMDLINE_MAX (1u << 16)

int debug_commands(struct job *job, struct err *err)
{
	OWN_STRV struct strv names = { 0 };
	OWN_BUF struct buf b = { 0 };
	struct request *rq = job_request(job);

	engine_commands(job->engine, &names);
	for (size_t i = 0; i < names.len; i++)
		buf_addf(&b, "%s\n", names.v[i]);
	return rq->ops->reply(rq, 200, "text/plain; charset=utf-8", b.data, b.size);
}

static void put_job(void *ctx, const char *name, uint64_t id, int64_t age)
{
	struct jw *w = ctx;

	jw_obj(w);
	jw_kstr(w, "name", name);
	jw_kint(w, "id", (int64_t)id);
	jw_kint(w, "ageMs", age / 1000000);
	jw_obj_end(w);
}

/* Lines "Key:  value kB" of /proc/self/status. */
static void put_memory(struct jw *w)
{
	static const char *const keys[] = { "VmSize", "VmRSS", "RssAnon", "VmData", "Threads" };
	OWN_BUF struct buf b = { 0 };

	jw_kobj(w, "memstats");
	if (fs_read(AT_FDCWD, "/proc/self/status", 1u << 16, &b, NULL) == 0 && b.size) {
		for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
			OWN_FREE char *want = xasprintf("\n%s:", keys[i]);
			const char *at = strstr(b.data, want);

			if (at)
				jw_kint(w, keys[i],
					strtoll(at + strlen(want), NULL, 10) * (streq(keys[i], "Threads") ? 1 : 1024));
		}
	}
	jw_obj_end(w);
}

int debug_vars(struct job *job, struct err *err)
{
	OWN_BUF struct buf b = { 0 }, line = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_karr(&w, "cmdline");
	if (fs_read(AT_FDCWD, "/proc/self/cmdline", CMDLINE_MAX, &line, NULL) == 0)
		for (size_t at = 0; at < line.size; at += strlen(line.data + at) + 1)
			jw_str(&w, line.data + at);
	jw_arr_end(&w);
	put_memory(&w);
	jw_kint(&w, "fds", host_count("/proc/self/fd"));
	jw_karr(&w, "jobs");
	engine_each_job(job->engine, put_job, &w);
	jw_arr_end(&w);
	jw_obj_end(&w);
	return reply_json(job_request(job), 200, &b);
}

static const char *const go_profiles[] = { "allocs", "block", "goroutine", "heap", "mutex", "profile", "threadcreate", "trace", NULL };

static int pprof_index(struct request *rq)
{
	static const char page[] = "<html><head><title>/debug/pprof/</title></head><body>\n"
		"<p>This daemon is not written in Go and keeps no profiles. What it says of itself:</p>\n<ul>\n"
		"<li><a href=\"cmdline\">cmdline</a>: its command line</li>\n"
		"<li><a href=\"symbol\">symbol</a>: it has no symbols to look up</li>\n"
		"<li><a href=\"../vars\">vars</a>: memory, descriptors and running jobs</li>\n"
		"<li><a href=\"../commands\">commands</a>: the jobs there are</li>\n"
		"</ul></body></html>\n";

	return rq->ops->reply(rq, 200, "text/html; charset=utf-8", page, sizeof(page) - 1);
}

static int pprof_cmdline(struct request *rq, struct err *err)
{
	OWN_BUF struct buf line = { 0 };

	if (fs_read(AT_FDCWD, "/proc/self/cmdline", CMDLINE_MAX, &line, err) < 0)
		return -1;
	/* Between the words, not after the last. */
	return rq->ops->reply(rq, 200, "text/plain; charset=utf-8", line.data, line.size ? line.size - 1 : 0);
}

int debug_pprof(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	const char *name = strrchr(rq->path, '/') + 1;

	if (!*name)
		return pprof_index(rq);
	if (streq(name, "cmdline"))
		return pprof_cmdline(rq, err);
	if (streq(name, "symbol"))
		return rq->ops->reply(rq, 200, "text/plain; charset=utf-8", "num_symbols: 0\n", 15);
	for (const char *const *p = go_profiles; *p; p++)
		if (streq(name, *p))
			return err_set(err, ERR_NOT_IMPLEMENTED,
				"this daemon is not written in Go and keeps no pprof profiles; see /debug/vars");
	return rq->ops->reply(rq, 404, "text/plain; charset=utf-8", "Unknown profile\n", 16);
}
