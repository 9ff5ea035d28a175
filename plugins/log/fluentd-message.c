/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The forward protocol's "message": [tag, time, fields, options] in msgpack. */
#include <stdio.h>
#include <string.h>

#include "fluentd.h"

static void put_big(struct bytes *b, unsigned char type, uint64_t n, int size)
{
	unsigned char all[9] = { type };

	for (int i = 0; i < size; i++)
		all[1 + i] = (unsigned char)(n >> 8 * (size - 1 - i));
	bytes_put(b, all, (size_t)size + 1);
}

static void put_map(struct bytes *b, size_t len)
{
	if (len < 16)
		put_big(b, (unsigned char)(0x80 | len), 0, 0);
	else if (len <= UINT16_MAX)
		put_big(b, 0xde, len, 2);
	else
		put_big(b, 0xdf, len, 4);
}

static void put_str(struct bytes *b, const char *s, size_t size)
{
	if (size < 32)
		put_big(b, (unsigned char)(0xa0 | size), 0, 0);
	else if (size <= UINT8_MAX)
		put_big(b, 0xd9, size, 1);
	else if (size <= UINT16_MAX)
		put_big(b, 0xda, size, 2);
	else
		put_big(b, 0xdb, size, 4);
	bytes_put(b, s, size);
}

static void put_field(struct bytes *b, const char *key, const char *value)
{
	put_str(b, key, strlen(key));
	put_str(b, value, strlen(value));
}

/* Of whole seconds, or of the protocol's own type 0. */
static void put_time(struct bytes *b, int64_t time, bool sub_second)
{
	int64_t seconds = time / 1000000000;

	if (sub_second)
		put_big(b, 0xd7, 0, 1);
	if (sub_second) {
		unsigned char all[8];

		for (int i = 0; i < 4; i++) {
			all[i] = (unsigned char)(seconds >> 8 * (3 - i));
			all[4 + i] = (unsigned char)(time % 1000000000 >> 8 * (3 - i));
		}
		bytes_put(b, all, sizeof(all));
	} else if (seconds <= INT32_MAX) {
		put_big(b, 0xd2, (uint64_t)seconds, 4);
	} else {
		put_big(b, 0xd3, (uint64_t)seconds, 8);
	}
}

/* Only a line in pieces has those; they win over an attribute of the same name, which then is out of all messages. */
static bool is_partial(const char *key)
{
	static const char *const all[] = { "partial_message", "partial_id", "partial_ordinal", "partial_last" };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i], key) == 0)
			return true;
	return false;
}

static void put_own(struct fluentd_common *c, const struct dkd_log_subject *subject, const char *key, const char *slash, const char *value)
{
	size_t size = strlen(slash) + strlen(value);

	if (dkd_pair_get(subject->attrs, subject->attrs_len, key))
		return;
	put_str(&c->fields, key, strlen(key));
	/* at most 64 KiB: an id, a name */
	put_big(&c->fields, 0xda, size, 2);
	bytes_word(&c->fields, slash);
	bytes_word(&c->fields, value);
	c->fields_len++;
}

void fluentd_common(struct fluentd_common *c, const struct dkd_log_subject *subject)
{
	put_str(&c->tag, subject->tag, strlen(subject->tag));
	c->has_source = dkd_pair_get(subject->attrs, subject->attrs_len, "source");
	c->has_log = dkd_pair_get(subject->attrs, subject->attrs_len, "log");
	put_own(c, subject, "container_id", "", subject->id);
	put_own(c, subject, "container_name", "/", subject->name);
	for (uint32_t i = 0; i < subject->attrs_len; i++) {
		if (is_partial(subject->attrs[i].key))
			continue;
		put_field(&c->fields, subject->attrs[i].key, subject->attrs[i].value);
		c->fields_len++;
	}
}

void fluentd_common_done(struct fluentd_common *c)
{
	bytes_done(&c->tag);
	bytes_done(&c->fields);
}

static void put_pieces(struct bytes *b, const struct dkd_log_record *r, const struct pieces *p)
{
	char ordinal[16];

	snprintf(ordinal, sizeof(ordinal), "%u", p->ordinal + 1);
	put_field(b, "partial_message", "true");
	put_field(b, "partial_id", p->id);
	put_field(b, "partial_ordinal", ordinal);
	put_field(b, "partial_last", r->flags & DKD_LOG_LAST ? "true" : "false");
}

void fluentd_message(const struct dkd_log_record *r, const struct fluentd_common *c, const struct pieces *p, bool sub_second,
	const char *chunk, struct bytes *ret)
{
	put_big(ret, 0x94, 0, 0);
	bytes_put(ret, c->tag.data, c->tag.size);
	put_time(ret, r->time, sub_second);
	put_map(ret, c->fields_len + !c->has_source + !c->has_log + (p ? 4 : 0));
	bytes_put(ret, c->fields.data, c->fields.size);
	if (!c->has_source)
		put_field(ret, "source", r->flags & DKD_LOG_STDERR ? "stderr" : "stdout");
	if (p)
		put_pieces(ret, r, p);
	if (!c->has_log) {
		put_str(ret, "log", 3);
		put_str(ret, r->text, (size_t)r->text_size);
	}
	put_map(ret, chunk ? 1 : 0);
	if (chunk)
		put_field(ret, "chunk", chunk);
}

int fluentd_is_ack(const void *data, size_t size, const char *chunk)
{
	/* all the ways to say how long the value is: {"ack": chunk} */
	static const struct { const char *bytes; size_t size; } heads[] = { { "\x81\xa3" "ack\xb8", 6 }, { "\x81\xa3" "ack\xd9\x18", 7 },
		{ "\x81\xa3" "ack\xda\0\x18", 8 }, { "\x81\xa3" "ack\xc4\x18", 7 } };

	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
		size_t head = size < heads[i].size ? size : heads[i].size, rest = size - head;

		if (memcmp(data, heads[i].bytes, head) != 0 || rest > FLUENTD_CHUNK)
			continue;
		if (memcmp((const char *)data + head, chunk, rest) == 0)
			return rest == FLUENTD_CHUNK;
	}
	return -1;
}
