/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/slots.h"

#include <stdint.h>
#include <unistd.h>

#include "base/err.h"
#include "base/lock.h"
#include "base/str.h"

struct slots {
	struct lock lock; /* LEAF: everything below, and states */
	int held;
	struct slot *line;
};

struct slots *slots_new(void)
{
	struct slots *s = xcalloc(1, sizeof(*s));

	lock_init(&s->lock, LOCK_LEAF);
	return s;
}

void slots_free(struct slots *s)
{
	BUG_ON(s->held || s->line);
	lock_done(&s->lock);
	free(s);
}

/* Lets those in front begin, as long as there is room for them. Under the lock. */
static void serve(struct slots *s)
{
	uint64_t one = 1;

	while (s->line && (s->line->most < 1 || s->held < s->line->most)) {
		struct slot *first = s->line;

		s->line = first->next;
		first->next = NULL;
		first->state = SLOT_HELD;
		s->held++;
		if (write(first->wake, &one, sizeof(one)) < 0)
			continue; /* it is awake already */
	}
}

bool slots_take(struct slots *s, struct slot *one, int most, int wake)
{
	WITH_LOCK(&s->lock);

	if (one->state == SLOT_IDLE) {
		struct slot **end = &s->line;

		while (*end)
			end = &(*end)->next;
		*one = (struct slot){ .state = SLOT_WAITING, .wake = wake, .most = most };
		*end = one;
		serve(s);
	}
	return one->state == SLOT_HELD;
}

void slots_give(struct slots *s, struct slot *one)
{
	WITH_LOCK(&s->lock);

	if (one->state == SLOT_HELD) {
		s->held--;
	} else if (one->state == SLOT_WAITING) {
		struct slot **at = &s->line;

		while (*at != one)
			at = &(*at)->next;
		*at = one->next;
	}
	*one = (struct slot){ .state = SLOT_IDLE };
	serve(s);
}
