/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Driver "local": volumes with options are mounted as mount(8) would, by Docker's reading of "o". */
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include "local.h"

#define FAIL(host, call, class, sys, ...) dkd_failf((host), (call), DKD_ERR_##class, (sys), __VA_ARGS__)

/* Words of "o" that are mount flags; all others are data for the file system. */
static const struct flag {
	const char *word;
	unsigned long set, clear;
} flags[] = {
	{ "defaults", 0, 0 },
	{ "ro", MS_RDONLY, 0 }, { "rw", 0, MS_RDONLY },
	{ "nosuid", MS_NOSUID, 0 }, { "suid", 0, MS_NOSUID },
	{ "nodev", MS_NODEV, 0 }, { "dev", 0, MS_NODEV },
	{ "noexec", MS_NOEXEC, 0 }, { "exec", 0, MS_NOEXEC },
	{ "sync", MS_SYNCHRONOUS, 0 }, { "async", 0, MS_SYNCHRONOUS },
	{ "dirsync", MS_DIRSYNC, 0 }, { "mand", MS_MANDLOCK, 0 }, { "nomand", 0, MS_MANDLOCK },
	{ "noatime", MS_NOATIME, 0 }, { "atime", 0, MS_NOATIME },
	{ "nodiratime", MS_NODIRATIME, 0 }, { "diratime", 0, MS_NODIRATIME },
	{ "relatime", MS_RELATIME, 0 }, { "norelatime", 0, MS_RELATIME },
	{ "strictatime", MS_STRICTATIME, 0 }, { "nostrictatime", 0, MS_STRICTATIME },
	{ "remount", MS_REMOUNT, 0 },
	{ "bind", MS_BIND, 0 }, { "rbind", MS_BIND | MS_REC, 0 },
	{ "private", MS_PRIVATE, 0 }, { "rprivate", MS_PRIVATE | MS_REC, 0 },
	{ "shared", MS_SHARED, 0 }, { "rshared", MS_SHARED | MS_REC, 0 },
	{ "slave", MS_SLAVE, 0 }, { "rslave", MS_SLAVE | MS_REC, 0 },
	{ "unbindable", MS_UNBINDABLE, 0 }, { "runbindable", MS_UNBINDABLE | MS_REC, 0 },
};
#define PROPAGATION (MS_PRIVATE | MS_SHARED | MS_SLAVE | MS_UNBINDABLE)

struct plan {
	unsigned long flags, propagation;
	char data[4096], shown[4096]; /* for the file system, and without secrets */
};

/* The address of a host as text; false when it has none. */
static bool resolve(const char *host, char *ret, size_t size)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	bool found;

	if (getaddrinfo(host, NULL, &hints, &list) != 0)
		return false;
	found = getnameinfo(list->ai_addr, list->ai_addrlen, ret, (socklen_t)size, NULL, 0, NI_NUMERICHOST) == 0;
	freeaddrinfo(list);
	return found;
}

static bool append(char *data, size_t size, const char *word)
{
	size_t used = strlen(data);

	return (size_t)snprintf(data + used, size - used, "%s%s", used ? "," : "", word) < size - used;
}

/* What may be shown of a word: all but the password that it is. */
static const char *without_password(const char *word)
{
	static const char *const secret[][2] = { { "password=", "password=****" }, { "password2=", "password2=****" }, { "pass=", "pass=****" } };

	for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
		if (strncmp(word, secret[i][0], strlen(secret[i][0])) == 0)
			return secret[i][1];
	return word;
}

/* One word of "o". */
static int32_t plan_word(const struct dkd_host *host, const struct dkd_call *call, const char *type,
	const char *word, struct plan *p)
{
	char found[NI_MAXHOST], addr[NI_MAXHOST + 8] = "addr=";

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (strcmp(flags[i].word, word) != 0)
			continue;
		if (flags[i].set & PROPAGATION)
			p->propagation = flags[i].set;
		else
			p->flags = (p->flags & ~flags[i].clear) | flags[i].set;
		return 0;
	}
	if (strncmp(word, "addr=", 5) == 0 && word[5] && (strncmp(type, "nfs", 3) == 0 || strcmp(type, "cifs") == 0)) {
		if (!resolve(word + 5, found, sizeof(found)))
			return FAIL(host, call, INTERNAL, 0, "failed to mount local volume: error resolving "
				"passed in network volume address: %s", word + 5);
		strncat(addr, found, NI_MAXHOST);
		word = addr;
	}
	if (!append(p->data, sizeof(p->data), word) ||
	    !append(p->shown, sizeof(p->shown), without_password(word)))
		return FAIL(host, call, INVALID, 0, "failed to mount local volume: its options are too long");
	return 0;
}

