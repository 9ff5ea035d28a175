/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "registry/registry.h"

#include <errno.h>
#include <fcntl.h>

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/log.h"
#include "registry/registry-priv.h"
#include "registry/wire.h"

struct registry *registry_open(struct image_store *images, struct spawner *sp, const char *program, const char *data_root, struct err *err)
{
	struct registry *r = xcalloc(1, sizeof(*r));
	OWN_FREE char *top = xasprintf("%s/image/%s/distribution", data_root, graph_name(layer_store_graph(image_store_layers(images))));
	OWN_FREE char *dir = xasprintf("%s/partial", top);

	r->images = images;
	r->downloads = slots_new();
	r->uploads = slots_new();
	r->spawner = sp;
	r->program = open(program, O_PATH | O_CLOEXEC);
	if (r->program < 0)
		err_errno(err, errno, "the program %s is needed", program);
	else
		r->partials = partials_open(dir, err);
	if (r->partials)
		r->known = known_open(top, err);
	if (r->known)
		return r;
	registry_close(r);
	return NULL;
}

void registry_close(struct registry *r)
{
	if (!r)
		return;
	if (r->partials)
		partials_close(r->partials);
	if (r->known)
		known_close(r->known);
	slots_free(r->downloads);
	slots_free(r->uploads);
	fd_close(&r->program);
	free(r);
}

void fetched_done(struct fetched *f)
{
	buf_done(&f->text);
	manifest_done(&f->m);
}

int registry_failed(const struct session_reply *r, const struct reference *ref, struct err *err)
{
	const char *code = r->code ? r->code : "", *text = r->text ? r->text : "unknown error";
	OWN_FREE char *name = reference_familiar_name(ref), *full = reference_familiar(ref);

	if (streq(code, "DENIED"))
		return err_set(err, ERR_NOT_FOUND, "pull access denied for %s, repository does not exist or may require 'docker login': %s", name, text);
	if (streq(code, "MANIFEST_UNKNOWN"))
		return err_set(err, ERR_NOT_FOUND, "manifest for %s not found: %s", full, text);
	if (streq(code, "NAME_UNKNOWN"))
		return err_set(err, ERR_NOT_FOUND, "repository %s not found: %s", name, text);
	if (streq(code, "NOSPACE"))
		return err_set(err, ERR_NO_SPACE, "%s", text);
	return err_set(err, ERR_INTERNAL, "%s", text);
}

static int check_manifest(const struct session_reply *reply, const struct reference *ref, const char *want, int64_t size, struct fetched *f, struct err *err)
{
	digest_of(f->text.data, f->text.size, f->digest);
	if (want && !streq(want, f->digest))
		return err_set(err, ERR_INVALID, "manifest verification failed for digest %s", want);
	if (size >= 0 && (int64_t)f->text.size != size)
		return err_set(err, ERR_INVALID, "manifest %s has %zu bytes, not %lld", f->digest, f->text.size, (long long)size);
	return manifest_read(f->text.data, f->text.size, reply->type, ref, &f->m, err);
}

int registry_manifest(struct session *s, const struct reference *ref, const char *what, const char *want, int64_t size, struct fetched *ret, struct err *err)
{
	int64_t from = 0;

	for (;;) {
		OWN_REPLY struct session_reply reply = { 0 };
		OWN_ERR struct err why = ERR_INIT;
		int rc = session_get(s, json_pack("{s:s, s:s, s:s, s:I}", "op", "manifest", "repo", ref->path, "ref", what, "from", (json_int_t)from), WIRE_MANIFEST_MAX,
			&ret->text, &reply, err);

		if (rc < 0)
			return -1;
		if (rc > 0) {
			ret->unauthorized = reply.code && streq(reply.code, "UNAUTHORIZED");
			return registry_failed(&reply, ref, err);
		}
		if (check_manifest(&reply, ref, want, size, ret, &why) == 0)
			return 0;
		/* what a mirror says is not the last word */
		if (reply.next <= from)
			return err_move(err, &why);
		log_info("a mirror of %s is left out: %s", ref->domain, err_text(&why));
		from = reply.next;
		fetched_done(ret);
		*ret = (struct fetched){ 0 };
	}
}

