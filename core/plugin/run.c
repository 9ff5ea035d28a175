/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes of plugins: an OCI runtime waits for each, and ends when it does. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/rootless.h"
#include "plugin/managed_i.h"

#define LOOK_AGAIN_MS 50
#define END_MS 10000
#define GROUPS "/sys/fs/cgroup"
#define GROUP_TRIES 3
#define SHORT_ID 12 /* of folders of sockets, whose paths are limited */

char *managed_home(const struct managed_store *s, const struct managed *m)
{
	return xasprintf("%s/plugins/%s", s->data_root, m->id);
}

char *managed_sockets(const struct managed_store *s, const struct managed *m)
{
	return xasprintf("%s/plugins/%.*s", s->exec_root, SHORT_ID, m->id);
}

char *managed_names(const struct managed_store *s)
{
	return xasprintf("%s/plugin-names", s->exec_root);
}

char *managed_socket(const struct managed_store *s, const struct managed *m, const json_t *config)
{
	OWN_FREE char *dir = managed_sockets(s, m);
	const char *name = json_string_value(json_object_get(json_object_get(config, "Interface"), "Socket"));

	return xasprintf("%s/%s", dir, name ? name : "");
}

static char *bundle_of(const struct managed_store *s, const struct managed *m)
{
	return xasprintf("%s/plugin-bundles/%s", s->exec_root, m->id);
}

/* The file by which drivers find it: "/" is "%2F" there. */
static char *name_file(const struct managed_store *s, const struct managed *m)
{
	OWN_FREE char *dir = managed_names(s);
	OWN_BUF struct buf b = { 0 };

	buf_addf(&b, "%s/", dir);
	for (const char *c = m->name; *c; c++)
		*c == '/' ? buf_adds(&b, "%2F") : buf_addc(&b, *c);
	buf_adds(&b, ".json");
	return buf_steal(&b);
}

static int write_name(const struct managed_store *s, const struct managed *m, const json_t *config, const char *socket, struct err *err)
{
	OWN_FREE char *file = name_file(s, m), *home = managed_home(s, m);
	const char *shared = json_string_value(json_object_get(config, "PropagatedMount"));
	OWN_BUF struct buf b = { 0 };
	const json_t *type;
	struct jw w;
	size_t i;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "Name", m->name);
	jw_karr(&w, "Types");
	json_array_foreach(json_object_get(json_object_get(config, "Interface"), "Types"), i, type)
		if (json_is_string(type))
			jw_str(&w, json_string_value(type));
	jw_arr_end(&w);
	jw_key(&w, "Addr");
	{
		OWN_FREE char *address = xasprintf("unix://%s", socket), *root = xasprintf("%s/rootfs", home), *at = xasprintf("%s/propagated-mount", home);

		jw_str(&w, address);
		jw_kstr(&w, "Root", root);
		if (!str_empty(shared)) {
			jw_kstr(&w, "Shared", shared);
			jw_kstr(&w, "SharedAt", at);
		}
	}
	jw_obj_end(&w);
	return fs_write_atomic(AT_FDCWD, file, b.data, b.size, 0600, FS_RENAME_ONLY, err);
}

static int run_runtime(const struct managed_store *s, const char *verb, const char *word, const char *id)
{
	OWN_FREE char *state = xasprintf("%s/plugin-runtime", s->exec_root);
	char *const argv[] = { s->runtime, (char *)(uintptr_t)"--root", state, (char *)(uintptr_t)verb, (char *)(uintptr_t)word, (char *)(uintptr_t)id, NULL };
	OWN_BUF struct buf out = { 0 };
	int status = -1;

	return spawner_run(s->spawner, argv, NULL, -1, END_MS, NULL, &status, &out, NULL) < 0 ? -1 : status;
}

static bool ended(int pidfd, int ms)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

/* Also what a daemon that was killed left, which may be one on the other. */
static void unshare_path(const char *path)
{
	while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		;
}