/* Whether "o" has an "addr=" with a value; "srcaddr=" is another word. */
static bool has_address(const char *o)
{
	for (; o; o = strchr(o, ',') ? strchr(o, ',') + 1 : NULL)
		if (strncmp(o, "addr=", 5) == 0 && o[5] && o[5] != ',')
			return true;
	return false;
}

/*
 * "//host/share" of cifs: the kernel wants the host's address. *ret is the device itself, or in room. An address in "o" goes before.
 */
static int32_t plan_device(const struct dkd_host *host, const struct dkd_call *call, const struct local_options *o, char room[PATH_ROOM], const char **ret)
{
	const char *name = o->device, *end;
	char called[NI_MAXHOST], found[NI_MAXHOST];
	bool six;

	*ret = o->device;
	if (!o->type || strcmp(o->type, "cifs") != 0 || strncmp(name, "//", 2) != 0 || has_address(o->o))
		return 0;
	name += 2;
	end = name + strcspn(name, "/");
	if (end == name || *name == '[' || (size_t)(end - name) >= sizeof(called))
		return 0;
	snprintf(called, sizeof(called), "%.*s", (int)(end - name), name);
	if (!resolve(called, found, sizeof(found)))
		return FAIL(host, call, INTERNAL, 0, "failed to mount local volume: error resolving passed in network volume address: %s", called);
	six = strchr(found, ':') != NULL;
	snprintf(room, PATH_ROOM, "//%s%s%s%s", six ? "[" : "", found, six ? "]" : "", end);
	*ret = room;
	return 0;
}

static int32_t plan_make(const struct dkd_host *host, const struct dkd_call *call, const struct local_options *o, struct plan *p)
{
	char *copy = strdup(o->o ? o->o : ""), *rest = copy, *word;
	int32_t ret = 0;

	*p = (struct plan){0};
	while (ret == 0 && (word = strsep(&rest, ",")))
		if (*word)
			ret = plan_word(host, call, o->type ? o->type : "", word, p);
	free(copy);
	return ret;
}

static int32_t mount_failed(const struct dkd_host *host, const struct dkd_call *call,
	const struct local_options *o, const char *path,
	const struct plan *p)
{
	char why[128], shown_flags[32] = "";

	/* In Docker's words for it. */
	if (p->flags)
		snprintf(shown_flags, sizeof(shown_flags), ", flags: 0x%lx", p->flags);
	snprintf(why, sizeof(why), "%s", strerror(errno));
	if (islower((unsigned char)why[1]))
		why[0] = (char)tolower((unsigned char)why[0]);
	return FAIL(host, call, INTERNAL, 0, "failed to mount local volume: mount %s:%s%s%s%s: %s", o->device, path,
		shown_flags, p->shown[0] ? ", data: " : "", p->shown, why);
}

int32_t local_mount_options(const struct dkd_host *host, const struct dkd_call *call,
	const struct local_options *o, const char *path)
{
	const char *device;
	char room[PATH_ROOM];
	struct plan p;

	if (plan_make(host, call, o, &p) < 0 || plan_device(host, call, o, room, &device) < 0)
		return -1;
	if (mount(device, path, o->type, p.flags, p.data[0] ? p.data : NULL) < 0)
		return mount_failed(host, call, o, path, &p);
	/* The kernel takes the flags of a bind mount in a second step only. */
	if ((p.flags & MS_BIND) && (p.flags & ~(unsigned long)(MS_BIND | MS_REC)) &&
	    mount("", path, "", p.flags | MS_REMOUNT, NULL) < 0)
		goto undo;
	if (p.propagation && mount("", path, "", p.propagation, NULL) < 0)
		goto undo;
	return 0;
undo:
	mount_failed(host, call, o, path, &p);
	umount2(path, MNT_DETACH);
	return -1;
}
