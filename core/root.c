/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "root.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/damage.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "base/str.h"

#define KEYS_WANTED 1000000
#define KEY_BYTES   25       /* bytes a key may take, as the kernel's own default has it */
#define HOLDER_MAX  64
#define LOCK_WAIT_MS 1000
#define LOCK_LOOK_MS 10

static pid_t read_pid(int fd);
static int open_locked(const char *path, pid_t *ret_pid, struct err *err);

int root_check_user(struct err *err)
{
	if (geteuid() == 0)
		return 0;
	return err_set(err, ERR_FORBIDDEN, "dockerd needs to be started with root privileges. To run dockerd in "
		"rootless mode as an "
		"unprivileged user, see https://docs.docker.com/go/rootless/");
}

int root_check_cgroups(const char *mountinfo, const char *unified_dir, struct err *err)
{
	OWN_FILE FILE *f = fopen(mountinfo, "re");
	OWN_FREE char *line = NULL;
	OWN_FREE char *unified = xasprintf("%s/cgroup.controllers", unified_dir);
	size_t room = 0;

	/* The unified hierarchy controls devices by BPF programs: no controller of that name. */
	if (fs_exists(unified))
		return 0;
	while (f && getline(&line, &room, f) > 0) {
		char *sep = strstr(line, " - cgroup "), *opts = sep ? strrchr(sep, ' ') : NULL, *save = NULL;

		for (char *o = opts ? strtok_r(opts + 1, ",\n", &save) : NULL; o; o = strtok_r(NULL, ",\n", &save))
			if (streq(o, "devices"))
				return 0;
	}
	return err_set(err, ERR_INTERNAL, "Devices cgroup isn't mounted");
}

char *root_make_data(const char *path, uid_t uid, gid_t gid, struct err *err)
{
	char *real;

	if (fs_mkdirs(path, 0711, err) < 0) {
		err_wrap(err, "cannot make the data-root");
		return NULL;
	}
	real = realpath(path, NULL);
	if (!real) {
		err_errno(err, errno, "unable to get the full path to root (%s)", path);
		return NULL;
	}
	/* 0710: containers of a remapped root reach their files through the group, nobody else comes in. */
	if ((chmod(real, 0710) < 0 || chown(real, uid, gid) < 0) && errno != EROFS) {
		err_errno(err, errno, "cannot set owner and mode of the data-root %s", real);
		free(real);
		return NULL;
	}
	return real;
}

char *root_make_exec(const char *path, struct err *err)
{
	char *real = NULL;

	if (fs_mkdirs(path, 0700, err) < 0) {
		err_wrap(err, "cannot make the exec-root");
		return NULL;
	}
	real = realpath(path, NULL);
	if (!real || chmod(real, 0700) < 0) {
		err_errno(err, errno, "cannot use the exec-root %s", path);
		free(real);
		return NULL;
	}
	return real;
}

/* What is no file makes room. Where none can be made, on a read-only or full disk, the folder itself is locked. */
static int open_lock(const char *data_root, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	struct stat st;

	if ((fd < 0 && (errno == EISDIR || errno == ELOOP || errno == ENXIO)) || (fd >= 0 && fstat(fd, &st) == 0 && !S_ISREG(st.st_mode))) {
		fd_close(&fd);
		if (fs_set_aside(AT_FDCWD, path, NULL) == 0)
			fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	}
	if (fd < 0 && errno == EROFS)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && (errno == ENOENT || errno == EROFS || errno == ENOSPC || errno == EDQUOT))
		fd = open(data_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

/*
 * A daemon that was killed may be on its way out for some time yet when its service manager starts it again at once: true
 * while it is worth looking again.
 */
static bool look_again(int *ms)
{
	const struct timespec pause = { 0, LOCK_LOOK_MS * 1000000 };

	if ((*ms += LOCK_LOOK_MS) > LOCK_WAIT_MS)
		return false;
	nanosleep(&pause, NULL);
	return true;
}

int root_lock(const char *data_root, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/.dockerd.lock", data_root);
	OWN_FD int fd = open_lock(data_root, path);
	char text[HOLDER_MAX];
	int len, ms = 0;

	if (fd < 0)
		return err_errno(err, errno, "cannot open %s", path);
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return err_errno(err, errno, "cannot lock %s", path);
		if (look_again(&ms))
			continue;
		return err_set(err, ERR_CONFLICT, "the data-root %s is in use by another daemon (process %d)",
			data_root, (int)read_pid(fd));
	}
	/* For people, and for the text above: the lock alone decides. A full disk is no reason not to start. */
	len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)len, 0) < 0)
		log_debug("cannot write the holder's pid to %s: %s", path, strerror(errno));
	return STEAL_FD(fd);
}

