/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of the start through which the daemon is reached: listeners, TLS, authorization, the router, the servers. */
#include "daemon-steps.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/rootless.h"
#include "driver.h"
#include "http/tls.h"
#include "scope.h"

#define INSECURE_DELAY_MS 15000
#define AUTHZ_FIRST_MS 1000
#define AUTHZ_LAST_MS 8000
/* Connections end after their jobs have: the engine is stopping already. */
#define HTTP_STOP_MS 5000

void unstep_listeners(struct daemon *d)
{
	listeners_close(&d->listeners);
}

void unstep_authz(struct daemon *d)
{
	authz_close(d->authz);
}

void unstep_router(struct daemon *d)
{
	router_free(d->router);
}

struct tls_creds *daemon_load_tls(const struct config *cfg, struct err *err)
{
	const struct tls_files files = { .ca = cfg->tlscacert, .cert = cfg->tlscert, .key = cfg->tlskey, .verify = cfg->tlsverify };

	return tls_creds_load(&files, err);
}

int step_tls(struct daemon *d, struct err *err)
{
	if (!d->config->tls)
		return 0;
	d->tls = daemon_load_tls(d->config, err);
	return d->tls ? 0 : err_wrap(err, "failed to load listeners");
}

void unstep_tls(struct daemon *d)
{
	tls_creds_unref(d->tls);
}

static void warn_host(const char *host, bool tls)
{
	const char *const fields[] = { "host", host, NULL };
	OWN_FREE char *text = xasprintf("WARNING: the API is served on %s without %s: whoever reaches it is root on "
		"this machine", host, tls ? "asking clients for a certificate" : "encryption");

	log_fields(LOG_WARN, fields, "Binding to IP address without --tlsverify is insecure: whoever reaches "
		"this port is root on this machine");
	api_add_warning(text);
}

/* Whoever may reach such a port is root here: say so, and give time to think again, unless that was done. */
static int warn_insecure(struct daemon *d, struct err *err)
{
	const struct config *cfg = d->config;
	bool wait = false, meant = cfg->from[OPT_ID_tls] != FROM_DEFAULT || cfg->from[OPT_ID_tlsverify] != FROM_DEFAULT;

	for (size_t i = 0; i < cfg->hosts.len && !cfg->tlsverify; i++) {
		const char *host = cfg->hosts.v[i];
		const char *const fields[] = { "host", host, NULL };

		if (!str_has_prefix(host, "tcp://"))
			continue;
		warn_host(host, cfg->tls);
		if (!listen_is_public(host)) {
			log_fields(LOG_WARN, fields, "On the loopback, too, every local user and every page in a "
				"browser may reach this port");
			continue;
		}
		log_fields(LOG_WARN, fields, "The API is open to the network without %sauthentication%s",
			cfg->tls ? "" : "encryption or ", meant ? "" : "; starting in 15 seconds");
		wait = !meant;
	}
	if (wait && daemon_signals_wait(d, INSECURE_DELAY_MS))
		return err_set(err, ERR_CANCELLED, "stopped by a signal while starting");
	return 0;
}

