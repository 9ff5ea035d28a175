/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SIGHUP: the file is read and checked as a whole first; only then does anything change. SIGUSR1: what the daemon is doing. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "daemon.h"
#include "driver.h"
#include "sdnotify.h"

void daemon_apply_log(const struct config *cfg)
{
	int level = log_level_parse(cfg->log_level);

	log_set_json(streq(cfg->log_format, "json"));
	log_set_level(cfg->debug && level < LOG_DEBUG ? LOG_DEBUG : level < 0 ? LOG_INFO : (enum log_level)level);
}

void daemon_reload_attributes(const struct config *cfg, struct strmap *ret)
{
	for (int id = 0; id < OPT_COUNT; id++) {
		OWN_BUF struct buf b = { 0 };
		OWN_FREE char *text = NULL;
		bool quoted;

		if (!(opts[id].bits & OPT_RELOAD) || !opts[id].key)
			continue;
		opt_json(cfg, (enum opt_id)id, &b);
		quoted = b.data[0] == '"';
		text = quoted ? opt_text(cfg, (enum opt_id)id) : buf_steal(&b);
		strmap_set(ret, opts[id].key, text);
	}
}

void daemon_reload(struct daemon *d)
{
	OWN_ERR struct err err = ERR_INIT;
	struct config *next;

	log_info("Got signal to reload configuration, reloading from: %s", d->config->file ? d->config->file : "(no file)");
	sdnotify_reloading();
	next = config_reload(d->config, &err);
	if (next && daemon_apply_config(d, next, &err) < 0) {
		config_free(next);
		next = NULL;
	}
	if (!next)
		log_error("Error reconfiguring the daemon: %s", err_text(&err));
	sdnotify("READY=1");
}

static void dump_job(void *ctx, const char *name, uint64_t id, int64_t age)
{
	buf_addf(ctx, "job %llu %s %.3fs\n", (unsigned long long)id, name, (double)age / NSEC_PER_SEC);
}

void daemon_dump(struct daemon *d)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_BUF struct buf b = { 0 };
	char when[CLOCK_TEXT];
	OWN_FREE char *path = xasprintf("%s/state-%s.log", d->exec_root, clock_rfc3339nano(clock_now(), when));

	buf_addf(&b, "dockerd %s %s, pid %d\ndata-root %s\ngraph driver %s\njobs running %zu\n", PACKAGE_VERSION, DKD_GITCOMMIT,
		(int)getpid(), d->data_root, graph_name(d->graph), engine_running(d->engine));
	engine_each_job(d->engine, dump_job, &b);
	daemon_dump_rooms(d, &b);
	if (fs_write_atomic(AT_FDCWD, path, b.data, b.size, 0600, FS_RENAME_ONLY, &err) < 0)
		log_error("cannot write %s: %s", path, err_text(&err));
	else
		log_info("wrote the daemon's state to %s", path);
}
