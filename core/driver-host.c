/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the daemon does for drivers: the host table, their options, and calls of them. */
#include "driver.h"
#include "driver-crash.h"

#include <stddef.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>

#include "base/idmap.h"
#include "base/log.h"

static struct lock lock = LOCK_INIT(LOCK_LEAF);
static struct strmap options;  /* "kind.name.key" */
static struct strv handed_out; /* values that option() returned: drivers may hold them for as long as they like; each stands once */
static const struct dkd_idmaps *idmaps;

void driver_set_options(const struct strmap *opts)
{
	WITH_LOCK(&lock);
	strmap_done(&options);
	if (opts)
		strmap_copy(&options, opts);
}

void driver_set_idmaps(const struct dkd_idmaps *maps)
{
	WITH_LOCK(&lock);
	idmaps = maps;
}

struct dkd_idmap *driver_idmap(const struct idmap_list *l, uint32_t *ret_len)
{
	struct dkd_idmap *v = xcalloc(l->len + 1, sizeof(*v));

	for (size_t i = 0; i < l->len; i++)
		v[i] = (struct dkd_idmap){ l->v[i].inside, l->v[i].outside, l->v[i].count };
	*ret_len = (uint32_t)l->len;
	return v;
}

void driver_set_root_idmaps(void)
{
	static struct dkd_idmaps own = { .size = sizeof(own) };
	const struct idmaps *m = idmaps_root();

	free((void *)own.uids);
	free((void *)own.gids);
	own = (struct dkd_idmaps){ .size = sizeof(own) };
	if (!idmaps_none(m)) {
		own.uids = driver_idmap(&m->uids, &own.uids_len);
		own.gids = driver_idmap(&m->gids, &own.gids_len);
	}
	driver_set_idmaps(idmaps_none(m) ? NULL : &own);
}

bool driver_answers_to(const struct dkd_driver *d, const char *name, size_t len)
{
	const char *p = d->aliases;

	if (strlen(d->name) == len && strncmp(d->name, name, len) == 0)
		return true;
	while (p && *p) {
		size_t n = strcspn(p, " ");

		if (n == len && strncmp(p, name, n) == 0)
			return true;
		p += n + strspn(p + n, " ");
	}
	return false;
}

/* The host table */

static const struct driver *host_driver(const struct dkd_host *h)
{
	return (const struct driver *)((const char *)h - offsetof(struct driver, host));
}

static void host_log(const struct dkd_host *h, uint32_t level, const char *text)
{
	static const enum log_level levels[] = {
		[DKD_LOG_ERROR] = LOG_ERROR, [DKD_LOG_WARN] = LOG_WARN, [DKD_LOG_INFO] = LOG_INFO, [DKD_LOG_DEBUG] = LOG_DEBUG,
	};
	enum log_level lv = level >= DKD_LOG_ERROR && level <= DKD_LOG_DEBUG ? levels[level] : LOG_INFO;

	if (log_get_level() >= lv)
		log_write(lv, "[%s] %s", host_driver(h)->desc->name, text ? text : "");
}

static int32_t host_fail(const struct dkd_host *h, const struct dkd_call *call, uint32_t cls, int32_t sys, const char *text)
{
	static const enum err_class classes[] = {
		[DKD_ERR_INTERNAL] = ERR_INTERNAL, [DKD_ERR_INVALID] = ERR_INVALID, [DKD_ERR_NOT_FOUND] = ERR_NOT_FOUND,
		[DKD_ERR_CONFLICT] = ERR_CONFLICT, [DKD_ERR_FORBIDDEN] = ERR_FORBIDDEN, [DKD_ERR_NOT_IMPLEMENTED] = ERR_NOT_IMPLEMENTED,
		[DKD_ERR_UNAVAILABLE] = ERR_UNAVAILABLE, [DKD_ERR_NO_SPACE] = ERR_NO_SPACE, [DKD_ERR_CANCELLED] = ERR_CANCELLED,
	};
	struct driver_call *c = call->opaque;
	enum err_class class = cls >= DKD_ERR_INTERNAL && cls < ARRAY_LEN(classes) ? classes[cls] : ERR_INTERNAL;

	if (!text)
		text = "no reason given";
	if (sys == 0) {
		err_set(&c->failed, class, "%s", text);
	} else {
		err_errno(&c->failed, sys, "%s", text);
		if (cls != DKD_ERR_INTERNAL)
			c->failed.class = class;
	}
	return -1;
}