int root_lock_docker(const char *data_root, int *ret_fd, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/volumes/metadata.db", data_root);
	OWN_FD int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int ms = 0;

	*ret_fd = -1;
	if (fd < 0)
		return 0;
	/* the database of volumes is what it keeps locked as long as it runs */
	while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK)
			return 0;
		if (look_again(&ms))
			continue;
		return err_set(err, ERR_CONFLICT, "the data-root %s is in use by another engine (it holds %s)", data_root, path);
	}
	*ret_fd = STEAL_FD(fd);
	return 0;
}

int root_check_stores(const char *data_root, struct err *err)
{
	static const struct { const char *dir, *what; } others[] = {
		{ "graph", "images of Docker before 1.10 (the folder graph); migrate them with an engine of 1.10 to "
			"20.10 first" },
		{ "containerd/daemon/io.containerd.metadata.v1.bolt",
			"an embedded containerd image store; only graph-driver roots can be opened" },
		{ "rootfs/overlayfs", "containers of a containerd image store; only graph-driver roots can be opened" },
	};

	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		OWN_FREE char *path = xasprintf("%s/%s", data_root, others[i].dir);

		if (!fs_exists(path))
			continue;
		/* Every graph-driver engine with a containerd of its own leaves that folder too: then image/ is the store. */
		if (i > 0) {
			OWN_FREE char *image = xasprintf("%s/image", data_root);

			if (fs_exists(image))
				continue;
		}
		return err_set(err, ERR_INVALID, "the data-root %s holds %s", data_root, others[i].what);
	}
	return 0;
}

/* ---- pid file ---- */

static pid_t read_pid(int fd)
{
	char text[HOLDER_MAX];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return (pid_t)strtol(text, NULL, 10);
}

static int64_t boot_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* When a process started, in wall-clock seconds; -1 when it is gone or dead. Its name must be dockerd. */
static int64_t dockerd_started(pid_t pid)
{
	OWN_FREE char *path = xasprintf("/proc/%d/stat", (int)pid);
	OWN_FILE FILE *f = fopen(path, "re");
	char line[1024], *p, *save = NULL, *field;
	int64_t ticks = -1;

	if (!f || !fgets(line, sizeof(line), f) || !strstr(line, "(dockerd") || !(p = strrchr(line, ')')))
		return -1;
	field = strtok_r(p + 1, " ", &save);
	if (!field || *field == 'Z' || *field == 'X')
		return -1;
	for (int n = 3; field && n < 22; n++)
		field = strtok_r(NULL, " ", &save);
	if (!field || !str_to_i64(field, &ticks))
		return -1;
	return (clock_now() - boot_now()) / NSEC_PER_SEC + ticks / sysconf(_SC_CLK_TCK);
}

/*
 * For the pid file of a daemon that takes no lock (the other engine): is that process alive, a dockerd, and not younger than
 * the file? A zombie, or a number that another program got meanwhile, does not count.
 */
static bool pid_is_dockerd(pid_t pid, int fd)
{
	struct stat file;
	int64_t started;

	if (pid <= 1 || pid == getpid() || fstat(fd, &file) < 0)
		return false;
	started = dockerd_started(pid);
	return started >= 0 && started <= file.st_mtime + 2;
}

/* Opens and locks; a file that its last holder removed between the two is opened anew. */
static int open_locked(const char *path, pid_t *ret_pid, struct err *err)
{
	int ms = 0;

	for (;;) {
		OWN_FD int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
		struct stat held, there;

		if (fd < 0)
			return err_errno(err, errno, "cannot open the pid file %s", path);
		*ret_pid = read_pid(fd);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0 || pid_is_dockerd(*ret_pid, fd)) {
			if (look_again(&ms))
				continue;
			return err_set(err, ERR_CONFLICT, "process with PID %d is still running", (int)*ret_pid);
		}
		if (fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_ino == there.st_ino &&
			held.st_dev == there.st_dev)
			return STEAL_FD(fd);
	}
}

int pidfile_take(struct pidfile *p, const char *path, struct err *err)
{
	OWN_FREE char *dir = xstrdup(path);
	OWN_FD int fd = -1;
	char *slash = strrchr(dir, '/'), text[HOLDER_MAX];
	pid_t pid;
	int len;

	p->fd = -1;
	p->path = NULL;
	if (!*path)
		return 0;
	if (slash && slash > dir) {
		*slash = '\0';
		if (fs_mkdirs(dir, 0755, err) < 0)
			return -1;
	}
	fd = open_locked(path, &pid, err);
	if (fd < 0)
		return -1;
	len = snprintf(text, sizeof(text), "%d", (int)getpid());
	if (ftruncate(fd, 0) < 0 || fchmod(fd, 0644) < 0)
		return err_errno(err, errno, "cannot write the pid file %s", path);
	if (pwrite(fd, text, (size_t)len, 0) < 0)
		log_warn("cannot write the pid file %s: %s", path, strerror(errno));
	p->fd = STEAL_FD(fd);
	p->path = xstrdup(path);
	return 0;
}

