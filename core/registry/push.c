/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pushing: layers (sending.c), configuration, manifest, in that order: nobody sees a manifest whose parts are missing. */
#include <errno.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/fs.h"
#include "registry/registry-priv.h"

#define DOCKER "application/vnd.docker."

struct push {
	struct registry *r;
	const struct registry_push *given;
	struct session s;
	struct progress progress;
};

/* A document as a file. */
static int as_file(const void *data, size_t size, struct err *err)
{
	OWN_FD int fd = memfd_create("document", MFD_CLOEXEC);

	if (fd < 0 || fs_write_all(fd, data, size) < 0)
		return err_errno(err, errno, "make room for a document");
	return STEAL_FD(fd);
}

/* One request without a body in the answer, or nothing when it is answered with yes. */
static int request(struct push *p, json_t *rq, int fd, bool *ret_yes, struct err *err)
{
	OWN_REPLY struct session_reply reply = { 0 };
	uint32_t id = session_ask(&p->s, rq, fd, err);
	int rc;

	if (!id)
		return -1;
	do {
		session_reply_done(&reply);
		rc = session_next(&p->s, -1, &reply, err);
	} while (rc == 0 || (rc > 0 && (reply.id != id || reply.kind < SESSION_DONE)));
	if (rc < 0)
		return -1;
	if (reply.kind == SESSION_FAILED)
		return registry_failed(&reply, p->given->ref, err);
	if (ret_yes)
		*ret_yes = reply.yes;
	return 0;
}

static int send_config(struct push *p, const struct reference *ref, const struct image *img, const struct buf *config, struct err *err)
{
	OWN_FD int fd = as_file(config->data, config->size, err);
	bool there = false;

	if (fd < 0 || request(p, json_pack("{s:s, s:s, s:s}", "op", "have", "repo", ref->path, "digest", img->id), -1, &there, err) < 0)
		return -1;
	if (there)
		return 0;
	return request(p, json_pack("{s:s, s:s, s:s, s:I}", "op", "upload", "repo", ref->path, "digest", img->id, "size", (json_int_t)config->size), fd, NULL, err);
}

static void add_entry(struct buf *b, const char *indent, const char *type, int64_t size, const char *digest)
{
	buf_addf(b, "{\n%s   \"mediaType\": \"%s\",\n%s   \"size\": %lld,\n%s   \"digest\": \"%s\"\n%s}", indent, type, indent, (long long)size, indent, digest, indent);
}

/* To the byte as Docker writes it: the digest of the same image is the same. */
static void write_manifest(const struct image *img, const struct buf *config, const struct sent *layers, struct buf *b)
{
	buf_addf(b, "{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"" DOCKER "distribution.manifest.v2+json\",\n   \"config\": ");
	add_entry(b, "   ", DOCKER "container.image.v1+json", (int64_t)config->size, img->id);
	buf_adds(b, ",\n   \"layers\": [");
	for (size_t i = 0; i < img->diff_ids.len; i++) {
		buf_adds(b, i ? ",\n      " : "\n      ");
		add_entry(b, "      ", DOCKER "image.rootfs.diff.tar.gzip", layers[i].size, layers[i].digest);
	}
	buf_adds(b, img->diff_ids.len ? "\n   ]\n}" : "]\n}");
}

static int send_manifest(struct push *p, const struct reference *ref, const struct buf *text, struct err *err)
{
	OWN_FD int fd = as_file(text->data, text->size, err);

	return fd < 0 ? -1 : request(p, json_pack("{s:s, s:s, s:s, s:s, s:I}", "op", "put", "repo", ref->path, "ref", ref->tag, "type",
		DOCKER "distribution.manifest.v2+json", "size", (json_int_t)text->size), fd, NULL, err);
}

