/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* GELF 1.1: one object of JSON a message, with Docker's fields. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "gelf.h"

#define SEVERITY_ERROR 3
#define SEVERITY_INFO  6

/* Of the character at s, which is well-formed UTF-8; 0: it is not. */
static size_t utf8_size(const unsigned char *s, size_t size)
{
	size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (!n || n > size)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* longer than need be, a surrogate, beyond the last */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* As a string of JSON; what is no UTF-8 becomes U+FFFD, byte by byte. */
static void put_string(struct bytes *b, const char *text, size_t size)
{
	const unsigned char *s = (const unsigned char *)text, *end = s + size;
	char escape[8];

	bytes_put(b, "\"", 1);
	while (s < end) {
		size_t n = utf8_size(s, (size_t)(end - s));

		if (n == 0) {
			bytes_word(b, "\\ufffd");
			n = 1;
		} else if (*s == '"' || *s == '\\') {
			bytes_put(b, "\\", 1);
			bytes_put(b, s, 1);
		} else if (*s < ' ') {
			snprintf(escape, sizeof(escape), "\\u%04x", *s);
			bytes_word(b, escape);
		} else {
			bytes_put(b, s, n);
		}
		s += n;
	}
	bytes_put(b, "\"", 1);
}

static void put_field(struct bytes *b, const char *key, const char *value)
{
	bytes_put(b, ",", 1);
	put_string(b, key, strlen(key));
	bytes_put(b, ":", 1);
	put_string(b, value, strlen(value));
}

/* "_KEY"; a key that begins with "_" stays. */
static bool same_key(const char *attr, const char *key)
{
	return strcmp(*attr == '_' ? attr + 1 : attr, key + 1) == 0;
}

/* A label or variable of the same name comes instead. */
static void put_own(const struct dkd_log_subject *subject, struct bytes *b, const char *key, const char *value)
{
	for (uint32_t i = 0; i < subject->attrs_len; i++)
		if (same_key(subject->attrs[i].key, key))
			return;
	put_field(b, key, value);
}

static void put_attr(struct bytes *b, const struct dkd_pair *attr)
{
	bytes_word(b, *attr->key == '_' ? ",\"" : ",\"_");
	/* the rest of the name, without its opening quote */
	size_t at = b->size;

	put_string(b, attr->key, strlen(attr->key));
	if (bytes_ok(b)) {
		memmove(b->data + at, b->data + at + 1, b->size - at - 1);
		b->size--;
	}
	bytes_put(b, ":", 1);
	put_string(b, attr->value, strlen(attr->value));
}

/* "2006-01-02T15:04:05.012Z": no zeros at the end of the fraction, and no fraction of nothing. */
static void print_time(int64_t time, char *ret, size_t size)
{
	time_t seconds = (time_t)(time / 1000000000);
	char day[32], fraction[32];
	size_t n;
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
	n = (size_t)snprintf(fraction, sizeof(fraction), ".%09d", (int)(time % 1000000000));
	while (n && (fraction[n - 1] == '0' || fraction[n - 1] == '.'))
		fraction[--n] = '\0';
	snprintf(ret, size, "%s%sZ", day, fraction);
}

void gelf_tail(const struct dkd_log_subject *subject, struct bytes *ret)
{
	char created[80];

	print_time(subject->created, created, sizeof(created));
	put_own(subject, ret, "_command", subject->command);
	put_own(subject, ret, "_container_id", subject->id);
	put_own(subject, ret, "_container_name", subject->name);
	put_own(subject, ret, "_created", created);
	put_own(subject, ret, "_image_id", subject->image_id);
	put_own(subject, ret, "_image_name", subject->image_name);
	put_own(subject, ret, "_tag", subject->tag);
	for (uint32_t i = 0; i < subject->attrs_len; i++)
		put_attr(ret, &subject->attrs[i]);
	bytes_put(ret, "}", 1);
}

void gelf_message(const struct dkd_log_record *r, const char *hostname, const struct bytes *tail, struct bytes *ret)
{
	char facts[96];

	bytes_word(ret, "{\"version\":\"1.1\",\"host\":");
	put_string(ret, hostname, strlen(hostname));
	bytes_word(ret, ",\"short_message\":");
	put_string(ret, r->text, (size_t)r->text_size);
	snprintf(facts, sizeof(facts), ",\"timestamp\":%lld.%03d,\"level\":%d", (long long)(r->time / 1000000000),
		(int)(r->time % 1000000000 / 1000000), r->flags & DKD_LOG_STDERR ? SEVERITY_ERROR : SEVERITY_INFO);
	bytes_word(ret, facts);
	bytes_put(ret, tail->data, tail->size);
}
