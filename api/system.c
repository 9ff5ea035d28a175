/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /_ping and /version; what else belongs to the system is registered from here. */
#include "system.h"

#include "base/program.h"
#include "config/config.h"
#include "container/bundle/bundle.h"
#include "host.h"
#include "network/kit.h"
#include "network/net.h"

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

static void put_init(const struct api *api, struct jw *w)
{
	OWN_FREE char *version = NULL, *commit = NULL;

	if (api->defaults && host_init_version(api->spawner, api->defaults->init_path, &version, &commit))
		put_component(w, "docker-init", version, commit ? commit : "");
}

/* What stands between the daemon and the host. */
static void put_rootless(const struct api *api, struct jw *w)
{
	const struct kit *kit = api->nets ? net_kit(api->nets) : NULL;
	OWN_FREE char *program = kit ? program_find("slirp4netns") : NULL, *name = NULL, *version = NULL, *commit = NULL;
	struct kit_about a;

	if (!kit)
		return;
	kit_about(kit, &a);
	jw_obj(w);
	jw_kstr(w, "Name", "rootlesskit");
	jw_kstr(w, "Version", a.version ? a.version : "");
	jw_kobj(w, "Details");
	jw_kstr(w, "ApiVersion", a.api_version ? a.api_version : "");
	jw_kstr(w, "NetworkDriver", a.net_driver ? a.net_driver : "");
	jw_kstr(w, "PortDriver", a.port_driver ? a.port_driver : "");
	jw_kstr(w, "StateDir", a.state ? a.state : "");
	jw_obj_end(w);
	jw_obj_end(w);
	if (a.net_driver && streq(a.net_driver, "slirp4netns") && program &&
		host_runtime_version(api->spawner, program, &name, &version, &commit))
		put_component(w, "slirp4netns", version, commit ? commit : "");
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
	put_init(api, &w);
	put_rootless(api, &w);
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

int api_system_register(struct api *api, struct err *err)
{
	static const struct job_row jobs[] = {
		{ "system_ping", system_ping }, { "system_version", system_version }, { "system_info", system_info },
		{ "system_events", system_events }, { "system_df", system_df }, { "debug_commands", debug_commands },
		{ "debug_vars", debug_vars }, { "debug_pprof", debug_pprof },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return cluster_register(api, err);
}