/* "kind.name." of a driver's section, by its name or one of its aliases. */
static bool in_section(const struct driver *d, const char *key, size_t *ret_prefix)
{
	size_t n = strlen(d->kind), len;

	if (strncmp(key, d->kind, n) != 0 || key[n] != '.')
		return false;
	len = strcspn(key + n + 1, ".");
	*ret_prefix = n + 1 + len + 1;
	return key[n + 1 + len] == '.' && driver_answers_to(d->desc, key + n + 1, len);
}

static const char *managed; /* set once */

void driver_set_managed(const char *dir)
{
	managed = dir;
}

/* Under the lock. */
static const char *hand_out(const char *value)
{
	for (size_t i = 0; i < handed_out.len; i++)
		if (streq(handed_out.v[i], value))
			return handed_out.v[i];
	strv_add(&handed_out, value);
	return handed_out.v[handed_out.len - 1];
}

static const char *host_option(const struct dkd_host *h, const char *key)
{
	const struct driver *d = host_driver(h);
	size_t prefix;

	if (d->desc->provider && streq(key, "managed"))
		return managed;

	WITH_LOCK(&lock);
	for (size_t i = 0; i < options.len; i++)
		if (in_section(d, options.v[i].key, &prefix) && streq(options.v[i].key + prefix, key))
			return hand_out(options.v[i].value);
	return NULL;
}

static int32_t host_each_option(const struct dkd_host *h, dkd_emit_pair *emit, void *to)
{
	const struct driver *d = host_driver(h);
	OWN_STRMAP struct strmap mine = { 0 };
	size_t prefix;

	{
		WITH_LOCK(&lock);
		for (size_t i = 0; i < options.len; i++)
			if (in_section(d, options.v[i].key, &prefix))
				strmap_set(&mine, options.v[i].key + prefix, options.v[i].value);
	}
	for (size_t i = 0; i < mine.len; i++)
		if (emit(to, mine.v[i].key, mine.v[i].value) != 0)
			break;
	return 0;
}

static const struct dkd_idmaps *host_idmaps(const struct dkd_host *h)
{
	WITH_LOCK(&lock);
	return idmaps;
}

void driver_host_init(struct driver *d)
{
	lock_init(&d->lock, LOCK_LEAF);
	lock_cond_init(&d->free);
	d->host = (struct dkd_host){
		.size = sizeof(d->host), .daemon_version = PACKAGE_VERSION, .log = host_log, .fail = host_fail,
		.option = host_option, .each_option = host_each_option, .idmaps = host_idmaps, .run = driver_run,
	};
}

const struct dkd_host *driver_host(const struct driver *d)
{
	return &d->host;
}

/* Calls */

/* The driver when its calls take turns, else NULL. */
static struct driver *serial(const struct driver *d)
{
	return d->desc->thread_model == DKD_THREADS_SERIAL ? (struct driver *)(uintptr_t)d : NULL;
}

/* Readable: nobody waits for the calls that were begun until now. */
static int given_up = -1;

static void make_given_up(void)
{
	given_up = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static int given_up_fd(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, make_given_up);
	return given_up;
}

void driver_give_up(bool on)
{
	eventfd_t n;

	if (on)
		eventfd_write(given_up_fd(), 1);
	else
		eventfd_read(given_up_fd(), &n);
}

void driver_call_begin(struct driver_call *c, const struct driver *d)
{
	struct driver *s = serial(d);

	lock_none_held();
	*c = (struct driver_call){ .abi = { .size = sizeof(c->abi), .cancel_fd = given_up_fd(), .opaque = c }, .driver = d };
	if (s) {
		WITH_LOCK(&s->lock);
		while (s->busy)
			lock_wait(&s->lock, &s->free, -1);
		s->busy = true;
	}
	c->before = driver_crash_within(d->path);
}

int driver_call_end(struct driver_call *c, int32_t rc, struct err *err)
{
	struct driver *s = serial(c->driver);

	driver_crash_within(c->before);
	if (s) {
		WITH_LOCK(&s->lock);
		s->busy = false;
		pthread_cond_signal(&s->free);
	}
	if (rc < 0 && !c->failed.msg)
		err_set(&c->failed, ERR_INTERNAL, "driver %s failed without saying why", c->driver->desc->name);
	if (rc < 0)
		err_move(err, &c->failed);
	err_done(&c->failed);
	return rc;
}