void pidfile_drop(struct pidfile *p)
{
	if (p->path)
		unlink(p->path);
	fd_close(&p->fd);
	free(p->path);
	p->path = NULL;
}

/* ---- small things of the start ---- */

static char *legacy_key_id(const char *data_root)
{
	OWN_FREE char *path = xasprintf("%s/key.json", data_root);
	OWN_BUF struct buf b = { 0 };
	OWN_JSON json_t *js = NULL;
	const char *kid;

	if (fs_read(AT_FDCWD, path, 64 * 1024, &b, NULL) < 0 || !b.data)
		return NULL;
	js = json_read(b.data, b.size, NULL);
	kid = json_string_value(json_object_get(js, "kid"));
	return str_empty(kid) || strlen(kid) > 128 ? NULL : xstrdup(kid);
}

char *root_engine_id(const char *data_root, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/engine-id", data_root);
	OWN_FREE char *id = NULL;
	OWN_BUF struct buf b = { 0 };

	if (fs_read(AT_FDCWD, path, 128, &b, NULL) == 0 && b.size) {
		b.data[strcspn(b.data, "\r\n")] = '\0';
		if (*b.data && str_is_utf8(b.data, strlen(b.data)))
			return buf_steal(&b);
	}
	id = legacy_key_id(data_root);
	if (!id) {
		id = xmalloc(37);
		id_uuid(id);
	}
	if (fs_exists(path)) {
		damage_note("daemon", id, DAMAGE_REPAIRED, "the engine's id was damaged (%s): it is %s now", path, id);
		fs_set_aside(AT_FDCWD, path, NULL);
	}
	/* With no room left the id lives as long as the daemon: a full disk must not keep it from starting. */
	if (fs_write_atomic(AT_FDCWD, path, id, strlen(id), 0600, FS_SYNC, err) < 0) {
		if (err->class != ERR_NO_SPACE && err->sys != EROFS)
			return NULL;
		log_warn("the engine's id is not kept: %s", err_text(err));
		err_done(err);
	}
	return STEAL(id);
}

int root_tmpdir(const char *data_root, struct err *err)
{
	const char *given = getenv("DOCKER_TMPDIR");
	OWN_FREE char *dir = !str_empty(given) ? xstrdup(given) : xasprintf("%s/tmp", data_root);
	OWN_FD int rootfd = -1;

	if (str_empty(given)) {
		rootfd = open(data_root, O_DIRECTORY | O_PATH | O_CLOEXEC);
		if (rootfd >= 0 && fs_remove_tree(rootfd, "tmp", err) < 0) {
			log_warn("cannot empty %s: %s", dir, err_text(err));
			err_done(err);
		}
	}
	if (fs_mkdirs(dir, 0700, err) < 0) {
		if (err->class != ERR_NO_SPACE && err->sys != EROFS)
			return err_wrap(err, "cannot make the folder for temporary files");
		log_warn("no folder for temporary files: %s", err_text(err));
		err_done(err);
	}
	setenv("TMPDIR", dir, 1);
	return 0;
}

void root_look(const char *data_root)
{
	struct statvfs st;

	if (statvfs(data_root, &st) < 0)
		return;
	if (st.f_flag & ST_RDONLY)
		log_warn("the data-root %s is read-only: what is there can be looked at, and nothing changed", data_root);
	else if (!st.f_bavail)
		log_warn("the data-root %s is full: what frees space works, and what only reads", data_root);
}

static void raise_limit(const char *path, int64_t want)
{
	OWN_FD int fd = open(path, O_RDWR | O_CLOEXEC);
	char text[HOLDER_MAX];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	int len;

	if (n <= 0)
		return;
	text[n] = '\0';
	if (strtoll(text, NULL, 10) >= want)
		return;
	len = snprintf(text, sizeof(text), "%lld", (long long)want);
	if (pwrite(fd, text, (size_t)len, 0) < 0)
		log_debug("cannot raise %s: %s", path, strerror(errno));
}

void root_raise_keys(void)
{
	raise_limit("/proc/sys/kernel/keys/root_maxkeys", KEYS_WANTED);
	raise_limit("/proc/sys/kernel/keys/root_maxbytes", (int64_t)KEYS_WANTED * KEY_BYTES);
}
