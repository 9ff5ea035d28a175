/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver.h"

#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/log.h"
#include "dockerd/authz.h"
#include "dockerd/graph.h"
#include "dockerd/ipam.h"
#include "dockerd/log.h"
#include "dockerd/net.h"
#include "dockerd/volume.h"
#include "driver-crash.h"
#include "driver-file.h"

/* Kinds: what the loader knows of each. Every ops table begins with probe(), open(), close(). */
struct required { const char *name; size_t offset; };
struct kind {
	uint32_t number, major, minor;
	const char *name;
	size_t ops_size;
	const struct required *required;
	size_t required_len;
};
#define REQUIRE(type, op) { #op, offsetof(struct type, op) }
#define KIND(id, kind_, ...) \
	{ DKD_KIND_##id, DKD_##id##_MAJOR, DKD_##id##_MINOR, #kind_, sizeof(struct dkd_##kind_##_ops), \
	  (const struct required[]){ __VA_ARGS__ }, ARRAY_LEN(((const struct required[]){ __VA_ARGS__ })) }
static const struct kind kinds[] = {
	KIND(GRAPH, graph, REQUIRE(dkd_graph_ops, open), REQUIRE(dkd_graph_ops, create), REQUIRE(dkd_graph_ops, remove),
		REQUIRE(dkd_graph_ops, exists), REQUIRE(dkd_graph_ops, get), REQUIRE(dkd_graph_ops, put)),
	KIND(NET, net, REQUIRE(dkd_net_ops, open), REQUIRE(dkd_net_ops, capabilities)),
	KIND(VOLUME, volume, REQUIRE(dkd_volume_ops, open), REQUIRE(dkd_volume_ops, create), REQUIRE(dkd_volume_ops, remove),
		REQUIRE(dkd_volume_ops, get), REQUIRE(dkd_volume_ops, list), REQUIRE(dkd_volume_ops, mount),
		REQUIRE(dkd_volume_ops, unmount)),
	KIND(AUTHZ, authz, REQUIRE(dkd_authz_ops, open), REQUIRE(dkd_authz_ops, request)),
	KIND(LOG, log, REQUIRE(dkd_log_ops, open), REQUIRE(dkd_log_ops, check), REQUIRE(dkd_log_ops, start),
		REQUIRE(dkd_log_ops, stop), REQUIRE(dkd_log_ops, write)),
	KIND(IPAM, ipam, REQUIRE(dkd_ipam_ops, open), REQUIRE(dkd_ipam_ops, capabilities), REQUIRE(dkd_ipam_ops, address_spaces),
		REQUIRE(dkd_ipam_ops, request_pool), REQUIRE(dkd_ipam_ops, release_pool), REQUIRE(dkd_ipam_ops, request_address),
		REQUIRE(dkd_ipam_ops, release_address)),
};
typedef int32_t probe_fn(const struct dkd_call *call, const struct dkd_host *host, const char *root);

/* One file that was opened: a driver, or the sentence why it is none. Lives as long as the process. */
struct module {
	struct module *next;
	struct driver driver;
	const struct kind *kind;
	char *path, *refused;
};

#define PROVIDERS_MAX 8

static struct lock lock = LOCK_INIT(LOCK_MAP); /* everything below; held while a file is bound */
static struct module *modules;
static struct strv path;

static const struct kind *kind_find(uint32_t number);
static struct module *find(const struct kind *k, const char *name, struct err *err);
static struct module *module_open(const char *file, struct err *err);
static int builtin_dirs(struct strv *ret, struct err *err);
static const struct driver *provider_of(const struct kind *k, const char *name);

int driver_init(const struct strv *dirs, const struct strmap *opts, struct err *err)
{
	OWN_STRV struct strv all = { 0 };

	if (builtin_dirs(&all, err) < 0)
		return -1;
	for (size_t i = 0; dirs && i < dirs->len; i++) {
		if (!fs_exists(dirs->v[i]))
			log_warn("--plugin-dir %s is not there", dirs->v[i]);
		if (!strv_contains(&all, dirs->v[i]))
			strv_add(&all, dirs->v[i]);
	}
	return driver_init_only(&all, opts, err);
}

