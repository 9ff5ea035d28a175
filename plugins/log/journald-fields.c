/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "journald-fields.h"

#include <stdlib.h>
#include <string.h>

#define NAME_MAX_SIZE 64 /* the journal drops a field whose name is longer */

void fields_done(struct fields *f)
{
	free(f->data);
	*f = (struct fields){ 0 };
}

static void add(struct fields *f, const void *data, size_t size)
{
	if (f->room - f->size < size) {
		size_t room = (f->size + size) * 2;
		char *more = f->failed ? NULL : realloc(f->data, room);

		if (!more) {
			f->failed = 1;
			return;
		}
		f->data = more;
		f->room = room;
	}
	if (size)
		memcpy(f->data + f->size, data, size);
	f->size += size;
}

/* NAME=value, or where a line feed would end that: NAME, the length, the value. */
void fields_put(struct fields *f, const char *name, const void *value, size_t size)
{
	unsigned char length[8];

	add(f, name, strlen(name));
	if (!size || !memchr(value, '\n', size)) {
		add(f, "=", 1);
	} else {
		for (int i = 0; i < 8; i++)
			length[i] = (unsigned char)((uint64_t)size >> (8 * i));
		add(f, "\n", 1);
		add(f, length, sizeof(length));
	}
	add(f, value, size);
	add(f, "\n", 1);
}

void fields_puts(struct fields *f, const char *name, const char *value)
{
	fields_put(f, name, value, strlen(value));
}

/* Capital letters, digits and "_", which never comes first: it marks what the journal itself knows. */
static void to_name(const char *key, char ret[NAME_MAX_SIZE + 1])
{
	size_t n = 0;

	for (; *key && n < NAME_MAX_SIZE; key++) {
		char c = *key >= 'a' && *key <= 'z' ? (char)(*key - 'a' + 'A') : *key;

		if ((unsigned char)c >= 0x80 && ((unsigned char)c & 0xc0) == 0x80)
			continue; /* the rest of a character whose first byte is a "_" already */
		if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
			c = '_';
		if (n || c != '_')
			ret[n++] = c;
	}
	ret[n] = '\0';
}

static int is_attr(const struct dkd_log_subject *subject, const char *name)
{
	for (uint32_t i = 0; i < subject->attrs_len; i++) {
		char other[NAME_MAX_SIZE + 1];

		to_name(subject->attrs[i].key, other);
		if (strcmp(other, name) == 0)
			return 1;
	}
	return 0;
}

void fields_put_subject(struct fields *f, const struct dkd_log_subject *subject, const char *epoch)
{
	char name[NAME_MAX_SIZE + 1], id[13] = "";
	const struct dkd_pair own[] = { { "CONTAINER_ID", id }, { "CONTAINER_ID_FULL", subject->id }, { "CONTAINER_NAME", subject->name },
		{ "CONTAINER_TAG", subject->tag }, { "IMAGE_NAME", subject->image_name }, { "SYSLOG_IDENTIFIER", subject->tag },
		{ "CONTAINER_LOG_EPOCH", epoch } };

	strncpy(id, subject->id, sizeof(id) - 1);
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!is_attr(subject, own[i].key))
			fields_puts(f, own[i].key, own[i].value);
	for (uint32_t i = 0; i < subject->attrs_len; i++) {
		to_name(subject->attrs[i].key, name);
		if (*name)
			fields_puts(f, name, subject->attrs[i].value);
	}
}
