/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "container/selinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/lock.h"

#define MOUNT "/sys/fs/selinux"
#define FILE_MAX (1u << 20)
#define CATEGORIES 1024
#define TRIES 100000
#define LABEL_MAX 1024

/* "user:role:type[:level]"; the level may hold colons itself. */
struct context { char *user, *role, *type, *level; };

struct level { char *name; unsigned users; };

struct selinux {
	char *file;                          /* that was read, or NULL */
	char *process, *mount, *privileged;  /* contexts, or NULL */
	unsigned categories;
	struct lock lock;                    /* of what follows */
	struct level *levels;
	size_t len;
};

bool selinux_kernel(void)
{
	OWN_BUF struct buf b = { 0 };
	struct statfs st;

	if (statfs(MOUNT, &st) < 0 || (unsigned long)st.f_type != SELINUX_MAGIC || (st.f_flags & ST_RDONLY))
		return false;
	/* "kernel" alone is that of a kernel without a policy */
	if (fs_read(AT_FDCWD, "/proc/self/attr/current", LABEL_MAX, &b, NULL) < 0)
		return false;
	buf_addc(&b, '\0');
	return strchr(b.data, ':') != NULL;
}

static void context_done(struct context *c)
{
	free(c->user);
	free(c->role);
	free(c->type);
	free(c->level);
	*c = (struct context){ 0 };
}

static bool context_parse(const char *label, struct context *ret)
{
	const char *role = strchr(label, ':'), *type = role ? strchr(role + 1, ':') : NULL, *level = type ? strchr(type + 1, ':') : NULL;

	*ret = (struct context){ 0 };
	if (!type)
		return false;
	*ret = (struct context){ .user = xstrndup(label, (size_t)(role - label)), .role = xstrndup(role + 1, (size_t)(type - role - 1)),
		.type = level ? xstrndup(type + 1, (size_t)(level - type - 1)) : xstrdup(type + 1), .level = level ? xstrdup(level + 1) : NULL };
	return true;
}

static char *context_text(const struct context *c)
{
	return xasprintf("%s:%s:%s%s%s", c->user, c->role, c->type, str_empty(c->level) ? "" : ":", str_empty(c->level) ? "" : c->level);
}

char *selinux_with_level(const char *label, const char *level)
{
	struct context c;
	char *text;

	if (!context_parse(label, &c))
		return xstrdup(label);
	str_set(&c.level, level);
	text = context_text(&c);
	context_done(&c);
	return text;
}

/* Without the blanks around it. */
static char *trim(char *s)
{
	size_t len;

	s += strspn(s, " \t\r");
	len = strlen(s);
	while (len && strchr(" \t\r", s[len - 1]))
		s[--len] = '\0';
	return s;
}

/* The value of a line "key = "value"", NULL when there is none; '#' and ';' begin comments. */
static char *value_of(const char *text, const char *key)
{
	OWN_STRV struct strv lines = { 0 };

	strv_split(&lines, text, "\n");
	for (size_t i = 0; i < lines.len; i++) {
		char *line = trim(lines.v[i]), *eq = strchr(line, '='), *value;
		size_t len;

		if (!eq || *line == '#' || *line == ';')
			continue;
		*eq = '\0';
		if (!streq(trim(line), key))
			continue;
		value = trim(eq + 1);
		value += *value == '"';
		len = strlen(value);
		return xstrndup(value, len - (len && value[len - 1] == '"'));
	}
	return NULL;
}

static char *read_text(const char *path)
{
	OWN_BUF struct buf b = { 0 };

	if (fs_read(AT_FDCWD, path, FILE_MAX, &b, NULL) < 0)
		return NULL;
	buf_addc(&b, '\0');
	return buf_steal(&b);
}

/* The policy's own file is the last place. */
static char *read_contexts(const char *etc, const char *own, char **ret_path)
{
	OWN_FREE char *config = xasprintf("%s/config", etc), *settings = read_text(config), *type = settings ? value_of(settings, "SELINUXTYPE") : NULL;
	OWN_FREE char *policy = xasprintf("%s/%s/contexts/lxc_contexts", etc, type ? type : "");
	const char *const paths[] = { own, policy };

	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		char *text = read_text(paths[i]);

		if (text) {
			*ret_path = xstrdup(paths[i]);
			return text;
		}
	}
	return NULL;
}

