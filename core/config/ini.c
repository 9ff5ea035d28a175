/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The INI file: [daemon] has the keys of daemon.json (lists and maps by repeated keys), [KIND.NAME] a driver's own options.
 * The library cuts long lines and long section names without a word, so both are looked for beforehand.
 */
#include <ctype.h>
#include <ini.h>

#include "base/cleanup.h"
#include "config/value.h"

#define LINE_MAX_BYTES    199 /* what the library takes in one piece, without the line's end */
#define SECTION_MAX_BYTES 49

struct ini {
	struct config *cfg;
	struct err *err;
	unsigned char seen[OPT_COUNT];
	struct strv unknown, conflicts;
	struct strv keys, values;    /* of [daemon], applied when the whole file is read */
	bool failed;
};

static int check_lines(const char *text, size_t size, struct err *err);
static int on_value(void *ctx, const char *section, const char *name, const char *value);
static int apply(struct ini *ini);

int config_parse_ini(struct config *cfg, const char *text, size_t size, struct err *err)
{
	struct ini ini = { .cfg = cfg, .err = err };
	int rc = -1, line;

	if (check_lines(text, size, err) == 0) {
		line = ini_parse_string(text, on_value, &ini);
		if (ini.failed)
			rc = -1;
		else if (line)
			rc = err_set(err, ERR_INVALID, "line %d: expected [section], key = value or a comment", line);
		else
			rc = apply(&ini);
	}
	strv_done(&ini.unknown);
	strv_done(&ini.conflicts);
	strv_done(&ini.keys);
	strv_done(&ini.values);
	return rc;
}

static bool is_section(const char *name, size_t size)
{
	char copy[SECTION_MAX_BYTES + 1] = "";

	memcpy(copy, name, size);
	return streq(copy, "daemon") || config_is_driver_section(copy);
}

static int unknown_section(struct err *err, int size, const char *name)
{
	return err_set(err, ERR_INVALID, "unknown section [%.*s]: there are [daemon] and "
		"[KIND.DRIVER], KIND being graph, net, volume, authz, log or ipam", size, name);
}

/* Sections also here: the library tells only of those that have a key, and "[]" would be a file that says nothing. */
static int check_lines(const char *text, size_t size, struct err *err)
{
	const char *end = text + size;

	if (memchr(text, '\0', size))
		return err_set(err, ERR_INVALID, "the file holds a NUL byte");
	for (int number = 1; text < end; number++) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((eol ? eol : end) - text), lead = strspn(text, " \t");

		if (len > LINE_MAX_BYTES)
			return err_set(err, ERR_INVALID, "line %d is longer than %d bytes; write it in daemon.json "
				"instead", number, LINE_MAX_BYTES);
		if (text[lead] == '[' && !lead) {
			const char *close = memchr(text, ']', len);

			if (close && (size_t)(close - text) - lead - 1 > SECTION_MAX_BYTES)
				return err_set(err, ERR_INVALID,
					"line %d: the section's name is longer than %d bytes", number,
					SECTION_MAX_BYTES);
			if (close && !is_section(text + 1, (size_t)(close - text) - 1))
				return unknown_section(err, (int)(close - text) - 1, text + 1);
		} else if (lead && lead < len && !strchr(";#\r\n", text[lead])) {
			/* The library would take it as one more value of the key above. */
			return err_set(err, ERR_INVALID, "line %d begins with a blank; repeat the key to add a value", number);
		}
		text = eol ? eol + 1 : end;
	}
	return 0;
}

static int fail(struct ini *ini)
{
	ini->failed = true;
	return 0;
}

bool config_is_driver_section(const char *section)
{
	static const char *const kinds[] = { "graph.", "net.", "volume.", "authz.", "log.", "ipam." };

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!str_has_prefix(section, kinds[i]))
			continue;
		section += strlen(kinds[i]);
		if (!*section)
			return false;
		for (; *section; section++)
			if (!islower((unsigned char)*section) && !isdigit((unsigned char)*section) && *section != '_' &&
				*section != '-')
				return false;
		return true;
	}
	return false;
}

void config_add_driver_option(struct config *cfg, const char *section, const char *name, const char *value)
{
	OWN_FREE char *key = xasprintf("%s.%s", section, name);
	const char *before = strmap_get(&cfg->driver_options, key);
	OWN_FREE char *both = before ? xasprintf("%s\n%s", before, value) : xstrdup(value);

	strmap_set(&cfg->driver_options, key, both);
}

static int on_value(void *ctx, const char *section, const char *name, const char *value)
{
	struct ini *ini = ctx;

	if (config_is_driver_section(section)) {
		config_add_driver_option(ini->cfg, section, name, value);
		return 1;
	}
	if (!streq(section, "daemon")) {
		err_set(ini->err, ERR_INVALID, "a key stands before the first section");
		return fail(ini);
	}
	if (opt_by_key(name) < 0) {
		if (!strv_contains(&ini->unknown, name))
			strv_add(&ini->unknown, name);
		return 1;
	}
	strv_add(&ini->keys, name);
	strv_add(&ini->values, value);
	return 1;
}

/* All values of one key, as the conflict text shows them. */
static char *file_text(const struct ini *ini, int id)
{
	OWN_STRV struct strv values = { 0 };
	OWN_FREE char *joined = NULL;
	enum opt_shape shape = opt_shape((enum opt_id)id);

	for (size_t i = 0; i < ini->keys.len; i++)
		if (streq(ini->keys.v[i], opts[id].key))
			strv_add(&values, ini->values.v[i]);
	joined = strv_join(&values, " ");
	return shape == SHAPE_STRV || shape == SHAPE_STRMAP ? xasprintf("[%s]", joined) : xstrdup(joined);
}

static int apply(struct ini *ini)
{
	for (size_t i = 0; i < ini->keys.len; i++) {
		int id = opt_by_key(ini->keys.v[i]);
		enum opt_shape shape = opt_shape((enum opt_id)id);
		OWN_FREE char *text = NULL;

		if (ini->seen[id]++) {
			if (shape != SHAPE_STRV && shape != SHAPE_STRMAP)
				return err_set(ini->err, ERR_INVALID, "the option \"%s\" is set twice", ini->keys.v[i]);
			continue;
		}
		text = file_text(ini, id);
		config_note_conflict(ini->cfg, (enum opt_id)id, text, &ini->conflicts);
	}
	strv_sort(&ini->unknown);
	if (config_conflict_error(&ini->unknown, &ini->conflicts, ini->err) < 0)
		return -1;
	for (size_t i = 0; i < ini->keys.len; i++) {
		int id = opt_by_key(ini->keys.v[i]);

		if (opt_set_text(ini->cfg, (enum opt_id)id, ini->values.v[i], ini->err) < 0)
			return err_wrap(ini->err, "%s", ini->keys.v[i]);
		ini->cfg->from[id] = FROM_FILE;
	}
	return 0;
}
