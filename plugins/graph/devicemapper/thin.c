/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "thin.h"

#include <errno.h>
#include <fcntl.h>
#include <libdevmapper.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define DIR_MAPPER "/dev/mapper"
#define CONTROL DIR_MAPPER "/control"
#define UDEV_WAIT_MS 20000
#define MISC_MAJOR 10

static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER; /* guards libdevmapper and the three below */
static const struct dkd_host *log_host;
static int log_level = THIN_LOG_FATAL;
static bool control_closes; /* the library's descriptor is close-on-exec */

/* The library */

__attribute__((format(printf, 5, 6)))
static void hear(int level, const char *file, int line, int sys, const char *fmt, ...)
{
	static const uint32_t levels[] = { DKD_LOG_ERROR, DKD_LOG_ERROR, DKD_LOG_ERROR, DKD_LOG_ERROR, DKD_LOG_WARN, DKD_LOG_INFO };
	char text[512];
	va_list ap;

	level &= 7; /* the others say where the library would have printed it */
	if (!log_host || level > log_level)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dkd_logf(log_host, level < 6 ? levels[level] : DKD_LOG_DEBUG, "libdevmapper(%d): %s:%d (%d) %s", level, file, line, sys, text);
}

void thin_log(const struct dkd_host *host, int level)
{
	pthread_mutex_lock(&library);
	log_host = host;
	log_level = level;
	dm_log_with_errno_init(hear);
	pthread_mutex_unlock(&library);
}

/* The library opens the control node once, and leaves it to be inherited. */
static void close_control_on_exec(void)
{
	char link[64], target[32];

	if (control_closes)
		return;
	for (int fd = 3; fd < 1024; fd++) {
		ssize_t n;

		snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
		n = readlink(link, target, sizeof(target));
		if (n == (ssize_t)strlen(CONTROL) && memcmp(target, CONTROL, (size_t)n) == 0) {
			fcntl(fd, F_SETFD, FD_CLOEXEC);
			control_closes = true;
		}
	}
}

/* Under the lock. */
static int run(struct dm_task *t)
{
	int sys;

	if (!t)
		return errno = ENOMEM, -1;
	if (!dm_task_run(t)) {
		sys = dm_task_get_errno(t);
		dm_task_update_nodes();
		return errno = sys ? sys : EIO, -1;
	}
	close_control_on_exec();
	return 0;
}

static struct dm_task *task(int type, const char *name)
{
	struct dm_task *t = dm_task_create(type);

	if (t && name && !dm_task_set_name(t, name)) {
		dm_task_destroy(t);
		t = NULL;
	}
	return t;
}

static void destroy(struct dm_task *t)
{
	int sys = errno;

	if (t)
		dm_task_destroy(t);
	errno = sys;
}

/* A task that needs nothing but its name. */
static int simple(int type, const char *name)
{
	struct dm_task *t;
	int rc;

	pthread_mutex_lock(&library);
	t = task(type, name);
	rc = run(t);
	destroy(t);
	pthread_mutex_unlock(&library);
	return rc;
}

static void sleep_ms(long ms)
{
	nanosleep(&(struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 }, NULL);
}

/* Until udev has done its part; its nodes may be late, and are made here then. No cookie: there is no udev to wait for. */
static void await_udev(uint32_t cookie)
{
	int ready = 0;

	if (!cookie) {
		pthread_mutex_lock(&library);
		dm_task_update_nodes();
		pthread_mutex_unlock(&library);
		return;
	}
	for (int waited = 0; waited < UDEV_WAIT_MS; waited++) {
		pthread_mutex_lock(&library);
		if (!dm_udev_wait_immediate(cookie, &ready))
			ready = 1;
		pthread_mutex_unlock(&library);
		if (ready)
			return;
		sleep_ms(1);
	}
	pthread_mutex_lock(&library);
	dm_udev_complete(cookie);
	pthread_mutex_unlock(&library);
}

/*
 * A task that makes the kernel tell udev something. Probing rules are switched off: they would open the device, and it is nobody's
 * else. The library's own nodes are, too, as it changes the umask of the process to make them.
 */
