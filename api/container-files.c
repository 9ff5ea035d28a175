/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /containers/{id}/archive and /export. */
#include <sys/stat.h>

#include "api.h"
#include "bodies.h"
#include "base/clock.h"
#include "container-streams.h"
#include "container/container.h"

/* Go's os.FileMode, which is what clients decode. */
static uint32_t go_mode(mode_t m)
{
	uint32_t mode = m & 0777;

	switch (m & S_IFMT) {
	case S_IFDIR: mode |= 1u << 31; break;
	case S_IFLNK: mode |= 1u << 27; break;
	case S_IFBLK: mode |= 1u << 26; break;
	case S_IFCHR: mode |= 1u << 26 | 1u << 21; break;
	case S_IFIFO: mode |= 1u << 25; break;
	case S_IFSOCK: mode |= 1u << 24; break;
	}
	if (m & S_ISUID)
		mode |= 1u << 23;
	if (m & S_ISGID)
		mode |= 1u << 22;
	if (m & S_ISVTX)
		mode |= 1u << 20;
	return mode;
}

static char *base64(const char *data, size_t size)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	struct buf b = { 0 };

	for (size_t i = 0; i < size; i += 3) {
		uint32_t v = (uint32_t)(unsigned char)data[i] << 16;

		if (i + 1 < size)
			v |= (uint32_t)(unsigned char)data[i + 1] << 8;
		if (i + 2 < size)
			v |= (unsigned char)data[i + 2];
		buf_addc(&b, digits[v >> 18 & 63]);
		buf_addc(&b, digits[v >> 12 & 63]);
		buf_addc(&b, i + 1 < size ? digits[v >> 6 & 63] : '=');
		buf_addc(&b, i + 2 < size ? digits[v & 63] : '=');
	}
	return buf_steal(&b);
}

static void add_stat_header(struct request *rq, const struct container_path *p)
{
	OWN_BUF struct buf b = { 0 };
	OWN_FREE char *text = NULL;
	struct jw w;

	jw_init(&w, &b);
	jw_obj(&w);
	jw_kstr(&w, "name", p->name);
	jw_kint(&w, "size", p->st.st_size);
	jw_kint(&w, "mode", go_mode(p->st.st_mode));
	jw_ktime(&w, "mtime", p->st.st_mtim.tv_sec * NSEC_PER_SEC + p->st.st_mtim.tv_nsec);
	jw_kstr(&w, "linkTarget", p->link);
	jw_obj_end(&w);
	text = base64(b.data, b.size);
	strmap_set(&rq->reply_headers, "X-Docker-Container-Path-Stat", text);
}

static int open_path(struct job *job, struct container_path *ret, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = container_find(job_api(job)->containers, request_var(rq, "id"), err);

	if (!c || container_path_open(c, request_var(rq, "id"), request_query(rq, "path"), ret, err) < 0)
		return -1;
	add_stat_header(rq, ret);
	return 0;
}

static int archive_stat(struct job *job, struct err *err)
{
	CLEANUP(container_path_close) struct container_path p = { .fd = -1 };

	if (open_path(job, &p, err) < 0)
		return -1;
	return reply_empty(job_request(job), 200);
}

static int archive_get(struct job *job, struct err *err)
{
	struct reply_writer out;
	CLEANUP(container_path_close) struct container_path p = { .fd = -1 };

	if (open_path(job, &p, err) < 0)
		return -1;
	reply_writer_init(&out, job_request(job), "application/x-tar");
	return container_path_pack(&p, &out.writer, &job->cancel, err);
}

static int archive_put(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	CLEANUP(container_unrefp) struct container *c = container_find(job_api(job)->containers, request_var(rq, "id"), err);
	struct put_options o = { .keep_types = request_query_bool(rq, "noOverwriteDirNonDir", false),
		.own = request_query_bool(rq, "copyUIDGID", false) };
	struct body_reader in;

	body_reader_init(&in, rq);
	if (!c || container_path_put(c, request_var(rq, "id"), request_query(rq, "path"), &o, &in.reader, err) < 0)
		return -1;
	return reply_empty(rq, 200);
}

static int export(struct job *job, struct err *err)
{
	struct request *rq = job_request(job);
	struct reply_writer out;
	CLEANUP(container_unrefp) struct container *c = container_find(job_api(job)->containers, request_var(rq, "id"), err);

	if (!c)
		return -1;
	reply_writer_init(&out, rq, "application/octet-stream");
	return container_export(c, &out.writer, &job->cancel, err);
}

int api_container_files_register(struct api *api, struct err *err)
{
	static const struct { const char *name; job_fn *fn; } jobs[] = {
		{ "container_archive_stat", archive_stat },
		{ "container_archive_get", archive_get },
		{ "container_archive_put", archive_put },
		{ "container_export", export },
	};

	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		if (engine_register(api->engine, jobs[i].name, jobs[i].fn, api, err) < 0)
			return -1;
	return 0;
}