static bool is_label(const char *s)
{
	return s && *s && strlen(s) < LABEL_MAX && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:,-") == strlen(s);
}

/* A context that is one; anything else counts as none. */
static char *context_of(const char *text, const char *key)
{
	char *value = value_of(text, key);
	struct context c;

	if (is_label(value) && context_parse(value, &c)) {
		context_done(&c);
		return value;
	}
	free(value);
	return NULL;
}

struct selinux *selinux_new(const char *etc, const char *own)
{
	struct selinux *s = xcalloc(1, sizeof(*s));
	OWN_FREE char *text = read_contexts(etc, own, &s->file);

	lock_init(&s->lock, LOCK_LEAF);
	s->categories = CATEGORIES;
	if (!text)
		return s;
	s->process = context_of(text, "process");
	s->mount = context_of(text, "file");
	if (s->mount) {
		OWN_FREE char *level = xasprintf("s0:c%d,c%d", CATEGORIES - 2, CATEGORIES - 1);

		s->privileged = selinux_with_level(s->mount, level);
		selinux_reserve(s, s->privileged);
	}
	return s;
}

const char *selinux_unknown(const struct selinux *s, const char *kernel)
{
	const char *const labels[] = { s->process, s->mount };

	for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
		OWN_FD int fd = labels[i] ? open(kernel, O_WRONLY | O_CLOEXEC | O_NOCTTY) : -1;

		if (fd >= 0 && write(fd, labels[i], strlen(labels[i]) + 1) < 0 && errno == EINVAL)
			return labels[i];
	}
	return NULL;
}

void selinux_narrow(struct selinux *s, unsigned categories)
{
	s->categories = categories;
}

void selinux_free(struct selinux *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->len; i++)
		free(s->levels[i].name);
	free(s->levels);
	free(s->file);
	free(s->process);
	free(s->mount);
	free(s->privileged);
	lock_done(&s->lock);
	free(s);
}

const char *selinux_contexts(const struct selinux *s)
{
	return s->process && s->mount ? s->file : NULL;
}

static struct level *find_level(struct selinux *s, const char *name)
{
	for (size_t i = 0; i < s->len; i++)
		if (streq(s->levels[i].name, name))
			return &s->levels[i];
	return NULL;
}

/* Under the lock. */
static void add_level(struct selinux *s, const char *name)
{
	struct level *l = find_level(s, name);

	if (l) {
		l->users++;
		return;
	}
	s->levels = xrealloc(s->levels, (s->len + 1) * sizeof(*s->levels));
	s->levels[s->len++] = (struct level){ xstrdup(name), 1 };
}

void selinux_reserve(struct selinux *s, const char *label)
{
	struct context c;

	if (!s || str_empty(label) || !context_parse(label, &c))
		return;
	lock_take(&s->lock);
	if (!str_empty(c.level))
		add_level(s, c.level);
	lock_drop(&s->lock);
	context_done(&c);
}

void selinux_release(struct selinux *s, const char *label)
{
	struct context c;
	struct level *l;

	if (!s || str_empty(label) || !context_parse(label, &c))
		return;
	lock_take(&s->lock);
	l = c.level ? find_level(s, c.level) : NULL;
	if (l && --l->users == 0) {
		free(l->name);
		*l = s->levels[--s->len];
	}
	lock_drop(&s->lock);
	context_done(&c);
}

/* A pair of categories that nobody has, or NULL. */
static char *new_level(struct selinux *s)
{
	WITH_LOCK(&s->lock);

	for (int i = 0; i < TRIES; i++) {
		uint16_t c[2];
		char name[32];

		if (getrandom(c, sizeof(c), 0) != sizeof(c))
			continue;
		c[0] = (uint16_t)(c[0] % s->categories);
		c[1] = (uint16_t)(c[1] % s->categories);
		if (c[0] == c[1])
			continue;
		snprintf(name, sizeof(name), "s0:c%u,c%u", c[0] < c[1] ? c[0] : c[1], c[0] < c[1] ? c[1] : c[0]);
		if (find_level(s, name))
			continue;
		add_level(s, name);
		return xstrdup(name);
	}
	return NULL;
}

