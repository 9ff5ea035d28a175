/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reading half. The lines come from disk, where anything may have happened to them. */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc64.h>
#include <nettle/base64.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "image/tarsplit.h"
#include "image/untar.h"

#define READ_SIZE (256 * 1024)
#define LINE_MAX_ (32 * 1024 * 1024) /* Docker's segments reach 1 MiB before encoding, its headers a few */

struct line {
	int64_t type, size;
	char *name, *name_raw, *payload; /* into the line's text; NULL when absent or null */
	size_t payload_size;
};

struct assembly {
	struct reader *json;
	int root;
	struct writer *out;
	const struct cancel *cancel;
	struct buf text;  /* read and not used yet */
	size_t used;
	bool eof;
	char *copy;       /* READ_SIZE bytes */
};

static int damaged(struct err *err)
{
	return err_set(err, ERR_INTERNAL, "the layer's tar-split metadata is damaged");
}

/* A JSON string in place: *at stands on the opening quote; the decoded text is NUL-terminated. */
static char *string(char **at, size_t *ret_size)
{
	char *in = *at + 1, *out = in, *start = in;

	for (; *in != '"'; in++) {
		unsigned code;

		if ((unsigned char)*in < 0x20)
			return NULL;
		if (*in != '\\') {
			*out++ = *in;
			continue;
		}
		switch (*++in) {
		case '"': case '\\': case '/': *out++ = *in; break;
		case 'b': *out++ = '\b'; break;
		case 'f': *out++ = '\f'; break;
		case 'n': *out++ = '\n'; break;
		case 'r': *out++ = '\r'; break;
		case 't': *out++ = '\t'; break;
		case 'u':
			/* Writers escape control and HTML characters and U+2028/9 only: all below the surrogates. */
			code = 0;
			for (int i = 1; i <= 4; i++) {
				int c = (unsigned char)in[i];
				int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 :
					c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;

				if (digit < 0)
					return NULL;
				code = code << 4 | (unsigned)digit;
			}
			if (!code || (code >= 0xd800 && code <= 0xdfff))
				return NULL;
			if (code < 0x80) {
				*out++ = (char)code;
			} else if (code < 0x800) {
				*out++ = (char)(0xc0 | code >> 6);
				*out++ = (char)(0x80 | (code & 0x3f));
			} else {
				*out++ = (char)(0xe0 | code >> 12);
				*out++ = (char)(0x80 | (code >> 6 & 0x3f));
				*out++ = (char)(0x80 | (code & 0x3f));
			}
			in += 4;
			break;
		default:
			return NULL;
		}
	}
	*at = in + 1;
	*out = '\0';
	*ret_size = (size_t)(out - start);
	return start;
}

static bool number(char **at, int64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoll(*at, &end, 10);
	if (end == *at || errno || *ret < 0)
		return false;
	*at = end;
	return true;
}

static bool member(struct line *l, char **at)
{
	size_t key_size, size = 0;
	char *key = **at == '"' ? string(at, &key_size) : NULL, *text = NULL;
	int64_t n = 0;

	if (!key || *(*at)++ != ':')
		return false;
	if (**at == '"') {
		text = string(at, &size);
		if (!text)
			return false;
	} else if (str_has_prefix(*at, "null")) {
		*at += 4;
	} else if (!number(at, &n)) {
		return false;
	}
	if (streq(key, "type")) {
		l->type = n;
	} else if (streq(key, "size")) {
		l->size = n;
	} else if (streq(key, "name")) {
		l->name = text;
	} else if (streq(key, "name_raw")) {
		l->name_raw = text;
	} else if (streq(key, "payload")) {
		l->payload = text;
		l->payload_size = size;
	}
	return true;
}

/* One object without blanks between its tokens, as every writer of this format prints it. */
static bool parse(char *text, struct line *l)
{
	char *at = text;

	*l = (struct line){ 0 };
	if (*at++ != '{')
		return false;
	do
		if (!member(l, &at))
			return false;
	while (*at++ == ',');
	return at[-1] == '}' && *at == '\0';
}

/* Decodes in place. */
static bool unbase64(char *text, size_t *size)
{
	struct base64_decode_ctx ctx;
	size_t n = BASE64_DECODE_LENGTH(*size);

	base64_decode_init(&ctx);
	/* The output never overtakes the input: three bytes for four. */
	if (!base64_decode_update(&ctx, &n, (uint8_t *)text, *size, text) || !base64_decode_final(&ctx))
		return false;
	*size = n;
	return true;
}

/* The next line, NUL-terminated, valid until the following call: 1, 0 at the end, -1. */
static int next_line(struct assembly *a, char **ret, struct err *err)
{
	size_t seen = 0;

	for (;;) {
		char *start = a->text.data ? a->text.data + a->used : NULL, *nl;
		ssize_t n;

		nl = a->text.size - a->used > seen ? memchr(start + seen, '\n', a->text.size - a->used - seen) : NULL;
		if (nl) {
			*nl = '\0';
			*ret = start;
			a->used = (size_t)(nl + 1 - a->text.data);
			return 1;
		}
		seen = a->text.size - a->used;
		if (a->eof)
			return seen ? damaged(err) : 0;
		buf_shift(&a->text, a->used);
		a->used = 0;
		if (seen > LINE_MAX_)
			return damaged(err);
		n = a->json->read(a->json, buf_reserve(&a->text, READ_SIZE), READ_SIZE, err);
		if (n < 0)
			return -1;
		a->eof = n == 0;
		a->text.size += (size_t)n;
	}
}

