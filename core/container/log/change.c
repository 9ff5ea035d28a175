/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Another log for a container that has one: an update only notes it. What is written already, and what a run goes on to write, is
 * read as before; the next start takes the new configuration. host.log is therefore the log that there is; it changes under the
 * operation and the lock, and who reads it without the operation takes a copy.
 */
#include "base/log.h"
#include "container/bundle/bundle.h"
#include "container/internal.h"

void log_config_done(struct log_config *lc)
{
	jdesc_clear(&log_config_desc, lc);
}

void log_config_get(struct container *c, struct log_config *ret)
{
	WITH_LOCK(&c->lock);

	jdesc_copy(&log_config_desc, ret, &c->host.log);
}

bool log_config_is_set(const struct log_config *lc)
{
	return !str_empty(lc->type) || lc->config.len;
}

int log_config_settle(struct container *c, struct log_config *want, struct err *err)
{
	const struct daemon_defaults *d = c->store->deps.defaults;

	lock_take(&c->lock);
	if (str_empty(want->type))
		str_set(&want->type, (c->rec.next_log ? c->rec.next_log : &c->host.log)->type);
	lock_drop(&c->lock);
	log_config_defaults(want, d);
	return log_config_check(want, err);
}

void log_config_note(struct container *c, const struct log_config *want)
{
	if (!c->rec.next_log)
		c->rec.next_log = xcalloc(1, sizeof(*c->rec.next_log));
	log_config_done(c->rec.next_log);
	jdesc_copy(&log_config_desc, c->rec.next_log, want);
}

int log_config_renew(struct container *c, struct err *err)
{
	struct log_config old, *next;

	if (!c->rec.next_log)
		return 0;
	ship_stop(c); /* its threads read the file that there was */
	lock_take(&c->lock);
	next = STEAL(c->rec.next_log);
	old = c->host.log;
	c->host.log = *next;
	lock_drop(&c->lock);
	free(next);
	log_config_done(&old);
	/* hostconfig.json is written first: a crash in between leaves both, which is the same again */
	return container_save(c, true, FS_SYNC, err);
}
