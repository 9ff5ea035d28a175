/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a mount is bound into a container: recursively or not, read-only and how deep, in which propagation. */
#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/program.h"
#include "container/internal.h"

#define MOUNTINFO_MAX (64u << 20)

/* --- recursively read-only: the kernel's call and the runtime's word for it --- */

static int check_recursive(const struct container *c, struct err *err)
{
	const struct daemon_defaults *d = c->store->deps.defaults;
	const char *name = !str_empty(c->host.runtime) ? c->host.runtime : d->default_runtime;
	const char *path = strmap_get(&d->runtimes, name);
	OWN_PROGRAM struct program said = { 0 };

	if (syscall(SYS_mount_setattr, -1, "", 0, NULL, 0) < 0 && errno == ENOSYS)
		return err_set(err, ERR_INTERNAL, "rro is not supported: function not implemented (kernel is older than 5.12?)");
	if (!path)
		return err_set(err, ERR_INTERNAL, "rro is not supported by runtime \"%s\": OCI features struct is not available", name);
	if (!program_ask(c->store->deps.spawner, path, true, &said) || !said.features)
		return err_set(err, ERR_INTERNAL, "rro is not supported by runtime \"%s\": OCI features struct is not available", name);
	return said.rro ? 0 : err_set(err, ERR_INTERNAL, "rro is not supported by runtime \"%s\"", name);
}

/* The word of a read-only mount: as deep as kernel and runtime can, unless the client wants it otherwise. */
static const char *read_only_word(const struct container *c, const struct bind_options *bo, struct err *err)
{
	OWN_ERR struct err why = ERR_INIT;

	if (bo && bo->read_only_non_recursive && bo->read_only_force_recursive) {
		err_set(err, ERR_INVALID, "mount options conflict: \"ReadOnlyNonRecursive\" && \"ReadOnlyForceRecursive\"");
		return NULL;
	}
	if (bo && bo->read_only_non_recursive)
		return "ro";
	if (check_recursive(c, &why) == 0)
		return "rro";
	if (!bo || !bo->read_only_force_recursive)
		return "ro";
	err_move(err, &why);
	return NULL;
}

/* --- propagation --- */

/* mountinfo writes blanks and the like as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; to++) {
		if (*s == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
			*to = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*to = *s++;
		}
	}
	*to = '\0';
}

static bool lies_below(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return streq(dir, "/") || (strncmp(path, dir, n) == 0 && (!path[n] || path[n] == '/'));
}

/* The mount that path lies in (owned by the caller) and its optional fields as "shared:1 master:2 ". */
static char *mount_around(const char *path, char **ret_fields, struct err *err)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *best = NULL;
	char *line, *rest;

	if (fs_read(AT_FDCWD, "/proc/self/mountinfo", MOUNTINFO_MAX, &b, err) < 0)
		return NULL;
	for (rest = b.data; rest && (line = strsep(&rest, "\n")) && *line;) {
		char *word = NULL;
		OWN_BUF struct buf fields = { 0 };

		for (int i = 0; i < 5; i++)
			word = strsep(&line, " ");
		if (!word || !line)
			continue;
		unescape(word);
		if (!lies_below(path, word) || (best && strlen(word) < strlen(best)))
			continue;
		strsep(&line, " "); /* its options */
		for (char *f; line && (f = strsep(&line, " ")) && !streq(f, "-");)
			buf_addf(&fields, "%s ", f);
		str_set(&best, word);
		str_set(ret_fields, fields.data ? fields.data : "");
	}
	if (!best)
		err_set(err, ERR_INTERNAL, "Could not find source mount of %s", path);
	return STEAL(best);
}

/* Shared: what is mounted below the source on either side is seen on the other. Slave: on the container's. */
static int check_source(const char *source, bool slave, struct err *err)
{
	OWN_FREE char *real = realpath(source, NULL), *fields = NULL, *at = NULL;

	if (!real)
		return err_errno(err, errno, "%s", source);
	at = mount_around(real, &fields, err);
	if (!at)
		return -1;
	if (strstr(fields, "shared:") || (slave && strstr(fields, "master:")))
		return 0;
	return err_set(err, ERR_INTERNAL, "path %s is mounted on %s but it is not a shared%s mount", source, at, slave ? " or slave" : "");
}

static bool around_root(const char *source, const char *root)
{
	return str_has_prefix(source, root) || str_has_prefix(root, source);
}

int mount_settle_propagation(const struct container *c, struct mount_point *m, struct err *err)
{
	const char *root = c->store->deps.data_root, *asked = m->spec.bind ? m->spec.bind->propagation : NULL;

	if (!streq(m->type, "bind") || !root || !around_root(m->source, root))
		return 0;
	if (str_empty(asked))
		str_set(&m->propagation, "rslave"); /* else what the daemon unmounts stays busy in there */
	else if (!streq(asked, "rslave") && !streq(asked, "rshared"))
		return err_set(err, ERR_INVALID,
			"invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within "
			"the daemon root, daemon root: \"%s\", bind mount source: \"%s\", propagation: \"%s\"", root, m->source, asked);
	return 0;
}

int mount_bind_options(const struct container *c, const struct mount_point *m, const char *source, struct mount_list *l, struct err *err)
{
	const struct bind_options *bo = m->spec.bind;
	const char *prop = str_empty(m->propagation) ? "rprivate" : m->propagation, *ro = NULL;
	bool shared = streq(prop, "shared") || streq(prop, "rshared"), slave = streq(prop, "slave") || streq(prop, "rslave");
	struct strv *options = &mount_list_last(l)->options;
	OWN_ERR struct err why = ERR_INIT;

	if ((shared || slave) && check_source(source, slave, &why) < 0) {
		if (shared || !str_empty(bo ? bo->propagation : NULL) || !around_root(source, c->store->deps.data_root))
			return err_move(err, &why);
		prop = "rprivate"; /* nobody asked for it */
	} else if (shared) {
		l->propagation = "shared";
	} else if (slave && !l->propagation) {
		l->propagation = "rslave";
	}
	if (!m->rw && !(ro = read_only_word(c, bo, err)))
		return -1;
	strv_add(options, bo && bo->non_recursive ? "bind" : "rbind");
	if (ro)
		strv_add(options, ro);
	strv_add(options, prop);
	return 0;
}