int driver_init_only(const struct strv *dirs, const struct strmap *opts, struct err *err)
{
	for (size_t i = 0; i < dirs->len; i++)
		if (dirs->v[i][0] != '/')
			return err_set(err, ERR_INVALID, "plugin-dir %s is not an absolute path", dirs->v[i]);
	driver_set_options(opts);
	WITH_LOCK(&lock);
	strv_done(&path);
	strv_copy(&path, dirs);
	return 0;
}

const struct driver *driver_load(uint32_t kind, const char *name, struct err *err)
{
	const struct kind *k = kind_find(kind);
	OWN_ERR struct err why = ERR_INIT;
	const struct driver *d;
	struct module *m;

	BUG_ON(!k);
	lock_take(&lock);
	m = find(k, name, &why);
	lock_drop(&lock);
	if (m)
		return &m->driver;
	if (why.class == ERR_NOT_FOUND && (d = provider_of(k, name)))
		return d;
	err_move(err, &why);
	return NULL;
}

const char *driver_kind_name(uint32_t kind)
{
	const struct kind *k = kind_find(kind);

	return k ? k->name : NULL;
}

static const struct kind *kind_find(uint32_t number)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].number == number)
			return &kinds[i];
	return NULL;
}

/* Search path */

static bool name_ok(const char *s, size_t n)
{
	return n > 0 && n <= 64 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") >= n;
}

static int builtin_dirs(struct strv *ret, struct err *err)
{
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	OWN_FREE char *mark = NULL;

	if (n < 0)
		return err_errno(err, errno, "readlink /proc/self/exe");
	exe[n] = '\0';
	*strrchr(exe, '/') = '\0';
	mark = xasprintf("%s/config.status", exe);
	if (fs_exists(mark)) {
		for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
			strv_addf(ret, "%s/plugins/%s/.libs", exe, kinds[i].name);
		return 0;
	}
	strv_add(ret, DKD_PKGLIBDIR "/plugins");
	if (!streq(DKD_PKGLIBDIR, "/usr/lib/dockerd"))
		strv_add(ret, "/usr/lib/dockerd/plugins");
	return 0;
}

/* One candidate: a file NAME.so in a folder of the path. sub: the kind whose subfolder it lies in, or NULL. Not 0 stops. */
typedef int candidate_fn(void *ctx, const char *file, const char *stem, size_t stem_len, const struct kind *sub);

static int scan_dir(const char *dir, const struct kind *sub, candidate_fn *fn, void *ctx)
{
	OWN_FREE struct dirent **v = NULL;
	int n = scandir(dir, &v, NULL, alphasort), rc = 0;

	for (int i = 0; i < n; i++) {
		size_t len = strlen(v[i]->d_name);

		if (rc == 0 && len > 3 && streq(v[i]->d_name + len - 3, ".so") && name_ok(v[i]->d_name, len - 3)) {
			OWN_FREE char *file = xasprintf("%s/%s", dir, v[i]->d_name);

			rc = fn(ctx, file, v[i]->d_name, len - 3, sub);
		}
		free(v[i]);
	}
	return rc;
}

/* k NULL: every kind. In a folder the kinds' subfolders come first. */
static int scan(const struct kind *k, candidate_fn *fn, void *ctx)
{
	for (size_t i = 0; i < path.len; i++) {
		for (size_t j = 0; j < ARRAY_LEN(kinds); j++) {
			OWN_FREE char *sub = xasprintf("%s/%s", path.v[i], kinds[j].name);
			int rc = k && k != &kinds[j] ? 0 : scan_dir(sub, &kinds[j], fn, ctx);

			if (rc)
				return rc;
		}
		int rc = scan_dir(path.v[i], NULL, fn, ctx);

		if (rc)
			return rc;
	}
	return 0;
}

/* Finding by name */

struct lookup {
	const struct kind *kind;
	const char *name;
	bool exact;             /* files named so; else files whose name begins it */
	bool present_only;
	struct module *found;
	bool seen;
	struct err *err;        /* of the first file that was refused */
};

