/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /_ping, /version and /debug/...; what else belongs to the system is registered from here. */
#include "system.h"

#include "config/config.h"
#include "base/fs.h"
#include "container/bundle/bundle.h"
#include "host.h"

static int min_minor(const struct api *api)
{
	return api->config && api->config->min_minor ? api->config->min_minor : API_MIN_MINOR;
}

static int system_ping(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	bool head = streq(rq->method, "HEAD");

	strmap_set(&rq->reply_headers, "Cache-Control", "no-cache, no-store, must-revalidate");
	strmap_set(&rq->reply_headers, "Pragma", "no-cache");
	strmap_set(&rq->reply_headers, "Builder-Version", "1");
	strmap_set(&rq->reply_headers, "Swarm", "inactive");
	return rq->ops->reply(rq, 200, "text/plain; charset=utf-8", head ? "" : "OK", head ? 0 : 2);
}

static void put_component(struct jw *w, const char *name, const char *version, const char *commit)
{
	jw_obj(w);
	jw_kstr(w, "Name", name);
	jw_kstr(w, "Version", version);
	jw_kobj(w, "Details");
	jw_kstr(w, "GitCommit", commit);
	jw_obj_end(w);
	jw_obj_end(w);
}

static void put_engine(const struct api *api, struct jw *w, const char *api_max, const char *api_min)
{
	jw_obj(w);
	jw_kstr(w, "Name", "Engine");
	jw_kstr(w, "Version", PACKAGE_VERSION);
	jw_kobj(w, "Details");
	jw_kstr(w, "ApiVersion", api_max);
	jw_kstr(w, "Arch", host_arch());
	jw_kstr(w, "BuildTime", "");
	jw_kstr(w, "Experimental", api->experimental ? "true" : "false");
	jw_kstr(w, "GitCommit", DKD_GITCOMMIT);
	jw_kstr(w, "GoVersion", "none (C)");
	jw_kstr(w, "KernelVersion", host_kernel());
	jw_kstr(w, "MinAPIVersion", api_min);
	jw_kstr(w, "Os", "linux");
	jw_obj_end(w);
	jw_obj_end(w);
}

static void put_runtimes(const struct api *api, struct jw *w)
{
	const struct strmap *runtimes = api->defaults ? &api->defaults->runtimes : NULL;

	for (size_t i = 0; runtimes && i < runtimes->len; i++) {
		OWN_FREE char *name = NULL, *version = NULL, *commit = NULL;

		if (host_runtime_version(api->spawner, runtimes->v[i].value, &name, &version, &commit))
			put_component(w, runtimes->v[i].key, version, commit ? commit : "");
	}
}

static int system_version(struct job *job, struct err *err)
{
	struct api *api = job_api(job);
	OWN_BUF struct buf b = { 0 };
	char api_max[16], api_min[16];
	struct jw w;

	snprintf(api_max, sizeof(api_max), "1.%d", API_MAX_MINOR);
	snprintf(api_min, sizeof(api_min), "1.%d", min_minor(api));
	jw_init(&w, &b);
	jw_obj(&w);
	jw_kobj(&w, "Platform");
	jw_kstr(&w, "Name", "dockerd in C");
	jw_obj_end(&w);
	jw_karr(&w, "Components");
	put_engine(api, &w, api_max, api_min);
	put_runtimes(api, &w);
	jw_arr_end(&w);
	jw_kstr(&w, "Version", PACKAGE_VERSION);
	jw_kstr(&w, "ApiVersion", api_max);
	jw_kstr(&w, "MinAPIVersion", api_min);
	jw_kstr(&w, "GitCommit", DKD_GITCOMMIT);
	jw_kstr(&w, "GoVersion", "none (C)");
	jw_kstr(&w, "Os", "linux");
	jw_kstr(&w, "Arch", host_arch());
	jw_kstr(&w, "KernelVersion", host_kernel());
	if (api->experimental)
		jw_kbool(&w, "Experimental", true);
	jw_kstr(&w, "BuildTime", "");
	jw_obj_end(&w);
	return reply_json(job_request(job), 200, &b);
}

static int debug_commands(struct job *job, struct err *err)
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

static int debug_vars(struct job *job, struct err *err)
{
	OWN_BUF struct buf b = { 0 }, line = { 0 };
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_karr(&w, "cmdline");
	if (fs_read(AT_FDCWD, "/proc/self/cmdline", 1u << 16, &line, NULL) == 0)
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

int api_system_register(struct api *api, struct err *err)
{
	static const struct job_row jobs[] = {
		{ "system_ping", system_ping }, { "system_version", system_version }, { "system_info", system_info },
		{ "system_events", system_events }, { "system_df", system_df }, { "debug_commands", debug_commands },
		{ "debug_vars", debug_vars },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return cluster_register(api, err);
}
