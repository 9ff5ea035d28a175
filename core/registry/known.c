/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/known.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"

#define FILE_MAX (256u << 10)
#define PLACES_MAX 50

struct known { int by_diffid, by_digest; /* folders */ };

static int open_folder(const char *dir, const char *name, struct err *err)
{
	OWN_FREE char *path = xasprintf("%s/%s/sha256", dir, name);
	int fd = fs_mkdirs(path, 0700, err) < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 && err && !err->msg ? err_errno(err, errno, "open %s", path) : fd;
}

struct known *known_open(const char *dir, struct err *err)
{
	struct known *k = xcalloc(1, sizeof(*k));

	k->by_diffid = open_folder(dir, "v2metadata-by-diffid", err);
	k->by_digest = k->by_diffid < 0 ? -1 : open_folder(dir, "diffid-by-digest", err);
	if (k->by_digest >= 0)
		return k;
	known_close(k);
	return NULL;
}

void known_close(struct known *k)
{
	fd_close(&k->by_diffid);
	fd_close(&k->by_digest);
	free(k);
}

/* The list of a layer; an empty one when there is none that makes sense. */
static json_t *read_list(struct known *k, const char *diffid)
{
	OWN_BUF struct buf b = { 0 };
	json_t *js = NULL;

	if (fs_read(k->by_diffid, id_digest_hex(diffid), FILE_MAX, &b, NULL) == 0)
		js = json_read(b.data, b.size, NULL);
	if (json_is_array(js))
		return js;
	json_decref(js);
	return json_array();
}

static bool is_one(const json_t *e, const char *digest, const char *source)
{
	const char *d = json_string_value(json_object_get(e, "Digest")), *s = json_string_value(json_object_get(e, "SourceRepository"));

	return d && s && streq(d, digest) && streq(s, source);
}

/* The newest is the last. */
void known_add(struct known *k, const char *diffid, const char *digest, const struct reference *where)
{
	OWN_FREE char *source = reference_name(where), *text = NULL;
	OWN_JSON json_t *all = read_list(k, diffid);
	OWN_ERR struct err err = ERR_INIT;

	for (size_t i = json_array_size(all); i-- > 0;)
		if (is_one(json_array_get(all, i), digest, source))
			json_array_remove(all, i);
	while (json_array_size(all) >= PLACES_MAX)
		json_array_remove(all, 0);
	json_array_append_new(all, json_pack("{s:s, s:s, s:s}", "Digest", digest, "SourceRepository", source, "HMAC", ""));
	text = json_dumps(all, JSON_COMPACT);
	if (fs_write_atomic(k->by_diffid, id_digest_hex(diffid), text, strlen(text), 0644, FS_RENAME_ONLY, &err) < 0 ||
	    fs_write_atomic(k->by_digest, id_digest_hex(digest), diffid, strlen(diffid), 0644, FS_RENAME_ONLY, &err) < 0)
		log_warn("where layer %.19s lies is not noted: %s", diffid, err_text(&err));
}

static void take(struct known_places *ret, const json_t *e, const struct reference *ref, bool own)
{
	const char *digest = json_string_value(json_object_get(e, "Digest")), *source = json_string_value(json_object_get(e, "SourceRepository"));
	OWN_REFERENCE struct reference r = { 0 };

	if (!digest || !id_digest_hex(digest) || !source || reference_parse(source, &r, NULL) < 0 || !streq(r.domain, ref->domain) ||
	    streq(r.path, ref->path) != own)
		return;
	ret->v = xrealloc(ret->v, (ret->len + 1) * sizeof(*ret->v));
	ret->v[ret->len++] = (struct known_place){ xstrdup(digest), xstrdup(r.domain), xstrdup(r.path) };
}

void known_list(struct known *k, const char *diffid, const struct reference *ref, struct known_places *ret)
{
	OWN_JSON json_t *all = read_list(k, diffid);

	*ret = (struct known_places){ 0 };
	for (int own = 1; own >= 0; own--)
		for (size_t i = json_array_size(all); i-- > 0;)
			take(ret, json_array_get(all, i), ref, own);
}

void known_places_done(struct known_places *p)
{
	for (size_t i = 0; i < p->len; i++) {
		free(p->v[i].digest);
		free(p->v[i].domain);
		free(p->v[i].path);
	}
	free(p->v);
	*p = (struct known_places){ 0 };
}