static int run_heard(struct dm_task *t)
{
	uint32_t cookie = 0;
	int rc, sys;

	pthread_mutex_lock(&library);
	if (t && !dm_task_set_cookie(t, &cookie, DM_UDEV_DISABLE_SUBSYSTEM_RULES_FLAG | DM_UDEV_DISABLE_DISK_RULES_FLAG | DM_UDEV_DISABLE_OTHER_RULES_FLAG)) {
		pthread_mutex_unlock(&library);
		return errno = EIO, -1;
	}
	rc = run(t);
	sys = errno;
	pthread_mutex_unlock(&library);
	await_udev(cookie);
	errno = sys;
	return rc;
}

/* What is there */

static int control_minor(void)
{
	FILE *f = fopen("/proc/misc", "re");
	char name[64];
	int n, ret = -1;

	while (f && ret < 0 && fscanf(f, "%d %63s", &n, name) == 2)
		if (strcmp(name, "device-mapper") == 0)
			ret = n;
	if (f)
		fclose(f);
	return ret;
}

/* The node, which udev or devtmpfs made, or nobody. Opening it loads the module where the host can. */
static int open_control(void)
{
	int fd = open(CONTROL, O_RDWR | O_CLOEXEC), minor_nr;

	if (fd >= 0 || errno != ENOENT)
		return fd;
	minor_nr = control_minor();
	if (minor_nr < 0)
		return errno = ENODEV, -1;
	if (mkdir(DIR_MAPPER, 0755) < 0 && errno != EEXIST)
		return -1;
	if (mknod(CONTROL, S_IFCHR | 0600, makedev(MISC_MAJOR, (unsigned)minor_nr)) < 0 && errno != EEXIST)
		return -1;
	return open(CONTROL, O_RDWR | O_CLOEXEC);
}

/* Asking for a target's version loads its module. Kernels before 5.8 know no such question: they load it with the pool. */
static int has_target(const char *target)
{
	return simple(DM_DEVICE_GET_TARGET_VERSION, target) == 0 || errno == ENOTTY;
}

int thin_here(char *why, size_t size)
{
	int fd = open_control();
	struct stat st;

	if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))) {
		close(fd);
		fd = -1;
		errno = ENODEV;
	}
	if (fd < 0) {
		if (errno == ENODEV || errno == ENXIO || errno == ENOENT)
			snprintf(why, size, "this kernel has no device-mapper, or has not loaded it yet (modprobe dm_mod dm_thin_pool)");
		else
			snprintf(why, size, "the device-mapper cannot be used: open %s: %s", CONTROL, strerror(errno));
		return -1;
	}
	close(fd);
	if (!has_target("thin-pool")) {
		snprintf(why, size, "this kernel's device-mapper has no thin pools, or has not loaded them yet (modprobe dm_thin_pool)");
		return -1;
	}
	return 0;
}

bool thin_defers_removal(void)
{
	unsigned major_nr = 0, minor_nr = 0;
	char version[64] = "";

	pthread_mutex_lock(&library);
	if (!dm_driver_version(version, sizeof(version)))
		version[0] = '\0';
	pthread_mutex_unlock(&library);
	return sscanf(version, "%u.%u", &major_nr, &minor_nr) == 2 && (major_nr > 4 || (major_nr == 4 && minor_nr >= 27));
}

bool thin_udev(void)
{
	bool ret;

	pthread_mutex_lock(&library);
	dm_udev_set_sync_support(1);
	ret = dm_udev_get_sync_support();
	pthread_mutex_unlock(&library);
	return ret;
}

bool thin_udev_unheard(void)
{
	return !thin_udev() && access("/run/udev/control", F_OK) == 0;
}

void thin_library_version(char *ret, size_t size)
{
	pthread_mutex_lock(&library);
	if (!dm_get_library_version(ret, size))
		snprintf(ret, size, "unknown");
	pthread_mutex_unlock(&library);
}

void thin_release(void)
{
	pthread_mutex_lock(&library);
	dm_lib_release();
	control_closes = false;
	pthread_mutex_unlock(&library);
}

/* Devices */

