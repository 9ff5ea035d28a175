/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a container needs of others: whose namespaces it joins, whom it is linked to, and what Compose says in its labels
 * (com.docker.compose.depends_on: "SERVICE:CONDITION:RESTART,...", services named by com.docker.compose.service).
 */
#include "container/internal.h"

#define COMPOSE "com.docker.compose."

struct found { struct need *v; size_t len; };

static void add(struct found *f, struct container *self, struct container *on, bool healthy)
{
	for (size_t i = 0; on && i < f->len; i++)
		if (f->v[i].on == on) {
			f->v[i].healthy |= healthy;
			container_unref(on);
			return;
		}
	if (!on || on == self) {
		container_unref(on);
		return;
	}
	f->v = xrealloc(f->v, (f->len + 1) * sizeof(*f->v));
	f->v[f->len++] = (struct need){ on, healthy };
}

/* What is read of a container under its lock. */
struct wants { struct strv names, services, healthy; char *project; };

static void read_wants(struct container *c, struct wants *w)
{
	WITH_LOCK(&c->lock);
	const char *const modes[] = { c->host.network_mode, c->host.ipc_mode, c->host.pid_mode };
	const char *depends = strmap_get(&c->rec.config.labels, COMPOSE "depends_on");
	OWN_STRV struct strv parts = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(modes); i++)
		if (modes[i] && str_has_prefix(modes[i], "container:"))
			strv_add(&w->names, modes[i] + strlen("container:"));
	for (size_t i = 0; i < c->host.links.len; i++) {
		const char *link = c->host.links.v[i];

		link += *link == '/';
		strv_take(&w->names, xstrndup(link, strcspn(link, ":")));
	}
	w->project = xstrdup(strmap_get(&c->rec.config.labels, COMPOSE "project"));
	if (!w->project || str_empty(depends))
		return;
	strv_split(&parts, depends, ",");
	for (size_t i = 0; i < parts.len; i++) {
		size_t n = strcspn(parts.v[i], ":");
		char *service = xstrndup(parts.v[i], n);

		strv_take(str_has_prefix(parts.v[i] + n, ":service_healthy") ? &w->healthy : &w->services, service);
	}
}

static void add_services(struct found *f, struct container *c, const struct wants *w)
{
	struct container **all;
	size_t n = store_all(c->store, &all);

	for (size_t i = 0; i < n; i++) {
		const char *project, *service;
		bool plain = false, healthy = false;

		lock_take(&all[i]->lock);
		project = strmap_get(&all[i]->rec.config.labels, COMPOSE "project");
		service = strmap_get(&all[i]->rec.config.labels, COMPOSE "service");
		if (project && service && streq(project, w->project)) {
			plain = strv_contains(&w->services, service);
			healthy = strv_contains(&w->healthy, service);
		}
		lock_drop(&all[i]->lock);
		if (plain || healthy)
			add(f, c, all[i], healthy);
		else
			container_unref(all[i]);
	}
	free(all);
}

size_t container_needs(struct container *c, struct need **ret)
{
	struct found f = { 0 };
	struct wants w = { 0 };

	read_wants(c, &w);
	for (size_t i = 0; i < w.names.len; i++)
		add(&f, c, container_find(c->store, w.names.v[i], NULL), false);
	if (w.services.len || w.healthy.len)
		add_services(&f, c, &w);
	strv_done(&w.names);
	strv_done(&w.services);
	strv_done(&w.healthy);
	free(w.project);
	*ret = f.v;
	return f.len;
}

void needs_free(struct need *v, size_t len)
{
	for (size_t i = 0; i < len; i++)
		container_unref(v[i].on);
	free(v);
}