int registry_blob(struct session *s, const struct reference *ref, const struct manifest_entry *e, struct buf *ret, struct err *err)
{
	OWN_REPLY struct session_reply reply = { 0 };
	char got[DIGEST_TEXT];
	int rc = session_get(s, json_pack("{s:s, s:s, s:s, s:I}", "op", "blob", "repo", ref->path, "digest", e->digest, "size", (json_int_t)e->size),
		(size_t)e->size, ret, &reply, err);

	if (rc < 0)
		return -1;
	if (rc > 0)
		return registry_failed(&reply, ref, err);
	digest_of(ret->data, ret->size, got);
	if (!streq(got, e->digest))
		return err_set(err, ERR_INVALID, "image config verification failed for digest %s", e->digest);
	return 0;
}

/* The name of a registry in what clients give as its address. */
static char *server_domain(const char *server)
{
	const char *host = server ? strstr(server, "://") : NULL;
	OWN_FREE char *name = NULL;

	host = host ? host + 3 : server ? server : "";
	name = xstrndup(host, strcspn(host, "/?#"));
	return !*name || streq(name, "index.docker.io") ? xstrdup("docker.io") : STEAL(name);
}

int registry_login(struct registry *r, const struct registry_config *cfg, const char *server, const struct registry_auth *auth, const struct cancel *c,
	char **ret_token, struct err *err)
{
	OWN_FREE char *domain = server_domain(server);
	CLEANUP(session_close) struct session s = SESSION_INIT;
	OWN_REPLY struct session_reply reply = { 0 };
	int rc;

	*ret_token = NULL;
	if (session_open(&s, r->spawner, r->program, cfg, domain, auth, c, err) < 0)
		return -1;
	rc = session_get(&s, json_pack("{s:s}", "op", "login"), 0, NULL, &reply, err);
	if (rc < 0)
		return -1;
	if (rc > 0)
		return err_set(err, reply.status == 401 ? ERR_UNAUTHORIZED : ERR_INTERNAL, "%s", reply.text ? reply.text : "login failed");
	*ret_token = STEAL(reply.token);
	return 0;
}

/* What one manifest is for: its platform, or that of its configuration. */
static int put_platforms(struct session *s, const struct reference *ref, const struct fetched *f, struct jw *w, struct err *err)
{
	OWN_BUF struct buf config = { 0 };
	CLEANUP(image_unrefp) struct image *img = NULL;

	if (!f->m.index && !streq(manifest_class(&f->m), "image")) {
		jw_knull(w, "Platforms");
		return 0;
	}
	jw_karr(w, "Platforms");
	for (size_t i = 0; f->m.index && i < f->m.manifests.len; i++)
		if (manifest_at(&f->m, i)->platform)
			jdesc_encode(&manifest_platform_desc, manifest_at(&f->m, i)->platform, w);
	if (!f->m.index) {
		if (registry_blob(s, ref, f->m.config, &config, err) < 0 || !(img = image_parse(config.data, config.size, err)))
			return -1;
		jw_obj(w);
		jw_kstr(w, "architecture", img->architecture);
		jw_kstr(w, "os", img->os);
		if (!str_empty(img->os_version))
			jw_kstr(w, "os.version", img->os_version);
		if (!str_empty(img->variant))
			jw_kstr(w, "variant", img->variant);
		jw_obj_end(w);
	}
	jw_arr_end(w);
	return 0;
}

int registry_inspect(struct registry *r, const struct registry_config *cfg, const struct reference *ref, const struct registry_auth *auth,
	const struct cancel *c, struct buf *ret, struct err *err)
{
	CLEANUP(session_close) struct session s = SESSION_INIT;
	OWN_FETCHED struct fetched f = { 0 };
	struct jw w;

	if (session_open(&s, r->spawner, r->program, cfg, ref->domain, auth, c, err) < 0)
		return -1;
	if (registry_manifest(&s, ref, ref->digest ? ref->digest : ref->tag ? ref->tag : "latest", ref->digest, -1, &f, err) < 0) {
		/* of a pull Docker makes a 500 of this */
		if (f.unauthorized && err)
			err->class = ERR_UNAUTHORIZED;
		return -1;
	}
	jw_init(&w, ret);
	jw_obj(&w);
	jw_kobj(&w, "Descriptor");
	jw_kstr(&w, "mediaType", f.m.media_type);
	jw_kstr(&w, "digest", f.digest);
	jw_kint(&w, "size", (int64_t)f.text.size);
	jw_obj_end(&w);
	if (put_platforms(&s, ref, &f, &w, err) < 0)
		return -1;
	jw_obj_end(&w);
	return 0;
}
