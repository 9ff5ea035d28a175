/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a node outside any swarm answers, in Docker's words. */
#include "system.h"

static int not_a_manager(struct job *job, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE,
		"This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
		"connect this node to swarm and try again.");
}

static int not_in_swarm(struct job *job, struct err *err)
{
	return err_set(err, ERR_UNAVAILABLE, "This node is not part of a swarm");
}

static int no_swarm_mode(struct job *job, struct err *err)
{
	return err_set(err, ERR_NOT_IMPLEMENTED, "swarm mode is not part of this daemon");
}

int cluster_register(struct api *api, struct err *err)
{
	static const struct job_row jobs[] = {
		{ "swarm", not_a_manager }, { "swarm_leave", not_in_swarm }, { "swarm_unlock", not_in_swarm },
		{ "swarm_init", no_swarm_mode }, { "swarm_join", no_swarm_mode },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
