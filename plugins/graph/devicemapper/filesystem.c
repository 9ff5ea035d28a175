/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "filesystem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "dir.h"

/* Where the superblocks have what is looked for: ext4's in little endian, XFS' in big. */
#define EXT_SUPER 1024
#define EXT_BLOCKS (EXT_SUPER + 0x04)
#define EXT_LOG_BLOCK (EXT_SUPER + 0x18)
#define EXT_MAGIC (EXT_SUPER + 0x38)
#define EXT_UUID (EXT_SUPER + 0x68)
#define EXT_BLOCKS_HIGH (EXT_SUPER + 0x150)
#define XFS_BLOCK 4
#define XFS_BLOCKS 8
#define XFS_UUID 32

/* Of the kernel's file systems; no header that every host has tells them. */
#define EXT4_RESIZE _IOW('f', 16, uint64_t)
struct xfs_geometry {
	uint32_t blocksize, rtextsize, agblocks, agcount, logblocks, sectsize, inodesize, imaxpct;
	uint64_t datablocks, rtblocks, rtextents, logstart;
	unsigned char uuid[16];
	uint32_t sunit, swidth;
	int32_t version;
	uint32_t flags, logsectsize, rtsectsize, dirblocksize;
};
struct xfs_growth { uint64_t newblocks; uint32_t imaxpct; };
#define XFS_GEOMETRY _IOR('X', 100, struct xfs_geometry)
#define XFS_GROW _IOW('X', 110, struct xfs_growth)

static void write_uuid(const unsigned char *u, char ret[40])
{
	snprintf(ret, 40, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0], u[1], u[2], u[3], u[4], u[5], u[6], u[7],
		u[8], u[9], u[10], u[11], u[12], u[13], u[14], u[15]);
}

static uint64_t little(const unsigned char *p)
{
	return p[0] | (uint64_t)p[1] << 8 | (uint64_t)p[2] << 16 | (uint64_t)p[3] << 24;
}

static uint64_t big(const unsigned char *p)
{
	return (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
}

int filesystem_probe(const char *device, struct filesystem *ret)
{
	int fd = open(device, O_RDONLY | O_CLOEXEC), sys;
	unsigned char head[4096];
	ssize_t n = fd >= 0 ? pread(fd, head, sizeof(head), 0) : -1;

	sys = errno;
	if (fd >= 0)
		close(fd);
	errno = sys;
	if (n < (ssize_t)sizeof(head))
		return errno = n < 0 ? errno : EMEDIUMTYPE, -1;
	if (head[EXT_MAGIC] == 0x53 && head[EXT_MAGIC + 1] == 0xef) {
		strcpy(ret->type, "ext4");
		write_uuid(head + EXT_UUID, ret->uuid);
		ret->bytes = (little(head + EXT_BLOCKS) | little(head + EXT_BLOCKS_HIGH) << 32) << (10 + (little(head + EXT_LOG_BLOCK) & 7));
		return 0;
	}
	if (memcmp(head, "XFSB", 4) == 0) {
		strcpy(ret->type, "xfs");
		write_uuid(head + XFS_UUID, ret->uuid);
		ret->bytes = (big(head + XFS_BLOCKS) << 32 | big(head + XFS_BLOCKS + 4)) * big(head + XFS_BLOCK);
		return 0;
	}
	return errno = EMEDIUMTYPE, -1;
}

/* Making */

const char *filesystem_default(void)
{
	char line[64];
	bool has = false;
	FILE *f;

	if (!dm_has_program("mkfs.xfs"))
		return "ext4";
	/* it fails, and makes the kernel load what it can */
	mount("none", "/", "xfs", MS_RDONLY, "");
	f = fopen("/proc/filesystems", "re");
	while (f && !has && fgets(line, sizeof(line), f))
		has = strcmp(line, "\txfs\n") == 0;
	if (f)
		fclose(f);
	return has ? "xfs" : "ext4";
}

static int32_t keep(void *to, const char *text)
{
	snprintf(to, 512, "%s", text);
	return 0;
}

static int run(const struct dkd_host *host, const struct dkd_call *call, const char *const *argv, struct dm_error *e)
{
	char output[512] = "";
	int32_t status = host->run(host, call, argv, keep, output);

	if (status < 0)
		return e->said = true, -1;
	if (status)
		return dm_refuse(e, DKD_ERR_INTERNAL, 0, "devmapper: %s ended with status %d: %s", argv[0], status, output);
	return 0;
}

int filesystem_make(const struct dkd_host *host, const struct dkd_call *call, const char *device, const char *type, const struct dm_options *o, struct dm_error *e)
{
	/* all of it now: what is done lazily would be done again in every snapshot */
	const char *argv[DM_MKFS_ARGS + 6] = { "mkfs.ext4", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0" };
	const char *const tune[] = { "tune2fs", "-c", "-1", "-i", "0", device, NULL };
	unsigned n = 3;

	if (strcmp(type, "xfs") == 0) {
		argv[0] = "mkfs.xfs";
		n = 1;
	}
	for (unsigned i = 0; i < o->mkfs_args_len; i++)
		argv[n++] = o->mkfs_args[i];
	argv[n++] = device;
	argv[n] = NULL;
	if (run(host, call, argv, e) < 0)
		return -1;
	return strcmp(type, "ext4") == 0 ? run(host, call, tune, e) : 0;
}

/* Mounting */

static const struct { const char *word; unsigned long set, clear; } words[] = {
	{ "defaults", 0, 0 }, { "ro", MS_RDONLY, 0 }, { "rw", 0, MS_RDONLY }, { "nosuid", MS_NOSUID, 0 }, { "suid", 0, MS_NOSUID },
	{ "nodev", MS_NODEV, 0 }, { "dev", 0, MS_NODEV }, { "noexec", MS_NOEXEC, 0 }, { "exec", 0, MS_NOEXEC }, { "sync", MS_SYNCHRONOUS, 0 },
	{ "async", 0, MS_SYNCHRONOUS }, { "dirsync", MS_DIRSYNC, 0 }, { "noatime", MS_NOATIME, 0 }, { "atime", 0, MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME, 0 }, { "diratime", 0, MS_NODIRATIME }, { "relatime", MS_RELATIME, 0 }, { "norelatime", 0, MS_RELATIME },
	{ "strictatime", MS_STRICTATIME, 0 }, { "nostrictatime", 0, MS_STRICTATIME }, { "lazytime", MS_LAZYTIME, 0 },
};

static bool is_flag(const char *word, size_t len, unsigned long *flags)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strlen(words[i].word) != len || strncmp(words[i].word, word, len) != 0)
			continue;
		*flags = (*flags & ~words[i].clear) | words[i].set;
		return true;
	}
	return false;
}

