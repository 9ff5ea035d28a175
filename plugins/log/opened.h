/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A driver that keeps nothing between its streams but the host. Each driver that includes this has a copy of its own. */
#ifndef LOG_OPENED_H
#define LOG_OPENED_H

#include <stdlib.h>

#include <dockerd/log.h>

struct dkd_log {
	const struct dkd_host *host;
};

static int32_t opened_open(const struct dkd_call *call, const struct dkd_host *host, const struct dkd_log_open *open, struct dkd_log **ret)
{
	struct dkd_log *l = calloc(1, sizeof(*l));

	(void)open;
	if (!l)
		return host->fail(host, call, DKD_ERR_INTERNAL, 0, "out of memory");
	l->host = host;
	*ret = l;
	return 0;
}

static void opened_close(struct dkd_log *l)
{
	free(l);
}

#endif
