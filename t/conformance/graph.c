/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is checked of graph drivers. */
#include <stdio.h>

#include "graph.h"

static int probe(struct check *c, char *reason, size_t size)
{
	OWN_FREE char *root = xasprintf("%s/%s", c->root, c->driver->desc->name);

	return kit_probe(c, ((const struct dkd_graph_ops *)c->driver->ops)->probe, root, reason, size);
}

static const struct check_case cases[] = {
	{ "open", graph_case_open, false },
	{ "layers", graph_case_layers, false },
	{ "mounts", graph_case_mounts, false },
	{ "facts", graph_case_facts, false },
	{ "files", graph_case_files, false },
	{ "names", graph_case_names, false },
	{ "sparse", graph_case_sparse, false },
	{ "apply", graph_case_apply, false },
	{ "changes", graph_case_changes, false },
	{ "opaque", graph_case_opaque, false },
	{ "parallel", graph_case_parallel, false },
	{ "depth", graph_case_depth, false },
	{ "threads", graph_case_threads, false },
	{ "stop", graph_case_stop, false },
	{ "quota", graph_case_quota, false },
	{ "idmap", graph_case_idmap, false },
	{ "restart", graph_case_restart, true },
	{ "crash", graph_case_crash, true },
	{ "killed", graph_case_killed, true },
	{ 0 },
};

const struct check_suite check_graph = { DKD_KIND_GRAPH, cases, probe };