/* Flags of mount(2) from a list of options; the others go to data. */
static unsigned long split(const char *options, char *data, size_t size)
{
	unsigned long flags = 0;
	size_t used = strlen(data);

	while (*options) {
		size_t len = strcspn(options, ",");

		if (len && !is_flag(options, len, &flags) && used < size)
			used += (size_t)snprintf(data + used, size - used, "%s%.*s", used ? "," : "", (int)len, options);
		options += len + (options[len] == ',');
	}
	return flags;
}

int filesystem_mount(const char *device, const char *path, const char *options, const char *label, struct dm_error *e)
{
	char data[DM_MOUNT_OPTIONS + 512] = "";
	struct filesystem fs;
	unsigned long flags;
	size_t used;

	if (filesystem_probe(device, &fs) < 0)
		return errno == EMEDIUMTYPE ? dm_refuse(e, DKD_ERR_INTERNAL, 0, "devmapper: %s holds no file system that is known here", device) :
			DM_FAIL(e, "devmapper: read %s", device);
	if (strcmp(fs.type, "xfs") == 0)
		strcpy(data, "nouuid"); /* all are copies of one */
	flags = split(options, data, DM_MOUNT_OPTIONS);
	used = strlen(data);
	if (label && *label && (size_t)snprintf(data + used, sizeof(data) - used, "%scontext=\"%s\"", used ? "," : "", label) >= sizeof(data) - used)
		return dm_refuse(e, DKD_ERR_INVALID, 0, "devmapper: the mount label is too long");
	if (mount(device, path, fs.type, flags, data) < 0)
		return DM_FAIL(e, "devmapper: mount %s (%s) on %s with \"%s\"", device, fs.type, path, data);
	return 0;
}

/* Growing */

static int grow_xfs(int fd)
{
	struct xfs_growth grow;
	struct xfs_geometry geo;
	struct stat st;
	uint64_t bytes = 0;
	char path[64], text[32];

	if (ioctl(fd, XFS_GEOMETRY, &geo) < 0 || fstat(fd, &st) < 0)
		return -1;
	/* sectors of the device below */
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/size", major(st.st_dev), minor(st.st_dev));
	if (dir_read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		return -1;
	bytes = strtoull(text, NULL, 10) * 512;
	grow = (struct xfs_growth){ .newblocks = bytes / geo.blocksize, .imaxpct = geo.imaxpct };
	return grow.newblocks <= geo.datablocks ? 0 : ioctl(fd, XFS_GROW, &grow);
}

static int grow_ext4(int fd, uint64_t bytes)
{
	struct statfs st;
	uint64_t blocks;

	if (fstatfs(fd, &st) < 0)
		return -1;
	blocks = bytes / (uint64_t)st.f_bsize;
	return ioctl(fd, EXT4_RESIZE, &blocks);
}

int filesystem_grow(const char *path, const char *type, uint64_t bytes)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc, sys;

	if (fd < 0)
		return -1;
	rc = strcmp(type, "xfs") == 0 ? grow_xfs(fd) : grow_ext4(fd, bytes);
	sys = errno;
	close(fd);
	errno = sys;
	return rc;
}

int filesystem_retries(const char *device, const char *retries)
{
	char path[96];
	struct stat st;
	int fd, sys;
	ssize_t n;

	if (stat(device, &st) < 0)
		return -1;
	snprintf(path, sizeof(path), "/sys/fs/xfs/dm-%u/error/metadata/ENOSPC/max_retries", minor(st.st_rdev));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = write(fd, retries, strlen(retries));
	sys = errno;
	close(fd);
	errno = sys;
	return n < 0 ? -1 : 0;
}
