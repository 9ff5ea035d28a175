/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What docker import takes from an address: fetched whole into a file without a name. */
#include "base/cleanup.h"
#include "registry/registry-priv.h"

#define URL_MAX 4096

static int check_url(const char *url, struct err *err)
{
	const char *host = strstr(url, "://") + 3;

	for (const char *p = url; *p; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
			return err_set(err, ERR_INVALID, "parse the address of the archive: net/url: invalid control character in URL");
	if (strlen(url) > URL_MAX || !*host || strchr("/?#", *host))
		return err_set(err, ERR_INVALID, "Get \"%.256s\": http: no Host in request URL", url);
	if (!str_has_prefix(url, "http://") && !str_has_prefix(url, "https://"))
		return err_set(err, ERR_INVALID, "Get \"%.256s\": unsupported protocol scheme \"%.*s\"", url, (int)(host - 3 - url), url);
	if (memchr(host, '@', strcspn(host, "/?#")))
		return err_set(err, ERR_INVALID, "an address with a user in it is refused: it would be told to whoever sees the image");
	return 0;
}

static int failed(const struct session_reply *r, struct err *err)
{
	static const struct { int status; enum err_class class; } classes[] = {
		{ 401, ERR_UNAUTHORIZED }, { 403, ERR_FORBIDDEN }, { 404, ERR_NOT_FOUND },
	};
	enum err_class class = r->code && streq(r->code, "NOSPACE") ? ERR_NO_SPACE : r->status >= 400 && r->status < 500 ? ERR_INVALID : ERR_INTERNAL;

	for (size_t i = 0; i < ARRAY_LEN(classes); i++)
		if (classes[i].status == r->status)
			class = classes[i].class;
	return err_set(err, class, "%s", r->text ? r->text : "unknown error");
}

/* Until it is there, or not; the client is told how far it is. */
static int fetch(struct session *s, const struct registry_download *d, const char *url, int fd, int64_t room, struct err *err)
{
	const struct progress p = { d->emit, d->ctx, NULL };
	uint32_t id = session_ask(s, json_pack("{s:s, s:s, s:I}", "op", "download", "url", url, "max", (json_int_t)room), fd, err);
	bool told = false;

	while (id) {
		OWN_REPLY struct session_reply r = { 0 };

		if (session_next(s, -1, &r, err) < 0)
			return -1;
		if (r.id != id || r.kind == SESSION_RETRY)
			continue;
		if (r.kind == SESSION_FAILED)
			return failed(&r, err);
		if (!told)
			progress_say(&p, NULL, "Downloading from %s", url);
		told = true;
		progress_at(&p, NULL, "Importing", r.n, r.kind == SESSION_DONE ? r.n : r.total);
		if (r.kind == SESSION_DONE)
			return 0;
	}
	return -1;
}

int registry_download(struct registry *r, const struct registry_download *d, char **ret_url, struct err *err)
{
	OWN_FREE char *url = strstr(d->url, "://") ? xstrdup(d->url) : xasprintf("http://%s", d->url);
	static const struct registry_auth nobody;
	CLEANUP(session_close) struct session s = SESSION_INIT;
	int64_t room = partials_room(r->partials);
	OWN_FD int fd = -1;

	if (check_url(url, err) < 0)
		return -1;
	fd = partials_temporary(r->partials, err);
	if (fd < 0 || session_open(&s, r->spawner, r->program, d->config, NULL, &nobody, d->cancel, err) < 0 ||
	    fetch(&s, d, url, fd, room < 0 ? INT64_MAX : room, err) < 0)
		return -1;
	*ret_url = STEAL(url);
	return STEAL_FD(fd);
}