static int open_content(struct assembly *a, const char *name, int64_t size, struct err *err)
{
	char path[TAR_NAME_MAX + 1];
	OWN_FD int fd = -1;
	struct stat st;

	if (strlen(name) > TAR_NAME_MAX || !untar_clean(name, path))
		return damaged(err);
	fd = fs_beneath(a->root, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return err_errno(err, errno, "open %s of the layer", name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != size)
		return err_set(err, ERR_INTERNAL, "file integrity checksum failed for \"%s\"", name);
	return STEAL_FD(fd);
}

static int copy_content(struct assembly *a, const char *name, int64_t size, uint64_t want, struct err *err)
{
	OWN_FD int fd = open_content(a, name, size, err);
	uint64_t crc = 0;

	if (fd < 0)
		return -1;
	while (size) {
		ssize_t n = fs_read_all(fd, a->copy, size < READ_SIZE ? (size_t)size : READ_SIZE);

		if (n < 0)
			return err_errno(err, errno, "read %s of the layer", name);
		if (n == 0)
			break;
		if (cancel_fired(a->cancel))
			return err_set(err, ERR_CANCELLED, "cancelled");
		crc = crc64_iso_refl(crc, (unsigned char *)a->copy, (uint64_t)n);
		if (a->out->write(a->out, a->copy, (size_t)n, err) < 0)
			return -1;
		size -= n;
	}
	if (size || crc != want)
		return err_set(err, ERR_INTERNAL, "file integrity checksum failed for \"%s\"", name);
	return 0;
}

static int put_file(struct assembly *a, struct line *l, struct err *err)
{
	char *name = l->name;
	uint64_t crc;

	if (!l->size)
		return 0;
	if (l->name_raw) {
		size_t n = strlen(l->name_raw);

		name = l->name_raw;
		if (!unbase64(name, &n) || memchr(name, '\0', n))
			return damaged(err);
		name[n] = '\0';
	}
	if (!name || !l->payload || !unbase64(l->payload, &l->payload_size) || l->payload_size != sizeof(crc))
		return damaged(err);
	memcpy(&crc, l->payload, sizeof(crc));
	return copy_content(a, name, l->size, be64toh(crc), err);
}

static int put_line(struct assembly *a, struct line *l, struct err *err)
{
	switch (l->type) {
	case 1:
		return put_file(a, l, err);
	case 2:
		if (!l->payload)
			return 0;
		if (!unbase64(l->payload, &l->payload_size))
			return damaged(err);
		return l->payload_size ? a->out->write(a->out, l->payload, l->payload_size, err) : 0;
	default:
		return damaged(err);
	}
}

int tarsplit_assemble(struct reader *json, int rootfd, struct writer *out, const struct cancel *c, struct err *err)
{
	OWN_FREE char *copy = xmalloc(READ_SIZE);
	struct assembly a = { .json = json, .root = rootfd, .out = out, .cancel = c, .copy = copy };
	struct line l;
	char *text = NULL;
	int n;

	while ((n = next_line(&a, &text, err)) > 0) {
		if (!parse(text, &l)) {
			n = damaged(err);
			break;
		}
		n = put_line(&a, &l, err);
		if (n < 0)
			break;
	}
	buf_done(&a.text);
	return n;
}

/* Bytes that a line stands for; -1 when it makes no sense. */
static int64_t line_bytes(const struct line *l)
{
	size_t pad = 0;

	if (l->type == 1)
		return l->size;
	if (l->type != 2)
		return -1;
	while (pad < 2 && pad < l->payload_size && l->payload[l->payload_size - 1 - pad] == '=')
		pad++;
	return l->payload ? (int64_t)(l->payload_size / 4 * 3 - pad) : 0;
}

static int64_t sum(struct reader *json, bool content, struct err *err)
{
	struct assembly a = { .json = json };
	int64_t total = 0, bytes;
	struct line l;
	char *text = NULL;
	int n;

	while ((n = next_line(&a, &text, err)) > 0) {
		bytes = !parse(text, &l) ? -1 : content && l.type != 1 ? 0 : line_bytes(&l);
		if (bytes < 0 || __builtin_add_overflow(total, bytes, &total)) {
			n = damaged(err);
			break;
		}
	}
	buf_done(&a.text);
	return n < 0 ? -1 : total;
}

int64_t tarsplit_size(struct reader *json, struct err *err)
{
	return sum(json, false, err);
}

int64_t tarsplit_content_size(struct reader *json, struct err *err)
{
	return sum(json, true, err);
}
