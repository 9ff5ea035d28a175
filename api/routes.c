/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "system.h"

const struct route api_routes[] = {
#define ROUTE(method, path, job, minor, flags) { #method, path, #job, minor, flags },
#include "routes.tbl"
#undef ROUTE
};
const size_t api_routes_len = ARRAY_LEN(api_routes);

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
	return refused_register(api, err);
}
