/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Searching: Docker's index, a registry of version 1, or the catalog of one of version 2. */
#include <ctype.h>

#include "base/cleanup.h"
#include "base/filters.h"
#include "registry/registry-priv.h"
#include "registry/wire.h"

#define TERM_MAX 512
#define CATALOG_MAX 1000      /* names of a catalog that are looked at */

struct found { char *name, *description; int64_t stars; bool official, automated; };
JDESC_STATIC(found_desc, found,
	JFIELD(found, stars, "star_count", J_I64, 0),
	JFIELD(found, official, "is_official", J_BOOL, 0),
	JFIELD(found, name, "name", J_STR, 0),
	JFIELD(found, automated, "is_automated", J_BOOL, 0),
	JFIELD(found, description, "description", J_STR, 0));

struct search {
	struct registry *r;
	struct session s;
	const char *term;          /* without the registry */
	int limit, left;
	bool has_official, official, has_automated, automated;
	int64_t stars;
	struct jw w;
};

/* "localhost:5000/x" is "x" at that registry; anything else is for Docker's index. */
static char *split_term(const char *term, const char **ret_rest)
{
	size_t n = strcspn(term, "/");
	OWN_FREE char *first = xstrndup(term, n);

	if (term[n] && (strpbrk(first, ".:") || streq(first, "localhost"))) {
		*ret_rest = term + n + 1;
		return STEAL(first);
	}
	*ret_rest = str_has_prefix(term, "library/") ? term + strlen("library/") : term;
	return xstrdup("index.docker.io");
}

static int read_filters(struct search *q, const struct filters *f, struct err *err)
{
	const struct strv *stars = filters_get(f, "stars");

	q->has_official = filters_has(f, "is-official");
	q->has_automated = filters_has(f, "is-automated");
	if (filters_bool(f, "is-official", false, &q->official, err) < 0 || filters_bool(f, "is-automated", false, &q->automated, err) < 0)
		return -1;
	for (size_t i = 0; stars && i < stars->len; i++) {
		int64_t n;

		if (!str_to_i64(stars->v[i], &n))
			return err_set(err, ERR_INVALID, "invalid filter 'stars=[%.64s]'", stars->v[i]);
		if (n > q->stars)
			q->stars = n;
	}
	return 0;
}

static void put(struct search *q, const struct found *f)
{
	if (q->left <= 0 || str_empty(f->name) || f->stars < q->stars || (q->has_official && f->official != q->official) ||
	    (q->has_automated && f->automated != q->automated))
		return;
	q->left--;
	jdesc_encode(&found_desc, f, &q->w);
}

/* What it says of one is left out when it makes no sense. */
static int put_results(struct search *q, const struct buf *text, struct err *err)
{
	OWN_JSON json_t *js = json_read(text->data, text->size, err);
	json_t *one;
	size_t i;

	if (!js)
		return err_wrap(err, "the registry's results");
	json_array_foreach(json_object_get(js, "results"), i, one) {
		struct found f = { 0 };

		if (jdesc_decode(&found_desc, one, &f, NULL) == 0)
			put(q, &f);
		jdesc_clear(&found_desc, &f);
	}
	return 0;
}

static int put_catalog(struct search *q, const struct buf *text, struct err *err)
{
	OWN_JSON json_t *js = json_read(text->data, text->size, err);
	json_t *one;
	size_t i;

	if (!js)
		return err_wrap(err, "the registry's catalog");
	json_array_foreach(json_object_get(js, "repositories"), i, one) {
		struct found f = { .name = (char *)json_string_value(one) };

		if (f.name && strstr(f.name, q->term))
			put(q, &f);
	}
	return 0;
}

static char *query_of(const char *term, int limit)
{
	OWN_BUF struct buf b = { 0 };

	buf_adds(&b, "/v1/search?q=");
	for (; *term; term++)
		if (isalnum((unsigned char)*term) || strchr("-._~", *term))
			buf_addc(&b, *term);
		else
			buf_addf(&b, "%%%02X", (unsigned char)*term);
	buf_addf(&b, "&n=%d", limit);
	return buf_steal(&b);
}

static int run(struct search *q, bool docker, struct err *err)
{
	OWN_FREE char *path = query_of(q->term, q->limit);
	OWN_REPLY struct session_reply first = { 0 }, second = { 0 };
	OWN_BUF struct buf text = { 0 };
	OWN_BUF struct buf catalog = { 0 };
	int rc = session_get(&q->s, json_pack("{s:s, s:s}", "op", "get", "path", path), WIRE_MANIFEST_MAX, &text, &first, err);

	if (rc == 0)
		return put_results(q, &text, err);
	if (rc > 0 && !docker && first.status == 404) {
		path = (free(path), xasprintf("/v2/_catalog?n=%d", CATALOG_MAX));
		rc = session_get(&q->s, json_pack("{s:s, s:s, s:s}", "op", "get", "path", path, "scope", "registry:catalog:*"), WIRE_MANIFEST_MAX, &catalog, &second, err);
		if (rc == 0)
			return put_catalog(q, &catalog, err);
	}
	if (rc < 0)
		return -1;
	return err_set(err, ERR_INTERNAL, "%s", second.text ? second.text : first.text ? first.text : "the registry cannot be searched");
}

int registry_search(struct registry *r, const struct registry_config *cfg, const char *term, int limit, const struct filters *filters,
	const struct registry_auth *auth, const struct cancel *c, struct buf *ret, struct err *err)
{
	struct search q = { .r = r, .s = SESSION_INIT, .limit = limit, .left = limit };
	OWN_FREE char *domain = NULL;
	int rc;

	if (strlen(term) > TERM_MAX || !str_is_utf8(term, strlen(term)))
		return err_set(err, ERR_INVALID, "the term is too long or no text");
	domain = split_term(term, &q.term);
	if (!*q.term)
		return err_set(err, ERR_INVALID, "no term to search for");
	if (strstr(term, "://"))
		return err_set(err, ERR_INVALID, "invalid repository name: repository name (%s) should not have a scheme", term);
	if (read_filters(&q, filters, err) < 0 || session_open(&q.s, r->spawner, r->program, cfg, domain, auth, c, err) < 0)
		return -1;
	jw_init(&q.w, ret);
	jw_arr(&q.w);
	rc = run(&q, streq(domain, "index.docker.io"), err);
	jw_arr_end(&q.w);
	session_close(&q.s);
	return rc;
}
