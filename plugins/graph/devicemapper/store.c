/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dir.h"
#include "json-shallow.h"
#include "thin.h"

#define FILE_BASE "base"
#define FILE_SET "deviceset-metadata"
#define FILE_TRANSACTION "transaction-metadata"
#define FILE_OLD "devicemapper/json"
#define TEMPORARY ".tmp"
#define FILE_MAX 4096
#define OLD_MAX (16 << 20)

static const char *file_of(const char *layer)
{
	return *layer ? layer : FILE_BASE;
}

bool store_reserved(const char *layer)
{
	size_t len = strlen(layer);

	return strcmp(layer, FILE_BASE) == 0 || strcmp(layer, FILE_SET) == 0 || strcmp(layer, FILE_TRANSACTION) == 0 ||
		(len >= 9 && strcmp(layer + len - 9, ".migrated") == 0);
}

/* Files */

/* An object, by its caller. NULL with errno. */
static json_t *read_object(int dir, const char *name)
{
	char text[FILE_MAX];
	ssize_t n = dir_read_file(dir, name, text, sizeof(text));
	json_t *o;

	if (n < 0)
		return NULL;
	o = json_shallow(text, (size_t)n, 0);
	if (json_is_object(o))
		return o;
	json_decref(o);
	errno = EBADMSG;
	return NULL;
}

static int write_all(int fd, const char *text)
{
	size_t size = strlen(text);

	while (size) {
		ssize_t n = write(fd, text, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		size -= (size_t)n;
	}
	return fdatasync(fd);
}

/* One writer at a time: the set's lock. */
static int write_text(int dir, const char *name, const char *text)
{
	int fd = openat(dir, TEMPORARY, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600), rc, sys;

	if (fd < 0)
		return -1;
	rc = write_all(fd, text);
	sys = errno;
	if (close(fd) < 0 && rc == 0)
		rc = -1, sys = errno;
	if (rc == 0 && renameat(dir, TEMPORARY, dir, name) < 0)
		rc = -1, sys = errno;
	if (rc < 0)
		unlinkat(dir, TEMPORARY, 0);
	errno = sys;
	return rc;
}

static int remove_file(int dir, const char *name)
{
	return unlinkat(dir, name, 0) < 0 && errno != ENOENT ? -1 : 0;
}

/* A member that is missing is zero, as another engine reads it. */
static bool number(json_t *o, const char *key, uint64_t most, uint64_t *ret)
{
	json_t *v = json_object_get(o, key);

	*ret = 0;
	if (!v)
		return true;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || (uint64_t)json_integer_value(v) > most)
		return false;
	*ret = (uint64_t)json_integer_value(v);
	return true;
}

/* Not with what would have to be escaped, or is a path: no engine writes that there, and these files are written without escapes. */
static bool string(json_t *o, const char *key, char *ret, size_t size)
{
	const char *s = json_string_value(json_object_get(o, key));

	ret[0] = '\0';
	for (const char *c = s; c && *c; c++)
		if ((unsigned char)*c < ' ' || strchr("\"\\/", *c))
			return false;
	return !s || snprintf(ret, size, "%s", s) < (int)size;
}

/* Devices */

static bool parse_device(json_t *o, const char *layer, struct store_device *ret)
{
	uint64_t id;

	*ret = (struct store_device){ 0 };
	snprintf(ret->layer, sizeof(ret->layer), "%s", layer);
	if (!json_is_object(o) || !number(o, "device_id", THIN_ID_MAX, &id) || !number(o, "size", INT64_MAX, &ret->bytes) ||
	    !number(o, "transaction_id", INT64_MAX, &ret->transaction))
		return false;
	ret->id = (unsigned)id;
	ret->initialized = json_is_true(json_object_get(o, "initialized"));
	ret->deleted = json_is_true(json_object_get(o, "deleted"));
	return true;
}

int store_read_device(int dir, const char *layer, struct store_device *ret)
{
	json_t *o = read_object(dir, file_of(layer));
	bool fine;

	if (!o)
		return -1;
	fine = parse_device(o, layer, ret);
	json_decref(o);
	return fine ? 0 : (errno = EBADMSG, -1);
}

int store_write_device(int dir, const struct store_device *d)
{
	char text[FILE_MAX];

	snprintf(text, sizeof(text), "{\"device_id\":%u,\"size\":%llu,\"transaction_id\":%llu,\"initialized\":%s,\"deleted\":%s}", d->id,
		(unsigned long long)d->bytes, (unsigned long long)d->transaction, d->initialized ? "true" : "false", d->deleted ? "true" : "false");
	return write_text(dir, file_of(d->layer), text);
}

int store_remove_device(int dir, const char *layer)
{
	return remove_file(dir, file_of(layer));
}

