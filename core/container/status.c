/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>

#include "base/clock.h"
#include "container/internal.h"

const char *state_word(const struct container_state *st)
{
	if (st->running)
		return st->paused ? "paused" : st->restarting ? "restarting" : "running";
	if (st->removal)
		return "removing";
	if (st->dead)
		return "dead";
	return st->started_at ? "exited" : "created";
}

bool state_word_valid(const char *w)
{
	static const char *const words[] = { "paused", "restarting", "removing", "running", "dead", "created", "exited" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (streq(w, words[i]))
			return true;
	return false;
}

/* Neither 0 nor CLOCK_ZERO is a time that something happened at. */
static int64_t since(int64_t now, int64_t then)
{
	return then > 0 ? now - then : 0;
}

char *state_text(const struct container_state *st, int64_t now, char *ret, size_t size)
{
	char up[CLOCK_TEXT], ago[CLOCK_TEXT];

	clock_human(since(now, st->started_at), up);
	clock_human(since(now, st->finished_at), ago);
	if (st->running && st->paused)
		snprintf(ret, size, "Up %s (Paused)", up);
	else if (st->running && st->restarting)
		snprintf(ret, size, "Restarting (%lld) %s ago", (long long)st->exit_code, ago);
	else if (st->running && st->health)
		snprintf(ret, size, "Up %s (%s%s)", up, streq(health_word(st->health), "starting") ? "health: " : "",
			health_word(st->health));
	else if (st->running)
		snprintf(ret, size, "Up %s", up);
	else if (st->removal)
		snprintf(ret, size, "Removal In Progress");
	else if (st->dead)
		snprintf(ret, size, "Dead");
	else if (!st->started_at)
		snprintf(ret, size, "Created");
	else if (!st->finished_at)
		*ret = '\0';
	else
		snprintf(ret, size, "Exited (%lld) %s ago", (long long)st->exit_code, ago);
	return ret;
}