/* What both sides see of each other's mounts. */
static int share(const char *path, struct err *err)
{
	unshare_path(path);
	if (fs_mkdirs(path, 0755, err) < 0)
		return -1;
	if (mount(path, path, "", MS_BIND, NULL) < 0 || mount("", path, "", MS_SHARED, NULL) < 0)
		return err_errno(err, errno, "share %s", path);
	return 0;
}

static int prepare(const struct managed_store *s, struct managed *m, const json_t *config, struct err *err)
{
	OWN_FREE char *bundle = bundle_of(s, m), *sockets = managed_sockets(s, m), *home = managed_home(s, m), *names = managed_names(s);
	OWN_FREE char *file = xasprintf("%s/config.json", bundle), *shared = xasprintf("%s/propagated-mount", home), *spec = NULL;

	if (fs_mkdirs(bundle, 0700, err) < 0 || fs_mkdirs(sockets, 0700, err) < 0 || fs_mkdirs(names, 0700, err) < 0)
		return -1;
	if (!m->shared && !str_empty(json_string_value(json_object_get(config, "PropagatedMount")))) {
		if (share(shared, err) < 0)
			return -1;
		m->shared = true;
	}
	spec = managed_spec(s, m, config, err);
	return spec ? fs_write_atomic(AT_FDCWD, file, spec, strlen(spec), 0600, FS_RENAME_ONLY, err) : -1;
}

/* Why it ended, as the runtime says. */
static int tell_end(const struct managed_store *s, const struct managed *m, struct err *err)
{
	OWN_FREE char *bundle = bundle_of(s, m), *log = xasprintf("%s/log", bundle);
	OWN_BUF struct buf text = { 0 };

	fs_read(AT_FDCWD, log, 4096, &text, NULL);
	return err_set(err, ERR_INTERNAL, "plugin %s ended at once%s%.600s", m->name, text.size ? ": " : "", text.size ? text.data : "");
}