/* Its digest is a name of the image from now on, and the client is told. */
static int report(struct push *p, const struct reference *ref, const struct image *img, const struct buf *text, struct err *err)
{
	struct image_tagging t = { .id = img->id };
	char digest[DIGEST_TEXT];
	int rc;

	digest_of(text->data, text->size, digest);
	reference_copy(&t.ref, ref);
	str_set(&t.ref.tag, NULL);
	str_set(&t.ref.digest, digest);
	rc = image_tag_all(p->r->images, &t, 1, err);
	reference_done(&t.ref);
	free(t.old);
	if (rc < 0)
		return -1;
	progress_say(&p->progress, NULL, "%s: digest: %s size: %zu", ref->tag, digest, text->size);
	progress_pushed(&p->progress, ref->tag, digest, (int64_t)text->size);
	return 0;
}

/* The repository has others, or there is none of that name. */
static int no_image(struct push *p, const struct reference *ref, struct err *err)
{
	OWN_FREE char *shown = reference_familiar_name(ref), *full = reference_familiar(ref);
	OWN_STRV struct strv tags = { 0 };

	image_repo_tags(p->r->images, ref, &tags);
	return tags.len ? err_set(err, ERR_NOT_FOUND, "tag does not exist: %s", full) :
		err_set(err, ERR_NOT_FOUND, "An image does not exist locally with the tag: %s", shown);
}

static int push_one(struct push *p, const struct reference *ref, struct err *err)
{
	OWN_FREE char *name = reference_text(ref), *shown = reference_familiar_name(ref);
	CLEANUP(image_unrefp) struct image *img = image_get(p->r->images, name, NULL);
	OWN_BUF struct buf config = { 0 };
	OWN_BUF struct buf text = { 0 };
	OWN_FREE struct sent *layers = NULL;

	if (!img)
		return no_image(p, ref, err);
	if (img->damaged)
		return err_set(err, ERR_INTERNAL, "image %s is damaged: %s", shown, img->damaged);
	layers = xcalloc(img->diff_ids.len + 1, sizeof(*layers));
	const struct sending s = { p->r, &p->s, p->given, &p->progress, ref, img };

	if (image_raw(p->r->images, img->id, &config, err) < 0 || layers_send(&s, layers, err) < 0 || send_config(p, ref, img, &config, err) < 0)
		return -1;
	write_manifest(img, &config, layers, &text);
	return send_manifest(p, ref, &text, err) < 0 ? -1 : report(p, ref, img, &text, err);
}

/* The tags to push, as full names. */
static int list_tags(struct push *p, struct strv *ret, struct err *err)
{
	const struct reference *ref = p->given->ref;
	OWN_FREE char *shown = reference_familiar_name(ref);

	if (ref->tag)
		strv_take(ret, reference_text(ref));
	else
		image_repo_tags(p->r->images, ref, ret);
	return ret->len ? 0 : err_set(err, ERR_NOT_FOUND, "An image does not exist locally with the tag: %s", shown);
}

static int run(struct push *p, struct err *err)
{
	const struct reference *ref = p->given->ref;
	OWN_FREE char *name = reference_name(ref);
	OWN_STRV struct strv tags = { 0 };

	progress_say(&p->progress, NULL, "The push refers to repository [%s]", name);
	if (list_tags(p, &tags, err) < 0 ||
	    session_open(&p->s, p->r->spawner, p->r->program, p->given->config, ref->domain, p->given->auth, p->given->cancel, err) < 0)
		return -1;
	for (size_t i = 0; i < tags.len; i++) {
		OWN_REFERENCE struct reference one = { 0 };

		if (reference_parse(tags.v[i], &one, err) < 0 || push_one(p, &one, err) < 0)
			return -1;
	}
	return 0;
}

int registry_push(struct registry *r, const struct registry_push *given, struct err *err)
{
	struct push p = { .r = r, .given = given, .s = SESSION_INIT };
	int rc;

	progress_open(&p.progress, given->emit, given->ctx);
	rc = run(&p, err);
	session_close(&p.s);
	progress_close(&p.progress);
	return rc;
}
