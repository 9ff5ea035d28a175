/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restart policies as the daemon starts: those that others need come first (order.c); one that Compose wants healthy is waited
 * for until it is, or is not, or WAIT_NS has passed.
 */
#include "base/clock.h"
#include "base/log.h"
#include "container/internal.h"

#define WAIT_NS (60 * NSEC_PER_SEC)
#define LOOK_NS (50 * NSEC_PER_MSEC)

struct boot { struct container *container; int64_t end; };

/* A container that did not run when the last daemon ended. */
static bool starts_with_daemon(struct container *c)
{
	const char *policy;
	WITH_LOCK(&c->lock);

	policy = c->host.restart.name ? c->host.restart.name : "no";
	if (!c->rec.started_before)
		return false;
	return streq(policy, "always") || (streq(policy, "unless-stopped") && !c->rec.manually_stopped) ||
		(str_has_prefix(policy, "on-") && !c->rec.manually_stopped && c->rec.state.exit_code != 0);
}

static void boot_free(void *ctx)
{
	struct boot *b = ctx;

	atomic_store(&b->container->boots, false);
	container_unref(b->container);
	free(b);
}

static bool is_waited_for(struct container *on, bool healthy)
{
	if (atomic_load(&on->boots))
		return true;
	WITH_LOCK(&on->lock);
	return healthy && on->rec.state.running && streq(health_word(on->rec.state.health), "starting");
}

static bool must_wait(const struct boot *b)
{
	struct need *needs;
	size_t n = container_needs(b->container, &needs);
	bool wait = false;

	for (size_t i = 0; i < n && !wait; i++)
		wait = is_waited_for(needs[i].on, needs[i].healthy);
	needs_free(needs, n);
	return wait && clock_mono() < b->end && !atomic_load(&b->container->store->stopping);
}

static void boot_now(void *ctx)
{
	struct boot *b = ctx;
	struct container *c = b->container;
	OWN_ERR struct err err = ERR_INIT;

	if (must_wait(b)) {
		work_post(c->store->work, clock_mono() + LOOK_NS, boot_now, boot_free, b);
		return;
	}
	if (container_start(c, &err) < 0 && err.class != ERR_NOT_MODIFIED)
		log_warn("container %s: restart policy: %s", c->id, err_text(&err));
	boot_free(b);
}

static void post(struct container *c)
{
	struct boot *b;

	if (atomic_exchange(&c->boot_posted, true))
		return;
	b = xcalloc(1, sizeof(*b));
	*b = (struct boot){ container_ref(c), clock_mono() + WAIT_NS };
	work_post(c->store->work, 0, boot_now, boot_free, b);
}

void boot_plan(struct container *c)
{
	if (!starts_with_daemon(c))
		return;
	atomic_store(&c->boots, true);
	/* before boot_begin() nobody knows yet who else will */
	if (atomic_load(&c->store->booting))
		post(c);
}

void boot_begin(struct container_store *s, struct container **v, size_t n)
{
	atomic_store(&s->booting, true);
	for (size_t i = 0; i < n; i++)
		if (atomic_load(&v[i]->boots))
			post(v[i]);
}