/* Sockets of the service manager may be of TCP as well. */
static void warn_activated(const struct daemon *d)
{
	for (size_t i = 0; i < d->listeners.len && !d->config->tlsverify; i++) {
		int domain = AF_UNIX;
		socklen_t size = sizeof(domain);

		if (str_has_prefix(d->listeners.v[i].host, "fd://") &&
			getsockopt(d->listeners.v[i].fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain != AF_UNIX)
			warn_host(d->listeners.v[i].host, d->config->tls);
	}
}

/* A user's socket is the user's: the host's group docker is another one inside. */
static const char *socket_group(const struct config *cfg)
{
	return cfg->rootless && cfg->from[OPT_ID_group] == FROM_DEFAULT ? "" : cfg->group;
}

/* What lies in $XDG_RUNTIME_DIR without its sticky bit may be cleaned away as old. */
static void keep_in_runtime_dir(const struct daemon *d)
{
	const struct config *cfg = d->config;
	OWN_FREE char *dir = rootless_path(ROOTLESS_RUNTIME, "");
	OWN_STRV struct strv paths = { 0 };
	struct stat st;

	strv_add(&paths, cfg->exec_root);
	strv_add(&paths, cfg->pidfile);
	for (size_t i = 0; i < cfg->hosts.len; i++)
		if (str_has_prefix(cfg->hosts.v[i], "unix://"))
			strv_add(&paths, cfg->hosts.v[i] + 7);
	for (size_t i = 0; i < paths.len; i++)
		if (dir && str_has_prefix(paths.v[i], dir) && stat(paths.v[i], &st) == 0)
			chmod(paths.v[i], (st.st_mode & 07777) | S_ISVTX);
}

int step_listeners(struct daemon *d, struct err *err)
{
	if (warn_insecure(d, err) < 0)
		return -1;
	if (listeners_open(&d->listeners, &d->config->hosts, socket_group(d->config), opts[OPT_ID_group].def, err) < 0)
		return -1;
	if (d->config->rootless)
		keep_in_runtime_dir(d);
	warn_activated(d);
	return 0;
}

/* A plugin may start beside the daemon. Docker looks for each as often: after a second, two more, four, eight. */
static int await_authz(struct daemon *d, const char *name, struct err *err)
{
	for (int pause = AUTHZ_FIRST_MS; pause <= AUTHZ_LAST_MS && !authz_found(name); pause *= 2) {
		log_warn("Unable to locate plugin: %s, retrying in %ds", name, pause / 1000);
		if (daemon_signals_wait(d, pause))
			return err_set(err, ERR_CANCELLED, "stopped by a signal while starting");
		managed_start_all(d->plugins); /* nobody watches them yet */
	}
	return 0; /* authz_open() says what there is to say */
}

int step_authz(struct daemon *d, struct err *err)
{
	OWN_STRV struct strv policies = { 0 };

	for (size_t i = 0; i < d->listeners.len; i++)
		if (d->listeners.v[i].policy && !strv_contains(&policies, d->listeners.v[i].policy))
			strv_add(&policies, d->listeners.v[i].policy);
	for (size_t i = 0; i < d->config->authorization_plugins.len; i++)
		if (await_authz(d, d->config->authorization_plugins.v[i], err) < 0)
			return -1;
	d->authz = authz_open(&d->config->authorization_plugins, &policies, err);
	return d->authz ? 0 : err_wrap(err, "error loading the authorization drivers");
}

int step_api(struct daemon *d, struct err *err)
{
	d->api = (struct api){
		.engine = d->engine, .config = d->config, .images = d->images, .registry = d->registry, .containers = d->containers,
		.plugins = d->plugins, .authz = d->authz, .volumes = d->volumes, .nets = d->nets, .events = d->events, .spawner = d->spawner, .defaults = d->defaults,
		.engine_id = d->engine_id, .data_root = d->data_root, .runtime_default = d->config->default_runtime,
		.experimental = d->config->experimental,
	};
	return api_register(&d->api, err);
}

int step_router(struct daemon *d, struct err *err)
{
	d->router = router_new(d->engine, api_routes, api_routes_len, d->config->min_minor, err);
	if (!d->router)
		return -1;
	router_set_experimental(d->router, d->config->experimental);
	router_add_middleware(d->router, authz_request, authz_response, d->authz);
	router_add_middleware(d->router, api_scope, NULL, &d->api);
	return 0;
}

int step_http(struct daemon *d, struct err *err)
{
	d->http = http_server_new(d->router, NULL, err);
	if (!d->http)
		return -1;
	for (size_t i = 0; i < d->listeners.len; i++) {
		const struct http_listen how = { .host = d->listeners.v[i].host, .policy = d->listeners.v[i].policy, .tls = d->tls };

		if (http_server_add_listener(d->http, d->listeners.v[i].fd, &how, err) < 0)
			goto fail;
		d->listeners.v[i].fd = -1;
	}
	if (http_server_start(d->http, err) == 0)
		return 0;
fail:
	http_server_free(d->http);
	return -1;
}

/* A server of its own, which has one route and no middleware. */
/* The figures are served behind fd, which is taken. */
static int serve_metrics(struct daemon *d, int fd, struct http_server **ret, struct err *err)
{
	OWN_FD int own = fd;

	if (!d->metrics_router)
		d->metrics_router = router_new(d->engine, metrics_routes, metrics_routes_len, d->config->min_minor, err);
	*ret = d->metrics_router ? http_server_new(d->metrics_router, NULL, err) : NULL;
	if (!*ret || http_server_add_listener(*ret, own, NULL, err) < 0)
		return -1;
	STEAL_FD(own);
	return http_server_start(*ret, err);
}

static int serve_plugins(void *ctx, int fd, struct err *err)
{
	struct daemon *d = ctx;

	if (serve_metrics(d, fd, &d->plugin_metrics_http, err) == 0)
		return 0;
	http_server_free(STEAL(d->plugin_metrics_http));
	return err_wrap(err, "figures for plugins");
}

int step_metrics(struct daemon *d, struct err *err)
{
	OWN_STRV struct strv hosts = { 0 };

	if (managed_serve_metrics(d->plugins, serve_plugins, d, err) < 0 || managed_watch(d->plugins, err) < 0)
		goto fail;
	if (str_empty(d->config->metrics_addr))
		return 0;
	strv_addf(&hosts, "tcp://%s", d->config->metrics_addr);
	if (listeners_open(&d->metrics_listeners, &hosts, NULL, NULL, err) < 0 ||
	    serve_metrics(d, STEAL_FD(d->metrics_listeners.v[0].fd), &d->metrics_http, err) < 0) {
		err_wrap(err, "--metrics-addr");
		goto fail;
	}
	log_info("metrics are served on http://%s/metrics", d->config->metrics_addr);
	return 0;
fail:
	unstep_metrics(d);
	return -1;
}

void unstep_metrics(struct daemon *d)
{
	if ((d->metrics_http && http_server_stop(d->metrics_http, HTTP_STOP_MS) < 0) ||
	    (d->plugin_metrics_http && http_server_stop(d->plugin_metrics_http, HTTP_STOP_MS) < 0)) {
		d->stuck = true;
		return;
	}
	http_server_free(d->metrics_http);
	http_server_free(d->plugin_metrics_http);
	router_free(d->metrics_router);
	listeners_close(&d->metrics_listeners);
	d->metrics_http = d->plugin_metrics_http = NULL;
	d->metrics_router = NULL;
}

void unstep_http(struct daemon *d)
{
	int rc = http_server_stop(d->http, HTTP_STOP_MS);

	driver_give_up(false);
	volume_store_give_up(d->volumes, false);
	if (rc < 0) {
		log_warn("a request does not end; the daemon stops without it");
		d->stuck = true;
		return;
	}
	http_server_free(d->http);
}
