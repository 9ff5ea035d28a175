/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "base/subid.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "base/str.h"

static bool is_number(const char *s, uint32_t *ret)
{
	uint64_t n;

	if (!str_to_u64(s, &n) || n >= UINT32_MAX)
		return false;
	*ret = (uint32_t)n;
	return true;
}

bool subid_user_find(const char *word, struct subid_user *ret)
{
	OWN_FILE FILE *f = fopen("/etc/passwd", "re");
	uint32_t number = 0;
	bool by_id = is_number(word, &number);
	struct passwd *p;

	while (f && (p = fgetpwent(f)))
		if (by_id ? p->pw_uid == number : streq(p->pw_name, word)) {
			*ret = (struct subid_user){ xstrdup(p->pw_name), p->pw_uid };
			return true;
		}
	return false;
}

void subid_user_done(struct subid_user *u)
{
	free(u->name);
	*u = (struct subid_user){ 0 };
}

static int parse_line(char *line, const char *path, const char *name, const char *number, int by_name, struct idmap_list *ret, struct err *err)
{
	OWN_STRV struct strv parts = { 0 };
	uint64_t v[2];

	line += strspn(line, " \t\r");
	line[strcspn(line, "\r")] = '\0';
	if (!*line || *line == '#')
		return 0;
	strv_split(&parts, line, ":");
	if (parts.len != 3)
		return err_set(err, ERR_INVALID, "Cannot parse subuid/gid information: Format not correct for %s file", path);
	/* a name that is the number, too, is one entry */
	if (!streq(parts.v[0], by_name ? name : number) || (by_name && streq(name, number)))
		return 0;
	for (size_t i = 0; i < 2; i++)
		if (!str_to_u64(parts.v[i + 1], &v[i]) || v[i] > UINT32_MAX)
			return err_set(err, ERR_INVALID, "String to int conversion failed during subuid/gid parsing of %s: strconv.Atoi: parsing \"%s\": %s",
				path, parts.v[i + 1], str_to_u64(parts.v[i + 1], &v[i]) ? "value out of range" : "invalid syntax");
	if (ret->len >= IDMAP_RANGES_MAX)
		return err_set(err, ERR_INVALID, "%s has more than %d ranges for \"%s\"", path, IDMAP_RANGES_MAX, name);
	idmap_add(ret, 0, (uint32_t)v[0], (uint32_t)v[1]);
	return 0;
}

int subid_parse(const char *text, size_t size, const char *path, const char *name, uint32_t uid, struct idmap_list *ret, struct err *err)
{
	OWN_FREE char *number = xasprintf("%" PRIu32, uid);
	uint32_t inside = 0;

	for (int by_name = 0; by_name <= 1; by_name++)
		for (const char *p = text, *end = text + size; p < end;) {
			const char *nl = memchr(p, '\n', (size_t)(end - p));
			size_t n = (size_t)((nl ? nl : end) - p);
			OWN_FREE char *line = xstrndup(p, n);

			if (parse_line(line, path, name, number, by_name, ret, err) < 0)
				return -1;
			p += n + 1;
		}
	for (size_t i = 0; i < ret->len; i++) {
		if (ret->v[i].count >= UINT32_MAX - inside)
			return err_set(err, ERR_INVALID, "%s gives \"%s\" more ids than there are", path, name);
		ret->v[i].inside = inside;
		inside += ret->v[i].count;
	}
	return 0;
}

int subid_ranges(const char *path, const char *what, const char *name, uint32_t uid, struct idmap_list *ret, struct err *err)
{
	OWN_BUF struct buf b = { 0 };

	if (fs_read(AT_FDCWD, path, SUBID_FILE_MAX, &b, err) < 0 || subid_parse(b.data ? b.data : "", b.size, path, name, uid, ret, err) < 0)
		return -1;
	return ret->len ? 0 : err_set(err, ERR_INVALID, "no sub%s ranges found for user \"%s\"", what, name);
}
