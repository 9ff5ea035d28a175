/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Collects images and containers that nobody uses, by the policy of the configuration. A thread of its own, which there is only where
 * a policy asks for it. What is used, tagged a moment ago or being pulled stays.
 */
#ifndef CORE_GC_H
#define CORE_GC_H

#include "container/container.h"
#include "events.h"
#include "image/image.h"

struct gc_deps {
	const char *data_root, *engine_id;
	struct image_store *images;
	struct container_store *containers;
	struct events *events;
};

struct gc;
struct gc *gc_new(const struct gc_deps *deps);
/* json: "gc" of the configuration, which was checked. Looks at once, then every interval. */
void gc_set(struct gc *g, const char *json);
/* Ends what is under way. */
void gc_free(struct gc *g);

#endif
