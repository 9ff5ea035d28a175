/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The tag of a log: text with fields of the container between {{ and }}, also behind the functions that people use there (json,
 * lower, upper). Docker evaluates it as a whole template language; of that, what is not here is refused by name.
 */
#include <ctype.h>
#include <strings.h>

#include "container/internal.h"

#define ERROR_HEAD "failed to initialize logging driver: template: log-tag:1"

void log_command(const struct container *c, struct buf *b)
{
	buf_adds(b, c->rec.path ? c->rec.path : "");
	for (size_t i = 0; i < c->rec.args.len; i++)
		buf_addf(b, " %s", c->rec.args.v[i]);
}

static char *command_of(const struct container *c)
{
	OWN_BUF struct buf b = { 0 };

	log_command(c, &b);
	return buf_steal(&b);
}

static char *field(const struct container *c, const char *name)
{
	const char *image = c->rec.image ? c->rec.image : "";
	const char *digest = str_has_prefix(image, "sha256:") ? image + 7 : image;

	if (streq(name, ".ID"))
		return xstrndup(c->id, 12);
	if (streq(name, ".FullID") || streq(name, ".ContainerID"))
		return xstrdup(c->id);
	if (streq(name, ".Name"))
		return xstrdup(c->rec.name + 1);
	if (streq(name, ".ContainerName"))
		return xstrdup(c->rec.name);
	if (streq(name, ".ImageName") || streq(name, ".ContainerImageName"))
		return xstrdup(c->rec.config.image ? c->rec.config.image : "");
	if (streq(name, ".ImageFullID") || streq(name, ".ContainerImageID"))
		return xstrdup(image);
	if (streq(name, ".ImageID"))
		return xstrndup(digest, 12);
	if (streq(name, ".DaemonName"))
		return xstrdup("docker");
	if (streq(name, ".Command"))
		return command_of(c);
	return NULL;
}

/* Applies a function to a value; false when there is none of that name. */
static bool apply(const char *function, char **value)
{
	if (streq(function, "json")) {
		OWN_BUF struct buf b = { 0 };
		struct jw w;

		jw_init(&w, &b);
		jw_str(&w, *value);
		free(*value);
		*value = buf_steal(&b);
		return true;
	}
	if (!streq(function, "lower") && !streq(function, "upper"))
		return false;
	for (char *p = *value; *p; p++)
		*p = (char)(*function == 'l' ? tolower((unsigned char)*p) : toupper((unsigned char)*p));
	return true;
}

/* What stands between the braces. at: where it stands in the tag, for the messages. */
static int action(const struct container *c, const char *text, size_t at, struct buf *b, struct err *err)
{
	OWN_STRV struct strv words = { 0 };
	OWN_FREE char *value = NULL;

	strv_split(&words, text, " ");
	while (strv_del(&words, ""))
		;
	if (!words.len)
		return err_set(err, ERR_INVALID, ERROR_HEAD ": missing value for command");
	const char *last = words.v[words.len - 1];
	if (words.len > 2 || strpbrk(text, "|(\"`$") || (words.len == 2 && *last != '.'))
		return err_set(err, ERR_NOT_IMPLEMENTED, "the log tag {{%s}} is not supported: a field, or json, lower or upper of one is", text);
	if (*words.v[0] != '.' && !streq(words.v[0], "json") && !streq(words.v[0], "lower") && !streq(words.v[0], "upper"))
		return err_set(err, ERR_INVALID, ERROR_HEAD ": function \"%s\" not defined", words.v[0]);
	value = *last == '.' ? field(c, last) : NULL;
	if (!value && *last == '.')
		return err_set(err, ERR_INVALID, ERROR_HEAD ":%zu: executing \"log-tag\" at <%s>: can't evaluate field %s in type *logger.Info",
			at + (size_t)(strstr(text, last) - text), last, last + 1);
	if (!value || (words.len == 2 && !apply(words.v[0], &value)))
		return err_set(err, ERR_INVALID, ERROR_HEAD ": executing \"log-tag\" at <%s>: wrong number of args", text);
	buf_adds(b, value);
	return 0;
}

int log_tag(const struct container *c, const char *tag, struct buf *b, struct err *err)
{
	for (const char *at = tag;;) {
		const char *open = strstr(at, "{{"), *close = open ? strstr(open + 2, "}}") : NULL;

		if (!open) {
			buf_adds(b, at);
			return 0;
		}
		if (!close)
			return err_set(err, ERR_INVALID, ERROR_HEAD ": unclosed action");
		buf_add(b, at, (size_t)(open - at));
		OWN_FREE char *text = xstrndup(open + 2, (size_t)(close - open - 2));
		if (action(c, text, (size_t)(open + 2 - tag), b, err) < 0)
			return -1;
		at = close + 2;
	}
}

int log_tag_of(const struct container *c, const struct strmap *options, struct buf *b, struct err *err)
{
	const char *tag = strmap_get(options, "tag");

	return log_tag(c, str_empty(tag) ? "{{.ID}}" : tag, b, err);
}
