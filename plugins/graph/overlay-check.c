/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "overlay.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "dir.h"

#define CHECK_DIR ".overlay-check-"

/* The map of a process outside every user namespace is "0 0 4294967295". */
static bool in_user_namespace(void)
{
	unsigned inside, outside, count;
	FILE *f = fopen("/proc/self/uid_map", "re");
	bool ret = f && fscanf(f, "%u %u %u", &inside, &outside, &count) == 3 && (inside || outside || count != 4294967295u);

	if (f)
		fclose(f);
	return ret;
}

static bool has_d_type(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	bool ret = false;

	while (d && (e = readdir(d)))
		if (strcmp(e->d_name, "work") == 0)
			ret = e->d_type == DT_DIR;
	if (d)
		closedir(d);
	return ret;
}

/* lower1/dir/, an opaque lower2/dir/, lower1/moves/, lower1/file: what the questions below are asked of. */
static int prepare(int dir, bool userxattr)
{
	static const char *const dirs[] = { "lower1", "lower2", "upper", "work", "merged", "lower1/dir", "lower2/dir", "lower1/moves" };
	int fd;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (mkdirat(dir, dirs[i], 0700) < 0)
			return -1;
	if (dir_write_file(dir, "lower1/file", "x", 0600) < 0)
		return -1;
	fd = openat(dir, "lower2/dir", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	int rc = fsetxattr(fd, userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque", "y", 1, 0), sys = errno;

	close(fd);
	errno = sys;
	return rc;
}

static bool has_xattr(int dir, const char *path, const char *name)
{
	int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	char value[64];
	ssize_t n = fd >= 0 ? fgetxattr(fd, name, value, sizeof(value)) : -1;

	if (fd >= 0)
		close(fd);
	return n >= 0;
}

static void ask(int dir, struct overlay_facts *f)
{
	bool opaque_copied, moved;

	f->metacopy = fchmodat(dir, "merged/file", 0640, 0) == 0 &&
		has_xattr(dir, "upper/file", f->userxattr ? "user.overlay.metacopy" : "trusted.overlay.metacopy");
	dir_write_file(dir, "merged/dir/new", "", 0600);
	opaque_copied = has_xattr(dir, "upper/dir", f->userxattr ? "user.overlay.opaque" : "trusted.overlay.opaque");
	moved = renameat(dir, "merged/moves", dir, "merged/moved") == 0; /* EXDEV without redirects */
	f->native_diff = !f->userxattr && !f->metacopy && !opaque_copied && !moved;
}

void overlay_check_sweep(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	char merged[PATH_MAX];

	while (dir && (e = readdir(dir))) {
		if (strncmp(e->d_name, CHECK_DIR, strlen(CHECK_DIR)) != 0)
			continue;
		if (snprintf(merged, sizeof(merged), "%s/%s/merged", path, e->d_name) < (int)sizeof(merged))
			umount2(merged, MNT_DETACH | UMOUNT_NOFOLLOW);
		dir_remove(dirfd(dir), e->d_name);
	}
	if (dir)
		closedir(dir);
}

static bool parameter_on(const char *name)
{
	char path[64], text[8];

	snprintf(path, sizeof(path), "/sys/module/overlay/parameters/%s", name);
	return dir_read_file(AT_FDCWD, path, text, sizeof(text)) > 0 && (*text == 'Y' || *text == '1');
}

/* Where nothing can be tried out: what the kernel's parameters and the folder itself tell. */
static void guess(const char *path, struct overlay_facts *ret)
{
	DIR *dir = opendir(path);
	struct dirent *e = dir ? readdir(dir) : NULL;

	ret->guessed = true;
	ret->d_type = e && e->d_type != DT_UNKNOWN;
	ret->metacopy = !ret->userxattr && parameter_on("metacopy");
	ret->native_diff = !ret->userxattr && !ret->metacopy && !parameter_on("redirect_dir");
	if (dir)
		closedir(dir);
}

static int try_out(const char *path, struct overlay_facts *ret, const char **ret_what)
{
	char root[PATH_MAX];
	const char *lower[] = { "lower2", "lower1" };
	struct overlay_mount m = {
		.root = root, .lower = lower, .lower_len = 2, .upper = "upper", .work = "work", .target = "merged",
	};
	int dir = -1, rc = -1, sys;

	*ret = (struct overlay_facts){
		.index_off = access("/sys/module/overlay/parameters/index", F_OK) == 0, .userxattr = in_user_namespace(),
	};
	m.index_off = ret->index_off;
	m.userxattr = ret->userxattr;
	*ret_what = "make a folder to try it in";
	if (snprintf(root, sizeof(root), "%s/" CHECK_DIR "XXXXXX", path) >= (int)sizeof(root))
		return errno = ENAMETOOLONG, -1;
	if (!mkdtemp(root))
		return -1;
	dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0 && prepare(dir, ret->userxattr) == 0) {
		ret->d_type = has_d_type(dir);
		*ret_what = "mount an overlay";
		rc = overlay_mount(&m);
		if (rc == 0) {
			ask(dir, ret);
			strcat(root, "/merged");
			umount2(root, MNT_DETACH);
			*strrchr(root, '/') = '\0';
		}
	}
	sys = errno;
	if (dir >= 0)
		close(dir);
	dir_remove(AT_FDCWD, root);
	errno = sys;
	return rc;
}

/* A trial mount costs tens of milliseconds (its end syncs the file system), and probe and open ask of the same one. */
int overlay_check(const char *path, struct overlay_facts *ret, const char **ret_what)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	static struct overlay_facts facts;
	static dev_t dev;
	static bool known;
	struct stat st;
	bool same;

	if (stat(path, &st) < 0)
		return *ret_what = "look at the folder", -1;
	pthread_mutex_lock(&mutex);
	same = known && dev == st.st_dev;
	if (same)
		*ret = facts;
	pthread_mutex_unlock(&mutex);
	if (same)
		return 0;
	if (try_out(path, ret, ret_what) < 0) {
		if (errno != ENOSPC && errno != EDQUOT && errno != EROFS)
			return -1;
		guess(path, ret); /* a full or read-only disk must not keep the daemon from its data */
		return 0;
	}
	pthread_mutex_lock(&mutex);
	facts = *ret;
	dev = st.st_dev;
	known = true;
	pthread_mutex_unlock(&mutex);
	return 0;
}
