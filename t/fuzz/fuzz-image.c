/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Image archives: the parts of the input become manifest.json, index.json and blobs; "@N" behind "sha256:" or "sha256/" stands
 * for the digest of part N, if that one comes later. For the form of Docker before 1.10 the second part is repositories, and
 * part N the json of folder N.
 */
#include "fuzz.h"

#include "base/digest.h"
#include "base/tar.h"
#include "image/archive-plan.h"
#include "image/image-store.h"

static void add_blob(struct tar_writer *w, const char *text)
{
	char digest[DIGEST_TEXT], name[128];
	OWN_ERR struct err err = ERR_INIT;

	digest_of(text, strlen(text), digest);
	snprintf(name, sizeof(name), "blobs/sha256/%s", digest + 7);
	tar_write_file(w, name, text, strlen(text), 0, &err);
}

static void add_folder(struct tar_writer *w, size_t i, const char *json)
{
	char name[32];
	OWN_ERR struct err err = ERR_INIT;

	snprintf(name, sizeof(name), "%zu/json", i);
	tar_write_file(w, name, json, strlen(json), 0, &err);
	snprintf(name, sizeof(name), "%zu/layer.tar", i);
	tar_write_file(w, name, name, strlen(name), 0, &err);
}

static void put_digests(struct strv *parts, size_t i)
{
	OWN_BUF struct buf b = { 0 };
	const char *p = parts->v[i];

	for (const char *at; (at = strstr(p, "sha256"));) {
		size_t n = at[6] && at[7] == '@' ? (size_t)(unsigned char)at[8] - '0' : 0;
		char digest[DIGEST_TEXT];

		buf_add(&b, p, (size_t)(at - p) + 6);
		p = at + 6;
		if (n <= i || n >= parts->len)
			continue;
		digest_of(parts->v[n], strlen(parts->v[n]), digest);
		buf_addc(&b, *p);
		buf_adds(&b, digest + 7);
		p += 3;
	}
	buf_adds(&b, p);
	str_set(&parts->v[i], b.data ? b.data : "");
}

static void plan_all(const struct spool *sp)
{
	OWN_ERR struct err err = ERR_INIT;
	OWN_PLATFORM struct platform any = { 0 };

	FUZZ_CHECK(platform_parse("linux/amd64", &any, &err) == 0);
	for (int strict = 0; strict < 2; strict++) {
		OWN_ERR struct err one = ERR_INIT, two = ERR_INIT, three = ERR_INIT;
		OWN_PLAN struct plan docker = { 0 };
		OWN_PLAN struct plan oci = { 0 };
		OWN_PLAN struct plan v1 = { 0 };

		FUZZ_CHECK(plan_docker(&docker, sp, &any, strict, &one) == 0 || one.msg);
		FUZZ_CHECK(plan_oci(&oci, sp, &any, strict, &two) == 0 || two.msg);
		FUZZ_CHECK(plan_v1(&v1, sp, &any, strict, -1, NULL, &three) == 0 || three.msg);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	OWN_STRV struct strv parts = { 0 };
	OWN_BUF struct buf archive = { 0 };
	OWN_ERR struct err err = ERR_INIT;
	struct mem_reader in;
	struct buf_writer out;
	struct tar_writer w;

	fuzz_split(data, size, &parts);
	buf_writer_init(&out, &archive);
	tar_writer_init(&w, &out.writer);
	for (size_t i = parts.len; i-- > 0;) {
		OWN_ERR struct err why = ERR_INIT;
		struct image *img;

		put_digests(&parts, i);
		img = image_parse(parts.v[i], strlen(parts.v[i]), &why);
		FUZZ_CHECK(img || why.msg);
		if (img)
			image_unref(img);
		if (i > 1) {
			add_blob(&w, parts.v[i]);
			add_folder(&w, i, parts.v[i]);
		}
	}
	tar_write_file(&w, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", 30, 0, &err);
	tar_write_file(&w, "manifest.json", fuzz_part(&parts, 0), strlen(fuzz_part(&parts, 0)), 0, &err);
	tar_write_file(&w, "index.json", fuzz_part(&parts, 1), strlen(fuzz_part(&parts, 1)), 0, &err);
	tar_write_file(&w, "repositories", fuzz_part(&parts, 1), strlen(fuzz_part(&parts, 1)), 0, &err);
	tar_write_end(&w, &err);
	mem_reader_init(&in, archive.data, archive.size);
	OWN_SPOOL struct spool *sp = spool_read(&in.reader, fuzz_dir(), NULL, &err);
	if (sp)
		plan_all(sp);
	return 0;
}
