/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SIGHUP: the file is read and checked as a whole first; only then does anything change. SIGUSR1: what the daemon is doing. */
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "daemon.h"
#include "driver.h"
#include "http/tls.h"
#include "sdnotify.h"

void daemon_say_warnings(const struct config *cfg)
{
	OWN_STRV struct strv inert = { 0 };

	for (size_t i = 0; i < cfg->warnings.len; i++)
		log_warn("%s", cfg->warnings.v[i]);
	config_inert(cfg, &inert);
	for (size_t i = 0; i < inert.len; i++)
		log_warn("%s", inert.v[i]);
}

void daemon_apply_log(const struct config *cfg)
{
	int level = log_level_parse(cfg->log_level);

	log_set_json(streq(cfg->log_format, "json"));
	log_set_level(cfg->debug && level < LOG_DEBUG ? LOG_DEBUG : level < 0 ? LOG_INFO : (enum log_level)level);
}

/* A reader takes the pointer and reads on for the length of one request; this long, nothing of it is freed. */
#define RETIRED_KEPT (10 * 60 * NSEC_PER_SEC)

struct retired {
	struct config *config;
	struct daemon_defaults *defaults;
	int64_t when;
	struct retired *next;
};

static void retire(struct daemon *d, struct config *cfg, struct daemon_defaults *def)
{
	struct retired *r = xmalloc(sizeof(*r));

	daemon_retired_free(d, clock_mono() - RETIRED_KEPT);
	*r = (struct retired){ cfg, def, clock_mono(), d->retired };
	d->retired = r;
}

void daemon_retired_free(struct daemon *d, int64_t before)
{
	struct retired **at = &d->retired;

	while (*at) {
		struct retired *r = *at;

		if (r->when > before) {
			at = &r->next;
			continue;
		}
		*at = r->next;
		daemon_defaults_free(r->defaults);
		config_free(r->config);
		free(r);
	}
}

/* Every reloadable key and its value, for the event. */
static void attributes(const struct config *cfg, struct strmap *ret)
{
	char host[HOST_NAME_MAX + 1] = "";

	gethostname(host, sizeof(host) - 1);
	strmap_set(ret, "name", host);
	for (int id = 0; id < OPT_COUNT; id++) {
		OWN_BUF struct buf b = { 0 };
		OWN_FREE char *text = NULL;

		if (!(opts[id].bits & OPT_RELOAD) || !opts[id].key)
			continue;
		opt_json(cfg, (enum opt_id)id, &b);
		text = b.data[0] == '"' ? opt_text(cfg, (enum opt_id)id) : buf_steal(&b);
		strmap_set(ret, opts[id].key, text);
	}
}

/* A store that the daemon had none of yet is taken; another one would have other networks, and those of the old are in use. */
static int reload_cluster(struct daemon *d, const struct config *next, struct err *err)
{
	static const enum opt_id keys[] = { OPT_ID_cluster_store, OPT_ID_cluster_advertise, OPT_ID_cluster_store_opts };
	bool same = true;

	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		OWN_FREE char *before = opt_text(d->config, keys[i]), *after = opt_text(next, keys[i]);

		same &= streq(before, after);
	}
	if (same)
		return 0;
	if (*d->config->cluster_store)
		return err_set(err, ERR_FORBIDDEN, "cluster-store, cluster-advertise and cluster-store-opts cannot be changed while the daemon runs: "
			"there is a cluster store already");
	return daemon_join_cluster(d, next, true, err);
}

/* First what can fail, then what cannot. */
static int apply(struct daemon *d, struct config *next, struct err *err)
{
	CLEANUP(tls_creds_unrefp) struct tls_creds *tls = d->tls ? daemon_load_tls(next, err) : NULL;
	OWN_STRMAP struct strmap attrs = { 0 };
	struct daemon_defaults *def;

	if (d->tls && !tls)
		return err_wrap(err, "the certificates in use stay");
	driver_set_options(&next->driver_options);
	if (authz_reload(d->authz, &next->authorization_plugins, err) < 0) {
		driver_set_options(&d->config->driver_options);
		return -1;
	}
	if (reload_cluster(d, next, err) < 0) {
		authz_reload(d->authz, &d->config->authorization_plugins, NULL);
		driver_set_options(&d->config->driver_options);
		return -1;
	}
	if (tls) {
		http_server_set_tls(d->http, tls);
		tls_creds_unref(d->tls);
		d->tls = STEAL(tls);
	}
	def = daemon_defaults_new(next, net_default(d->nets));
	daemon_apply_log(next);
	retire(d, d->config, d->defaults);
	d->config = next;
	d->defaults = def;
	container_store_set_defaults(d->containers, def);
	gc_set(d->gc, next->gc);
	d->api.config = next;
	d->api.defaults = def;
	d->api.runtime_default = next->default_runtime;
	attributes(next, &attrs);
	events_publish(d->events, "daemon", "reload", d->engine_id, &attrs);
	return 0;
}

void daemon_reload(struct daemon *d)
{
	OWN_ERR struct err err = ERR_INIT;
	struct config *next;

	log_info("Got signal to reload configuration, reloading from: %s", d->config->file ? d->config->file : "(no file)");
	sdnotify_reloading();
	next = config_reload(d->config, &err);
	if (next && apply(d, next, &err) < 0) {
		config_free(next);
		next = NULL;
	}
	if (next)
		daemon_say_warnings(next);
	else
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
	size_t running, paused, stopped;
	char when[CLOCK_TEXT];
	OWN_FREE char *path = xasprintf("%s/state-%s.log", d->exec_root, clock_rfc3339nano(clock_now(), when));

	buf_addf(&b, "dockerd %s %s, pid %d\ndata-root %s\ngraph driver %s\njobs running %zu\n", PACKAGE_VERSION, DKD_GITCOMMIT,
		(int)getpid(), d->data_root, graph_name(d->graph), engine_running(d->engine));
	engine_each_job(d->engine, dump_job, &b);
	container_count(d->containers, &running, &paused, &stopped);
	buf_addf(&b, "listeners %zu\nconnections %zu\nevent readers %d\ncontainers %zu running, %zu paused, %zu stopped\n",
		d->listeners.len, http_server_connections(d->http), events_subscribers(d->events), running, paused, stopped);
	if (fs_write_atomic(AT_FDCWD, path, b.data, b.size, 0600, FS_RENAME_ONLY, &err) < 0)
		log_error("cannot write %s: %s", path, err_text(&err));
	else
		log_info("wrote the daemon's state to %s", path);
}