int thin_info(const char *name, struct thin_info *ret)
{
	struct dm_info info = { 0 };
	struct dm_task *t;
	int rc;

	pthread_mutex_lock(&library);
	t = task(DM_DEVICE_INFO, name);
	rc = run(t);
	if (rc == 0 && !dm_task_get_info(t, &info))
		rc = -1, errno = EIO;
	destroy(t);
	pthread_mutex_unlock(&library);
	*ret = (struct thin_info){ .exists = info.exists, .suspended = info.suspended, .deferred_remove = info.deferred_remove,
		.open_count = info.open_count, .dev = makedev(info.major, info.minor) };
	return rc;
}

int thin_each(int (*fn)(void *to, const char *name), void *to)
{
	const struct dm_names *n;
	struct dm_task *t;
	char *all = NULL;
	size_t used = 0;
	int rc;

	pthread_mutex_lock(&library);
	t = task(DM_DEVICE_LIST, NULL);
	rc = run(t);
	n = rc == 0 ? dm_task_get_names(t) : NULL;
	/* copied, as fn may ask the library */
	for (; n && n->dev; n = n->next ? (const struct dm_names *)(const void *)((const char *)n + n->next) : NULL) {
		size_t len = strlen(n->name) + 1;
		char *more = realloc(all, used + len + 1);

		if (!more) {
			rc = -1, errno = ENOMEM;
			break;
		}
		all = more;
		memcpy(all + used, n->name, len);
		used += len;
		all[used] = '\0';
	}
	destroy(t);
	pthread_mutex_unlock(&library);
	for (const char *p = all; rc == 0 && p && *p; p += strlen(p) + 1)
		if (fn(to, p) != 0)
			break;
	free(all);
	return rc;
}

static void node_path(const char *name, char ret[PATH_MAX])
{
	snprintf(ret, PATH_MAX, DIR_MAPPER "/%s", name);
}

int thin_remove(const char *name, bool deferred)
{
	struct dm_task *t = task(DM_DEVICE_REMOVE, name);
	int rc = t && (!deferred || dm_task_deferred_remove(t)) ? run_heard(t) : (errno = ENOMEM, -1);

	destroy(t);
	return rc;
}

static int message(const char *device, const char *text)
{
	struct dm_task *t;
	int rc = -1;

	pthread_mutex_lock(&library);
	t = task(DM_DEVICE_TARGET_MSG, device);
	errno = ENOMEM;
	if (t && dm_task_set_sector(t, 0) && dm_task_set_message(t, text))
		rc = run(t);
	destroy(t);
	pthread_mutex_unlock(&library);
	return rc;
}

int thin_cancel_removal(const char *name)
{
	return message(name, "@cancel_deferred_remove");
}

int thin_suspend(const char *name)
{
	return simple(DM_DEVICE_SUSPEND, name);
}

int thin_resume(const char *name)
{
	struct dm_task *t = task(DM_DEVICE_RESUME, name);
	int rc = t && dm_task_set_add_node(t, DM_ADD_NODE_ON_CREATE) ? run_heard(t) : (errno = ENOMEM, -1);

	destroy(t);
	return rc;
}

int thin_node(const char *name)
{
	struct thin_info info;
	char path[PATH_MAX];
	struct stat st;

	node_path(name, path);
	if (thin_info(name, &info) < 0)
		return -1;
	if (!info.exists)
		return errno = ENXIO, -1;
	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode) && st.st_rdev == info.dev)
		return 0;
	if (unlink(path) < 0 && errno != ENOENT)
		return -1;
	return mknod(path, S_IFBLK | 0600, info.dev);
}

/* A device with one target, whatever it took to get there undone when it fails. */
static int make(const char *name, const char *target, uint64_t sectors, const char *params)
{
	struct dm_task *t;
	int rc = -1, sys;

	pthread_mutex_lock(&library);
	t = task(DM_DEVICE_CREATE, name);
	rc = run(t);
	destroy(t);
	if (rc == 0) {
		t = task(DM_DEVICE_RELOAD, name);
		errno = ENOMEM;
		rc = t && dm_task_add_target(t, 0, sectors, target, params) ? run(t) : -1;
		destroy(t);
		sys = errno;
		pthread_mutex_unlock(&library);
		errno = sys;
		if (rc == 0)
			rc = thin_resume(name);
		if (rc == 0)
			rc = thin_node(name);
		if (rc < 0) {
			sys = errno;
			thin_remove(name, false);
			errno = sys;
		}
		return rc;
	}
	sys = errno;
	pthread_mutex_unlock(&library);
	return errno = sys, -1;
}

