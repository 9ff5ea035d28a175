/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api.h"

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

int api_system_register(struct api *api, struct err *err)
{
	return engine_register(api->engine, "system_ping", system_ping, api, err);
}