/* The socket is there a moment before somebody answers at it. */
static bool listens(const char *path)
{
	OWN_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct stat st;

	if (stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return false;
	if (fd < 0 || strlen(path) >= sizeof(at.sun_path))
		return true; /* nobody can try */
	strcpy(at.sun_path, path);
	return connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0 || (errno != ECONNREFUSED && errno != ENOENT);
}

static int wait_socket(const struct managed_store *s, const struct managed *m, const char *path, int timeout, struct err *err)
{
	int64_t until = clock_mono() + timeout * NSEC_PER_SEC;

	while (!listens(path)) {
		if (ended(m->pidfd, LOOK_AGAIN_MS))
			return tell_end(s, m, err);
		if (m->reviving && (atomic_load(&m->awaited) || atomic_load(&s->closing)))
			return err_set(err, ERR_UNAVAILABLE, "somebody else wants it");
		if (clock_mono() >= until)
			return err_set(err, ERR_UNAVAILABLE, "plugin %s: its socket did not come within %d s", m->name, timeout);
	}
	return 0;
}

static void take_group(struct managed_store *s, struct managed *m)
{
	WITH_LOCK(&s->lock);

	s->grouped += !m->grouped;
	m->grouped = true;
}

/* The last one takes away what the groups were in. Not when another daemon's are there, too; who begins waits for the lock. */
static void drop_group(struct managed_store *s, struct managed *m)
{
	OWN_DIR DIR *d = NULL;
	struct dirent *e;

	WITH_LOCK(&s->lock);
	s->grouped -= m->grouped;
	m->grouped = false;
	if (s->grouped || rootless_state())
		return;
	rmdir(GROUPS "/" MANAGED_GROUP);
	d = fs_exists(GROUPS "/cgroup.controllers") ? NULL : opendir(GROUPS);
	while (d && (e = readdir(d))) { /* of version 1: a hierarchy each */
		OWN_FREE char *group = xasprintf(GROUPS "/%s/" MANAGED_GROUP, e->d_name);

		if (e->d_type == DT_DIR && *e->d_name != '.')
			rmdir(group);
	}
}

/* Another daemon's last plugin ended while the runtime made the group. */
static bool lost_group(const struct managed_store *s, const struct managed *m)
{
	OWN_FREE char *bundle = bundle_of(s, m), *log = xasprintf("%s/log", bundle);
	OWN_BUF struct buf text = { 0 };

	return fs_read(AT_FDCWD, log, 4096, &text, NULL) == 0 && text.data && strstr(text.data, "/" MANAGED_GROUP "/") &&
		strcasestr(text.data, strerror(ENOENT));
}

static int run(struct managed_store *s, struct managed *m, const char *socket, int timeout, struct err *err)
{
	OWN_FREE char *bundle = bundle_of(s, m), *state = xasprintf("%s/plugin-runtime", s->exec_root), *log = xasprintf("%s/log", bundle);
	const char *const words[] = { s->runtime, "--root", state, "--log", log, "run", "--bundle", bundle, m->id, NULL };
	OWN_ERR struct err why = ERR_INIT;

	for (unsigned try = 0; try < GROUP_TRIES; try++) {
		pid_t pid;

		unlink(socket);
		unlink(log);
		err_done(&why);
		if (spawner_spawn(s->spawner, (char *const *)(uintptr_t)words, NULL, NULL, 0, &pid, &m->pidfd, err) < 0)
			return -1;
		if (wait_socket(s, m, socket, timeout, &why) == 0)
			return 0;
		if (!ended(m->pidfd, 0) || !lost_group(s, m))
			break;
		fd_close(&m->pidfd);
		run_runtime(s, "delete", "--force", m->id);
	}
	return err_move(err, &why);
}

int managed_start(struct managed_store *s, struct managed *m, int timeout, struct err *err)
{
	OWN_JSON json_t *config = managed_config(m);
	OWN_FREE char *socket = managed_socket(s, m, config);

	run_runtime(s, "delete", "--force", m->id); /* what a daemon that was killed left */
	take_group(s, m);
	if (managed_config_check(config, err) < 0 || (metrics_wanted(config) && metrics_prepare(s, err) < 0) || prepare(s, m, config, err) < 0 ||
	    run(s, m, socket, timeout, err) < 0 || write_name(s, m, config, socket, err) < 0) {
		managed_stop(s, m);
		return -1;
	}
	if (metrics_wanted(config))
		metrics_start(s, m, socket);
	m->since = clock_mono();
	m->retry_at = 0;
	return 0;
}

static void tell_stop(const struct managed_store *s, const struct managed *m)
{
	OWN_JSON json_t *config = managed_config(m);
	OWN_FREE char *socket = managed_socket(s, m, config);

	if (metrics_wanted(config))
		metrics_stop(m, socket);
}

void managed_stop(struct managed_store *s, struct managed *m)
{
	OWN_FREE char *file = name_file(s, m), *home = managed_home(s, m), *shared = xasprintf("%s/propagated-mount", home);
	OWN_FREE char *bundle = bundle_of(s, m), *sockets = managed_sockets(s, m);

	if (m->pidfd >= 0 && unlink(file) == 0)
		tell_stop(s, m);
	unlink(file);
	if (m->pidfd >= 0) {
		run_runtime(s, "kill", m->id, "TERM");
		if (!ended(m->pidfd, END_MS))
			run_runtime(s, "delete", "--force", m->id);
		if (!ended(m->pidfd, END_MS))
			log_warn("plugin %s does not end", m->name);
		fd_close(&m->pidfd);
	}
	run_runtime(s, "delete", "--force", m->id);
	unshare_path(shared);
	m->shared = false;
	fs_remove_tree(AT_FDCWD, bundle, NULL);
	fs_remove_tree(AT_FDCWD, sockets, NULL);
	drop_group(s, m);
}