/* One option changes the process's context, or the files', or both. */
static int apply(const char *option, struct context *process, struct context *file, struct err *err)
{
	const char *at = strchr(option, ':');
	OWN_FREE char *key = at ? xstrndup(option, (size_t)(at - option)) : NULL;

	if (!at)
		return err_set(err, ERR_INVALID, "bad label option \"%.200s\", valid options 'disable' or \n'user, role, level, type, filetype' followed by ':' and a value",
			option);
	if (!is_label(at + 1))
		return err_set(err, ERR_INVALID, "bad label option \"%.200s\": a context has letters, digits, '_', '.', ':', ',' and '-'", option);
	if (streq(key, "filetype")) {
		str_set(&file->type, at + 1);
	} else if (streq(key, "level")) {
		str_set(&process->level, at + 1);
		str_set(&file->level, at + 1);
	} else if (strchr(at + 1, ':')) {
		return err_set(err, ERR_INVALID, "bad label option \"%.200s\": only a level has ':'", option);
	} else if (streq(key, "user")) {
		str_set(&process->user, at + 1);
		str_set(&file->user, at + 1);
	} else if (streq(key, "role")) {
		str_set(&process->role, at + 1);
	} else if (streq(key, "type")) {
		str_set(&process->type, at + 1);
	} else {
		return err_set(err, ERR_INVALID, "bad label option \"%.200s\", valid options 'disable, user, role, level, type, filetype'", key);
	}
	return 0;
}

int selinux_check(const struct strv *options, struct err *err)
{
	struct context a = { 0 }, b = { 0 };
	int r = 0;

	for (size_t i = 0; r == 0 && i < options->len && !streq(options->v[i], "disable"); i++)
		r = apply(options->v[i], &a, &b, err);
	context_done(&a);
	context_done(&b);
	return r;
}

static bool names_level(const struct strv *options)
{
	for (size_t i = 0; i < options->len; i++)
		if (str_has_prefix(options->v[i], "level:"))
			return true;
	return false;
}

int selinux_labels(struct selinux *s, const struct strv *options, char **ret_process, char **ret_mount, struct err *err)
{
	bool disabled = strv_contains(options, "disable"), named = names_level(options);
	struct context p = { 0 }, m = { 0 };

	if (selinux_check(options, err) < 0)
		return -1;
	if (!s->process || !s->mount || disabled) {
		*ret_process = xstrdup("");
		*ret_mount = xstrdup(disabled && s->privileged ? s->privileged : s->mount ? s->mount : "");
		return 0;
	}
	context_parse(s->process, &p);
	context_parse(s->mount, &m);
	/* a policy without levels has none */
	if (!named && p.level) {
		OWN_FREE char *level = new_level(s);

		if (!level) {
			context_done(&p);
			context_done(&m);
			return err_set(err, ERR_INTERNAL, "SELinux: every pair of categories has a container");
		}
		str_set(&p.level, level);
		str_set(&m.level, level);
	}
	for (size_t i = 0; i < options->len; i++)
		apply(options->v[i], &p, &m, NULL);
	*ret_process = context_text(&p);
	*ret_mount = context_text(&m);
	if (named)
		selinux_reserve(s, *ret_process);
	context_done(&p);
	context_done(&m);
	return 0;
}

void selinux_options_of(const char *label, struct strv *ret)
{
	struct context c;

	if (str_empty(label) || !context_parse(label, &c))
		return;
	strv_addf(ret, "user:%s", c.user);
	strv_addf(ret, "role:%s", c.role);
	strv_addf(ret, "type:%s", c.type);
	if (!str_empty(c.level))
		strv_addf(ret, "level:%s", c.level);
	context_done(&c);
}