static int try_candidate(void *ctx, const char *file, const char *stem, size_t len, const struct kind *sub)
{
	struct lookup *l = ctx;
	OWN_ERR struct err why = ERR_INIT;
	size_t want = strlen(l->name);
	struct module *m;

	if (strncmp(stem, l->name, len) != 0 || (l->exact ? len != want : len >= want))
		return 0;
	if (l->present_only)
		return l->seen = true;
	m = module_open(file, &why);
	if (m && m->driver.desc->provider)
		return 0; /* its own name is no driver's */
	if (m && m->kind == l->kind && driver_answers_to(m->driver.desc, l->name, want)) {
		l->found = m;
		return 1;
	}
	/* In the folder itself drivers of all kinds lie side by side, and only the name of the asked one is owed an answer. */
	if (m && (!l->exact || (m->kind != l->kind && !sub)))
		return 0;
	if (m && m->kind != l->kind)
		err_set(&why, ERR_INVALID, "driver %s is refused: it is a %s driver in the folder of %s drivers", file, m->kind->name, sub->name);
	else if (m)
		err_set(&why, ERR_INVALID, "driver %s is refused: it calls itself %s", file, m->driver.desc->name);
	l->seen = true;
	err_move(l->err, &why);
	return 1;
}

static struct module *find(const struct kind *k, const char *name, struct err *err)
{
	struct lookup l = { .kind = k, .name = name, .exact = true, .err = err };

	if (!name_ok(name, strlen(name))) {
		err_set(err, ERR_NOT_FOUND, "%s driver %.64s not found: names of drivers are made of a-z, 0-9, _ and -", k->name, name);
		return NULL;
	}
	for (struct module *m = modules; m; m = m->next)
		if (!m->refused && m->kind == k && !m->driver.desc->provider && driver_answers_to(m->driver.desc, name, strlen(name)))
			return m;
	scan(k, try_candidate, &l);
	if (!l.found && !l.seen) {
		l.exact = false;
		scan(k, try_candidate, &l);
	}
	if (!l.found && !l.seen)
		err_set(err, ERR_NOT_FOUND, "%s driver %s not found", k->name, name);
	return l.found;
}

const struct driver *driver_load_file(const char *file, struct err *err)
{
	struct module *m;

	WITH_LOCK(&lock);
	m = module_open(file, err);
	return m ? &m->driver : NULL;
}

bool driver_present(uint32_t kind, const char *name)
{
	struct lookup l = { .kind = kind_find(kind), .name = name, .exact = true, .present_only = true };

	lock_take(&lock);
	scan(l.kind, try_candidate, &l);
	l.exact = false;
	if (!l.seen)
		scan(l.kind, try_candidate, &l);
	lock_drop(&lock);
	return l.seen || provider_of(l.kind, name);
}

/* Providers */

struct providers {
	const struct kind *kind;
	struct module *v[PROVIDERS_MAX];
	size_t len;
};

static int collect_provider(void *ctx, const char *file, const char *stem, size_t len, const struct kind *sub)
{
	struct providers *p = ctx;
	OWN_ERR struct err why = ERR_INIT;
	struct module *m;

	(void)sub;
	if (len < strlen(DRIVER_PROVIDER_STEM) || strncmp(stem, DRIVER_PROVIDER_STEM, strlen(DRIVER_PROVIDER_STEM)) != 0)
		return 0;
	m = module_open(file, &why);
	if (!m)
		log_warn("%s", err_text(&why));
	else if (m->kind == p->kind && m->driver.desc->provider && p->len < PROVIDERS_MAX)
		p->v[p->len++] = m;
	return 0;
}

/* The provider that has a driver of that name now, or NULL. No lock is held. */
static const struct driver *provider_of(const struct kind *k, const char *name)
{
	struct providers p = { .kind = k };

	lock_take(&lock);
	scan(k, collect_provider, &p);
	lock_drop(&lock);
	for (size_t i = 0; i < p.len; i++) {
		const struct driver *d = &p.v[i]->driver;
		struct driver_call c;
		int32_t has;

		driver_call_begin(&c, d);
		has = d->desc->provider->has(&c.abi, driver_host(d), name);
		if (driver_call_end(&c, has, NULL) >= 0 && has == 1)
			return d;
	}
	return NULL;
}

static int32_t add_provided(void *to, const char *name)
{
	if (!strv_contains(to, name))
		strv_add(to, name);
	return 0;
}

void driver_provided(uint32_t kind, struct strv *ret)
{
	struct providers p = { .kind = kind_find(kind) };

	lock_take(&lock);
	scan(p.kind, collect_provider, &p);
	lock_drop(&lock);
	for (size_t i = 0; i < p.len; i++) {
		const struct driver *d = &p.v[i]->driver;
		struct driver_call c;

		driver_call_begin(&c, d);
		driver_call_end(&c, d->desc->provider->each(&c.abi, driver_host(d), add_provided, ret), NULL);
	}
}

