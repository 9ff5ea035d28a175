/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "api.h"

const struct route api_routes[] = {
#define ROUTE(method, path, job, minor, flags) { #method, path, #job, minor, flags },
#include "routes.tbl"
#undef ROUTE
};
const size_t api_routes_len = ARRAY_LEN(api_routes);

/* What a route names and no room serves. */
static int not_in_build(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);

	return err_set(err, ERR_NOT_IMPLEMENTED, "%s %s is not part of this build", rq->method, rq->path);
}

int api_register(struct api *api, struct err *err)
{
	static int (*const rooms[])(struct api *, struct err *) = {
#define ROOM(name) api_##name##_register,
#include "rooms.tbl"
#undef ROOM
	};

	for (size_t i = 0; i < ARRAY_LEN(rooms); i++)
		if (rooms[i](api, err) < 0)
			return -1;
	for (size_t i = 0; i < api_routes_len; i++)
		if (!engine_has(api->engine, api_routes[i].job) &&
		    engine_register(api->engine, api_routes[i].job, not_in_build, api, err) < 0)
			return -1;
	return 0;
}