/* Pools */

/* The one target of a device: its words go to params. */
static int target(int type, const char *name, const char *want, uint64_t *ret_sectors, char *params, size_t size)
{
	char *found = NULL, *words = NULL;
	uint64_t start;
	struct dm_task *t;
	int rc;

	pthread_mutex_lock(&library);
	t = task(type, name);
	if (t)
		dm_task_no_flush(t);
	rc = run(t);
	if (rc == 0) {
		dm_get_next_target(t, NULL, &start, ret_sectors, &found, &words);
		if (!found || strcmp(found, want) != 0)
			rc = -1, errno = ENOTBLK;
		else if (snprintf(params, size, "%s", words ? words : "") >= (int)size)
			rc = -1, errno = EOVERFLOW;
	}
	destroy(t);
	pthread_mutex_unlock(&library);
	return rc;
}

int thin_pool_status(const char *pool, struct thin_pool_status *ret)
{
	unsigned long long n[5];
	char words[512];

	*ret = (struct thin_pool_status){ 0 };
	if (target(DM_DEVICE_STATUS, pool, "thin-pool", &ret->sectors, words, sizeof(words)) < 0)
		return -1;
	ret->failed = strncmp(words, "Fail", 4) == 0 || strncmp(words, "Error", 5) == 0;
	if (ret->failed)
		return 0;
	if (sscanf(words, "%llu %llu/%llu %llu/%llu", &n[0], &n[1], &n[2], &n[3], &n[4]) != 5)
		return errno = EPROTO, -1;
	ret->transaction = n[0];
	ret->meta_used = n[1], ret->meta_total = n[2];
	ret->data_used = n[3], ret->data_total = n[4];
	ret->read_only = strstr(words, " ro ") != NULL;
	ret->full = strstr(words, " out_of_data_space ") != NULL;
	return 0;
}

int thin_pool_table(const char *pool, dev_t *ret_meta, dev_t *ret_data, uint32_t *ret_block)
{
	unsigned n[5];
	char words[512];
	uint64_t sectors;

	if (target(DM_DEVICE_TABLE, pool, "thin-pool", &sectors, words, sizeof(words)) < 0)
		return -1;
	if (sscanf(words, "%u:%u %u:%u %u", &n[0], &n[1], &n[2], &n[3], &n[4]) != 5)
		return errno = EPROTO, -1;
	*ret_meta = makedev(n[0], n[1]);
	*ret_data = makedev(n[2], n[3]);
	*ret_block = n[4];
	return 0;
}

/* The low water mark is of no use without somebody who waits for its event; Docker's value. Blocks are not zeroed: file systems do not read what they did not write. */
int thin_pool_create(const char *pool, dev_t meta, dev_t data, uint64_t data_sectors, uint32_t block_sectors)
{
	char words[128];

	snprintf(words, sizeof(words), "%u:%u %u:%u %u 32768 1 skip_block_zeroing", major(meta), minor(meta), major(data), minor(data), block_sectors);
	return make(pool, "thin-pool", data_sectors, words);
}

__attribute__((format(printf, 2, 3)))
static int pool_message(const char *pool, const char *fmt, ...)
{
	char text[96];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return message(pool, text);
}

int thin_new(const char *pool, unsigned id)
{
	return pool_message(pool, "create_thin %u", id);
}

int thin_snapshot(const char *pool, unsigned id, unsigned origin)
{
	return pool_message(pool, "create_snap %u %u", id, origin);
}

int thin_delete(const char *pool, unsigned id)
{
	return pool_message(pool, "delete %u", id);
}

int thin_set_transaction(const char *pool, uint64_t from, uint64_t to)
{
	return pool_message(pool, "set_transaction_id %llu %llu", (unsigned long long)from, (unsigned long long)to);
}

int thin_activate(const char *pool, const char *name, unsigned id, uint64_t bytes)
{
	struct thin_info info;
	char words[64];

	if (thin_info(pool, &info) < 0)
		return -1;
	if (!info.exists)
		return errno = ENXIO, -1;
	snprintf(words, sizeof(words), "%u:%u %u", major(info.dev), minor(info.dev), id);
	return make(name, "thin", bytes / THIN_SECTOR, words);
}