/* Loading */

static int refuse(struct module *m, struct err *err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int refuse(struct module *m, struct err *err, const char *fmt, ...)
{
	OWN_FREE char *why = NULL;
	va_list ap;

	va_start(ap, fmt);
	why = xvasprintf(fmt, ap);
	va_end(ap);
	return err_set(err, ERR_INVALID, "driver %s is refused: %s", m->path, why);
}

static int check_descriptor(struct module *m, const struct dkd_driver *d, struct err *err)
{
	const struct kind *k;

	if (!d)
		return refuse(m, err, "its entry returned no descriptor");
	if (d->magic != DKD_MAGIC)
		return refuse(m, err, "its magic is 0x%08x, not 0x%08x", d->magic, DKD_MAGIC);
	k = kind_find(d->kind);
	if (!k)
		return refuse(m, err, "its kind is %u, which this daemon does not know", d->kind);
	/* From 1.0 on any minor of the same major will do. */
	if (d->abi_major != k->major || (k->major == 0 && d->abi_minor != k->minor))
		return refuse(m, err, "it was built for the %s ABI %u.%u, this daemon has %u.%u", k->name, d->abi_major, d->abi_minor, k->major, k->minor);
	if (!d->name || !name_ok(d->name, strlen(d->name)))
		return refuse(m, err, "it gives no proper name");
	if (d->thread_model > DKD_THREADS_SERIAL)
		return refuse(m, err, "its thread model is %u, which this daemon does not know", d->thread_model);
	if (d->provider && (d->provider->size < sizeof(*d->provider) || !d->provider->each || !d->provider->has))
		return refuse(m, err, "it is a provider of drivers that cannot say which");
	if (!d->ops)
		return refuse(m, err, "it has no table of operations");
	if (d->ops_size % sizeof(void (*)(void)))
		return refuse(m, err, "its table of operations is %u bytes long, which ends inside one", d->ops_size);
	m->kind = k;
	return 0;
}

static int copy_ops(struct module *m, const struct dkd_driver *d, struct err *err)
{
	const struct kind *k = m->kind;

	m->driver.ops = xcalloc(1, k->ops_size);
	memcpy(m->driver.ops, d->ops, d->ops_size < k->ops_size ? d->ops_size : k->ops_size);
	for (size_t i = 0; i < k->required_len; i++) {
		void (*op)(void);

		memcpy(&op, (char *)m->driver.ops + k->required[i].offset, sizeof(op));
		if (!op)
			return refuse(m, err, "it lacks the required operation %s", k->required[i].name);
	}
	m->driver.kind = k->name;
	m->driver.desc = d;
	return 0;
}

static int module_bind(struct module *m, struct err *err)
{
	const struct dkd_driver *(*entry)(void) = NULL;
	const struct dkd_driver *d = NULL;
	const char *before;
	void *symbol;

	if (!driver_crash_allows(m->path, err))
		return -1;
	before = driver_crash_within(m->path); /* its constructors run, too */
	symbol = driver_file_symbol(m->path, "dkd_driver_entry", err);
	if (symbol) {
		memcpy(&entry, &symbol, sizeof(entry));
		d = entry();
	}
	driver_crash_within(before);
	if (!symbol)
		return -1;
	if (check_descriptor(m, d, err) < 0 || copy_ops(m, d, err) < 0)
		return -1;
	log_debug("loaded %s driver %s %s from %s", m->kind->name, d->name, d->version ? d->version : "", m->path);
	return 0;
}

/* Under the lock. A file that passed the first look is opened once, whatever comes of it. */
static struct module *module_open(const char *file, struct err *err)
{
	OWN_FREE char *real = NULL;
	struct module *m;

	if (driver_file_check(file, err) < 0)
		return NULL;
	real = realpath(file, NULL);
	for (m = modules; m && real && !streq(m->path, real); m = m->next)
		;
	if (!m) {
		OWN_ERR struct err why = ERR_INIT;

		m = xcalloc(1, sizeof(*m));
		m->path = xstrdup(real ? real : file);
		m->driver.path = m->path;
		driver_host_init(&m->driver);
		if (module_bind(m, &why) < 0)
			m->refused = xstrdup(err_text(&why));
		m->next = modules;
		modules = m;
	}
	if (m->refused) {
		err_set(err, ERR_INVALID, "%s", m->refused);
		return NULL;
	}
	return m;
}

/* Listing */

struct listing {
	struct driver_info *v;
	size_t len;
	bool open_all;
};

static struct module *module_by_file(const char *file)
{
	OWN_FREE char *real = realpath(file, NULL);
	struct module *m;

	for (m = modules; m && !(real && streq(m->path, real)); m = m->next)
		;
	return m;
}

/* The file that is taken in place of this one: the search ends with the first of a name. NULL: this one is. */
static const char *shadow_of(const struct listing *l, const char *file, const char *kind)
{
	const char *base = strrchr(file, '/');

	for (size_t i = 0; base && i < l->len; i++)
		if (streq(l->v[i].kind, kind) && streq(strrchr(l->v[i].path, '/'), base))
			return l->v[i].path;
	return NULL;
}

static int list_candidate(void *ctx, const char *file, const char *stem, size_t len, const struct kind *sub)
{
	struct listing *l = ctx;
	OWN_ERR struct err why = ERR_INIT;
	const char *shadow = sub ? shadow_of(l, file, sub->name) : NULL;
	struct driver_info *i;
	struct module *m;

	for (size_t j = 0; j < l->len; j++) /* a folder may stand below another on the path */
		if (streq(l->v[j].path, file))
			return 0;
	m = l->open_all && !shadow ? module_open(file, &why) : module_by_file(file);
	if (!shadow && m && m->kind)
		shadow = shadow_of(l, file, m->kind->name);
	if (shadow)
		err_set(&why, ERR_INVALID, "not used: %s comes before it", shadow);
	else if (m && m->refused)
		err_set(&why, ERR_INVALID, "%s", m->refused);
	/* Of one that was not asked for yet, its file alone tells something. */
	if (!m && !l->open_all && !shadow)
		driver_file_check(file, &why);
	if (m && m->kind && sub && m->kind != sub)
		err_set(&why, ERR_INVALID, "driver %s is refused: it is a %s driver in the folder of %s drivers", file, m->kind->name, sub->name);
	l->v = xrealloc(l->v, (l->len + 1) * sizeof(*l->v));
	i = &l->v[l->len++];
	*i = (struct driver_info){ .path = xstrdup(file), .loaded = m && !m->refused && !shadow, .shadowed = shadow != NULL };
	if (m && m->driver.desc) {
		i->name = xstrdup(m->driver.desc->name);
		i->version = xstrdup(m->driver.desc->version ? m->driver.desc->version : "");
		i->abi = xasprintf("%u.%u", m->driver.desc->abi_major, m->driver.desc->abi_minor);
	}
	if (!i->name)
		i->name = xstrndup(stem, len);
	i->kind = xstrdup(m && m->kind ? m->kind->name : sub ? sub->name : "");
	i->state = xstrdup(why.msg ? why.msg : "usable");
	return 0;
}

/* What probe() says of this machine; without the lock. */
static void probe(struct driver_info *i)
{
	OWN_ERR struct err why = ERR_INIT;
	struct driver_call c;
	const struct module *m;
	probe_fn *fn = NULL;

	{
		WITH_LOCK(&lock);
		m = module_by_file(i->path);
	}
	if (!m || m->refused || !streq(i->state, "usable"))
		return;
	memcpy(&fn, m->driver.ops, sizeof(fn));
	if (!fn)
		return;
	driver_call_begin(&c, &m->driver);
	int32_t rc = fn(&c.abi, driver_host(&m->driver), NULL);

	if (driver_call_end(&c, rc == DKD_PROBE_MINE ? 0 : -1, &why) < 0)
		str_set(&i->state, err_text(&why));
}

size_t driver_list(bool open_all, struct driver_info **ret)
{
	struct listing l = { .open_all = open_all };

	{
		WITH_LOCK(&lock);
		scan(NULL, list_candidate, &l);
	}
	for (size_t i = 0; open_all && i < l.len; i++)
		probe(&l.v[i]);
	*ret = l.v;
	return l.len;
}

void driver_list_free(struct driver_info *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].name);
		free(v[i].kind);
		free(v[i].version);
		free(v[i].abi);
		free(v[i].path);
		free(v[i].state);
	}
	free(v);
}