int store_each_device(int dir, int (*fn)(void *to, const struct store_device *d, bool damaged), void *to)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), sys;
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	int rc = 0;

	if (!list)
		return -1;
	while (rc == 0 && (e = readdir(list))) {
		bool is_base = strcmp(e->d_name, FILE_BASE) == 0, damaged;
		const char *layer = is_base ? STORE_BASE : e->d_name;
		struct store_device d = { 0 };

		if (e->d_name[0] == '.' || (store_reserved(e->d_name) && !is_base))
			continue;
		damaged = store_read_device(dir, layer, &d) < 0;
		if (damaged && errno == ENOENT)
			continue;
		if (damaged)
			snprintf(d.layer, sizeof(d.layer), "%s", layer);
		rc = fn(to, &d, damaged);
	}
	sys = errno;
	closedir(list);
	errno = sys;
	return 0;
}

void store_sweep(int dir)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *list = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	while (list && (e = readdir(list)))
		if (strncmp(e->d_name, TEMPORARY, strlen(TEMPORARY)) == 0)
			unlinkat(dir, e->d_name, 0);
	if (list)
		closedir(list);
}

/* The set */

int store_read_set(int dir, struct store_set *ret)
{
	json_t *o = read_object(dir, FILE_SET);
	uint64_t next = 0;
	bool fine;

	*ret = (struct store_set){ 0 };
	if (!o)
		return -1;
	fine = number(o, "next_device_id", THIN_ID_MAX, &next) && string(o, "BaseDeviceUUID", ret->base_uuid, sizeof(ret->base_uuid)) &&
		string(o, "BaseDeviceFilesystem", ret->base_fs, sizeof(ret->base_fs));
	ret->next_id = (unsigned)next;
	json_decref(o);
	return fine ? 0 : (errno = EBADMSG, -1);
}

int store_write_set(int dir, const struct store_set *s)
{
	char text[FILE_MAX];

	snprintf(text, sizeof(text), "{\"next_device_id\":%u,\"BaseDeviceUUID\":\"%s\",\"BaseDeviceFilesystem\":\"%s\"}", s->next_id, s->base_uuid, s->base_fs);
	return write_text(dir, FILE_SET, text);
}

/* The transaction */

int store_read_transaction(int dir, struct store_transaction *ret)
{
	json_t *o = read_object(dir, FILE_TRANSACTION);
	uint64_t id = 0;
	bool fine;

	*ret = (struct store_transaction){ 0 };
	if (!o)
		return -1;
	fine = number(o, "open_transaction_id", INT64_MAX, &ret->transaction) && number(o, "device_id", THIN_ID_MAX, &id) &&
		string(o, "device_hash", ret->layer, sizeof(ret->layer)) && ret->layer[0] != '.';
	ret->id = (unsigned)id;
	json_decref(o);
	return fine ? 0 : (errno = EBADMSG, -1);
}

int store_write_transaction(int dir, const struct store_transaction *t)
{
	char text[FILE_MAX];

	snprintf(text, sizeof(text), "{\"open_transaction_id\":%llu,\"device_hash\":\"%s\",\"device_id\":%u}", (unsigned long long)t->transaction, t->layer, t->id);
	return write_text(dir, FILE_TRANSACTION, text);
}

int store_remove_transaction(int dir)
{
	return remove_file(dir, FILE_TRANSACTION);
}

/* Layouts of before */

/* The whole of a file that may be large; NULL with errno. */
static json_t *read_old(int root)
{
	int fd = openat(root, FILE_OLD, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), sys;
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	char *text = f ? malloc(OLD_MAX) : NULL;
	json_t *o = NULL;
	size_t n;

	if (text) {
		n = fread(text, 1, OLD_MAX, f);
		o = n < OLD_MAX ? json_shallow(text, n, 0) : NULL;
		if (!o)
			errno = EBADMSG; /* behind the parser, which may have set it to 0 */
	}
	sys = errno;
	free(text);
	if (f)
		fclose(f);
	errno = sys;
	return o;
}

int store_migrate(int root, int dir)
{
	json_t *o = read_old(root), *device;
	struct store_device d;
	const char *layer;
	int rc = 0;

	if (!o)
		return errno == ENOENT ? 0 : -1;
	json_object_foreach(json_object_get(o, "Devices"), layer, device) {
		errno = EBADMSG;
		if (rc == 0 && (strlen(layer) > NAME_MAX || strchr(layer, '/') || layer[0] == '.' || store_reserved(layer) || !parse_device(device, layer, &d) || store_write_device(dir, &d) < 0))
			rc = -1;
	}
	json_decref(o);
	return rc < 0 ? -1 : renameat(root, FILE_OLD, root, FILE_OLD ".migrated");
}
